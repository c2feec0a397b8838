//! Text in fields, told as facts, and the list of fields that bear none.
//!
//! Inert, each if it is of its type: tokens (ids, names of models and of the API's own words) and what is opaque (encrypted
//! results of the server's tools, signatures). In what a model or a tool wrote freely (the input of a call), nothing is inert.

use super::fact::{Fact, Spot, Tell};
use crate::dialect::json::{self, Raw};
use crate::dialect::values::{self, Leaf};
pub(super) use crate::dialect::values::{items, object, text};
use crate::dialect::{Undecodable, inert};
use crate::event::{Channel, Place};

/// Fields of the API's own objects that are tokens.
const TOKENS: &[&str] = &[
    "category",
    "container_id",
    "error_code",
    "expires_at",
    "file_id",
    "id",
    "inference_geo",
    "media_type",
    "model",
    "request_id",
    "retrieved_at",
    "role",
    "service_tier",
    "skill_id",
    "speed",
    "stop_reason",
    "tool_id",
    "tool_use_id",
    "type",
    "version",
];

/// Fields that nobody but the server reads.
const OPAQUE: &[&str] = &[
    "data",
    "encrypted_content",
    "encrypted_index",
    "encrypted_stdout",
    "signature",
];

/// The place of a channel.
pub(super) fn place(channel: Channel) -> Place {
    Place::new(channel, 0, 0)
}

/// A field of the API's own objects that bears no text.
pub(super) fn is_inert(key: &str, value: Raw<'_>) -> bool {
    (TOKENS.contains(&key) && inert::is_token(value)) || (OPAQUE.contains(&key) && is_opaque(value))
}

/// What nobody but the server reads; empty where it has nothing to say.
pub(super) fn is_opaque(value: Raw<'_>) -> bool {
    json::string(value).is_some_and(|data| data.is_empty() || inert::is_opaque(&data))
}

/// A field that must be a string.
pub(super) fn string<'a>(
    value: Raw<'a>,
    channel: Channel,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let text = text(value, path)?;
    if !text.is_empty() {
        tell(Fact::Text {
            place: place(channel),
            spot: Spot::Field(value),
            text,
            generated: true,
        });
    }
    Ok(())
}

/// All strings in one of the API's own objects.
pub(super) fn known<'a>(
    value: Raw<'a>,
    channel: Channel,
    generated: bool,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    values::leaves_but(value, &is_inert, path, &mut |leaf| {
        tell(fact(leaf, channel, generated));
    })
}

/// All strings in a value of whatever form.
pub(super) fn free<'a>(
    value: Raw<'a>,
    generated: bool,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    values::leaves(value, path, &mut |leaf| {
        tell(fact(leaf, Channel::Other, generated));
    })
}

/// All strings in a value that cannot be replaced.
pub(super) fn sealed<'a>(
    value: Raw<'a>,
    channel: Channel,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    values::leaves(value, path, &mut |leaf| {
        tell(Fact::Text {
            place: place(channel),
            spot: Spot::Sealed,
            text: leaf.text,
            generated: true,
        });
    })
}

fn fact(leaf: Leaf<'_>, channel: Channel, generated: bool) -> Fact<'_> {
    Fact::Text {
        place: place(channel),
        spot: leaf.value.map_or(Spot::Key, Spot::Field),
        text: leaf.text,
        generated,
    }
}
