//! The dialect's name, and what it says of what it cannot read.

use crate::dialect::{EditError, Undecodable};

/// The dialect's name, on the timeline and in errors.
pub const NAME: &str = "gemini";

/// What cannot be read, and why.
pub(super) fn undecodable(place: impl Into<String>, what: impl ToString) -> Undecodable {
    Undecodable::at(place, what).of(NAME)
}

/// An edit that cannot be made, and why.
pub(super) fn impossible(place: impl Into<String>, what: impl ToString) -> EditError {
    EditError::Impossible {
        place: place.into(),
        what: what.to_string(),
    }
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Undecodable> {
    std::str::from_utf8(bytes).map_err(|error| undecodable("the message", error))
}
