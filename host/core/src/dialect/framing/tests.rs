#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn decode(chunks: &[&[u8]]) -> Vec<Decoded> {
    let (mut framing, mut out) = (Framing::default(), Vec::new());
    for chunk in chunks {
        framing
            .push(Bytes::copy_from_slice(chunk), &mut out)
            .expect("no frame is too large");
    }
    framing.finish(&mut out);
    out
}

/// What a dialect reads.
fn units(decoded: &[Decoded]) -> Vec<String> {
    decoded
        .iter()
        .filter_map(|d| match d {
            Decoded::Unit(frame) => Some(frame.data.clone().unwrap()),
            Decoded::Document(bytes) => Some(document(bytes)),
            Decoded::Noise(_) => None,
        })
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect()
}

fn joined(decoded: &[Decoded]) -> Vec<u8> {
    let raw = |d: &Decoded| match d {
        Decoded::Unit(frame) | Decoded::Noise(frame) => frame.raw.to_vec(),
        Decoded::Document(bytes) => bytes.to_vec(),
    };
    decoded.iter().flat_map(raw).collect()
}

#[test]
fn only_events_with_data_are_units() {
    for noise in [
        ": a comment\n\n",
        "\n\n",
        "event: e\nid: forbidden\n\n",
        "retry: 5\n\n",
        "anything: forbidden\n\n",
        "{\"choices\":[{\"delta\":{\"content\":\"forbidden\"}}]}\n\n",
        "plain text\n\n",
        "Data: forbidden\n\n",
        "data : forbidden\n\n",
        "data:\n\n",
        "data:   \n\n",
        "\u{feff}data: not at the start\n\n",
    ] {
        let stream = format!("data: a\n\n{noise}data: b\n\n");
        let decoded = decode(&[stream.as_bytes()]);
        assert_eq!(units(&decoded), ["a", "b"], "{noise:?}");
        assert_eq!(joined(&decoded), stream.as_bytes(), "{noise:?}");
    }
}

#[test]
fn the_data_alone_is_written_without_what_stands_beside_it() {
    for raw in [
        "\u{feff}data: a\n\n",
        "id: 1\ndata: a\n\n",
        "data: a\nretry: 1\nforbidden: x\n\n",
        ": comment\ndata: a\n\n",
        "\ndata: a\n\n",
        "data: a",
        "data: a\n",
        "event: e\r\ndata: a\r\n\r\n",
        "data: a\r\r",
    ] {
        let decoded = decode(&[raw.as_bytes()]);
        let Some(Decoded::Unit(frame)) = decoded.iter().find(|d| matches!(d, Decoded::Unit(_)))
        else {
            panic!("{raw:?}: {decoded:?}")
        };
        let bare = frame.bare();
        if raw.starts_with('\n') {
            assert_eq!(frame.bare().raw, frame.raw, "{raw:?}");
        } else {
            assert_eq!(bare.raw, "data: a\n\n", "{raw:?}");
        }
        assert_eq!(bare.data.as_deref(), Some(b"a".as_slice()), "{raw:?}");
    }
}

#[test]
fn an_event_that_is_data_alone_is_not_written_anew() {
    for raw in ["data: a\n\n", "data:a\r\n\r\n"] {
        let decoded = decode(&[raw.as_bytes()]);
        let Decoded::Unit(frame) = &decoded[0] else {
            panic!("{decoded:?}")
        };
        assert_eq!(frame.bare().raw, raw);
    }
}

#[test]
fn what_stands_beside_the_data_is_noticed_and_a_cut_line_end_is_not() {
    for (raw, more) in [
        ("data: a\n\n", false),
        ("\ndata: a\r\n\r", false),
        ("\u{feff}data: a\ndata: b\n\n", false),
        ("id: 1\ndata: a\n\n", true),
        ("data: a\n:\n\n", true),
        ("data : b\ndata: a\n\n", true),
    ] {
        let frame = Frame {
            raw: raw.into(),
            event: None,
            data: None,
        };
        assert_eq!(frame.says_more(false), more, "{raw:?}");
    }
}

#[test]
fn data_of_several_lines_is_written_as_the_one_value_that_was_read() {
    let decoded = decode(&[b"data: {\"a\":\ndata: 1}\n\n"]);
    let Decoded::Unit(frame) = &decoded[0] else {
        panic!("{decoded:?}")
    };
    let bare = frame.bare();
    assert_eq!(bare.raw, "data: {\"a\": 1}\n\n");
    assert_eq!(bare.data.unwrap(), "{\"a\": 1}");
}

#[test]
fn one_json_document_is_an_answer_and_json_lines_in_a_stream_are_none() {
    let pretty = "\u{feff}\n{\n  \"a\": 1,\n\n  \"b\": 2\n}\n";
    for chunk in [1, 3, 100] {
        let chunks: Vec<&[u8]> = pretty.as_bytes().chunks(chunk).collect();
        let decoded = decode(&chunks);
        assert_eq!(
            units(&decoded),
            [pretty.trim_start_matches('\u{feff}').trim()]
        );
        assert_eq!(joined(&decoded), pretty.as_bytes());
    }
    let lines = "{\"a\":1}\n{\"a\":2}\n";
    assert!(units(&decode(&[lines.as_bytes()])).is_empty());
    let before = "{\"forbidden\":1}\n\ndata: a\n\n";
    let decoded = decode(&[before.as_bytes()]);
    assert_eq!(units(&decoded), ["a"]);
    assert_eq!(joined(&decoded), before.as_bytes());
}

