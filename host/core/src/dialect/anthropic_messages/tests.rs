#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bodies;
mod corpus;
mod hostile;
mod portable;
mod reading;
mod requests;
mod requests_edited;
mod said;
mod splices;
mod writing;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::anthropic_messages::AnthropicMessages;
use crate::dialect::sse::{Frame, Framer};
use crate::dialect::{
    CallEdit, Dialect, Edits, Identity, Piece, Received, RequestEdits, RequestView, TextEdit,
    Undecodable, Writer,
};
use crate::event::{Channel, Place};

const DIALECT: AnthropicMessages = AnthropicMessages;

fn place(channel: Channel) -> Place {
    Place::new(channel, 0, 0)
}

fn frames(stream: &[u8]) -> Vec<Frame> {
    let (mut framer, mut out) = (Framer::default(), Vec::new());
    framer
        .push(Bytes::copy_from_slice(stream), &mut out)
        .unwrap();
    out.extend(framer.finish());
    out
}

/// An event as the vendor frames it.
fn event(data: &Value) -> String {
    format!(
        "event: {}\ndata: {data}\n\n",
        data["type"].as_str().unwrap()
    )
}

fn stream(events: &[Value]) -> String {
    events.iter().map(event).collect()
}

fn start(id: &str) -> Value {
    json!({"type": "message_start", "message": {"id": id, "type": "message", "role": "assistant", "model": "claude-x",
        "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 4, "output_tokens": 1}}})
}

fn begin(index: u32, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn add(index: u32, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn stop(index: u32) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

fn text(index: u32, parts: &[&str]) -> Vec<Value> {
    let mut events = vec![begin(index, json!({"type": "text", "text": ""}))];
    let parts = parts.iter();
    events.extend(parts.map(|part| add(index, json!({"type": "text_delta", "text": part}))));
    events.push(stop(index));
    events
}

/// A signature, or something encrypted.
const SIGNED: &str = "EqUDCkYICxgCKkB94vhGG6xKjNnGimHMfRxMKRoDnfxu8X0ubqexC";

fn thinking(index: u32, thought: &str) -> Vec<Value> {
    vec![
        begin(
            index,
            json!({"type": "thinking", "thinking": "", "signature": ""}),
        ),
        add(
            index,
            json!({"type": "thinking_delta", "thinking": thought}),
        ),
        add(
            index,
            json!({"type": "signature_delta", "signature": SIGNED}),
        ),
        stop(index),
    ]
}

fn call(index: u32, id: &str, name: &str, parts: &[&str]) -> Vec<Value> {
    let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
    let mut events = vec![begin(index, block)];
    let delta = |part: &&str| json!({"type": "input_json_delta", "partial_json": part});
    events.extend(parts.iter().map(|part| add(index, delta(part))));
    events.push(stop(index));
    events
}

fn end(reason: &str) -> Vec<Value> {
    vec![
        json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}, "usage": {"output_tokens": 7}}),
        json!({"type": "message_stop"}),
    ]
}

fn message(parts: &[Vec<Value>], reason: &str) -> Vec<Value> {
    let mut events = vec![start("msg_1")];
    events.extend(parts.iter().flatten().cloned());
    events.extend(end(reason));
    events
}

fn read(stream: &[u8]) -> Result<Vec<Piece>, Undecodable> {
    let (mut reader, mut out) = (DIALECT.reader(), Vec::new());
    for frame in frames(stream) {
        reader.frame(&frame, &mut out)?;
    }
    Ok(out)
}

fn read_body(body: &[u8]) -> Result<Vec<Piece>, Undecodable> {
    let mut out = Vec::new();
    DIALECT.reader().body(body, &mut out)?;
    Ok(out)
}

/// All text of one channel.
fn said(pieces: &[Piece], channel: Channel) -> String {
    let texts = pieces.iter().map(|piece| match piece {
        Piece::Text { place, text, .. } if place.channel == channel => text.as_str(),
        _ => "",
    });
    texts.collect()
}

/// Name, id and arguments of the calls.
fn calls(pieces: &[Piece]) -> Vec<[String; 3]> {
    let mut calls: Vec<(crate::dialect::Slot, [String; 3])> = Vec::new();
    for piece in pieces {
        let Piece::Call(part) = piece else { continue };
        let known = calls
            .iter()
            .position(|(slot, _)| *slot == part.slot && part.slot != crate::dialect::Slot::Whole);
        let at = known.unwrap_or_else(|| {
            calls.push((part.slot, Default::default()));
            calls.len() - 1
        });
        let call = &mut calls[at].1;
        call[0].push_str(part.name.as_deref().unwrap_or_default());
        call[1].push_str(part.id.as_deref().unwrap_or_default());
        call[2].push_str(&part.arguments);
    }
    calls.into_iter().map(|(_, call)| call).collect()
}

fn finish(pieces: &[Piece]) -> Option<&str> {
    pieces.iter().rev().find_map(|piece| match piece {
        Piece::Finish { reason, .. } => Some(reason.as_str()),
        _ => None,
    })
}

fn identity() -> Identity {
    Identity {
        id: "msg_own".to_owned(),
        model: "claude-own".to_owned(),
        ..Identity::default()
    }
}

fn writer() -> Box<dyn Writer> {
    DIALECT.writer(identity())
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

fn of_call(edit: CallEdit) -> Edits<'static> {
    Edits {
        calls: vec![edit],
        ..Edits::default()
    }
}

fn changed(index: u16, arguments: Option<&str>) -> CallEdit {
    CallEdit::Change {
        index,
        arguments: arguments.map(str::to_owned),
        id_said: false,
        name_said: false,
    }
}

/// Writes a stream, each frame with the edits that `of` gives it.
fn write<'e>(writer: &mut dyn Writer, stream: &str, of: impl Fn(&Value) -> Edits<'e>) -> String {
    let mut out = Vec::new();
    for frame in frames(stream.as_bytes()) {
        let data: Value = serde_json::from_slice(frame.data.as_ref().unwrap()).unwrap();
        let written = writer.frame(&frame, &of(&data)).unwrap();
        out.extend_from_slice(&written.unwrap_or_default());
    }
    String::from_utf8(out).unwrap()
}

/// Events of a stream, each of which is named by its line as by its data.
fn events(stream: &str) -> Vec<Value> {
    let events = frames(stream.as_bytes()).into_iter().map(|frame| {
        let data: Value = serde_json::from_slice(frame.data.as_ref().unwrap()).unwrap();
        assert_eq!(
            frame.event.as_deref().unwrap(),
            data["type"].as_str().unwrap().as_bytes()
        );
        data
    });
    events.collect()
}

fn view(body: &str) -> Result<RequestView, Undecodable> {
    DIALECT.inbound().read_request(Received {
        path: "/v1/messages",
        query: None,
        body: body.as_bytes(),
    })
}

fn edited(body: &str, edits: &RequestEdits) -> String {
    let edited = DIALECT.outbound().edit_request(body.as_bytes(), edits);
    String::from_utf8(edited.unwrap()).unwrap()
}
