//! Requests as they are edited.

use serde_json::{Value, json};

use super::{CONVERSATION, SIGNATURE, edited, gemini, made, view};
use crate::dialect::{MessageEdit, Outbound as _, RequestEdits, ToolCallView, Turn};
use crate::event::Role;

fn messages(edits: Vec<MessageEdit>) -> RequestEdits {
    RequestEdits {
        messages: edits,
        ..RequestEdits::default()
    }
}

#[test]
fn instructions_that_are_put_in_join_the_one_that_stands_apart() {
    let insert = |at, role, text: &str| MessageEdit::Insert {
        at,
        role,
        text: text.to_owned(),
    };
    let edits = messages(vec![
        insert(0, Role::System, "first"),
        insert(3, Role::Developer, "last"),
        insert(4, Role::User, "psst"),
        insert(5, Role::Assistant, "bye"),
    ]);
    let body = edited(CONVERSATION, &edits);
    assert_eq!(
        body["system_instruction"],
        json!({"parts": [{"text": "first"}, {"text": "Be brief."}, {"text": "last"}]})
    );
    let contents = body["contents"].as_array().unwrap();
    assert_eq!(contents.len(), 7);
    assert_eq!(
        contents[4],
        json!({"parts": [{"text": "psst"}], "role": "user"})
    );
    assert_eq!(
        contents[6],
        json!({"parts": [{"text": "bye"}], "role": "model"})
    );
    let bare = r#"{"contents": {"parts": {"text": "hi"}}}"#;
    let body = edited(
        bare,
        &messages(vec![
            insert(0, Role::System, "a"),
            insert(1, Role::System, "b"),
            insert(0, Role::User, "c"),
        ]),
    );
    assert_eq!(
        body,
        json!({"contents": [{"parts": [{"text": "c"}], "role": "user"}, {"parts": {"text": "hi"}}],
            "systemInstruction": {"parts": [{"text": "a"}, {"text": "b"}]}})
    );
    for (at, role) in [(6, Role::User), (0, Role::Tool)] {
        assert!(
            gemini()
                .edit_request(
                    CONVERSATION.as_bytes(),
                    &messages(vec![insert(at, role, "x")])
                )
                .is_err()
        );
    }
}

#[test]
fn messages_are_rewritten_and_left_out_with_all_else_as_it_was() {
    let rewrite = |index, text: &str| MessageEdit::Rewrite {
        index,
        text: text.to_owned(),
    };
    let same = gemini()
        .edit_request(CONVERSATION.as_bytes(), &RequestEdits::default())
        .unwrap();
    assert_eq!(String::from_utf8(same).unwrap(), CONVERSATION);
    let body = gemini()
        .edit_request(
            CONVERSATION.as_bytes(),
            &messages(vec![rewrite(4, "later")]),
        )
        .unwrap();
    let expected = CONVERSATION.replace(r#"[{"text": "and now?"}]"#, r#"[{"text":"later"}]"#);
    assert_eq!(String::from_utf8(body).unwrap(), expected);
    let body = edited(
        CONVERSATION,
        &messages(vec![
            rewrite(0, "Be long."),
            rewrite(1, "all"),
            rewrite(2, "no"),
        ]),
    );
    assert_eq!(
        body["system_instruction"]["parts"],
        json!([{"text": "Be long."}])
    );
    assert_eq!(body["contents"][0]["parts"][0], json!({"text": "all"}));
    assert_eq!(body["contents"][0]["parts"].as_array().unwrap().len(), 2);
    assert_eq!(
        body["contents"][1]["parts"],
        json!([{"text": "hm", "thought": true}, {"text": "no"}])
    );
    assert_eq!(body["contents"][2]["parts"].as_array().unwrap().len(), 3);
    let evicted = edited(
        CONVERSATION,
        &messages(vec![
            MessageEdit::Evict { index: 2 },
            MessageEdit::Evict { index: 3 },
        ]),
    );
    assert_eq!(evicted["contents"].as_array().unwrap().len(), 2);
    let evicted = edited(
        CONVERSATION,
        &messages(vec![MessageEdit::Evict { index: 0 }]),
    );
    assert_eq!(evicted["system_instruction"], Value::Null);
    // Words that were signed go with their signature; an empty part that bears one stays.
    let signed = json!({"contents": [{"role": "model", "parts": [
        {"text": "old", "thoughtSignature": SIGNATURE}, {"text": "", "thoughtSignature": SIGNATURE}]}]});
    let body = edited(&signed.to_string(), &messages(vec![rewrite(0, "new")]));
    assert_eq!(
        body["contents"][0]["parts"],
        json!([{"text": "new"}, {"text": "", "thoughtSignature": SIGNATURE}])
    );
}

#[test]
fn results_are_replaced_in_the_shape_that_they_have() {
    let result = |id: &str, text: &str| MessageEdit::Result {
        index: 3,
        id: id.to_owned(),
        text: text.to_owned(),
    };
    let body = edited(
        CONVERSATION,
        &messages(vec![
            result("airlock-rm-1", "a \"b\""),
            result("c9", "{\"x\":1}"),
            result("airlock-rm-0", "c"),
        ]),
    );
    let responses: Vec<Value> = body["contents"][3]["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| {
            part.get("functionResponse")
                .or(part.get("function_response"))
                .unwrap()["response"]
                .clone()
        })
        .collect();
    assert_eq!(
        responses,
        [
            json!({"output": "c"}),
            json!({"x": 1}),
            json!({"error": "a \"b\""})
        ]
    );
    let body = edited(
        CONVERSATION,
        &messages(vec![MessageEdit::Rewrite {
            index: 3,
            text: "gone".to_owned(),
        }]),
    );
    assert_eq!(
        body["contents"][3]["parts"][0]["functionResponse"]["response"],
        json!({"output": "gone"})
    );
    assert!(
        gemini()
            .edit_request(CONVERSATION.as_bytes(), &messages(vec![result("c10", "x")]))
            .is_err()
    );
}

