//! Marks: what is kept of a conversation so that it is recognised when it goes on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::clock::Micros;
use super::digest::{Digest, Hasher};
use super::key::SessionKey;

/// How long a mark is kept after it was last of use: an agent may be resumed after a weekend and a holiday.
pub const KEPT_US: Micros = 7 * 24 * 3600 * 1_000_000;

/// Marks in memory at most; the oldest half goes when there are more. About 20 MB, and as much on the disk.
pub const MAX_MARKS: usize = 131_072;

/// Characters, white space folded, by which the beginning of a turn is known. Shorter turns are too common to be evidence
/// of their own.
const OPENING: usize = 24;

/// One message of a request, as it is held against the marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// What it means, with everything.
    pub digest: Digest,
    /// The model made it.
    pub of_model: bool,
    /// Its text.
    pub text: &'a str,
    /// Ids of tool calls that it makes or answers.
    pub calls: Vec<&'a str>,
}

/// The words of a message without what clients change when they send it back: white space, a name, parts or a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// Of all of them; `None` if there are none.
    pub whole: Option<Digest>,
    /// Of the first ones, if there are enough.
    pub opening: Option<Digest>,
}

impl Words {
    /// The words of a text.
    pub fn of(text: &str) -> Self {
        let folded = folded(text);
        let opening = match folded.char_indices().nth(OPENING) {
            Some((end, _)) => folded.get(..end),
            None => (folded.chars().count() == OPENING).then_some(folded.as_str()),
        };
        Self {
            whole: (!folded.is_empty()).then(|| mark(&[b"words", folded.as_bytes()])),
            opening: opening.map(|text| mark(&[b"opening", text.as_bytes()])),
        }
    }

    fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A text with one blank between two words and none around them.
fn folded(text: &str) -> String {
    if !text.is_ascii() {
        let words: Vec<&str> = text.split_whitespace().collect();
        return words.join(" ");
    }
    // Byte by byte: a third of the time of what decodes characters and copies words.
    let (mut folded, mut between) = (Vec::with_capacity(text.len()), false);
    for byte in text.bytes() {
        match byte {
            b' ' | b'\t'..=b'\r' => between = !folded.is_empty(),
            _ => {
                if std::mem::take(&mut between) {
                    folded.push(b' ');
                }
                folded.push(byte);
            }
        }
    }
    String::from_utf8(folded).unwrap_or_default()
}

/// What the client was given in answer to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// The words.
    #[serde(default, skip_serializing_if = "Words::are_none")]
    pub words: Words,
    /// Whether it is all that there was to give. Of anything else the client may have kept a part, or nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// Ids of the tool calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<String>,
}

impl Given {
    pub fn is_nothing(&self) -> bool {
        self.words == Words::default() && self.calls.is_empty()
    }

    /// Whether a message can be this, as a client sends it back; `Some(true)` if it is so to the letter.
    pub fn reads(&self, line: &Line<'_>) -> Option<bool> {
        if self.is_nothing() {
            let says_nothing = line.text.trim().is_empty() && line.calls.is_empty();
            return says_nothing.then_some(true);
        }
        if line
            .calls
            .iter()
            .any(|id| self.calls.iter().any(|own| own == id))
        {
            return Some(true);
        }
        let words = Words::of(line.text);
        if words.whole == self.words.whole {
            // Calls that the client has dropped, or numbers anew, are no proof.
            return Some(self.calls.is_empty() && line.calls.is_empty());
        }
        let begins = words.opening.is_some() && words.opening == self.words.opening;
        // Too short to have an opening: the part that was there when the client hung up.
        let part = !self.whole && words.opening.is_none() && words.whole.is_some();
        (begins || part).then_some(false)
    }
}

/// What a mark means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// The session.
    pub key: Arc<SessionKey>,
    /// What became of the request; for marks of a beginning only.
    pub given: Given,
    /// What only correlates.
    pub weak: Option<Digest>,
    /// When it was made or last of use.
    pub at: Micros,
    /// A later request went on from here.
    pub continued: bool,
}

/// A mark that is to be kept on the disk too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The mark.
    pub mark: Digest,
    /// What it means.
    pub meaning: Meaning,
}

/// A digest over parts, each with its length, so that no two lists of parts look alike.
pub fn mark(parts: &[&[u8]]) -> Digest {
    let mut hash = Hasher::default();
    parts.iter().for_each(|part| hash.part(part));
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_folded_as_the_standard_library_splits_it() {
        for text in [
            "",
            " ",
            "a",
            " a  b\n\nc\t",
            "\u{b}a\u{c}b\r\n",
            "a\u{1c}b",
            "é \u{a0}\u{2003}b ",
        ] {
            let words: Vec<&str> = text.split_whitespace().collect();
            assert_eq!(folded(text), words.join(" "), "{text:?}");
        }
    }
}
