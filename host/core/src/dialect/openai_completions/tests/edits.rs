//! Chunks and bodies are edited.

use super::*;
use crate::dialect::{CallEdit, EditError, Ending, Partial};
use crate::event::Usage;

fn edited(frame: &Frame, edits: &Edits<'_>) -> Value {
    let bytes = writer().frame(frame, edits).unwrap().unwrap();
    chunks(&bytes).remove(0)
}

#[test]
fn text_is_replaced_at_its_place_and_nowhere_else() {
    let data = "data: { \"choices\":[{\"text\":\"my secret\", \"index\":0,\"finish_reason\":null},{\"text\":\"b\",\"index\":1}]}\r\n\r\n";
    let frame = frames(data.as_bytes()).remove(0);
    let bytes = writer()
        .frame(&frame, &replacing(OUTPUT, "[gone]"))
        .unwrap()
        .unwrap();
    assert_eq!(
        std::str::from_utf8(&bytes).unwrap(),
        data.replace("my secret", "[gone]")
    );
    let missing = writer().frame(&frame, &replacing(Place::new(Channel::Output, 2, 0), "x"));
    assert!(matches!(missing, Err(EditError::Impossible { .. })));
    // It remains, whatever is left of its text.
    let said = super::frame(&chunk(json!([choice(0, "x", None)])));
    assert_eq!(
        edited(&said, &replacing(OUTPUT, ""))["choices"][0]["text"],
        ""
    );
}

#[test]
fn tokens_that_repeat_what_was_replaced_go_with_it() {
    let mut first = choice(0, "a", None);
    first["logprobs"] = json!({"tokens": ["a"]});
    first["token_ids"] = json!([64]);
    let mut second = choice(1, "b", None);
    second["logprobs"] = json!({"tokens": ["b"]});
    let told = edited(
        &frame(&chunk(json!([first, second]))),
        &replacing(OUTPUT, "x"),
    );
    assert_eq!(told["choices"][0]["logprobs"], Value::Null);
    assert_eq!(told["choices"][0]["token_ids"], Value::Null);
    assert_eq!(told["choices"][1]["logprobs"], json!({"tokens": ["b"]}));
}

#[test]
fn a_later_leg_is_a_part_of_the_first() {
    let known = identity();
    let usage = Usage {
        input: 30,
        output: 8,
        exact: true,
        ..Usage::default()
    };
    let mut last = chunk(json!([choice(0, "b", Some("stop"))]));
    last["usage"] = json!({"prompt_tokens": 20, "completion_tokens": 3});
    let edits = Edits {
        identity: Some(&known),
        usage: Some(usage),
        ..Edits::default()
    };
    let told = edited(&frame(&last), &edits);
    assert_eq!(
        (&told["id"], &told["model"], &told["created"]),
        (&json!("c1"), &json!("mine"), &json!(9))
    );
    assert_eq!(told["usage"]["prompt_tokens"], 30);
    let goes_on = Edits {
        goes_on: true,
        ..Edits::default()
    };
    let told = edited(&frame(&last), &goes_on);
    assert_eq!(told["choices"][0]["finish_reason"], Value::Null);
    let ends = chunk(json!([choice(0, "", Some("stop"))]));
    assert_eq!(writer().frame(&frame(&ends), &goes_on).unwrap(), None);
    let calls = Edits {
        calls: vec![CallEdit::Drop],
        ..Edits::default()
    };
    assert!(writer().frame(&frame(&ends), &calls).is_err());
}

#[test]
fn what_no_client_reads_leaves_only_where_nobody_judges() {
    let mut said = choice(0, "a", None);
    said["delta"] = json!({"content": "hidden"});
    let frame = frame(&chunk(json!([said])));
    let plain = writer().frame(&frame, &Edits::default()).unwrap().unwrap();
    assert_eq!(plain, frame.raw);
    let alone = Edits {
        alone: true,
        ..Edits::default()
    };
    assert_eq!(edited(&frame, &alone)["choices"][0]["delta"], Value::Null);
}

#[test]
fn a_body_is_edited_and_ended_as_a_part() {
    let body = chunk(json!([
        choice(0, "old", Some("stop")),
        choice(1, "b", Some("stop"))
    ]));
    let body = Bytes::from(body.to_string());
    let mut edits = replacing(OUTPUT, "new");
    edits.before = vec![TextEdit {
        place: OUTPUT,
        text: "One. ".into(),
    }];
    let told: Value = serde_json::from_slice(&writer().body(&body, &edits).unwrap()).unwrap();
    assert_eq!(told["choices"][0]["text"], "One. new");
    assert_eq!(told["choices"][1]["text"], "b");
    let ending = Ending::Partial(Partial {
        reason: "budget".into(),
        confidence: None,
        policy: "token-budget".into(),
    });
    let ended: Value = serde_json::from_slice(&writer().end_body(&body, &ending).unwrap()).unwrap();
    assert_eq!(ended["choices"][1]["finish_reason"], "length");
    assert_eq!(ended["airlock"]["policy"], "token-budget");
}
