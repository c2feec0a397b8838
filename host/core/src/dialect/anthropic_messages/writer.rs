//! Writes Messages to one client.

use bytes::Bytes;

use super::course::Kind;
use super::record::Record;
use super::voice::Voice;
use super::{edit, failure, read, reshape, say};
use crate::dialect::sse::Frame;
use crate::dialect::{
    ClientError, Closing, EditError, Edits, Ending, Finish, Identity, Piece, Undecodable, Writer,
};
use crate::event::{Place, Usage};

/// What one client reads.
#[derive(Debug, Default)]
pub struct MessagesWriter {
    identity: Identity,
    /// What it reads of Airlock alone.
    own: Identity,
    record: Record,
    /// It as it was before each frame that was written since the client was last given any.
    earlier: Vec<Record>,
    voice: Voice,
}

impl MessagesWriter {
    /// For a client that reads these ids.
    pub fn new(identity: Identity) -> Self {
        Self {
            own: identity.clone(),
            identity,
            ..Self::default()
        }
    }

    /// What Airlock says itself, behind the beginning of the message.
    fn begun(&self) -> String {
        match self.record.read.begun {
            true => String::new(),
            false => say::start(&self.identity),
        }
    }

    /// Keeps on record what Airlock says itself, as its client reads it.
    fn said(&mut self, said: String) -> Result<Bytes, Undecodable> {
        self.record.reads(said.as_bytes())?;
        Ok(said.into())
    }

    /// A frame with the edits made; only if it can be written does the record go on.
    fn written(&mut self, frame: &Frame, edits: &Edits<'_>) -> Result<Option<Bytes>, EditError> {
        let plain = *edits == Edits::default();
        let source = match read::data(frame) {
            Ok(Some(source)) => source,
            Err(error) if !plain => return Err(error.into()),
            _ => {
                return match edits.texts.first() {
                    Some(edit) => Err(EditError::at(edit.place, "there is no text to replace")),
                    None => Ok(Some(frame.raw.clone())),
                };
            }
        };
        match self.record.write(frame, source, edits) {
            Ok((written, record)) => {
                self.record = record;
                Ok(written)
            }
            // Where nobody judges, what cannot be read passes as it came.
            Err(EditError::Undecodable(_)) if plain && self.record.is_even() => {
                Ok(Some(frame.raw.clone()))
            }
            Err(error) => Err(error),
        }
    }
}

impl Writer for MessagesWriter {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn meet(&mut self, stated: &Identity) {
        self.identity.meet(stated);
    }

    fn speak_alone(&mut self) {
        self.identity = self.own.clone();
    }

    fn sent(&mut self, unsent: usize) {
        let at = self.earlier.len().checked_sub(unsent);
        if let Some(record) = at.and_then(|at| self.earlier.get(at)) {
            self.record = *record;
        }
        self.earlier.clear();
    }

    fn frame(&mut self, frame: &Frame, edits: &Edits<'_>) -> Result<Option<Bytes>, EditError> {
        let before = self.record;
        let written = self.written(frame, edits)?;
        self.earlier.push(before);
        Ok(written)
    }

    fn body(&mut self, body: &Bytes, edits: &Edits<'_>) -> Result<Bytes, EditError> {
        match *edits == Edits::default() {
            true => Ok(body.clone()),
            false => edit::body(body, edits).map(Bytes::from),
        }
    }

    fn stream_of_body(&self, body: &[u8]) -> Result<Bytes, Undecodable> {
        reshape::stream(failure::utf8(body)?)
    }

    fn body_of_stream(&self, frames: &[Frame]) -> Result<Vec<u8>, Undecodable> {
        reshape::body(frames)
    }

    fn text(&mut self, place: Place, text: &str) -> Result<Bytes, EditError> {
        let mut said = self.begun();
        said.push_str(&self.voice.text(&self.record.read, place, text)?);
        Ok(self.said(said)?)
    }

    fn close(&mut self, closing: &Closing<'_>) -> Bytes {
        if !closing.begun {
            // What was written before has not reached the client.
            self.record = Record::default();
        }
        let mut out = self.begun();
        let course = self.record.read;
        if !closing.open.is_empty() {
            let text = if closing.refusal { "" } else { closing.text };
            match course.open {
                Some(open) if open.kind == Kind::Text && !text.is_empty() => {
                    out.push_str(&say::text(open.index, text));
                    out.push_str(&say::stop(open.index));
                }
                open => {
                    out.extend(open.map(|open| say::stop(open.index)));
                    if !text.is_empty() {
                        let block = serde_json::json!({ "type": "text", "text": "" });
                        out.push_str(&say::begin(course.blocks, block));
                        out.push_str(&say::text(course.blocks, text));
                        out.push_str(&say::stop(course.blocks));
                    }
                }
            }
            let explanation = Some(closing.text).filter(|_| closing.refusal);
            out.push_str(&say::end(
                say::stop_reason(closing.ending),
                explanation,
                closing.usage.unwrap_or_default(),
                say::mark(closing.ending),
            ));
        }
        if !course.ended {
            out.push_str(&say::message_stop());
        }
        self.record.read.ended = true;
        out.into()
    }

    fn answer(&mut self, text: &str, refusal: bool, ending: &Ending, usage: Usage) -> Vec<u8> {
        say::answer(&self.identity, text, refusal, ending, usage)
    }

    fn end_body(&mut self, body: &[u8], ending: &Ending) -> Result<Vec<u8>, EditError> {
        edit::end_body(body, ending)
    }

    fn error(&mut self, error: &ClientError) -> Bytes {
        say::error_event(error).into()
    }

    fn say(&mut self, piece: &Piece, finish: Finish) -> Result<Bytes, EditError> {
        let mut said = self.begun();
        let read = self.record.read;
        said.push_str(&match piece {
            Piece::Text { place, text, .. } => return self.text(*place, text),
            Piece::Call(part) => {
                self.voice.call(part)?;
                return Ok(Bytes::new());
            }
            Piece::Usage(usage) => {
                self.voice.count(*usage);
                return Ok(Bytes::new());
            }
            Piece::Beside => return Ok(Bytes::new()),
            Piece::Error(failure) => {
                self.voice.fail();
                let error = ClientError {
                    status: failure.status,
                    kind: failure.kind,
                    message: failure.message.clone(),
                    code: "airlock_upstream".to_owned(),
                    origin: None,
                };
                return Ok(self.error(&error));
            }
            Piece::Finish { reason, .. } => self.voice.finish(&read, reason, finish),
            Piece::End => match self.voice.end(&read) {
                end if end.is_empty() => return Ok(Bytes::new()),
                end => end,
            },
        });
        Ok(self.said(said)?)
    }
}
