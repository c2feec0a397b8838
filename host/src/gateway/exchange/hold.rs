//! Generated text on its way to the client: what has arrived, what has left, what is held between the two.
//!
//! Guarantees: frames leave in the order in which they came, whole, and byte for byte unless a replacement touches them; a
//! frame leaves only when every byte of text that it bears may leave.

mod call;
mod stretch;
mod write;

use std::collections::VecDeque;

use bytes::Bytes;

use crate::dialect::sse::Frame;
use crate::dialect::{Dialect, EditError, Edits, Identity};
use crate::event::{Micros, Place, Usage};
use crate::observe::tokens::TokenCounter;
use crate::reason::patterns::Match;
pub use call::{Call, Part, Sealed};
use stretch::scanner;
pub use stretch::{Patterns, Stretch};
use write::written;

/// What a frame was read from.
pub enum Payload {
    /// A frame of a stream.
    Frame(Frame),
    /// A whole body.
    Body(Bytes),
}

/// What a frame or body says, besides its bytes.
#[derive(Default)]
pub struct Said {
    /// Parts of stretches that it bears.
    pub spans: Vec<Span>,
    /// Parts of tool calls that it bears, in its order.
    pub calls: Vec<Part>,
    /// It has fields that are not of its form, and that were not read.
    pub beside: bool,
    /// Somebody judges: what leaves is written so that all clients read it alike.
    pub judged: bool,
    /// Tokens of its text.
    pub tokens: u32,
    /// Choices that it ends.
    pub finishes: Vec<u16>,
    /// The usage of all rounds so far, if it states that of its own and there were others.
    pub usage: Option<Usage>,
    /// It states usage.
    pub states_usage: bool,
    /// Nothing follows it.
    pub ends: bool,
}

/// Whether and when a held frame leaves, apart from its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// With its text.
    Pass,
    /// Not before the response was judged: it ends the generation.
    Terminal,
    /// Never: the client did not ask for it.
    Strip,
}

/// A part of a stretch that a frame bears.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// Index of the stretch.
    pub stretch: usize,
    /// First offset.
    pub start: u32,
    /// Offset past the last.
    pub end: u32,
}

struct Held {
    payload: Payload,
    said: Said,
    duty: Duty,
    since: Micros,
    /// The answer goes on after it in another round.
    goes_on: bool,
    /// It comes from a later round than the first.
    foreign: bool,
}

/// A frame that may leave.
#[derive(Debug)]
pub struct Ready {
    /// Its bytes.
    pub bytes: Bytes,
    /// Tokens of its text.
    pub tokens: u32,
    /// Whether it bears anything of the generation.
    begins: bool,
    /// Choices that it ends.
    finishes: Vec<u16>,
    /// After it, the client is in the middle of a tool call.
    pub in_a_call: bool,
}

/// Why a replacement was not made.
#[derive(Debug, PartialEq, Eq)]
pub enum Unreplaced {
    /// The client has a part of the range.
    TooLate,
    /// The range is not there, or cuts a character.
    Impossible(String),
}

/// Everything between upstream and client.
#[derive(Default)]
pub struct Hold {
    /// By place, in order of appearance.
    pub stretches: Vec<Stretch>,
    /// Choices that the client has seen finish.
    pub finished: Vec<u16>,
    /// Whether the client has seen anything of the generation.
    pub begun: bool,
    /// Whether the client has a frame of the answer, if only one that names the role: a second role would be joined to the first.
    pub opened: bool,
    frames: VecDeque<Held>,
    bytes: usize,
    /// Something came in fields that are not of its form.
    beside: bool,
    /// Ids that the client reads, once a second round has begun.
    identity: Option<Identity>,
    /// Text of earlier rounds that a body has to begin with. It is held like that of the body.
    before: Vec<Span>,
}

impl Hold {
    /// More text at a place, arguments of calls apart: where it stands, and its tokens if the model wrote it. Matches that
    /// are now certain are added to `found`, with offsets in the stretch.
    pub fn say(
        &mut self,
        place: Place,
        text: &str,
        generated: bool,
        patterns: &Patterns,
        tokens: &TokenCounter,
        found: &mut Vec<Match>,
    ) -> (Span, u32) {
        let of_place = |s: &Stretch| s.place == place && s.call.is_none();
        let index = self.stretches.iter().position(of_place).unwrap_or_else(|| {
            self.stretches.push(Stretch::new(place, patterns, tokens));
            self.stretches.len() - 1
        });
        let Some(stretch) = self.stretches.get_mut(index) else {
            return (Span::default(), 0);
        };
        let (start, tokens) = stretch.append(text, generated, found);
        let end = stretch.text.len() as u32;
        let span = Span {
            stretch: index,
            start,
            end,
        };
        (span, tokens)
    }

    /// No more text comes for a stretch: what was open becomes certain.
    pub fn finish(&mut self, index: usize, found: &mut Vec<Match>) {
        if let Some(stretch) = self.stretches.get_mut(index) {
            stretch.finish(found);
        }
    }

