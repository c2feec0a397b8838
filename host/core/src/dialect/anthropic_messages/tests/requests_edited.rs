//! Requests with edits made.

use super::requests::REQUEST;
use super::*;
use crate::dialect::{EditError, MessageEdit, ToolCallView, Turn};
use crate::event::Role;

fn messages(edits: Vec<MessageEdit>) -> RequestEdits {
    RequestEdits {
        messages: edits,
        ..RequestEdits::default()
    }
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

fn parsed(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

fn failed(body: &str, edit: MessageEdit) -> EditError {
    let edits = messages(vec![edit]);
    DIALECT
        .outbound()
        .edit_request(body.as_bytes(), &edits)
        .unwrap_err()
}

fn denied(id: &str, at: u32) -> (ToolCallView, String) {
    let call = ToolCallView {
        id: id.to_owned(),
        name: "rm".to_owned(),
        arguments: "{\"p\":1}".to_owned(),
        own: None,
        at: Some(at),
    };
    (call, "never".to_owned())
}

#[test]
fn parameters_change_and_no_other_byte() {
    let edits = RequestEdits {
        model: Some("claude-y".to_owned()),
        parameters: vec![("temperature".to_owned(), "0.5".to_owned())],
        max_output_tokens: Some(50),
        include_usage: true,
        ..RequestEdits::default()
    };
    let expected = REQUEST
        .replace("claude-x", "claude-y")
        .replace("100.0", "50")
        .replace("\n  ]\n}", "\n  ]\n,\"temperature\":0.5}");
    assert_eq!(edited(REQUEST, &edits), expected);
    assert_eq!(edited(REQUEST, &RequestEdits::default()), REQUEST);
    for name in ["system", "messages", "stream", "tools", "model"] {
        let edits = RequestEdits {
            parameters: vec![(name.to_owned(), "1".to_owned())],
            ..RequestEdits::default()
        };
        assert!(
            DIALECT
                .outbound()
                .edit_request(REQUEST.as_bytes(), &edits)
                .is_err()
        );
    }
}

#[test]
fn a_lower_limit_lowers_the_budget_of_thinking() {
    let body = |budget: u32| {
        format!(
            r#"{{"messages":[],"max_tokens":9000,"thinking":{{"type":"enabled","budget_tokens":{budget}}}}}"#
        )
    };
    let capped = |body: &str, most: u32| {
        let edits = RequestEdits {
            max_output_tokens: Some(most),
            ..RequestEdits::default()
        };
        let out = parsed(&edited(body, &edits));
        (out["max_tokens"].clone(), out["thinking"].clone())
    };
    let enabled = |budget: u32| json!({"type": "enabled", "budget_tokens": budget});
    assert_eq!(capped(&body(2000), 5000), (json!(5000), enabled(2000)));
    assert_eq!(capped(&body(8000), 5000), (json!(5000), enabled(4999)));
    assert_eq!(
        capped(&body(8000), 500),
        (json!(500), json!({"type": "disabled"}))
    );
    assert_eq!(capped(&body(8000), 9999), (json!(9000), enabled(8000)));
    assert_eq!(capped(r#"{"messages":[]}"#, 7).0, json!(7));
}

#[test]
fn instructions_stand_behind_those_that_are_there() {
    let edits = messages(vec![
        insert(0, Role::System, "First."),
        insert(3, Role::Developer, "Second."),
    ]);
    let plain = r#"{"messages":[{"role":"user","content":"a"}, {"role":"user","content":"b"},{"role":"user","content":"c"}]}"#;
    let expected = plain.replace("]}", "],\"system\":\"First.\\n\\nSecond.\"}");
    assert_eq!(edited(plain, &edits), expected);
    let string = plain.replace("{\"messages\"", "{\"system\":\"Be brief.\", \"messages\"");
    let expected = string.replace("Be brief.", "Be brief.\\n\\nFirst.\\n\\nSecond.");
    assert_eq!(edited(&string, &edits), expected);
    let expected = REQUEST.replace(
        "\"cache_control\": {\"type\": \"ephemeral\"}}]",
        "\"cache_control\": {\"type\": \"ephemeral\"}},{\"text\":\"First.\",\"type\":\"text\"},{\"text\":\"Second.\",\"type\":\"text\"}]",
    );
    let out = edited(REQUEST, &edits);
    assert_eq!(parsed(&out), parsed(&expected));
    assert!(out.contains("{\"type\": \"text\", \"text\": \"Be kind.\", \"cache_control\": {\"type\": \"ephemeral\"}},{"));
    // The next request of the conversation says the same at the same place.
    let out = edited(
        REQUEST,
        &messages(vec![
            insert(5, Role::System, "First."),
            insert(1, Role::System, "Second."),
        ]),
    );
    assert_eq!(parsed(&out), parsed(&expected));
}

#[test]
fn instructions_are_rewritten_and_left_out() {
    let out = edited(REQUEST, &messages(vec![rewrite(0, "Be brief.\nBe stern.")]));
    assert_eq!(out, REQUEST.replace("Be kind.", "Be stern."));
    // The text that differs stands where the cache mark is.
    let out = edited(
        REQUEST,
        &messages(vec![rewrite(0, "Obey."), insert(0, Role::System, "More.")]),
    );
    let cached = json!({"type": "text", "text": "Obey.", "cache_control": {"type": "ephemeral"}});
    assert_eq!(
        parsed(&out)["system"],
        json!([cached, {"type": "text", "text": "More."}])
    );
    let out = edited(REQUEST, &messages(vec![MessageEdit::Evict { index: 0 }]));
    assert_eq!(parsed(&out)["system"], json!([]));
    let string = r#"{"system":"a","messages":[]}"#;
    assert_eq!(
        edited(string, &messages(vec![rewrite(0, "b")])),
        r#"{"system":"b","messages":[]}"#
    );
}

#[test]
fn messages_are_inserted_left_out_and_rewritten() {
    let body = r#"{"messages": [ {"role":"user","content":"a"},  {"role":"assistant","content":"b"},
        {"role":"user","content":[{"type":"image","source":{}},{"type":"text","text":"c","cache_control":{"type":"ephemeral"}}]} ]}"#;
    let out = edited(
        body,
        &messages(vec![
            insert(0, Role::User, "first"),
            insert(3, Role::User, "last"),
            MessageEdit::Evict { index: 1 },
            rewrite(2, "d"),
        ]),
    );
    let expected = r#"{"messages": [ {"role":"user","content":"first"},{"role":"user","content":"a"},{"role":"user","content":[{"type":"image","source":{}},{"type":"text","text":"d","cache_control":{"type":"ephemeral"}}]},{"role":"user","content":"last"} ]}"#;
    assert_eq!(out, expected);
    let out = edited(body, &messages(vec![rewrite(0, "x\"y")]));
    assert_eq!(out, body.replace("\"a\"", "\"x\\\"y\""));
    for edit in [
        rewrite(3, "x"),
        insert(4, Role::User, "x"),
        insert(1, Role::Tool, "x"),
        MessageEdit::Result {
            index: 0,
            id: "t".to_owned(),
            text: String::new(),
        },
        MessageEdit::AddCalls {
            index: 0,
            calls: vec![denied("t", 0)],
        },
    ] {
        assert!(matches!(failed(body, edit), EditError::Impossible { .. }));
    }
}

#[test]
fn the_models_text_changes_and_its_signed_thoughts_do_not() {
    let out = edited(REQUEST, &messages(vec![rewrite(2, "I look. Later.")]));
    assert_eq!(out, REQUEST.replace("\"Now.\"", "\"Later.\""));
    // What was said before moves elsewhere, and the API takes no empty text.
    let out = edited(REQUEST, &messages(vec![rewrite(2, "Now.")]));
    let content = &parsed(&out)["messages"][1]["content"];
    let expected = parsed(REQUEST)["messages"][1]["content"].clone();
    assert_eq!(content[0], expected[0]);
    assert_eq!(content[1], expected[2]);
    let out = edited(REQUEST, &messages(vec![rewrite(4, "and\nread this")]));
    assert_eq!(out, REQUEST.replace("read me", "read this"));
}

#[test]
fn results_change_and_what_stands_beside_them_does_not() {
    let result = |index, id: &str, text: &str| MessageEdit::Result {
        index,
        id: id.to_owned(),
        text: text.to_owned(),
    };
    let out = edited(REQUEST, &messages(vec![result(3, "t1", "[gone]")]));
    assert_eq!(out, REQUEST.replace("a\\nb", "[gone]"));
    let out = parsed(&edited(REQUEST, &messages(vec![result(3, "t2", "[gone]")])));
    let content = &out["messages"][2]["content"][1]["content"];
    assert_eq!(content[0], json!({"type": "text", "text": "[gone]"}));
    assert_eq!(content[1]["type"], "image");
    assert_eq!(content.as_array().unwrap().len(), 2);
    let out = parsed(&edited(REQUEST, &messages(vec![result(4, "t3", "new")])));
    assert_eq!(out["messages"][3]["content"][0]["content"], "new");
    // A message that is a result has its text there.
    let body = r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"a"}]}]}"#;
    assert_eq!(
        edited(body, &messages(vec![rewrite(0, "b")])),
        body.replace("\"a\"", "\"b\"")
    );
    assert!(
        failed(REQUEST, rewrite(3, "x"))
            .to_string()
            .contains("several calls")
    );
}

