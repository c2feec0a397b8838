//! `[[key]]`: keys that Airlock itself gives to its clients.
//!
//! Only a hash stands in the configuration. SHA-256 without salt or stretching is enough here, and would not be for a
//! password: a key is 256 bits from the system's randomness, so there is no dictionary to try and no two are alike.
//! A hash that leaks is of no use, and one that must be checked at every call must be cheap.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::upstream::limits::{CallLimits, queue_ms};

/// How every key begins, so that people and scanners for leaked secrets know one when they see it.
pub const PREFIX: &str = "alk-";

/// Tenant of keys that name none, and of every caller where there are no keys.
pub const DEFAULT_TENANT: &str = "default";

/// One client's key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientKey {
    /// Its name, which is the principal of whoever calls with it; unique.
    pub name: String,
    /// Hash of the key.
    pub hash: KeyHash,
    /// Whose key it is.
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// As in [`CallLimits`].
    #[serde(default)]
    pub requests_per_minute: u32,
    /// As in [`CallLimits`].
    #[serde(default)]
    pub tokens_per_minute: u64,
    /// As in [`CallLimits`].
    #[serde(default)]
    pub max_concurrent: u32,
    /// As in [`CallLimits`].
    #[serde(default)]
    pub max_queued: u32,
    /// As in [`CallLimits`].
    #[serde(default = "queue_ms")]
    pub queue_ms: u64,
}

fn default_tenant() -> String {
    DEFAULT_TENANT.to_owned()
}

impl ClientKey {
    /// Limits of whoever calls with this key.
    pub fn limits(&self) -> CallLimits {
        CallLimits {
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
            max_concurrent: self.max_concurrent,
            max_queued: self.max_queued,
            queue_ms: self.queue_ms,
        }
    }
}

/// SHA-256 of a key; `sha256:` and 64 hexadecimal digits in text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyHash([u8; 32]);

/// What stands there is no hash. The text is not repeated: it may be the key itself.
#[derive(Debug, thiserror::Error)]
pub enum NoHash {
    /// A key in the place of its hash.
    #[error(
        "this is a key itself, and whoever reads the file has it: make a new one with `airlock key new`, which prints the \
         entry with its hash"
    )]
    Key,
    /// Anything else.
    #[error(
        "this is no hash of a key: `airlock key new` prints the entry, with hash = \"sha256:<64 hexadecimal digits>\""
    )]
    Shape,
}

impl KeyHash {
    /// The hash of a key.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Whether both are the same, in a time that does not depend on where they differ.
    pub fn is(&self, other: &Self) -> bool {
        let differences = self.0.iter().zip(&other.0).fold(0, |d, (a, b)| d | (a ^ b));
        std::hint::black_box(differences) == 0
    }
}

impl TryFrom<String> for KeyHash {
    type Error = NoHash;

    fn try_from(text: String) -> Result<Self, NoHash> {
        if text.starts_with(PREFIX) {
            return Err(NoHash::Key);
        }
        let digits = text.strip_prefix("sha256:").ok_or(NoHash::Shape)?;
        if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NoHash::Shape);
        }
        let mut hash = [0; 32];
        for (i, byte) in hash.iter_mut().enumerate() {
            let pair = digits.get(2 * i..2 * i + 2).ok_or(NoHash::Shape)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NoHash::Shape)?;
        }
        Ok(Self(hash))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({self})")
    }
}

/// A new key: [`PREFIX`] and 43 base64url characters, 256 bits.
///
/// # Errors
/// The system gives no randomness; a guess is no key.
pub fn new_key() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_new_key_is_long_random_and_fits_a_header() {
        let (a, b) = (new_key().unwrap(), new_key().unwrap());
        assert_ne!(a, b);
        for key in [a, b] {
            assert_eq!(key.len(), 4 + 43);
            let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            assert!(key.bytes().all(fits), "{key}");
        }
    }

    #[test]
    fn a_hash_reads_back_and_tells_keys_apart() {
        let hash = KeyHash::of("abc");
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), text);
        let read = KeyHash::try_from(text.to_uppercase().replace("SHA256", "sha256")).unwrap();
        assert!(read.is(&hash));
        for other in ["abd", "", "Abc"] {
            assert!(!hash.is(&KeyHash::of(other)), "{other}");
        }
    }

    #[test]
    fn what_is_no_hash_is_refused_without_being_repeated() {
        let key = new_key().unwrap();
        for (text, advice) in [
            (key.as_str(), "a key itself"),
            ("ba7816bf", "airlock key new"),
            ("sha256:12", "sha256:<64"),
            (
                "sha256:zz7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                "64",
            ),
        ] {
            let message = KeyHash::try_from(text.to_owned()).unwrap_err().to_string();
            assert!(message.contains(advice), "{message}");
            assert!(!message.contains(text), "{message}");
        }
    }
}
