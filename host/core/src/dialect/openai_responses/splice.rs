//! Values replaced in a text, and events as the bytes of frames.

use bytes::Bytes;

use crate::dialect::json::{self, Raw, Splices};
use crate::dialect::sse::Frame;

/// Values of an event or body, and what stands in their place.
#[derive(Default)]
pub(super) struct Changes<'a>(Vec<(Raw<'a>, String)>);

impl<'a> Changes<'a> {
    /// Another value stands in the place of this one.
    pub fn replace(&mut self, value: Raw<'a>, with: String) {
        self.0.push((value, with));
    }

    /// Whether a value stands in another one of the part that is replaced as a whole.
    fn covered(&self, value: Raw<'_>, part: &str) -> bool {
        let of = |text: &str| (text.as_ptr() as usize, text.as_ptr() as usize + text.len());
        let (start, end) = of(value.get());
        let around = of(part);
        self.0.iter().any(|(other, _)| {
            let other = of(other.get());
            other != (start, end)
                && other.0 <= start
                && end <= other.1
                && around.0 <= other.0
                && other.1 <= around.1
        })
    }

    /// A part of what was read, with the changes that concern it.
    pub fn within(&self, part: &str) -> String {
        let mut splices = Splices::default();
        let (start, end) = (part.as_ptr() as usize, part.as_ptr() as usize + part.len());
        for (value, with) in &self.0 {
            let at = value.get().as_ptr() as usize;
            let whole = at == start && value.get().len() == part.len();
            if start <= at && at + value.get().len() <= end && !whole && !self.covered(*value, part)
            {
                splices.replace(json::span(part, *value), with.clone());
            }
        }
        splices.apply(part)
    }
}

/// An event as a frame.
pub(super) fn framed(name: &str, data: &str) -> String {
    match is_name(name) {
        true => format!("event: {name}\ndata: {data}\n\n"),
        false => format!("data: {data}\n\n"),
    }
}

/// The frame as it came, and with its name as a field of its own where it lacks that: it is taken off where somebody judges,
/// and there are clients that go by it.
pub(super) fn passed(frame: &Frame, name: &str) -> Bytes {
    if frame.event.is_some() || !frame.is_bare() || !is_name(name) {
        return frame.raw.clone();
    }
    let mut out = Vec::with_capacity(frame.raw.len() + name.len() + 8);
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(&frame.raw);
    out.into()
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic())
}

/// Whatever lines the JSON had, on one.
pub(super) fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}
