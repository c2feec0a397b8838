//! Streams of all kinds of parts, cut anywhere: the same is read of them, and what is replaced is read in their place.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{SIGNATURE, calls, ends, parsed, read_all, read_body, replacing, said, says, writer};
use crate::dialect::framing::{Decoded, Framing, Wire};
use crate::dialect::sse::Frame;
use crate::dialect::{CallEdit, Edits, Piece};
use crate::event::Channel;

fn part() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[a-zé\\\\\"\n]{0,6}".prop_map(|text| json!({ "text": text })),
        "[a-z ]{0,6}".prop_map(|text| json!({"text": text, "thought": true})),
        "[a-z]{1,3}"
            .prop_map(|name| json!({"functionCall": {"name": name, "args": {"a": [1, "x"]}}})),
        Just(json!({"text": "", "thoughtSignature": SIGNATURE})),
        Just(json!({"functionCall": {"name": "s", "id": "c"}, "thoughtSignature": SIGNATURE})),
        Just(json!({"executableCode": {"code": "x = 1", "language": "PYTHON"}})),
    ]
}

fn responses() -> impl Strategy<Value = Vec<Value>> {
    let parts = proptest::collection::vec(part(), 0..4);
    proptest::collection::vec(parts, 1..6).prop_map(|frames| {
        let last = frames.len() - 1;
        let frames = frames.into_iter().enumerate();
        let frame = |(n, parts): (usize, Vec<Value>)| match n == last {
            true => ends(json!(parts)),
            false => says(json!(parts)),
        };
        frames.map(frame).collect()
    })
}

fn stream(responses: &[Value]) -> Vec<u8> {
    let events = responses
        .iter()
        .map(|response| format!("data: {response}\r\n\r\n"));
    events.collect::<String>().into_bytes()
}

fn units(stream: &[u8], sizes: &[usize]) -> Vec<Frame> {
    let (mut framing, mut decoded) = (Framing::new(Wire::Events), Vec::new());
    let (mut rest, mut sizes) = (stream, sizes.iter().cycle());
    while !rest.is_empty() {
        let size = sizes.next().unwrap();
        let (chunk, after) = rest.split_at((*size).min(rest.len()));
        framing
            .push(Bytes::copy_from_slice(chunk), &mut decoded)
            .unwrap();
        rest = after;
    }
    framing.finish(&mut decoded);
    let units = decoded.into_iter().filter_map(|decoded| match decoded {
        Decoded::Unit(frame) => Some(frame.bare()),
        _ => None,
    });
    units.collect()
}

proptest! {
    #[test]
    fn any_cut_reads_alike(responses in responses(), sizes in proptest::collection::vec(1usize..40, 1..6)) {
        let stream = stream(&responses);
        let whole = read_all(&super::frames(&stream)).unwrap();
        let cut = units(&stream, &sizes);
        prop_assert_eq!(&read_all(&cut).unwrap(), &whole);
        let body = read_body(&writer().body_of_stream(&cut).unwrap()).unwrap();
        for channel in [Channel::Output, Channel::Reasoning, Channel::Other] {
            prop_assert_eq!(said(&body, channel), said(&whole, channel));
        }
        let told = |pieces: &[Piece]| -> Vec<_> {
            calls(pieces).into_iter().map(|c| (c.id, c.name, parsed(c.arguments.as_bytes()))).collect()
        };
        prop_assert_eq!(told(&body), told(&whole));
    }

    #[test]
    fn what_is_replaced_is_read_in_its_place(responses in responses(), drops in proptest::collection::vec(any::<bool>(), 8)) {
        let (mut writer, mut out) = (writer(), Vec::new());
        let (mut replaced, mut left) = (0, 0);
        let mut drops = drops.iter().cycle();
        for frame in super::frames(&stream(&responses)) {
            let pieces = read_all(std::slice::from_ref(&frame)).unwrap();
            let mut edits = Edits::default();
            if !said(&pieces, Channel::Output).is_empty() {
                edits = replacing(Channel::Output, "#");
                replaced += 1;
            }
            for _ in calls(&pieces) {
                let drop = *drops.next().unwrap();
                left += usize::from(!drop);
                edits.calls.push(if drop { CallEdit::Drop } else { CallEdit::Keep });
            }
            out.extend(writer.frame(&frame, &edits).unwrap().unwrap_or_default());
        }
        let pieces = read_all(&super::frames(&out)).unwrap();
        prop_assert_eq!(said(&pieces, Channel::Output), "#".repeat(replaced));
        prop_assert_eq!(calls(&pieces).len(), left);
        let finished = pieces.iter().any(|piece| matches!(piece, Piece::Finish { choice: 0, .. }));
        prop_assert!(finished);
    }
}
