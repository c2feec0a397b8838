//! Recorded streams of many servers, each with a decoding made by another program. The recordings are not part of the
//! project: `AIRLOCK_CORPUS` names their folder, `../shared/data/sse` beside the project is the default.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{calls, frames, read, read_body, replacing, said, try_read, write, writer};
use crate::dialect::sse::Frame;
use crate::dialect::{CallEdit, CallPart, Edits, Piece};
use crate::event::Channel;

const CHANNELS: [Channel; 4] = [
    Channel::Output,
    Channel::Reasoning,
    Channel::Refusal,
    Channel::Other,
];

struct Recording {
    name: String,
    stream: Vec<u8>,
    expect: Value,
}

/// Its parts say `successfully.`, and what is said whole `successfully in the container`: no client reads that for certain.
const CONTRADICTS: [&str; 1] = ["vercel-ai/openai_responses_openai-shell-container.1.sse"];

/// Parts are missing in it, and what is said whole goes on where they end. The other decoder reads the parts alone.
const GOES_BEYOND: [&str; 1] = ["vercel-ai/openai_responses_openai-phase.1.sse"];

fn all_recordings() -> Vec<Recording> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap();
    let corpus = std::env::var_os("AIRLOCK_CORPUS")
        .map_or_else(|| root.join("../../shared/data/sse"), PathBuf::from);
    let corpus = match corpus.exists() {
        true => corpus,
        false => root.join("../shared/data/sse"),
    };
    let Ok(index) = std::fs::read_to_string(corpus.join("index.jsonl")) else {
        eprintln!("no recorded streams at {}", corpus.display());
        return Vec::new();
    };
    let records = index
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let records = records.filter(|record: &Value| record["api"] == "openai-responses");
    let read = |record: Value| {
        let name = record["file"].as_str().unwrap().to_owned();
        Recording {
            stream: std::fs::read(corpus.join(&name)).unwrap(),
            name,
            expect: record["expect"].clone(),
        }
    };
    records.map(read).collect()
}

fn recordings() -> Vec<Recording> {
    let mut all = all_recordings();
    all.retain(|recording| !CONTRADICTS.contains(&recording.name.as_str()));
    all
}

#[test]
fn recordings_that_contradict_themselves_are_refused() {
    let all = all_recordings().into_iter();
    for Recording { name, stream, .. } in all.filter(|r| CONTRADICTS.contains(&r.name.as_str())) {
        assert!(try_read(&frames(&stream)).is_err(), "{name}");
    }
}

/// A few recordings are several streams in one file.
fn answers(all: &[Frame]) -> Vec<Vec<Frame>> {
    let mut answers: Vec<Vec<Frame>> = Vec::new();
    for frame in all {
        let begins = frame.data.as_ref().is_some_and(|data| {
            let event: Value = serde_json::from_slice(data).unwrap_or_default();
            event["type"] == "response.created"
        });
        match answers.last_mut() {
            Some(answer) if !begins || !answer.iter().any(Frame::says) => {
                answer.push(frame.clone())
            }
            _ => answers.push(vec![frame.clone()]),
        }
    }
    answers
}

