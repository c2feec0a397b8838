//! What all wire APIs have in common, as the rest of Airlock sees them: requests as views, responses as pieces, edits as
//! splices, and what Airlock itself says to a client.
//!
//! Guarantees for each [`Dialect`]: every field of a response that bears text becomes [`Piece::Text`] or
//! [`Piece::Call`] or is on the dialect's written list of inert fields; what can be read at a place can be replaced at
//! that place; an edit changes the bytes of what it edits and no others; what cannot be decoded is an error that says what
//! and where, never silently passed. Pure: no I/O, no clock, no state.

pub mod framing;
mod json;
pub mod media;
pub mod openai_chat;
mod own;
pub mod request;
pub mod sse;
pub mod usage;

use bytes::Bytes;

use crate::dialect::sse::Frame;
use crate::event::{FailureKind, Place, Usage};
pub use own::OwnTurn;
pub use request::{
    MessageEdit, MessageView, RequestEdits, RequestView, ToolCallView, ToolResultView,
};

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
    /// `said`, its `own` turn where it is known, the `calls` it made and the result of each. Spelled as [`MessageEdit::InsertStep`] spells it in later
    /// requests, so that a provider's prompt cache matches.
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

/// What a response says.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// New text at a place, arguments of tool calls apart. Several in one frame at one place join.
    Text {
        /// Where.
        place: Place,
        /// Never empty.
        text: String,
        /// Whether the model wrote it: it counts as output. Sources, errors and the like do not.
        generated: bool,
    },
    /// A part of a tool call, one for each that a frame or body has, in its order: [`Edits::calls`] answers in the same.
    Call(CallPart),
    /// There are fields that a client of this form does not read (`message` in a stream, `delta` in a body). They were not
    /// read here either, and must not leave where somebody judges: see [`Edits::alone`].
    Beside,
    /// A choice ended, in the dialect's own word.
    Finish {
        /// Index of the choice.
        choice: u16,
        /// `stop`, `length`, `tool_calls`, `content_filter`, ...
        reason: String,
    },
    /// Tokens so far or in all; a later one replaces an earlier one.
    Usage(Usage),
    /// The upstream failed and says so in the stream or body.
    Error(Failure),
    /// The response is complete (`[DONE]`).
    End,
}

/// A part of a tool call: what one element of a frame or body says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallPart {
    /// Index of the choice.
    pub choice: u16,
    /// By what it is known which call it is a part of.
    pub slot: Slot,
    /// Shape of the call.
    pub kind: CallKind,
    /// The vendor's id; never empty.
    pub id: Option<String>,
    /// Name of the tool; never empty.
    pub name: Option<String>,
    /// Arguments, or a further part of them.
    pub arguments: String,
}

/// How an upstream numbers a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slot {
    /// Not at all, in a stream.
    #[default]
    Unnumbered,
    /// With this index.
    Index(u16),
    /// It is the one call of a field that holds one.
    Single,
    /// It stands whole in a list: its place is its number.
    Whole,
}

/// Shape of a call. One call has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallKind {
    /// Not said.
    #[default]
    Unsaid,
    /// Of a function: arguments are JSON.
    Function,
    /// Of a custom tool: arguments are text.
    Custom,
}

/// An upstream's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// HTTP status, or the one that the error states; 0 if none.
    pub status: u16,
    /// What failed.
    pub kind: FailureKind,
    /// Its message.
    pub message: String,
}

/// Ids that all frames of a stream carry. Synthesised frames must carry the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Id of the response. If nothing came from an upstream yet, the caller chooses one.
    pub id: String,
    /// Model that answers.
    pub model: String,
    /// Seconds since the Unix epoch.
    pub created: u64,
    /// Field in which the upstream writes reasoning, where servers of the dialect differ.
    pub reasoning_field: Option<&'static str>,
}

/// The new text of a place in one frame or body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextEdit {
    /// Where.
    pub place: Place,
    /// In place of all text that the frame or body has there; empty drops it.
    pub text: String,
}

