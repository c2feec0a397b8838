//! Text in fields, told as facts.

use crate::dialect::Undecodable;
use crate::dialect::json::Raw;
use crate::dialect::openai_chat::fact::{Fact, Tell};
use crate::dialect::values;
pub(super) use crate::dialect::values::{items, object, text};
use crate::event::Place;

/// All strings of an object but of the fields that `inert` knows and finds to be of their type.
pub(super) fn rest<'a>(
    value: Raw<'a>,
    inert: &dyn Fn(&str, Raw<'_>) -> bool,
    place: Place,
    generated: bool,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    values::rest(value, inert, path, &mut |leaf| {
        tell(fact(leaf, place, generated));
    })
}

/// All strings in a value, and keys that are none of an API.
pub(super) fn leaves<'a>(
    value: Raw<'a>,
    place: Place,
    generated: bool,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    values::leaves(value, path, &mut |leaf| tell(fact(leaf, place, generated)))
}

/// A field that must be a string.
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

fn fact(leaf: values::Leaf<'_>, place: Place, generated: bool) -> Fact<'_> {
    Fact::Text {
        place,
        value: leaf.value,
        text: leaf.text,
        generated,
    }
}
