//! What a policy may ask of the host. Every function returns at once. In native tests, [`testing`](crate::testing)
//! answers in the host's place.

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

/// Asks a configured target; the answer comes as an event with this ticket. Needs a grant for the target.
///
/// # Errors
/// Why the question was not sent: not granted, over quota, not known.
pub fn ask(target: &str, question: &Question, deadline_ms: u32) -> Result<u64, String> {
    host::asking::ask(target, question, deadline_ms)
}
