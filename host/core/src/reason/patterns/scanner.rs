//! Follows the patterns of a set through the text of one place.
//!
//! Starts from which something can still match are *alive*. Those in the same state share one [`Group`], so that a text
//! full of starts (`[a-z]+@` in a long word) costs few steps a byte. What matched goes to the [`Lane`] of its pattern, which
//! decides when a match is certain to be the leftmost and final.

use std::collections::VecDeque;
use std::sync::Arc;

use super::table::{BEGINNING, State, Table};
use super::{MAX_MATCH, Match, PatternSet};

/// The state of the search in one place (channel, choice, block) of one generation. Offsets are UTF-8 bytes from the first
/// byte fed; past 4 GiB they stay at the largest number.
#[derive(Debug)]
pub struct Scanner {
    set: Arc<PatternSet>,
    /// Bytes fed.
    at: u64,
    /// The last of them.
    before: u16,
    alive: Alive,
    lanes: Vec<Lane>,
    safe: u64,
}

impl Scanner {
    /// Begins at the front of a text.
    #[must_use]
    pub fn new(set: Arc<PatternSet>) -> Self {
        Self {
            set,
            at: 0,
            before: BEGINNING,
            alive: Alive::default(),
            lanes: Vec::new(),
            safe: 0,
        }
    }

    /// Reads on, and adds to `found` the matches that became final.
    pub fn feed(&mut self, text: &str, found: &mut Vec<Match>) {
        let set = Arc::clone(&self.set);
        let bytes = text.as_bytes();
        let mut i = 0;
        while let Some(rest) = bytes.get(i..).filter(|rest| !rest.is_empty()) {
            if self.alive.groups.is_empty() {
                let idle = set.pairs.idle(rest);
                if idle > 0 {
                    i += idle;
                    self.at += idle as u64;
                    self.before = u16::from(rest[idle - 1]);
                    continue;
                }
            }
            let begins = set.pairs.can_begin(rest[0], rest.get(1).copied());
            self.step(&set, rest[0], begins, found);
            i += 1;
        }
        self.safe = self.oldest();
    }

    /// The text ends here: what waited for more is decided. Nothing may be fed afterwards.
    pub fn finish(&mut self, found: &mut Vec<Match>) {
        let set = Arc::clone(&self.set);
        for group in &self.alive.groups {
            for &pattern in group.table(&set).end(group.state) {
                lane(&mut self.lanes, pattern).note(&group.starts, self.at);
            }
        }
        self.alive.groups.clear();
        self.settle(&set, found);
        self.safe = self.at;
    }

    /// Nothing before this offset can belong to a match that is not yet reported, of a pattern that holds. Never moves
    /// backwards, and always lies between two characters.
    #[must_use]
    pub fn safe(&self) -> u32 {
        clamp(self.safe)
    }

    fn step(&mut self, set: &PatternSet, byte: u8, begins: bool, found: &mut Vec<Match>) {
        let here = self.at + 1;
        let mut was = false;
        for group in &mut self.alive.groups {
            group.state = group.table(set).step(group.state, byte);
            was |= group.state.has(State::WAS);
        }
        if was {
            for group in &self.alive.groups {
                for &pattern in group.table(set).was(group.state) {
                    lane(&mut self.lanes, pattern).note(&group.starts, self.at);
                }
            }
        }
        self.alive.expire(here);
        if begins {
            for (number, table) in set.tables.iter().enumerate() {
                if let Some(state) = table.begin(self.before, byte) {
                    self.alive.add(number, state, self.at);
                }
            }
        }
        self.alive.merge();
        for group in &self.alive.groups {
            if group.state.has(State::NOW) {
                for &pattern in group.table(set).now(group.state) {
                    lane(&mut self.lanes, pattern).note(&group.starts, here);
                }
            }
        }
        self.alive.prune(here);
        self.at = here;
        self.before = u16::from(byte);
        if !self.lanes.is_empty() {
            self.settle(set, found);
        }
    }

    /// Reports what became final.
    fn settle(&mut self, set: &PatternSet, found: &mut Vec<Match>) {
        for lane in &mut self.lanes {
            while let Some((start, end)) = lane.settle(set, &self.alive, self.at) {
                if let Some(spec) = set.specs.get(lane.pattern as usize) {
                    found.push(Match {
                        owner: spec.owner,
                        index: spec.index,
                        offset: clamp(start),
                        len: clamp(end - start),
                    });
                }
            }
        }
        if self.alive.groups.is_empty() {
            self.lanes.clear();
        }
    }

