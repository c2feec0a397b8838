//! Recorded streams, each with a decoding made by another program. The recordings are not part of the project:
//! `AIRLOCK_CORPUS` names their folder, `../shared/data/sse` beside the project is the default, and without either nothing is
//! read here.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{calls, frames, gemini, read_all, read_body, replacing, said, view, writer};
use crate::dialect::framing::{Decoded, Framing, Wire};
use crate::dialect::sse::Frame;
use crate::dialect::{CallPart, Dialect as _, Edits, Piece, Slot, usage};
use crate::event::Channel;

struct Recording {
    name: String,
    stream: Vec<u8>,
    expect: Value,
    request: Option<String>,
}

fn recordings() -> Vec<Recording> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap();
    let beside = || root.join("../shared/data/sse");
    let corpus = std::env::var_os("AIRLOCK_CORPUS").map_or_else(beside, PathBuf::from);
    let Ok(index) = std::fs::read_to_string(corpus.join("index.jsonl")) else {
        eprintln!("no recorded streams at {}", corpus.display());
        return Vec::new();
    };
    let records = index
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_api = records.filter(|record| record["api"] == "gemini");
    let read = |record: Value| {
        let name = record["file"].as_str().unwrap().to_owned();
        let request = record["request_file"].as_str();
        Recording {
            stream: std::fs::read(corpus.join(&name)).unwrap(),
            request: request.map(|file| std::fs::read_to_string(corpus.join(file)).unwrap()),
            expect: record["expect"].clone(),
            name,
        }
    };
    of_api.map(read).collect()
}

fn with_data(frames: &[Frame]) -> usize {
    frames.iter().filter(|frame| frame.says()).count()
}

