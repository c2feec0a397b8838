//! Requests: what is read of them.

use serde_json::{Value, json};

use crate::dialect::openai_responses::OpenAiResponses;
use crate::dialect::{
    Inbound as _, Received, RequestView, ToolCallView, ToolResultView, Undecodable,
};
use crate::event::Role;

pub(super) const AGENT: &str = r#"{
  "model": "gpt-5", "stream": true, "max_output_tokens": 100, "safety_identifier": "u",
  "metadata": {"session_id": "s1"}, "prompt_cache_key": "k", "unknown": {"kept": [1.0, 1e2]},
  "instructions": "be kind",
  "input": [
    {"role": "user", "content": [{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": "data:image/png;base64,aGVsbG8="}]},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "gAAA"},
    {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{\"b\": 1, \"a\": 2}"},
    {"type": "function_call_output", "call_id": "c1", "output": "42"},
    {"type": "message", "role": "assistant", "id": "m", "content": [{"type": "output_text", "text": "so", "annotations": []}]},
    {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "free text"},
    {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
    {"role": "user", "content": "and?"}
  ],
  "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "g"}, {"type": "web_search"}, {"type": "local_shell"}]
}"#;

fn try_view(body: &str) -> Result<RequestView, Undecodable> {
    OpenAiResponses.read_request(Received {
        path: "/v1/responses",
        query: None,
        body: body.as_bytes(),
    })
}

fn view(body: &str) -> RequestView {
    try_view(body).unwrap()
}

#[test]
fn a_request_is_read() {
    let view = view(AGENT);
    assert_eq!(
        (view.model.as_str(), view.streamed, view.choices),
        ("gpt-5", true, 1)
    );
    assert_eq!(view.max_output_tokens, Some(100));
    assert_eq!(view.tools, ["f", "g", "web_search", "local_shell"]);
    assert_eq!(view.end_user.as_deref(), Some("u"));
    let hints = [
        ("metadata.session_id", "s1".to_owned()),
        ("prompt_cache_key", "k".to_owned()),
    ];
    assert_eq!(view.session_hints, hints);
    assert!(view.include_usage && !view.structured_output && view.unjudgeable.is_none());
    let told: Vec<_> = view
        .messages
        .iter()
        .map(|m| {
            (
                m.role,
                m.text.as_str(),
                m.tool_calls.len(),
                m.tool_results.len(),
                m.media.len(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (Role::System, "be kind", 0, 0, 0),
            (Role::User, "look", 0, 0, 1),
            (Role::Assistant, "hm", 0, 0, 0),
            (Role::Assistant, "", 1, 0, 0),
            (Role::Tool, "", 0, 1, 0),
            (Role::Assistant, "so", 0, 0, 0),
            (Role::Assistant, "", 1, 0, 0),
            (Role::Tool, "", 0, 1, 0),
            (Role::User, "and?", 0, 0, 0),
        ]
    );
    assert_eq!(&AGENT[view.messages[0].span.clone()], "\"be kind\"");
    assert_eq!(
        &AGENT[view.messages[8].span.clone()],
        r#"{"role": "user", "content": "and?"}"#
    );
    let call = ToolCallView {
        id: "c1".into(),
        name: "f".into(),
        arguments: "{\"b\": 1, \"a\": 2}".into(),
        ..ToolCallView::default()
    };
    assert_eq!(view.messages[3].tool_calls, [call]);
    let result = ToolResultView {
        id: "c2".into(),
        text: "a\nb".into(),
        failed: None,
    };
    assert_eq!(view.messages[7].tool_results, [result]);
    let picture = &view.messages[1].media[0];
    assert_eq!(
        (picture.media_type.as_str(), picture.bytes),
        ("image/png", 5)
    );
}

#[test]
fn a_text_alone_is_a_request() {
    let view = view(r#"{"model":"m","input":"hi"}"#);
    assert_eq!(view.messages.len(), 1);
    assert_eq!(
        (view.messages[0].role, view.messages[0].text.as_str()),
        (Role::User, "hi")
    );
    assert!(super::requests::view("{}").messages.is_empty());
}

#[test]
fn what_a_request_demands_is_read() {
    let asks = |field: &str| view(&format!(r#"{{"input":"x",{field}}}"#));
    assert!(asks(r#""text":{"format":{"type":"json_object"}}"#).structured_output);
    assert!(asks(r#""text":{"format":{"type":"json_schema","schema":{}}}"#).structured_output);
    assert!(!asks(r#""text":{"format":{"type":"text"}}"#).structured_output);
    assert!(asks(r#""background":true"#).unjudgeable.is_some());
    assert!(asks(r#""background":false"#).unjudgeable.is_none());
    assert_eq!(asks(r#""max_output_tokens":-1"#).max_output_tokens, None);
    let continued = asks(r#""previous_response_id":"resp_9""#)
        .continues
        .unwrap();
    assert_eq!(
        (continued.field, continued.id.as_str()),
        ("previous_response_id", "resp_9")
    );
    for conversation in [r#""conv_1""#, r#"{"id":"conv_1"}"#] {
        let view = asks(&format!(r#""conversation":{conversation}"#));
        assert_eq!(view.continues.unwrap().id, "conv_1");
        assert_eq!(view.session_hints, [("conversation", "conv_1".to_owned())]);
    }
    let namespace = asks(
        r#""tools":[{"type":"namespace","name":"n","tools":[{"type":"function","name":"inner"}]}]"#,
    );
    assert_eq!(namespace.tools, ["inner", "namespace"]);
}

#[test]
fn items_of_all_kinds_are_read() {
    let one = |item: Value| {
        view(&json!({ "input": [item] }).to_string())
            .messages
            .remove(0)
    };
    let shell = one(json!({"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}}));
    assert_eq!(
        (
            shell.tool_calls[0].name.as_str(),
            shell.tool_calls[0].arguments.as_str()
        ),
        ("shell", r#"{"commands":["ls"]}"#)
    );
    let output = one(
        json!({"type": "shell_call_output", "call_id": "c", "output": [{"stdout": "a", "stderr": "b", "outcome": {"type": "exit", "exit_code": 0}}]}),
    );
    assert_eq!(
        (
            output.tool_results[0].id.as_str(),
            output.tool_results[0].text.as_str()
        ),
        ("c", "a\nb")
    );
    let failed = one(
        json!({"type": "apply_patch_call_output", "call_id": "c", "status": "failed", "output": "no"}),
    );
    assert_eq!(failed.tool_results[0].failed, Some(true));
    let screen = one(
        json!({"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,aGk="}}),
    );
    assert_eq!(
        (screen.role, screen.media[0].name.as_str()),
        (Role::Tool, "computer_screenshot")
    );
    let search = one(
        json!({"type": "web_search_call", "id": "ws", "action": {"type": "search", "query": "rain"}}),
    );
    assert_eq!(
        (search.role, search.text.as_str()),
        (Role::Assistant, "rain")
    );
    let server = one(
        json!({"type": "mcp_call", "id": "x", "name": "t", "arguments": "{}", "output": "from afar", "server_label": "s"}),
    );
    assert!(server.text.contains("from afar"));
    let reference = one(json!({"type": "item_reference", "id": "msg_1"}));
    assert_eq!(
        (reference.role, reference.media[0].reference.as_str()),
        (Role::Other, "msg_1")
    );
    let compaction =
        one(json!({"type": "compaction", "encrypted_content": "gAAAAABpPB8iV8e6ZyQ0LAGthckz"}));
    assert_eq!(
        (
            compaction.role,
            compaction.text.as_str(),
            compaction.media.len()
        ),
        (Role::Assistant, "", 1)
    );
    let unknown = one(json!({"type": "telegram", "words": ["stop", "go"]}));
    assert_eq!(
        (unknown.role, unknown.text.as_str()),
        (Role::Other, "stop\ngo")
    );
    let prompt = view(r#"{"prompt":{"id":"pmpt_1","variables":{"city":"Paris"}}}"#)
        .messages
        .remove(0);
    assert_eq!((prompt.role, prompt.text.as_str()), (Role::Other, "Paris"));
}

#[test]
fn what_means_the_same_has_one_digest() {
    let digest = |item: Value| view(&json!({ "input": [item] }).to_string()).messages[0].digest();
    let same = [
        (
            json!({"role": "user", "content": "a"}),
            json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]}),
        ),
        (
            json!({"type": "function_call", "id": "fc", "status": "completed", "call_id": "c", "name": "f", "arguments": "{\"a\":1,\"b\":2}"}),
            json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"b\": 2, \"a\": 1}"}),
        ),
    ];
    for (one, other) in same {
        assert_eq!(digest(one), digest(other));
    }
    assert_ne!(
        digest(json!({"type": "item_reference", "id": "a"})),
        digest(json!({"type": "item_reference", "id": "b"}))
    );
}

#[test]
fn what_cannot_be_read_is_named() {
    for (body, place) in [
        ("[]", "the request"),
        (r#"{"input":7}"#, "input"),
        (r#"{"input":[7]}"#, "input[0]"),
        (r#"{"input":[{"content":"x"}]}"#, "input[0].role"),
        (
            r#"{"input":[{"role":"user","content":7}]}"#,
            "input[0].content",
        ),
        (r#"{"instructions":[]}"#, "instructions"),
        (r#"{"stream":"yes"}"#, "stream"),
        (r#"{"background":1}"#, "background"),
        (r#"{"model":7}"#, "model"),
        (r#"{"model":"a","model":"b"}"#, "the request"),
        (r#"{"conversation":7}"#, "conversation"),
        (r#"{"max_output_tokens":"x"}"#, "max_output_tokens"),
    ] {
        assert_eq!(try_view(body).unwrap_err().place, place, "{body}");
    }
}
