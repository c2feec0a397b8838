//! The first byte says how the rest is cut.
#![no_main]

use airlock_core::dialect::framing::{Decoded, Framing, document};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

/// What a dialect reads of the stream, cut into chunks of this size.
fn units(stream: &[u8], size: usize) -> Vec<Bytes> {
    let (mut framing, mut out) = (Framing::default(), Vec::new());
    for chunk in stream.chunks(size) {
        framing
            .push(Bytes::copy_from_slice(chunk), &mut out)
            .expect("the input is smaller than a frame may be");
    }
    framing.finish(&mut out);
    let mut raw = Vec::new();
    let mut units = Vec::new();
    for decoded in out {
        match decoded {
            Decoded::Noise(frame) => raw.extend_from_slice(&frame.raw),
            Decoded::Document(bytes) => {
                raw.extend_from_slice(&bytes);
                units.push(document(&bytes));
            }
            Decoded::Unit(frame) => {
                raw.extend_from_slice(&frame.raw);
                let bare = frame.bare();
                assert!(bare.is_bare() && bare.event.is_none());
                units.extend(frame.data);
            }
        }
    }
    assert_eq!(raw, stream, "units and noise are not the whole input");
    units
}

fuzz_target!(|input: &[u8]| {
    let Some((size, stream)) = input.split_first() else {
        return;
    };
    let whole = units(stream, stream.len().max(1));
    assert_eq!(units(stream, usize::from(*size).max(1)), whole);
});