    /// Other patterns apply from now on: what the client does not have yet is searched for them, from the beginning.
    pub fn rescan(&mut self, patterns: &Patterns, found: &mut Vec<(Place, Match)>) {
        for stretch in &mut self.stretches {
            stretch.rescan(scanner(patterns, stretch.place.channel), found);
        }
    }

    /// Puts a frame at the end of the queue.
    pub fn push(&mut self, payload: Payload, said: Said, duty: Duty, since: Micros) {
        self.bytes += payload.len();
        self.beside |= said.beside;
        self.frames.push_back(Held {
            payload,
            said,
            duty,
            since,
            goes_on: false,
            foreign: self.identity.is_some(),
        });
    }

    /// The answer goes on with another call to an upstream: what would end it is taken out, and what comes is made a part
    /// of it. `identity` is that of the round that ends.
    pub fn next_round(&mut self, identity: &Identity) {
        self.identity.get_or_insert_with(|| identity.clone());
        for held in &mut self.frames {
            let bears = !held.said.spans.is_empty() || !held.said.calls.is_empty();
            held.goes_on = true;
            let ends = held.said.states_usage || !held.said.finishes.is_empty();
            held.duty = if held.said.ends || (ends && !bears) {
                Duty::Strip
            } else {
                Duty::Pass
            };
            held.said.finishes.clear();
        }
        let (bodies, frames): (VecDeque<Held>, VecDeque<Held>) = std::mem::take(&mut self.frames)
            .into_iter()
            .partition(|held| matches!(held.payload, Payload::Body(_)));
        self.frames = frames;
        for body in bodies {
            self.bytes -= body.payload.len();
            for part in &body.said.calls {
                if let Some(stretch) = self.stretches.get_mut(part.stretch) {
                    stretch.released = stretch.released.max(part.end);
                }
            }
            self.before.extend(body.said.spans);
        }
    }

    /// Another attempt at the whole answer: nothing that was said has reached the client. If it has a frame all the same (one
    /// that names the role, or states the usage), it goes on reading the ids of `identity`, and no second role.
    pub fn start_over(&mut self, identity: &Identity) {
        let known = self.identity.take().or_else(|| Some(identity.clone()));
        *self = Hold {
            opened: self.opened,
            identity: known.filter(|_| self.opened),
            ..Hold::default()
        };
    }

    /// Whether the client reads the ids of an earlier call to an upstream than the present one.
    pub fn speaks_for_others(&self) -> bool {
        self.identity.is_some()
    }

    /// The stretch of a call, by the id that policies know.
    pub fn call(&mut self, id: &str) -> Option<&mut Stretch> {
        self.stretches
            .iter_mut()
            .rev()
            .find(|s| s.call.as_ref().is_some_and(|call| call.id == id))
    }

    /// Whether all that came is in fields that are not of its form: nothing of it was read.
    pub fn is_all_beside(&self) -> bool {
        self.beside && self.stretches.is_empty()
    }

    /// Bytes of text in what is held.
    pub fn text_bytes(&self) -> usize {
        let spans = self.frames.iter().flat_map(|held| {
            let parts = held.said.calls.iter().map(|part| part.end - part.start);
            let spans = held.said.spans.iter().map(|span| span.end - span.start);
            spans.chain(parts)
        });
        spans.map(|bytes| bytes as usize).sum()
    }

    /// Bytes held, with what it takes to hold them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Since when the first held frame waits.
    pub fn waiting_since(&self) -> Option<Micros> {
        self.frames.front().map(|held| held.since)
    }

    /// Replaces a range of a stretch that has not left.
    ///
    /// # Errors
    /// [`Unreplaced`]; nothing was changed.
    pub fn replace(
        &mut self,
        place: Place,
        offset: u32,
        len: u32,
        text: String,
    ) -> Result<(), Unreplaced> {
        let Some(stretch) = self.stretches.iter_mut().find(|s| s.place == place) else {
            let why = "there is no text at this place".to_owned();
            return Err(Unreplaced::Impossible(why));
        };
        stretch.replace(offset, len, text)
    }