    /// The first start that is alive for a pattern that holds.
    fn oldest(&self) -> u64 {
        let mut oldest = self.at;
        for group in &self.alive.groups {
            for &pattern in group.table(&self.set).live(group.state) {
                if group.starts.front().is_none_or(|&start| start >= oldest) {
                    break;
                }
                let holds = self
                    .set
                    .specs
                    .get(pattern as usize)
                    .is_some_and(|s| s.holds);
                if !holds {
                    continue;
                }
                let known = self.lanes.iter().find(|lane| lane.pattern == pattern);
                let from = known.map_or(0, |lane| lane.from);
                let leading = known.and_then(|lane| lane.leading).map(|(start, _)| start);
                let leading =
                    leading.filter(|&start| group.is_alive(&self.set, pattern, start, self.at));
                let first = leading.or_else(|| group.first(&self.set, pattern, from, self.at));
                oldest = first.map_or(oldest, |start| start.min(oldest));
            }
        }
        oldest
    }
}

fn clamp(offset: u64) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

fn length(start: u64, here: u64) -> usize {
    (here - start) as usize
}

/// Starts that may become matches.
#[derive(Debug, Default)]
struct Alive {
    groups: Vec<Group>,
    /// No start is older; a bound that spares a look at each of them at each byte.
    oldest: u64,
    /// Merge when there are more groups than this.
    merge_above: usize,
    /// Emptied lists, kept so that a start costs no allocation.
    spare: Vec<VecDeque<u64>>,
}

impl Alive {
    /// Adds the newest start; usually to a group that is there.
    fn add(&mut self, table: usize, state: State, start: u64) {
        const LOOKED_AT: usize = 4;
        if self.groups.is_empty() {
            self.oldest = start;
        }
        let mut near = self.groups.iter_mut().rev().take(LOOKED_AT);
        if let Some(group) = near.find(|g| (g.table, g.state) == (table, state)) {
            group.starts.push_back(start);
            return;
        }
        let mut starts = self.spare.pop().unwrap_or_default();
        starts.push_back(start);
        self.groups.push(Group {
            table,
            state,
            starts,
        });
    }

    /// Brings starts that came to the same state together. Needed for speed only, so it waits until the groups have doubled:
    /// a pattern with a long counted repetition has a thousand, all different, and sorting them at each byte would cost
    /// ten times the search.
    fn merge(&mut self) {
        const FEW: usize = 4;
        if self.groups.len() <= self.merge_above.max(FEW) {
            return;
        }
        self.groups.sort_unstable_by_key(|g| (g.table, g.state));
        let spare = &mut self.spare;
        self.groups.dedup_by(|from, into| {
            let same = (from.table, from.state) == (into.table, into.state);
            if same {
                into.starts.append(&mut from.starts);
                into.starts.make_contiguous().sort_unstable();
                recycle(spare, std::mem::take(&mut from.starts));
            }
            same
        });
        self.merge_above = 2 * self.groups.len();
    }

    /// Gives up starts whose match would be too long.
    fn expire(&mut self, here: u64) {
        if length(self.oldest, here) <= MAX_MATCH {
            return;
        }
        let mut oldest = here;
        for group in &mut self.groups {
            let old = |&start: &u64| length(start, here) > MAX_MATCH;
            while group.starts.front().is_some_and(old) {
                group.starts.pop_front();
            }
            oldest = group.starts.front().map_or(oldest, |&s| s.min(oldest));
        }
        self.oldest = oldest;
    }

    /// Drops what can match no more.
    fn prune(&mut self, here: u64) {
        // At its full length a candidate may only wait for the byte that decides it.
        let full = length(self.oldest, here) == MAX_MATCH;
        let is_full = |&start: &u64| length(start, here) == MAX_MATCH;
        let spare = &mut self.spare;
        self.groups.retain_mut(|group| {
            if full && !group.state.has(State::OPEN) && group.starts.front().is_some_and(is_full) {
                group.starts.pop_front();
            }
            let keep = group.state.has(State::LIVE) && !group.starts.is_empty();
            if !keep {
                recycle(spare, std::mem::take(&mut group.starts));
            }
            keep
        });
    }
}

