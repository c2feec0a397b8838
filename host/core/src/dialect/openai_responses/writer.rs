//! Writes Responses to one client.

use bytes::Bytes;
use serde_json::json;

use crate::dialect::openai_responses::compose::Out;
use crate::dialect::openai_responses::splice::passed;
use crate::dialect::openai_responses::state::State;
use crate::dialect::openai_responses::undecodable::undecodable;
use crate::dialect::openai_responses::{body, edit, forms, reader, reshape, say};
use crate::dialect::sse::Frame;
use crate::dialect::{
    ClientError, Closing, EditError, Edits, Ending, Finish, Identity, Piece, Undecodable, Writer,
};
use crate::event::{Place, Usage};

/// What one client reads.
#[derive(Debug, Default)]
pub(super) struct ResponsesWriter {
    state: State,
    /// Ids that it reads of Airlock alone.
    own: Identity,
    /// Something passed that could not be read: nothing can be edited any more.
    lost: bool,
    /// An edit could not be made: nothing that an upstream says leaves any more.
    failed: bool,
    /// What was said of another API's answer.
    said: say::Said,
}

impl ResponsesWriter {
    /// For a client that reads these ids.
    pub fn new(identity: Identity) -> Self {
        let state = State {
            identity: identity.clone(),
            ..State::default()
        };
        Self {
            state,
            own: identity,
            ..Self::default()
        }
    }

    /// A frame that nothing concerns.
    fn pass(&mut self, frame: &Frame, source: &str) -> Bytes {
        match self.state.client.heard(source) {
            Ok(event) => {
                let (name, sequence) = (event.name.into_owned(), event.sequence);
                self.state.client.number(sequence);
                passed(frame, &name)
            }
            // Nobody judges, or it would not be here.
            Err(_) => {
                self.lost = true;
                frame.raw.clone()
            }
        }
    }
}

impl Writer for ResponsesWriter {
    fn identity(&self) -> &Identity {
        &self.state.identity
    }

    fn meet(&mut self, stated: &Identity) {
        self.state.identity.meet(stated);
    }

    fn speak_alone(&mut self) {
        self.state.identity = self.own.clone();
    }

    fn frame(&mut self, frame: &Frame, edits: &Edits<'_>) -> Result<Option<Bytes>, EditError> {
        let plain = *edits == Edits::default();
        if self.failed {
            return Err(undecodable("the response", "an edit of it failed before").into());
        }
        if plain && self.lost {
            return Ok(Some(frame.raw.clone()));
        }
        let source = match reader::source(frame) {
            Ok(Some(source)) => source,
            Ok(None) => {
                return match edits.texts.first() {
                    Some(edit) => Err(EditError::at(edit.place, "there is no text to replace")),
                    None if edits.goes_on && frame.says() => Ok(None),
                    None => Ok(Some(frame.raw.clone())),
                };
            }
            Err(_) if plain && self.state.theirs.is_none() => {
                self.lost = true;
                return Ok(Some(frame.raw.clone()));
            }
            Err(error) => return Err(error.into()),
        };
        if plain && self.state.theirs.is_none() {
            return Ok(Some(self.pass(frame, source)));
        }
        if self.lost {
            let what = "what came before could not be read";
            return Err(undecodable("the response", what).into());
        }
        let next = self.state.client.next_number();
        let edited = edit::frame(&mut self.state, frame, source, edits);
        if edited.is_err() {
            self.failed = true;
            self.state.client.forget(next);
        }
        edited
    }

    /// The record of what its client has is written from text by text, and knows no way back.
    fn rewinds(&self) -> bool {
        false
    }

    fn body(&mut self, body: &Bytes, edits: &Edits<'_>) -> Result<Bytes, EditError> {
        match *edits == Edits::default() {
            true => Ok(body.clone()),
            false => body::edit(body, edits).map(Bytes::from),
        }
    }

    fn stream_of_body(&self, body: &[u8]) -> Result<Bytes, Undecodable> {
        reshape::stream(body)
    }

    fn body_of_stream(&self, frames: &[Frame]) -> Result<Vec<u8>, Undecodable> {
        reshape::body(frames)
    }

    fn text(&mut self, place: Place, text: &str) -> Result<Bytes, EditError> {
        say::text(&mut self.state, place, text)
    }

    fn close(&mut self, closing: &Closing<'_>) -> Bytes {
        let mut out = Out::default();
        if self.state.client.record.ended {
            return Bytes::new();
        }
        self.state.client.begin(&mut out, &self.state.identity);
        self.state
            .client
            .finish_items(&mut out, forms::status(closing.ending));
        if !closing.text.is_empty() {
            let id = self.state.fresh_id("msg");
            let message = forms::message(&id, closing.text, closing.refusal);
            self.state.client.say_item(&mut out, &message);
        }
        self.state.end(&mut out, closing.ending, closing.usage);
        out.bytes.into()
    }

    fn answer(&mut self, text: &str, refusal: bool, ending: &Ending, usage: Usage) -> Vec<u8> {
        let mut response = forms::response(&self.state.identity, forms::status(ending));
        if !text.is_empty() {
            let message = forms::message(&self.state.fresh_id("msg"), text, refusal);
            response["output"] = json!([message]);
        }
        response["usage"] = forms::usage(usage);
        if let Some(fields) = response.as_object_mut() {
            fields.extend(forms::ended(ending));
        }
        response.to_string().into_bytes()
    }

    fn end_body(&mut self, body: &[u8], ending: &Ending) -> Result<Vec<u8>, EditError> {
        body::end(body, ending)
    }

    fn error(&mut self, error: &ClientError) -> Bytes {
        let mut out = Out::default();
        self.state.fail(&mut out, error);
        out.bytes.into()
    }

    fn say(&mut self, piece: &Piece, finish: Finish) -> Result<Bytes, EditError> {
        say::piece(&mut self.state, &mut self.said, piece, finish)
    }
}
