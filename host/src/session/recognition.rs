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

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::conversation::{Digest, roll};
use super::event::Micros;
use super::key::SessionKey;

/// How long a mark is kept after it was last of use: an agent may be resumed after a weekend and a holiday.
pub const KEPT_US: Micros = 7 * 24 * 3600 * 1_000_000;

/// Marks in memory at most; the oldest half goes when there are more. About 20 MB, and as much on the disk.
pub const MAX_MARKS: usize = 131_072;

/// Conversations that one mark may mean. What more have in common (`call_0`, a greeting) tells them apart no longer.
const MAX_MEANINGS: usize = 64;

/// Tool calls of a request that are looked up, the newest first.
const MAX_CALLS: usize = 64;

/// Characters, white space folded, by which the beginning of a turn is known. Shorter turns are too common to be evidence
/// of their own.
const OPENING: usize = 24;

/// One message of a request, as it is held against the marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// What it means, with everything.
    pub digest: Digest,
    /// The model made it.
    pub of_model: bool,
    /// Its text.
    pub text: &'a str,
    /// Ids of tool calls that it makes or answers.
    pub calls: Vec<&'a str>,
}

/// The words of a message without what clients change when they send it back: white space, a name, parts or a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// Of all of them; `None` if there are none.
    whole: Option<Digest>,
    /// Of the first ones, if there are enough.
    opening: Option<Digest>,
}

impl Words {
    /// The words of a text.
    pub fn of(text: &str) -> Self {
        let mut folded = String::with_capacity(text.len());
        for word in text.split_whitespace() {
            if !folded.is_empty() {
                folded.push(' ');
            }
            folded.push_str(word);
        }
        let opening = folded.char_indices().nth(OPENING).map_or(
            (folded.chars().count() == OPENING).then_some(folded.as_str()),
            |(end, _)| folded.get(..end),
        );
        Self {
            whole: (!folded.is_empty()).then(|| mark(&[b"words", folded.as_bytes()])),
            opening: opening.map(|text| mark(&[b"opening", text.as_bytes()])),
        }
    }
}

/// What the client was given in answer to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// The words.
    pub words: Words,
    /// Whether it is all that there was to give. Of anything else the client may have kept a part, or nothing.
    pub whole: bool,
    /// Ids of the tool calls.
    pub calls: Vec<String>,
}

impl Given {
    fn is_nothing(&self) -> bool {
        self.words == Words::default() && self.calls.is_empty()
    }

    /// Whether a message can be this, as a client sends it back; `Some(true)` if it is so to the letter.
    fn reads(&self, line: &Line<'_>) -> Option<bool> {
        if self.is_nothing() {
            let says_nothing = line.text.trim().is_empty() && line.calls.is_empty();
            return says_nothing.then_some(true);
        }
        if line
            .calls
            .iter()
            .any(|id| self.calls.iter().any(|own| own == id))
        {
            return Some(true);
        }
        let words = Words::of(line.text);
        if words.whole == self.words.whole {
            // Calls that the client has dropped, or numbers anew, are no proof.
            return Some(self.calls.is_empty() && line.calls.is_empty());
        }
        let begins = words.opening.is_some() && words.opening == self.words.opening;
        // Too short to have an opening: the part that was there when the client hung up.
        let part = !self.whole && words.opening.is_none() && words.whole.is_some();
        (begins || part).then_some(false)
    }
}

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

/// What a mark means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// The session.
    pub key: Arc<SessionKey>,
    /// What became of the request; for marks of a beginning only.
    pub given: Given,
    /// What only correlates.
    pub weak: Option<Digest>,
    /// When it was made or last of use.
    pub at: Micros,
    /// A later request went on from here.
    pub continued: bool,
}

/// A mark that is to be kept on the disk too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The mark.
    pub mark: Digest,
    /// What it means.
    pub meaning: Meaning,
}

/// All marks.
#[derive(Debug, Default)]
pub struct Recognition {
    marks: HashMap<Digest, Vec<Meaning>>,
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

    /// Keeps what an exchange leaves to be recognised by. Returns it for the disk.
    pub fn remember(
        &mut self,
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
        let mut kept: Vec<Kept> = given
            .calls
            .iter()
            .map(|id| call_mark(owner, id))
            .chain(
                request
                    .last()
                    .and_then(|last| pair_mark(owner, *last, given.words)),
            )
            .map(|mark| Kept {
                mark,
                meaning: plain.clone(),
            })
            .collect();
        kept.extend(
            beginnings(owner, request.iter().copied())
                .last()
                .map(|mark| Kept {
                    mark: *mark,
                    meaning: Meaning {
                        given: given.clone(),
                        ..plain
                    },
                }),
        );
        for Kept { mark, meaning } in &kept {
            self.keep(*mark, meaning.clone());
        }
        self.forget(at);
        kept
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

/// A digest over parts, each with its length, so that no two lists of parts look alike.
pub fn mark(parts: &[&[u8]]) -> Digest {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut digest = Digest::default();
    digest.copy_from_slice(&hash.finalize()[..16]);
    digest
}

#[cfg(test)]
mod tests;
