//! Reads one leg's answer of Messages.

use super::course::Course;
use super::own::Gathered;
use super::{NAME, read};
use crate::dialect::sse::Frame;
use crate::dialect::{Identity, Piece, Reader, Undecodable};

/// What one leg's answer has said of itself, and of the model's turn.
#[derive(Debug, Default)]
pub struct MessagesReader {
    identity: Identity,
    course: Course,
    own: Gathered,
}

impl MessagesReader {
    fn read(&mut self, frame: &Frame, out: &mut Vec<Piece>) -> Result<(), Undecodable> {
        let Some(source) = read::data(frame)? else {
            return Ok(());
        };
        read::is_named_alike(frame, source)?;
        self.course = read::event(source, self.course, &mut self.identity, out)?;
        Ok(())
    }
}

impl Reader for MessagesReader {
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Piece>) -> Result<(), Undecodable> {
        self.read(frame, out).map_err(|error| error.of(NAME))
    }

    fn body(&mut self, body: &[u8], out: &mut Vec<Piece>) -> Result<(), Undecodable> {
        read::body(body, &mut self.identity, out).map_err(|error| error.of(NAME))
    }

    fn is_usage_only(&self, _: &Frame) -> bool {
        // A stream always states it, in the event that ends the message.
        false
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn gather(&mut self, payload: &[u8]) {
        self.own.gather(payload);
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
