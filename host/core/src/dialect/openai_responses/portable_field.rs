//! Fields of a request that is carried to another API, and why one is not.

use serde_json::Number;

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::{NotPortable, Undecodable};

/// What is carried, or why not.
pub(super) type Ported<T> = Result<T, NotPortable>;

/// What cannot be read is not carried.
pub(super) fn unread(error: Undecodable) -> NotPortable {
    NotPortable::field(error.place, error.what)
}

/// A field that is not carried.
pub(super) fn refused<T>(field: impl Into<String>, why: &str) -> Ported<T> {
    Err(NotPortable::field(field, why))
}

pub(super) fn text(place: &str, value: Raw<'_>) -> Ported<String> {
    match json::string(value) {
        Some(text) => Ok(text.into_owned()),
        None => refused(place, "it is not a string"),
    }
}

pub(super) fn number(place: &str, value: Raw<'_>) -> Ported<Number> {
    serde_json::from_str(value.get()).or_else(|_| refused(place, "it is not a number"))
}

pub(super) fn fields<'a>(place: &str, value: Raw<'a>) -> Ported<Object<'a>> {
    Object::of(value).map_err(|error| NotPortable::field(place, error.to_string()))
}

pub(super) fn list<'a>(place: &str, value: Raw<'a>) -> Ported<Vec<Raw<'a>>> {
    json::array(value).map_err(|error| NotPortable::field(place, error.to_string()))
}

/// Fails if the object has another field than these that is neither null nor false.
pub(super) fn only(place: &str, fields: &Object<'_>, known: &[&str]) -> Ported<()> {
    let other = fields.0.iter().find(|(key, value)| {
        let says = !matches!(value.get(), "null" | "false" | "[]" | "{}");
        says && !known.contains(&key.as_str())
    });
    match other {
        Some((key, _)) => refused(
            format!("{place}.{}", key.as_str()),
            "no other API has this field",
        ),
        None => Ok(()),
    }
}
