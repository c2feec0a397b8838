//! Completions in their roles.

use bytes::Bytes;

use super::reader::CompletionsReader;
use super::writer::CompletionsWriter;
use super::{NAME, OpenAiCompletions, portable, request, request_edit};
use crate::dialect::framing::Wire;
use crate::dialect::openai;
use crate::dialect::{
    ClientError, Dialect, EditError, Failure, Finish, Identity, Inbound, NotPortable, Outbound,
    Portable, Reader, Received, RequestEdits, RequestView, Turn, Undecodable, Writer,
};

impl Dialect for OpenAiCompletions {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inbound(&self) -> &dyn Inbound {
        self
    }

    fn outbound(&self) -> &dyn Outbound {
        self
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(CompletionsReader::default())
    }

    fn writer(&self, identity: Identity) -> Box<dyn Writer> {
        Box::new(CompletionsWriter::new(identity))
    }
}

impl Inbound for OpenAiCompletions {
    fn read_request(&self, received: Received<'_>) -> Result<RequestView, Undecodable> {
        request::read(received.body).map_err(|error| error.of(NAME))
    }

    fn error_body(&self, error: &ClientError) -> Vec<u8> {
        openai::error_body(error)
    }

    fn stream_type(&self) -> &'static str {
        "text/event-stream; charset=utf-8"
    }

    fn keep_alive(&self) -> Bytes {
        Bytes::from_static(b": airlock keeps the connection\n\n")
    }

    fn to_portable(&self, received: Received<'_>) -> Result<Portable, NotPortable> {
        portable::read(received.body)
    }
}

impl Outbound for OpenAiCompletions {
    fn path(&self, _: &str, _: bool) -> String {
        "/completions".to_owned()
    }

    fn edit_request(&self, body: &[u8], edits: &RequestEdits) -> Result<Vec<u8>, EditError> {
        request_edit::edit(body, edits).map_err(|error| match error {
            EditError::Undecodable(error) => EditError::Undecodable(error.of(NAME)),
            other => other,
        })
    }

    fn continue_request(&self, _: &[u8], _: &Turn) -> Result<Vec<u8>, EditError> {
        Err(EditError::Impossible {
            place: "prompt".to_owned(),
            what: "it cannot be told the results of calls".to_owned(),
        })
    }

    fn of_portable(&self, _: &Portable) -> Result<Vec<u8>, NotPortable> {
        let why = "it takes prompts, and other APIs conversations: ask `openai-chat`";
        Err(NotPortable::to(NAME, "messages", why))
    }

    fn meaning(&self, reason: &str) -> Finish {
        openai::meaning(reason)
    }

    fn ask(&self, model: &str, system: &str, user: &str, max_tokens: u64) -> Vec<u8> {
        request_edit::ask(model, system, user, max_tokens)
    }

    fn wire(&self) -> Wire {
        Wire::Events
    }

    fn read_error(&self, status: u16, body: &[u8]) -> Failure {
        openai::read_error(status, body)
    }
}
