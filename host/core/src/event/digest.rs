//! Digests of messages and conversations.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use sha2::{Digest as _, Sha256};

/// Identity of a message by its meaning, or of a request. 16 bytes of SHA-256: a client cannot make two that share one.
pub type Digest = [u8; 16];

/// For maps by what is a hash already, which nobody can choose: digests, ids of sessions. Its first bytes are taken as they
/// are.
pub type Hashed = BuildHasherDefault<FirstBytes>;

/// A map by digests.
pub type DigestMap<V> = HashMap<Digest, V, Hashed>;

/// The hasher of [`Hashed`].
#[derive(Default)]
pub struct FirstBytes(u64);

impl std::hash::Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    // The length of the array, which is always the same.
    fn write_usize(&mut self, _: usize) {}
}

/// SHA-256 over parts, each with its length, so that no two lists of parts look alike.
#[derive(Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Takes a part in.
    pub fn part(&mut self, bytes: &[u8]) {
        const LENGTH: usize = size_of::<u64>();
        let length = (bytes.len() as u64).to_le_bytes();
        // Most parts are short: put together they are taken in at once.
        let mut both = [0; 64];
        match both.get_mut(..LENGTH + bytes.len()) {
            Some(both) => {
                let (head, rest) = both.split_at_mut(LENGTH);
                head.copy_from_slice(&length);
                rest.copy_from_slice(bytes);
                self.0.update(both);
            }
            None => {
                self.0.update(length);
                self.0.update(bytes);
            }
        }
    }

    /// The first 16 bytes.
    pub fn digest(self) -> Digest {
        let mut digest = Digest::default();
        digest.copy_from_slice(&self.0.finalize()[..16]);
        digest
    }
}

/// Continues the digest of a conversation by one message: the prefix digest by which a session is recognised.
pub fn roll(prefix: Digest, message: Digest) -> Digest {
    let mut rolled = Digest::default();
    let hash = Sha256::new()
        .chain_update(prefix)
        .chain_update(message)
        .finalize();
    rolled.copy_from_slice(&hash[..16]);
    rolled
}
