//! Writes Chat Completions to one client.

use bytes::Bytes;

use super::{edit, reshape, say};
use crate::dialect::openai;
use crate::dialect::sse::Frame;
use crate::dialect::{
    ClientError, Closing, EditError, Edits, Ending, Finish, Identity, Piece, Undecodable, Writer,
};
use crate::event::{Place, Usage};

/// What one client reads.
#[derive(Debug, Default)]
pub struct ChatWriter {
    identity: Identity,
    /// What it reads of Airlock alone.
    own: Identity,
    /// It was told who speaks, where another API's answer is said.
    told_role: bool,
}

impl ChatWriter {
    /// For a client that reads these ids.
    pub fn new(identity: Identity) -> Self {
        Self {
            own: identity.clone(),
            identity,
            told_role: false,
        }
    }
}

impl Writer for ChatWriter {
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
            false => edit::frame(frame, edits),
        }
    }

    fn body(&mut self, body: &Bytes, edits: &Edits<'_>) -> Result<Bytes, EditError> {
        match *edits == Edits::default() {
            true => Ok(body.clone()),
            false => edit::body(body, edits).map(Bytes::from),
        }
    }

    fn stream_of_body(&self, body: &[u8]) -> Result<Bytes, Undecodable> {
        reshape::stream(body)
    }

    fn body_of_stream(&self, frames: &[Frame]) -> Result<Vec<u8>, Undecodable> {
        reshape::body(frames)
    }

    fn text(&mut self, place: Place, text: &str) -> Result<Bytes, EditError> {
        say::text_frame(&self.identity, place, text)
    }

    fn close(&mut self, closing: &Closing<'_>) -> Bytes {
        say::close_stream(&self.identity, closing)
    }

    fn answer(&mut self, text: &str, refusal: bool, ending: &Ending, usage: Usage) -> Vec<u8> {
        say::answer_body(&self.identity, text, refusal, ending, usage)
    }

    fn end_body(&mut self, body: &[u8], ending: &Ending) -> Result<Vec<u8>, EditError> {
        edit::end_body(body, ending)
    }

    fn error(&mut self, error: &ClientError) -> Bytes {
        openai::error_frame(error)
    }

    fn say(&mut self, piece: &Piece, finish: Finish) -> Result<Bytes, EditError> {
        let said = say::piece(&self.identity, piece, finish)?;
        let speaks = matches!(piece, Piece::Text { .. } | Piece::Call(_));
        if !speaks || std::mem::replace(&mut self.told_role, true) {
            return Ok(said);
        }
        Ok([say::role_frame(&self.identity), said].concat().into())
    }
}
