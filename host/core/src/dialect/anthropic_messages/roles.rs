//! Messages in its roles.

use bytes::Bytes;

use super::reader::MessagesReader;
use super::writer::MessagesWriter;
use super::{AnthropicMessages, NAME, failure, portable, read, request, request_edit, say};
use crate::dialect::framing::Wire;
use crate::dialect::{
    ClientError, Dialect, EditError, Failure, Finish, Hint, Identity, Inbound, NotPortable,
    Outbound, Portable, Reader, Received, RequestEdits, RequestView, Turn, Undecodable, Writer,
};

impl Dialect for AnthropicMessages {
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
        Box::new(MessagesReader::default())
    }

    fn writer(&self, identity: Identity) -> Box<dyn Writer> {
        Box::new(MessagesWriter::new(identity))
    }
}

impl Inbound for AnthropicMessages {
    fn read_request(&self, received: Received<'_>) -> Result<RequestView, Undecodable> {
        request::read(received.body).map_err(|error| error.of(NAME))
    }

    fn error_body(&self, error: &ClientError) -> Vec<u8> {
        say::error_body(error)
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

impl Outbound for AnthropicMessages {
    fn path(&self, _: &str, _: bool) -> String {
        "/v1/messages".to_owned()
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
        &[Hint::SchemaName]
    }

    fn meaning(&self, reason: &str) -> Finish {
        read::meaning(reason)
    }

    /// The version that the vendor's documents ask for since 2023, and which every server of this API knows.
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("anthropic-version", "2023-06-01")]
    }

    fn key_header(&self) -> &'static str {
        "x-api-key"
    }

    fn ask(&self, model: &str, system: &str, user: &str, max_tokens: u64) -> Vec<u8> {
        say::question(model, system, user, max_tokens)
    }

    fn names_events(&self) -> bool {
        true
    }

    fn wire(&self) -> Wire {
        Wire::Events
    }

    fn read_error(&self, status: u16, body: &[u8]) -> Failure {
        failure::of_body(status, body)
    }
}