    /// Everything that may leave now. `limit` says how far a stretch may go; `end` whether terminal frames may.
    ///
    /// # Errors
    /// A replacement could not be written into its frame: that frame and what follows must not leave.
    pub fn release(
        &mut self,
        dialect: &dyn Dialect,
        limit: impl Fn(&Stretch) -> u32,
        end: bool,
        out: &mut Vec<Ready>,
    ) -> Result<(), EditError> {
        while let Some(front) = self.frames.front() {
            let may = |span: &Span| {
                self.stretches
                    .get(span.stretch)
                    .is_none_or(|s| span.end <= limit(s))
            };
            let named = |part: &Part| {
                let may = |s: &Stretch| limit(s) > 0 || s.is_judged_without_text();
                let reaches = |s: &Stretch| part.end <= limit(s);
                let stretch = self.stretches.get(part.stretch);
                stretch.is_none_or(|s| may(s) && reaches(s))
            };
            let due = front.duty != Duty::Terminal || end;
            let before = match front.payload {
                Payload::Body(_) => &self.before[..],
                Payload::Frame(_) => &[],
            };
            if !(due
                && before.iter().chain(&front.said.spans).all(may)
                && front.said.calls.iter().all(named))
            {
                break;
            }
            let Some(held) = self.frames.pop_front() else {
                break;
            };
            self.bytes -= held.payload.len();
            let texts = self.text_edits(&held);
            let calls = self.call_edits(&held);
            let before = match held.payload {
                Payload::Body(_) => std::mem::take(&mut self.before),
                Payload::Frame(_) => Vec::new(),
            };
            let parts = held.said.calls.iter().map(|part| (part.stretch, part.end));
            let spans = before.iter().chain(&held.said.spans);
            for (stretch, end) in spans.map(|s| (s.stretch, s.end)).chain(parts) {
                if let Some(stretch) = self.stretches.get_mut(stretch) {
                    stretch.released = stretch.released.max(end);
                }
            }
            if held.duty == Duty::Strip {
                continue;
            }
            let edits = Edits {
                texts,
                calls,
                alone: held.said.beside && held.said.judged,
                identity: self.identity.as_ref().filter(|_| held.foreign),
                before: self.texts(&before),
                usage: held.said.usage,
                goes_on: held.goes_on,
            };
            let bytes = written(dialect, held.payload, &edits)?;
            out.push(Ready {
                begins: !bytes.is_empty()
                    && (!held.said.spans.is_empty()
                        || !held.said.calls.is_empty()
                        || !held.said.finishes.is_empty()),
                bytes,
                tokens: held.said.tokens,
                finishes: held.said.finishes,
                in_a_call: self
                    .frames
                    .iter()
                    .any(|held| self.goes_on_with_a_call(held)),
            });
        }
        Ok(())
    }

    /// Whether a frame bears more of a call of which the client has a part.
    fn goes_on_with_a_call(&self, held: &Held) -> bool {
        let spans = held.said.spans.iter().map(|span| span.stretch);
        let parts = held.said.calls.iter().map(|part| part.stretch);
        let mut stretches = spans.chain(parts);
        stretches.any(|index| {
            let call = self.stretches.get(index).and_then(|s| s.call.as_ref());
            call.is_some_and(|call| call.left)
        })
    }

    /// Whether the client has read anything that was said, or an end.
    pub fn told_anything(&self) -> bool {
        !self.finished.is_empty() || self.stretches.iter().any(|s| s.released > 0)
    }

    /// Whether the client has a part of a tool call, and not all of it.
    pub fn is_in_a_call(&self) -> bool {
        self.stretches.iter().any(|s| {
            let part =
                |call: &Call| call.left && (call.is_open() || (s.released as usize) < s.text.len());
            s.call.as_ref().is_some_and(part)
        })
    }

    /// Whether a text repeats so many bytes in a row that the client does not have. Of much held text nothing is repeated.
    pub fn quotes_held(&self, text: &str, bytes: usize) -> bool {
        const MOST: usize = 256 * 1024;
        let held = |s: &Stretch| {
            s.text
                .get(s.released as usize..)
                .unwrap_or_default()
                .to_owned()
        };
        let held: Vec<String> = self
            .stretches
            .iter()
            .map(held)
            .filter(|h| h.len() >= bytes)
            .collect();
        if held.iter().map(String::len).sum::<usize>() > MOST {
            return true;
        }
        let starts =
            (0..text.len().saturating_sub(bytes - 1)).filter(|at| text.is_char_boundary(*at));
        let mut runs = starts.filter_map(|at| {
            let end = (at + bytes..=text.len()).find(|end| text.is_char_boundary(*end))?;
            text.get(at..end)
        });
        runs.any(|run| held.iter().any(|held| held.contains(run)))
    }

    /// The client was given a frame. Not every one that may leave does: the session's budget may end before it.
    pub fn delivered(&mut self, ready: &Ready) {
        self.begun |= ready.begins;
        self.opened |= !ready.bytes.is_empty();
        self.finished.extend(&ready.finishes);
    }

    /// What was ready to leave does not: the client of a whole answer has nothing until it has all.
    pub fn keep_all(&mut self) {
        for stretch in &mut self.stretches {
            stretch.released = 0;
            if let Some(call) = &mut stretch.call {
                call.left = false;
            }
        }
    }

    /// Nothing that is held will leave.
    pub fn discard(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }
}

impl Payload {
    fn len(&self) -> usize {
        match self {
            Payload::Frame(frame) => frame.raw.len() + size_of::<Held>(),
            Payload::Body(body) => body.len() + size_of::<Held>(),
        }
    }
}

#[cfg(test)]
mod tests;
