//! JSON read one level at a time, in place, so that whatever was read can be replaced by splicing its bytes.
//!
//! Objects with a key twice are refused: programs disagree on which value counts, and one that counts the other would
//! see text that no policy saw. Keys that differ in case only count as one, since Go's decoder takes them for one.

mod scan;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value as it stands in a text, without white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    /// The value that a text is, with or without white space around it.
    pub fn of(text: &'a str) -> serde_json::Result<Self> {
        let start = scan::blank(text.as_bytes(), 0);
        let end = scan::value::<false>(text.as_bytes(), start);
        let alone = end.filter(|end| scan::blank(text.as_bytes(), *end) == text.len());
        match alone.and_then(|end| text.get(start..end)) {
            Some(value) => Ok(Self(value)),
            None => serde_json::from_str::<&RawValue>(text).map(|value| Self(value.get())),
        }
    }

    /// Its text.
    pub fn get(self) -> &'a str {
        self.0
    }
}

/// An object: keys, and values as they stand in the source, in its order.
pub(super) struct Object<'a>(pub Vec<(Key<'a>, Raw<'a>)>);

/// A key of an object, without its escapes.
pub(super) struct Key<'a>(Cow<'a, str>);

impl<'a> Object<'a> {
    /// The object that a value is.
    pub fn of(value: Raw<'a>) -> serde_json::Result<Self> {
        Self::read::<true>(value.get())
    }

    /// The object that a text is.
    pub fn parse(text: &'a str) -> serde_json::Result<Self> {
        Self::read::<false>(text)
    }

    fn read<const KNOWN: bool>(text: &'a str) -> serde_json::Result<Self> {
        let entries = match entries::<KNOWN>(text) {
            Some(entries) => entries,
            None => serde_json::from_str::<Entries<'a>>(text)?.0,
        };
        match twice(&entries) {
            Some(key) => Err(serde_json::Error::custom(format_args!(
                "the key `{key}` stands twice in one object"
            ))),
            None => Ok(Self(entries)),
        }
    }

    /// The value of `key`, unless it is missing or null.
    pub fn get(&self, key: &str) -> Option<Raw<'a>> {
        self.0
            .iter()
            .find(|(name, _)| name.as_str() == key)
            .map(|(_, value)| *value)
            .filter(|value| !is_null(*value))
    }

    /// The string at `key`; `None` too if something else stands there.
    pub fn string(&self, key: &str) -> Option<Cow<'a, str>> {
        self.get(key).and_then(string)
    }

    /// The object at `key`; `None` too if something else stands there.
    pub fn object(&self, key: &str) -> Option<Object<'a>> {
        self.get(key).and_then(|value| Object::of(value).ok())
    }

    /// The values of the array at `key`; none too if something else stands there.
    pub fn array(&self, key: &str) -> Vec<Raw<'a>> {
        let list = self.get(key).and_then(|value| array(value).ok());
        list.unwrap_or_default()
    }

    /// The value at `key` as a `T`; `None` too if something else stands there.
    pub fn value<T: Deserialize<'a>>(&self, key: &str) -> Option<T> {
        self.get(key)
            .and_then(|value| serde_json::from_str(value.get()).ok())
    }
}

impl Key<'_> {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Keys and values of an object, if it is one that is found at once.
fn entries<const KNOWN: bool>(text: &str) -> Option<Vec<(Key<'_>, Raw<'_>)>> {
    let bytes = text.as_bytes();
    let mut entries = Vec::with_capacity(8);
    let mut at = opened(bytes, b'{')?;
    if bytes.get(at) == Some(&b'}') {
        return ends(bytes, at + 1).then_some(entries);
    }
    loop {
        let (key_end, value) = scan::key::<KNOWN>(bytes, at)?;
        let name = text.get(at + 1..key_end - 1)?;
        let name = match memchr::memchr(b'\\', name.as_bytes()) {
            None => Cow::Borrowed(name),
            Some(_) => Cow::Owned(serde_json::from_str(text.get(at..key_end)?).ok()?),
        };
        let end = scan::value::<KNOWN>(bytes, value)?;
        entries.push((Key(name), Raw(text.get(value..end)?)));
        match following(bytes, end, b'}')? {
            Following::More(next) => at = next,
            Following::End => return Some(entries),
        }
    }
}

/// The values of an array that is known to be good, if they are found at once.
fn values(text: &str) -> Option<Vec<Raw<'_>>> {
    let bytes = text.as_bytes();
    let mut values = Vec::new();
    let mut at = opened(bytes, b'[')?;
    if bytes.get(at) == Some(&b']') {
        return ends(bytes, at + 1).then_some(values);
    }
    loop {
        let end = scan::value::<true>(bytes, at)?;
        values.push(Raw(text.get(at..end)?));
        match following(bytes, end, b']')? {
            Following::More(next) => at = next,
            Following::End => return Some(values),
        }
    }
}

/// Where the first thing within a bracket stands.
fn opened(text: &[u8], bracket: u8) -> Option<usize> {
    let at = scan::blank(text, 0);
    (*text.get(at)? == bracket).then(|| scan::blank(text, at + 1))
}

enum Following {
    /// Another one, which begins there.
    More(usize),
    /// The bracket that ends them, and nothing behind it.
    End,
}

