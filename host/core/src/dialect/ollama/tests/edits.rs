//! Lines and bodies are edited.

use super::*;
use crate::dialect::{CallEdit, EditError, Ending, Partial};
use crate::event::Usage;

fn keep(index: u16) -> CallEdit {
    change(index, None)
}

fn change(index: u16, arguments: Option<&str>) -> CallEdit {
    CallEdit::Change {
        index,
        arguments: arguments.map(str::to_owned),
        id_said: false,
        name_said: false,
    }
}

fn calling(names: &[&str]) -> Value {
    let calls: Vec<Value> = names.iter().enumerate().map(|(index, name)| {
        json!({"function": {"index": index, "name": name, "arguments": {"n": index}}})
    }).collect();
    let mut line = part("");
    line["message"]["tool_calls"] = calls.into();
    line
}

#[test]
fn what_nothing_concerns_passes_byte_for_byte() {
    let stream = "{ \"message\": {\"content\" : \"hi\"}, \"done\": false }\r\n{\"done\":true}";
    let mut writer = writer(CHAT);
    let mut out = Vec::new();
    for frame in frames(stream.as_bytes()) {
        out.extend(writer.frame(&frame, &Edits::default()).unwrap().unwrap());
    }
    assert_eq!(out, stream.as_bytes());
    let body = Bytes::from(last().to_string());
    assert_eq!(writer.body(&body, &Edits::default()).unwrap(), body);
}

