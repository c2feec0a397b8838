//! The conversation as the client tells it.
//!
//! A client sends its whole history with every request. Compared with what it sent before, only new messages become
//! events; a message keeps its identity when it is sent again, also after the client rewrote what stands around it.

use std::collections::{HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::event::digest::Digest;

mod compact;

/// Dropped messages whose identities are remembered, the oldest forgotten first: agents branch, and come back. 32 bytes each
/// when they are saved.
const MAX_GONE: usize = 4096;

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
    digest: Digest,
    id: u64,
}

/// The known messages of a session.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Conversation {
    #[serde(with = "compact")]
    known: Vec<Known>,
    /// Messages that the client dropped may come back.
    #[serde(default, with = "compact")]
    gone: Vec<Known>,
    next_id: u64,
}

impl Conversation {
    /// What a request tells, and the conversation with it. Until that is taken in, the request's messages count as not
    /// told: those of a request that was blocked are told again, and so judged again, when the client repeats them.
    pub fn draft(&mut self, digests: &[Digest]) -> (Told, Conversation) {
        let mut draft = self.clone();
        let told = draft.tell(digests);
        // An identity is given once, whatever becomes of the draft.
        self.next_id = draft.next_id;
        (told, draft)
    }

    /// The same of a request that bears only what follows on what its server keeps: all of it is new.
    pub fn draft_more(&mut self, digests: &[Digest]) -> (Told, Conversation) {
        let mut draft = self.clone();
        let ids = digests.iter().map(|digest| draft.answered(*digest));
        let told = Told {
            ids: ids.collect(),
            new: (0..digests.len()).collect(),
            rewritten: None,
        };
        self.next_id = draft.next_id;
        (told, draft)
    }

    /// Goes on from a draft. Of two that run at once the later one counts: what only the other one knew is told again.
    pub fn take_in(&mut self, draft: Conversation) {
        let next_id = self.next_id.max(draft.next_id);
        *self = Conversation { next_id, ..draft };
    }

    /// Takes in the messages of a request, each as the dialect's digest of what it means.
    pub fn tell(&mut self, digests: &[Digest]) -> Told {
        let same = self
            .known
            .iter()
            .zip(digests)
            .take_while(|(known, digest)| known.digest == **digest)
            .count();
        let rewritten = (same < self.known.len()).then_some((same as u32, self.known.len() as u32));
        let left = self.known.split_off(same);
        let mut told = Told {
            ids: self.known.iter().map(|known| known.id).collect(),
            new: Vec::new(),
            rewritten,
        };
        let mut left_at = Left::of(&left);
        let mut back = Back::of(&self.gone, rewritten.is_some());
        for (index, digest) in digests.iter().enumerate().skip(same) {
            let id = if let Some(id) = left_at.take(digest) {
                id
            } else if let Some(id) = back.take(digest) {
                id
            } else {
                told.new.push(index);
                self.fresh_id()
            };
            told.ids.push(id);
            self.known.push(Known {
                digest: *digest,
                id,
            });
        }
        let there: HashSet<u64> = told.ids.iter().copied().collect();
        self.gone.retain(|known| !there.contains(&known.id));
        let dropped = left.iter().filter(|known| !there.contains(&known.id));
        self.gone.extend(dropped);
        let over = self.gone.len().saturating_sub(MAX_GONE);
        self.gone.drain(..over);
        told
    }

    /// The model made a turn, which the client will send back as a message with this digest.
    pub fn answered(&mut self, digest: Digest) -> u64 {
        let id = self.fresh_id();
        self.known.push(Known { digest, id });
        id
    }