#[test]
fn denied_calls_stand_in_their_turn_and_their_results_with_the_others() {
    let add = MessageEdit::AddCalls {
        index: 2,
        calls: vec![denied("d1", 1), denied("d2", 3)],
    };
    let out = parsed(&edited(REQUEST, &messages(vec![add])));
    let ids = |message: usize, key: &str| -> Vec<String> {
        let blocks = out["messages"][message]["content"]
            .as_array()
            .unwrap()
            .iter();
        blocks
            .filter_map(|b| Some(b.get(key)?.as_str()?.to_owned()))
            .collect()
    };
    assert_eq!(ids(1, "id"), ["s", "t1", "d1", "t2", "d2"]);
    assert_eq!(ids(2, "tool_use_id"), ["d1", "d2", "t1", "t2"]);
    assert_eq!(out["messages"][2]["content"][0]["content"], "never");
    assert_eq!(out["messages"].as_array().unwrap().len(), 4);
    // Of a turn without other calls they come before what the user says next.
    let body = r#"{"messages":[{"role":"assistant","content":"b"},{"role":"user","content":"c"}]}"#;
    let add = MessageEdit::AddCalls {
        index: 0,
        calls: vec![denied("d1", 0)],
    };
    let out = parsed(&edited(
        body,
        &messages(vec![add.clone(), insert(1, Role::User, "x")]),
    ));
    assert_eq!(
        out["messages"][0]["content"][0],
        json!({"type": "text", "text": "b"})
    );
    assert_eq!(out["messages"][1]["content"][0]["tool_use_id"], "d1");
    assert_eq!(out["messages"][2]["content"], "x");
    let last = r#"{"messages":[{"role":"assistant","content":"b"}]}"#;
    let out = parsed(&edited(last, &messages(vec![add])));
    assert_eq!(out["messages"][1]["content"][0]["tool_use_id"], "d1");
}

