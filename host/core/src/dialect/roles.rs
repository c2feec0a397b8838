//! The roles in which a wire API takes part in an exchange.
//!
//! A client's API is [`Inbound`] and [`Writer`], an upstream's [`Outbound`] and [`Reader`]. A reader has the state of one leg, a
//! writer that of one client; neither knows of the other, so that one API can be read and another written.

use bytes::Bytes;

use crate::dialect::client_error::ClientError;
use crate::dialect::edits::{Closing, EditError, Edits, Ending};
use crate::dialect::framing::Wire;
use crate::dialect::piece::{Failure, Finish, Identity, Piece, Undecodable};
use crate::dialect::portable::{Hint, NotPortable, Portable};
use crate::dialect::request::{RequestEdits, RequestView};
use crate::dialect::sse::Frame;
use crate::dialect::turn::Turn;
use crate::event::{Place, Usage};

/// One wire API.
pub trait Dialect: Send + Sync {
    /// `openai-chat`, ... as on the timeline.
    fn name(&self) -> &'static str;

    /// What clients send, and read outside of an answer.
    fn inbound(&self) -> &dyn Inbound;

    /// What upstreams are sent, and how they answer.
    fn outbound(&self) -> &dyn Outbound;

    /// Reads the answer of one leg.
    fn reader(&self) -> Box<dyn Reader>;

    /// Writes to one client, which reads these ids unless an upstream states its own.
    fn writer(&self, identity: Identity) -> Box<dyn Writer>;

    /// Says what a reader then reads, as an upstream would: where its clients have other forms of a stream, not in those.
    fn voice(&self, identity: Identity) -> Box<dyn Writer> {
        self.writer(identity)
    }
}

/// A request as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Its path, in which some APIs name the model, and whether a stream is asked for.
    pub path: &'a str,
    /// Its query, without the question mark.
    pub query: Option<&'a str>,
    /// Its body.
    pub body: &'a [u8],
}

/// What clients of a wire API send, and read outside of an answer.
pub trait Inbound: Send + Sync {
    /// Reads a request.
    ///
    /// # Errors
    /// [`Undecodable`] names the first field that is not as the API has it.
    fn read_request(&self, received: Received<'_>) -> Result<RequestView, Undecodable>;

    /// The body of an error response. Its HTTP status is `error.status`.
    fn error_body(&self, error: &ClientError) -> Vec<u8>;

    /// Media type of a stream.
    fn stream_type(&self) -> &'static str;

    /// What keeps the connection of a client that reads a stream, and says nothing to it; empty where its SDKs stumble over
    /// whatever says nothing.
    fn keep_alive(&self) -> Bytes;

    /// Whether a later request may name an answer by its id, and leave out what was said before.
    fn goes_on_by_id(&self) -> bool {
        false
    }

    /// Whether a turn comes back as several messages of the view: what was said, and each call by itself.
    fn says_items(&self) -> bool {
        false
    }

    /// The request as other APIs can be asked the same. Everything that the request says is in what comes back.
    ///
    /// # Errors
    /// [`NotPortable`] names the first field that no other API has.
    fn to_portable(&self, received: Received<'_>) -> Result<Portable, NotPortable>;
}

/// What upstreams of a wire API are sent, and how they answer.
pub trait Outbound: Send + Sync {
    /// Path under the upstream's base URL at which a model is asked.
    fn path(&self, model: &str, streamed: bool) -> String;

    /// The request body with `edits` made; all bytes that no edit concerns stay as they are.
    ///
    /// # Errors
    /// The body cannot be decoded, or an edit names what is not there.
    fn edit_request(&self, body: &[u8], edits: &RequestEdits) -> Result<Vec<u8>, EditError>;

    /// The request that goes on where a generation stopped: the body and, at its end, the model's turn with the result of
    /// each of its calls. Spelled as [`MessageEdit::InsertStep`](crate::dialect::MessageEdit::InsertStep) spells it in later
    /// requests, so that a provider's prompt cache matches.
    ///
    /// # Errors
    /// As [`Outbound::edit_request`].
    fn continue_request(&self, body: &[u8], turn: &Turn) -> Result<Vec<u8>, EditError>;

    /// The body that asks the same in this API.
    ///
    /// # Errors
    /// [`NotPortable`] names the first thing that this API cannot be asked.
    fn of_portable(&self, portable: &Portable) -> Result<Vec<u8>, NotPortable>;

    /// What this API has no place for of what a request may say by the way.
    fn lacks(&self) -> &'static [Hint] {
        &[]
    }

    /// What a finish reason of this API means.
    fn meaning(&self, reason: &str) -> Finish;

    /// Headers without which no request of this API is taken: of a request that came in another.
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Header in which this API takes a key: `authorization` (as `Bearer`) or another.
    fn key_header(&self) -> &'static str {
        "authorization"
    }

