#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod built;
mod corpus;
mod edits;
mod hostile;
mod legs;
mod portable;
mod request_edits;
mod requests;
mod reshape;
mod said;
mod stream;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::openai_responses::OpenAiResponses;
use crate::dialect::sse::{Frame, Framer};
use crate::dialect::{
    Dialect as _, EditError, Edits, Identity, Piece, Slot, TextEdit, Undecodable, Writer,
};
use crate::event::{Channel, Place};

fn place(channel: Channel) -> Place {
    Place::new(channel, 0, 0)
}

fn frames(stream: &[u8]) -> Vec<Frame> {
    let mut framer = Framer::default();
    let mut out = Vec::new();
    framer
        .push(Bytes::copy_from_slice(stream), &mut out)
        .unwrap();
    out.extend(framer.finish());
    out
}

/// The frame of an event.
fn frame(event: Value) -> Frame {
    let name = event["type"].as_str().unwrap_or_default();
    frames(format!("event: {name}\ndata: {event}\n\n").as_bytes()).remove(0)
}

/// What a new reader reads in a stream.
fn try_read(frames: &[Frame]) -> Result<Vec<Piece>, Undecodable> {
    let mut reader = OpenAiResponses.reader();
    let mut out = Vec::new();
    for frame in frames {
        reader.frame(frame, &mut out)?;
    }
    Ok(out)
}

fn read(frames: &[Frame]) -> Vec<Piece> {
    try_read(frames).unwrap()
}

fn read_body(body: &[u8]) -> Vec<Piece> {
    let mut out = Vec::new();
    OpenAiResponses.reader().body(body, &mut out).unwrap();
    out
}

/// All text of one place.
fn said(pieces: &[Piece], channel: Channel) -> String {
    let texts = pieces.iter().map(|piece| match piece {
        Piece::Text {
            place: at, text, ..
        } if *at == place(channel) => text.as_str(),
        _ => "",
    });
    texts.collect()
}

/// Name, id and arguments of the calls in `pieces`.
fn calls(pieces: &[Piece]) -> Vec<[String; 3]> {
    let mut calls: Vec<(Slot, [String; 3])> = Vec::new();
    for piece in pieces {
        let Piece::Call(part) = piece else { continue };
        let known = calls.iter().any(|(slot, _)| *slot == part.slot);
        if !known || part.slot == Slot::Whole {
            calls.push((part.slot, Default::default()));
        }
        let (_, call) = calls
            .iter_mut()
            .rfind(|(known, _)| *known == part.slot)
            .unwrap();
        call[0].push_str(part.name.as_deref().unwrap_or_default());
        call[1].push_str(part.id.as_deref().unwrap_or_default());
        call[2].push_str(&part.arguments);
    }
    calls.into_iter().map(|(_, call)| call).collect()
}

fn identity() -> Identity {
    Identity {
        id: "resp_own".into(),
        model: "m".into(),
        created: 7,
        ..Identity::default()
    }
}

fn writer() -> Box<dyn Writer> {
    OpenAiResponses.writer(identity())
}

fn replacing(channel: Channel, text: &str) -> Edits<'static> {
    Edits {
        texts: vec![TextEdit {
            place: place(channel),
            text: text.to_owned(),
        }],
        ..Edits::default()
    }
}

/// Writes each frame with its edits.
fn write(
    writer: &mut dyn Writer,
    all: &[Frame],
    mut edits: impl FnMut(usize, &Frame) -> Edits<'static>,
) -> Result<Vec<u8>, EditError> {
    let mut out = Vec::new();
    for (n, frame) in all.iter().enumerate() {
        out.extend_from_slice(&writer.frame(frame, &edits(n, frame))?.unwrap_or_default());
    }
    Ok(out)
}

/// Data of the events of a stream.
fn events(stream: &[u8]) -> Vec<Value> {
    frames(stream)
        .iter()
        .filter_map(|frame| serde_json::from_slice(frame.data.as_deref()?).ok())
        .collect()
}

