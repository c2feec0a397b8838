//! What a policy may ask of the host. Every function returns at once. In native tests, [`testing`](crate::testing)
//! answers in the host's place.

use std::borrow::Cow;

use serde::{Serialize, de::DeserializeOwned};

use crate::types::{ContentRef, Level, Question};

#[cfg(target_family = "wasm")]
use crate::bindings::policy::airlock::policy as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::host;

/// Writes to the operator's log: at most 4,096 bytes a message, 100 messages a second.
pub fn log(level: Level, message: impl AsRef<str>) {
    host::logging::log(level, message.as_ref());
}

/// A small value that this policy set earlier in this session.
///
/// # Errors
/// If the value is not what `T` expects.
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, String> {
    match host::state::get(key) {
        None => Ok(None),
        Some(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| format!("state `{key}`: {error}")),
    }
}

/// Keeps a small value for this policy and session, besides its [`State`](crate::Policy::State). Both halves of a policy
/// see it, and it survives a trap.
///
/// # Errors
/// Which limit was passed: a key has 1 to 128 bytes, all values together 64 KiB. Nothing is changed then.
pub fn set<T: Serialize>(key: &str, value: &T) -> Result<(), String> {
    let bytes = serde_json::to_vec(value).map_err(|error| format!("state `{key}`: {error}"))?;
    host::state::set(key, Some(&bytes))
}

/// Forgets a value.
///
/// # Errors
/// If the key is empty or too long.
pub fn remove(key: &str) -> Result<(), String> {
    host::state::set(key, None)
}

/// Reads at most `len` (and at most 65,536) bytes of long content. Needs the grant `content`. Nothing if it is not of this
/// session or no longer kept.
pub fn read(content: &ContentRef, offset: u64, len: u32) -> Option<Vec<u8>> {
    host::content::read(content.id, offset, len)
}

/// All of a message's, call's or result's text, of which an event brings only the first 4,096 bytes. Needs the grant
/// `content`.
///
/// # Errors
/// If the whole is longer than `max` bytes, or can no longer be read.
pub fn read_whole<'a>(
    content: &ContentRef,
    inline: &'a str,
    max: u32,
) -> Result<Cow<'a, str>, String> {
    if content.len <= inline.len() as u64 {
        return Ok(inline.into());
    }
    if content.len > u64::from(max) {
        return Err(format!("{} bytes are more than {max}", content.len));
    }
    let mut whole = Vec::with_capacity(content.len as usize);
    while (whole.len() as u64) < content.len {
        let rest = content.len - whole.len() as u64;
        match read(content, whole.len() as u64, rest.min(65_536) as u32) {
            Some(part) if !part.is_empty() => whole.extend(part),
            _ => {
                return Err(format!(
                    "only {} of {} bytes can be read",
                    whole.len(),
                    content.len
                ));
            }
        }
    }
    String::from_utf8(whole)
        .map(Cow::Owned)
        .map_err(|_| "it is not UTF-8".into())
}

/// Asks a configured target; the answer comes as an event with this ticket. Needs a grant for the target.
///
/// # Errors
/// Why the question was not sent: not granted, over quota, not known.
pub fn ask(target: &str, question: &Question, deadline_ms: u32) -> Result<u64, String> {
    host::asking::ask(target, question, deadline_ms)
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
            id: 7,
            len: 200_000,
        };
        assert_eq!(read_whole(&content, &long[..4_096], 200_000).unwrap(), long);
        let short = ContentRef { id: 9, len: 2 };
        assert_eq!(read_whole(&short, "hi", 10).unwrap(), "hi");
        let error = read_whole(&content, "é", 199_999).unwrap_err();
        assert!(error.contains("more than 199999"), "{error}");
        let gone = ContentRef {
            id: 8,
            len: 200_000,
        };
        let error = read_whole(&gone, "é", 200_000).unwrap_err();
        assert!(error.contains("only 0 of"), "{error}");
    }
}
