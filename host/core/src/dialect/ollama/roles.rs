//! The two APIs in their roles.

use bytes::Bytes;

use super::reader::OllamaReader;
use super::shape::{CHAT, GENERATE, Shape};
use super::writer::OllamaWriter;
use super::{
    OllamaChat, OllamaGenerate, conversation, failure, portable, prompt, request, request_edit, say,
};
use crate::dialect::framing::Wire;
use crate::dialect::{
    ClientError, Dialect, EditError, Failure, Finish, Hint, Identity, Inbound, NotPortable,
    Outbound, Portable, Reader, Received, RequestEdits, RequestView, Turn, Undecodable, Writer,
};

/// Media type of a stream.
const LINES: &str = "application/x-ndjson";

impl Dialect for OllamaChat {
    fn name(&self) -> &'static str {
        CHAT.name
    }

    fn inbound(&self) -> &dyn Inbound {
        self
    }

    fn outbound(&self) -> &dyn Outbound {
        self
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(OllamaReader::new(&CHAT))
    }

    fn writer(&self, identity: Identity) -> Box<dyn Writer> {
        Box::new(OllamaWriter::new(&CHAT, identity))
    }
}

impl Inbound for OllamaChat {
    fn read_request(&self, received: Received<'_>) -> Result<RequestView, Undecodable> {
        read(&CHAT, received.body, conversation::read)
    }

    fn error_body(&self, error: &ClientError) -> Vec<u8> {
        failure::stated(error).to_string().into_bytes()
    }

    fn stream_type(&self) -> &'static str {
        LINES
    }

    fn keep_alive(&self) -> Bytes {
        say::silence(&CHAT)
    }

    fn to_portable(&self, received: Received<'_>) -> Result<Portable, NotPortable> {
        portable::of_chat(received.body)
    }
}

impl Outbound for OllamaChat {
    fn path(&self, _: &str, _: bool) -> String {
        "/api/chat".to_owned()
    }

    fn edit_request(&self, body: &[u8], edits: &RequestEdits) -> Result<Vec<u8>, EditError> {
        of(&CHAT, request_edit::chat(body, edits))
    }

    fn continue_request(&self, body: &[u8], turn: &Turn) -> Result<Vec<u8>, EditError> {
        of(&CHAT, request_edit::go_on(body, turn))
    }

    fn of_portable(&self, portable: &Portable) -> Result<Vec<u8>, NotPortable> {
        portable::to_chat(portable)
    }

    fn lacks(&self) -> &'static [Hint] {
        &[
            Hint::EndUser,
            Hint::StrictTools,
            Hint::SchemaName,
            Hint::OneCall,
        ]
    }

    fn meaning(&self, reason: &str) -> Finish {
        meaning(reason)
    }

    fn ask(&self, model: &str, system: &str, user: &str, max_tokens: u64) -> Vec<u8> {
        request_edit::ask_chat(model, system, user, max_tokens)
    }

    fn wire(&self) -> Wire {
        Wire::Lines
    }

    fn read_error(&self, status: u16, body: &[u8]) -> Failure {
        failure::of_body(status, body)
    }
}

impl Dialect for OllamaGenerate {
    fn name(&self) -> &'static str {
        GENERATE.name
    }

    fn inbound(&self) -> &dyn Inbound {
        self
    }

    fn outbound(&self) -> &dyn Outbound {
        self
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(OllamaReader::new(&GENERATE))
    }

    fn writer(&self, identity: Identity) -> Box<dyn Writer> {
        Box::new(OllamaWriter::new(&GENERATE, identity))
    }
}

impl Inbound for OllamaGenerate {
    fn read_request(&self, received: Received<'_>) -> Result<RequestView, Undecodable> {
        read(&GENERATE, received.body, prompt::read)
    }

    fn error_body(&self, error: &ClientError) -> Vec<u8> {
        failure::stated(error).to_string().into_bytes()
    }

    fn stream_type(&self) -> &'static str {
        LINES
    }

    fn keep_alive(&self) -> Bytes {
        say::silence(&GENERATE)
    }

    fn to_portable(&self, received: Received<'_>) -> Result<Portable, NotPortable> {
        portable::of_generate(received.body)
    }
}

impl Outbound for OllamaGenerate {
    fn path(&self, _: &str, _: bool) -> String {
        "/api/generate".to_owned()
    }

    fn edit_request(&self, body: &[u8], edits: &RequestEdits) -> Result<Vec<u8>, EditError> {
        of(&GENERATE, request_edit::generate(body, edits))
    }

    fn continue_request(&self, _: &[u8], _: &Turn) -> Result<Vec<u8>, EditError> {
        Err(EditError::Impossible {
            place: "prompt".to_owned(),
            what: "it cannot be told the results of calls".to_owned(),
        })
    }

    fn of_portable(&self, _: &Portable) -> Result<Vec<u8>, NotPortable> {
        let why = "it takes one prompt: ask `ollama-chat`";
        Err(NotPortable::to(GENERATE.name, "messages", why))
    }

    fn meaning(&self, reason: &str) -> Finish {
        meaning(reason)
    }

    fn ask(&self, model: &str, system: &str, user: &str, max_tokens: u64) -> Vec<u8> {
        request_edit::ask_generate(model, system, user, max_tokens)
    }

    fn wire(&self) -> Wire {
        Wire::Lines
    }

    fn read_error(&self, status: u16, body: &[u8]) -> Failure {
        failure::of_body(status, body)
    }
}

fn read(
    shape: &Shape,
    body: &[u8],
    read: fn(&str) -> Result<RequestView, Undecodable>,
) -> Result<RequestView, Undecodable> {
    let view = request::utf8(body).and_then(read);
    view.map_err(|error| error.of(shape.name))
}

fn of<T>(shape: &Shape, made: Result<T, EditError>) -> Result<T, EditError> {
    made.map_err(|error| match error {
        EditError::Undecodable(error) => EditError::Undecodable(error.of(shape.name)),
        other => other,
    })
}

/// What a reason means. After calls it is `stop` too. A model that was loaded or unloaded said nothing.
fn meaning(reason: &str) -> Finish {
    match reason {
        "stop" => Finish::Stop,
        "length" => Finish::Length,
        _ => Finish::Other,
    }
}
