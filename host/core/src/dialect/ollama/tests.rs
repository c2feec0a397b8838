//! The lines are written by hand after the format that Ollama documents and its source has (`docs/api.md`, `api/types.go`): there
//! is no recording of this API.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conversations;
mod edits;
mod hostile;
mod lines;
mod portable;
mod prompts;
mod reshape;
mod said;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::framing::{Decoded, Framing, Wire};
use crate::dialect::ollama::{OllamaChat, OllamaGenerate};
use crate::dialect::sse::Frame;
use crate::dialect::{
    CallKind, CallPart, Dialect, Edits, Identity, Inbound, Piece, Received, RequestView, Slot,
    TextEdit, Undecodable, Writer,
};
use crate::event::{Channel, Place};

const CHAT: &dyn Dialect = &OllamaChat;
const GENERATE: &dyn Dialect = &OllamaGenerate;

const OUTPUT: Place = Place::new(Channel::Output, 0, 0);
const REASONING: Place = Place::new(Channel::Reasoning, 0, 0);
const OTHER: Place = Place::new(Channel::Other, 0, 0);

/// Lines of a stream, as an upstream's bytes are cut.
fn frames(stream: &[u8]) -> Vec<Frame> {
    in_chunks(stream, stream.len().max(1))
}

fn in_chunks(stream: &[u8], size: usize) -> Vec<Frame> {
    let (mut framing, mut out) = (Framing::new(Wire::Lines), Vec::new());
    for chunk in stream.chunks(size) {
        framing
            .push(Bytes::copy_from_slice(chunk), &mut out)
            .unwrap();
    }
    framing.finish(&mut out);
    let unit = |decoded| match decoded {
        Decoded::Unit(frame) => Some(frame),
        _ => None,
    };
    out.into_iter().filter_map(unit).collect()
}

fn frame(line: &Value) -> Frame {
    frames(format!("{line}\n").as_bytes()).remove(0)
}

/// What a stream says.
fn read(dialect: &dyn Dialect, stream: &[u8]) -> Result<Vec<Piece>, Undecodable> {
    let (mut reader, mut out) = (dialect.reader(), Vec::new());
    for frame in frames(stream) {
        reader.frame(&frame, &mut out)?;
    }
    Ok(out)
}

fn read_line(dialect: &dyn Dialect, line: &Value) -> Result<Vec<Piece>, Undecodable> {
    read(dialect, line.to_string().as_bytes())
}

fn read_body(dialect: &dyn Dialect, body: &[u8]) -> Result<Vec<Piece>, Undecodable> {
    let mut out = Vec::new();
    dialect.reader().body(body, &mut out)?;
    Ok(out)
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    // As `httpx` cuts them, which is the strictest.
    let cut = |c: char| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let lines = text.strip_suffix('\n').into_iter();
    lines
        .flat_map(|text| text.split(cut))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn text(place: Place, text: &str) -> Piece {
    Piece::Text {
        place,
        text: text.to_owned(),
        generated: place.channel != Channel::Other,
    }
}

/// A call as a stream says it.
fn call(number: u16, name: &str, arguments: &str) -> Piece {
    Piece::Call(CallPart {
        choice: 0,
        slot: Slot::Index(number),
        kind: CallKind::Function,
        id: None,
        name: Some(name.to_owned()),
        arguments: arguments.to_owned(),
    })
}

fn finish(reason: &str) -> Piece {
    Piece::Finish {
        choice: 0,
        reason: reason.to_owned(),
    }
}

/// All text of a place.
fn said(pieces: &[Piece], at: Place) -> String {
    let texts = pieces.iter().map(|piece| match piece {
        Piece::Text { place, text, .. } if *place == at => text.as_str(),
        _ => "",
    });
    texts.collect()
}

fn replacing(place: Place, text: &str) -> Edits<'static> {
    Edits {
        texts: vec![TextEdit {
            place,
            text: text.to_owned(),
        }],
        ..Edits::default()
    }
}

fn identity() -> Identity {
    Identity {
        id: "c1".into(),
        model: "llama3.2".into(),
        created: 1_735_689_600,
        reasoning_field: None,
    }
}

fn writer(dialect: &dyn Dialect) -> Box<dyn Writer> {
    dialect.writer(identity())
}

/// A line of a chat.
fn part(content: &str) -> Value {
    json!({"model": "llama3.2", "created_at": "2025-01-01T00:00:00.1Z",
        "message": {"role": "assistant", "content": content}, "done": false})
}

fn last() -> Value {
    json!({"model": "llama3.2", "created_at": "2025-01-01T00:00:01.1Z",
        "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "stop",
        "total_duration": 4883583458_u64, "load_duration": 1334875, "prompt_eval_count": 26,
        "prompt_eval_duration": 342546000, "eval_count": 282, "eval_duration": 4535599000_u64})
}

fn view(dialect: &dyn Dialect, body: &Value) -> Result<RequestView, Undecodable> {
    view_of(dialect.inbound(), &body.to_string())
}

fn view_of(inbound: &dyn Inbound, body: &str) -> Result<RequestView, Undecodable> {
    inbound.read_request(Received {
        path: "/api/chat",
        query: None,
        body: body.as_bytes(),
    })
}
