//! Recorded streams, each with a decoding made by another program. The recordings are not part of the project:
//! `AIRLOCK_CORPUS` names their folder, `../shared/data/sse` beside the project is the default, and without either nothing is
//! read here.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::*;

struct Recording {
    name: String,
    stream: Vec<u8>,
    request: Option<String>,
    expect: Value,
}

fn recordings() -> Vec<Recording> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap();
    let corpus = std::env::var_os("AIRLOCK_CORPUS")
        .map_or_else(|| root.join("../shared/data/sse"), PathBuf::from);
    let Ok(index) = std::fs::read_to_string(corpus.join("index.jsonl")) else {
        eprintln!("no recorded streams at {}", corpus.display());
        return Vec::new();
    };
    let mut all = Vec::new();
    for line in index.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let quirk = json!("hand-made-quirk-expect-unreliable");
        let unreliable = record["features"].as_array().unwrap().contains(&quirk);
        if record["api"] != "anthropic-messages" || unreliable {
            continue;
        }
        let name = record["file"].as_str().unwrap().to_owned();
        let request = record["request_file"]
            .as_str()
            .map(|file| std::fs::read_to_string(corpus.join(file)).unwrap());
        all.push(Recording {
            stream: std::fs::read(corpus.join(&name)).unwrap(),
            request,
            expect: record["expect"].clone(),
            name,
        });
    }
    all
}

/// The answers of a recording: some have those of several calls in a row.
fn answers(stream: &[u8]) -> Vec<Vec<Frame>> {
    let mut answers: Vec<Vec<Frame>> = Vec::new();
    for frame in frames(stream) {
        if frame.event.as_deref() == Some(b"message_start") || answers.is_empty() {
            answers.push(Vec::new());
        }
        answers.last_mut().unwrap().push(frame);
    }
    answers
}

fn read_frames(frames: &[Frame]) -> Result<Vec<Piece>, Undecodable> {
    let (mut reader, mut out) = (DIALECT.reader(), Vec::new());
    for frame in frames {
        reader.frame(frame, &mut out)?;
    }
    Ok(out)
}

fn usage(pieces: &[Piece]) -> Option<(u32, u32)> {
    let usages = pieces.iter().filter_map(|piece| match piece {
        Piece::Usage(usage) => Some(*usage),
        _ => None,
    });
    usages
        .reduce(|a, b| a.with(b))
        .map(|all| (all.input, all.output))
}

#[test]
fn recorded_streams_pass_byte_for_byte() {
    for Recording { name, stream, .. } in recordings() {
        let mut writer = writer();
        let mut out = Vec::new();
        for frame in frames(&stream) {
            let written = writer.frame(&frame, &Edits::default()).unwrap().unwrap();
            out.extend_from_slice(&written);
        }
        assert_eq!(out, stream, "{name}");
    }
}

#[test]
fn recorded_streams_are_written_the_same_where_they_are_judged() {
    for Recording { name, stream, .. } in recordings() {
        let mut writer = writer();
        let mut pieces = Vec::new();
        for answer in answers(&stream) {
            let mut out = Vec::new();
            for frame in answer.iter().filter(|frame| frame.says()) {
                let written = writer.frame(&frame.bare(), &Edits::default()).unwrap();
                out.extend_from_slice(&written.unwrap());
            }
            events(std::str::from_utf8(&out).unwrap());
            pieces.extend(read_frames(&frames(&out)).unwrap());
        }
        let plain: Vec<Piece> = answers(&stream)
            .iter()
            .flat_map(|answer| read_frames(answer).unwrap())
            .collect();
        assert_eq!(pieces, plain, "{name}");
    }
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
        let answers = answers(&stream);
        let read: Vec<Vec<Piece>> = answers
            .iter()
            .map(|answer| read_frames(answer).unwrap_or_else(|error| panic!("{name}: {error}")))
            .collect();
        let pieces: Vec<Piece> = read.concat();
        for (channel, field) in [(Channel::Output, "text"), (Channel::Reasoning, "reasoning")] {
            let text = said(&pieces, channel);
            let digest: String = Sha256::digest(&text)
                .iter()
                .take(8)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let length = &expect[format!("{field}_len_chars")];
            assert_eq!(text.chars().count() as u64, *length, "{name}: {field}");
            assert_eq!(
                digest,
                expect[format!("{field}_sha256_16")],
                "{name}: {field}"
            );
        }
        let field = |call: &Value, name: &str| call[name].as_str().unwrap_or_default().to_owned();
        let expected: Vec<[String; 3]> = expect["tool_calls"]
            .as_array()
            .unwrap()
            .iter()
            .map(|call| ["name", "id", "arguments"].map(|key| field(call, key)))
            .collect();
        let mut found: Vec<[String; 3]> = read.iter().flat_map(|pieces| calls(pieces)).collect();
        // The other decoder reads no input, and no call, that stands in the beginning of a block or message.
        found.retain(|call| expected.iter().any(|known| known[1] == call[1]));
        for (call, known) in found.iter_mut().zip(&expected) {
            if known[2].is_empty() {
                call[2].clear();
            }
        }
        assert_eq!(found, expected, "{name}: calls");
        assert_eq!(finish(&pieces), expect["finish"].as_str(), "{name}: reason");
        let stated = |key: &str| expect["usage"][key].as_u64().unwrap_or_default();
        let iterations = expect["usage"].get("iterations").is_some();
        if let ([only], false) = (&read[..], iterations) {
            let input = stated("input_tokens")
                + stated("cache_creation_input_tokens")
                + stated("cache_read_input_tokens");
            let (read_input, output) = usage(only).unwrap();
            assert_eq!(
                (u64::from(read_input), u64::from(output)),
                (input, stated("output_tokens")),
                "{name}: usage"
            );
        }
    }
}