#[test]
fn a_line_that_its_server_did_not_end_is_ended_before_the_next() {
    let mut writer = writer(CHAT);
    let cut = frames(br#"{"message":{"role":"assistant","content":"hi"},"done":false}"#);
    let mut out = writer
        .frame(&cut[0], &Edits::default())
        .unwrap()
        .unwrap()
        .to_vec();
    let error = crate::dialect::ClientError {
        status: 502,
        kind: crate::event::FailureKind::Upstream,
        message: "cut".to_owned(),
        code: "airlock_upstream".to_owned(),
        origin: None,
    };
    out.extend(writer.error(&error));
    let told = lines(&out);
    assert_eq!(told.len(), 2);
    assert_eq!(told[1]["error"], "cut");
}

#[test]
fn text_is_replaced_at_its_place_and_nowhere_else() {
    let line = "{\"model\":\"m\", \"message\":{\"role\":\"assistant\",\"content\":\"my secret\",\"thinking\":\"hm\"},\"done\":false}\n";
    let frame = frames(line.as_bytes()).remove(0);
    let edited = writer(CHAT)
        .frame(&frame, &replacing(OUTPUT, "[gone]\u{2028}"))
        .unwrap();
    assert_eq!(
        std::str::from_utf8(&edited.unwrap()).unwrap(),
        line.replace("my secret", "[gone]\\u2028")
    );
    let edited = writer(CHAT)
        .frame(&frame, &replacing(REASONING, ""))
        .unwrap();
    let pieces = read(CHAT, &edited.unwrap()).unwrap();
    assert_eq!(pieces, [text(OUTPUT, "my secret")]);
    // A line whose text goes remains: it is nothing to wait for, and nothing to stumble over.
    let edited = writer(CHAT)
        .frame(&super::frame(&part("x")), &replacing(OUTPUT, ""))
        .unwrap();
    assert_eq!(lines(&edited.unwrap())[0]["message"]["content"], "");
    let none = writer(CHAT).frame(&super::frame(&last()), &replacing(OUTPUT, "x"));
    assert!(
        matches!(none, Err(EditError::Impossible { .. })),
        "{none:?}"
    );
}

#[test]
fn tokens_that_repeat_what_was_replaced_go_with_it() {
    let mut line = part("ab");
    line["logprobs"] = json!([{"token": "ab", "logprob": -0.1}]);
    let edited = writer(CHAT)
        .frame(&frame(&line), &replacing(OUTPUT, "x"))
        .unwrap();
    assert_eq!(lines(&edited.unwrap())[0]["logprobs"], Value::Null);
    // The context has the whole conversation in it, so that one edit anywhere before is enough.
    let mut writer = writer(GENERATE);
    let said = json!({"response": "secret", "done": false});
    let end = frame(&json!({"response": "", "done": true, "context": [1, 2, 3]}));
    let plain = writer.frame(&end, &Edits::default()).unwrap().unwrap();
    assert_eq!(plain, end.raw, "nothing was changed yet");
    writer.frame(&frame(&said), &replacing(OUTPUT, "")).unwrap();
    let edited = writer.frame(&end, &Edits::default()).unwrap().unwrap();
    assert_eq!(lines(&edited)[0]["context"], Value::Null);
    let body = Bytes::from(json!({"response": "secret", "done": true, "context": [1]}).to_string());
    let edited = super::writer(GENERATE)
        .body(&body, &replacing(OUTPUT, "x"))
        .unwrap();
    let edited: Value = serde_json::from_slice(&edited).unwrap();
    assert_eq!(
        edited,
        json!({"response": "x", "done": true, "context": null})
    );
}

#[test]
fn calls_are_left_out_renumbered_and_rewritten() {
    let frame = frame(&calling(&["rm", "ls"]));
    let edits = Edits {
        calls: vec![
            CallEdit::Drop,
            change(0, Some("{\n\"path\":\r\"/\u{85}\"}")),
        ],
        ..Edits::default()
    };
    let edited = writer(CHAT).frame(&frame, &edits).unwrap().unwrap();
    let calls = &lines(&edited)[0]["message"]["tool_calls"];
    let expected =
        json!([{"function": {"index": 0, "name": "ls", "arguments": {"path": "/\u{85}"}}}]);
    assert_eq!(*calls, expected);
    let edits = Edits {
        calls: vec![CallEdit::Keep, CallEdit::Drop],
        ..Edits::default()
    };
    let edited = writer(CHAT).frame(&frame, &edits).unwrap().unwrap();
    let calls = &lines(&edited)[0]["message"]["tool_calls"];
    assert_eq!(calls[0], calling(&["rm"])["message"]["tool_calls"][0]);
    assert_eq!(calls.as_array().unwrap().len(), 1);
    // Nothing is left of a line whose calls all go.
    let edits = Edits {
        calls: vec![CallEdit::Drop, CallEdit::Drop],
        ..Edits::default()
    };
    assert_eq!(writer(CHAT).frame(&frame, &edits).unwrap(), None);
    // But of one that says something else.
    let mut with_text = calling(&["rm"]);
    with_text["message"]["content"] = json!("I tidy.");
    let edits = Edits {
        calls: vec![CallEdit::Drop],
        ..Edits::default()
    };
    let edited = writer(CHAT)
        .frame(&super::frame(&with_text), &edits)
        .unwrap();
    assert_eq!(
        read(CHAT, &edited.unwrap()).unwrap(),
        [text(OUTPUT, "I tidy.")]
    );
    for bad in ["[]", "{", "text", ""] {
        let edits = Edits {
            calls: vec![keep(0), change(1, Some(bad))],
            ..Edits::default()
        };
        let refused = writer(CHAT).frame(&frame, &edits);
        assert!(
            matches!(refused, Err(EditError::Impossible { .. })),
            "{bad}: {refused:?}"
        );
    }
    let edits = Edits {
        calls: vec![CallEdit::Drop],
        ..Edits::default()
    };
    assert!(
        writer(CHAT).frame(&frame, &edits).is_err(),
        "one edit for two calls"
    );
}

#[test]
fn a_call_of_a_prompt_is_left_out_too() {
    let mut line = calling(&["rm"])["message"].clone();
    line["response"] = json!("I tidy.");
    line["done"] = json!(true);
    let edits = Edits {
        calls: vec![CallEdit::Drop],
        ..Edits::default()
    };
    let edited = writer(GENERATE).frame(&frame(&line), &edits).unwrap();
    let pieces = read(GENERATE, &edited.unwrap()).unwrap();
    assert_eq!(
        pieces,
        [text(OUTPUT, "I tidy."), finish("stop"), Piece::End]
    );
}

#[test]
fn two_legs_are_one_stream() {
    let mut writer = writer(CHAT);
    let mut out = Vec::new();
    // The first leg: all in one line, whose call is denied.
    let mut first = calling(&["rm"]);
    first["message"]["content"] = json!("I tidy. ");
    first["done"] = json!(true);
    first["done_reason"] = json!("stop");
    first["prompt_eval_count"] = json!(10);
    first["eval_count"] = json!(5);
    let edits = Edits {
        calls: vec![CallEdit::Drop],
        goes_on: true,
        ..Edits::default()
    };
    out.extend(writer.frame(&frame(&first), &edits).unwrap().unwrap());
    // The second, of another model.
    let known = writer.identity().clone();
    let of_second = |usage| Edits {
        identity: Some(&known),
        usage,
        ..Edits::default()
    };
    let mut more = part("I may not.");
    more["model"] = json!("fallback");
    out.extend(
        writer
            .frame(&frame(&more), &of_second(None))
            .unwrap()
            .unwrap(),
    );
    let mut calls = calling(&["ls"]);
    calls["message"]["tool_calls"][0]["function"]["index"] = json!(3);
    let edits = Edits {
        calls: vec![keep(0)],
        ..of_second(None)
    };
    out.extend(writer.frame(&frame(&calls), &edits).unwrap().unwrap());
    let usage = Usage {
        input: 36,
        output: 287,
        exact: true,
        ..Usage::default()
    };
    out.extend(
        writer
            .frame(&frame(&last()), &of_second(Some(usage)))
            .unwrap()
            .unwrap(),
    );
    let pieces = read(CHAT, &out).unwrap();
    let expected = [
        text(OUTPUT, "I tidy. "),
        text(OUTPUT, "I may not."),
        call(0, "ls", r#"{"n":0}"#),
        Piece::Usage(usage),
        finish("stop"),
        Piece::End,
    ];
    assert_eq!(pieces, expected);
    let told = lines(&out);
    assert!(
        told.iter().all(|line| line["model"] == "llama3.2"),
        "{told:?}"
    );
    assert_eq!(told[0]["done"], false);
    assert_eq!(told[0]["done_reason"], Value::Null);
    assert_eq!(told[2]["message"]["tool_calls"][0]["function"]["index"], 0);
}

#[test]
fn usage_is_that_of_all_legs_where_one_number_is_missing_too() {
    let usage = Usage {
        input: 36,
        output: 287,
        exact: true,
        ..Usage::default()
    };
    let edits = Edits {
        usage: Some(usage),
        ..Edits::default()
    };
    let mut end = last();
    end.as_object_mut().unwrap().remove("prompt_eval_count");
    let edited = writer(CHAT).frame(&frame(&end), &edits).unwrap().unwrap();
    let pieces = read(CHAT, &edited).unwrap();
    assert_eq!(pieces, [Piece::Usage(usage), finish("stop"), Piece::End]);
}

#[test]
fn what_only_ends_a_leg_that_goes_on_is_left_out() {
    let edits = Edits {
        goes_on: true,
        ..Edits::default()
    };
    assert_eq!(writer(CHAT).frame(&frame(&last()), &edits).unwrap(), None);
}

#[test]
fn a_body_begins_with_what_earlier_legs_said() {
    let before = |place, text: &str| TextEdit {
        place,
        text: text.to_owned(),
    };
    let refusal = Place::new(Channel::Refusal, 0, 0);
    let mut edits = replacing(OUTPUT, "new");
    edits.before = vec![
        before(OUTPUT, "One. "),
        before(REASONING, "Hm. "),
        before(refusal, "No. "),
    ];
    let mut body = last();
    body["message"]["content"] = json!("old");
    let body = Bytes::from(body.to_string());
    let edited = writer(CHAT).body(&body, &edits).unwrap();
    let edited: Value = serde_json::from_slice(&edited).unwrap();
    assert_eq!(edited["message"]["content"], "One. No. new");
    assert_eq!(edited["message"]["thinking"], "Hm. ");
    let body = Bytes::from(json!({"response": "new", "done": true}).to_string());
    edits.texts.clear();
    let edited = writer(GENERATE).body(&body, &edits).unwrap();
    let edited: Value = serde_json::from_slice(&edited).unwrap();
    assert_eq!(
        edited,
        json!({"response": "One. No. new", "done": true, "thinking": "Hm. "})
    );
}

#[test]
fn a_body_is_ended_as_a_part() {
    let ending = Ending::Partial(Partial {
        reason: "budget".into(),
        confidence: Some(0.5),
        policy: "token-budget".into(),
    });
    let ended = writer(CHAT)
        .end_body(last().to_string().as_bytes(), &ending)
        .unwrap();
    let ended: Value = serde_json::from_slice(&ended).unwrap();
    assert_eq!(
        (&ended["done"], &ended["done_reason"]),
        (&json!(true), &json!("length"))
    );
    assert_eq!(ended["airlock"]["partial"], true);
    assert_eq!(ended["airlock"]["policy"], "token-budget");
}

#[test]
fn what_was_written_is_read_again() {
    // A text that cannot be found in a field cannot be replaced.
    let mut line = part("x");
    line["a key that is a sentence"] = json!(1);
    let refused = writer(CHAT).frame(&frame(&line), &replacing(OTHER, ""));
    assert!(
        matches!(refused, Err(EditError::Impossible { .. })),
        "{refused:?}"
    );
    let garbled = frames(b"{\"message\":\n").remove(0);
    let refused = writer(CHAT).frame(&garbled, &replacing(OUTPUT, ""));
    let Err(EditError::Undecodable(error)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(error.dialect, "ollama-chat");
}