#[test]
fn calls_go_back_among_those_of_their_turn_with_their_signature() {
    let own = format!(
        r#"{{"functionCall": {{"name":"mv","args":{{"n":1.0}}}},"thoughtSignature":"{SIGNATURE}"}}"#
    );
    let first = ToolCallView {
        own: Some(own.clone()),
        at: Some(0),
        ..made("airlock-mv-0", "mv", r#"{"n": 1.0}"#)
    };
    let last = made("c10", "cp", "[1]");
    let add = |index| MessageEdit::AddCalls {
        index,
        calls: vec![
            (first.clone(), "never".to_owned()),
            (last.clone(), "{\"ok\":false}".to_owned()),
        ],
    };
    let bytes = gemini()
        .edit_request(CONVERSATION.as_bytes(), &messages(vec![add(2)]))
        .unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains(&own), "as its server wrote it: {text}");
    let body: Value = serde_json::from_str(&text).unwrap();
    let names = |content: &Value, kind: &str| -> Vec<String> {
        let parts = content["parts"].as_array().unwrap().iter();
        let named = parts.filter_map(|part| part.get(kind)?["name"].as_str());
        named.map(str::to_owned).collect()
    };
    assert_eq!(
        names(&body["contents"][2], "functionCall"),
        ["mv", "rm", "rm", "ls", "cp"]
    );
    assert_eq!(
        body["contents"][2]["parts"][5]["functionCall"],
        json!({"name": "cp", "args": {"value": [1]}, "id": "c10"})
    );
    let results = &body["contents"][3]["parts"];
    assert_eq!(
        results[0],
        json!({"functionResponse": {"name": "mv", "response": {"output": "never"}}})
    );
    assert_eq!(
        results[4],
        json!({"functionResponse": {"name": "cp", "id": "c10", "response": {"ok": false}}})
    );
    assert!(
        gemini()
            .edit_request(CONVERSATION.as_bytes(), &messages(vec![add(1)]))
            .is_err(),
        "only the model makes calls"
    );
    let unanswered = r#"{"contents":[{"role":"model","parts":[{"text":"x"}]},{"role":"user","parts":[{"text":"y"}]}]}"#;
    let body = edited(unanswered, &messages(vec![add(0)]));
    assert_eq!(names(&body["contents"][0], "functionCall"), ["mv", "cp"]);
    assert_eq!(
        names(&body["contents"][1], "functionResponse"),
        ["mv", "cp"]
    );
    assert_eq!(body["contents"][2]["parts"][0]["text"], "y");
}