#[test]
fn nothing_comes_between_calls_and_their_results() {
    for at in [2, 3] {
        let out = parsed(&edited(
            REQUEST,
            &messages(vec![insert(at, Role::User, "x")]),
        ));
        assert_eq!(out["messages"][1]["content"], "x");
        assert_eq!(out["messages"][2]["content"][4]["id"], "t1");
        assert_eq!(out["messages"][3]["content"][0]["tool_use_id"], "t1");
    }
    // Behind them, beside what the user says: two turns of one side are one.
    let out = parsed(&edited(
        REQUEST,
        &messages(vec![insert(5, Role::User, "x")]),
    ));
    assert_eq!(out["messages"][4], json!({"role": "user", "content": "x"}));
}

fn own() -> String {
    json!({"role": "assistant", "content": [
        {"type": "thinking", "thinking": "Hm\u{e9}.", "signature": SIGNED},
        {"type": "redacted_thinking", "data": SIGNED},
        {"type": "text", "text": "I tidy. "},
        {"type": "tool_use", "id": "d1"},
        {"type": "text", "text": "So."},
        {"type": "tool_use", "id": "gone"}]})
    .to_string()
}

#[test]
fn a_request_goes_on_with_the_turn_as_its_server_signed_it() {
    let (mut call, result) = denied("d1", 0);
    call.own = Some(json!({"type": "tool_use", "id": "d1", "name": "rm", "input": {"p": 0}, "caller": {"type": "direct"}}).to_string());
    let (built, reason) = denied("d2", 1);
    let turn = Turn::of_step(
        "I tidy. So.".to_owned(),
        Some(own()),
        vec![(call, result), (built, reason)],
    );
    let out = DIALECT
        .outbound()
        .continue_request(REQUEST.as_bytes(), &turn)
        .unwrap();
    let out = String::from_utf8(out).unwrap();
    let known = REQUEST.len() - "\n  ]\n}".len();
    assert_eq!(out[..known], REQUEST[..known]);
    let thought = json!({"type": "thinking", "thinking": "Hm\u{e9}.", "signature": SIGNED});
    assert!(out.contains(&thought.to_string()), "{out}");
    let out = parsed(&out);
    let expected = json!([
        thought,
        {"type": "redacted_thinking", "data": SIGNED},
        {"type": "text", "text": "I tidy. "},
        {"type": "tool_use", "id": "d1", "name": "rm", "input": {"p": 1}, "caller": {"type": "direct"}},
        {"type": "text", "text": "So."},
        {"type": "tool_use", "id": "d2", "name": "rm", "input": {"p": 1}}]);
    assert_eq!(
        out["messages"][4],
        json!({"role": "assistant", "content": expected})
    );
    let results = out["messages"][5].clone();
    assert_eq!(results["role"], "user");
    assert_eq!(
        results["content"][1],
        json!({"type": "tool_result", "tool_use_id": "d2", "content": "never"})
    );
    // The same bytes as an inserted step: the provider's cache matches.
    let step = MessageEdit::InsertStep { at: 5, turn };
    assert_eq!(parsed(&edited(REQUEST, &messages(vec![step]))), out);
}

