//! The dialect's name, and what it says of what it cannot read.

use crate::dialect::Undecodable;

/// The dialect's name, on the timeline and in errors.
pub const NAME: &str = "openai-chat";

/// What cannot be read, and why.
pub(super) fn undecodable(place: impl Into<String>, what: impl ToString) -> Undecodable {
    Undecodable {
        dialect: NAME,
        place: place.into(),
        what: what.to_string(),
    }
}
