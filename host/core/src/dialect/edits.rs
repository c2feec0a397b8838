//! What Airlock makes of a response: edits of its frames and bodies, and the end that it gives one.

use crate::dialect::piece::{Identity, Undecodable};
use crate::event::{Place, Usage};

/// The new text of a place in one frame or body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextEdit {
    /// Where.
    pub place: Place,
    /// In place of all text that the frame or body has there; empty drops it.
    pub text: String,
}

/// What makes a frame or body of one leg a part of what the client sees.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edits<'a> {
    /// New text of places.
    pub texts: Vec<TextEdit>,
    /// What becomes of each part of a call, in the order of [`Piece::Call`](crate::dialect::Piece::Call); empty: they stay.
    pub calls: Vec<CallEdit>,
    /// Fields that a client of this form does not read are set to null.
    pub alone: bool,
    /// Ids of the stream that the client reads, if the frame comes from another call than the one that began it. Who
    /// speaks was said then, and is not said again.
    pub identity: Option<&'a Identity>,
    /// Text of earlier legs, to stand before the body's own. Bodies only.
    pub before: Vec<TextEdit>,
    /// Usage of all legs, in place of the leg's own.
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
            item,
            ..
        } = place;
        let place = format!("{channel:?} in choice {choice}, item {item}");
        Self::Impossible {
            place,
            what: what.to_owned(),
        }
    }
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
