//! An answer, read in every way in which clients read it.
//!
//! Clients differ: by the index of a call or by its id, the first name or all names joined, `delta` or `message`, the first or the
//! last of two equal keys, `function_call` or `tool_calls`.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

/// JSON in which the first of two equal keys counts.
struct FirstWins(Value);

impl<'de> Deserialize<'de> for FirstWins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = FirstWins;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FirstWins, A::Error> {
                let mut object = serde_json::Map::new();
                while let Some((key, value)) = map.next_entry::<String, FirstWins>()? {
                    object.entry(key).or_insert(value.0);
                }
                Ok(FirstWins(Value::Object(object)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<FirstWins, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element::<FirstWins>()? {
                    items.push(item.0);
                }
                Ok(FirstWins(Value::Array(items)))
            }
            fn visit_str<E>(self, v: &str) -> Result<FirstWins, E> {
                Ok(FirstWins(v.into()))
            }
            fn visit_bool<E>(self, v: bool) -> Result<FirstWins, E> {
                Ok(FirstWins(v.into()))
            }
            fn visit_i64<E>(self, v: i64) -> Result<FirstWins, E> {
                Ok(FirstWins(v.into()))
            }
            fn visit_u64<E>(self, v: u64) -> Result<FirstWins, E> {
                Ok(FirstWins(v.into()))
            }
            fn visit_f64<E>(self, v: f64) -> Result<FirstWins, E> {
                Ok(FirstWins(v.into()))
            }
            fn visit_unit<E>(self) -> Result<FirstWins, E> {
                Ok(FirstWins(Value::Null))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// The documents of an answer: of every line that any client takes for one, read in every way.
fn documents(text: &str) -> Vec<Vec<Value>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text
        .split(['\n', '\r'])
        .map(|line| line.strip_prefix("data:").unwrap_or(line).trim());
    let sources: Vec<&str> = lines
        .filter(|line| line.starts_with('{'))
        .chain([text.trim()])
        .collect();
    let last = sources.iter().filter_map(|s| serde_json::from_str(s).ok());
    let first = sources
        .iter()
        .filter_map(|s| serde_json::from_str::<FirstWins>(s).ok())
        .map(|v| v.0);
    vec![last.collect(), first.collect()]
}

/// Every string of a document, without its escapes.
fn strings(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) => out.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|v| strings(v, out)),
        Value::Object(fields) => fields.values().for_each(|v| strings(v, out)),
        _ => {}
    }
}

/// Everything that a client can read in an answer: texts put together, and names of calls.
#[derive(Debug, Default)]
pub struct Readings {
    pub texts: Vec<String>,
    pub names: Vec<String>,
}

/// All readings of an answer.
pub fn readings(text: &str) -> Readings {
    let mut all = Readings::default();
    all.texts.push(text.to_owned());
    for documents in documents(text) {
        documents.iter().for_each(|d| strings(d, &mut all.texts));
        for part in ["delta", "message"] {
            let mut fields: BTreeMap<(String, String), String> = BTreeMap::new();
            let (mut joined, mut by_id): (BTreeMap<String, String>, BTreeMap<String, String>) =
                Default::default();
            let mut last_id = String::new();
            for choice in documents
                .iter()
                .flat_map(|d| d["choices"].as_array().into_iter().flatten())
            {
                let Some(said) = choice[part].as_object() else {
                    continue;
                };
                for (field, value) in said {
                    if let Some(text) = value.as_str() {
                        for index in ["any".to_owned(), choice["index"].to_string()] {
                            fields
                                .entry((index, field.clone()))
                                .or_default()
                                .push_str(text);
                        }
                    }
                }
                let legacy = said
                    .get("function_call")
                    .map(|call| json!({"function": call}));
                let calls = said
                    .get("tool_calls")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten();
                for (at, call) in calls.chain(&legacy).enumerate() {
                    if let Some(id) = call["id"].as_str().filter(|id| !id.is_empty()) {
                        last_id = id.to_owned();
                    }
                    for kind in ["function", "custom"] {
                        let Some(name) = call[kind]["name"].as_str() else {
                            continue;
                        };
                        all.names.push(name.to_owned());
                        let index = call["index"].as_u64().unwrap_or(at as u64);
                        joined
                            .entry(format!("{}/{index}", choice["index"]))
                            .or_default()
                            .push_str(name);
                        if !last_id.is_empty() {
                            by_id.entry(last_id.clone()).or_default().push_str(name);
                        }
                    }
                }
            }
            all.texts.extend(fields.into_values());
            all.names
                .extend(joined.into_values().chain(by_id.into_values()));
        }
    }
    all
}