/// What follows a value that ends at `at`.
fn following(text: &[u8], at: usize, bracket: u8) -> Option<Following> {
    let at = scan::blank(text, at);
    match *text.get(at)? {
        b',' => Some(Following::More(scan::blank(text, at + 1))),
        byte if byte == bracket && ends(text, at + 1) => Some(Following::End),
        _ => None,
    }
}

/// Whether nothing but white space stands from `at` on.
fn ends(text: &[u8], at: usize) -> bool {
    scan::blank(text, at) == text.len()
}

/// Keys and values as `serde_json` reads them.
struct Entries<'a>(Vec<(Key<'a>, Raw<'a>)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    entries.push((Key(key), Raw(value.get())));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// A key that occurs again. Objects of the wire have few keys, where comparing is faster than hashing.
fn twice<'e>(entries: &'e [(Key<'_>, Raw<'_>)]) -> Option<&'e str> {
    const FEW: usize = 16;
    let mut keys = entries.iter().map(|(key, _)| key.as_str());
    if entries.len() > FEW {
        let mut seen = HashSet::with_capacity(entries.len());
        return keys.find(|key| !seen.insert(key.to_ascii_lowercase()));
    }
    let again = |at: usize, key: &str| {
        let mut before = entries[..at].iter();
        before.any(|(other, _)| other.as_str().eq_ignore_ascii_case(key))
    };
    keys.enumerate()
        .find(|(at, key)| again(*at, key))
        .map(|(_, key)| key)
}

/// The values of an array.
pub(super) fn array(value: Raw<'_>) -> serde_json::Result<Vec<Raw<'_>>> {
    match values(value.get()) {
        Some(values) => Ok(values),
        None => {
            let values: Vec<&RawValue> = serde_json::from_str(value.get())?;
            Ok(values.into_iter().map(|value| Raw(value.get())).collect())
        }
    }
}

pub(super) fn is_null(value: Raw<'_>) -> bool {
    value.get() == "null"
}

/// First byte of a value: tells its type.
pub(super) fn first_byte(value: Raw<'_>) -> u8 {
    value.get().as_bytes().first().copied().unwrap_or(b'n')
}

/// A whole number; some clients and servers write one with a fraction of zero, or with an exponent.
pub(super) fn integer(value: Raw<'_>) -> Option<i64> {
    /// The largest number up to which a float has every whole one.
    const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
    let text = value.get();
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        (number.fract() == 0.0 && number.abs() <= MAX_EXACT).then_some(number as i64)
    })
}

/// The text of a string, `None` for anything else. Half of a surrogate pair, which some servers write when they cut a
/// string between its halves, reads as U+FFFD.
pub(super) fn string(value: Raw<'_>) -> Option<Cow<'_, str>> {
    let text = value.get();
    if first_byte(value) != b'"' {
        return None;
    }
    if memchr::memchr(b'\\', text.as_bytes()).is_none() {
        return text.get(1..text.len() - 1).map(Cow::Borrowed);
    }
    if let Ok(plain) = serde_json::from_str::<String>(text) {
        return Some(Cow::Owned(plain));
    }
    let mut source = serde_json::Deserializer::from_str(text);
    let bytes = source.deserialize_byte_buf(Bytes).ok()?;
    Some(Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
}

struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }
}

/// A JSON string with this text.
pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Where `value` stands in `source`, from which it was read.
pub(super) fn span(source: &str, value: Raw<'_>) -> Range<usize> {
    let start = value.get().as_ptr() as usize - source.as_ptr() as usize;
    start..start + value.get().len()
}

/// Replacements in a text. They do not overlap, since each is of a whole value and values are replaced or descended
/// into, never both; a second one for the same value holds.
#[derive(Default)]
pub(super) struct Splices(BTreeMap<usize, (usize, String)>);

impl Splices {
    pub fn replace(&mut self, span: Range<usize>, with: String) {
        self.0.insert(span.start, (span.end, with));
    }

    pub fn apply(&self, source: &str) -> String {
        let mut out = String::with_capacity(
            source.len() + self.0.values().map(|(_, with)| with.len()).sum::<usize>(),
        );
        let mut copied = 0;
        for (&start, (end, with)) in &self.0 {
            out.push_str(source.get(copied..start).unwrap_or_default());
            out.push_str(with);
            copied = *end;
        }
        out.push_str(source.get(copied..).unwrap_or_default());
        out
    }
}

/// Sets the keys of an object to JSON values: where they stand, or else at its end.
pub(super) fn set(source: &str, object: &Object<'_>, values: &[(&str, String)]) -> String {
    let mut splices = Splices::default();
    let mut added = String::new();
    for (key, value) in values {
        match object.0.iter().find(|(name, _)| name.as_str() == *key) {
            Some((_, old)) => splices.replace(span(source, *old), value.clone()),
            None => {
                if !(object.0.is_empty() && added.is_empty()) {
                    added.push(',');
                }
                added.push_str(&quote(key));
                added.push(':');
                added.push_str(value);
            }
        }
    }
    if let (false, Some(end)) = (added.is_empty(), source.rfind('}')) {
        splices.replace(end..end, added);
    }
    splices.apply(source)
}

#[cfg(test)]
mod tests;
