#![allow(clippy::unwrap_used, clippy::panic)]
use serde_json::{Value, json};

use super::*;
use crate::dialect::sse::Framer;
use crate::dialect::{CallEdit, Identity};
use crate::event::{Channel, Place, Usage};

fn frame_of(data: &Value) -> Frame {
    let (mut framer, mut out) = (Framer::default(), Vec::new());
    framer
        .push(format!("data: {data}\n\n").into(), &mut out)
        .unwrap();
    out.remove(0)
}

fn delta(delta: Value, finish: Value) -> Frame {
    frame_of(
        &json!({"id": "second", "object": "chat.completion.chunk", "created": 9, "model": "m2",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}),
    )
}

fn read(frame: &Bytes) -> Value {
    let text = std::str::from_utf8(frame).unwrap();
    serde_json::from_str(text.strip_prefix("data: ").unwrap()).unwrap()
}

fn calls(calls: &[CallEdit]) -> Edits<'static> {
    Edits {
        calls: calls.to_vec(),
        ..Edits::default()
    }
}

fn to(index: u16, arguments: Option<&str>) -> CallEdit {
    CallEdit::Change {
        index,
        arguments: arguments.map(str::to_owned),
        id_said: false,
        name_said: false,
    }
}

fn call(name: &str) -> Value {
    json!({"index": 0, "id": name, "type": "function", "function": {"name": name, "arguments": "{}"}})
}

#[test]
fn a_frame_of_a_denied_call_leaves_nothing() {
    let one = delta(json!({ "tool_calls": [call("f")] }), Value::Null);
    assert_eq!(frame(&one, &calls(&[CallEdit::Drop])).unwrap(), None);
    let out = frame(&one, &calls(&[CallEdit::Keep])).unwrap().unwrap();
    assert_eq!(out, one.raw);
}

#[test]
fn each_part_of_a_call_is_edited_for_itself() {
    let said = json!({"tool_calls": [call("f"), call("g"), call("h")], "function_call": {"name": "i", "arguments": ""}, "x": 1.0});
    let one = delta(said, json!("tool_calls"));
    let edits = [
        CallEdit::Drop,
        to(7, Some("{\"a\":2}")),
        CallEdit::Keep,
        CallEdit::Drop,
    ];
    let out = frame(&one, &calls(&edits)).unwrap().unwrap();
    assert!(
        out.windows(7).any(|bytes| bytes == b"\"x\":1.0"),
        "other bytes stay"
    );
    let said = read(&out)["choices"][0]["delta"].clone();
    assert_eq!(said["function_call"], Value::Null);
    let [g, h] = said["tool_calls"].as_array().unwrap().as_slice() else {
        panic!("{said}")
    };
    assert_eq!((&g["index"], &g["id"]), (&json!(7), &json!("g")));
    assert_eq!(
        g["function"],
        json!({"name": "g", "arguments": "{\"a\":2}"})
    );
    assert_eq!(*h, call("h"));
    assert!(
        frame(&one, &calls(&[CallEdit::Drop])).is_err(),
        "edits for other calls"
    );
}

#[test]
fn new_arguments_stand_where_a_client_reads_them() {
    for (part, field) in [
        (
            json!({"index": 0, "custom": null, "function": {"name": "f", "arguments": "old"}}),
            "/function/arguments",
        ),
        (
            json!({"index": 0, "function": {"name": "f"}, "custom": null}),
            "/function/arguments",
        ),
        (
            json!({"index": 0, "function": {"name": "f", "arguments": null}}),
            "/function/arguments",
        ),
        (
            json!({"function": null, "custom": {"name": "f", "input": "old"}}),
            "/custom/input",
        ),
        (json!({"id": "a"}), "/function/arguments"),
    ] {
        let one = delta(
            json!({"tool_calls": [part], "function_call": null}),
            Value::Null,
        );
        let out = frame(&one, &calls(&[to(0, Some("{\"a\":1}"))]))
            .unwrap()
            .unwrap();
        let out = read(&out)["choices"][0]["delta"].clone();
        assert_eq!(
            out["tool_calls"][0].pointer(field),
            Some(&json!("{\"a\":1}")),
            "{part}"
        );
        assert_eq!(out["function_call"], Value::Null);
    }
    let object = delta(
        json!({"tool_calls": [{"function": {"name": "f", "arguments": {"old": 1}}}]}),
        Value::Null,
    );
    let out = frame(&object, &calls(&[to(0, Some(" {\"a\":1}\n"))]))
        .unwrap()
        .unwrap();
    let out = read(&out)["choices"][0]["delta"]["tool_calls"][0].clone();
    assert_eq!(out["function"]["arguments"], json!({"a": 1}));
    let single = delta(
        json!({"function_call": {"name": "f", "arguments": "old"}}),
        Value::Null,
    );
    let out = frame(&single, &calls(&[to(0, Some("new"))]))
        .unwrap()
        .unwrap();
    assert_eq!(
        read(&out)["choices"][0]["delta"]["function_call"],
        json!({"name": "f", "arguments": "new"})
    );
}