#[test]
fn recorded_streams_read_as_another_decoder_read_them() {
    for Recording {
        name,
        stream,
        expect,
        ..
    } in recordings()
    {
        let frames = frames(&stream);
        assert_eq!(with_data(&frames) as u64, expect["n_events"], "{name}");
        let pieces = read_all(&frames).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (channel, field) in [(Channel::Output, "text"), (Channel::Reasoning, "reasoning")] {
            let text = said(&pieces, channel);
            let hash = format!("{:x}", Sha256::digest(text.as_bytes()));
            let expected = expect[format!("{field}_sha256_16")].as_str().unwrap();
            assert_eq!(
                text.chars().count() as u64,
                expect[format!("{field}_len_chars")],
                "{name}: {field}"
            );
            assert!(hash.starts_with(expected), "{name}: {field}");
        }
        let calls = calls(&pieces);
        let expected = expect["tool_calls"].as_array().unwrap();
        assert_eq!(calls.len(), expected.len(), "{name}: calls");
        for (call, expected) in calls.iter().zip(expected) {
            assert_eq!(call.name.as_deref(), expected["name"].as_str(), "{name}");
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
            // The other decoder does not read arguments that come in parts.
            if !name.contains("stream-tool-call") {
                let expected: Value =
                    serde_json::from_str(expected["arguments"].as_str().unwrap()).unwrap();
                assert_eq!(arguments, expected, "{name}");
            } else {
                assert!(
                    arguments
                        .as_object()
                        .is_some_and(|fields| !fields.is_empty()),
                    "{name}: {arguments}"
                );
            }
        }
        let finishes: Vec<&str> = pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Finish { choice: 0, reason } => Some(reason.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(finishes, [expect["finish"].as_str().unwrap()], "{name}");
        let last = pieces.iter().rev().find_map(|piece| match piece {
            Piece::Usage(usage) => Some(*usage),
            _ => None,
        });
        assert_eq!(last, usage::read(&expect["usage"]), "{name}");
        let count = |field: &str| expect["usage"][field].as_u64().unwrap_or(0) as u32;
        let generated = count("candidatesTokenCount") + count("thoughtsTokenCount");
        assert_eq!(last.unwrap().output, generated, "{name}");
    }
}

#[test]
fn recorded_streams_pass_byte_for_byte() {
    for Recording { name, stream, .. } in recordings() {
        let mut writer = writer();
        let mut out = Vec::new();
        for frame in frames(&stream) {
            out.extend(writer.frame(&frame, &Edits::default()).unwrap().unwrap());
        }
        assert!(out == stream, "{name}");
    }
}

#[test]
fn recorded_streams_say_the_same_at_every_cut() {
    for Recording { name, stream, .. } in recordings() {
        let whole = read_all(&frames(&stream)).unwrap();
        for size in [1, 2, 3, 7, 100, 1447] {
            let (mut framing, mut decoded) = (Framing::new(Wire::Events), Vec::new());
            for chunk in stream.chunks(size) {
                framing
                    .push(Bytes::copy_from_slice(chunk), &mut decoded)
                    .unwrap();
            }
            framing.finish(&mut decoded);
            let units: Vec<Frame> = decoded
                .into_iter()
                .filter_map(|decoded| match decoded {
                    Decoded::Unit(frame) => Some(frame.bare()),
                    _ => None,
                })
                .collect();
            assert_eq!(
                read_all(&units).unwrap(),
                whole,
                "{name} in chunks of {size}"
            );
        }
    }
}

/// Calls as a body has them.
fn whole(calls: Vec<CallPart>) -> Vec<(Option<String>, Option<String>, Value)> {
    let arguments = |call: &CallPart| serde_json::from_str(&call.arguments).unwrap();
    calls
        .into_iter()
        .map(|call| (call.id.clone(), call.name.clone(), arguments(&call)))
        .collect()
}

#[test]
fn recorded_streams_say_the_same_as_a_body() {
    for Recording { name, stream, .. } in recordings() {
        let frames = frames(&stream);
        let streamed = read_all(&frames).unwrap();
        let body = writer().body_of_stream(&frames).unwrap();
        let pieces = read_body(&body).unwrap_or_else(|error| panic!("{name}: {error}"));
        for channel in [Channel::Output, Channel::Reasoning] {
            assert_eq!(said(&pieces, channel), said(&streamed, channel), "{name}");
        }
        let sorted = |pieces: &[Piece]| {
            let mut text: Vec<char> = said(pieces, Channel::Other).chars().collect();
            text.sort_unstable();
            text
        };
        assert_eq!(sorted(&pieces), sorted(&streamed), "{name}: what is beside");
        assert!(calls(&pieces).iter().all(|call| call.slot == Slot::Whole));
        assert_eq!(whole(calls(&pieces)), whole(calls(&streamed)), "{name}");
        let usages = |pieces: &[Piece]| {
            pieces
                .iter()
                .rev()
                .find(|p| matches!(p, Piece::Usage(_)))
                .cloned()
        };
        assert_eq!(usages(&pieces), usages(&streamed), "{name}");
        assert_eq!(pieces.last(), Some(&Piece::End), "{name}");
        // And back.
        let again = super::frames(&writer().stream_of_body(&body).unwrap());
        let again = read_all(&again).unwrap();
        assert_eq!(
            said(&again, Channel::Output),
            said(&streamed, Channel::Output),
            "{name}"
        );
        assert_eq!(whole(calls(&again)), whole(calls(&streamed)), "{name}");
        let mut first = gemini().reader();
        first.body(&body, &mut Vec::new()).unwrap();
        assert!(
            !first.identity().id.is_empty() && !first.identity().model.is_empty(),
            "{name}"
        );
    }
}

#[test]
fn what_recorded_streams_say_is_replaced_wherever_it_stands() {
    for Recording { name, stream, .. } in recordings() {
        let mut writer = writer();
        let mut out = Vec::new();
        for frame in frames(&stream) {
            let one = std::slice::from_ref(&frame);
            // Parts of calls cannot be read without those before them.
            let text = read_all(one)
                .map(|pieces| said(&pieces, Channel::Output))
                .unwrap_or_default();
            let edits = match text.is_empty() {
                true => Edits::default(),
                false => replacing(Channel::Output, "#"),
            };
            match writer.frame(&frame, &edits) {
                Ok(written) => out.extend(written.unwrap_or_default()),
                // It is all signed.
                Err(error) => {
                    let data = String::from_utf8_lossy(&frame.raw);
                    assert!(data.contains("thoughtSignature"), "{name}: {error}");
                }
            }
        }
        let pieces = read_all(&frames(&out)).unwrap();
        let text = said(&pieces, Channel::Output);
        assert!(text.chars().all(|c| c == '#'), "{name}: {text}");
        let quotes = String::from_utf8(out).unwrap().contains("\"segment\"");
        assert!(
            !quotes || text.is_empty(),
            "{name}: what was replaced is quoted"
        );
    }
}

#[test]
fn recorded_requests_are_read() {
    for Recording { name, request, .. } in recordings() {
        let Some(request) = request else { continue };
        let view = view(&request).unwrap_or_else(|error| panic!("{name}: {error}"));
        let last = view.messages.last().unwrap();
        assert!(
            !last.text.is_empty() || !last.tool_results.is_empty(),
            "{name}"
        );
        for message in &view.messages {
            for result in &message.tool_results {
                let mut calls = view.messages.iter().flat_map(|m| &m.tool_calls);
                assert!(calls.any(|call| call.id == result.id), "{name}: {result:?}");
            }
        }
    }
}
