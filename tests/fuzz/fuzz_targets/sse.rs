//! The first byte says how the rest is cut.
#![no_main]

use airlock_core::dialect::sse::{Frame, Framer};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fn frames(stream: &[u8], size: usize) -> Vec<Frame> {
    let mut framer = Framer::default();
    let mut out = Vec::new();
    for chunk in stream.chunks(size) {
        framer
            .push(Bytes::copy_from_slice(chunk), &mut out)
            .expect("the input is smaller than a frame may be");
    }
    out.extend(framer.finish());
    let raw: Vec<u8> = out.iter().flat_map(|frame| frame.raw.to_vec()).collect();
    assert_eq!(raw, stream);
    out
}

fuzz_target!(|input: &[u8]| {
    let Some((size, stream)) = input.split_first() else {
        return;
    };
    let data = |frames: Vec<Frame>| {
        frames
            .into_iter()
            .filter_map(|frame| frame.data)
            .collect::<Vec<_>>()
    };
    let whole = data(frames(stream, stream.len().max(1)));
    assert_eq!(data(frames(stream, usize::from(*size).max(1))), whole);
});