#[test]
fn what_the_client_has_is_not_said_again() {
    let one = delta(json!({"tool_calls": [call("f")]}), Value::Null);
    let said = CallEdit::Change {
        index: 0,
        arguments: None,
        id_said: true,
        name_said: true,
    };
    let out = read(&frame(&one, &calls(&[said])).unwrap().unwrap());
    let call = &out["choices"][0]["delta"]["tool_calls"][0];
    assert_eq!(
        (&call["id"], &call["function"]["name"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(call["function"]["arguments"], "{}");
}

#[test]
fn tokens_of_a_call_that_goes_or_changes_go_too() {
    let one = json!({"choices": [{"index": 0, "delta": {"content": "x", "tool_calls": [call("rm")]}, "logprobs": {"content": [{"token": "rm"}]}}]});
    let one = frame_of(&one);
    let out = frame(&one, &calls(&[CallEdit::Drop])).unwrap().unwrap();
    assert!(!out.windows(2).any(|bytes| bytes == b"rm"), "{out:?}");
}

#[test]
fn a_later_round_speaks_with_the_ids_of_the_first_and_names_no_role() {
    let identity = Identity {
        id: "first".into(),
        model: "m1".into(),
        created: 1,
        ..Identity::default()
    };
    let edits = Edits {
        identity: Some(&identity),
        goes_on: true,
        ..Edits::default()
    };
    let said = json!({"role": "assistant", "content": "x"});
    let raw = delta(said, json!("tool_calls"));
    let out = read(&frame(&raw, &edits).unwrap().unwrap());
    assert_eq!(
        (&out["id"], &out["model"], &out["created"]),
        (&json!("first"), &json!("m1"), &json!(1))
    );
    assert_eq!(
        out["choices"][0]["delta"],
        json!({"role": null, "content": "x"})
    );
    assert_eq!(out["choices"][0]["finish_reason"], Value::Null);
    let role_only = delta(json!({"role": "assistant", "content": null}), Value::Null);
    assert_eq!(frame(&role_only, &edits).unwrap(), None);
}

#[test]
fn usage_is_that_of_all_rounds() {
    let usage = Usage {
        input: 10,
        output: 5,
        ..Usage::default()
    };
    let edits = Edits {
        usage: Some(usage),
        ..Edits::default()
    };
    let raw = frame_of(&json!({"id": "a", "choices": [], "usage": {"prompt_tokens": 1}}));
    let out = read(&frame(&raw, &edits).unwrap().unwrap());
    assert_eq!(out["usage"]["total_tokens"], 15);
}

#[test]
fn a_body_begins_with_what_was_said_before_and_lacks_denied_calls() {
    let before = TextEdit {
        place: Place::new(Channel::Output, 0, 0),
        text: "Before. ".into(),
    };
    for content in [
        Value::Null,
        json!("own"),
        json!([{"type": "text", "text": "own"}]),
    ] {
        let edits = Edits {
            before: vec![before.clone()],
            ..calls(&[CallEdit::Drop, CallEdit::Keep])
        };
        let raw = json!({"id": "a", "choices": [{"index": 0, "message": {"role": "assistant", "content": content,
            "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": "{}"}},
                {"id": "y", "function": {"name": "g", "arguments": "{}"}}]}, "finish_reason": "tool_calls"}]});
        let out = body(raw.to_string().as_bytes(), &edits).unwrap();
        let out: Value = serde_json::from_slice(&out).unwrap();
        let message = &out["choices"][0]["message"];
        let said = match &message["content"] {
            Value::String(text) => text.clone(),
            parts => format!(
                "{}{}",
                parts[0]["text"].as_str().unwrap(),
                parts[1]["text"].as_str().unwrap()
            ),
        };
        let own = if content.is_null() { "" } else { "own" };
        assert_eq!(said, format!("Before. {own}"));
        assert_eq!(message["tool_calls"].as_array().unwrap().len(), 1);
        assert_eq!(message["tool_calls"][0]["id"], "y");
    }
}

#[test]
fn what_does_not_read_as_meant_does_not_leave() {
    let source = json!({"choices": [{"index": 0, "delta": {"content": "a"}}]}).to_string();
    let meant = Calls::read(&source, Form::Frame).unwrap();
    let other =
        json!({"choices": [{"index": 0, "delta": {"content": "b", "tool_calls": [call("f")]}}]});
    let reads =
        |edits: &Edits<'_>| proof::reads_as_meant(&other.to_string(), Form::Frame, &meant, edits);
    assert!(
        reads(&Edits::default()).is_err(),
        "a call that was not there"
    );
    let texts = Edits {
        texts: vec![TextEdit {
            place: Place::new(Channel::Output, 0, 0),
            text: "c".into(),
        }],
        ..Edits::default()
    };
    let reads = proof::reads_as_meant(&source, Form::Frame, &meant, &texts);
    assert!(reads.is_err(), "the old text");
}
