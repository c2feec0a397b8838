//! How a conversation is recognised that names no session.
//!
//! After each exchange marks are kept of it: the ids of the tool calls that the client was given; what was said to it, with
//! the message before; and the digest of all messages of the request, with what became of it. A request is held against
//! them in this order, each evidence narrowing what the one before left open.
//!
//! Guarantees: marks are kept by whose they are, so that nobody reaches another principal's session by what he sends. Two
//! conversations that said the same so far are never taken for one: each continuation takes one of them, and when nothing
//! tells which is meant, none is continued. What the client was given decides, whatever the ending: a part, a
//! block's text, nothing.
//! Pure but for its own memory: no clock, no I/O.

use std::sync::Arc;

use crate::event::Micros;
use crate::event::digest::{Digest, DigestMap, roll};
use crate::event::key::SessionKey;
use crate::event::marks::{Given, KEPT_US, Kept, Line, MAX_MARKS, Meaning, Words, mark};

/// Conversations that one mark may mean. What more have in common (`call_0`, a greeting) tells them apart no longer.
const MAX_MEANINGS: usize = 64;

/// Tool calls of a request that are looked up, the newest first.
const MAX_CALLS: usize = 64;

/// A request that looks for its session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence<'a> {
    /// Its messages, in order.
    pub lines: Vec<Line<'a>>,
    /// What only correlates: a cache key, a trace. It decides between sessions that fit equally, never alone.
    pub weak: Option<Digest>,
    /// The client says that it sent the request before.
    pub again: bool,
}

/// All marks.
#[derive(Debug, Default)]
pub struct Recognition {
    marks: DigestMap<Vec<Meaning>>,
    count: usize,
}

impl Recognition {
    /// What was kept on the disk, oldest first.
    pub fn restore(kept: impl IntoIterator<Item = Kept>) -> Self {
        let mut recognition = Self::default();
        for Kept { mark, meaning } in kept {
            recognition.keep(mark, meaning);
        }
        recognition
    }

    /// The session that a request of `owner` goes on with, and the beginning from which it does: nobody else goes on from
    /// there as long as another conversation stands at the same point.
    pub fn find(
        &mut self,
        owner: &str,
        evidence: &Evidence<'_>,
        at: Micros,
    ) -> Option<(Arc<SessionKey>, Vec<Kept>)> {
        let mut narrowed: Vec<Arc<SessionKey>> = Vec::new();
        let mut correlated = Vec::new();
        let lines = &evidence.lines;
        let calls = lines.iter().rev().flat_map(|line| line.calls.iter().rev());
        let evidences = calls
            .take(MAX_CALLS)
            .map(|id| call_mark(owner, id))
            .chain(pair(lines).and_then(|(before, said)| pair_mark(owner, before, said)));
        for mark in evidences {
            let meant = self.meanings(mark);
            if meant.is_empty() {
                continue;
            }
            let same = |m: &&Meaning| evidence.weak.is_some() && m.weak == evidence.weak;
            correlated = meant
                .iter()
                .filter(same)
                .map(|m| Arc::clone(&m.key))
                .collect();
            let meant: Vec<_> = meant.iter().map(|m| Arc::clone(&m.key)).collect();
            let both: Vec<_> = narrowed
                .iter()
                .filter(|k| meant.contains(k))
                .cloned()
                .collect();
            narrowed = if both.is_empty() { meant } else { both };
            if narrowed.len() == 1 {
                break;
            }
        }
        let found = match &narrowed[..] {
            [only] => Arc::clone(only),
            several => match self.by_beginning(owner, evidence, several) {
                Some(found) => found,
                // What several have in common, and no beginning: what correlates may decide.
                None => match &correlated[..] {
                    [only] => Arc::clone(only),
                    _ => return None,
                },
            },
        };
        let touched = self.go_on(owner, lines, &found, at);
        Some((found, touched))
    }

    /// The session that stands at the longest beginning that fits.
    fn by_beginning(
        &self,
        owner: &str,
        evidence: &Evidence<'_>,
        narrowed: &[Arc<SessionKey>],
    ) -> Option<Arc<SessionKey>> {
        let lines = &evidence.lines;
        let digests = lines.iter().map(|line| line.digest);
        for (length, mark) in beginnings(owner, digests).into_iter().enumerate().rev() {
            let next = lines.get(length + 1);
            let fits = |meaning: &&Meaning| -> Option<bool> {
                if !(narrowed.is_empty() || narrowed.contains(&meaning.key)) {
                    return None;
                }
                match next {
                    Some(line) if line.of_model => meaning.given.reads(line),
                    // The client has dropped what it was given, or was given nothing.
                    Some(_) => {
                        (!meaning.given.whole || meaning.given.is_nothing()).then_some(false)
                    }
                    None if evidence.again => Some(false),
                    None => (!meaning.given.whole && !meaning.continued).then_some(false),
                }
            };
            let fitting: Vec<(&Meaning, bool)> = self
                .marks
                .get(&mark)
                .into_iter()
                .flatten()
                .filter_map(|meaning| Some((meaning, fits(&meaning)?)))
                .collect();
            if fitting.is_empty() {
                continue;
            }
            return choose(fitting, evidence);
        }
        None
    }

