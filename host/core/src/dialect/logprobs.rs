//! Probabilities of tokens. They repeat the text beside them, and are inert only where they do: tokens that say something
//! else are text.

use serde::Deserialize;

use super::json::{self, Raw};

/// The longest token that is taken for an alternative to one that was said. Vocabularies have few that are longer.
const MAX_ALTERNATIVE_BYTES: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Logprobs {
    #[serde(default)]
    content: Option<Vec<Token>>,
    #[serde(default)]
    refusal: Option<Vec<Token>>,
    #[serde(default)]
    reasoning: Option<Vec<Token>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    token: String,
    #[serde(default)]
    bytes: Option<Vec<u8>>,
    #[serde(default, rename = "logprob")]
    _logprob: Option<f64>,
    #[serde(default, rename = "token_id", alias = "id")]
    _id: Option<i64>,
    #[serde(default)]
    top_logprobs: Option<Vec<Token>>,
}

impl Token {
    /// Whether the two fields that say what it is say the same. Parts of characters have no text of their own: servers
    /// write them with a sign of replacement, or in a spelling of bytes.
    fn agrees(&self) -> bool {
        self.bytes.as_ref().is_none_or(|bytes| {
            bytes == self.token.as_bytes() || std::str::from_utf8(bytes).is_err() && bytes.len() < 4
        })
    }

    fn append(&self, out: &mut Vec<u8>) {
        match &self.bytes {
            Some(bytes) => out.extend_from_slice(bytes),
            None => out.extend_from_slice(self.token.as_bytes()),
        }
    }
}

/// What the value says that is in none of `said`, the texts beside it; `None` if nothing.
pub(super) fn beyond(value: Raw<'_>, said: &[&str]) -> Option<String> {
    match serde_json::from_str::<Logprobs>(value.get()) {
        Ok(read) => {
            let lists = [read.content, read.reasoning, read.refusal];
            beyond_lists(lists.into_iter().flatten(), said)
        }
        // Of another shape: all of it is text, keys too.
        Err(_) => strings(value.get()),
    }
}

/// The same of a bare list of tokens.
pub(super) fn beyond_list(value: Raw<'_>, said: &str) -> Option<String> {
    match serde_json::from_str::<Vec<Token>>(value.get()) {
        Ok(list) => beyond_lists(std::iter::once(list), &[said]),
        Err(_) => strings(value.get()),
    }
}

fn beyond_lists(lists: impl Iterator<Item = Vec<Token>>, said: &[&str]) -> Option<String> {
    let mut all = Vec::new();
    let mut beyond = String::new();
    for list in lists {
        let mut own = Vec::new();
        for token in &list {
            token.append(&mut own);
            if !token.agrees() {
                beyond.push_str(&token.token);
            }
            for other in token.top_logprobs.iter().flatten() {
                if other.token.len() > MAX_ALTERNATIVE_BYTES
                    || !other.agrees()
                    || other.top_logprobs.is_some()
                {
                    beyond.push_str(&other.token);
                    beyond.push_str(&String::from_utf8_lossy(
                        other.bytes.as_deref().unwrap_or_default(),
                    ));
                }
            }
        }
        all.extend(own);
    }
    let repeats = all.is_empty() || said.iter().any(|text| text.as_bytes() == all);
    if !repeats {
        beyond.push_str(&String::from_utf8_lossy(&all));
    }
    (!beyond.is_empty()).then_some(beyond)
}

/// All strings of a value of unknown shape, one after the other.
fn strings(json: &str) -> Option<String> {
    fn gather(value: &serde_json::Value, out: &mut String) {
        match value {
            serde_json::Value::String(text) => out.push_str(text),
            serde_json::Value::Array(items) => items.iter().for_each(|item| gather(item, out)),
            serde_json::Value::Object(entries) => {
                for (key, value) in entries {
                    out.push_str(key);
                    gather(value, out);
                }
            }
            _ => {}
        }
    }
    let mut out = String::new();
    // What cannot be read (nested too deep) is text as it stands.
    match serde_json::from_str(json) {
        Ok(value) => gather(&value, &mut out),
        Err(_) => out.push_str(json),
    }
    (!out.is_empty()).then_some(out)
}

/// Whether it is a list of numbers.
pub(super) fn is_numbers(value: Raw<'_>) -> bool {
    json::array(value).is_ok_and(|items| {
        items
            .iter()
            .all(|item| matches!(json::first_byte(*item), b'0'..=b'9' | b'-'))
    })
}
