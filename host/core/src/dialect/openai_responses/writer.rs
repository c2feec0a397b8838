//! Writes Responses to one client.
//!
//! As long as nothing is edited, the client reads what the upstream says, and one record is kept. From the first edit on there
//! are two: what the upstream said, by which its repetitions are known, and what the client has, from which they are written.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::openai_responses::client::Client;
use crate::dialect::openai_responses::compose::Out;
use crate::dialect::openai_responses::event::Kind;
use crate::dialect::openai_responses::record::Record;
use crate::dialect::openai_responses::rows::Links;
use crate::dialect::openai_responses::splice::passed;
use crate::dialect::openai_responses::undecodable::undecodable;
use crate::dialect::openai_responses::{body, edit, error, forms, reader, reshape, say};
use crate::dialect::sse::Frame;
use crate::dialect::{
    ClientError, Closing, EditError, Edits, Ending, Finish, Identity, Piece, Undecodable, Writer,
};
use crate::event::{Place, Usage};

/// What one client reads.
#[derive(Debug, Default)]
pub(super) struct ResponsesWriter {
    pub identity: Identity,
    /// What it reads of Airlock alone.
    own: Identity,
    pub client: Client,
    /// What the upstream of the present leg said, where that is not what the client has.
    pub theirs: Option<Record>,
    pub links: Links,
    /// The present leg is not the first.
    pub foreign: bool,
    /// Something passed that could not be read: nothing can be edited any more.
    lost: bool,
    /// What was said of another API's answer.
    pub said: say::Said,
}

impl ResponsesWriter {
    /// For a client that reads these ids.
    pub fn new(identity: Identity) -> Self {
        Self {
            own: identity.clone(),
            identity,
            ..Self::default()
        }
    }

    /// What the upstream said is from now on another matter than what the client has.
    pub fn part_ways(&mut self) -> &mut Record {
        if self.theirs.is_none() {
            for key in self.client.record.items.keys() {
                self.links.link(*key, *key);
            }
        }
        let client = &self.client;
        self.theirs.get_or_insert_with(|| client.record.clone())
    }

    /// A frame that nothing concerns.
    fn pass(&mut self, frame: &Frame, source: &str) -> Bytes {
        match self.client.heard(source) {
            Ok(event) => {
                let (name, sequence) = (event.name.into_owned(), event.sequence);
                self.client.number(sequence);
                passed(frame, &name)
            }
            // Nobody judges, or it would not be here.
            Err(_) => {
                self.lost = true;
                frame.raw.clone()
            }
        }
    }

    /// The last event with this ending.
    fn end(&mut self, out: &mut Out, ending: &Ending, usage: Option<Usage>) {
        let mut response = self.response();
        response["output"] = self.client.output(forms::status(ending)).into();
        response["error"] = Value::Null;
        if let Some(usage) = usage {
            response["usage"] = forms::usage(usage);
        }
        if let Some(fields) = response.as_object_mut() {
            fields.extend(forms::ended(ending));
        }
        let fields = json!({ "response": response });
        self.client.emit(out, forms::last_event(ending), fields);
    }

    /// The response object as the client has it.
    pub fn response(&self) -> Value {
        let known = self.client.response.as_ref();
        let known = known.and_then(|known| serde_json::from_str::<Value>(known).ok());
        let known = known.filter(Value::is_object);
        known.unwrap_or_else(|| forms::response(&self.identity, "in_progress"))
    }

    /// Id of the next item that Airlock puts in.
    pub fn fresh_id(&self, prefix: &str) -> String {
        format!("{prefix}_{}_{}", self.identity.id, self.client.next_item())
    }
}

impl Writer for ResponsesWriter {
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
            Err(_) if plain && self.theirs.is_none() => {
                self.lost = true;
                return Ok(Some(frame.raw.clone()));
            }
            Err(error) => return Err(error.into()),
        };
        if plain && self.theirs.is_none() {
            return Ok(Some(self.pass(frame, source)));
        }
        if self.lost {
            let what = "what came before could not be read";
            return Err(undecodable("the response", what).into());
        }
        edit::frame(self, frame, source, edits)
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
        say::text(self, place, text)
    }

    fn close(&mut self, closing: &Closing<'_>) -> Bytes {
        let mut out = Out::default();
        if self.client.record.ended {
            return Bytes::new();
        }
        self.client.begin(&mut out, &self.identity);
        self.client
            .finish_items(&mut out, forms::status(closing.ending));
        if !closing.text.is_empty() {
            let id = self.fresh_id("msg");
            let message = forms::message(&id, closing.text, closing.refusal);
            self.client.say_item(&mut out, &message);
        }
        self.end(&mut out, closing.ending, closing.usage);
        out.bytes.into()
    }

    fn answer(&mut self, text: &str, refusal: bool, ending: &Ending, usage: Usage) -> Vec<u8> {
        let mut response = forms::response(&self.identity, forms::status(ending));
        if !text.is_empty() {
            let message = forms::message(&self.fresh_id("msg"), text, refusal);
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

    /// Two events, as OpenAI itself writes them. At the first one the `openai` package (3.52) raises `APIError`, since it has a
    /// field `error`; it reads no event after it. Its type declares `code` and `message` beside that, where others look.
    /// Clients that read neither (Codex) fail at the second; without it they take the end of the stream for a broken connection,
    /// and repeat the call.
    fn error(&mut self, error: &ClientError) -> Bytes {
        let mut out = Out::default();
        let fields = json!({
            "code": error.code,
            "message": error.message,
            "param": null,
            "error": error::object(error),
        });
        self.client.emit(&mut out, "error", fields);
        let mut response = self.response();
        response["status"] = "failed".into();
        response["error"] = json!({ "code": error.code, "message": error.message });
        // What is not finished is not repeated: agents mend a cut call, and run it.
        response["output"] = self.client.finished().into();
        let fields = json!({ "response": response });
        self.client.emit(&mut out, "response.failed", fields);
        out.bytes.into()
    }

    fn say(&mut self, piece: &Piece, finish: Finish) -> Result<Bytes, EditError> {
        say::piece(self, piece, finish)
    }
}

impl ResponsesWriter {
    /// A leg that is not the first begins: what is open of the one before ends. Nothing is written if nothing is.
    pub fn next_leg(&mut self, out: &mut Out) {
        self.part_ways().begin_again();
        self.links = Links::default();
        self.foreign = true;
        self.client.renumbers = true;
        self.client.finish_items(out, "incomplete");
    }

    /// Whether an event is the first of a further leg.
    pub fn turns(&self, kind: Kind, name: &str, edits: &Edits<'_>) -> bool {
        let begins = kind == Kind::Begins && name == "response.created";
        edits.identity.is_some() && self.client.record.began && (begins || !self.foreign)
    }
}
