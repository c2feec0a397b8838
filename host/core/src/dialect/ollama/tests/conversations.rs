//! Requests of `/api/chat` are read and edited.

use super::*;
use crate::dialect::turn::{Item, Turn};
use crate::dialect::{EditError, MessageEdit, RequestEdits, ToolCallView};
use crate::event::Role;

fn asks() -> Value {
    json!({"model": "llama3.2", "messages": [
        {"role": "System", "content": "Be brief."},
        {"role": "user", "content": "What is this?", "images": ["aGVsbG8="]},
        {"role": "assistant", "content": "", "thinking": "Hm.", "tool_calls": [
            {"function": {"name": "ls", "arguments": {"path": "/"}}},
            {"id": "call_x", "function": {"name": "cat", "arguments": {}}}]},
        {"role": "tool", "tool_call_id": "call_x", "content": "text"},
        {"role": "tool", "tool_name": "ls", "content": "files"}],
        "tools": [{"type": "function", "function": {"name": "ls", "parameters": {}}}],
        "options": {"num_predict": 100.0, "temperature": 0.5}, "keep_alive": "5m"})
}

fn edited(body: &Value, edits: &RequestEdits) -> Result<Value, EditError> {
    let body = CHAT
        .outbound()
        .edit_request(body.to_string().as_bytes(), edits)?;
    Ok(serde_json::from_slice(&body).unwrap())
}

fn with(message: MessageEdit) -> RequestEdits {
    RequestEdits {
        messages: vec![message],
        ..RequestEdits::default()
    }
}

fn inserting(at: usize, role: Role, text: &str) -> RequestEdits {
    let text = text.to_owned();
    with(MessageEdit::Insert { at, role, text })
}

