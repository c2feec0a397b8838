#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod corpus;
mod edits;
mod requests;
mod responses;
mod said;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::openai_completions::OpenAiCompletions;
use crate::dialect::sse::{Frame, Framer};
use crate::dialect::{
    Dialect, Edits, Identity, Piece, Received, RequestView, TextEdit, Undecodable, Writer,
};
use crate::event::{Channel, Place};

const API: &dyn Dialect = &OpenAiCompletions;
const OUTPUT: Place = Place::new(Channel::Output, 0, 0);
const OTHER: Place = Place::new(Channel::Other, 0, 0);

fn frames(stream: &[u8]) -> Vec<Frame> {
    in_chunks(stream, stream.len().max(1))
}

fn in_chunks(stream: &[u8], size: usize) -> Vec<Frame> {
    let (mut framer, mut out) = (Framer::default(), Vec::new());
    for chunk in stream.chunks(size) {
        framer
            .push(Bytes::copy_from_slice(chunk), &mut out)
            .unwrap();
    }
    out.extend(framer.finish());
    out
}

/// One frame with this data.
fn frame(data: &Value) -> Frame {
    frames(format!("data: {data}\n\n").as_bytes()).remove(0)
}

fn read_all(frames: &[Frame]) -> Result<Vec<Piece>, Undecodable> {
    let (mut reader, mut out) = (API.reader(), Vec::new());
    for frame in frames {
        reader.frame(frame, &mut out)?;
    }
    Ok(out)
}

fn read(data: &Value) -> Result<Vec<Piece>, Undecodable> {
    read_all(&[frame(data)])
}

fn read_body(body: &[u8]) -> Result<Vec<Piece>, Undecodable> {
    let mut out = Vec::new();
    API.reader().body(body, &mut out)?;
    Ok(out)
}

/// All text of a place.
fn said(pieces: &[Piece], at: Place) -> String {
    let texts = pieces.iter().map(|piece| match piece {
        Piece::Text { place, text, .. } if *place == at => text.as_str(),
        _ => "",
    });
    texts.collect()
}

fn text(place: Place, text: &str) -> Piece {
    Piece::Text {
        place,
        text: text.to_owned(),
        generated: place.channel != Channel::Other,
    }
}

fn finish(choice: u16, reason: &str) -> Piece {
    Piece::Finish {
        choice,
        reason: reason.to_owned(),
    }
}

fn choice(index: u16, text: &str, reason: Option<&str>) -> Value {
    json!({"text": text, "index": index, "logprobs": null, "finish_reason": reason})
}

fn chunk(choices: Value) -> Value {
    json!({"id": "cmpl-1", "object": "text_completion", "created": 7, "model": "m", "choices": choices})
}

fn identity() -> Identity {
    Identity {
        id: "c1".into(),
        model: "mine".into(),
        created: 9,
        reasoning_field: None,
    }
}

fn writer() -> Box<dyn Writer> {
    API.writer(identity())
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

fn view(body: &str) -> Result<RequestView, Undecodable> {
    API.inbound().read_request(received(body))
}

fn received(body: &str) -> Received<'_> {
    Received {
        path: "/v1/completions",
        query: None,
        body: body.as_bytes(),
    }
}

/// The JSON of the frames that have any.
fn chunks(bytes: &[u8]) -> Vec<Value> {
    frames(bytes)
        .iter()
        .filter_map(|frame| serde_json::from_slice(frame.data.as_ref()?).ok())
        .collect()
}
