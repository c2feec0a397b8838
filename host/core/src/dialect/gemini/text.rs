//! Text in fields that are not known, told as facts.

use crate::dialect::Undecodable;
use crate::dialect::gemini::fact::{Fact, Tell};
use crate::dialect::json::Raw;
use crate::dialect::values;
use crate::event::Place;

/// All strings in a value, and keys that are none of an API.
pub(super) fn leaves<'a>(
    value: Raw<'a>,
    place: Place,
    generated: bool,
    signed: Option<Raw<'a>>,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    values::leaves(value, path, &mut |leaf| {
        tell(Fact::Text {
            place,
            value: leaf.value,
            text: leaf.text,
            generated,
            signed,
        });
    })
}
