//! The conversation as the client tells it.
//!
//! A client sends its whole history with every request. Compared with what it sent before, only new messages become
//! events; a message keeps its identity when it is sent again, also after the client rewrote what stands around it.

use std::collections::HashMap;

/// What a request says that the session did not know.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// Identity of each message of the request, in order.
    pub ids: Vec<u64>,
    /// Indexes of the messages that are new.
    pub new: Vec<usize>,
    /// Index of the first message that differs from before, and how many were known, if the client rewrote its history.
    pub rewritten: Option<(u32, u32)>,
}

/// A message that was told: what it says, and its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    hash: u64,
    id: u64,
}

/// The known messages of a session.
#[derive(Debug, Default)]
pub struct Conversation {
    known: Vec<Known>,
    /// Messages that the client dropped may come back: their identities by content.
    gone: HashMap<u64, u64>,
    next_id: u64,
}

impl Conversation {
    /// Takes in the messages of a request, each as the dialect's canonical hash of what it says.
    pub fn tell(&mut self, hashes: &[u64]) -> Told {
        let same = self.known.iter().zip(hashes).take_while(|(known, hash)| known.hash == **hash).count();
        let rewritten = (same < self.known.len()).then_some((same as u32, self.known.len() as u32));
        let left = self.known.split_off(same);
        let mut told = Told { ids: self.known.iter().map(|known| known.id).collect(), new: Vec::new(), rewritten };
        let mut from = 0;
        for (index, hash) in hashes.iter().enumerate().skip(same) {
            let again = left.iter().skip(from).position(|known| known.hash == *hash);
            let id = if let Some((offset, known)) = again.and_then(|offset| Some((offset, left.get(from + offset)?))) {
                from += offset + 1;
                known.id
            } else if let Some(id) = self.gone.remove(hash).filter(|_| rewritten.is_some()) {
                id
            } else {
                told.new.push(index);
                self.fresh_id()
            };
            told.ids.push(id);
            self.known.push(Known { hash: *hash, id });
        }
        for known in left.iter().filter(|known| !told.ids.contains(&known.id)) {
            self.gone.insert(known.hash, known.id);
        }
        told
    }

    /// The model made a turn, which the client will send back as a message with this hash.
    pub fn answered(&mut self, hash: u64) -> u64 {
        let id = self.fresh_id();
        self.known.push(Known { hash, id });
        id
    }

    /// Messages known now.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether nothing was told yet.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// Continues a rolling hash of a conversation by one message: the prefix hash by which a session is recognised.
pub fn roll(prefix: u64, message: u64) -> u64 {
    // The finaliser of SplitMix64 over both: order matters, and equal messages in different places differ.
    let mut z = prefix.rotate_left(25) ^ message.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_messages_are_told() {
        let mut c = Conversation::default();
        assert_eq!(c.tell(&[10, 20]), Told { ids: vec![1, 2], new: vec![0, 1], rewritten: None });
        c.answered(30);
        assert_eq!(c.tell(&[10, 20, 30, 40]), Told { ids: vec![1, 2, 3, 4], new: vec![3], rewritten: None });
    }

    #[test]
    fn the_same_words_said_again_are_a_new_message() {
        let mut c = Conversation::default();
        c.tell(&[10]);
        c.answered(20);
        assert_eq!(c.tell(&[10, 20, 10]), Told { ids: vec![1, 2, 3], new: vec![2], rewritten: None });
    }

    #[test]
    fn a_request_sent_again_tells_nothing() {
        let mut c = Conversation::default();
        c.tell(&[10, 20]);
        assert_eq!(c.tell(&[10, 20]), Told { ids: vec![1, 2], new: vec![], rewritten: None });
    }

    #[test]
    fn truncated_history_keeps_identities() {
        let mut c = Conversation::default();
        c.tell(&[1, 10, 20, 30]);
        let told = c.tell(&[1, 20, 30, 40]);
        assert_eq!(told, Told { ids: vec![1, 3, 4, 5], new: vec![3], rewritten: Some((1, 4)) });
        let back = c.tell(&[1, 10, 20, 30, 40]);
        assert_eq!(back.ids, [1, 2, 3, 4, 5]);
        assert_eq!(back.rewritten, Some((1, 4)));
    }

    #[test]
    fn an_edited_message_is_new_and_branches() {
        let mut c = Conversation::default();
        c.tell(&[1, 10]);
        c.answered(20);
        let told = c.tell(&[1, 11]);
        assert_eq!(told, Told { ids: vec![1, 4], new: vec![1], rewritten: Some((1, 3)) });
    }

    #[test]
    fn the_rolling_hash_depends_on_order() {
        assert_ne!(roll(roll(0, 1), 2), roll(roll(0, 2), 1));
        assert_ne!(roll(roll(0, 1), 1), roll(0, 1));
    }
}
