//! The dialect without its roles: each test says what it reads and writes in one call.

use bytes::Bytes;

use crate::dialect::openai;
use crate::dialect::openai_chat::{OpenAiChat, edit, read, request, request_edit, reshape, say};
use crate::dialect::sse::Frame;
use crate::dialect::{
    ClientError, Closing, EditError, Edits, Ending, Failure, Identity, Piece, RequestEdits,
    RequestView, Undecodable,
};
use crate::event::{Place, Usage};

impl OpenAiChat {
    pub(crate) fn read_request(&self, body: &[u8]) -> Result<RequestView, Undecodable> {
        request::read(body)
    }

    pub(crate) fn edit_request(
        &self,
        body: &[u8],
        edits: &RequestEdits,
    ) -> Result<Vec<u8>, EditError> {
        request_edit::edit(body, edits)
    }

    pub(crate) fn read_frame(
        &self,
        frame: &Frame,
        identity: &mut Identity,
        out: &mut Vec<Piece>,
    ) -> Result<(), Undecodable> {
        read::frame(frame, identity, out)
    }

    pub(crate) fn read_body(
        &self,
        body: &[u8],
        identity: &mut Identity,
        out: &mut Vec<Piece>,
    ) -> Result<(), Undecodable> {
        read::body(body, identity, out)
    }

    pub(crate) fn read_error(&self, status: u16, body: &[u8]) -> Failure {
        openai::read_error(status, body)
    }

    pub(crate) fn edit_frame(
        &self,
        frame: &Frame,
        edits: &Edits<'_>,
    ) -> Result<Option<Bytes>, EditError> {
        edit::frame(frame, edits)
    }

    pub(crate) fn edit_body(&self, body: &[u8], edits: &Edits<'_>) -> Result<Vec<u8>, EditError> {
        edit::body(body, edits)
    }

    pub(crate) fn stream_of_body(&self, body: &[u8]) -> Result<Bytes, Undecodable> {
        reshape::stream(body)
    }

    pub(crate) fn body_of_stream(&self, frames: &[Frame]) -> Result<Vec<u8>, Undecodable> {
        reshape::body(frames)
    }

    pub(crate) fn is_usage_only(&self, frame: &Frame) -> bool {
        read::is_usage_only(frame)
    }

    pub(crate) fn text_frame(
        &self,
        identity: &Identity,
        place: Place,
        text: &str,
    ) -> Result<Bytes, EditError> {
        say::text_frame(identity, place, text)
    }

    pub(crate) fn close_stream(&self, identity: &Identity, closing: &Closing<'_>) -> Bytes {
        say::close_stream(identity, closing)
    }

    pub(crate) fn answer_body(
        &self,
        identity: &Identity,
        text: &str,
        refusal: bool,
        ending: &Ending,
        usage: Usage,
    ) -> Vec<u8> {
        say::answer_body(identity, text, refusal, ending, usage)
    }

    pub(crate) fn end_body(&self, body: &[u8], ending: &Ending) -> Result<Vec<u8>, EditError> {
        edit::end_body(body, ending)
    }

    pub(crate) fn error_body(&self, error: &ClientError) -> Vec<u8> {
        openai::error_body(error)
    }

    pub(crate) fn error_frame(&self, error: &ClientError) -> Bytes {
        openai::error_frame(error)
    }
}
