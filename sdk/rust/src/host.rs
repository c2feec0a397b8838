//! What a policy may ask of the host. Every function returns at once. In native tests, [`testing`](crate::testing)
//! answers in the host's place.
//!
//! Every function is always there: what the operator did not grant is refused as `NotGranted` when it is called. With
//! `?`, a [`Refusal`] becomes the words of a fault.

use std::borrow::Cow;

use serde::{Serialize, de::DeserializeOwned};

use crate::types::{ContentRef, Level, Question, Refusal, RefusalKind};

#[cfg(target_family = "wasm")]
use crate::bindings::policy::airlock::policy as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::host;

/// Longest content that the host reads at once, in bytes.
const MAX_READ: u64 = 65_536;

/// Writes to the operator's log: at most 4,096 bytes a message, 100 messages a second.
pub fn log(level: Level, message: impl AsRef<str>) {
    host::logging::log(level, message.as_ref());
}

/// A small value that this policy kept earlier in this session.
///
/// # Errors
/// If the value is not what `T` expects.
pub fn recall<T: DeserializeOwned>(key: &str) -> Result<Option<T>, String> {
    match host::state::recall(key) {
        None => Ok(None),
        Some(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| format!("state `{key}`: {error}")),
    }
}

/// Keeps a small value for this policy and session, besides its [`State`](crate::Policy::State). Unlike that it is kept at
/// once, so that it survives a trap.
///
/// # Errors
/// Which limit was passed: a key has 1 to 128 bytes, all values together 64 KiB. Nothing is changed then.
pub fn keep<T: Serialize>(key: &str, value: &T) -> Result<(), Refusal> {
    let bytes = serde_json::to_vec(value).map_err(|error| {
        refusal(
            RefusalKind::Other,
            format!("state `{key}` cannot be written: {error}"),
        )
    })?;
    host::state::keep(key, Some(&bytes))
}

/// Forgets a value.
///
/// # Errors
/// If the key is empty or too long.
pub fn remove(key: &str) -> Result<(), Refusal> {
    host::state::keep(key, None)
}

/// Reads at most `limit` (and at most 65,536) bytes of long content, from a byte on. Needs the grant `content`.
///
/// # Errors
/// If it is not granted, not of this session or no longer kept: content lives until its exchange ends.
pub fn read(content: &ContentRef, offset: u64, limit: u32) -> Result<Vec<u8>, Refusal> {
    host::content::read(content.content, offset, limit)
}

/// All of a message's, call's or result's text, of which an event brings only the first 4,096 bytes. Needs the grant
/// `content` if there is more than that.
///
/// # Errors
/// If the whole is longer than `max` bytes (`OverLimit`), cannot be read (see [`read`]), or is not UTF-8.
pub fn read_whole<'a>(
    content: &ContentRef,
    inline: &'a str,
    max: u32,
) -> Result<Cow<'a, str>, Refusal> {
    let length = content.length;
    if length <= inline.len() as u64 {
        return Ok(inline.into());
    }
    if length > u64::from(max) {
        let why = format!("{length} bytes are more than {max}");
        return Err(refusal(RefusalKind::OverLimit, why));
    }
    let mut whole = Vec::with_capacity(length as usize);
    while (whole.len() as u64) < length {
        let rest = length - whole.len() as u64;
        let part = read(content, whole.len() as u64, rest.min(MAX_READ) as u32)?;
        if part.is_empty() {
            let why = format!("only {} of {length} bytes can be read", whole.len());
            return Err(refusal(RefusalKind::Unknown, why));
        }
        whole.extend(part);
    }
    String::from_utf8(whole)
        .map(Cow::Owned)
        .map_err(|_| refusal(RefusalKind::Other, "it is not UTF-8".into()))
}

/// Asks a configured target; the answer comes as an event with this ticket, within `deadline_ms` (0: the target's own
/// limit) or not at all. Needs a grant for the target.
///
/// # Errors
/// Why the question was not sent: not granted, over a quota, or not known.
pub fn ask(target: &str, question: &Question, deadline_ms: u32) -> Result<u64, Refusal> {
    host::asking::ask(target, question, deadline_ms)
}

pub(crate) fn refusal(kind: RefusalKind, message: String) -> Refusal {
    Refusal { kind, message }
}

/// Its words, so that `?` makes a refusal a policy's fault.
impl From<Refusal> for String {
    fn from(refusal: Refusal) -> Self {
        refusal.message
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_whole_is_read_only_if_the_inline_text_is_not_it() {
        let long = "é".repeat(100_000);
        host::reset();
        host::serve(&BTreeMap::from([(7, long.clone())]));
        let content = ContentRef {
            content: 7,
            length: 200_000,
        };
        assert_eq!(read_whole(&content, &long[..4_096], 200_000).unwrap(), long);
        let short = ContentRef {
            content: 9,
            length: 2,
        };
        assert_eq!(read_whole(&short, "hi", 10).unwrap(), "hi");
        let error = read_whole(&content, "é", 199_999).unwrap_err();
        assert_eq!(error.kind, RefusalKind::OverLimit);
        assert_eq!(error.to_string(), "200000 bytes are more than 199999");
        let gone = ContentRef {
            content: 8,
            ..content
        };
        let error = read_whole(&gone, "é", 200_000).unwrap_err();
        assert_eq!(error.kind, RefusalKind::Unknown);
        let shorter = ContentRef {
            length: 200_001,
            ..content
        };
        let error = read_whole(&shorter, "é", 300_000).unwrap_err();
        assert_eq!(
            String::from(error),
            "only 200000 of 200001 bytes can be read"
        );
    }

    #[test]
    fn what_was_kept_is_recalled_and_a_key_has_a_bound() {
        host::reset();
        keep("seen", &vec![1, 2]).unwrap();
        assert_eq!(recall("seen").unwrap(), Some(vec![1, 2]));
        assert!(
            recall::<String>("seen")
                .unwrap_err()
                .contains("state `seen`")
        );
        remove("seen").unwrap();
        assert_eq!(recall::<u32>("seen").unwrap(), None);
        assert_eq!(keep("", &1).unwrap_err().kind, RefusalKind::OverLimit);
    }
}
