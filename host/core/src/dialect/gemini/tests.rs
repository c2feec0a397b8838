#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod corpus;
mod cuts;
mod edits;
mod hostile;
mod portable;
mod request_edits;
mod requests;
mod responses;
mod said;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::gemini::{Gemini, Version};
use crate::dialect::sse::{Frame, Framer};
use crate::dialect::{
    CallPart, Dialect as _, Edits, Identity, Inbound as _, Outbound as _, Piece, Received,
    RequestView, TextEdit, ToolCallView, Undecodable, Writer,
};
use crate::event::{Channel, Place};

fn gemini() -> &'static Gemini {
    Gemini::asked(Version::V1Beta, Some("alt=sse"))
}

fn writer() -> Box<dyn Writer> {
    gemini().writer(identity())
}

fn array_writer() -> Box<dyn Writer> {
    Gemini::asked(Version::V1Beta, None).writer(identity())
}

fn identity() -> Identity {
    Identity {
        id: "airlock-1".to_owned(),
        model: "gemini-3".to_owned(),
        ..Identity::default()
    }
}

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

/// One frame with this data, as Google ends it.
fn frame(data: &Value) -> Frame {
    frames(format!("data: {data}\r\n\r\n").as_bytes()).remove(0)
}

/// A response of one candidate that says these parts.
fn says(parts: Value) -> Value {
    json!({"candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0}], "responseId": "r1", "modelVersion": "m1"})
}

/// The same, and its candidate finishes.
fn ends(parts: Value) -> Value {
    let mut said = says(parts);
    said["candidates"][0]["finishReason"] = json!("STOP");
    said["usageMetadata"] =
        json!({"promptTokenCount": 4, "candidatesTokenCount": 2, "totalTokenCount": 6});
    said
}

fn read_all(frames: &[Frame]) -> Result<Vec<Piece>, Undecodable> {
    let (mut reader, mut out) = (gemini().reader(), Vec::new());
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
    gemini().reader().body(body, &mut out)?;
    Ok(out)
}

/// All text of a channel of the first choice.
fn said(pieces: &[Piece], channel: Channel) -> String {
    let texts = pieces.iter().map(|piece| match piece {
        Piece::Text {
            place: at, text, ..
        } if *at == place(channel) => text.as_str(),
        _ => "",
    });
    texts.collect()
}

/// Name, id and arguments of each call, its parts joined.
fn calls(pieces: &[Piece]) -> Vec<CallPart> {
    let mut calls: Vec<CallPart> = Vec::new();
    for piece in pieces {
        let Piece::Call(part) = piece else { continue };
        match &part.id {
            Some(_) => calls.push(part.clone()),
            None => {
                let open = calls.iter_mut().rev().find(|call| call.slot == part.slot);
                open.unwrap().arguments.push_str(&part.arguments);
            }
        }
    }
    calls
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

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

/// The data of the events in these bytes.
fn events(bytes: &[u8]) -> Vec<Value> {
    frames(bytes)
        .iter()
        .filter_map(|frame| frame.data.as_deref().map(parsed))
        .collect()
}

fn asked(body: &str) -> Received<'_> {
    Received {
        path: "/v1beta/models/gemini-3:streamGenerateContent",
        query: Some("alt=sse"),
        body: body.as_bytes(),
    }
}

fn view(body: &str) -> Result<RequestView, Undecodable> {
    gemini().read_request(asked(body))
}

fn edited(body: &str, edits: &crate::dialect::RequestEdits) -> Value {
    parsed(&gemini().edit_request(body.as_bytes(), edits).unwrap())
}

/// Base64 that is long enough for a signature.
const SIGNATURE: &str = "EqADCp0DAQw51sctaTt62vj/AeY+J46HScGM";

/// A request with everything in it, in both spellings.
const CONVERSATION: &str = r#"{
  "system_instruction": {"parts": {"text": "Be brief."}},
  "contents": [
    {"role": "user", "parts": [{"text": "tidy"}, {"text": "up"}, {"inline_data": {"mime_type": "image/png", "data": "aGVsbG8="}}]},
    {"role": "model", "parts": [{"text": "hm", "thought": true}, {"text": "I "}]},
    {"role": "model", "parts": [{"text": "try"}, {"functionCall": {"name": "rm", "args": {"path": "/"}}}, {"functionCall": {"name": "rm", "args": {}}}, {"functionCall": {"name": "ls", "id": "c9"}}]},
    {"role": "user", "parts": [
      {"functionResponse": {"name": "rm", "response": {"output": "first"}}},
      {"functionResponse": {"name": "ls", "id": "c9", "response": {"files": ["a"]}}},
      {"function_response": {"name": "rm", "response": {"error": "second"}}}
    ]},
    {"parts": [{"text": "and now?"}]}
  ],
  "generationConfig": {"maxOutputTokens": "100", "candidateCount": 2, "responseMimeType": "application/json"},
  "tools": [{"functionDeclarations": [{"name": "rm"}, {"name": "ls"}]}, {"googleSearch": {}}],
  "labels": {"session_id": "s1"},
  "cachedContent": "cachedContents/x"
}"#;

fn made(id: &str, name: &str, arguments: &str) -> ToolCallView {
    ToolCallView {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        ..ToolCallView::default()
    }
}
