//! Requests: what is read of them, and that edits leave the rest alone.

use serde_json::{Value, json};

use crate::dialect::openai_chat::OpenAiChat;
use crate::dialect::{
    EditError, MessageEdit, MessageView, RequestEdits, RequestView, ToolCallView, ToolResultView,
};
use crate::event::Role;

const AGENT: &str = r#"{
  "model": "gpt-5", "stream": true, "n": 2, "max_tokens": 100, "user": "u",
  "metadata": {"session_id": "s1"}, "prompt_cache_key": "k", "unknown": {"kept": [1.0, 1e2]},
  "messages": [
    {"role": "system", "content": "be kind"},
    {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:x"}}]},
    {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"b\": 1, \"a\": 2}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "42"},
    {"role": "user", "content": "and?"}
  ],
  "tools": [{"type": "function", "function": {"name": "f"}}, {"type": "custom", "custom": {"name": "g"}}]
}"#;

fn view(body: &str) -> RequestView {
    OpenAiChat.read_request(body.as_bytes()).unwrap()
}

fn edit(body: &str, edits: RequestEdits) -> Result<String, EditError> {
    OpenAiChat
        .edit_request(body.as_bytes(), &edits)
        .map(|bytes| String::from_utf8(bytes).unwrap())
}

fn edit_messages(body: &str, messages: Vec<MessageEdit>) -> Result<String, EditError> {
    edit(
        body,
        RequestEdits {
            messages,
            ..RequestEdits::default()
        },
    )
}

fn message(json: &str) -> MessageView {
    view(&format!(r#"{{"messages":[{json}]}}"#))
        .messages
        .remove(0)
}

#[test]
fn a_request_is_read() {
    let view = view(AGENT);
    assert_eq!(
        (
            view.model.as_str(),
            view.streamed,
            view.choices,
            view.max_output_tokens
        ),
        ("gpt-5", true, 2, Some(100))
    );
    assert_eq!(view.tools, ["f", "g"]);
    assert_eq!(view.end_user.as_deref(), Some("u"));
    assert_eq!(
        view.session_hints,
        [
            ("metadata.session_id", "s1".to_owned()),
            ("prompt_cache_key", "k".to_owned())
        ]
    );
    assert_eq!(
        (
            view.structured_output,
            view.unjudgeable.is_some(),
            view.include_usage
        ),
        (false, false, false)
    );
    let roles: Vec<_> = view
        .messages
        .iter()
        .map(|message| {
            (
                message.role,
                message.text.as_str(),
                !message.media.is_empty(),
            )
        })
        .collect();
    assert_eq!(
        roles,
        [
            (Role::System, "be kind", false),
            (Role::User, "look", true),
            (Role::Assistant, "", false),
            (Role::Tool, "", false),
            (Role::User, "and?", false),
        ]
    );
    let call = ToolCallView {
        id: "c1".into(),
        name: "f".into(),
        arguments: "{\"b\": 1, \"a\": 2}".into(),
        ..ToolCallView::default()
    };
    assert_eq!(view.messages[2].tool_calls, [call]);
    assert_eq!(
        view.messages[3].tool_results,
        [ToolResultView {
            id: "c1".into(),
            text: "42".into(),
            failed: None
        }]
    );
    assert_eq!(
        &AGENT[view.messages[4].span.clone()],
        r#"{"role": "user", "content": "and?"}"#
    );
}

#[test]
fn what_a_request_demands_of_the_answer_is_read() {
    let asks = |field: &str| view(&format!(r#"{{"messages":[],{field}}}"#));
    assert!(asks(r#""response_format":{"type":"json_object"}"#).structured_output);
    assert!(asks(r#""guided_choice":["a"]"#).structured_output);
    assert!(!asks(r#""response_format":{"type":"text"}"#).structured_output);
    assert!(asks(r#""modalities":["text","audio"]"#).unjudgeable == Some("speech"));
    assert!(asks(r#""stream_options":{"include_usage":true}"#).include_usage);
    assert_eq!(asks(r#""max_tokens":-1"#).max_output_tokens, None);
    assert_eq!(asks(r#""max_tokens":100.0"#).max_output_tokens, Some(100));
    assert_eq!(
        asks(r#""max_tokens":9,"max_completion_tokens":7"#).max_output_tokens,
        Some(7)
    );
    assert_eq!(asks(r#""functions":[{"name":"old"}]"#).tools, ["old"]);
}

#[test]
fn what_cannot_be_read_is_named() {
    for (body, place) in [
        ("{", "the request"),
        ("{}", "messages"),
        (r#"{"messages":{}}"#, "messages"),
        (r#"{"messages":[],"messages":[]}"#, "the request"),
        (r#"{"messages":[],"stream":"yes"}"#, "stream"),
        (r#"{"messages":[{"content":"a"}]}"#, "messages[0].role"),
        (
            r#"{"messages":[{"role":"user","content":{}}]}"#,
            "messages[0].content",
        ),
    ] {
        assert_eq!(
            OpenAiChat.read_request(body.as_bytes()).unwrap_err().place,
            place
        );
    }
}

#[test]
fn messages_that_mean_the_same_have_one_digest() {
    let same = [
        r#"{"role":"assistant","content":"hi","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1,\"b\":[2]}"}}]}"#,
        r#"{"tool_calls":[{"function":{"arguments":"{ \"b\": [2], \"a\": 1 }","name":"f"},"id":"c"}],"role":"assistant","content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral"}}],"reasoning_content":"hm","refusal":null}"#,
    ];
    assert_eq!(message(same[0]).digest(), message(same[1]).digest());
    let image = |extra: &str| {
        message(&format!(
            r#"{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"u"}}{extra}}}]}}"#
        ))
    };
    assert_eq!(
        image("").digest(),
        image(r#","cache_control":{"type":"ephemeral"}"#).digest()
    );
    assert_ne!(image("").digest(), image(r#","detail":"low""#).digest());
    for (a, b) in [
        (
            r#"{"role":"user","content":"a"}"#,
            r#"{"role":"system","content":"a"}"#,
        ),
        (
            r#"{"role":"user","content":"a"}"#,
            r#"{"role":"user","content":"b"}"#,
        ),
        (
            r#"{"role":"tool","tool_call_id":"1","content":"a"}"#,
            r#"{"role":"tool","tool_call_id":"2","content":"a"}"#,
        ),
        (
            r#"{"role":"user","content":"ab"}"#,
            r#"{"role":"user","name":"a","content":"b"}"#,
        ),
    ] {
        assert_ne!(message(a).digest(), message(b).digest());
    }
    let billed = |mark: &str| {
        message(&format!(
            r#"{{"role":"system","content":"x-anthropic-billing-header: {mark}\nbe kind"}}"#
        ))
    };
    // A line that some clients change is text that a model reads, like any other: what stands there is told.
    assert_ne!(billed("1").digest(), billed("2").digest());
}

#[test]
fn parameters_are_set_in_place_or_added() {
    let edits = RequestEdits {
        model: Some("gpt-5-mini".into()),
        parameters: vec![
            ("temperature".into(), "0.2".into()),
            ("n".into(), "1".into()),
        ],
        include_usage: true,
        max_output_tokens: Some(50),
        ..RequestEdits::default()
    };
    let expected = AGENT
        .replace("\"gpt-5\"", "\"gpt-5-mini\"")
        .replace("\"n\": 2", "\"n\": 1")
        .replace("\"max_tokens\": 100", "\"max_tokens\": 50");
    let added = r#","temperature":0.2,"stream_options":{"include_usage":true}}"#;
    assert_eq!(
        edit(AGENT, edits).unwrap(),
        format!("{}{added}", expected.strip_suffix('}').unwrap())
    );
    assert_eq!(edit(AGENT, RequestEdits::default()).unwrap(), AGENT);
}

#[test]
fn usage_is_asked_for_only_in_streams_and_beside_other_options() {
    let asked = |body: &str| {
        edit(
            body,
            RequestEdits {
                include_usage: true,
                ..RequestEdits::default()
            },
        )
        .unwrap()
    };
    assert_eq!(asked(r#"{"messages":[]}"#), r#"{"messages":[]}"#);
    assert_eq!(
        asked(
            r#"{"messages":[],"stream":true,"stream_options":{"include_obfuscation":false,"include_usage":false}}"#
        ),
        r#"{"messages":[],"stream":true,"stream_options":{"include_obfuscation":false,"include_usage":true}}"#
    );
    assert_eq!(
        asked(r#"{"stream":true,"stream_options":null,"messages":[]}"#),
        r#"{"stream":true,"stream_options":{"include_usage":true},"messages":[]}"#
    );
}

#[test]
fn the_output_limit_only_falls_whoever_stated_it() {
    let cap = |body: &str, parameters: &[(&str, &str)]| {
        let parameters = parameters
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        let edits = RequestEdits {
            parameters,
            max_output_tokens: Some(50),
            ..RequestEdits::default()
        };
        serde_json::from_str::<Value>(&edit(body, edits).unwrap()).unwrap()
    };
    assert_eq!(cap(r#"{"messages":[]}"#, &[])["max_completion_tokens"], 50);
    assert_eq!(
        cap(r#"{"messages":[],"max_tokens":20}"#, &[]),
        json!({"messages": [], "max_tokens": 20})
    );
    assert_eq!(
        cap(r#"{"messages":[],"max_tokens":-1}"#, &[])["max_tokens"],
        50
    );
    let both = cap(
        r#"{"messages":[],"max_tokens":99,"max_completion_tokens":9}"#,
        &[],
    );
    assert_eq!(
        (&both["max_tokens"], &both["max_completion_tokens"]),
        (&json!(50), &json!(9))
    );
    assert_eq!(
        cap(
            r#"{"messages":[],"max_tokens":20}"#,
            &[("max_tokens", "400")]
        )["max_tokens"],
        50
    );
    assert_eq!(
        cap(
            r#"{"messages":[],"max_tokens":400}"#,
            &[("max_tokens", "20")]
        )["max_tokens"],
        20
    );
}

#[test]
fn messages_are_inserted_rewritten_and_evicted_and_the_others_keep_their_bytes() {
    let insert = |at, text: &str| MessageEdit::Insert {
        at,
        role: Role::System,
        text: text.into(),
    };
    let new = |text: &str| format!(r#"{{"role":"system","content":"{text}"}}"#);
    let body =
        r#"{"messages":[ {"role":"user","content":"a"} , {"role":"user","content":"b"} ], "z":1}"#;
    let (a, b) = (
        r#"{"role":"user","content":"a"}"#,
        r#"{"role":"user","content":"b"}"#,
    );
    for (edits, expected) in [
        (vec![insert(0, "x")], format!("{},{a} , {b}", new("x"))),
        (
            vec![insert(1, "x"), insert(1, "y")],
            format!("{a},{},{},{b}", new("x"), new("y")),
        ),
        (vec![insert(2, "x")], format!("{a} , {b},{}", new("x"))),
        (vec![MessageEdit::Evict { index: 0 }], b.to_owned()),
        (
            vec![MessageEdit::Evict { index: 1 }, insert(2, "x")],
            format!("{a},{}", new("x")),
        ),
        (
            vec![
                MessageEdit::Evict { index: 0 },
                MessageEdit::Evict { index: 1 },
            ],
            String::new(),
        ),
        (
            vec![MessageEdit::Rewrite {
                index: 1,
                text: "c".into(),
            }],
            format!("{a} , {}", b.replace("\"b\"", "\"c\"")),
        ),
    ] {
        let expected = format!(r#"{{"messages":[ {expected} ], "z":1}}"#);
        assert_eq!(
            edit_messages(body, edits.clone()).unwrap(),
            expected,
            "{edits:?}"
        );
    }
    assert_eq!(
        edit_messages(r#"{"messages":[]}"#, vec![insert(0, "x")]).unwrap(),
        format!(r#"{{"messages":[{}]}}"#, new("x"))
    );
    let media = edit_messages(
        AGENT,
        vec![MessageEdit::Rewrite {
            index: 1,
            text: "see".into(),
        }],
    )
    .unwrap();
    assert_eq!(
        media,
        AGENT.replace(
            r#"[{"type": "text", "text": "look"}, {"#,
            r#"[{"type":"text","text":"see"},{"#
        )
    );
    let result = edit_messages(
        AGENT,
        vec![MessageEdit::Rewrite {
            index: 3,
            text: "gone".into(),
        }],
    )
    .unwrap();
    assert_eq!(result, AGENT.replace("\"42\"", "\"gone\""));
}

#[test]
fn edits_of_what_is_not_there_are_refused() {
    let parameter = |name: &str, value: &str| RequestEdits {
        parameters: vec![(name.into(), value.into())],
        ..RequestEdits::default()
    };
    let messages = |edit| RequestEdits {
        messages: vec![edit],
        ..RequestEdits::default()
    };
    for edits in [
        parameter("messages", "[]"),
        parameter("stream", "false"),
        parameter("temperature", "warm"),
        messages(MessageEdit::Evict { index: 5 }),
        messages(MessageEdit::Insert {
            at: 6,
            role: Role::User,
            text: String::new(),
        }),
        messages(MessageEdit::Insert {
            at: 0,
            role: Role::Tool,
            text: String::new(),
        }),
    ] {
        assert!(matches!(
            edit(AGENT, edits),
            Err(EditError::Impossible { .. })
        ));
    }
}

#[test]
fn an_insertion_never_comes_between_a_tool_call_and_its_result() {
    let view = view(AGENT);
    let points: Vec<_> = (0..=6).map(|at| view.insertion_point(at)).collect();
    assert_eq!(points, [0, 1, 2, 2, 4, 5, 5]);
}
