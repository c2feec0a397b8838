//! Recorded streams of many servers, each with a decoding made by another program. The recordings are not part of the
//! project: `AIRLOCK_CORPUS` names their folder, `../shared/data/sse` beside the project is the default, and without
//! either the fixtures in `tests/fixtures/openai-chat` are all that is read.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::dialect::openai_chat::OpenAiChat;
use crate::dialect::openai_chat::tests::{frames, place, read, read_all, replacing, said};
use crate::dialect::sse::{Frame, Framer};
use crate::dialect::{Piece, Slot, TextEdit};
use crate::event::{Channel, Place};

/// Streams up to this size are cut in two at every byte; all are cut at every byte at once.
const CUT_EVERYWHERE: usize = 4096;

const DETAILS: &[u8] = b"\"reasoning_details\"";

pub(super) struct Recording {
    pub name: String,
    pub stream: Vec<u8>,
    expect: Value,
}

pub(super) fn recordings() -> Vec<Recording> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap();
    let mut all = Vec::new();
    for file in std::fs::read_dir(root.join("tests/fixtures/openai-chat")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "sse") {
            let expect = std::fs::read_to_string(path.with_extension("json")).unwrap();
            all.push(Recording {
                name: path.display().to_string(),
                stream: std::fs::read(&path).unwrap(),
                expect: serde_json::from_str(&expect).unwrap(),
            });
        }
    }
    assert!(!all.is_empty(), "the project's own fixtures are missing");
    let corpus = std::env::var_os("AIRLOCK_CORPUS")
        .map_or_else(|| root.join("../shared/data/sse"), PathBuf::from);
    let Ok(index) = std::fs::read_to_string(corpus.join("index.jsonl")) else {
        eprintln!(
            "no recorded streams at {}: only the project's fixtures are read",
            corpus.display()
        );
        return all;
    };
    for line in index.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        if record["api"] == "openai-chat" {
            let name = record["file"].as_str().unwrap().to_owned();
            let stream = std::fs::read(corpus.join(&name)).unwrap();
            all.push(Recording {
                name,
                stream,
                expect: record["expect"].clone(),
            });
        }
    }
    all
}

fn in_chunks(stream: &[u8], chunks: &[&[u8]]) -> Vec<Frame> {
    let mut framer = Framer::default();
    let mut out = Vec::new();
    for chunk in chunks {
        framer
            .push(Bytes::copy_from_slice(chunk), &mut out)
            .unwrap();
    }
    out.extend(framer.finish());
    assert_eq!(
        out.iter()
            .flat_map(|frame| frame.raw.to_vec())
            .collect::<Vec<u8>>(),
        stream
    );
    out
}

fn data(frames: &[Frame]) -> Vec<&[u8]> {
    frames
        .iter()
        .filter_map(|frame| frame.data.as_deref())
        .collect()
}

#[test]
fn recorded_streams_keep_every_byte_at_every_cut() {
    for Recording { name, stream, .. } in recordings() {
        let whole = in_chunks(&stream, &[&stream]);
        for size in [1, 2, 3, 7, 100, 1447] {
            let cut = in_chunks(&stream, &stream.chunks(size).collect::<Vec<_>>());
            assert_eq!(data(&cut), data(&whole), "{name} in chunks of {size}");
        }
        let cuts = if stream.len() <= CUT_EVERYWHERE {
            0..stream.len()
        } else {
            0..0
        };
        for at in cuts {
            let cut = in_chunks(&stream, &[&stream[..at], &stream[at..]]);
            assert_eq!(data(&cut), data(&whole), "{name} cut at {at}");
        }
    }
}

