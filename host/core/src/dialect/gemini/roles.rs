//! Gemini in its roles.

use bytes::Bytes;

use super::reader::GeminiReader;
use super::writer::GeminiWriter;
use super::{Gemini, NAME, Stream, insert, path, portable, read, request, request_edit, say};
use crate::dialect::framing::Wire;
use crate::dialect::{
    ClientError, Dialect, EditError, Failure, Finish, Hint, Identity, Inbound, NotPortable,
    Outbound, Portable, Reader, Received, RequestEdits, RequestView, Turn, Undecodable, Writer,
};

impl Dialect for Gemini {
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
        Box::new(GeminiReader::default())
    }

    fn writer(&self, identity: Identity) -> Box<dyn Writer> {
        Box::new(GeminiWriter::new(identity, self.stream))
    }

    fn voice(&self, identity: Identity) -> Box<dyn Writer> {
        Box::new(GeminiWriter::new(identity, Stream::Events))
    }
}

impl Inbound for Gemini {
    fn read_request(&self, received: Received<'_>) -> Result<RequestView, Undecodable> {
        request::read(received).map_err(|error| error.of(NAME))
    }

    fn error_body(&self, error: &ClientError) -> Vec<u8> {
        say::error(error).to_string().into_bytes()
    }

    fn stream_type(&self) -> &'static str {
        match self.stream {
            Stream::Events => "text/event-stream",
            Stream::Array => "application/json; charset=UTF-8",
        }
    }

    /// Nothing: `google-genai` (3.4) breaks at a comment, and an array has no room for one.
    fn keep_alive(&self) -> Bytes {
        Bytes::new()
    }

    fn to_portable(&self, received: Received<'_>) -> Result<Portable, NotPortable> {
        portable::read(received)
    }
}

impl Outbound for Gemini {
    fn path(&self, model: &str, streamed: bool) -> String {
        path::of(self.version, model, streamed)
    }

    fn edit_request(&self, body: &[u8], edits: &RequestEdits) -> Result<Vec<u8>, EditError> {
        request_edit::edit(body, edits)
    }

    fn continue_request(&self, body: &[u8], turn: &Turn) -> Result<Vec<u8>, EditError> {
        request_edit::go_on(body, turn)
    }

    fn of_portable(&self, portable: &Portable) -> Result<Vec<u8>, NotPortable> {
        portable::write(portable)
    }

    fn lacks(&self) -> &'static [Hint] {
        &[Hint::EndUser, Hint::SchemaName, Hint::OneCall]
    }

    fn meaning(&self, reason: &str) -> Finish {
        read::meaning(reason)
    }

    fn key_header(&self) -> &'static str {
        "x-goog-api-key"
    }

    fn ask(&self, _: &str, system: &str, user: &str, max_tokens: u64) -> Vec<u8> {
        insert::question(system, user, max_tokens)
            .to_string()
            .into_bytes()
    }

    fn wire(&self) -> Wire {
        Wire::Events
    }

    fn read_error(&self, status: u16, body: &[u8]) -> Failure {
        read::error_body(status, body)
    }
}