#[test]
fn what_a_policy_changed_in_the_text_is_changed_in_the_turn() {
    let turn = Turn::of_step(
        "I [gone]. So.".to_owned(),
        Some(own()),
        vec![denied("d1", 0)],
    );
    let out = DIALECT
        .outbound()
        .continue_request(br#"{"messages":[]}"#, &turn)
        .unwrap();
    let content = &parsed(std::str::from_utf8(&out).unwrap())["messages"][0]["content"];
    assert_eq!(content[2]["text"], "I [gone]. ");
    assert_eq!(content[4]["text"], "So.");
    // A turn that is not known is built: the API takes no empty text, and no input but an object.
    let (mut call, result) = denied("d1", 0);
    call.arguments = "rm -rf".to_owned();
    let turn = Turn::of_step(String::new(), None, vec![(call, result)]);
    let out = DIALECT
        .outbound()
        .continue_request(br#"{"messages":[]}"#, &turn)
        .unwrap();
    let out = parsed(std::str::from_utf8(&out).unwrap());
    let expected =
        json!([{"type": "tool_use", "id": "d1", "name": "rm", "input": {"arguments": "rm -rf"}}]);
    assert_eq!(out["messages"][0]["content"], expected);
}

#[test]
fn thoughts_of_a_step_stand_where_it_is_put_alone() {
    let body =
        json!({"messages": [{"role": "user", "content": "tidy"}, {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "Hm\u{e9}.", "signature": SIGNED},
        {"type": "text", "text": "I tidy. So."},
        {"type": "thinking", "thinking": "Another.", "signature": "other"},
        {"type": "text", "text": "I may not."}]}]})
        .to_string();
    let turn = Turn::of_step("I tidy. So.".to_owned(), Some(own()), vec![denied("d1", 0)]);
    let step = MessageEdit::InsertStep { at: 1, turn };
    let out = parsed(&edited(
        &body,
        &messages(vec![step, rewrite(1, "I may not.")]),
    ));
    assert_eq!(out["messages"].as_array().unwrap().len(), 4);
    let last = &out["messages"][3]["content"];
    assert_eq!(
        *last,
        json!([{"type": "thinking", "thinking": "Another.", "signature": "other"}, {"type": "text", "text": "I may not."}])
    );
}
