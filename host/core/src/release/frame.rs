//! A frame or body on its way through: what it was read from, what it says, and whether it may leave.

use bytes::{Bytes, BytesMut};

use super::call::Part;
use crate::dialect::sse::Frame;
use crate::event::{Micros, Usage};

/// What a frame was read from.
pub enum Payload {
    /// A frame of a stream.
    Frame(Frame),
    /// A whole body.
    Body(Bytes),
}

/// What a frame or body says, besides its bytes.
#[derive(Default)]
pub struct Said {
    /// Parts of stretches that it bears.
    pub spans: Vec<Span>,
    /// Parts of tool calls that it bears, in its order.
    pub calls: Vec<Part>,
    /// It has fields that are not of its form, and that were not read.
    pub beside: bool,
    /// Somebody judges: what leaves is written so that all clients read it alike.
    pub judged: bool,
    /// Tokens of its text.
    pub tokens: u32,
    /// Choices that it ends.
    pub finishes: Vec<u16>,
    /// The usage of all legs so far, if it states that of its own and there were others.
    pub usage: Option<Usage>,
    /// It states usage.
    pub states_usage: bool,
    /// Nothing follows it.
    pub ends: bool,
}

/// Whether and when a held frame leaves, apart from its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// With its text.
    Pass,
    /// Not before the response was judged: it ends the generation.
    Terminal,
    /// Never: the client did not ask for it.
    Strip,
}

/// A part of a stretch that a frame bears.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// Index of the stretch.
    pub stretch: usize,
    /// First offset.
    pub start: u32,
    /// Offset past the last.
    pub end: u32,
}

/// One that is held.
pub(super) struct Held {
    pub(super) payload: Payload,
    pub(super) said: Said,
    pub(super) duty: Duty,
    pub(super) since: Micros,
    /// The answer goes on after it in another round.
    pub(super) goes_on: bool,
    /// It comes from a later leg than the first.
    pub(super) foreign: bool,
}

/// A frame that may leave.
#[derive(Debug)]
pub struct Ready {
    /// Its bytes.
    pub bytes: Bytes,
    /// Tokens of its text.
    pub tokens: u32,
    /// Whether it bears anything of the generation.
    pub(super) begins: bool,
    /// Choices that it ends.
    pub(super) finishes: Vec<u16>,
    /// After it, the client is in the middle of a tool call.
    pub in_a_call: bool,
}

impl Payload {
    pub(super) fn len(&self) -> usize {
        match self {
            Payload::Frame(frame) => frame.raw.len() + size_of::<Held>(),
            Payload::Body(body) => body.len() + size_of::<Held>(),
        }
    }
}

/// The bytes of frames that leave together; those of a single one are not copied.
pub fn joined(ready: &[Ready]) -> Bytes {
    match ready {
        [single] => single.bytes.clone(),
        several => {
            let mut joined = BytesMut::with_capacity(several.iter().map(|r| r.bytes.len()).sum());
            several
                .iter()
                .for_each(|r| joined.extend_from_slice(&r.bytes));
            joined.freeze()
        }
    }
}