fn digest(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn recorded_streams_read_as_another_decoder_read_them() {
    for Recording {
        name,
        stream,
        expect,
    } in recordings()
    {
        let pieces = try_read(&frames(&stream)).unwrap_or_else(|error| panic!("{name}: {error}"));
        if GOES_BEYOND.contains(&name.as_str()) {
            let body = writer().body_of_stream(&frames(&stream)).unwrap();
            let whole = said(&read_body(&body), Channel::Output);
            assert_eq!(said(&pieces, Channel::Output), whole, "{name}");
            continue;
        }
        for (channel, field) in [(Channel::Output, "text"), (Channel::Reasoning, "reasoning")] {
            let text = said(&pieces, channel);
            let length = text.chars().count() as u64;
            assert_eq!(
                length,
                expect[format!("{field}_len_chars")],
                "{name}: {field}"
            );
            assert_eq!(
                digest(&text),
                expect[format!("{field}_sha256_16")],
                "{name}: {field}"
            );
        }
        let expected: Vec<[String; 3]> = expect["tool_calls"]
            .as_array()
            .unwrap()
            .iter()
            .map(|call| {
                ["name", "id", "arguments"]
                    .map(|field| call[field].as_str().unwrap_or_default().to_owned())
            })
            .collect();
        let mut read = calls(&pieces);
        // The other decoder does not read those of tools that OpenAI describes.
        read.retain(|[name, ..]| !matches!(name.as_str(), "local_shell" | "shell" | "apply_patch"));
        // Of several streams in one file it takes calls of one number for one.
        if answers(&frames(&stream)).len() > 1 {
            read.retain(|call| expected.contains(call));
        }
        assert_eq!(read, expected, "{name}: tool calls");
        let finishes = pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Finish { .. }));
        assert_eq!(
            finishes,
            expect["finish"] == "response.completed",
            "{name}: {}",
            expect["finish"]
        );
        assert!(pieces.contains(&Piece::End), "{name}");
        let usage = pieces.iter().rev().find_map(|piece| match piece {
            Piece::Usage(usage) => Some((u64::from(usage.input), u64::from(usage.output))),
            _ => None,
        });
        let stated = |key: &str| expect["usage"][key].as_u64();
        assert_eq!(
            usage,
            stated("input_tokens").zip(stated("output_tokens")),
            "{name}: usage"
        );
        let errors = pieces
            .iter()
            .filter(|piece| matches!(piece, Piece::Error(_)))
            .count();
        let expected = expect["errors"].as_array().map_or(0, Vec::len).min(1);
        assert_eq!(errors, expected, "{name}: errors");
    }
}

#[test]
fn recorded_streams_pass_byte_for_byte() {
    for Recording { name, stream, .. } in recordings() {
        // A stream without fields `event` gets them.
        if !stream.windows(7).any(|bytes| bytes == b"event: ") {
            continue;
        }
        let all = frames(&stream);
        let out = write(&mut *writer(), &all, |_, _| Edits::default()).unwrap();
        assert!(out == stream, "{name}");
    }
}

/// All text by channel, and all calls.
fn all_said(pieces: &[Piece]) -> (Vec<String>, Vec<[String; 3]>) {
    let texts = CHANNELS.map(|channel| said(pieces, channel));
    (texts.to_vec(), calls(pieces))
}

#[test]
fn recorded_streams_read_alike_when_they_are_reshaped() {
    for Recording { name, stream, .. } in recordings() {
        for answer in answers(&frames(&stream)) {
            let pieces = read(&answer);
            let body = writer().body_of_stream(&answer).unwrap();
            let of_body = read_body(&body);
            let (texts, called) = all_said(&of_body);
            let (streamed, stream_called) = all_said(&pieces);
            assert_eq!(texts[..3], streamed[..3], "{name}");
            assert_eq!(called, stream_called, "{name}");
            let rest = |pieces: &[Piece]| -> Vec<Piece> {
                let rest = pieces.iter().filter(|piece| {
                    matches!(piece, Piece::Finish { .. } | Piece::Usage(_) | Piece::End)
                });
                rest.cloned().collect()
            };
            assert_eq!(rest(&of_body), rest(&pieces), "{name}");
            let again = writer().stream_of_body(&body).unwrap();
            let again = try_read(&frames(&again)).unwrap_or_else(|error| panic!("{name}: {error}"));
            let (texts_again, called_again) = all_said(&again);
            assert_eq!(
                (&texts_again[..3], called_again),
                (&texts[..3], called),
                "{name}"
            );
            assert_eq!(rest(&again), rest(&pieces), "{name}");
        }
    }
}

/// Whether the piece is text there.
fn bears(pieces: &[Piece], channel: Channel) -> bool {
    !said(pieces, channel).is_empty()
}

