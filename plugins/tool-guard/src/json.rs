//! Arguments as JSON, read so that nobody can read them differently.
//!
//! A key that stands twice in one object is refused: parsers differ in which of the two they take, so what is judged here
//! and what the tool runs could be two things.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// Reads the arguments of a call. Models write nothing at all for a tool without parameters: that is `{}`.
pub fn parse(arguments: &str) -> Result<Value, String> {
    if arguments.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    serde_json::from_str::<Unique>(arguments)
        .map(|Unique(value)| value)
        .map_err(|error| error.to_string())
}

/// A value in which no object has the same key twice.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Reader.deserialize(deserializer).map(Self)
    }
}

struct Reader;

impl<'de> DeserializeSeed<'de> for Reader {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Reader)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let value = members.next_value_seed(Reader)?;
            if object.contains_key(&key) {
                return Err(A::Error::custom(format!("the key `{key}` stands twice")));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::json;

    use super::parse;

    #[test]
    fn json_is_read_as_it_stands() {
        let all = json!({ "a": [null, true, -1, 1.5, "é\n"], "b": { "a": {} } });
        assert_eq!(parse(&all.to_string()).unwrap(), all);
        assert_eq!(parse(" \n").unwrap(), json!({}));
    }

    #[test]
    fn what_two_parsers_may_read_differently_is_refused() {
        for twice in [
            r#"{"to":"a","to":"b"}"#,
            r#"{"x":[{"to":"a","t\u006f":"b"}]}"#,
        ] {
            assert!(parse(twice).unwrap_err().contains("`to` stands twice"));
        }
        for broken in [
            "{",
            "{'a':1}",
            "{} {}",
            "NaN",
            r#"{"a":1e999}"#,
            r#"{"a":1,}"#,
        ] {
            assert!(parse(broken).is_err(), "{broken}");
        }
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(parse(&deep).is_err());
    }
}
