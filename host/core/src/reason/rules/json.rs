//! Arguments of a tool call as a value, read so that nobody can read them differently.
//!
//! What is judged here is run by a tool, which reads with a parser of its own. So a key that stands twice in one object is
//! no JSON here (parsers differ in which one they take), and neither are `NaN`, half a pair of surrogates, comments, a
//! comma too many, numbers that no 64 bits hold, or nesting deeper than 128: some parser takes each of these.

#[cfg(test)]
pub(super) mod tests;

use std::collections::HashMap;
use std::fmt;

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString,
};
use cel::common::value::Val;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// JSON arguments with more values than this are not looked into: a condition goes through all of them, at about 1 us
/// each, while the call waits.
const MAX_VALUES: usize = 10_000;

/// The same in bytes, because a condition may copy text while it compares.
const MAX_BYTES: usize = 256 * 1024;

/// Arguments as a value; `None` if they cannot be read, in one way only, or are too big to be looked into. Models write
/// nothing at all for a tool without parameters: that is `{}`.
pub(super) fn parse(arguments: &str) -> Option<Box<dyn Val>> {
    if arguments.len() > MAX_BYTES {
        return None;
    }
    if arguments.trim().is_empty() {
        return Some(Box::new(CelMap::from(HashMap::<
            CelMapKey<'static>,
            Box<dyn Val>,
        >::new())));
    }
    let mut room = MAX_VALUES;
    // Depth is bounded by the parser itself, at 128.
    let mut parser = serde_json::Deserializer::from_str(arguments);
    let value = serde::de::DeserializeSeed::deserialize(Reader { room: &mut room }, &mut parser);
    let value = value.ok()?;
    parser.end().ok()?;
    Some(value)
}

/// Reads one value, and counts it.
struct Reader<'r> {
    room: &'r mut usize,
}

impl Reader<'_> {
    fn again(&mut self) -> Reader<'_> {
        Reader { room: self.room }
    }

    fn whole<E: Error>(number: impl TryInto<i64>) -> Result<Box<dyn Val>, E> {
        let number = number
            .try_into()
            .map_err(|_| E::custom("a number has more than 64 bits"))?;
        Ok(Box::new(CelInt::from(number)))
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for Reader<'_> {
    type Value = Box<dyn Val>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        *self.room = self
            .room
            .checked_sub(1)
            .ok_or_else(|| D::Error::custom("too many values"))?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Box<dyn Val>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Box::new(CelNull))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Box::new(CelBool::from(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Self::whole(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Self::whole(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        // A whole number of 2^63 and more arrives here too, rounded: a tool may read its last digits.
        if !value.is_finite() || value.abs() >= 9.2e18 {
            return Err(E::custom("a number has more than 64 bits"));
        }
        Ok(Box::new(CelDouble::from(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Box::new(CelString::from(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.again())? {
            list.push(item);
        }
        Ok(Box::new(CelList::from(list)))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut map: HashMap<CelMapKey<'static>, Box<dyn Val>> = HashMap::new();
        while let Some(key) = members.next_key::<String>()? {
            let value = members.next_value_seed(self.again())?;
            if map.insert(CelMapKey::from(key), value).is_some() {
                return Err(A::Error::custom("a key stands twice"));
            }
        }
        Ok(Box::new(CelMap::from(map)))
    }
}
