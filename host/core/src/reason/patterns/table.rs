//! One deterministic automaton for many patterns, with the answers that a stream needs read off each state.
//!
//! A DFA of `regex-automata` reports a match one byte late, since `$` and `\b` depend on the next byte. A stream cannot wait
//! for a byte that may never come, so for each state we work out in advance which patterns match whatever follows
//! (`now`), which match only under some next byte (`open`), and which can still match at all (`live`).

use std::collections::HashMap;

use regex_automata::dfa::Automaton;
use regex_automata::dfa::dense;
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::Hir;

/// What precedes a candidate's first byte, as an index of [`Table::start`]: a byte, or the beginning of the text.
pub(super) const BEGINNING: u16 = 256;

#[derive(Debug)]
pub(super) enum BuildError {
    TooBig,
    Other(String),
}

/// An anchored automaton: each start is followed by itself.
#[derive(Debug)]
pub(super) struct Table {
    /// Equivalence class of each byte.
    class: [u8; 256],
    classes: usize,
    /// By state and class.
    next: Vec<State>,
    /// First state, by the byte before it (see [`BEGINNING`]).
    start: Vec<State>,
    answers: Vec<Answers>,
    /// Sets of patterns, as sorted numbers of [`super::PatternSet::specs`]. The first is the empty one.
    sets: Vec<Box<[u32]>>,
}

/// Patterns by what they do in a state that was reached by the byte before position `p`. Numbers of [`Table::sets`].
#[derive(Debug, Clone, Copy)]
struct Answers {
    /// Matched up to `p - 1`; known with the byte that led here.
    was: u32,
    /// Matched up to `p`, whatever follows.
    now: u32,
    /// May have matched up to `p`; the next byte decides.
    open: u32,
    /// Open, or able to match further on.
    live: u32,
    /// Matched up to `p` if the text ends here.
    end: u32,
}

/// A state's number, and in the low bits which of its answers are not empty: nearly always none is, and then the
/// transition itself is all that a byte costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct State(u32);

impl State {
    pub(super) const WAS: u32 = 1;
    pub(super) const NOW: u32 = 2;
    pub(super) const OPEN: u32 = 4;
    pub(super) const LIVE: u32 = 8;
    const FLAGS: u32 = 4;

    fn numbered(number: u32) -> Self {
        Self(number << Self::FLAGS)
    }

    fn number(self) -> usize {
        (self.0 >> Self::FLAGS) as usize
    }

    /// Whether one of these answers has a pattern in it.
    #[inline]
    pub(super) fn has(self, answers: u32) -> bool {
        self.0 & answers != 0
    }
}