#[test]
fn an_answer_read_to_its_end_is_told_apart_by_its_bytes() {
    let stream = Bytes::from_static(b": x\n\ndata: a\n\ndata: [DONE]");
    let Whole::Stream(frames) = whole(stream, Wire::Events) else {
        panic!("no stream")
    };
    assert_eq!(frames.len(), 2);
    for bytes in ["{\"a\":1}", "", "<html>data: x</html>", "\u{feff} {}"] {
        let bytes = Bytes::from(bytes);
        assert_eq!(whole(bytes.clone(), Wire::Events), Whole::Document(bytes));
    }
}

/// Data as clients of different make read it.
fn by_standard(stream: &[u8]) -> Vec<Vec<u8>> {
    decode(&[stream])
        .into_iter()
        .filter_map(|d| match d {
            Decoded::Unit(frame) => frame.data.map(|data| data.to_vec()),
            _ => None,
        })
        .collect()
}

/// Each line by itself, as scanners of lines do.
fn by_lines(stream: &[u8]) -> Vec<Vec<u8>> {
    let lines = stream.split(|b| *b == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines
        .filter_map(|line| line.strip_prefix(b"data:"))
        .map(|data| data.strip_prefix(b" ").unwrap_or(data).to_vec())
        .collect()
}

/// Split at blank lines of LF, or of CRLF, with all that is not data ignored.
fn by_blank_lines(stream: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(stream).replace("\r\n", "\n");
    text.split("\n\n")
        .filter_map(|frame| frame.strip_prefix("data:"))
        .map(|data| data.strip_prefix(' ').unwrap_or(data).as_bytes().to_vec())
        .collect()
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "\n",
        "\r",
        "\r\n",
        "\n\n",
        "data",
        "data: x",
        "data:",
        ":",
        " ",
        "event: e",
        "id: 7",
        "{",
        "}",
        "{\"a\":1}",
        "é",
        "\u{feff}",
    ]);
    prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat().into_bytes())
}

#[test]
fn a_document_is_one_wherever_a_chunk_ends_before_its_byte_order_mark() {
    let stream = "\r\n\u{feff}{\"a\":1}".as_bytes();
    for cut in 0..=stream.len() {
        let decoded = decode(&[&stream[..cut], &stream[cut..]]);
        assert_eq!(units(&decoded), ["{\"a\":1}"], "cut at {cut}");
    }
}

proptest! {
    #[test]
    fn units_and_noise_are_the_whole_input_and_no_cut_changes_the_units(stream in stream()) {
        let decoded = decode(&[&stream]);
        let said = units(&decoded);
        prop_assert_eq!(joined(&decoded), stream.clone());
        for cut in 0..=stream.len() {
            let decoded = decode(&[&stream[..cut], &stream[cut..]]);
            prop_assert_eq!(&units(&decoded), &said);
            prop_assert_eq!(joined(&decoded), stream.clone());
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        let decoded = decode(&bytes);
        prop_assert_eq!(&units(&decoded), &said);
        prop_assert_eq!(joined(&decoded), stream);
    }

    #[test]
    fn what_is_written_of_units_reads_as_they_did(stream in stream()) {
        let decoded = decode(&[&stream]);
        let mut written = Vec::new();
        for d in &decoded {
            if let Decoded::Unit(frame) = d {
                written.extend_from_slice(&frame.bare().raw);
            }
        }
        let again = decode(&[&written]);
        prop_assert!(again.iter().all(|d| matches!(d, Decoded::Unit(_))));
        let flat = |said: Vec<String>| said.into_iter().map(|s| s.replace('\n', " ")).collect::<Vec<_>>();
        let before: Vec<Decoded> = decoded.into_iter().filter(|d| matches!(d, Decoded::Unit(_))).collect();
        prop_assert_eq!(flat(units(&again)), flat(units(&before)));
    }

    #[test]
    fn every_kind_of_client_reads_what_was_judged(stream in stream()) {
        let mut written = Vec::new();
        let mut judged = Vec::new();
        for d in decode(&[&stream]) {
            if let Decoded::Unit(frame) = d {
                let bare = frame.bare();
                written.extend_from_slice(&bare.raw);
                judged.extend(bare.data.map(|data| data.to_vec()));
            }
        }
        prop_assert_eq!(&by_standard(&written), &judged);
        prop_assert_eq!(&by_lines(&written), &judged);
        prop_assert_eq!(&by_blank_lines(&written), &judged);
    }

    #[test]
    fn arbitrary_bytes_are_all_accounted_for(stream in prop::collection::vec(any::<u8>(), 0..512), size in 1usize..64) {
        let chunks: Vec<&[u8]> = stream.chunks(size).collect();
        prop_assert_eq!(joined(&decode(&chunks)), stream);
    }
}

#[test]
fn a_list_of_documents_is_one_document_and_what_only_looks_like_one_is_none() {
    let decoded = |stream: &[u8]| decode(&stream.chunks(1).collect::<Vec<_>>());
    let list = b"[{\"a\":1}\r\n,\r\n{\"b\":2}\r\n]";
    let [Decoded::Document(bytes)] = &decoded(list)[..] else {
        panic!("it is one document");
    };
    assert_eq!(bytes.as_ref(), list);
    for other in [&b"[DONE]\n\n"[..], b"[1]\n\ndata: {}\n\n"] {
        let documents = decoded(other);
        assert!(!documents.iter().any(|d| matches!(d, Decoded::Document(_))));
    }
}
