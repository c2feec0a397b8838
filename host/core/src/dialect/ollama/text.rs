//! Text in fields, told as facts.

use crate::dialect::Undecodable;
use crate::dialect::json::Raw;
use crate::dialect::ollama::fact::{Fact, Tell};
use crate::dialect::values::{self, text};
use crate::event::{Channel, Place};

/// There is one choice, and its parts are judged joined.
pub(super) const OUTPUT: Place = Place::new(Channel::Output, 0, 0);
pub(super) const REASONING: Place = Place::new(Channel::Reasoning, 0, 0);
pub(super) const OTHER: Place = Place::new(Channel::Other, 0, 0);

/// A field that must be a string, which the model wrote.
pub(super) fn string<'a>(
    value: Raw<'a>,
    place: Place,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let text = text(value, path)?;
    if !text.is_empty() {
        tell(Fact::Text {
            place,
            value: Some(value),
            text,
            generated: true,
        });
    }
    Ok(())
}

/// All strings in a value that nobody knows.
pub(super) fn leaves<'a>(
    value: Raw<'a>,
    generated: bool,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    values::leaves(value, path, &mut |leaf| {
        tell(Fact::Text {
            place: OTHER,
            value: leaf.value,
            text: leaf.text,
            generated,
        });
    })
}
