//! JSON read one level at a time, in place, so that whatever was read can be replaced by splicing its bytes.
//!
//! Objects with a key twice are refused: programs disagree on which value counts, and one that counts the other would
//! see text that no policy saw. Keys that differ in case only count as one, since Go's decoder takes them for one.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An object: keys, and values as they stand in the source, in its order.
pub(super) struct Object<'a>(pub Vec<(Key<'a>, &'a RawValue)>);

/// A key of an object, without its escapes.
pub(super) struct Key<'a>(Cow<'a, str>);

impl<'a> Object<'a> {
    pub fn parse(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// The value of `key`, unless it is missing or null.
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0
            .iter()
            .find(|(name, _)| name.as_str() == key)
            .map(|(_, value)| *value)
            .filter(|value| !is_null(value))
    }

    /// The string at `key`; `None` too if something else stands there.
    pub fn string(&self, key: &str) -> Option<Cow<'a, str>> {
        self.get(key).and_then(string)
    }

    /// The object at `key`; `None` too if something else stands there.
    pub fn object(&self, key: &str) -> Option<Object<'a>> {
        self.get(key)
            .and_then(|value| Object::parse(value.get()).ok())
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

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::with_capacity(8);
                while let Some(entry) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    entries.push(entry);
                }
                match twice(&entries) {
                    Some(key) => Err(A::Error::custom(format_args!(
                        "the key `{key}` stands twice in one object"
                    ))),
                    None => Ok(Object(entries)),
                }
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A key that occurs again. Objects of the wire have few keys, where comparing is faster than hashing.
fn twice<'e>(entries: &'e [(Key<'_>, &RawValue)]) -> Option<&'e str> {
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
pub(super) fn array(value: &RawValue) -> serde_json::Result<Vec<&RawValue>> {
    serde_json::from_str(value.get())
}

pub(super) fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// First byte of a value: tells its type.
pub(super) fn first_byte(value: &RawValue) -> u8 {
    value.get().as_bytes().first().copied().unwrap_or(b'n')
}

/// A whole number; some clients and servers write one with a fraction of zero, or with an exponent.
pub(super) fn integer(value: &RawValue) -> Option<i64> {
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
pub(super) fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    let text = value.get();
    if first_byte(value) != b'"' {
        return None;
    }
    if !text.contains('\\') {
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
pub(super) fn span(source: &str, value: &RawValue) -> Range<usize> {
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
            Some((_, old)) => splices.replace(span(source, old), value.clone()),
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
