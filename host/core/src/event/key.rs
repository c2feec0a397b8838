//! Who a session belongs to, and the name it goes by.
//!
//! The id is derived from the key, so that the same agent finds the same session after a restart without any table of
//! names. A session value is chosen by the client: it correlates calls, it never authorises. Tenant and principal are
//! part of the key for that reason; nobody reaches another principal's session by guessing its value.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What identifies a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SessionKey {
    /// Tenant of the key that called.
    pub tenant: String,
    /// Name of the key, or a hash of the credential.
    pub principal: String,
    /// Where the value was found (`x-airlock-session-id`, `prefix-hash`, ...).
    pub source: String,
    /// The value itself, chosen by the client or derived.
    pub value: String,
}

impl SessionKey {
    /// The session's id: the first 128 bits of a SHA-256 over the four parts, each preceded by its length so that no
    /// two keys read the same.
    pub fn id(&self) -> SessionId {
        let mut hash = Sha256::new();
        for part in [&self.tenant, &self.principal, &self.source, &self.value] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        SessionId(u128::from_be_bytes(id))
    }
}

/// Name of a session: 32 hexadecimal digits. People give a prefix of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u128);

impl SessionId {
    /// The first 8 digits, for narrow columns.
    pub fn short(&self) -> String {
        format!("{:08x}", self.0 >> 96)
    }

    /// A number that differs between sessions, to spread them by: the id is a hash.
    pub fn spread(&self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

/// The text is not 32 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("a session id is 32 hexadecimal digits")]
pub struct InvalidSessionId;

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(InvalidSessionId);
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| InvalidSessionId)
    }
}

impl Serialize for SessionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn key(parts: [&str; 4]) -> SessionKey {
        let [tenant, principal, source, value] = parts.map(String::from);
        SessionKey {
            tenant,
            principal,
            source,
            value,
        }
    }

    #[test]
    fn parts_cannot_run_into_each_other() {
        assert_ne!(
            key(["a", "bc", "s", "v"]).id(),
            key(["ab", "c", "s", "v"]).id()
        );
        assert_ne!(
            key(["a", "b", "s", "v"]).id(),
            key(["a", "c", "s", "v"]).id()
        );
    }

    #[test]
    fn the_id_is_stable_and_reads_back() {
        let id = key(["default", "local", "x-airlock-session-id", "run-7"]).id();
        assert_eq!(
            id,
            key(["default", "local", "x-airlock-session-id", "run-7"]).id()
        );
        assert_eq!(id.to_string().parse::<SessionId>().unwrap(), id);
        assert!(id.to_string().starts_with(&id.short()));
        assert!("xyz".parse::<SessionId>().is_err());
    }
}