impl Table {
    /// Builds an automaton of those of `hirs` that `numbers` names.
    pub(super) fn build(hirs: &[Hir], numbers: &[u32], limit: usize) -> Result<Self, BuildError> {
        let chosen: Vec<&Hir> = numbers
            .iter()
            .filter_map(|&n| hirs.get(n as usize))
            .collect();
        let nfa = thompson::Compiler::new()
            .configure(
                thompson::Config::new()
                    .which_captures(thompson::WhichCaptures::None)
                    .nfa_size_limit(Some(limit)),
            )
            .build_many_from_hir(&chosen)
            .map_err(|e| match e.size_limit() {
                Some(_) => BuildError::TooBig,
                None => BuildError::Other(e.to_string()),
            })?;
        let dfa = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .match_kind(MatchKind::All)
                    .start_kind(regex_automata::dfa::StartKind::Anchored)
                    .accelerate(false)
                    .dfa_size_limit(Some(limit))
                    .determinize_size_limit(Some(4 * limit)),
            )
            .build_from_nfa(&nfa)
            .map_err(|e| match e.is_size_limit_exceeded() {
                true => BuildError::TooBig,
                false => BuildError::Other(e.to_string()),
            })?;
        Self::from_dfa(&dfa, numbers).map_err(BuildError::Other)
    }

    fn from_dfa(dfa: &dense::DFA<Vec<u32>>, numbers: &[u32]) -> Result<Self, String> {
        let mut walk = Walk::default();
        let mut start = Vec::with_capacity(257);
        for before in (0..=u8::MAX).map(Some).chain([None]) {
            let config = start::Config::new()
                .anchored(Anchored::Yes)
                .look_behind(before);
            let first = dfa.start_state(&config).map_err(|e| e.to_string())?;
            start.push(walk.number(first));
        }

        let byte_classes = dfa.byte_classes();
        let class = std::array::from_fn(|byte| byte_classes.get(byte as u8));
        // In the order of their classes.
        let samples: Vec<u8> = byte_classes
            .representatives(0..=u8::MAX)
            .filter_map(|unit| unit.as_u8())
            .collect();
        let mut next = Vec::new();
        let mut ends = Vec::new();
        let mut done = 0;
        while let Some(&id) = walk.order.get(done) {
            for &byte in &samples {
                next.push(walk.number(dfa.next_state(id, byte)));
            }
            ends.push(dfa.next_eoi_state(id));
            done += 1;
        }

        let width = numbers.len();
        let mut was = Rows::new(done, width);
        let mut end = Rows::new(done, width);
        for (state, (&id, &last)) in walk.order.iter().zip(&ends).enumerate() {
            for (rows, id) in [(&mut was, id), (&mut end, last)] {
                if dfa.is_match_state(id) {
                    for i in 0..dfa.match_len(id) {
                        rows.insert(state, dfa.match_pattern(id, i).as_usize());
                    }
                }
            }
        }
        let mut table = Self {
            class,
            classes: samples.len(),
            next,
            start,
            answers: Vec::new(),
            sets: Vec::new(),
        };
        table.classify(&was, &end, numbers);
        Ok(table)
    }

    /// Works out the sets of every state.
    fn classify(&mut self, was: &Rows, end: &Rows, numbers: &[u32]) {
        let count = was.len();
        let mut now = Rows::new(count, numbers.len());
        let mut at = Rows::new(count, numbers.len());
        let mut successors = Vec::with_capacity(count);
        for (state, row) in self.next.chunks_exact(self.classes).enumerate() {
            let mut targets: Vec<usize> = row.iter().map(|t| t.number()).collect();
            targets.sort_unstable();
            targets.dedup();
            now.or(state, end.row(state));
            at.or(state, end.row(state));
            for &target in &targets {
                now.and(state, was.row(target));
                at.or(state, was.row(target));
            }
            successors.push(targets);
        }

        // What can still match from here: a fixed point, found quickly backwards since states are in breadth-first order.
        let mut reach = at.clone();
        let mut more = Rows::new(count, numbers.len());
        let mut changed = true;
        while changed {
            changed = false;
            for (state, targets) in successors.iter().enumerate().rev() {
                for &target in targets {
                    changed |= more.or(state, reach.row(target));
                }
                reach.or(state, more.row(state));
            }
        }

        let mut sets = Sets::new(numbers);
        for state in 0..count {
            let mut open = at.row(state).to_vec();
            for (word, decided) in open.iter_mut().zip(now.row(state)) {
                *word &= !decided;
            }
            let mut live = open.clone();
            for (word, later) in live.iter_mut().zip(more.row(state)) {
                *word |= later;
            }
            self.answers.push(Answers {
                was: sets.number(was.row(state)),
                now: sets.number(now.row(state)),
                open: sets.number(&open),
                live: sets.number(&live),
                end: sets.number(end.row(state)),
            });
        }
        self.sets = sets.sets;
        for state in self.next.iter_mut().chain(&mut self.start) {
            let answers = self.answers[state.number()];
            let flags = [
                (answers.was, State::WAS),
                (answers.now, State::NOW),
                (answers.open, State::OPEN),
                (answers.live, State::LIVE),
            ];
            for (_, flag) in flags.iter().filter(|(set, _)| *set != 0) {
                state.0 |= flag;
            }
        }
    }

    pub(super) fn memory(&self) -> usize {
        size_of_val(self.next.as_slice())
            + size_of_val(self.answers.as_slice())
            + self
                .sets
                .iter()
                .map(|set| size_of_val(&**set))
                .sum::<usize>()
    }

    #[inline]
    pub(super) fn step(&self, state: State, byte: u8) -> State {
        let class = usize::from(self.class[usize::from(byte)]);
        self.next[state.number() * self.classes + class]
    }

    /// The state of a candidate after its first byte, if it can become a match.
    #[inline]
    pub(super) fn begin(&self, before: u16, byte: u8) -> Option<State> {
        let state = self.step(self.start[usize::from(before)], byte);
        state.has(State::LIVE | State::NOW).then_some(state)
    }

    pub(super) fn was(&self, state: State) -> &[u32] {
        self.set(self.answers[state.number()].was)
    }

    pub(super) fn now(&self, state: State) -> &[u32] {
        self.set(self.answers[state.number()].now)
    }

    pub(super) fn open(&self, state: State) -> &[u32] {
        self.set(self.answers[state.number()].open)
    }

    pub(super) fn live(&self, state: State) -> &[u32] {
        self.set(self.answers[state.number()].live)
    }

    pub(super) fn end(&self, state: State) -> &[u32] {
        self.set(self.answers[state.number()].end)
    }

    fn set(&self, number: u32) -> &[u32] {
        &self.sets[number as usize]
    }
}

