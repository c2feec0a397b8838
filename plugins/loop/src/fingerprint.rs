//! What makes two calls the same: the tool and its arguments, however they are spelt.

use serde_json::Value;

/// A 64-bit number that two things share if they are the same, and hardly otherwise. FNV-1a: a collision needs an agent
/// that looks for one, and would gain it a nudge.
#[derive(Clone, Copy)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    /// Of a tool call. The order of keys and white space in the arguments does not matter; arguments that are not JSON
    /// count as they stand.
    pub fn of_call(tool: &str, arguments: &str) -> u64 {
        let start = Self::default().text(tool);
        match serde_json::from_str(arguments) {
            Ok(value) => start.value(&value),
            Err(_) => start.text(arguments),
        }
        .0
    }

    /// Of a text. White space at its ends does not matter.
    pub fn of_text(text: &str) -> u64 {
        Self::default().text(text.trim()).0
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    /// With its length, so that `ab` + `c` is not `a` + `bc`.
    fn text(self, text: &str) -> Self {
        self.bytes(&(text.len() as u64).to_le_bytes())
            .bytes(text.as_bytes())
    }

    fn value(self, value: &Value) -> Self {
        match value {
            Value::Object(object) => {
                let mut members: Vec<_> = object.iter().collect();
                members.sort_unstable_by_key(|(key, _)| *key);
                members
                    .into_iter()
                    .fold(self.text("{"), |hash, (key, value)| {
                        hash.text(key).value(value)
                    })
                    .text("}")
            }
            Value::Array(items) => items.iter().fold(self.text("["), Self::value).text("]"),
            // Marked, so that the text "5" is not the number 5.
            Value::String(text) => self.text("\"").text(text),
            other => self.text(&other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_does_not_matter_and_meaning_does() {
        let call = |arguments| Fingerprint::of_call("f", arguments);
        assert_eq!(
            call(r#"{"a":1,"b":[{"c":2,"d":3}]}"#),
            call(r#"{ "b": [{"d":3, "c":2}], "a": 1 }"#)
        );
        for (a, b) in [
            (r#"{"a":1}"#, r#"{"a":2}"#),
            (r#"{"a":1}"#, r#"{"a":"1"}"#),
            (r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#),
            (r#"{"a":[[1],2]}"#, r#"{"a":[[1,2]]}"#),
            (r#"{"a":{}}"#, r#"{"a":[]}"#),
            ("{", "{ "),
        ] {
            assert_ne!(call(a), call(b), "{a} {b}");
        }
        assert_ne!(
            Fingerprint::of_call("f", "{}"),
            Fingerprint::of_call("g", "{}")
        );
        assert_eq!(Fingerprint::of_text(" hm\n"), Fingerprint::of_text("hm"));
    }
}
