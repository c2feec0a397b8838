//! The dialect's name, and what it says of what it cannot read.

use crate::dialect::Undecodable;

/// The dialect's name, on the timeline and in errors.
pub const NAME: &str = "anthropic-messages";

/// What cannot be read, and why.
pub(super) fn undecodable(place: impl Into<String>, what: impl ToString) -> Undecodable {
    Undecodable::at(place, what).of(NAME)
}
