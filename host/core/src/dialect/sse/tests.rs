#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use proptest::prelude::*;

use crate::dialect::sse::{Frame, Framer};

fn frames(chunks: &[&[u8]]) -> (Vec<Frame>, Option<Frame>) {
    let mut framer = Framer::default();
    let mut out = Vec::new();
    for chunk in chunks {
        framer
            .push(Bytes::copy_from_slice(chunk), &mut out)
            .expect("no frame is too large");
    }
    (out, framer.finish())
}

/// Data of all frames that have some.
fn data(frames: &[Frame]) -> Vec<String> {
    frames
        .iter()
        .filter_map(|frame| Some(String::from_utf8(frame.data.as_ref()?.to_vec()).unwrap()))
        .collect()
}

fn joined(frames: &[Frame], rest: Option<Frame>) -> Vec<u8> {
    frames
        .iter()
        .chain(&rest)
        .flat_map(|frame| frame.raw.to_vec())
        .collect()
}

#[test]
fn all_three_line_ends_frame_alike() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = [
            "event: e", "data: a", "", "data:b", "data: c", "", ": note", "", "",
        ]
        .join(end);
        let (frames, rest) = frames(&[stream.as_bytes()]);
        assert_eq!(data(&frames), ["a", "b\nc"], "{end:?}");
        assert_eq!(frames[0].event.as_deref(), Some(b"e".as_ref()));
        assert_eq!((frames.len(), frames[2].data.is_none()), (3, true));
        assert_eq!(rest, None);
    }
}

#[test]
fn a_frame_leaves_at_its_last_byte() {
    let mut framer = Framer::default();
    let mut out = Vec::new();
    for (chunk, complete) in [
        ("data: a\r\n\r", 1),
        ("\ndata: b\r\r", 2),
        ("data: c\n", 2),
        ("\n", 3),
    ] {
        framer.push(chunk.into(), &mut out).unwrap();
        assert_eq!(out.len(), complete, "{chunk:?}");
    }
    assert_eq!(data(&out), ["a", "b", "c"]);
}

#[test]
fn a_byte_order_mark_is_kept_in_the_bytes_and_not_in_the_field() {
    let (frames, _) = frames(&[b"\xef\xbb", b"\xbfdata: a\n\ndata: \xef\xbb\xbfb\n\n"]);
    assert_eq!(data(&frames), ["a", "\u{feff}b"]);
    assert!(frames[0].raw.starts_with(b"\xef\xbb\xbf"));
}

#[test]
fn only_one_space_after_the_colon_belongs_to_the_syntax() {
    let (frames, _) = frames(&[b"data:  a\n\ndata\n\ndatum: x\nid: 7\nretry: 5\n\n"]);
    assert_eq!(data(&frames), [" a", ""]);
    assert_eq!(frames[2].data, None);
}

#[test]
fn a_frame_inside_one_chunk_is_not_copied() {
    let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\n");
    let mut out = Vec::new();
    Framer::default().push(chunk.clone(), &mut out).unwrap();
    assert_eq!(out[1].raw.as_ptr(), chunk[9..].as_ptr());
    assert_eq!(out[1].data.as_ref().unwrap().as_ptr(), chunk[15..].as_ptr());
}

#[test]
fn what_no_blank_line_ends_is_told_at_the_end() {
    let (frames, rest) = frames(&[b"data: a\n\ndata: [DONE]\n"]);
    assert_eq!(frames.len(), 1);
    assert_eq!(rest.unwrap().data.unwrap(), "[DONE]");
}

#[test]
fn an_endless_frame_is_refused_whether_it_comes_whole_or_in_parts() {
    for size in [1, 7, 64] {
        let mut framer = Framer::new(32);
        let mut out = Vec::new();
        let stream = [b"data: short\n\ndata: ".as_slice(), &[b'x'; 45]].concat();
        let failed = stream.chunks(size).any(|chunk| {
            framer
                .push(Bytes::copy_from_slice(chunk), &mut out)
                .is_err()
        });
        assert!(failed, "in chunks of {size}");
        assert_eq!(data(&out), ["short"]);
    }
    let mut out = Vec::new();
    let whole = [b"data: ".as_slice(), &[b'x'; 45], b"\n\n"].concat();
    let error = Framer::new(32).push(whole.into(), &mut out).unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("32 bytes") && !said.contains("raise"),
        "{said}"
    );
}

/// Streams of the bytes that matter to the framer.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "\n", "\r", "\r\n", "data", "data: x", ":", " ", "event: e", "é", "\u{feff}",
    ]);
    prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat().into_bytes())
}

proptest! {
    #[test]
    fn no_byte_is_lost_and_no_cut_changes_what_is_said(stream in stream()) {
        let (whole, rest) = frames(&[&stream]);
        let said = data(&[whole.clone(), rest.clone().into_iter().collect()].concat());
        prop_assert_eq!(joined(&whole, rest), stream.clone());
        for cut in 0..=stream.len() {
            let (cut_frames, rest) = frames(&[&stream[..cut], &stream[cut..]]);
            prop_assert_eq!(&data(&[cut_frames.clone(), rest.clone().into_iter().collect()].concat()), &said);
            prop_assert_eq!(joined(&cut_frames, rest), stream.clone());
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        let (single, rest) = frames(&bytes);
        prop_assert_eq!(&data(&[single.clone(), rest.clone().into_iter().collect()].concat()), &said);
        prop_assert_eq!(joined(&single, rest), stream);
    }

    #[test]
    fn arbitrary_bytes_come_out_as_they_went_in(stream in prop::collection::vec(any::<u8>(), 0..512), size in 1usize..64) {
        let chunks: Vec<&[u8]> = stream.chunks(size).collect();
        let (frames, rest) = frames(&chunks);
        prop_assert_eq!(joined(&frames, rest), stream);
    }
}