    /// An identity for a message that the client does not have.
    pub fn identify(&mut self) -> u64 {
        self.fresh_id()
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

/// Where the messages that follow the first difference stood, by content: each is found again behind the one found last, in
/// one look-up, since a client may rewrite a history of any length with each request.
struct Left {
    places: HashMap<Digest, VecDeque<(usize, u64)>>,
    from: usize,
}

impl Left {
    fn of(left: &[Known]) -> Self {
        let mut places: HashMap<Digest, VecDeque<(usize, u64)>> = HashMap::new();
        for (at, known) in left.iter().enumerate() {
            places
                .entry(known.digest)
                .or_default()
                .push_back((at, known.id));
        }
        Self { places, from: 0 }
    }

    fn take(&mut self, digest: &Digest) -> Option<u64> {
        let places = self.places.get_mut(digest)?;
        while let Some((at, id)) = places.pop_front() {
            if at >= self.from {
                self.from = at + 1;
                return Some(id);
            }
        }
        None
    }
}

/// Messages that may come back, by content. The same words may have been said twice: they come back in their order.
struct Back(HashMap<Digest, VecDeque<u64>>);

impl Back {
    /// Only a client that rewrote its history brings messages back: else the same words are said again.
    fn of(gone: &[Known], rewritten: bool) -> Self {
        let mut back: HashMap<Digest, VecDeque<u64>> = HashMap::new();
        for known in gone.iter().filter(|_| rewritten) {
            back.entry(known.digest).or_default().push_back(known.id);
        }
        Self(back)
    }

    fn take(&mut self, digest: &Digest) -> Option<u64> {
        self.0.get_mut(digest)?.pop_front()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::event::digest::roll;

    fn d(n: u8) -> Digest {
        [n; 16]
    }

    #[test]
    fn only_new_messages_are_told() {
        let mut c = Conversation::default();
        assert_eq!(
            c.tell(&[d(10), d(20)]),
            Told {
                ids: vec![1, 2],
                new: vec![0, 1],
                rewritten: None
            }
        );
        c.answered(d(30));
        assert_eq!(
            c.tell(&[d(10), d(20), d(30), d(40)]),
            Told {
                ids: vec![1, 2, 3, 4],
                new: vec![3],
                rewritten: None
            }
        );
    }

    #[test]
    fn the_same_words_said_again_are_a_new_message() {
        let mut c = Conversation::default();
        c.tell(&[d(10)]);
        c.answered(d(20));
        assert_eq!(
            c.tell(&[d(10), d(20), d(10)]),
            Told {
                ids: vec![1, 2, 3],
                new: vec![2],
                rewritten: None
            }
        );
    }

    #[test]
    fn a_request_sent_again_tells_nothing() {
        let mut c = Conversation::default();
        c.tell(&[d(10), d(20)]);
        assert_eq!(
            c.tell(&[d(10), d(20)]),
            Told {
                ids: vec![1, 2],
                new: vec![],
                rewritten: None
            }
        );
    }

    #[test]
    fn truncated_history_keeps_identities() {
        let mut c = Conversation::default();
        c.tell(&[d(1), d(10), d(20), d(30)]);
        let told = c.tell(&[d(1), d(20), d(30), d(40)]);
        assert_eq!(
            told,
            Told {
                ids: vec![1, 3, 4, 5],
                new: vec![3],
                rewritten: Some((1, 4))
            }
        );
        let back = c.tell(&[d(1), d(10), d(20), d(30), d(40)]);
        assert_eq!(back.ids, [1, 2, 3, 4, 5]);
        assert_eq!(back.rewritten, Some((1, 4)));
    }

    #[test]
    fn an_edited_message_is_new_and_branches() {
        let mut c = Conversation::default();
        c.tell(&[d(1), d(10)]);
        c.answered(d(20));
        let told = c.tell(&[d(1), d(11)]);
        assert_eq!(
            told,
            Told {
                ids: vec![1, 4],
                new: vec![1],
                rewritten: Some((1, 3))
            }
        );
    }

    #[test]
    fn a_branch_that_comes_back_keeps_its_identities_over_a_restart() {
        let mut c = Conversation::default();
        // The same words twice: they are two messages, also when they come back.
        c.tell(&[d(1), d(10), d(20), d(10), d(30)]);
        assert_eq!(c.tell(&[d(1), d(11)]).ids, [1, 6]);
        let saved = serde_json::to_vec(&c).unwrap();
        let mut c: Conversation = serde_json::from_slice(&saved).unwrap();
        let back = c.tell(&[d(1), d(10), d(20), d(10), d(30), d(40)]);
        assert_eq!(back.ids, [1, 2, 3, 4, 5, 7]);
        assert_eq!(back.new, [5]);
    }

    #[test]
    fn words_that_were_dropped_and_are_said_again_at_the_end_are_new() {
        let mut c = Conversation::default();
        c.tell(&[d(1), d(10)]);
        c.tell(&[d(1)]);
        assert_eq!(c.tell(&[d(1), d(10)]).new, [1]);
        // And the dropped one is still known.
        assert_eq!(c.tell(&[d(10)]).ids, [3]);
    }

    #[test]
    fn dropped_messages_do_not_pile_up() {
        let mut c = Conversation::default();
        for round in 0..3_u16 {
            let told: Vec<Digest> = (0..MAX_GONE as u16 - 1)
                .map(|n| {
                    let mut digest = [round as u8; 16];
                    digest[..2].copy_from_slice(&n.to_le_bytes());
                    digest
                })
                .collect();
            c.tell(&told);
        }
        assert_eq!(c.gone.len(), MAX_GONE);
    }

    #[test]
    fn a_history_of_any_length_is_compared_in_one_pass() {
        // A client that rewrites everything but every tenth message. When each message looked for its like among all that
        // were left, this took seconds, under the session's lock.
        let digest = |n: u32| {
            let mut digest = [0; 16];
            digest[..4].copy_from_slice(&n.to_le_bytes());
            digest
        };
        let told: Vec<Digest> = (0..60_000).map(digest).collect();
        let mut c = Conversation::default();
        c.tell(&told);
        let left: Vec<Known> = c.known.clone();
        let mut left = Left::of(&left);
        let again = |n: u32| {
            if n.is_multiple_of(10) {
                digest(n)
            } else {
                digest(n + 1_000_000)
            }
        };
        let found = (0..60_000)
            .filter(|n| left.take(&again(*n)).is_some())
            .count();
        assert_eq!(found, 6_000);
        // What was passed by is never looked at again.
        assert!(left.take(&digest(10)).is_none() && left.places[&digest(10)].is_empty());
        let rewritten: Vec<Digest> = (0..60_000).map(again).collect();
        let back = c.tell(&rewritten);
        assert_eq!(back.new.len(), 54_000);
        assert_eq!(back.ids[10], 11);
    }

    #[test]
    fn the_rolling_hash_depends_on_order() {
        assert_ne!(roll(roll(d(0), d(1)), d(2)), roll(roll(d(0), d(2)), d(1)));
        assert_ne!(roll(roll(d(0), d(1)), d(1)), roll(d(0), d(1)));
    }
}
