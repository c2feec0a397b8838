//! The transport boundary: cuts what an upstream sends into what a client of the dialect reads, and what merely lies
//! beside it on the wire.
//!
//! Only the bytes decide, never the headers: model servers send events as `text/plain`, without any type, and JSON under
//! `text/event-stream`. What is read is therefore the same for every call of an exchange, whatever its head says.
//!
//! Guarantees: units and noise are together exactly the input, however it was cut into chunks; a unit is an event with
//! data, or one whole JSON document. Pure: no HTTP, no dialect.

use bytes::{Bytes, BytesMut};

use crate::dialect::lines::Lines;
use crate::dialect::sse::{Frame, FrameTooLarge, Framer, MAX_FRAME_BYTES};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// An event with data: what a dialect reads.
    Unit(Frame),
    /// What no dialect reads: comments, blank lines, events without data, text that is no event. It must not leave where
    /// somebody judges the answer.
    Noise(Frame),
    /// The answer is no stream but one JSON document, as it came.
    Document(Bytes),
}

/// How a stream is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// Server-Sent Events.
    #[default]
    Events,
    /// Lines, each one JSON document.
    Lines,
}

#[derive(Debug)]
enum Cutter {
    Events(Framer),
    Lines(Lines),
}

impl Default for Cutter {
    fn default() -> Self {
        Self::Events(Framer::default())
    }
}

/// The place in one answer. One for each call to an upstream.
#[derive(Debug, Default)]
pub struct Framing {
    cutter: Cutter,
    /// What came before the first event, if it begins like a JSON document: it may be one.
    prelude: Vec<Frame>,
    prelude_bytes: usize,
    /// An event with data came: the answer is a stream.
    begun: bool,
}

impl Framing {
    /// Nothing has come.
    pub fn new(wire: Wire) -> Self {
        let cutter = match wire {
            Wire::Events => Cutter::default(),
            Wire::Lines => Cutter::Lines(Lines::default()),
        };
        // A line is a document of its own; a stream of lines is never one.
        let begun = wire == Wire::Lines;
        Self {
            cutter,
            begun,
            ..Self::default()
        }
    }

    /// Takes the next bytes and appends what they complete to `out`.
    ///
    /// # Errors
    /// [`FrameTooLarge`]; what was complete before is in `out`, and nothing more may be pushed.
    pub fn push(&mut self, chunk: Bytes, out: &mut Vec<Decoded>) -> Result<(), FrameTooLarge> {
        let mut frames = Vec::new();
        let framed = match &mut self.cutter {
            Cutter::Events(framer) => framer.push(chunk, &mut frames),
            Cutter::Lines(lines) => lines.push(&chunk, &mut frames),
        };
        for frame in frames {
            self.decode(frame, out)?;
        }
        framed
    }

    /// The end of the answer: what was not complete.
    pub fn finish(&mut self, out: &mut Vec<Decoded>) {
        let rest = match &mut self.cutter {
            Cutter::Events(framer) => framer.finish(),
            Cutter::Lines(lines) => lines.finish(),
        };
        if let Some(rest) = rest
            && self.decode(rest, out).is_err()
        {
            return;
        }
        let prelude = std::mem::take(&mut self.prelude);
        if prelude.is_empty() {
            return;
        }
        let mut joined = BytesMut::with_capacity(self.prelude_bytes);
        for frame in &prelude {
            joined.extend_from_slice(&frame.raw);
        }
        let joined = joined.freeze();
        if serde_json::from_slice::<serde::de::IgnoredAny>(&document(&joined)).is_ok() {
            out.push(Decoded::Document(joined));
        } else {
            out.extend(prelude.into_iter().map(Decoded::Noise));
        }
    }

    fn decode(&mut self, frame: Frame, out: &mut Vec<Decoded>) -> Result<(), FrameTooLarge> {
        if frame.says() {
            self.begun = true;
            out.extend(self.prelude.drain(..).map(Decoded::Noise));
            out.push(Decoded::Unit(frame));
        } else if !self.begun && (!self.prelude.is_empty() || opens_value(&frame.raw)) {
            self.prelude_bytes += frame.raw.len();
            if self.prelude_bytes > MAX_FRAME_BYTES {
                return Err(FrameTooLarge {
                    limit: MAX_FRAME_BYTES,
                });
            }
            self.prelude.push(frame);
        } else {
            out.push(Decoded::Noise(frame));
        }
        Ok(())
    }
}

/// An answer that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whole {
    /// One document, or what claims to be one: the bytes as they came.
    Document(Bytes),
    /// A stream's events, without what lay between them.
    Stream(Vec<Frame>),
}

/// Decodes an answer that was read to its end.
pub fn whole(answer: Bytes, wire: Wire) -> Whole {
    let is_document = match wire {
        Wire::Events => opens_document(&answer),
        Wire::Lines => serde_json::from_slice::<serde::de::IgnoredAny>(&answer).is_ok(),
    };
    if is_document {
        return Whole::Document(answer);
    }
    let (mut framing, mut out) = (Framing::new(wire), Vec::new());
    if framing.push(answer.clone(), &mut out).is_err() {
        return Whole::Document(answer);
    }
    framing.finish(&mut out);
    let units: Vec<Frame> = out
        .into_iter()
        .filter_map(|decoded| match decoded {
            Decoded::Unit(frame) => Some(frame),
            _ => None,
        })
        .collect();
    if units.is_empty() {
        Whole::Document(answer)
    } else {
        Whole::Stream(units)
    }
}

/// The document alone, without what clients skip around it: a byte order mark, white space.
pub fn document(bytes: &Bytes) -> Bytes {
    bytes.slice_ref(unmarked(bytes).trim_ascii_end())
}

fn opens_document(bytes: &[u8]) -> bool {
    unmarked(bytes).starts_with(b"{")
}

/// Whether it begins a document, or a list of them: as one comes a stream of Gemini's to whom does not ask for events.
fn opens_value(bytes: &[u8]) -> bool {
    opens_document(bytes) || unmarked(bytes).starts_with(b"[")
}

/// Without white space and a byte order mark at its beginning, in either order: a chunk may end within the line before.
fn unmarked(bytes: &[u8]) -> &[u8] {
    let bare = bytes.trim_ascii_start();
    let bare = bare.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bare);
    bare.trim_ascii_start()
}

#[cfg(test)]
mod tests;
