//! Requests: what is read of them, and that edits leave the rest alone.

use serde_json::{Value, json};

use crate::dialect::openai_responses::OpenAiResponses;
use crate::dialect::turn::Item;
use crate::dialect::{
    EditError, Inbound as _, MessageEdit, Outbound as _, Received, RequestEdits, RequestView,
    ToolCallView, ToolResultView, Turn, Undecodable,
};
use crate::event::Role;

const AGENT: &str = r#"{
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

fn edit(body: &str, messages: Vec<MessageEdit>) -> Result<String, EditError> {
    let edits = RequestEdits {
        messages,
        ..RequestEdits::default()
    };
    let edited = OpenAiResponses.edit_request(body.as_bytes(), &edits);
    edited.map(|bytes| String::from_utf8(bytes).unwrap())
}

fn edited(body: &str, messages: Vec<MessageEdit>) -> Value {
    serde_json::from_str(&edit(body, messages).unwrap()).unwrap()
}

fn insert(at: usize, role: Role, text: &str) -> MessageEdit {
    MessageEdit::Insert {
        at,
        role,
        text: text.to_owned(),
    }
}

fn rewrite(index: usize, text: &str) -> MessageEdit {
    MessageEdit::Rewrite {
        index,
        text: text.to_owned(),
    }
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

#[test]
fn edits_leave_all_other_bytes_alone() {
    assert_eq!(edit(AGENT, Vec::new()).unwrap(), AGENT);
    let out = edit(AGENT, vec![rewrite(8, "so?")]).unwrap();
    assert_eq!(out, AGENT.replace("and?", "so?"));
    let edits = RequestEdits {
        model: Some("other".into()),
        parameters: vec![("temperature".into(), "0.5".into())],
        max_output_tokens: Some(7),
        include_usage: true,
        ..RequestEdits::default()
    };
    let out = OpenAiResponses
        .edit_request(AGENT.as_bytes(), &edits)
        .unwrap();
    let out = String::from_utf8(out).unwrap();
    let expected = AGENT
        .replace("gpt-5", "other")
        .replace("\"max_output_tokens\": 100", "\"max_output_tokens\": 7");
    assert!(out.contains("\"kept\": [1.0, 1e2]") && out.contains("\"temperature\":0.5"));
    assert_eq!(out.replace(",\"temperature\":0.5", ""), expected);
    for name in [
        "input",
        "instructions",
        "tools",
        "background",
        "previous_response_id",
    ] {
        let edits = RequestEdits {
            parameters: vec![(name.into(), "null".into())],
            ..RequestEdits::default()
        };
        assert!(
            OpenAiResponses
                .edit_request(AGENT.as_bytes(), &edits)
                .is_err(),
            "{name}"
        );
    }
}

#[test]
fn system_text_stands_in_the_instructions() {
    let out = edited(
        AGENT,
        vec![
            insert(0, Role::System, "one"),
            insert(0, Role::System, "two"),
            rewrite(0, "own"),
        ],
    );
    assert_eq!(out["instructions"], "one\n\ntwo\n\nown");
    let out = edited(
        r#"{"input":"hi"}"#,
        vec![
            insert(0, Role::System, "one"),
            insert(0, Role::System, "two"),
        ],
    );
    assert_eq!(out, json!({"input": "hi", "instructions": "one\n\ntwo"}));
    let out = edited(AGENT, vec![MessageEdit::Evict { index: 0 }]);
    assert_eq!(out["instructions"], Value::Null);
    // In the middle it is an item.
    let out = edited(
        AGENT,
        vec![
            insert(9, Role::System, "late"),
            insert(1, Role::Developer, "early"),
        ],
    );
    assert_eq!(out["instructions"], "be kind");
    assert_eq!(
        out["input"][0],
        json!({"role": "developer", "content": "early"})
    );
    assert_eq!(
        out["input"][9],
        json!({"role": "system", "content": "late"})
    );
}

#[test]
fn a_text_becomes_a_list_where_items_join_it() {
    let out = edited(
        r#"{"input":"hi"}"#,
        vec![
            insert(0, Role::User, "before"),
            insert(1, Role::User, "after"),
        ],
    );
    let said: Vec<&str> = out["input"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["content"].as_str().unwrap())
        .collect();
    assert_eq!(said, ["before", "hi", "after"]);
    let out = edited(r#"{"input":"hi"}"#, vec![rewrite(0, "ho")]);
    assert_eq!(out["input"], "ho");
    let out = edited(r#"{"model":"m"}"#, vec![insert(0, Role::User, "new")]);
    assert_eq!(out["input"], json!([{"role": "user", "content": "new"}]));
}

#[test]
fn messages_and_results_get_other_text() {
    let result = |index, id: &str| MessageEdit::Result {
        index,
        id: id.to_owned(),
        text: "new".to_owned(),
    };
    let out = edited(
        AGENT,
        vec![
            rewrite(1, "see"),
            rewrite(5, "thus"),
            result(4, "c1"),
            result(7, "c2"),
        ],
    );
    assert_eq!(out["input"][0]["content"][0]["text"], "see");
    assert_eq!(out["input"][0]["content"][1]["type"], "input_image");
    assert_eq!(
        out["input"][4]["content"],
        json!([{"type": "output_text", "text": "thus", "annotations": []}])
    );
    assert_eq!(out["input"][3]["output"], "new");
    assert_eq!(
        out["input"][6]["output"],
        json!([{"type": "input_text", "text": "new"}])
    );
    for impossible in [
        result(4, "c9"),
        result(3, "c1"),
        rewrite(2, "x"),
        rewrite(3, "x"),
        rewrite(9, "x"),
    ] {
        assert!(
            edit(AGENT, vec![impossible.clone()]).is_err(),
            "{impossible:?}"
        );
    }
    let shell = r#"{"input":[{"type":"shell_call_output","call_id":"c","output":[{"stdout":"a","stderr":"b","outcome":{"type":"exit","exit_code":3}}]}]}"#;
    let out = edited(shell, vec![result(0, "c")]);
    assert_eq!(
        out["input"][0]["output"],
        json!([{"stdout": "new", "stderr": "", "outcome": {"type": "exit", "exit_code": 3}}])
    );
    let out = edited(AGENT, vec![MessageEdit::Evict { index: 2 }]);
    assert_eq!(out["input"].as_array().unwrap().len(), 7);
}

fn denied(id: &str, own: Option<Value>) -> (ToolCallView, String) {
    let call = ToolCallView {
        id: id.to_owned(),
        name: "rm".to_owned(),
        arguments: "{\"judged\":1}".to_owned(),
        own: own.map(|own| own.to_string()),
        at: Some(0),
    };
    (call, "never".to_owned())
}

#[test]
fn denied_calls_are_put_back() {
    let calls = vec![
        denied("d1", None),
        denied(
            "d2",
            Some(
                json!({"type": "custom_tool_call", "id": "ct", "call_id": "d2", "name": "rm", "input": "x"}),
            ),
        ),
    ];
    let out = edited(AGENT, vec![MessageEdit::AddCalls { index: 5, calls }]);
    let items = &out["input"].as_array().unwrap()[5..9];
    assert_eq!(
        items[0],
        json!({"type": "function_call", "call_id": "d1", "name": "rm", "arguments": "{\"judged\":1}"})
    );
    assert_eq!(
        items[1],
        json!({"type": "custom_tool_call", "id": "ct", "call_id": "d2", "name": "rm", "input": "{\"judged\":1}"})
    );
    assert_eq!(
        items[2],
        json!({"type": "function_call_output", "call_id": "d1", "output": "never"})
    );
    assert_eq!(
        items[3],
        json!({"type": "custom_tool_call_output", "call_id": "d2", "output": "never"})
    );
    let user = MessageEdit::AddCalls {
        index: 1,
        calls: vec![denied("d1", None)],
    };
    assert!(edit(AGENT, vec![user]).is_err());
}

#[test]
fn a_turn_goes_back_as_its_server_wrote_it() {
    let own = json!([
        {"type": "reasoning", "id": "rs_9", "encrypted_content": "gAAA", "summary": []},
        "d1",
        {"type": "message", "id": "m9", "role": "assistant", "content": [{"type": "output_text", "text": "I tidy. "}]},
    ]);
    let call = json!({"type": "function_call", "id": "fc_9", "call_id": "d1", "name": "rm", "arguments": "{}"});
    let turn = |said: &str| {
        Turn::of_step(
            said.to_owned(),
            Some(own.to_string()),
            vec![denied("d1", Some(call.clone())), denied("d2", None)],
        )
    };
    let go_on = |body: &str, turn: &Turn| {
        let body = OpenAiResponses
            .continue_request(body.as_bytes(), turn)
            .unwrap();
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    let out = go_on(
        r#"{"input":"tidy up","previous_response_id":"r0"}"#,
        &turn("I tidy. "),
    );
    assert_eq!(out["previous_response_id"], "r0");
    let items = out["input"].as_array().unwrap();
    assert_eq!(items[0], json!({"role": "user", "content": "tidy up"}));
    assert_eq!(items[1], own[0]);
    assert_eq!(
        (&items[2]["id"], &items[2]["arguments"]),
        (&json!("fc_9"), &json!("{\"judged\":1}"))
    );
    assert_eq!(items[3], own[2]);
    assert_eq!(items[4]["call_id"], "d2");
    assert_eq!(
        (&items[5]["output"], &items[6]["call_id"]),
        (&json!("never"), &json!("d2"))
    );
    assert_eq!(items.len(), 7);
    // What a policy changed in the text is changed in the turn.
    let out = go_on(r#"{"input":[]}"#, &turn("[gone]"));
    assert_eq!(
        out["input"][2],
        json!({"role": "assistant", "content": "[gone]"})
    );
    // The same spelling in later requests.
    let step = MessageEdit::InsertStep {
        at: 1,
        turn: turn("I tidy. "),
    };
    let later = edited(
        r#"{"input":[{"role":"user","content":"tidy up"},{"role":"user","content":"x"}]}"#,
        vec![step],
    );
    assert_eq!(later["input"][1], own[0]);
    assert_eq!(later["input"].as_array().unwrap().len(), 8);
    // Not known: built anew.
    let built = Turn {
        items: vec![Item::Text("Said.".into())],
    };
    let out = go_on(r#"{"input":[]}"#, &built);
    assert_eq!(
        out["input"],
        json!([{"role": "assistant", "content": "Said."}])
    );
}