    /// A request of Airlock's own: an instruction and a text, answered whole in at most so many tokens.
    fn ask(&self, model: &str, system: &str, user: &str, max_tokens: u64) -> Vec<u8>;

    /// How a stream is cut into what a reader reads.
    fn wire(&self) -> Wire;

    /// Whether each event of a stream has its name beside its data, which a reader holds against what the data says.
    fn names_events(&self) -> bool {
        false
    }

    /// Reads the body of a response with an error status. Never fails: what is no error object becomes the message.
    fn read_error(&self, status: u16, body: &[u8]) -> Failure;
}

/// Reads the answer of one leg.
pub trait Reader: Send {
    /// Reads one frame of a streamed response and appends what it says to `out`.
    ///
    /// # Errors
    /// [`Undecodable`]; `out` may then hold a part of the frame.
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Piece>) -> Result<(), Undecodable>;

    /// Reads the body of a response that is not streamed: the same pieces, ended by [`Piece::End`].
    ///
    /// # Errors
    /// As [`Reader::frame`].
    fn body(&mut self, body: &[u8], out: &mut Vec<Piece>) -> Result<(), Undecodable>;

    /// Whether the frame says nothing but the usage: it is not passed on to a client that did not ask for it.
    /// Worth calling only for frames that gave [`Piece::Usage`].
    fn is_usage_only(&self, frame: &Frame) -> bool;

    /// Ids that the leg's answer states of itself.
    fn identity(&self) -> &Identity;

    /// Keeps the data of a frame, or a body, as a part of the model's own turn.
    fn gather(&mut self, payload: &[u8]);

    /// Some of the model's own turn is not gathered: what is left of it is not its turn.
    fn give_up(&mut self);

    /// The model's own turn without its calls, as its upstream wrote it; `None` if it is not known whole.
    fn own_message(&self) -> Option<String>;

    /// A call of that turn as its upstream wrote it.
    fn own_call(&self, id: &str) -> Option<String>;
}

/// Writes to one client.
pub trait Writer: Send {
    /// Ids that the client reads.
    fn identity(&self) -> &Identity;

    /// An upstream states its own ids. Those that it leaves empty stay.
    fn meet(&mut self, stated: &Identity);

    /// Nothing that an upstream stated has reached the client: what Airlock says itself has ids of its own.
    fn speak_alone(&mut self);

    /// A frame of the client's own API with `edits` made: as it came where none concerns it, unless what went out before
    /// demands otherwise. `None` if nothing remains of it. What was written is read again.
    ///
    /// # Errors
    /// The frame cannot be decoded, has no text at a place, or would not read as it should: what must not leave may still
    /// be in it.
    fn frame(&mut self, frame: &Frame, edits: &Edits<'_>) -> Result<Option<Bytes>, EditError>;

    /// What [`Writer::frame`] wrote since the last time has gone to the client, but for so many frames at its end: those will
    /// not.
    fn sent(&mut self, unsent: usize) {
        let _ = unsent;
    }

    /// Whether frames that were written need not leave. Otherwise all of them do, also those for which a budget does not reach:
    /// what comes after them goes by what they said.
    fn rewinds(&self) -> bool {
        true
    }

    /// As [`Writer::frame`], for a body.
    ///
    /// # Errors
    /// As there.
    fn body(&mut self, body: &Bytes, edits: &Edits<'_>) -> Result<Bytes, EditError>;

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

    /// A frame that adds `text` at `place` to the stream.
    ///
    /// # Errors
    /// The API has no one field for the channel: so for [`Channel::Other`](crate::event::Channel::Other).
    fn text(&mut self, place: Place, text: &str) -> Result<Bytes, EditError>;

    /// Frames that bring a stream to an end that every client understands.
    fn close(&mut self, closing: &Closing<'_>) -> Bytes;

    /// A whole body that answers with `text` in one choice, or refuses with it.
    fn answer(&mut self, text: &str, refusal: bool, ending: &Ending, usage: Usage) -> Vec<u8>;

    /// An upstream's body with another end: finish reason of all choices, and the mark of a partial result.
    ///
    /// # Errors
    /// The body cannot be decoded.
    fn end_body(&mut self, body: &[u8], ending: &Ending) -> Result<Vec<u8>, EditError>;

    /// A terminal frame at which every client's SDK raises, whatever went out before.
    fn error(&mut self, error: &ClientError) -> Bytes;

    /// Frames that say what the upstream of another API said: a stream of this API, in its order, when every piece of a
    /// leg was said. `finish` is the meaning of the reason where the piece is [`Piece::Finish`]. May be empty.
    ///
    /// # Errors
    /// This API has no place for it.
    fn say(&mut self, piece: &Piece, finish: Finish) -> Result<Bytes, EditError>;

    /// What follows the last byte of a stream that ends well.
    fn trailer(&mut self) -> Bytes {
        Bytes::new()
    }
}
