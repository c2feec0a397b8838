//! Requests: edits leave the rest alone.

use serde_json::{Value, json};

use super::requests::AGENT;
use crate::dialect::openai_responses::OpenAiResponses;
use crate::dialect::turn::Item;
use crate::dialect::{EditError, MessageEdit, Outbound as _, RequestEdits, ToolCallView, Turn};
use crate::event::Role;

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
        .replace("\"max_output_tokens\": 100", "\"max_output_tokens\": 16");
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
    // A conversation that the server keeps has all but the results.
    let kept = r#"{"input":"tidy up","conversation":"conv_1"}"#;
    let out = go_on(kept, &turn("I tidy. "));
    let result =
        |id: &str| json!({"type": "function_call_output", "call_id": id, "output": "never"});
    assert_eq!(out["input"], json!([result("d1"), result("d2")]));
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