    /// A request goes on with a session: its earlier beginnings have been continued.
    fn go_on(
        &mut self,
        owner: &str,
        lines: &[Line<'_>],
        key: &Arc<SessionKey>,
        at: Micros,
    ) -> Vec<Kept> {
        let mut touched = Vec::new();
        for mark in beginnings(owner, lines.iter().map(|line| line.digest)) {
            for meaning in self.marks.get_mut(&mark).into_iter().flatten() {
                if meaning.key == *key && !meaning.continued {
                    (meaning.continued, meaning.at) = (true, at);
                    touched.push(Kept {
                        mark,
                        meaning: meaning.clone(),
                    });
                }
            }
        }
        touched
    }

    /// Keeps what an exchange left.
    pub fn remember(&mut self, kept: &[Kept], at: Micros) {
        for Kept { mark, meaning } in kept {
            self.keep(*mark, meaning.clone());
        }
        self.forget(at);
    }

    /// What a mark means, unless that is too much to say anything.
    fn meanings(&self, mark: Digest) -> &[Meaning] {
        self.marks
            .get(&mark)
            .map(Vec::as_slice)
            .filter(|meanings| meanings.len() < MAX_MEANINGS)
            .unwrap_or_default()
    }

    fn keep(&mut self, mark: Digest, meaning: Meaning) {
        let meanings = self.marks.entry(mark).or_default();
        if let Some(known) = meanings.iter_mut().find(|m| m.key == meaning.key) {
            *known = meaning;
            return;
        }
        if meanings.len() == MAX_MEANINGS {
            meanings.remove(0);
            self.count -= 1;
        }
        meanings.push(meaning);
        self.count += 1;
    }

    /// Bounds the memory.
    fn forget(&mut self, at: Micros) {
        if self.count <= MAX_MARKS {
            return;
        }
        let mut ages: Vec<Micros> = self.marks.values().flatten().map(|m| m.at).collect();
        let half = ages.len() / 2;
        let (_, median, _) = ages.select_nth_unstable(half);
        let oldest = (*median).max(at.saturating_sub(KEPT_US));
        self.marks.retain(|_, meanings| {
            meanings.retain(|m| m.at > oldest);
            !meanings.is_empty()
        });
        self.count = self.marks.values().map(Vec::len).sum();
    }
}

/// What an exchange leaves to be recognised by.
pub fn kept(
    owner: &str,
    key: &Arc<SessionKey>,
    request: &[Digest],
    given: &Given,
    weak: Option<Digest>,
    at: Micros,
) -> Vec<Kept> {
    let plain = Meaning {
        key: Arc::clone(key),
        given: Given::default(),
        weak,
        at,
        continued: false,
    };
    let calls = given.calls.iter().map(|id| call_mark(owner, id));
    let last = request.last();
    let pair = last.and_then(|last| pair_mark(owner, *last, given.words));
    let mut kept: Vec<Kept> = calls
        .chain(pair)
        .map(|mark| Kept {
            mark,
            meaning: plain.clone(),
        })
        .collect();
    let beginnings = beginnings(owner, request.iter().copied());
    kept.extend(beginnings.last().map(|mark| Kept {
        mark: *mark,
        meaning: Meaning {
            given: given.clone(),
            ..plain
        },
    }));
    kept
}

/// Of conversations that stand at one point: what was said to the letter before what may be a part of it, one from which
/// nobody went on before others, what correlates before what does not; and of those that are alike in all of this, whose users
/// cannot be told apart, the oldest. From those that others went on from, only one that is alone.
fn choose(fitting: Vec<(&Meaning, bool)>, evidence: &Evidence<'_>) -> Option<Arc<SessionKey>> {
    let exact: Vec<&Meaning> = fitting
        .iter()
        .filter(|(_, exact)| *exact)
        .map(|(m, _)| *m)
        .collect();
    let left = if exact.is_empty() {
        fitting.into_iter().map(|(m, _)| m).collect()
    } else {
        exact
    };
    if evidence.again {
        return left.iter().max_by_key(|m| m.at).map(|m| Arc::clone(&m.key));
    }
    let left = narrow(left, |m| !m.continued);
    let left = narrow(left, |m| evidence.weak.is_some() && m.weak == evidence.weak);
    match &left[..] {
        [only] => Some(Arc::clone(&only.key)),
        several => several
            .iter()
            .filter(|m| !m.continued)
            .min_by_key(|m| m.at)
            .map(|m| Arc::clone(&m.key)),
    }
}

/// Those that have it, if any has.
fn narrow(from: Vec<&Meaning>, has: impl Fn(&Meaning) -> bool) -> Vec<&Meaning> {
    let some: Vec<&Meaning> = from.iter().copied().filter(|m| has(m)).collect();
    if some.is_empty() { from } else { some }
}

/// The newest turn of the model in a request, and the message before it.
fn pair(lines: &[Line<'_>]) -> Option<(Digest, Words)> {
    let at = lines.iter().rposition(|line| line.of_model)?;
    let before = lines.get(at.checked_sub(1)?)?;
    Some((before.digest, Words::of(lines.get(at)?.text)))
}

/// Marks of the beginnings of a request: at index `i` of that which ends with message `i`.
fn beginnings(owner: &str, digests: impl Iterator<Item = Digest>) -> Vec<Digest> {
    let mut prefix = mark(&[b"beginning", owner.as_bytes()]);
    digests
        .map(|digest| {
            prefix = roll(prefix, digest);
            prefix
        })
        .collect()
}

fn call_mark(owner: &str, id: &str) -> Digest {
    mark(&[b"call", owner.as_bytes(), id.as_bytes()])
}

/// `None` where too little was said.
fn pair_mark(owner: &str, before: Digest, said: Words) -> Option<Digest> {
    said.opening?;
    Some(mark(&[b"pair", owner.as_bytes(), &before, &said.whole?]))
}

#[cfg(test)]
mod tests;
