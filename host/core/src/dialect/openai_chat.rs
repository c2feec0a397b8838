//! OpenAI Chat Completions, as OpenAI, Azure, vLLM, Ollama, llama.cpp, Groq, Mistral, OpenRouter and others speak it.
//!
//! Where text stands: see [`fields`]. `/v1/completions` is another API and is not read here.

mod calls;
mod edit;
mod fact;
mod fields;
mod inert;
mod logprobs;
mod own;
mod read;
mod request;
mod request_edit;
mod reshape;
mod say;
mod undecodable;
mod values;

use bytes::Bytes;

use crate::dialect::sse::Frame;
use crate::dialect::{
    ClientError, Closing, Dialect, EditError, Edits, Ending, Failure, Identity, OwnTurn, Piece,
    RequestEdits, RequestView, ToolCallView, Undecodable,
};
use crate::event::{Place, Usage};

pub use undecodable::NAME;

/// The dialect.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenAiChat;

impl Dialect for OpenAiChat {
    fn name(&self) -> &'static str {
        NAME
    }

    fn read_request(&self, body: &[u8]) -> Result<RequestView, Undecodable> {
        request::read(body)
    }

    fn edit_request(&self, body: &[u8], edits: &RequestEdits) -> Result<Vec<u8>, EditError> {
        request_edit::edit(body, edits)
    }

    fn continue_request(
        &self,
        body: &[u8],
        edits: &RequestEdits,
        said: &str,
        own: Option<&str>,
        calls: &[(ToolCallView, String)],
    ) -> Result<Vec<u8>, EditError> {
        request_edit::go_on(body, edits, said, own, calls)
    }

    fn gather(&self, payload: &[u8], turn: &mut OwnTurn) {
        own::gather(payload, turn);
    }

    fn read_frame(
        &self,
        frame: &Frame,
        identity: &mut Identity,
        out: &mut Vec<Piece>,
    ) -> Result<(), Undecodable> {
        read::frame(frame, identity, out)
    }

    fn read_body(
        &self,
        body: &[u8],
        identity: &mut Identity,
        out: &mut Vec<Piece>,
    ) -> Result<(), Undecodable> {
        read::body(body, identity, out)
    }

    fn read_error(&self, status: u16, body: &[u8]) -> Failure {
        read::error_body(status, body)
    }

    fn edit_frame(&self, frame: &Frame, edits: &Edits<'_>) -> Result<Option<Bytes>, EditError> {
        edit::frame(frame, edits)
    }

    fn edit_body(&self, body: &[u8], edits: &Edits<'_>) -> Result<Vec<u8>, EditError> {
        edit::body(body, edits)
    }

    fn stream_of_body(&self, body: &[u8]) -> Result<Bytes, Undecodable> {
        reshape::stream(body)
    }

    fn body_of_stream(&self, frames: &[Frame]) -> Result<Vec<u8>, Undecodable> {
        reshape::body(frames)
    }

    fn is_usage_only(&self, frame: &Frame) -> bool {
        read::is_usage_only(frame)
    }

    fn text_frame(
        &self,
        identity: &Identity,
        place: Place,
        text: &str,
    ) -> Result<Bytes, EditError> {
        say::text_frame(identity, place, text)
    }

    fn close_stream(&self, identity: &Identity, closing: &Closing<'_>) -> Bytes {
        say::close_stream(identity, closing)
    }

    fn answer_body(
        &self,
        identity: &Identity,
        text: &str,
        refusal: bool,
        ending: &Ending,
        usage: Usage,
    ) -> Vec<u8> {
        say::answer_body(identity, text, refusal, ending, usage)
    }

    fn end_body(&self, body: &[u8], ending: &Ending) -> Result<Vec<u8>, EditError> {
        edit::end_body(body, ending)
    }

    fn error_body(&self, error: &ClientError) -> Vec<u8> {
        say::error_body(error)
    }

    fn error_frame(&self, error: &ClientError) -> Bytes {
        say::error_frame(error)
    }
}

#[cfg(test)]
mod tests;