/// A small answer: a thought, a message of two parts of text, a call.
fn answer() -> Vec<Frame> {
    let response = |status: &str, output: Value| {
        json!({
            "id": "resp_1", "object": "response", "created_at": 1, "status": status, "error": null,
            "incomplete_details": null, "instructions": "be kind", "metadata": {"k": "v w"},
            "model": "m-1", "output": output, "tools": [], "usage": null,
        })
    };
    let thought = json!({"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm hm"}]});
    let message = json!({"id": "msg_1", "type": "message", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "Hello world"}]});
    let call = json!({"id": "fc_1", "type": "function_call", "status": "completed",
        "call_id": "call_1", "name": "rm", "arguments": "{\"path\":\"/\"}"});
    let at = |n: u32, id: &str| json!({"output_index": n, "item_id": id});
    let with = |mut at: Value, name: &str, more: Value| {
        at["type"] = format!("response.{name}").into();
        for (key, value) in more.as_object().unwrap() {
            at[key] = value.clone();
        }
        at
    };
    let mut done = response("completed", json!([thought, message, call]));
    done["usage"] = json!({"input_tokens": 10, "output_tokens": 5, "total_tokens": 15,
        "input_tokens_details": {"cached_tokens": 2}, "output_tokens_details": {"reasoning_tokens": 1}});
    let events = [
        json!({"type": "response.created", "response": response("in_progress", json!([]))}),
        json!({"type": "response.in_progress", "response": response("in_progress", json!([]))}),
        json!({"type": "response.output_item.added", "output_index": 0,
            "item": {"id": "rs_1", "type": "reasoning", "summary": []}}),
        with(
            at(0, "rs_1"),
            "reasoning_summary_part.added",
            json!({"summary_index": 0, "part": {"type": "summary_text", "text": ""}}),
        ),
        with(
            at(0, "rs_1"),
            "reasoning_summary_text.delta",
            json!({"summary_index": 0, "delta": "hm hm"}),
        ),
        with(
            at(0, "rs_1"),
            "reasoning_summary_text.done",
            json!({"summary_index": 0, "text": "hm hm"}),
        ),
        with(
            at(0, "rs_1"),
            "reasoning_summary_part.done",
            json!({"summary_index": 0, "part": thought["summary"][0]}),
        ),
        json!({"type": "response.output_item.done", "output_index": 0, "item": thought}),
        json!({"type": "response.output_item.added", "output_index": 1,
            "item": {"id": "msg_1", "type": "message", "status": "in_progress", "role": "assistant", "content": []}}),
        with(
            at(1, "msg_1"),
            "content_part.added",
            json!({"content_index": 0, "part": {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}}),
        ),
        with(
            at(1, "msg_1"),
            "output_text.delta",
            json!({"content_index": 0, "delta": "Hello", "logprobs": [], "obfuscation": "x9"}),
        ),
        with(
            at(1, "msg_1"),
            "output_text.delta",
            json!({"content_index": 0, "delta": " world", "logprobs": [], "obfuscation": "x9"}),
        ),
        with(
            at(1, "msg_1"),
            "output_text.done",
            json!({"content_index": 0, "text": "Hello world", "logprobs": []}),
        ),
        with(
            at(1, "msg_1"),
            "content_part.done",
            json!({"content_index": 0, "part": message["content"][0]}),
        ),
        json!({"type": "response.output_item.done", "output_index": 1, "item": message}),
        json!({"type": "response.output_item.added", "output_index": 2,
            "item": {"id": "fc_1", "type": "function_call", "status": "in_progress", "call_id": "call_1", "name": "rm", "arguments": ""}}),
        with(
            at(2, "fc_1"),
            "function_call_arguments.delta",
            json!({"delta": "{\"path\""}),
        ),
        with(
            at(2, "fc_1"),
            "function_call_arguments.delta",
            json!({"delta": ":\"/\"}"}),
        ),
        with(
            at(2, "fc_1"),
            "function_call_arguments.done",
            json!({"arguments": "{\"path\":\"/\"}"}),
        ),
        json!({"type": "response.output_item.done", "output_index": 2, "item": call}),
        json!({"type": "response.completed", "response": done}),
    ];
    let numbered = events.into_iter().enumerate().map(|(n, mut event)| {
        event["sequence_number"] = n.into();
        frame(event)
    });
    numbered.collect()
}