#[test]
fn recorded_streams_read_as_another_decoder_read_them() {
    for Recording {
        name,
        stream,
        expect,
    } in recordings()
    {
        let frames = frames(&stream);
        let pieces = read_all(&frames);
        assert_eq!(
            data(&frames).len() as u64,
            expect["n_events"],
            "{name}: frames with data"
        );
        assert_eq!(
            pieces.contains(&Piece::End),
            expect["done_sentinel"],
            "{name}: terminator"
        );
        for (channel, field) in [(Channel::Output, "text"), (Channel::Reasoning, "reasoning")] {
            // The other decoder does not read reasoning that stands in `reasoning_details` alone.
            let unread = stream.windows(DETAILS.len()).any(|bytes| bytes == DETAILS);
            if field == "reasoning" && unread && expect["reasoning_len_chars"] == 0 {
                continue;
            }
            let text = said(&pieces, place(channel));
            let digest: String = Sha256::digest(&text)
                .iter()
                .take(8)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(
                text.chars().count() as u64,
                expect[format!("{field}_len_chars")],
                "{name}: {field}"
            );
            assert_eq!(
                digest,
                expect[format!("{field}_sha256_16")],
                "{name}: {field}"
            );
        }
        assert_eq!(
            calls(&pieces),
            expected_calls(&expect),
            "{name}: tool calls"
        );
        let finish = pieces.iter().rev().find_map(|piece| match piece {
            Piece::Finish { reason, .. } => Some(reason.as_str()),
            _ => None,
        });
        assert_eq!(finish, expect["finish"].as_str(), "{name}: finish reason");
        let usage = pieces.iter().rev().find_map(|piece| match piece {
            Piece::Usage(usage) => Some((u64::from(usage.input), u64::from(usage.output))),
            _ => None,
        });
        let expected = &expect["usage"];
        let stated = |key: &str| expected[key].as_u64();
        let (input, output) = (stated("prompt_tokens"), stated("completion_tokens"));
        // Some vendors count reasoning in the sum alone.
        let beyond = stated("total_tokens")
            .zip(input)
            .map(|(all, input)| all - input);
        let expected = input.zip(output.max(beyond));
        assert_eq!(usage, expected, "{name}: usage");
        let errors = pieces.iter().filter_map(|piece| match piece {
            Piece::Error(failure) => Some(failure.message.as_str()),
            _ => None,
        });
        let expected = expect["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|error| error["message"].as_str().unwrap());
        assert!(errors.eq(expected), "{name}: errors");
    }
}

/// Name, id and arguments of the calls in `pieces`.
fn calls(pieces: &[Piece]) -> Vec<[String; 3]> {
    let mut calls: Vec<(Slot, [String; 3])> = Vec::new();
    for piece in pieces {
        let Piece::Call(part) = piece else { continue };
        if calls.iter().all(|(known, _)| *known != part.slot) {
            calls.push((part.slot, Default::default()));
        }
        let (_, call) = calls
            .iter_mut()
            .find(|(known, _)| *known == part.slot)
            .unwrap();
        call[0].push_str(part.name.as_deref().unwrap_or_default());
        call[1] = part.id.clone().unwrap_or(call[1].clone());
        call[2].push_str(&part.arguments);
    }
    calls.into_iter().map(|(_, call)| call).collect()
}

fn expected_calls(expect: &Value) -> Vec<[String; 3]> {
    let field = |call: &Value, name: &str| call[name].as_str().unwrap_or_default().to_owned();
    let calls = expect["tool_calls"].as_array().unwrap().iter();
    calls
        .map(|call| ["name", "id", "arguments"].map(|name| field(call, name)))
        .collect()
}

#[test]
fn in_recorded_streams_an_edit_reaches_its_place_and_no_other() {
    const NEW: &str = "other \"text\"\n";
    for Recording { name, stream, .. } in recordings() {
        for frame in frames(&stream) {
            let pieces = read(&frame).unwrap();
            let mut places: Vec<Place> = pieces
                .iter()
                .filter_map(|piece| match piece {
                    Piece::Text { place, .. } => Some(*place),
                    _ => None,
                })
                .collect();
            places.dedup();
            for &at in &places {
                let edited = OpenAiChat
                    .edit_frame(
                        &frame,
                        &replacing(&[TextEdit {
                            place: at,
                            text: NEW.to_owned(),
                        }]),
                    )
                    .unwrap()
                    .unwrap();
                let edited = frames_of_one(&edited);
                let again = read(&edited).unwrap();
                assert_eq!(said(&again, at), NEW, "{name}");
                for &other in places.iter().filter(|&&other| other != at) {
                    assert_eq!(said(&again, other), said(&pieces, other), "{name}");
                }
                let rest = |pieces: &[Piece]| {
                    pieces
                        .iter()
                        .filter(|piece| !matches!(piece, Piece::Text { .. } | Piece::Error(_)))
                        .cloned()
                        .collect::<Vec<_>>()
                };
                assert_eq!(rest(&again), rest(&pieces), "{name}");
            }
            // The same text again: the same frame, but for spelling.
            let same: Vec<_> = places
                .iter()
                .map(|&place| TextEdit {
                    place,
                    text: said(&pieces, place),
                })
                .collect();
            let same = OpenAiChat
                .edit_frame(&frame, &replacing(&same))
                .unwrap()
                .unwrap();
            assert!(places.iter().all(|&at| said(&read(&frames_of_one(&same)).unwrap(), at) == said(&pieces, at)), "{name}");
        }
    }
}

fn frames_of_one(bytes: &[u8]) -> Frame {
    let mut all = frames(bytes);
    assert_eq!(all.len(), 1);
    all.remove(0)
}
