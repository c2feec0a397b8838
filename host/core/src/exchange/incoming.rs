//! What an upstream sends of one leg: frames of a stream as they are complete, or a whole body at its end.

use bytes::{Bytes, BytesMut};

use crate::dialect::framing::{Decoded, Framing, Wire};

/// The longest whole (not streamed) answer, bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// The place in one leg's answer.
#[derive(Debug)]
pub enum Incoming {
    /// The client asked for a stream.
    Stream(Framing),
    /// It asked for a whole body.
    Whole(BytesMut),
}

impl Incoming {
    /// Nothing has come.
    pub fn new(streamed: bool, wire: Wire) -> Self {
        match streamed {
            true => Self::Stream(Framing::new(wire)),
            false => Self::Whole(BytesMut::new()),
        }
    }

    /// Takes the next bytes: what they complete, and why nothing may follow.
    pub fn push(&mut self, chunk: Bytes) -> (Vec<Decoded>, Result<(), String>) {
        match self {
            Self::Stream(framing) => {
                let mut decoded = Vec::new();
                let framed = framing.push(chunk, &mut decoded);
                (decoded, framed.map_err(|error| error.to_string()))
            }
            Self::Whole(bytes) if bytes.len() + chunk.len() > MAX_ANSWER_BYTES => {
                let why = format!("the upstream's answer is longer than {MAX_ANSWER_BYTES} bytes");
                (Vec::new(), Err(why))
            }
            Self::Whole(bytes) => {
                bytes.extend_from_slice(&chunk);
                (Vec::new(), Ok(()))
            }
        }
    }

    /// The answer ended: the rest of a stream, or the whole body.
    pub fn finish(&mut self) -> Rest {
        match self {
            Self::Stream(framing) => {
                let mut decoded = Vec::new();
                framing.finish(&mut decoded);
                Rest::Stream(decoded)
            }
            Self::Whole(bytes) => Rest::Whole(std::mem::take(bytes).freeze()),
        }
    }
}

/// What is there when an answer ended.
#[derive(Debug)]
pub enum Rest {
    /// The last parts of a stream.
    Stream(Vec<Decoded>),
    /// A whole body.
    Whole(Bytes),
}