fn recycle(spare: &mut Vec<VecDeque<u64>>, mut starts: VecDeque<u64>) {
    const KEPT: usize = 8;
    const LONG: usize = 64;
    if spare.len() < KEPT && starts.capacity() <= LONG {
        starts.clear();
        spare.push(starts);
    }
}

/// Starts in the same state of the same table, oldest first. Several groups may be in one state for a while.
#[derive(Debug)]
struct Group {
    table: usize,
    state: State,
    starts: VecDeque<u64>,
}

impl Group {
    #[inline]
    fn table<'a>(&self, set: &'a PatternSet) -> &'a Table {
        &set.tables[self.table]
    }

    /// Whether `pattern` can still match from `start`, which is one of this group's.
    fn can_match(&self, set: &PatternSet, pattern: u32, start: u64, here: u64) -> bool {
        let table = self.table(set);
        let able = match length(start, here) < MAX_MATCH {
            true => table.live(self.state),
            false => table.open(self.state),
        };
        able.binary_search(&pattern).is_ok()
    }

    fn is_alive(&self, set: &PatternSet, pattern: u32, start: u64, here: u64) -> bool {
        self.starts.binary_search(&start).is_ok() && self.can_match(set, pattern, start, here)
    }

    /// The first start at or after `from` from which `pattern` can still match.
    fn first(&self, set: &PatternSet, pattern: u32, from: u64, here: u64) -> Option<u64> {
        if self
            .table(set)
            .live(self.state)
            .binary_search(&pattern)
            .is_err()
        {
            return None;
        }
        let skip = self.starts.partition_point(|&start| start < from);
        let mut later = self.starts.range(skip..);
        later
            .find(|&&start| self.can_match(set, pattern, start, here))
            .copied()
    }
}

/// What one pattern matched and did not report yet. Exists only from its first match until nothing is alive.
#[derive(Debug)]
struct Lane {
    pattern: u32,
    /// The match that comes next for certain; it may still grow. Start and end.
    leading: Option<(u64, u64)>,
    /// Starts before this are inside of a match.
    from: u64,
    /// Matches that an earlier start, still alive, may yet swallow. By start, with the longest end so far.
    waiting: Vec<(u64, u64)>,
}

fn lane(lanes: &mut Vec<Lane>, pattern: u32) -> &mut Lane {
    let known = lanes.iter().position(|lane| lane.pattern == pattern);
    let at = known.unwrap_or_else(|| {
        lanes.push(Lane {
            pattern,
            leading: None,
            from: 0,
            waiting: Vec::new(),
        });
        lanes.len() - 1
    });
    &mut lanes[at]
}

impl Lane {
    /// The pattern matched from each of `starts` to `end`.
    fn note(&mut self, starts: &VecDeque<u64>, end: u64) {
        for &start in starts {
            if let Some(leading) = self.leading.filter(|leading| leading.0 == start) {
                self.lead((leading.0, end));
            } else if start >= self.from {
                match self.waiting.binary_search_by_key(&start, |found| found.0) {
                    Ok(at) => self.waiting[at].1 = end,
                    Err(at) => self.waiting.insert(at, (start, end)),
                }
            }
        }
    }

    fn lead(&mut self, leading: (u64, u64)) {
        self.leading = Some(leading);
        self.from = leading.1;
        self.waiting.retain(|found| found.0 >= leading.1);
    }

    /// The next match that nothing can change any more.
    fn settle(&mut self, set: &PatternSet, alive: &Alive, here: u64) -> Option<(u64, u64)> {
        if self.leading.is_none() {
            let &first = self.waiting.first()?;
            let mut groups = alive.groups.iter();
            let before = |start: u64| start < first.0;
            if groups.any(|g| {
                g.first(set, self.pattern, self.from, here)
                    .is_some_and(before)
            }) {
                return None;
            }
            self.lead(first);
        }
        let (start, _) = self.leading?;
        let mut groups = alive.groups.iter();
        if groups.any(|g| g.is_alive(set, self.pattern, start, here)) {
            return None;
        }
        self.leading.take()
    }
}
