//! Writes to one client: events, or the elements of one JSON array.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::gemini::Stream;
use crate::dialect::gemini::body::{candidate, event, response};
use crate::dialect::gemini::edit::{self, Trail};
use crate::dialect::gemini::fact::Form;
use crate::dialect::gemini::undecodable::utf8;
use crate::dialect::gemini::{counted, function, read, reshape, say};
use crate::dialect::sse::Frame;
use crate::dialect::{
    CallPart, ClientError, Closing, EditError, Edits, Ending, Finish, Identity, Piece, Slot,
    ToolCallView, Undecodable, Writer,
};
use crate::event::{Channel, Place, Usage};

/// What one client reads.
#[derive(Debug)]
pub(super) struct GeminiWriter {
    identity: Identity,
    /// What it reads of Airlock alone.
    own: Identity,
    stream: Stream,
    trail: Trail,
    array: Array,
    /// Calls of another API's answer, which come in parts there and go out whole here.
    calls: BTreeMap<(u16, u16), ToolCallView>,
}

/// How far the array is that a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Array {
    Unopened,
    Open,
    Closed,
}

impl GeminiWriter {
    /// For a client that reads these ids, and its stream in this form.
    pub fn new(identity: Identity, stream: Stream) -> Self {
        Self {
            own: identity.clone(),
            identity,
            stream,
            trail: Trail::default(),
            array: Array::Unopened,
            calls: BTreeMap::new(),
        }
    }

    /// Responses in the client's form.
    fn framed(&mut self, responses: &[Value]) -> Bytes {
        let mut out = String::new();
        for response in responses {
            match self.stream {
                Stream::Events => out.push_str(&event(response)),
                Stream::Array => self.element(&response.to_string(), &mut out),
            }
        }
        out.into()
    }

    /// The next element of the array.
    fn element(&mut self, response: &str, out: &mut String) {
        out.push_str(match self.array {
            Array::Unopened => "[",
            Array::Open | Array::Closed => ",\r\n",
        });
        self.array = Array::Open;
        out.push_str(response);
    }

    /// The end of the array, with what comes before it.
    fn ended(&mut self, before: Bytes) -> Bytes {
        let end = self.trailer();
        match end.is_empty() {
            true => before,
            false => [before, end].concat().into(),
        }
    }

    fn say_call(&mut self, part: &CallPart) -> Result<(), EditError> {
        let place = Place::new(Channel::ToolArguments, part.choice, 0);
        let Slot::Index(index) = part.slot else {
            return Err(EditError::at(place, "the call has no number"));
        };
        let call = self.calls.entry((part.choice, index)).or_default();
        for (known, stated) in [(&mut call.id, &part.id), (&mut call.name, &part.name)] {
            if let Some(stated) = stated {
                known.clone_from(stated);
            }
        }
        call.arguments.push_str(&part.arguments);
        Ok(())
    }

    /// The calls of a choice that has finished, each as a part.
    fn said_calls(&mut self, choice: u16) -> Result<Vec<Value>, EditError> {
        let mut parts = Vec::new();
        let calls = std::mem::take(&mut self.calls);
        for ((of, index), call) in calls {
            if of != choice {
                self.calls.insert((of, index), call);
                continue;
            }
            let object = call.arguments.trim().is_empty() || json_object(&call.arguments);
            if !object {
                let place = Place::new(Channel::ToolArguments, choice, 0);
                return Err(EditError::at(place, "arguments are no JSON object"));
            }
            let part = serde_json::from_str(&function::call(&call));
            parts.push(part.map_err(|error| Undecodable::at("functionCall", error))?);
        }
        Ok(parts)
    }
}

fn json_object(text: &str) -> bool {
    matches!(serde_json::from_str(text), Ok(Value::Object(_)))
}