#[test]
fn bodies_of_recorded_streams_say_the_same() {
    for Recording { name, stream, .. } in recordings() {
        for answer in answers(&stream) {
            let streamed = read_frames(&answer).unwrap();
            let body = writer()
                .body_of_stream(&answer)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let whole = read_body(&body).unwrap();
            let filled = |calls: Vec<[String; 3]>| -> Vec<[String; 3]> {
                let empty = |[name, id, input]: [String; 3]| match input.as_str() {
                    "" => [name, id, "{}".to_owned()],
                    _ => [name, id, input],
                };
                calls.into_iter().map(empty).collect()
            };
            let again = writer().stream_of_body(&body).unwrap();
            let again = read(&again).unwrap();
            for pieces in [&whole, &again] {
                for channel in [Channel::Output, Channel::Reasoning, Channel::Refusal] {
                    assert_eq!(said(pieces, channel), said(&streamed, channel), "{name}");
                }
                assert_eq!(filled(calls(pieces)), filled(calls(&streamed)), "{name}");
                assert_eq!(finish(pieces), finish(&streamed), "{name}");
                assert_eq!(usage(pieces), usage(&streamed), "{name}");
            }
        }
    }
}

#[test]
fn the_own_turn_of_recorded_streams_goes_back() {
    for Recording { name, stream, .. } in recordings() {
        for answer in answers(&stream) {
            let mut reader = DIALECT.reader();
            for frame in &answer {
                reader.gather(frame.data.as_deref().unwrap_or_default());
            }
            let body = writer().body_of_stream(&answer).unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let own = reader.own_message().unwrap_or_else(|| panic!("{name}"));
            let own: Value = serde_json::from_str(&own).unwrap();
            let blocks = own["content"].as_array().unwrap().iter();
            for (own, block) in blocks.zip(body["content"].as_array().unwrap()) {
                match block["type"] == "tool_use" {
                    true => assert_eq!(own["id"], block["id"], "{name}"),
                    false => assert_eq!(own, block, "{name}"),
                }
            }
        }
    }
}

#[test]
fn in_recorded_streams_an_edit_reaches_its_place_and_no_other() {
    const NEW: &str = "other \"text\"\n";
    for Recording { name, stream, .. } in recordings() {
        for answer in answers(&stream) {
            let (mut writer, mut reader) = (writer(), DIALECT.reader());
            let (mut written, mut expected) = (Vec::new(), String::new());
            for frame in &answer {
                let mut pieces = Vec::new();
                reader.frame(frame, &mut pieces).unwrap();
                let speaks = !said(&pieces, Channel::Output).is_empty();
                let edits = if speaks {
                    replacing(Channel::Output, NEW)
                } else {
                    Edits::default()
                };
                expected.push_str(if speaks { NEW } else { "" });
                written.extend_from_slice(&writer.frame(frame, &edits).unwrap().unwrap());
            }
            let (plain, pieces) = (read_frames(&answer).unwrap(), read(&written).unwrap());
            assert_eq!(said(&pieces, Channel::Output), expected, "{name}");
            for channel in [Channel::Reasoning, Channel::Other, Channel::Refusal] {
                assert_eq!(said(&pieces, channel), said(&plain, channel), "{name}");
            }
            assert_eq!(calls(&pieces), calls(&plain), "{name}");
        }
    }
}

#[test]
fn recorded_requests_are_read_and_keep_every_byte() {
    for Recording { name, request, .. } in recordings() {
        let Some(request) = request else { continue };
        let view = view(&request).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            !view.messages.is_empty() && !view.model.is_empty(),
            "{name}"
        );
        assert_eq!(
            edited(&request, &RequestEdits::default()),
            request,
            "{name}"
        );
        let same = view.messages.iter().enumerate();
        let same = same.filter(|(_, message)| !message.text.is_empty());
        let same = same.map(|(index, message)| crate::dialect::MessageEdit::Rewrite {
            index,
            text: message.text.clone(),
        });
        let edits = RequestEdits {
            messages: same.collect(),
            ..RequestEdits::default()
        };
        let rewritten = edited(&request, &edits);
        let rewritten: Value = serde_json::from_str(&rewritten).unwrap();
        assert_eq!(
            rewritten,
            serde_json::from_str::<Value>(&request).unwrap(),
            "{name}"
        );
    }
}
