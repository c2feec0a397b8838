//! The first half of a tokeniser: text into pieces, without a look at anything behind a piece's end but what decides it.
//!
//! The expressions and what a DFA cannot say of them are in `build.rs`. What is left is regular: time is linear, and a piece
//! is final when the DFA is dead.

use regex_automata::Anchored;
use regex_automata::dfa::{Automaton, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;

/// Longest piece that is looked at as a whole. Joining the bytes of a piece takes time with the square of its length, and a
/// piece is as long as the model likes (`====…`), so it must be bounded. Words of prose and code are far shorter.
pub const MAX_PIECE: usize = 256;

/// Splits as one encoding does.
#[derive(Debug)]
pub(super) struct Splitter {
    dfa: dense::DFA<&'static [u32]>,
    start: StateID,
    /// Blanks at the end of the text are one piece, line breaks among them or not.
    joins_last_blanks: bool,
}

/// How far the piece at the front of a text was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    state: StateID,
    read: usize,
    /// End of the piece, if nothing longer follows.
    end: usize,
}

impl Splitter {
    /// The splitter whose automaton the build wrote; `None` if it is broken.
    pub(super) fn of(dfa: &'static [u8], joins_last_blanks: bool) -> Option<Self> {
        let broken = |error: &dyn std::fmt::Display| {
            tracing::error!("tokens are counted as bytes / 4: {error}");
        };
        let (dfa, _) = dense::DFA::from_bytes(dfa)
            .inspect_err(|error| broken(error))
            .ok()?;
        let anchored = start::Config::new().anchored(Anchored::Yes);
        let start = dfa
            .start_state(&anchored)
            .inspect_err(|error| broken(error))
            .ok()?;
        Some(Self {
            dfa,
            start,
            joins_last_blanks,
        })
    }

    /// A piece of which nothing was read.
    pub(super) fn begin(&self) -> Run {
        Run {
            state: self.start,
            read: 0,
            end: 0,
        }
    }

    /// The length of the piece at the front of `text`, if what follows cannot change it, and `run` begins anew behind it.
    /// Otherwise `run` has read all of `text`, and reads on when there is more.
    pub(super) fn piece(&self, run: &mut Run, text: &str) -> Option<usize> {
        while let Some(&byte) = text.as_bytes().get(run.read) {
            if run.read == MAX_PIECE {
                *run = self.begin();
                return Some(text.floor_char_boundary(MAX_PIECE));
            }
            run.state = self.dfa.next_state(run.state, byte);
            if self.dfa.is_match_state(run.state) {
                run.end = run.read;
            } else if self.dfa.is_dead_state(run.state) {
                let (piece, _) = text.split_at(run.end);
                *run = self.begin();
                return Some(without_last_blank(piece).len());
            }
            run.read += 1;
        }
        None
    }

    /// The length of the piece at the front of `text`, which ends the whole text.
    pub(super) fn piece_at_end(&self, text: &str) -> usize {
        if self.joins_last_blanks && text.chars().all(char::is_whitespace) {
            return text.len();
        }
        let mut run = self.begin();
        if let Some(len) = self.piece(&mut run, text) {
            return len;
        }
        match self.dfa.is_match_state(self.dfa.next_eoi_state(run.state)) {
            true => text.len(),
            // The DFA tells a match with the byte after it, so a piece may have ended before the last byte.
            false => without_last_blank(&text[..run.end]).len(),
        }
    }
}

/// Only pieces from `\s+` end in a blank that is no line break.
fn without_last_blank(piece: &str) -> &str {
    let mut chars = piece.chars();
    match chars.next_back() {
        Some(last) if last.is_whitespace() && !matches!(last, '\r' | '\n') => {
            match chars.as_str() {
                "" => piece,
                rest => rest,
            }
        }
        _ => piece,
    }
}
