//! The known messages as one short text: a conversation is saved after each exchange, and may have thousands.
//!
//! 24 bytes a message (digest, then identity), in base64: 32 characters, where a list of numbers takes some 80.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serializer};

use crate::event::digest::Digest;
use crate::session::conversation::Known;

/// Bytes of one message.
const LEN: usize = size_of::<Digest>() + size_of::<u64>();

pub(super) fn serialize<S: Serializer>(known: &[Known], to: S) -> Result<S::Ok, S::Error> {
    let mut bytes = Vec::with_capacity(known.len() * LEN);
    for known in known {
        bytes.extend_from_slice(&known.digest);
        bytes.extend_from_slice(&known.id.to_le_bytes());
    }
    to.serialize_str(&BASE64.encode(bytes))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Known>, D::Error> {
    let text = String::deserialize(from)?;
    let bytes = BASE64.decode(text).map_err(D::Error::custom)?;
    if bytes.len() % LEN != 0 {
        return Err(D::Error::custom("the known messages are cut off"));
    }
    let read = |chunk: &[u8]| {
        let (digest, id) = chunk.split_first_chunk()?;
        Some(Known {
            digest: *digest,
            id: u64::from_le_bytes(id.try_into().ok()?),
        })
    };
    Ok(bytes.chunks_exact(LEN).filter_map(read).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Conversation;

    #[test]
    fn a_conversation_survives_and_stays_short() {
        let mut conversation = Conversation::default();
        let digests: Vec<[u8; 16]> = (0..100).map(|n| [n; 16]).collect();
        conversation.tell(&digests);
        let saved = serde_json::to_string(&conversation).unwrap();
        assert!(saved.len() < 100 * 32 + 100, "{} bytes", saved.len());
        let read: Conversation = serde_json::from_str(&saved).unwrap();
        assert_eq!(read.known, conversation.known);
        assert_eq!(read.next_id, conversation.next_id);
        let cut = saved.replacen("AAAA", "", 1);
        assert!(serde_json::from_str::<Conversation>(&cut).is_err());
    }
}
