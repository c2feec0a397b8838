//! Reads one leg's answer.
//!
//! There is no last word: [`Piece::End`] comes of a body alone. A stream is complete if the first candidate finished, and what
//! follows its finish, such as the usage, is read and judged like what came before.

use crate::dialect::gemini::calls::Calls;
use crate::dialect::gemini::fact::Form;
use crate::dialect::gemini::own::Own;
use crate::dialect::gemini::read;
use crate::dialect::gemini::undecodable::{NAME, utf8};
use crate::dialect::sse::Frame;
use crate::dialect::{Identity, Piece, Reader, Undecodable};

/// What one leg's answer has said of itself, and of the model's turn.
#[derive(Debug, Default)]
pub(super) struct GeminiReader {
    identity: Identity,
    calls: Calls,
    own: Own,
}

impl Reader for GeminiReader {
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Piece>) -> Result<(), Undecodable> {
        let Some(source) = read::data(frame)? else {
            return Ok(());
        };
        let read = read::pieces(
            source,
            Form::Frame,
            &mut self.calls,
            &mut self.identity,
            out,
        );
        read.map_err(|error| error.of(NAME))
    }

    fn body(&mut self, body: &[u8], out: &mut Vec<Piece>) -> Result<(), Undecodable> {
        let source = utf8(body)?;
        let read = read::pieces(source, Form::Body, &mut self.calls, &mut self.identity, out);
        read.map_err(|error| error.of(NAME))?;
        out.push(Piece::End);
        Ok(())
    }

    fn is_usage_only(&self, frame: &Frame) -> bool {
        read::is_usage_only(frame)
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
