//! Values of a response as strings, lists and objects, and the text in those that no dialect page describes.
//!
//! A value that is not what it must be is an error with its path.

use std::borrow::Cow;

use crate::dialect::Undecodable;
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::openai_chat::fact::{Fact, Tell};
use crate::dialect::openai_chat::inert;
use crate::dialect::openai_chat::undecodable::undecodable;
use crate::event::Place;

/// Values inside values of unknown fields are followed so far. Deeper ones are refused: reading takes time in
/// proportion to depth times length.
const MAX_DEPTH: usize = 32;

/// All strings of an object but of the fields that `inert` knows and finds to be of their type.
pub(super) fn rest<'a>(
    value: Raw<'a>,
    inert: &dyn Fn(&str, Raw<'_>) -> bool,
    place: Place,
    generated: bool,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    for (key, value) in &object(value, path)?.0 {
        if !inert(key.as_str(), *value) {
            let path = || format!("{}.{}", path(), key.as_str());
            leaves(*value, place, generated, &path, tell)?;
        }
    }
    Ok(())
}

/// All strings in a value, and keys that are none of an API. Numbers, booleans, pictures and sound are inert, and so is the
/// `type` of an object, which names a shape.
pub(super) fn leaves<'a>(
    value: Raw<'a>,
    place: Place,
    generated: bool,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    leaves_within(MAX_DEPTH, value, place, generated, path, tell)
}

fn leaves_within<'a>(
    depth: usize,
    value: Raw<'a>,
    place: Place,
    generated: bool,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let shallower = || {
        depth
            .checked_sub(1)
            .ok_or_else(|| undecodable(path(), "values are nested too deep"))
    };
    match json::first_byte(value) {
        b'"' => {
            let text = text(value, path)?;
            if !text.is_empty() && !inert::is_media(&text) {
                tell(Fact::Text {
                    place,
                    value: Some(value),
                    text,
                    generated,
                });
            }
            Ok(())
        }
        b'[' => {
            let depth = shallower()?;
            items(value, path)?
                .into_iter()
                .try_for_each(|value| leaves_within(depth, value, place, generated, path, tell))
        }
        b'{' => {
            let depth = shallower()?;
            for (key, value) in object(value, path)?.0 {
                let name = key.as_str();
                if !inert::is_key(name) {
                    tell(Fact::Text {
                        place,
                        value: None,
                        text: Cow::Owned(name.to_owned()),
                        generated,
                    });
                }
                if name != "type" || !inert::is_token(value) {
                    leaves_within(depth, value, place, generated, path, tell)?;
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
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

pub(super) fn text<'a>(
    value: Raw<'a>,
    path: &dyn Fn() -> String,
) -> Result<Cow<'a, str>, Undecodable> {
    json::string(value).ok_or_else(|| undecodable(path(), "it is not a string"))
}

pub(super) fn object<'a>(
    value: Raw<'a>,
    path: &dyn Fn() -> String,
) -> Result<Object<'a>, Undecodable> {
    Object::of(value).map_err(|error| undecodable(path(), error))
}

pub(super) fn items<'a>(
    value: Raw<'a>,
    path: &dyn Fn() -> String,
) -> Result<Vec<Raw<'a>>, Undecodable> {
    json::array(value).map_err(|error| undecodable(path(), error))
}