/// What makes a frame or body of one round a part of what the client sees.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edits<'a> {
    /// New text of places.
    pub texts: Vec<TextEdit>,
    /// What becomes of each part of a call, in the order of [`Piece::Call`]; empty: they stay.
    pub calls: Vec<CallEdit>,
    /// Fields that a client of this form does not read are set to null.
    pub alone: bool,
    /// Ids of the stream that the client reads, if the frame comes from another call than the one that began it. Who
    /// speaks was said then, and is not said again.
    pub identity: Option<&'a Identity>,
    /// Text of earlier rounds, to stand before the body's own. Bodies only.
    pub before: Vec<TextEdit>,
    /// Usage of all rounds, in place of the round's own.
    pub usage: Option<Usage>,
    /// Whether the answer goes on after this frame: its finish reason is taken out.
    pub goes_on: bool,
}

/// What becomes of a part of a tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEdit {
    /// It stays as it is.
    Keep,
    /// It is left out.
    Drop,
    /// It stays, with changes.
    Change {
        /// Index that the client sees.
        index: u16,
        /// Arguments in place of those in this part.
        arguments: Option<String>,
        /// The client has its id: it is not said again, since some clients join what is said twice.
        id_said: bool,
        /// The same of its name.
        name_said: bool,
    },
}

/// How Airlock ends a response.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// Like any answer.
    Complete,
    /// The dialect's refusal (`content_filter`): a soft block.
    Refused,
    /// Cut short, and marked so.
    Partial(Partial),
}

/// Stands in the response as the top-level field `airlock`.
#[derive(Clone, Debug, PartialEq)]
pub struct Partial {
    /// Why, for people.
    pub reason: String,
    /// 0..1: how far the partial result can be relied on; `None` if unknown.
    pub confidence: Option<f32>,
    /// Policy that ordered it.
    pub policy: String,
}

/// What a stream needs to be brought to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Closing<'a> {
    /// Choices that the client has not seen finish. At least `&[0]` if it has seen nothing.
    pub open: &'a [u16],
    /// Whether the client has seen a frame with generated content or a role. If not, the answer is begun first.
    pub begun: bool,
    /// Text to say before the end, in each open choice; may be empty.
    pub text: &'a str,
    /// The text is a refusal, so that no client takes it for the answer whose form it asked for.
    pub refusal: bool,
    /// How it ends.
    pub ending: &'a Ending,
    /// Stated to the client if it asked for usage.
    pub usage: Option<Usage>,
}

/// An error that Airlock states to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientError {
    /// HTTP status. In a stream that began, told in the error object only.
    pub status: u16,
    /// Decides the dialect's word for the type of error.
    pub kind: FailureKind,
    /// For people.
    pub message: String,
    /// For programs: `content_filter`, `airlock_budget`, `airlock_undecodable`, ...
    pub code: String,
    /// Who decided it, where somebody did: stated in the field `airlock` of the error.
    pub origin: Option<Origin>,
}

/// Where a decision comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Airlock's own word for it, where the error's code is one that clients know from elsewhere.
    pub code: &'static str,
    /// The policy, rule or part of Airlock that ordered it; may be empty.
    pub policy: String,
    /// Session and exchange.
    pub exchange: String,
}

/// Bytes that are not what the dialect says they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{dialect}: cannot read {place}: {what}")]
pub struct Undecodable {
    /// Name of the dialect.
    pub dialect: &'static str,
    /// Field or part of the message, as a path (`choices[0].delta.content`).
    pub place: String,
    /// What is wrong with it.
    pub what: String,
}

/// An edit that could not be made. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// What should be edited cannot be read.
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
    /// The edit names a message, parameter or place that is not there, or a value that is not possible.
    #[error("cannot edit {place}: {what}")]
    Impossible {
        /// What should be edited.
        place: String,
        /// Why it cannot.
        what: String,
    },
}

impl EditError {
    /// An edit that is not possible at a place.
    pub fn at(place: Place, what: &str) -> Self {
        let Place {
            channel,
            choice,
            block,
        } = place;
        let place = format!("{channel:?} in choice {choice}, block {block}");
        Self::Impossible {
            place,
            what: what.to_owned(),
        }
    }
}
