//! Digests of messages and conversations.

use sha2::{Digest as _, Sha256};

/// What a message means, as the dialect hashes it.
pub type Digest = [u8; 16];

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
