//! Writes completions to one client.

use bytes::Bytes;

use super::{NAME, edit, reshape, say};
use crate::dialect::openai;
use crate::dialect::sse::Frame;
use crate::dialect::{
    ClientError, Closing, EditError, Edits, Ending, Finish, Identity, Piece, Undecodable, Writer,
};
use crate::event::{Place, Usage};

/// What one client reads.
#[derive(Debug, Default)]
pub struct CompletionsWriter {
    identity: Identity,
    /// What it reads of Airlock alone.
    own: Identity,
}

impl CompletionsWriter {
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            own: identity.clone(),
            identity,
        }
    }
}

fn named<T>(written: Result<T, EditError>) -> Result<T, EditError> {
    written.map_err(|error| match error {
        EditError::Undecodable(error) => EditError::Undecodable(error.of(NAME)),
        other => other,
    })
}

impl Writer for CompletionsWriter {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn meet(&mut self, stated: &Identity) {
        self.identity.meet(stated);
    }

    fn speak_alone(&mut self) {
        self.identity = self.own.clone();
    }

    fn frame(&mut self, frame: &Frame, edits: &Edits<'_>) -> Result<Option<Bytes>, EditError> {
        match *edits == Edits::default() {
            true => Ok(Some(frame.raw.clone())),
            false => named(edit::frame(frame, edits)),
        }
    }

    fn body(&mut self, body: &Bytes, edits: &Edits<'_>) -> Result<Bytes, EditError> {
        match *edits == Edits::default() {
            true => Ok(body.clone()),
            false => named(edit::body(body, edits)).map(Bytes::from),
        }
    }

    fn stream_of_body(&self, body: &[u8]) -> Result<Bytes, Undecodable> {
        reshape::stream(body).map_err(|error| error.of(NAME))
    }

    fn body_of_stream(&self, frames: &[Frame]) -> Result<Vec<u8>, Undecodable> {
        reshape::body(frames).map_err(|error| error.of(NAME))
    }

    fn text(&mut self, place: Place, text: &str) -> Result<Bytes, EditError> {
        say::text(&self.identity, place, text)
    }

    fn close(&mut self, closing: &Closing<'_>) -> Bytes {
        say::close(&self.identity, closing)
    }

    fn answer(&mut self, text: &str, _refusal: bool, ending: &Ending, usage: Usage) -> Vec<u8> {
        say::answer(&self.identity, text, ending, usage)
    }

    fn end_body(&mut self, body: &[u8], ending: &Ending) -> Result<Vec<u8>, EditError> {
        named(edit::end_body(body, ending))
    }

    fn error(&mut self, error: &ClientError) -> Bytes {
        openai::error_frame(error)
    }

    fn say(&mut self, piece: &Piece, finish: Finish) -> Result<Bytes, EditError> {
        say::piece(&self.identity, piece, finish)
    }
}
