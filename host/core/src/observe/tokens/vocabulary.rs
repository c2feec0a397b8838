//! The second half of a tokeniser: a piece into tokens, by byte pair encoding.
//!
//! The tokens are those of `tiktoken-rs`, whose own form takes some 50 MB an encoding, for it can also decode and keeps 128
//! copies of its expression, which may backtrack and then panics. Counting needs only "is this a token, and which": all
//! tokens in one string and a table of numbers.

use tiktoken_rs::Rank;

use super::slot;

/// Longest token of any encoding has 128 bytes (a run of blanks).
const LONGEST: usize = 128;

/// The tokens of one encoding. A token's number is also its rank: pairs of low rank are joined first.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// All tokens, one after the other.
    pub(super) bytes: &'static [u8],
    /// Where each token ends, as numbers of 32 bits.
    pub(super) ends: &'static [u8],
    /// Open addressing: number of a token plus one, or 0. A power of two of them.
    pub(super) slots: &'static [u8],
}

impl Vocabulary {
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
        if bytes.len() > LONGEST {
            return None;
        }
        let slots = self.slots.len() / size_of::<u32>();
        let mut slot = slot::first(bytes, slots);
        loop {
            let number = word(self.slots, slot).checked_sub(1)?;
            if self.token(number) == bytes {
                return Some(number);
            }
            slot = (slot + 1) & (slots - 1);
        }
    }

    fn token(&self, number: Rank) -> &[u8] {
        let number = number as usize;
        let start = number
            .checked_sub(1)
            .map_or(0, |before| word(self.ends, before));
        self.bytes
            .get(start as usize..word(self.ends, number) as usize)
            .unwrap_or_default()
    }
}

/// The number of 32 bits at an index; 0 beyond the end.
fn word(words: &[u8], index: usize) -> u32 {
    let (words, _) = words.as_chunks();
    words.get(index).copied().map_or(0, u32::from_le_bytes)
}
