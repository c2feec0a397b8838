//! What a decision is bound to: the exact item, and nothing that merely looks like it.
//!
//! Arguments of a tool call are compared by what they mean: order of keys and white space do not count, because a model that
//! repeats a call may write it differently. Everything else does. Numbers keep their digits (two long ones that round to
//! the same double are two), and arguments in which a key stands twice are compared byte for byte, because tools do not
//! agree on which of the two counts.

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::event::digest::Digest;

/// Arguments nested deeper are compared byte for byte: each level is parsed anew.
const DEPTH: usize = 64;

/// Digest of a tool call.
pub fn of_tool_call(name: &str, arguments: &str) -> Digest {
    match canonical(arguments) {
        Some(canonical) => of(&["tool-call", name, "json", &canonical]),
        None => of(&["tool-call", name, "text", arguments]),
    }
}

/// Digest of a tool's result.
pub fn of_tool_result(name: &str, text: &str) -> Digest {
    of(&["tool-result", name, text])
}

/// Digest of held text.
pub fn of_text(text: &str) -> Digest {
    of(&["text", text])
}

/// Digest of a policy's question to people.
pub fn of_question(policy: &str, target: &str, title: &str, body: &str) -> Digest {
    of(&["question", policy, target, title, body])
}

/// The first 128 bits of a SHA-256 over the parts, each preceded by its length.
pub(super) fn of(parts: &[&str]) -> Digest {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let whole: [u8; 32] = hash.finalize().into();
    let mut digest = Digest::default();
    digest.copy_from_slice(&whole[..16]);
    digest
}

/// JSON with its keys in order and without white space; `None` for what has no one meaning.
fn canonical(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    write(serde_json::from_str(text).ok()?, DEPTH, &mut out)?;
    Some(out)
}

fn write(value: &RawValue, depth: usize, out: &mut String) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let text = value.get();
    match text.as_bytes().first()? {
        b'{' => {
            let Fields(mut fields) = serde_json::from_str(text).ok()?;
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            if fields.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                return None;
            }
            out.push('{');
            for (key, value) in fields {
                out.push_str(&serde_json::to_string(&key).ok()?);
                out.push(':');
                write(value, depth, out)?;
                out.push(',');
            }
            out.push('}');
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            out.push('[');
            for item in items {
                write(item, depth, out)?;
                out.push(',');
            }
            out.push(']');
        }
        b'"' => {
            let string: String = serde_json::from_str(text).ok()?;
            out.push_str(&serde_json::to_string(&string).ok()?);
        }
        _ => out.push_str(text),
    }
    Some(())
}

/// The fields of an object as they stand, repeated ones included.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::of_tool_call;

    fn same(a: &str, b: &str) -> bool {
        of_tool_call("t", a) == of_tool_call("t", b)
    }

    #[test]
    fn what_means_the_same_is_the_same_call() {
        assert!(same(
            r#"{"to": "a", "n": {"y": [1, 2], "x": null}}"#,
            "{\"n\":{\"x\":null,\"y\":[1,2]},\n\"to\":\"\\u0061\"}"
        ));
    }

    #[test]
    fn what_could_mean_something_else_is_another_call() {
        for (a, b) in [
            (r#"{"to":"bob"}"#, r#"{"to":"eve"}"#),
            (r#"{"to":"eve"}"#, r#"{"to":"bob","to":"eve"}"#),
            (
                r#"{"n":12345678901234567890123}"#,
                r#"{"n":12345678901234567890124}"#,
            ),
            (r#"{"n":1}"#, r#"{"n":"1"}"#),
            (r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#),
            (r#"{"a":{}}"#, r#"{"a":[]}"#),
            ("rm -rf a", "rm -rf  a"),
            (r#"{"a":1}"#, r#"{"a":1} x"#),
        ] {
            assert!(!same(a, b), "{a} and {b}");
        }
        assert_ne!(of_tool_call("t", "{}"), of_tool_call("u", "{}"));
    }

    #[test]
    fn hostile_depth_costs_no_stack() {
        let deep = "[".repeat(200_000) + &"]".repeat(200_000);
        assert!(same(&deep, &deep));
        assert!(!same(&deep, &format!(" {deep}")), "byte for byte");
    }
}
