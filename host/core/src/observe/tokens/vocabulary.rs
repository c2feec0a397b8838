//! The second half of a tokeniser: a piece into tokens, by byte pair encoding.
//!
//! The tokens are read out of `tiktoken-rs` once. Its own form takes some 50 MB an encoding, for it can also decode and keeps
//! 128 copies of its expression, which may backtrack and then panics. Counting needs only "is this a token, and which":
//! all tokens in one string and a table of numbers, 5 MB.

use tiktoken_rs::{CoreBPE, Rank};

/// The tokens of one encoding. A token's number is also its rank: pairs of low rank are joined first.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// All tokens, one after the other.
    bytes: Vec<u8>,
    /// Where each token ends.
    ends: Vec<u32>,
    /// Open addressing: number of a token plus one, or 0. A power of two of them.
    slots: Vec<u32>,
    longest: usize,
}

impl Vocabulary {
    pub(super) fn of(bpe: &CoreBPE) -> Self {
        let mut vocabulary = Self {
            bytes: Vec::new(),
            ends: Vec::new(),
            slots: Vec::new(),
            longest: 0,
        };
        let mut rank: Rank = 0;
        // Ranks have no gaps; special tokens come after one.
        while let Ok(token) = bpe.decode_bytes(&[rank]) {
            vocabulary.bytes.extend_from_slice(&token);
            vocabulary.ends.push(vocabulary.bytes.len() as u32);
            vocabulary.longest = vocabulary.longest.max(token.len());
            rank += 1;
        }
        // At most half full, so that a look-up ends soon.
        vocabulary.slots = vec![0; (2 * vocabulary.ends.len()).next_power_of_two()];
        for number in 0..rank {
            let mut slot = vocabulary.first_slot(vocabulary.token(number));
            while vocabulary.slots[slot] != 0 {
                slot = (slot + 1) & (vocabulary.slots.len() - 1);
            }
            vocabulary.slots[slot] = number + 1;
        }
        vocabulary
    }

    /// Tokens in a piece. Time grows with the square of its length.
    pub(super) fn count(&self, piece: &[u8]) -> u32 {
        if piece.is_empty() {
            return 0;
        }
        if self.rank(piece).is_some() {
            return 1;
        }
        // Parts of the piece by their borders, and the rank of each two neighbours' join.
        let mut borders: Vec<usize> = (0..=piece.len()).collect();
        let join = |borders: &[usize], at: usize| match borders.get(at..at + 3) {
            Some(&[start, _, end]) => self.rank(&piece[start..end]).unwrap_or(Rank::MAX),
            _ => Rank::MAX,
        };
        let mut joins: Vec<Rank> = (0..piece.len()).map(|at| join(&borders, at)).collect();
        while let Some((at, &rank)) = joins.iter().enumerate().min_by_key(|&(_, rank)| rank) {
            if rank == Rank::MAX {
                break;
            }
            borders.remove(at + 1);
            joins.remove(at + 1);
            joins[at] = join(&borders, at);
            if let Some(before) = at.checked_sub(1) {
                joins[before] = join(&borders, before);
            }
        }
        joins.len() as u32
    }

    fn rank(&self, bytes: &[u8]) -> Option<Rank> {
        if bytes.len() > self.longest {
            return None;
        }
        let mut slot = self.first_slot(bytes);
        loop {
            let number = self.slots[slot].checked_sub(1)?;
            if self.token(number) == bytes {
                return Some(number);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    fn token(&self, number: Rank) -> &[u8] {
        let number = number as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..self.ends[number] as usize]
    }

    /// The table never changes, so nobody can fill one place of it on purpose: a cheap hash will do.
    fn first_slot(&self, bytes: &[u8]) -> usize {
        const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut hash = bytes.len() as u64;
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = (hash.rotate_left(29) ^ u64::from_le_bytes(word)).wrapping_mul(MIX);
        }
        (hash >> 32) as usize & (self.slots.len() - 1)
    }
}
