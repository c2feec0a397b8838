//! What all wire APIs have in common, as the rest of Airlock sees them: requests as views, responses as pieces, edits as
//! splices, and what Airlock itself says to a client.
//!
//! Guarantees for each [`Dialect`]: every field of a response that bears text becomes [`Piece::Text`] or
//! [`Piece::Call`] or is on the dialect's written list of inert fields; what can be read at a place can be replaced at
//! that place; an edit changes the bytes of what it edits and no others; what cannot be decoded is an error that says what
//! and where, never silently passed. No I/O and no clock; state in readers and writers alone.

pub mod anthropic_messages;
mod client_error;
mod edits;
pub mod framing;
pub mod gemini;
mod inert;
mod json;
mod lines;
mod list;
mod logprobs;
mod mark;
pub mod media;
pub mod ollama;
mod openai;
pub mod openai_chat;
pub mod openai_completions;
pub mod openai_responses;
mod own;
mod piece;
pub mod portable;
pub mod registry;
pub mod request;
mod roles;
pub mod sse;
mod tool_call;
pub mod translation;
pub mod turn;
pub mod usage;
mod values;

pub use client_error::{ClientError, Origin};
pub use edits::{CallEdit, Closing, EditError, Edits, Ending, Partial, TextEdit};
pub use own::OwnTurn;
pub use piece::{CallKind, CallPart, Failure, Finish, Identity, Piece, Slot, Undecodable};
pub use portable::{Hint, NotPortable, Portable};
pub use request::{MediaView, MessageEdit, MessageView, RequestEdits, RequestView, ToolResultView};
pub use roles::{Dialect, Inbound, Outbound, Reader, Received, Writer};
pub use tool_call::{ToolCallView, is_made_up, made_id};
pub use turn::Turn;