/// The bytes of frames.
fn joined(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.raw.to_vec()).collect()
}

/// What every client needs of a stream: one beginning, one end, events numbered without gaps, items that begin once and end once,
/// and are all in the list of the last event as they ended.
fn well_formed(stream: &[u8], name: &str) {
    let frames = frames(stream);
    let events = events(stream);
    for (frame, event) in frames.iter().filter(|frame| frame.says()).zip(&events) {
        let named = frame
            .event
            .as_ref()
            .map(|name| String::from_utf8(name.to_vec()).unwrap());
        assert_eq!(named.as_deref(), event["type"].as_str(), "{name}");
    }
    let mut open: Vec<(u64, Value)> = Vec::new();
    let mut done: Vec<(u64, Value)> = Vec::new();
    let (mut began, mut ended) = (0, 0);
    let mut parts: Vec<(u64, u64, String)> = Vec::new();
    let mut last = None;
    for event in &events {
        assert_eq!(ended, 0, "{name}: after the end: {event}");
        if let Some(number) = event["sequence_number"].as_u64() {
            assert!(
                last.is_none_or(|last| number == last + 1),
                "{name}: {last:?} {event}"
            );
            last = Some(number);
        }
        let at = event["output_index"].as_u64();
        let kind = event["type"].as_str().unwrap();
        match kind {
            "response.created" => began += 1,
            "response.completed" | "response.incomplete" | "response.failed" => {
                ended += 1;
                assert!(open.is_empty(), "{name}: {open:?}");
                let mut items = done.clone();
                items.sort_by_key(|(at, _)| *at);
                let items: Vec<Value> = items.into_iter().map(|(_, item)| item).collect();
                let same = |a: &Value, b: &Value| {
                    let strip = |value: &Value| {
                        let mut value = value.clone();
                        for key in ["id", "encrypted_content", "status"] {
                            value.as_object_mut().unwrap().shift_remove(key);
                        }
                        value
                    };
                    strip(a) == strip(b)
                };
                let listed = event["response"]["output"].as_array().unwrap();
                let all = listed.len() == items.len()
                    && listed.iter().zip(&items).all(|(a, b)| same(a, b));
                assert!(all, "{name}: {listed:#?}\n{items:#?}");
            }
            "response.output_item.added" => {
                let at = at.unwrap();
                assert!(
                    !open.iter().chain(&done).any(|(known, _)| *known == at),
                    "{name}: {event}"
                );
                open.push((at, event["item"].clone()));
            }
            "response.output_item.done" => {
                let known = open.iter().position(|(known, _)| Some(*known) == at);
                open.remove(known.unwrap_or_else(|| panic!("{name}: {event}")));
                done.push((at.unwrap(), event["item"].clone()));
            }
            _ => {
                if let Some(at) = at {
                    assert!(
                        open.iter().any(|(known, _)| *known == at),
                        "{name}: {event}"
                    );
                    for (list, field) in
                        [("content", "content_index"), ("summary", "summary_index")]
                    {
                        let Some(part) = event[field].as_u64() else {
                            continue;
                        };
                        let part = (at, part, list.to_owned());
                        match kind {
                            "response.content_part.added"
                            | "response.reasoning_summary_part.added" => parts.push(part),
                            _ => assert!(parts.contains(&part), "{name}: {event}"),
                        }
                    }
                }
            }
        }
    }
    assert_eq!((began, ended), (1, 1), "{name}");
}