#[test]
fn a_conversation_is_read() {
    let body = asks().to_string();
    let view = view_of(CHAT.inbound(), &body).unwrap();
    assert_eq!(
        (&*view.model, view.streamed, view.choices),
        ("llama3.2", true, 1)
    );
    assert_eq!(
        (view.max_output_tokens, view.structured_output),
        (Some(100), false)
    );
    assert!(view.include_usage);
    assert_eq!(view.tools, ["ls"]);
    let roles: Vec<Role> = view.messages.iter().map(|message| message.role).collect();
    assert_eq!(
        roles,
        [
            Role::System,
            Role::User,
            Role::Assistant,
            Role::Tool,
            Role::Tool
        ]
    );
    assert_eq!(view.messages[0].text, "Be brief.");
    let image = &view.messages[1].media[0];
    assert_eq!(
        (&*image.name, image.bytes, &*image.media_type),
        ("image", 5, "")
    );
    assert_ne!(view.messages[1].media_digest, Digest::default());
    let calls = &view.messages[2].tool_calls;
    assert_eq!(calls[0].arguments, r#"{"path":"/"}"#);
    // Results stand in another order than their calls.
    let results: Vec<_> = view.messages.iter().flat_map(|m| &m.tool_results).collect();
    assert_eq!((&results[0].id, &*results[0].text), (&calls[1].id, "text"));
    assert_eq!((&results[1].id, &*results[1].text), (&calls[0].id, "files"));
    assert_eq!(view.messages[3].text, "");
    for message in &view.messages {
        let span: Value = serde_json::from_str(&body[message.span.clone()]).unwrap();
        assert!(span["role"].is_string());
    }
}

use crate::event::digest::Digest;

#[test]
fn results_without_a_name_or_id_answer_in_order() {
    let mut body = asks();
    body["messages"][3] = json!({"role": "tool", "content": "one"});
    body["messages"][4] = json!({"role": "tool", "name": "nobody", "content": "two"});
    let view = view(CHAT, &body).unwrap();
    let calls = &view.messages[2].tool_calls;
    assert_eq!(view.messages[3].tool_results[0].id, calls[0].id);
    assert_eq!(view.messages[4].tool_results[0].id, calls[1].id);
    body["messages"] = json!([{"role": "tool", "content": "stray"}]);
    let view = super::view(CHAT, &body).unwrap();
    assert_eq!(view.messages[0].tool_results[0].id, "");
}

#[test]
fn a_turn_is_known_again_with_and_without_its_ids() {
    let mut body = asks();
    let digest = |body: &Value| view(CHAT, body).unwrap().messages[2].digest();
    let known = digest(&body);
    body["messages"][2]["tool_calls"][1]
        .as_object_mut()
        .unwrap()
        .remove("id");
    body["messages"][2]
        .as_object_mut()
        .unwrap()
        .remove("thinking");
    assert_eq!(digest(&body), known);
    // As the exchange has it when it was generated.
    let mut given = view(CHAT, &body).unwrap().messages.remove(2);
    given.tool_calls.iter_mut().for_each(|call| call.id.clear());
    assert_eq!(given.digest(), known);
    body["messages"][2]["tool_calls"][0]["function"]["name"] = json!("rm");
    assert_ne!(digest(&body), known);
}

#[test]
fn what_is_not_said_is_as_the_server_takes_it() {
    let of = |body: Value| view(CHAT, &body).unwrap();
    let loads = of(json!({"model": "m", "keep_alive": 0}));
    assert_eq!((loads.streamed, loads.messages.len()), (true, 0));
    assert!(!of(json!({"model": "m", "stream": false})).streamed);
    assert!(of(json!({"model": "m", "stream": null})).streamed);
    for (limit, expected) in [
        (json!(-1), None),
        (json!(-2), None),
        (json!(0), None),
        (json!(7), Some(7)),
        (json!(1e12), None),
        (json!(null), None),
    ] {
        let view = of(json!({"model": "m", "options": {"num_predict": limit}}));
        assert_eq!(view.max_output_tokens, expected);
    }
    for (format, expected) in [
        (json!("json"), true),
        (json!(""), false),
        (json!(null), false),
        (json!({"type": "object"}), true),
    ] {
        assert_eq!(
            of(json!({"model": "m", "format": format})).structured_output,
            expected
        );
    }
}

#[test]
fn requests_that_programs_read_differently_are_refused() {
    for (body, place) in [
        (r#"{"model":"m","Messages":[]}"#, "Messages"),
        (r#"{"model":"m","me\u017f\u017fages":[]}"#, "meſſages"),
        (
            r#"{"model":"m","messages":[{"role":"user","CONTENT":"x"}]}"#,
            "messages[0].CONTENT",
        ),
        (
            r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"FUNCTION":{}}]}]}"#,
            "messages[0].tool_calls[0].FUNCTION",
        ),
        (r#"{"model":"m","Tools":[]}"#, "Tools"),
        (r#"{"model":"m","Stream":false}"#, "Stream"),
        (
            r#"{"model":"m","messages":[{"content":"x"}]}"#,
            "messages[0].role",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","content":["x"]}]}"#,
            "messages[0].content",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","images":[7]}]}"#,
            "messages[0].images[0]",
        ),
        (r#"{"model":"m","messages":{}}"#, "messages"),
        (r#"{"model":"m","stream":"no"}"#, "stream"),
        (
            r#"{"model":"m","options":{"num_predict":"7"}}"#,
            "options.num_predict",
        ),
        (r#"{"model":"m","model":"n"}"#, "the request"),
    ] {
        let error = view_of(CHAT.inbound(), body).unwrap_err();
        assert_eq!(
            (error.dialect, &*error.place),
            ("ollama-chat", place),
            "{body}"
        );
    }
}

#[test]
fn what_no_edit_concerns_keeps_its_bytes() {
    let body = "{ \"model\" : \"m\",\n\"messages\":[ {\"role\":\"user\",\"content\":\"a\"} ,\n {\"role\":\"user\", \"content\":\"b\"}],\"options\":{ \"top_k\":1 } }";
    let outbound = CHAT.outbound();
    let same = outbound
        .edit_request(body.as_bytes(), &RequestEdits::default())
        .unwrap();
    assert_eq!(same, body.as_bytes());
    let text = "c".to_owned();
    let edits = with(MessageEdit::Rewrite { index: 1, text });
    let edited = outbound.edit_request(body.as_bytes(), &edits).unwrap();
    assert_eq!(
        String::from_utf8(edited).unwrap(),
        body.replace("\"b\"", "\"c\"")
    );
    let edits = RequestEdits {
        max_output_tokens: Some(9),
        ..RequestEdits::default()
    };
    let edited = outbound.edit_request(body.as_bytes(), &edits).unwrap();
    let expected = body.replace("{ \"top_k\":1 }", "{ \"top_k\":1 ,\"num_predict\":9}");
    assert_eq!(String::from_utf8(edited).unwrap(), expected);
}

#[test]
fn messages_are_put_in_rewritten_and_taken_out() {
    let body = asks();
    let body_with = edited(&body, &inserting(1, Role::Developer, "Delete nothing.")).unwrap();
    assert_eq!(
        body_with["messages"][1],
        json!({"role": "system", "content": "Delete nothing."})
    );
    assert_eq!(body_with["messages"].as_array().unwrap().len(), 6);
    let body_with = edited(&body, &inserting(5, Role::User, "Go on.")).unwrap();
    assert_eq!(
        body_with["messages"][5],
        json!({"role": "user", "content": "Go on."})
    );
    assert!(edited(&body, &inserting(6, Role::User, "x")).is_err());
    assert!(edited(&body, &inserting(0, Role::Tool, "x")).is_err());
    let empty = json!({"model": "m"});
    let body_with = edited(&empty, &inserting(0, Role::System, "x")).unwrap();
    assert_eq!(
        body_with["messages"],
        json!([{"role": "system", "content": "x"}])
    );
    let rewritten = edited(
        &body,
        &with(MessageEdit::Rewrite {
            index: 1,
            text: "?".into(),
        }),
    )
    .unwrap();
    assert_eq!(
        rewritten["messages"][1],
        json!({"role": "user", "content": "?", "images": ["aGVsbG8="]})
    );
    let gone = edited(&body, &with(MessageEdit::Evict { index: 0 })).unwrap();
    assert_eq!(gone["messages"][0]["role"], "user");
    let result = |id: &str| {
        with(MessageEdit::Result {
            index: 4,
            id: id.into(),
            text: "none".into(),
        })
    };
    let id = view(CHAT, &body).unwrap().messages[4].tool_results[0]
        .id
        .clone();
    assert_eq!(
        edited(&body, &result(&id)).unwrap()["messages"][4]["content"],
        "none"
    );
    assert!(edited(&body, &result("call_y")).is_err());
}

fn denied(name: &str, at: Option<u32>) -> (ToolCallView, String) {
    let call = ToolCallView {
        id: "airlock-0-0".into(),
        name: name.into(),
        arguments: r#"{"path":"/"}"#.into(),
        own: None,
        at,
    };
    (call, "never".to_owned())
}

#[test]
fn denied_calls_are_put_back_in_the_style_of_the_api() {
    let body = asks();
    let edits = with(MessageEdit::AddCalls {
        index: 2,
        calls: vec![denied("rm", Some(1))],
    });
    let edited_body = edited(&body, &edits).unwrap();
    let calls = &edited_body["messages"][2]["tool_calls"];
    let expected = json!({"function": {"name": "rm", "arguments": {"path": "/"}}});
    assert_eq!((&calls[1], calls.as_array().unwrap().len()), (&expected, 3));
    let result = json!({"role": "tool", "tool_name": "rm", "content": "never"});
    assert_eq!(edited_body["messages"][3], result);
    let wrong = with(MessageEdit::AddCalls {
        index: 1,
        calls: vec![denied("rm", None)],
    });
    assert!(edited(&body, &wrong).is_err());
    // To go on is spelled as it is in later requests.
    let own = r#"{"role":"assistant","content":"old","thinking":"Hm.","unheard_of":1}"#;
    let turn = Turn::of_step("I tidy.".into(), Some(own.into()), vec![denied("rm", None)]);
    let outbound = CHAT.outbound();
    let on = outbound
        .continue_request(body.to_string().as_bytes(), &turn)
        .unwrap();
    let step = with(MessageEdit::InsertStep { at: 5, turn });
    let later = outbound
        .edit_request(body.to_string().as_bytes(), &step)
        .unwrap();
    assert_eq!(on, later);
    let on: Value = serde_json::from_slice(&on).unwrap();
    assert_eq!(
        on["messages"][5],
        json!({"role": "assistant", "content": "I tidy.", "thinking": "Hm.",
        "unheard_of": 1, "tool_calls": [expected]})
    );
    assert_eq!(on["messages"][6], result);
    let plain = Turn {
        items: vec![Item::Text("Hello.".into())],
    };
    let on = outbound
        .continue_request(body.to_string().as_bytes(), &plain)
        .unwrap();
    let on: Value = serde_json::from_slice(&on).unwrap();
    assert_eq!(
        on["messages"][5],
        json!({"role": "assistant", "content": "Hello."})
    );
}

#[test]
fn parameters_go_where_the_server_looks_for_them() {
    let set = |name: &str, value: &str| RequestEdits {
        parameters: vec![(name.to_owned(), value.to_owned())],
        ..RequestEdits::default()
    };
    let body = asks();
    assert_eq!(
        edited(&body, &set("temperature", "0")).unwrap()["options"]["temperature"],
        0
    );
    assert_eq!(
        edited(&body, &set("options.num_ctx", "8")).unwrap()["options"]["num_ctx"],
        8
    );
    assert_eq!(
        edited(&body, &set("think", "\"low\"")).unwrap()["think"],
        "low"
    );
    let bare = json!({"model": "m"});
    assert_eq!(
        edited(&bare, &set("seed", "7")).unwrap()["options"],
        json!({"seed": 7})
    );
    for name in ["model", "messages", "options", "stream"] {
        assert!(edited(&body, &set(name, "1")).is_err(), "{name}");
    }
    assert!(edited(&body, &set("seed", "{")).is_err());
    let model = RequestEdits {
        model: Some("other".into()),
        ..RequestEdits::default()
    };
    assert_eq!(edited(&body, &model).unwrap()["model"], "other");
}

#[test]
fn the_limit_is_only_lowered() {
    let limit = |stated: Value, parameter: Option<&str>, most: u32| {
        let edits = RequestEdits {
            max_output_tokens: Some(most),
            parameters: parameter
                .map(|value| ("num_predict".to_owned(), value.to_owned()))
                .into_iter()
                .collect(),
            ..RequestEdits::default()
        };
        edited(&json!({"model": "m", "options": stated}), &edits).unwrap()["options"]["num_predict"]
            .clone()
    };
    assert_eq!(limit(json!({"num_predict": 100}), None, 50), 50);
    assert_eq!(limit(json!({"num_predict": 100}), None, 500), 100);
    assert_eq!(limit(json!({"num_predict": -1}), None, 50), 50);
    assert_eq!(limit(json!({"num_predict": 0}), None, 50), 50);
    assert_eq!(limit(Value::Null, None, 50), 50);
    assert_eq!(limit(json!({}), Some("80"), 50), 50);
    assert_eq!(limit(json!({}), Some("20"), 50), 20);
}

#[test]
fn a_question_of_airlock_is_one_of_the_api() {
    let body = CHAT.outbound().ask("m", "Judge.", "text", 9);
    let view = view_of(CHAT.inbound(), std::str::from_utf8(&body).unwrap()).unwrap();
    assert_eq!((view.streamed, view.max_output_tokens), (false, Some(9)));
    assert_eq!(view.messages[1].text, "text");
    assert_eq!(CHAT.outbound().path("m", true), "/api/chat");
    assert_eq!(GENERATE.outbound().path("m", false), "/api/generate");
    let body = GENERATE.outbound().ask("m", "Judge.", "text", 9);
    let view = view_of(GENERATE.inbound(), std::str::from_utf8(&body).unwrap()).unwrap();
    assert_eq!((view.streamed, view.max_output_tokens), (false, Some(9)));
    assert_eq!(view.messages[0].text, "Judge.");
}
