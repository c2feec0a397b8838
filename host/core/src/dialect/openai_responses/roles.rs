//! Responses in its roles.

use bytes::Bytes;
use serde_json::json;

use super::reader::ResponsesReader;
use super::writer::ResponsesWriter;
use super::{NAME, OpenAiResponses, error, portable, portable_write, request, request_edit};
use crate::dialect::framing::Wire;
use crate::dialect::{
    ClientError, Dialect, EditError, Failure, Finish, Identity, Inbound, NotPortable, Outbound,
    Portable, Reader, Received, RequestEdits, RequestView, Turn, Undecodable, Writer,
};

impl Dialect for OpenAiResponses {
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
        Box::new(ResponsesReader::default())
    }

    fn writer(&self, identity: Identity) -> Box<dyn Writer> {
        Box::new(ResponsesWriter::new(identity))
    }
}

impl Inbound for OpenAiResponses {
    fn read_request(&self, received: Received<'_>) -> Result<RequestView, Undecodable> {
        request::read(received.body)
    }

    fn error_body(&self, error: &ClientError) -> Vec<u8> {
        error::of(error)
    }

    fn stream_type(&self) -> &'static str {
        "text/event-stream; charset=utf-8"
    }

    fn keep_alive(&self) -> Bytes {
        Bytes::from_static(b": airlock keeps the connection\n\n")
    }

    fn goes_on_by_id(&self) -> bool {
        true
    }

    fn says_items(&self) -> bool {
        true
    }

    fn to_portable(&self, received: Received<'_>) -> Result<Portable, NotPortable> {
        portable::read(received.body)
    }
}

impl Outbound for OpenAiResponses {
    fn path(&self, _: &str, _: bool) -> String {
        "/responses".to_owned()
    }

    fn edit_request(&self, body: &[u8], edits: &RequestEdits) -> Result<Vec<u8>, EditError> {
        request_edit::edit(body, edits)
    }

    fn continue_request(&self, body: &[u8], turn: &Turn) -> Result<Vec<u8>, EditError> {
        request_edit::go_on(body, turn)
    }

    fn of_portable(&self, portable: &Portable) -> Result<Vec<u8>, NotPortable> {
        portable_write::write(portable)
    }

    /// Why a response is incomplete, or else its status; `tool_calls` is the reader's word for one that ends in calls.
    fn meaning(&self, reason: &str) -> Finish {
        match reason {
            "completed" => Finish::Stop,
            "tool_calls" => Finish::ToolCalls,
            "max_output_tokens" => Finish::Length,
            "content_filter" => Finish::Filtered,
            _ => Finish::Other,
        }
    }

    fn ask(&self, model: &str, system: &str, user: &str, max_tokens: u64) -> Vec<u8> {
        let body = json!({
            "model": model,
            "instructions": system,
            "input": user,
            "max_output_tokens": max_tokens,
            "store": false,
        });
        body.to_string().into_bytes()
    }

    fn names_events(&self) -> bool {
        true
    }

    fn wire(&self) -> Wire {
        Wire::Events
    }

    fn read_error(&self, status: u16, body: &[u8]) -> Failure {
        error::body(status, body)
    }
}
