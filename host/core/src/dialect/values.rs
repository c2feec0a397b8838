//! Values of a response as strings, lists and objects, and the text in those that no dialect page describes.
//!
//! A value that is not what it must be is an error with its path.

use std::borrow::Cow;

use super::inert;
use super::json::{self, Object, Raw};
use super::piece::Undecodable;

/// Values inside values of unknown fields are followed so far. Deeper ones are refused: reading takes time in
/// proportion to depth times length.
const MAX_DEPTH: usize = 32;

/// Text that is not empty, somewhere in a value.
pub(super) struct Leaf<'a> {
    /// The string that it is; `None`: it is a key, and cannot be replaced.
    pub value: Option<Raw<'a>>,
    /// What it says.
    pub text: Cow<'a, str>,
}

/// Hears of text.
pub(super) type Hear<'t, 'a> = &'t mut dyn FnMut(Leaf<'a>);

/// All strings of an object but of the fields that `inert` knows and finds to be of their type.
pub(super) fn rest<'a>(
    value: Raw<'a>,
    inert: &dyn Fn(&str, Raw<'_>) -> bool,
    path: &dyn Fn() -> String,
    hear: Hear<'_, 'a>,
) -> Result<(), Undecodable> {
    for (key, value) in &object(value, path)?.0 {
        if !inert(key.as_str(), *value) {
            let path = || format!("{}.{}", path(), key.as_str());
            leaves(*value, &path, hear)?;
        }
    }
    Ok(())
}

/// All strings in a value, and keys that are none of an API. Numbers, booleans, pictures and sound are inert, and so is the
/// `type` of an object, which names a shape.
pub(super) fn leaves<'a>(
    value: Raw<'a>,
    path: &dyn Fn() -> String,
    hear: Hear<'_, 'a>,
) -> Result<(), Undecodable> {
    leaves_but(value, &|_, _| false, path, hear)
}

/// As [`leaves`], but for the fields that `inert` knows at any depth and finds to be of their type.
pub(super) fn leaves_but<'a>(
    value: Raw<'a>,
    inert: &dyn Fn(&str, Raw<'_>) -> bool,
    path: &dyn Fn() -> String,
    hear: Hear<'_, 'a>,
) -> Result<(), Undecodable> {
    leaves_within(MAX_DEPTH, value, inert, path, hear)
}

fn leaves_within<'a>(
    depth: usize,
    value: Raw<'a>,
    inert: &dyn Fn(&str, Raw<'_>) -> bool,
    path: &dyn Fn() -> String,
    hear: Hear<'_, 'a>,
) -> Result<(), Undecodable> {
    let shallower = || {
        depth
            .checked_sub(1)
            .ok_or_else(|| Undecodable::at(path(), "values are nested too deep"))
    };
    match json::first_byte(value) {
        b'"' => {
            let text = text(value, path)?;
            if !text.is_empty() && !inert::is_media(&text) {
                hear(Leaf {
                    value: Some(value),
                    text,
                });
            }
            Ok(())
        }
        b'[' => {
            let depth = shallower()?;
            items(value, path)?
                .into_iter()
                .try_for_each(|value| leaves_within(depth, value, inert, path, hear))
        }
        b'{' => {
            let depth = shallower()?;
            for (key, value) in object(value, path)?.0 {
                let name = key.as_str();
                if !inert::is_key(name) {
                    hear(Leaf {
                        value: None,
                        text: Cow::Owned(name.to_owned()),
                    });
                }
                let shape = name == "type" && inert::is_token(value);
                if !shape && !inert(name, value) {
                    leaves_within(depth, value, inert, path, hear)?;
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The text of a field that must be a string.
pub(super) fn text<'a>(
    value: Raw<'a>,
    path: &dyn Fn() -> String,
) -> Result<Cow<'a, str>, Undecodable> {
    json::string(value).ok_or_else(|| Undecodable::at(path(), "it is not a string"))
}

/// A field that must be an object.
pub(super) fn object<'a>(
    value: Raw<'a>,
    path: &dyn Fn() -> String,
) -> Result<Object<'a>, Undecodable> {
    Object::of(value).map_err(|error| Undecodable::at(path(), error))
}

/// A field that must be a list.
pub(super) fn items<'a>(
    value: Raw<'a>,
    path: &dyn Fn() -> String,
) -> Result<Vec<Raw<'a>>, Undecodable> {
    json::array(value).map_err(|error| Undecodable::at(path(), error))
}