#[test]
fn a_request_goes_on_with_the_turn_as_its_server_wrote_it() {
    let own = json!({"role": "model", "parts": [{"text": "secret"}, {"airlockCall": "airlock-rm-0"},
        {"airlockCall": "airlock-ls-0"}, {"text": "", "thoughtSignature": SIGNATURE}]});
    let call = ToolCallView {
        own: Some(json!({"functionCall": {"name": "rm", "args": {"a": 1}}, "thoughtSignature": SIGNATURE}).to_string()),
        ..made("airlock-rm-0", "rm", r#"{"a":1}"#)
    };
    let go_on = |said: &str, own: Option<String>| {
        let turn = Turn::of_step(
            said.to_owned(),
            own,
            vec![(call.clone(), "never".to_owned())],
        );
        let body = gemini()
            .continue_request(CONVERSATION.as_bytes(), &turn)
            .unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let contents = body["contents"].as_array().unwrap().clone();
        assert_eq!(contents.len(), 7);
        assert_eq!(
            contents[6],
            json!({"parts": [{"functionResponse": {"name": "rm", "response": {"output": "never"}}}], "role": "user"})
        );
        assert_eq!(contents[5]["role"], "model");
        contents[5]["parts"].clone()
    };
    let signed =
        json!({"functionCall": {"name": "rm", "args": {"a": 1}}, "thoughtSignature": SIGNATURE});
    let seal = json!({"text": "", "thoughtSignature": SIGNATURE});
    assert_eq!(
        go_on("secret", Some(own.to_string())),
        json!([{"text": "secret"}, signed, seal])
    );
    assert_eq!(
        go_on("[gone]", Some(own.to_string())),
        json!([{"text": "[gone]"}, signed, seal])
    );
    assert_eq!(go_on("", Some(own.to_string())), json!([signed, seal]));
    assert_eq!(go_on("said", None), json!([{"text": "said"}, signed]));
    // In a later request it stands where it was, spelled alike.
    let turn = Turn::of_step(
        "secret".to_owned(),
        Some(own.to_string()),
        vec![(call.clone(), "never".to_owned())],
    );
    let later = edited(
        CONVERSATION,
        &messages(vec![MessageEdit::InsertStep { at: 2, turn }]),
    );
    assert_eq!(
        later["contents"][1]["parts"],
        json!([{"text": "secret"}, signed, seal])
    );
    assert_eq!(later["contents"][3]["parts"][0]["text"], "hm");
}

#[test]
fn parameters_stand_where_the_api_has_them_and_limits_are_lowered() {
    let edits = RequestEdits {
        model: Some("other".to_owned()),
        parameters: vec![
            ("temperature".to_owned(), "0.1".to_owned()),
            ("top_p".to_owned(), "0.5".to_owned()),
            ("safetySettings".to_owned(), "[]".to_owned()),
            ("temperature".to_owned(), "0.2".to_owned()),
        ],
        max_output_tokens: Some(50),
        include_usage: true,
        ..RequestEdits::default()
    };
    let body = edited(CONVERSATION, &edits);
    assert_eq!(
        body["generationConfig"],
        json!({"maxOutputTokens": 50, "candidateCount": 2, "responseMimeType": "application/json", "topP": 0.5, "temperature": 0.2})
    );
    assert_eq!(
        (&body["safetySettings"], body.get("model")),
        (&json!([]), None)
    );
    let limit = |body: &str, most| {
        let edits = RequestEdits {
            max_output_tokens: Some(most),
            ..RequestEdits::default()
        };
        edited(body, &edits)["generationConfig"]["maxOutputTokens"].clone()
    };
    assert_eq!(limit(CONVERSATION, 200), "100");
    assert_eq!(limit(r#"{"contents":[]}"#, 7), 7);
    assert_eq!(
        limit(
            r#"{"contents":[],"generationConfig":{"maxOutputTokens":0}}"#,
            7
        ),
        7
    );
    for name in [
        "contents",
        "system_instruction",
        "tools",
        "model",
        "candidateCount",
        "generationConfig",
    ] {
        let edits = RequestEdits {
            parameters: vec![(name.to_owned(), "1".to_owned())],
            ..RequestEdits::default()
        };
        assert!(
            gemini()
                .edit_request(CONVERSATION.as_bytes(), &edits)
                .is_err(),
            "{name}"
        );
    }
}

#[test]
fn a_question_of_airlocks_own_is_a_request() {
    let question = gemini().ask("m", "Judge.", "this", 9);
    let view = view(std::str::from_utf8(&question).unwrap()).unwrap();
    let texts: Vec<&str> = view.messages.iter().map(|m| m.text.as_str()).collect();
    assert_eq!(
        (texts, view.max_output_tokens),
        (vec!["Judge.", "this"], Some(9))
    );
}
