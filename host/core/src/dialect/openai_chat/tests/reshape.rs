//! What a stream says, its body says, and the other way round.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::dialect::openai_chat::OpenAiChat;
use crate::dialect::openai_chat::tests::corpus::{Recording, recordings};
use crate::dialect::openai_chat::tests::{frames, read_all};
use crate::dialect::{Identity, Piece, Slot};
use crate::event::{Channel, Usage};

/// What a client makes of pieces: text by place, calls by place, finish reasons, the last usage.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    texts: BTreeMap<String, String>,
    /// Id, name and arguments, by choice, in order of appearance.
    calls: BTreeMap<u16, Vec<[String; 3]>>,
    finishes: BTreeMap<u16, String>,
    usage: Option<Usage>,
}

/// Calls are counted from 0, wherever a stream begins.
fn heard(pieces: Vec<Piece>) -> Heard {
    let mut heard = Heard::default();
    let mut slots: BTreeMap<u16, Vec<Slot>> = BTreeMap::new();
    for piece in pieces {
        match piece {
            // Fields that no dialect knows are said in any order.
            Piece::Text { place, .. } if place.channel == Channel::Other => {}
            Piece::Text { place, text, .. } => {
                *heard.texts.entry(format!("{place:?}")).or_default() += &text;
            }
            Piece::Call(part) => {
                let slots = slots.entry(part.choice).or_default();
                let calls = heard.calls.entry(part.choice).or_default();
                let known = match part.slot {
                    Slot::Whole => None,
                    slot => slots.iter().position(|s| *s == slot),
                };
                let at = known.unwrap_or_else(|| {
                    slots.push(part.slot);
                    calls.push(Default::default());
                    calls.len() - 1
                });
                let call = &mut calls[at];
                call[0] = part.id.unwrap_or(std::mem::take(&mut call[0]));
                if let Some(name) = part.name.filter(|name| *name != call[1]) {
                    call[1] += &name;
                }
                call[2] += &part.arguments;
            }
            Piece::Finish { choice, reason } => {
                heard.finishes.insert(choice, reason);
            }
            Piece::Usage(usage) => heard.usage = Some(usage),
            Piece::Error(_) | Piece::End | Piece::Beside => {}
        }
    }
    heard
}

fn body_pieces(body: &[u8]) -> Vec<Piece> {
    let mut out = Vec::new();
    OpenAiChat
        .read_body(body, &mut Identity::default(), &mut out)
        .unwrap();
    out
}

#[test]
fn recorded_streams_say_as_bodies_what_they_said_and_as_streams_again() {
    let mut whole = 0;
    for Recording { name, stream, .. } in recordings() {
        let frames = frames(&stream);
        let pieces = read_all(&frames);
        if pieces.iter().any(|piece| matches!(piece, Piece::Error(_))) {
            let body: Value =
                serde_json::from_slice(&OpenAiChat.body_of_stream(&frames).unwrap()).unwrap();
            assert!(!body["error"].is_null(), "{name}");
            continue;
        }
        let said = heard(pieces);
        if said.finishes.is_empty() {
            continue;
        }
        let body = OpenAiChat.body_of_stream(&frames).unwrap();
        assert_eq!(heard(body_pieces(&body)), said, "{name}");
        let again = OpenAiChat.stream_of_body(&body).unwrap();
        assert_eq!(
            heard(read_all(&crate::dialect::openai_chat::tests::frames(
                &again
            ))),
            said,
            "{name}"
        );
        whole += 1;
    }
    assert!(whole > 0);
}

#[test]
fn a_stream_without_its_end_is_no_body() {
    let chunk = |delta: Value| {
        format!(
            "data: {}\n\n",
            json!({"choices": [{"index": 0, "delta": delta}]})
        )
    };
    for stream in [
        String::new(),
        ": only a comment\n\n".to_owned(),
        "data: [DONE]\n\n".to_owned(),
        chunk(json!({"content": "half"})),
        format!(
            "{}data: {{broken\n\ndata: [DONE]\n\n",
            chunk(json!({"content": "half"}))
        ),
    ] {
        assert!(
            OpenAiChat
                .body_of_stream(&frames(stream.as_bytes()))
                .is_err(),
            "{stream}"
        );
    }
}

#[test]
fn two_calls_at_one_index_stay_two() {
    let call = |call: Value| {
        let chunk = json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": null}]});
        format!("data: {chunk}\n\n")
    };
    let stream = [
        call(json!({"index": 0, "id": "c1", "function": {"name": "look", "arguments": "{"}})),
        call(json!({"index": 0, "id": "c1", "function": {"name": "look", "arguments": "}"}})),
        call(json!({"index": 0, "id": "c2", "function": {"name": "delete", "arguments": "{}"}})),
        call(json!({"id": "c3", "function": {"name": "look", "arguments": "{}"}})),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    let body = OpenAiChat
        .body_of_stream(&frames(stream.as_bytes()))
        .unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        body["choices"][0]["message"]["tool_calls"],
        json!([
            {"id": "c1", "function": {"name": "look", "arguments": "{}"}},
            {"id": "c2", "function": {"name": "delete", "arguments": "{}"}},
            {"id": "c3", "function": {"name": "look", "arguments": "{}"}}
        ])
    );
}

#[test]
fn a_body_that_states_an_error_is_a_stream_that_does() {
    let body = json!({"error": {"message": "no", "code": "c"}}).to_string();
    let stream = OpenAiChat.stream_of_body(body.as_bytes()).unwrap();
    assert_eq!(stream, format!("data: {body}\n\n"));
    for body in [
        "",
        "null",
        "[]",
        "{}",
        "{\"choices\":7}",
        "{\"choices\":[7]}",
        "{\"choices\":[{}]}",
        "<html>",
    ] {
        assert!(
            OpenAiChat.stream_of_body(body.as_bytes()).is_err(),
            "{body}"
        );
    }
}
