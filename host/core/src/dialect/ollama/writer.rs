//! Writes to one client.

use bytes::{BufMut, Bytes, BytesMut};

use crate::dialect::ollama::reader::utf8;
use crate::dialect::ollama::say::Said;
use crate::dialect::ollama::shape::Shape;
use crate::dialect::ollama::{edit, failure, line, reshape, say};
use crate::dialect::sse::Frame;
use crate::dialect::{
    ClientError, Closing, EditError, Edits, Ending, Finish, Identity, Piece, Undecodable, Writer,
};
use crate::event::{Place, Usage};

/// What one client reads.
#[derive(Debug)]
pub struct OllamaWriter {
    shape: &'static Shape,
    identity: Identity,
    /// What it reads of Airlock alone.
    own: Identity,
    /// What it read is not all that the model said, and nothing else.
    changed: bool,
    /// The line that it reads has no end yet: an upstream's last one may lack it.
    open: bool,
    /// What was said of another API's answer, and has not gone out.
    said: Said,
}

impl OllamaWriter {
    pub(super) fn new(shape: &'static Shape, identity: Identity) -> Self {
        Self {
            shape,
            own: identity.clone(),
            identity,
            changed: false,
            open: false,
            said: Said::default(),
        }
    }

    /// Bytes as they go out, after the end of the line before.
    fn given(&mut self, bytes: Bytes) -> Bytes {
        if bytes.is_empty() {
            return bytes;
        }
        let open = std::mem::replace(&mut self.open, !bytes.ends_with(b"\n"));
        if !open || bytes.starts_with(b"\n") {
            return bytes;
        }
        let mut ended = BytesMut::with_capacity(bytes.len() + 1);
        ended.put_u8(b'\n');
        ended.extend_from_slice(&bytes);
        ended.freeze()
    }

    fn of_shape<T>(&self, written: Result<T, EditError>) -> Result<T, EditError> {
        written.map_err(|error| match error {
            EditError::Undecodable(error) => EditError::Undecodable(error.of(self.shape.name)),
            other => other,
        })
    }
}

impl Writer for OllamaWriter {
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
        let plain = *edits == Edits::default();
        let Some(data) = frame.data.as_ref().filter(|_| !plain || self.changed) else {
            return match edits.texts.first() {
                Some(edit) => Err(EditError::at(edit.place, "there is no text to replace")),
                None => Ok(Some(self.given(frame.raw.clone()))),
            };
        };
        let source = self.of_shape(utf8(data).map_err(EditError::from))?;
        if plain && !edit::has_context(self.shape, source) {
            return Ok(Some(self.given(frame.raw.clone())));
        }
        let written = edit::write(self.shape, source, edits, self.changed);
        let written = self.of_shape(written)?;
        self.changed |= edit::changes(edits);
        // A line of which nothing but text is replaced remains, whatever is left of it.
        let texts_alone = Edits {
            texts: edits.texts.clone(),
            ..Edits::default()
        };
        let remains = written.says || *edits == texts_alone;
        Ok(remains.then(|| self.given(line::one(&written.json).into())))
    }

    fn body(&mut self, body: &Bytes, edits: &Edits<'_>) -> Result<Bytes, EditError> {
        if *edits == Edits::default() {
            return Ok(body.clone());
        }
        let source = self.of_shape(utf8(body).map_err(EditError::from))?;
        let written = edit::write(self.shape, source, edits, self.changed);
        Ok(self.of_shape(written)?.json.into())
    }

    fn stream_of_body(&self, body: &[u8]) -> Result<Bytes, Undecodable> {
        let stream = reshape::stream(self.shape, body);
        stream.map_err(|error| error.of(self.shape.name))
    }

    fn body_of_stream(&self, frames: &[Frame]) -> Result<Vec<u8>, Undecodable> {
        let body = reshape::body(self.shape, frames);
        body.map_err(|error| error.of(self.shape.name))
    }

    fn text(&mut self, place: Place, text: &str) -> Result<Bytes, EditError> {
        let said = say::text(self.shape, &self.identity, place, text)?;
        self.changed = true;
        Ok(self.given(said))
    }

    fn close(&mut self, closing: &Closing<'_>) -> Bytes {
        let said = say::close(self.shape, &self.identity, closing);
        self.given(said)
    }

    fn answer(&mut self, text: &str, _refusal: bool, ending: &Ending, usage: Usage) -> Vec<u8> {
        say::answer(self.shape, &self.identity, text, ending, usage)
    }

    fn end_body(&mut self, body: &[u8], ending: &Ending) -> Result<Vec<u8>, EditError> {
        let ended = utf8(body)
            .map_err(EditError::from)
            .and_then(|body| edit::end_body(body, ending));
        self.of_shape(ended)
    }

    fn error(&mut self, error: &ClientError) -> Bytes {
        self.given(say::line(&failure::stated(error)))
    }

    fn say(&mut self, piece: &Piece, finish: Finish) -> Result<Bytes, EditError> {
        let said = self.said.hear(self.shape, &self.identity, piece, finish)?;
        Ok(self.given(said))
    }
}
