//! Reads one leg's answer of Chat Completions.

use super::{NAME, own, read};
use crate::dialect::sse::Frame;
use crate::dialect::{Identity, OwnTurn, Piece, Reader, Undecodable};

/// What one leg's answer has said of itself, and of the model's turn.
#[derive(Debug, Default)]
pub struct ChatReader {
    identity: Identity,
    own: OwnTurn,
}

impl Reader for ChatReader {
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Piece>) -> Result<(), Undecodable> {
        read::frame(frame, &mut self.identity, out).map_err(|error| error.of(NAME))
    }

    fn body(&mut self, body: &[u8], out: &mut Vec<Piece>) -> Result<(), Undecodable> {
        read::body(body, &mut self.identity, out).map_err(|error| error.of(NAME))
    }

    fn is_usage_only(&self, frame: &Frame) -> bool {
        read::is_usage_only(frame)
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn gather(&mut self, payload: &[u8]) {
        own::gather(payload, &mut self.own);
    }

    fn give_up(&mut self) {
        self.own.give_up();
    }

    fn own_message(&self) -> Option<String> {
        self.own.message()
    }

    fn own_call(&self, id: &str) -> Option<String> {
        self.own.call(id)
    }
}
