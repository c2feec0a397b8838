//! The trait that each wire API implements: how its requests and responses are read, edited and said.

use bytes::Bytes;

use crate::dialect::client_error::ClientError;
use crate::dialect::edits::{Closing, EditError, Edits, Ending};
use crate::dialect::own::OwnTurn;
use crate::dialect::piece::{Failure, Identity, Piece, Undecodable};
use crate::dialect::request::{RequestEdits, RequestView, ToolCallView};
use crate::dialect::sse::Frame;
use crate::event::{Place, Usage};

/// One wire API.
pub trait Dialect: Send + Sync {
    /// `openai-chat`, ... as on the timeline.
    fn name(&self) -> &'static str;

    /// Reads a request body.
    ///
    /// # Errors
    /// [`Undecodable`] names the first field that is not as the API has it.
    fn read_request(&self, body: &[u8]) -> Result<RequestView, Undecodable>;

    /// The request body with `edits` made; all bytes that no edit concerns stay as they are.
    ///
    /// # Errors
    /// The body cannot be decoded, or an edit names what is not there.
    fn edit_request(&self, body: &[u8], edits: &RequestEdits) -> Result<Vec<u8>, EditError>;

    /// The request that goes on where a generation stopped: the body with `edits` made and, at its end, what the model
    /// `said`, its `own` turn where it is known, the `calls` it made and the result of each. Spelled as
    /// [`MessageEdit::InsertStep`](crate::dialect::MessageEdit::InsertStep) spells it in later requests, so that a provider's prompt cache matches.
    ///
    /// # Errors
    /// As [`Dialect::edit_request`].
    fn continue_request(
        &self,
        body: &[u8],
        edits: &RequestEdits,
        said: &str,
        own: Option<&str>,
        calls: &[(ToolCallView, String)],
    ) -> Result<Vec<u8>, EditError>;

    /// Reads the data of a frame, or a body, into the model's own turn.
    fn gather(&self, payload: &[u8], turn: &mut OwnTurn);

    /// Reads one frame of a streamed response and appends what it says to `out`. Learns the stream's `identity`.
    ///
    /// # Errors
    /// [`Undecodable`]; `out` may then hold a part of the frame.
    fn read_frame(
        &self,
        frame: &Frame,
        identity: &mut Identity,
        out: &mut Vec<Piece>,
    ) -> Result<(), Undecodable>;

    /// Reads the body of a response that is not streamed: the same pieces, ended by [`Piece::End`].
    ///
    /// # Errors
    /// As [`Dialect::read_frame`].
    fn read_body(
        &self,
        body: &[u8],
        identity: &mut Identity,
        out: &mut Vec<Piece>,
    ) -> Result<(), Undecodable>;

    /// Reads the body of a response with an error status. Never fails: what is no error object becomes the message.
    fn read_error(&self, status: u16, body: &[u8]) -> Failure;

    /// The frame with `edits` made. `None` if nothing remains of it. What was written is read again.
    ///
    /// # Errors
    /// The frame cannot be decoded, has no text at a place, or would not read as it should: what must not leave may still
    /// be in it.
    fn edit_frame(&self, frame: &Frame, edits: &Edits<'_>) -> Result<Option<Bytes>, EditError>;

    /// As [`Dialect::edit_frame`], for a body.
    ///
    /// # Errors
    /// As [`Dialect::edit_frame`].
    fn edit_body(&self, body: &[u8], edits: &Edits<'_>) -> Result<Vec<u8>, EditError>;

    /// A stream that says what a whole body says, for a client that asked for one.
    ///
    /// # Errors
    /// The body cannot be decoded.
    fn stream_of_body(&self, body: &[u8]) -> Result<Bytes, Undecodable>;

    /// The body that says what a whole stream says, for a client that asked for one. A stream that states an error
    /// becomes the body that states it.
    ///
    /// # Errors
    /// A frame cannot be decoded, or the stream has no end.
    fn body_of_stream(&self, frames: &[Frame]) -> Result<Vec<u8>, Undecodable>;

    /// Whether the frame says nothing but the usage: it is not passed on to a client that did not ask for it.
    /// Worth calling only for frames that gave [`Piece::Usage`].
    fn is_usage_only(&self, frame: &Frame) -> bool;

    /// A frame that adds `text` at `place` to the stream.
    ///
    /// # Errors
    /// The dialect has no one field for the channel: so for
    /// [`Channel::Other`](crate::event::Channel::Other).
    fn text_frame(&self, identity: &Identity, place: Place, text: &str)
    -> Result<Bytes, EditError>;

    /// Frames that bring a stream to an end that every client understands.
    fn close_stream(&self, identity: &Identity, closing: &Closing<'_>) -> Bytes;

    /// A whole body that answers with `text` in one choice, or refuses with it.
    fn answer_body(
        &self,
        identity: &Identity,
        text: &str,
        refusal: bool,
        ending: &Ending,
        usage: Usage,
    ) -> Vec<u8>;

    /// The upstream's body with another end: finish reason of all choices, and the mark of a partial result.
    ///
    /// # Errors
    /// The body cannot be decoded.
    fn end_body(&self, body: &[u8], ending: &Ending) -> Result<Vec<u8>, EditError>;

    /// The body of an error response. Its HTTP status is `error.status`.
    fn error_body(&self, error: &ClientError) -> Vec<u8>;

    /// A terminal frame at which every client's SDK raises, whatever went out before.
    fn error_frame(&self, error: &ClientError) -> Bytes;
}