/// Which two bytes can begin a match: one bit each, 8 KiB. While nothing is alive, which is nearly always, the text is only
/// compared with these.
#[derive(Debug)]
pub(super) struct Pairs {
    bits: Box<[u64; 1024]>,
    first: [bool; 256],
}

impl Pairs {
    pub(super) fn of(tables: &[Table]) -> Self {
        let mut pairs = Self {
            bits: Box::new([0; 1024]),
            first: [false; 256],
        };
        for table in tables {
            let mut starts = table.start.clone();
            starts.sort_unstable();
            starts.dedup();
            for start in starts {
                for one in 0..=u8::MAX {
                    let state = table.step(start, one);
                    if !state.has(State::LIVE | State::NOW) {
                        continue;
                    }
                    pairs.first[usize::from(one)] = true;
                    for two in 0..=u8::MAX {
                        let after = table.step(state, two);
                        // A match of one byte `was`, if it depends on the second and if not.
                        if after.has(State::WAS | State::NOW | State::LIVE) {
                            let (word, bit) = Self::place(one, two);
                            pairs.bits[word] |= bit;
                        }
                    }
                }
            }
        }
        pairs
    }

    #[inline]
    fn place(one: u8, two: u8) -> (usize, u64) {
        let pair = usize::from(one) << 8 | usize::from(two);
        (pair >> 6, 1 << (pair & 63))
    }

    /// Whether a match can begin with `one`, which is followed by `two` if that has arrived.
    #[inline]
    pub(super) fn can_begin(&self, one: u8, two: Option<u8>) -> bool {
        match two {
            Some(two) => {
                let (word, bit) = Self::place(one, two);
                self.bits[word] & bit != 0
            }
            None => self.first[usize::from(one)],
        }
    }

    /// How many bytes at the front of `text` cannot begin a match.
    #[inline]
    pub(super) fn idle(&self, text: &[u8]) -> usize {
        let pair = text
            .windows(2)
            .position(|pair| self.can_begin(pair[0], Some(pair[1])));
        match (pair, text.last()) {
            (Some(at), _) => at,
            (None, Some(&last)) if self.can_begin(last, None) => text.len() - 1,
            (None, _) => text.len(),
        }
    }
}

/// States of a DFA in the order in which they are reached.
#[derive(Default)]
struct Walk {
    order: Vec<StateID>,
    numbers: HashMap<StateID, State>,
}

impl Walk {
    fn number(&mut self, id: StateID) -> State {
        let fresh = State::numbered(self.order.len() as u32);
        *self.numbers.entry(id).or_insert_with(|| {
            self.order.push(id);
            fresh
        })
    }
}

/// A set of patterns per state, as bits.
#[derive(Clone)]
struct Rows {
    words: usize,
    bits: Vec<u64>,
}

impl Rows {
    fn new(states: usize, patterns: usize) -> Self {
        let words = patterns.div_ceil(64);
        Self {
            words,
            bits: vec![0; states * words],
        }
    }

    fn len(&self) -> usize {
        self.bits.len() / self.words
    }

    fn row(&self, state: usize) -> &[u64] {
        &self.bits[state * self.words..][..self.words]
    }

    fn insert(&mut self, state: usize, pattern: usize) {
        self.bits[state * self.words + pattern / 64] |= 1 << (pattern % 64);
    }

    /// Adds `other`; whether that changed anything.
    fn or(&mut self, state: usize, other: &[u64]) -> bool {
        let mut changed = false;
        for (word, other) in self.bits[state * self.words..].iter_mut().zip(other) {
            changed |= *other & !*word != 0;
            *word |= other;
        }
        changed
    }

    fn and(&mut self, state: usize, other: &[u64]) {
        for (word, other) in self.bits[state * self.words..].iter_mut().zip(other) {
            *word &= other;
        }
    }
}

/// Keeps equal sets once: thousands of states share a few.
struct Sets<'a> {
    numbers: &'a [u32],
    sets: Vec<Box<[u32]>>,
    known: HashMap<Vec<u64>, u32>,
}

impl<'a> Sets<'a> {
    fn new(numbers: &'a [u32]) -> Self {
        Self {
            numbers,
            sets: vec![Box::default()],
            known: HashMap::new(),
        }
    }

    fn number(&mut self, row: &[u64]) -> u32 {
        if row.iter().all(|&word| word == 0) {
            return 0;
        }
        if let Some(&known) = self.known.get(row) {
            return known;
        }
        let members = self
            .numbers
            .iter()
            .enumerate()
            .filter(|(i, _)| row[i / 64] & (1 << (i % 64)) != 0)
            .map(|(_, &number)| number);
        let fresh = self.sets.len() as u32;
        self.sets.push(members.collect());
        self.known.insert(row.to_vec(), fresh);
        fresh
    }
}
