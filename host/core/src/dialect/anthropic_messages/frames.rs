//! Events as they are written: each with a line that names it, without which the vendor's clients skip it.

use bytes::Bytes;

use super::undecodable::undecodable;
use crate::dialect::Undecodable;
use crate::dialect::sse::{Frame, Framer};

/// An event of this name.
pub(super) fn framed(name: &str, data: &str) -> String {
    let mut out = String::with_capacity(name.len() + data.len() + 16);
    out.push_str("event: ");
    out.push_str(name);
    out.push_str("\ndata: ");
    // Lines between values mean no more than blanks in JSON, and clients that read line by line read them too.
    out.extend(data.chars().map(|c| match c {
        '\n' | '\r' => ' ',
        c => c,
    }));
    out.push_str("\n\n");
    out
}

/// The frame as it came; with the line that names it where it has none.
pub(super) fn named(frame: &Frame, name: &str, data: &str) -> Bytes {
    if frame.event.is_some() {
        return frame.raw.clone();
    }
    if !frame.raw.starts_with(b"data:") {
        return framed(name, data).into();
    }
    let mut out = Vec::with_capacity(frame.raw.len() + name.len() + 8);
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(&frame.raw);
    out.into()
}

/// The frame with `new` in place of `old`, its data.
pub(super) fn reframed(frame: &Frame, name: &str, old: &str, new: &str) -> String {
    let start = (old.as_ptr() as usize).wrapping_sub(frame.raw.as_ptr() as usize);
    let end = start.wrapping_add(old.len());
    let around = frame
        .raw
        .get(..start)
        .zip(frame.raw.get(end..))
        .filter(|_| frame.event.is_some() && start <= end && !new.contains(['\n', '\r']));
    let around = around.and_then(|(before, after)| {
        let before = std::str::from_utf8(before).ok()?;
        Some((before, std::str::from_utf8(after).ok()?))
    });
    match around {
        Some((before, after)) => format!("{before}{new}{after}"),
        None => framed(name, new),
    }
}

/// The frames that were written.
pub(super) fn cut(written: &[u8]) -> Result<Vec<Frame>, Undecodable> {
    let (mut framer, mut frames) = (Framer::default(), Vec::new());
    framer
        .push(Bytes::copy_from_slice(written), &mut frames)
        .map_err(|error| undecodable("the event", error))?;
    frames.extend(framer.finish());
    Ok(frames)
}
