//! The dialect's name, and what it says of what it cannot read.

use crate::dialect::{EditError, Undecodable};

/// The dialect's name, on the timeline and in errors.
pub const NAME: &str = "openai-responses";

/// What cannot be read, and why.
pub(super) fn undecodable(place: impl Into<String>, what: impl ToString) -> Undecodable {
    Undecodable::at(place, what).of(NAME)
}

/// An edit that is not possible.
pub(super) fn impossible(place: &str, what: impl ToString) -> EditError {
    EditError::Impossible {
        place: place.to_owned(),
        what: what.to_string(),
    }
}