impl Writer for GeminiWriter {
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
        let plain = *edits == Edits::default() && self.trail.is_clean();
        if plain && self.stream == Stream::Events {
            return Ok(Some(frame.raw.clone()));
        }
        let source = match read::data(frame)? {
            Some(source) => source,
            None => return self.without_data(frame, edits),
        };
        let written = match plain {
            true => source.to_owned(),
            false => edit::write(source, Form::Frame, edits, &mut self.trail)?,
        };
        let only_texts = Edits {
            texts: edits.texts.clone(),
            ..Edits::default()
        };
        if *edits != only_texts && !edit::says_anything(&written, edits.goes_on)? {
            return Ok(None);
        }
        Ok(Some(match self.stream {
            Stream::Events if written == source => frame.raw.clone(),
            Stream::Events => format!("data: {}\n\n", one_line(&written)).into(),
            Stream::Array => {
                let mut out = String::new();
                self.element(&written, &mut out);
                out.into()
            }
        }))
    }

    /// An array that was opened stays so.
    fn rewinds(&self) -> bool {
        self.stream == Stream::Events
    }

    fn body(&mut self, body: &Bytes, edits: &Edits<'_>) -> Result<Bytes, EditError> {
        match *edits == Edits::default() {
            true => Ok(body.clone()),
            false => Ok(edit::write(utf8(body)?, Form::Body, edits, &mut Trail::default())?.into()),
        }
    }

    fn stream_of_body(&self, body: &[u8]) -> Result<Bytes, Undecodable> {
        reshape::stream(body)
    }

    fn body_of_stream(&self, frames: &[Frame]) -> Result<Vec<u8>, Undecodable> {
        reshape::body(frames)
    }

    fn text(&mut self, place: Place, text: &str) -> Result<Bytes, EditError> {
        let said = say::text(&self.identity, place, text)?;
        Ok(self.framed(&[said]))
    }

    fn close(&mut self, closing: &Closing<'_>) -> Bytes {
        let said = self.framed(&say::close(&self.identity, closing));
        self.ended(said)
    }

    fn answer(&mut self, text: &str, refusal: bool, ending: &Ending, usage: Usage) -> Vec<u8> {
        say::answer(&self.identity, text, refusal, ending, usage)
            .to_string()
            .into_bytes()
    }

    fn end_body(&mut self, body: &[u8], ending: &Ending) -> Result<Vec<u8>, EditError> {
        edit::end_body(body, ending)
    }

    fn error(&mut self, error: &ClientError) -> Bytes {
        let said = self.framed(&[say::error(error)]);
        self.ended(said)
    }

    fn say(&mut self, piece: &Piece, finish: Finish) -> Result<Bytes, EditError> {
        let identity = &self.identity;
        let said = match piece {
            Piece::Text { place, text, .. } => {
                let mut place = *place;
                // The API has no other place for what a model says in refusing.
                if place.channel == Channel::Refusal {
                    place.channel = Channel::Output;
                }
                vec![say::text(identity, place, text)?]
            }
            Piece::Call(part) => {
                self.say_call(part)?;
                Vec::new()
            }
            Piece::Finish { choice, reason } => {
                let calls = self.said_calls(*choice)?;
                let mut said = Vec::new();
                if !calls.is_empty() {
                    said.push(response(&self.identity, vec![candidate(*choice, calls)]).into());
                }
                said.push(say::finish(&self.identity, *choice, finish, reason));
                said
            }
            Piece::Usage(usage) => {
                let mut said = response(identity, Vec::new());
                said.insert("usageMetadata".to_owned(), counted::written(*usage));
                vec![json!(said)]
            }
            Piece::Error(failure) => {
                let error = ClientError {
                    status: failure.status,
                    kind: failure.kind,
                    message: failure.message.clone(),
                    code: "airlock_upstream".to_owned(),
                    origin: None,
                };
                return Ok(self.error(&error));
            }
            Piece::End if !self.calls.is_empty() => {
                let place = Place::new(Channel::ToolArguments, 0, 0);
                return Err(EditError::at(place, "the answer ended before a call of it"));
            }
            Piece::Beside | Piece::End => Vec::new(),
        };
        Ok(self.framed(&said))
    }

    fn trailer(&mut self) -> Bytes {
        let end = match (self.stream, self.array) {
            (Stream::Events, _) | (_, Array::Closed) => "",
            (Stream::Array, Array::Unopened) => "[]",
            (Stream::Array, Array::Open) => "]",
        };
        self.array = Array::Closed;
        Bytes::from_static(end.as_bytes())
    }
}

impl GeminiWriter {
    /// What lies between the events of a stream has no place in an array; a document that nobody could read has.
    fn without_data(
        &mut self,
        frame: &Frame,
        edits: &Edits<'_>,
    ) -> Result<Option<Bytes>, EditError> {
        if let Some(edit) = edits.texts.first() {
            return Err(EditError::at(edit.place, "there is no text to replace"));
        }
        if self.stream == Stream::Events {
            return Ok(Some(frame.raw.clone()));
        }
        let document = utf8(&frame.raw)?.trim();
        let mut out = String::new();
        if document.starts_with('{') {
            self.element(document, &mut out);
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }
}

/// JSON on one line: outside of strings, where no line can end, a line's end is white space.
fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}