#[test]
fn in_recorded_streams_an_edit_reaches_all_repetitions_and_no_other_place() {
    for Recording { name, stream, .. } in recordings() {
        for answer in answers(&frames(&stream)) {
            let sealed = answer.iter().any(|frame| {
                frame
                    .raw
                    .windows(17)
                    .any(|bytes| bytes == b"encrypted_content")
            });
            for channel in [Channel::Output, Channel::Reasoning] {
                if channel == Channel::Reasoning && sealed {
                    continue;
                }
                let (mut reader, mut writer) = (
                    crate::dialect::openai_responses::reader::ResponsesReader::default(),
                    writer(),
                );
                let (mut out, mut expected, mut n) = (Vec::new(), String::new(), 0);
                let mut original = Vec::new();
                for frame in &answer {
                    let mut pieces = Vec::new();
                    crate::dialect::Reader::frame(&mut reader, frame, &mut pieces).unwrap();
                    let edits = match bears(&pieces, channel) {
                        true => {
                            n += 1;
                            let new = if n % 3 == 0 {
                                String::new()
                            } else {
                                format!("<{n}\">")
                            };
                            expected.push_str(&new);
                            replacing(channel, &new)
                        }
                        false => Edits::default(),
                    };
                    original.extend(pieces);
                    let written = writer.frame(frame, &edits);
                    let written = written.unwrap_or_else(|error| panic!("{name}: {error}"));
                    out.extend_from_slice(&written.unwrap_or_default());
                }
                let again =
                    try_read(&frames(&out)).unwrap_or_else(|error| panic!("{name}: {error}"));
                let other = match channel {
                    Channel::Output => Channel::Reasoning,
                    _ => Channel::Output,
                };
                assert_eq!(said(&again, channel), expected, "{name}");
                assert_eq!(said(&again, other), said(&original, other), "{name}");
                assert_eq!(
                    said(&again, Channel::Other),
                    said(&original, Channel::Other),
                    "{name}"
                );
                assert_eq!(calls(&again), calls(&original), "{name}");
                let body = writer.body_of_stream(&frames(&out)).unwrap();
                assert_eq!(
                    said(&read_body(&body), channel),
                    expected,
                    "{name}: the last event"
                );
            }
        }
    }
}

#[test]
fn in_recorded_streams_a_denied_call_leaves_nowhere() {
    for Recording { name, stream, .. } in recordings() {
        for answer in answers(&frames(&stream)) {
            let whole = calls(&read(&answer));
            let Some([_, denied, _]) = whole.first().cloned() else {
                continue;
            };
            let mut reader = crate::dialect::openai_responses::reader::ResponsesReader::default();
            let mut writer = writer();
            let mut out = Vec::new();
            let mut first = None;
            for frame in &answer {
                let mut pieces = Vec::new();
                crate::dialect::Reader::frame(&mut reader, frame, &mut pieces).unwrap();
                let parts = pieces.iter().filter_map(|piece| match piece {
                    Piece::Call(part) => Some(part),
                    _ => None,
                });
                let edit = |part: &CallPart| {
                    if part.id.as_deref() == Some(&denied) {
                        first = Some(part.slot);
                    }
                    match first == Some(part.slot) {
                        true => CallEdit::Drop,
                        false => CallEdit::Keep,
                    }
                };
                let edits = Edits {
                    calls: parts.map(edit).collect(),
                    ..Edits::default()
                };
                let written = writer.frame(frame, &edits);
                let written = written.unwrap_or_else(|error| panic!("{name}: {error}"));
                out.extend_from_slice(&written.unwrap_or_default());
            }
            let text = String::from_utf8(out.clone()).unwrap();
            assert!(!text.contains(&denied), "{name}");
            let again = try_read(&frames(&out)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(calls(&again).len(), whole.len() - 1, "{name}");
            super::well_formed(&out, &name);
        }
    }
}
