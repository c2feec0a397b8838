//! Values of a response as strings, lists and objects, and the text in those that no dialect page describes.
//!
//! A value that is not what it must be is an error with its path.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::fields::Fact;
use super::undecodable;
use crate::gateway::dialect::Undecodable;
use crate::gateway::dialect::json::{self, Object};
use crate::session::event::Place;

/// Values inside values of unknown fields are followed so far. Deeper ones are refused: reading takes time in
/// proportion to depth times length.
const MAX_DEPTH: usize = 32;

/// All strings of an object, except in the fields named inert.
pub(super) fn rest<'a>(
    value: &'a RawValue,
    inert: &[&str],
    place: Place,
    path: impl Fn() -> String + Copy,
    tell: &mut impl FnMut(Fact<'a>),
) -> Result<(), Undecodable> {
    others(&object(value, path)?, inert, place, path, tell)
}

pub(super) fn others<'a>(
    entries: &Object<'a>,
    inert: &[&str],
    place: Place,
    path: impl Fn() -> String + Copy,
    tell: &mut impl FnMut(Fact<'a>),
) -> Result<(), Undecodable> {
    for (key, value) in &entries.0 {
        if !inert.contains(&key.as_str()) {
            leaves(
                value,
                place,
                &|| format!("{}.{}", path(), key.as_str()),
                tell,
            )?;
        }
    }
    Ok(())
}

/// All strings in a value. The `type` of a part in a list names a shape, like a key.
pub(super) fn leaves<'a>(
    value: &'a RawValue,
    place: Place,
    path: &dyn Fn() -> String,
    tell: &mut impl FnMut(Fact<'a>),
) -> Result<(), Undecodable> {
    leaves_within(MAX_DEPTH, value, place, path, tell)
}

fn leaves_within<'a>(
    depth: usize,
    value: &'a RawValue,
    place: Place,
    path: &dyn Fn() -> String,
    tell: &mut impl FnMut(Fact<'a>),
) -> Result<(), Undecodable> {
    let shallower = || {
        depth
            .checked_sub(1)
            .ok_or_else(|| undecodable(path(), "values are nested too deep"))
    };
    match json::first_byte(value) {
        b'"' => string(value, place, path, tell),
        b'[' => {
            let depth = shallower()?;
            items(value, path)?
                .into_iter()
                .try_for_each(|value| leaves_within(depth, value, place, path, tell))
        }
        b'{' => {
            let depth = shallower()?;
            let entries = object(value, path)?;
            let parts = entries.0.iter().filter(|(key, _)| key.as_str() != "type");
            parts
                .map(|(_, value)| *value)
                .try_for_each(|value| leaves_within(depth, value, place, path, tell))
        }
        _ => Ok(()),
    }
}

/// A field that must be a string.
pub(super) fn string<'a>(
    value: &'a RawValue,
    place: Place,
    path: impl Fn() -> String,
    tell: &mut impl FnMut(Fact<'a>),
) -> Result<(), Undecodable> {
    let text = text(value, path)?;
    if !text.is_empty() {
        tell(Fact::Text { place, value, text });
    }
    Ok(())
}

pub(super) fn text(
    value: &RawValue,
    path: impl Fn() -> String,
) -> Result<Cow<'_, str>, Undecodable> {
    json::string(value).ok_or_else(|| undecodable(path(), "it is not a string"))
}

pub(super) fn object<'a>(
    value: &'a RawValue,
    path: impl Fn() -> String,
) -> Result<Object<'a>, Undecodable> {
    Object::parse(value.get()).map_err(|error| undecodable(path(), error))
}

pub(super) fn items(
    value: &RawValue,
    path: impl Fn() -> String,
) -> Result<Vec<&RawValue>, Undecodable> {
    json::array(value).map_err(|error| undecodable(path(), error))
}

/// The stated index; where a server states none, the position.
pub(super) fn index(
    entries: &Object<'_>,
    at: usize,
    path: impl Fn() -> String,
) -> Result<u16, Undecodable> {
    let stated = match entries.get("index") {
        Some(value) => value.get().parse().ok(),
        None => u16::try_from(at).ok(),
    };
    stated.ok_or_else(|| {
        undecodable(
            format!("{}.index", path()),
            "it is not a number from 0 to 65535",
        )
    })
}
