//! Recorded streams, each with a decoding made by another program. The recordings are not part of the project:
//! `AIRLOCK_CORPUS` names their folder, `../shared/data/sse` beside the project is the default, and without either nothing is
//! read.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::*;

struct Recording {
    name: String,
    stream: Vec<u8>,
    expect: Value,
    /// It is a stream of this API, and not one of chat completions that has its fields too.
    own: bool,
}

fn recordings() -> Vec<Recording> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap();
    let corpus = std::env::var_os("AIRLOCK_CORPUS").map(PathBuf::from);
    let corpus = corpus.unwrap_or_else(|| root.join("../shared/data/sse"));
    let Ok(index) = std::fs::read_to_string(corpus.join("index.jsonl")) else {
        eprintln!("no recorded streams at {}", corpus.display());
        return Vec::new();
    };
    let records = index
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_api = records.filter(|record| record["api"] == "openai-completions");
    of_api
        .map(|record| {
            let name = record["file"].as_str().unwrap().to_owned();
            let stream = std::fs::read(corpus.join(&name)).unwrap();
            let mark = b"\"text_completion\"";
            let own = stream.windows(mark.len()).any(|bytes| bytes == mark);
            Recording {
                name,
                stream,
                expect: record["expect"].clone(),
                own,
            }
        })
        .collect()
}

fn digest(text: &str) -> String {
    let digest = Sha256::digest(text);
    let bytes = digest.iter().take(8);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn recorded_streams_read_as_another_decoder_read_them() {
    for Recording {
        name,
        stream,
        expect,
        own,
    } in recordings()
    {
        let all = frames(&stream);
        let pieces = read_all(&all).unwrap();
        let output = said(&pieces, OUTPUT);
        let length = output.chars().count() as u64;
        if own {
            assert_eq!(digest(&output), expect["text_sha256_16"], "{name}: text");
        } else {
            // The other decoder read what stands beside the text too: each token twice.
            assert_eq!(2 * length, expect["text_len_chars"], "{name}: text");
            assert!(pieces.contains(&Piece::Beside), "{name}");
        }
        let ends = pieces.contains(&Piece::End);
        assert_eq!(ends, expect["done_sentinel"], "{name}: terminator");
        let reason = pieces.iter().rev().find_map(|piece| match piece {
            Piece::Finish { reason, .. } => Some(reason.as_str()),
            _ => None,
        });
        assert_eq!(reason, expect["finish"].as_str(), "{name}: finish reason");
        let usage = pieces.iter().rev().find_map(|piece| match piece {
            Piece::Usage(usage) => Some((u64::from(usage.input), u64::from(usage.output))),
            _ => None,
        });
        let stated = |key: &str| expect["usage"][key].as_u64();
        let expected = stated("prompt_tokens").zip(stated("completion_tokens"));
        assert_eq!(usage, expected, "{name}: usage");
        assert_eq!(said(&pieces, OTHER), "", "{name}: nothing else is text");
    }
}

#[test]
fn recorded_streams_pass_byte_for_byte_at_every_cut() {
    for Recording { name, stream, .. } in recordings() {
        let whole = read_all(&frames(&stream)).unwrap();
        for size in [1, 2, 3, 7, 100, 1447] {
            let cut = in_chunks(&stream, size);
            assert_eq!(read_all(&cut).unwrap(), whole, "{name} in chunks of {size}");
            let mut writer = writer();
            let mut out = Vec::new();
            for frame in &cut {
                out.extend(writer.frame(frame, &Edits::default()).unwrap().unwrap());
            }
            assert!(out == stream, "{name} in chunks of {size}");
        }
    }
}

#[test]
fn recorded_streams_say_the_same_as_a_body() {
    for Recording { name, stream, .. } in recordings() {
        let all = frames(&stream);
        let pieces = read_all(&all).unwrap();
        let body = writer().body_of_stream(&all).unwrap();
        let of_body = read_body(&body).unwrap();
        assert_eq!(said(&of_body, OUTPUT), said(&pieces, OUTPUT), "{name}");
        let rest = |pieces: &[Piece]| {
            let rest = pieces.iter().filter(|piece| {
                matches!(piece, Piece::Finish { .. } | Piece::Usage(_) | Piece::End)
            });
            let mut rest: Vec<String> = rest.map(|piece| format!("{piece:?}")).collect();
            rest.sort();
            rest
        };
        assert_eq!(rest(&of_body), rest(&pieces), "{name}");
        let again = writer().stream_of_body(&body).unwrap();
        let again = read_all(&frames(&again)).unwrap();
        assert_eq!(said(&again, OUTPUT), said(&pieces, OUTPUT), "{name}");
        assert_eq!(rest(&again), rest(&pieces), "{name}");
    }
}
