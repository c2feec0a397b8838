//! The JSON form of the contract's types: records are objects and cases are named as in the WIT (`tool-call`), a case with
//! a value is `{"case": value}`, one without is its name, tuples are arrays.
//!
//! The generated bindings of guest and host derive `serde` under Rust's names. These two functions translate while they
//! (de)serialise, driven by the types, so neither side needs a second set of types. When reading, a field that is left
//! out is zero, empty, absent, or the first case of its enum; a field that does not exist is an error.

mod read;
mod write;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Reads a value of a generated type.
///
/// # Errors
/// A field or case that the type does not have, or a value of another type.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, serde_json::Error> {
    T::deserialize(read::Node(Some(value)))
}

/// Writes a value of a generated type.
///
/// # Errors
/// A map whose keys are not strings; no type of the contract has one.
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, serde_json::Error> {
    value.serialize(write::Writer)
}

/// `ToolCall` and `tool_call` as the WIT writes them.
fn kebab(rust: &str) -> String {
    let mut wit = String::with_capacity(rust.len() + 4);
    for (index, c) in rust.char_indices() {
        match c {
            '_' => wit.push('-'),
            'A'..='Z' => {
                if index > 0 {
                    wit.push('-');
                }
                wit.push(c.to_ascii_lowercase());
            }
            _ => wit.push(c),
        }
    }
    wit
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    enum Mode {
        #[default]
        HardStop,
        Soft,
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Inner {
        max_tokens: u64,
        share: f32,
        mode: Mode,
        note: Option<String>,
        pairs: Vec<(u32, String)>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Action {
        SetLimit(Inner),
        Nothing,
        Other((String, String)),
    }

    fn round_trip(action: &Action, json: &Value) {
        assert_eq!(to_value(action).unwrap(), *json);
        assert_eq!(from_value::<Action>(json).unwrap(), *action);
    }

    #[test]
    fn names_are_those_of_the_wit_both_ways() {
        let inner = Inner {
            max_tokens: 1 << 50,
            share: 0.9,
            mode: Mode::Soft,
            note: None,
            pairs: vec![(7, "x".into())],
        };
        let json = json!({ "set-limit": {
            "max-tokens": 1_u64 << 50, "share": 0.9, "mode": "soft", "note": null, "pairs": [[7, "x"]],
        } });
        round_trip(&Action::SetLimit(inner), &json);
        round_trip(&Action::Nothing, &json!("nothing"));
        round_trip(
            &Action::Other(("a".into(), "b".into())),
            &json!({ "other": ["a", "b"] }),
        );
    }

    #[test]
    fn what_is_left_out_is_the_default() {
        assert_eq!(
            from_value::<Action>(&json!({ "set-limit": {} })).unwrap(),
            Action::SetLimit(Inner::default())
        );
        assert_eq!(
            from_value::<Action>(&json!("set-limit")).unwrap(),
            Action::SetLimit(Inner::default())
        );
    }

    #[test]
    fn unknown_names_are_errors_that_list_the_known_ones() {
        let error = from_value::<Inner>(&json!({ "max_tokens": 1 }))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("max_tokens") && error.contains("max-tokens"),
            "{error}"
        );
        let error = from_value::<Mode>(&json!("hard")).unwrap_err().to_string();
        assert!(error.contains("hard-stop"), "{error}");
        from_value::<Inner>(&json!({ "max-tokens": "many" })).unwrap_err();
    }
}
