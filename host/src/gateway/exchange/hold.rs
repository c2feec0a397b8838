//! Generated text on its way to the client: what has arrived, what has left, what is held between the two.
//!
//! Guarantees: frames leave in the order in which they came, whole, and byte for byte unless a replacement touches them; a
//! frame leaves only when every byte of text that it bears may leave.

mod write;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::gateway::dialect::{Dialect, EditError, Identity, Splice};
use crate::gateway::sse::Frame;
use crate::observe::tokens::{StreamCounter, TokenCounter};
use crate::reason::patterns::{Match, PatternSet, Scanner};
use crate::session::event::{Channel, Micros, Place, Usage};
use write::written;

/// All text at one place of a generation.
pub struct Stretch {
    /// Where.
    pub place: Place,
    /// Everything that arrived.
    pub text: String,
    /// Offset up to which the client has it.
    pub released: u32,
    /// The tool call whose arguments these are.
    pub call: Option<Call>,
    scanner: Option<Scanner>,
    /// Offset at which the scanner began.
    scan_base: u32,
    counter: StreamCounter,
    edits: Vec<Edit>,
}

/// A tool call under way.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// The vendor's id, or one that Airlock made.
    pub id: String,
    /// The upstream gave it no id, as in the form before tool calls.
    pub unnamed: bool,
    /// Name of the tool.
    pub name: String,
    /// No more arguments come.
    pub complete: bool,
    /// What policies said of it.
    pub verdict: Verdict,
    /// Arguments with which it goes out instead of the model's own.
    pub rewritten: Option<String>,
    /// How often its arguments were replaced.
    pub rewrites: u8,
    /// The client has a part of it.
    pub left: bool,
    /// The call to the upstream that brought it, from 0.
    pub round: u32,
}

/// What is to become of a tool call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// It is not complete, or not judged.
    #[default]
    Open,
    /// Somebody was asked, and has not answered.
    Parked,
    /// It goes to the client.
    Permitted,
    /// It does not; the model is given this as its result.
    Denied(String),
}

#[derive(Debug)]
struct Edit {
    start: u32,
    end: u32,
    text: String,
}

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
    /// Stretches of tool calls that it begins or names.
    pub calls: Vec<usize>,
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
#[derive(Clone, Copy, Debug)]
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
    /// What is added to the upstream's own index of a call.
    base: u16,
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
    /// What is added to the upstream's own index of a call: those of later rounds go on counting.
    pub base: u16,
    frames: VecDeque<Held>,
    bytes: usize,
    /// Ids that the client reads, once a second round has begun.
    identity: Option<Identity>,
    /// Text of earlier rounds that a body has to begin with. It is held like that of the body.
    before: Vec<Span>,
}

impl Hold {
    /// The stretch at a place, which begins now if it is new.
    pub fn stretch(
        &mut self,
        place: Place,
        patterns: &[Option<Arc<PatternSet>>; 5],
        tokens: &TokenCounter,
    ) -> usize {
        if let Some(index) = self.stretches.iter().position(|s| s.place == place) {
            return index;
        }
        self.stretches.push(Stretch {
            place,
            text: String::new(),
            released: 0,
            call: None,
            scanner: scanner(patterns, place.channel),
            scan_base: 0,
            counter: tokens.stream(),
            edits: Vec::new(),
        });
        self.stretches.len() - 1
    }

    /// More text for a stretch: where it stands, and its tokens. Matches that are now certain are added to `found`, with
    /// offsets in the stretch.
    pub fn append(&mut self, index: usize, text: &str, found: &mut Vec<Match>) -> (Span, u32) {
        let Some(stretch) = self.stretches.get_mut(index) else {
            return (
                Span {
                    stretch: index,
                    start: 0,
                    end: 0,
                },
                0,
            );
        };
        let start = stretch.text.len() as u32;
        stretch.text.push_str(text);
        if let Some(scanner) = &mut stretch.scanner {
            let before = found.len();
            scanner.feed(text, found);
            shift(found, before, stretch.scan_base);
        }
        (
            Span {
                stretch: index,
                start,
                end: stretch.text.len() as u32,
            },
            stretch.counter.push(text),
        )
    }

    /// No more text comes for a stretch: what was open becomes certain.
    pub fn finish(&mut self, index: usize, found: &mut Vec<Match>) {
        if let Some(stretch) = self.stretches.get_mut(index)
            && let Some(mut scanner) = stretch.scanner.take()
        {
            let before = found.len();
            scanner.finish(found);
            shift(found, before, stretch.scan_base);
        }
    }

    /// Other patterns apply from now on: what the client does not have yet is searched for them, from the beginning.
    pub fn rescan(
        &mut self,
        patterns: &[Option<Arc<PatternSet>>; 5],
        found: &mut Vec<(Place, Match)>,
    ) {
        for stretch in &mut self.stretches {
            stretch.scanner = scanner(patterns, stretch.place.channel);
            stretch.scan_base = stretch.released;
            if let Some(scanner) = &mut stretch.scanner {
                let mut matches = Vec::new();
                scanner.feed(
                    stretch
                        .text
                        .get(stretch.released as usize..)
                        .unwrap_or_default(),
                    &mut matches,
                );
                shift(&mut matches, 0, stretch.scan_base);
                found.extend(matches.into_iter().map(|m| (stretch.place, m)));
            }
        }
    }

    /// Puts a frame at the end of the queue.
    pub fn push(&mut self, payload: Payload, said: Said, duty: Duty, since: Micros) {
        self.bytes += payload.len();
        self.frames.push_back(Held {
            payload,
            said,
            duty,
            since,
            goes_on: false,
            foreign: self.identity.is_some(),
            base: self.base,
        });
    }

    /// The answer goes on with another call to an upstream: what would end it is taken out, and what comes is made a part
    /// of it. `identity` is that of the round that ends.
    pub fn next_round(&mut self, identity: &Identity) {
        self.identity.get_or_insert_with(|| identity.clone());
        let calls = self
            .stretches
            .iter()
            .filter(|s| s.place.channel == Channel::ToolArguments);
        self.base = calls.map(|s| s.place.block + 1).max().unwrap_or_default();
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
            let text = body.said.spans.into_iter().filter(|span| {
                let stretch = self.stretches.get(span.stretch);
                stretch.is_some_and(|s| s.place.channel != Channel::ToolArguments)
            });
            self.before.extend(text);
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

    /// The stretch of a call.
    pub fn call(&mut self, id: &str) -> Option<&mut Stretch> {
        self.stretches
            .iter_mut()
            .rev()
            .find(|s| s.call.as_ref().is_some_and(|call| call.id == id))
    }

    /// Bytes held.
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
        let impossible = |why: &str| Err(Unreplaced::Impossible(why.to_owned()));
        let Some(stretch) = self.stretches.iter_mut().find(|s| s.place == place) else {
            return impossible("there is no text at this place");
        };
        let end = offset.saturating_add(len);
        if offset < stretch.released {
            return Err(Unreplaced::TooLate);
        }
        if end as usize > stretch.text.len() {
            return impossible("the range ends beyond the text that has arrived");
        }
        if !stretch.text.is_char_boundary(offset as usize)
            || !stretch.text.is_char_boundary(end as usize)
        {
            return impossible("the range does not begin and end between characters");
        }
        if stretch
            .edits
            .iter()
            .any(|e| offset < e.end && e.start < end)
        {
            return impossible("a part of the range was replaced before");
        }
        stretch.edits.push(Edit {
            start: offset,
            end,
            text,
        });
        stretch.edits.sort_by_key(|e| e.start);
        Ok(())
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
            let named = |index: &usize| {
                let may = |s: &Stretch| limit(s) > 0 || s.is_judged_without_text();
                self.stretches.get(*index).is_none_or(may)
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
            let edits = self.edits(&held);
            let calls = self.call_edits(&held);
            let before = match held.payload {
                Payload::Body(_) => std::mem::take(&mut self.before),
                Payload::Frame(_) => Vec::new(),
            };
            for span in before.iter().chain(&held.said.spans) {
                if let Some(stretch) = self.stretches.get_mut(span.stretch) {
                    stretch.released = stretch.released.max(span.end);
                }
            }
            if held.duty == Duty::Strip {
                continue;
            }
            let splice = Splice {
                identity: self.identity.as_ref().filter(|_| held.foreign),
                calls,
                before: self.texts(&before),
                usage: held.said.usage,
                goes_on: held.goes_on,
            };
            let bytes = written(dialect, held.payload, &edits, &splice)?;
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
        let mut stretches = spans.chain(held.said.calls.iter().copied());
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
                |call: &Call| call.left && (!call.complete || (s.released as usize) < s.text.len());
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

    /// Nothing that is held will leave.
    pub fn discard(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }
}

impl Stretch {
    /// Offset before which no byte can belong to a match that is not reported yet.
    pub fn safe(&self) -> u32 {
        self.scanner
            .as_ref()
            .map_or(u32::MAX, |s| self.scan_base + s.safe())
    }

    /// Whether it is a call that policies have seen whole, and that has no arguments: there is no text to wait for.
    fn is_judged_without_text(&self) -> bool {
        let judged = |call: &Call| matches!(call.verdict, Verdict::Permitted | Verdict::Denied(_));
        self.text.is_empty() && self.call.as_ref().is_some_and(judged)
    }

    /// Whether some of its text is replaced.
    pub fn is_edited(&self) -> bool {
        !self.edits.is_empty()
    }

    /// The whole text as the client gets it.
    pub fn seen(&self) -> String {
        if let Some(text) = self.call.as_ref().and_then(|call| call.rewritten.clone()) {
            return text;
        }
        let mut text = String::with_capacity(self.text.len());
        self.render(0, self.text.len() as u32, &mut text);
        text
    }

    /// The same up to an offset.
    pub fn seen_to(&self, end: u32) -> String {
        let mut text = String::new();
        self.render(0, end.min(self.text.len() as u32), &mut text);
        text
    }

    /// The same from an offset on.
    pub fn seen_from(&self, start: u32) -> String {
        let mut text = String::new();
        self.render(start, self.text.len() as u32, &mut text);
        text
    }

    /// A part of the text with replacements made. One that reaches over several frames stands in the first of them.
    fn render(&self, start: u32, end: u32, out: &mut String) -> bool {
        let (mut at, mut touched) = (start, false);
        for edit in self
            .edits
            .iter()
            .filter(|e| e.start < end && start < e.end.max(e.start + 1))
        {
            touched = true;
            if edit.start >= start {
                out.push_str(
                    self.text
                        .get(at as usize..edit.start as usize)
                        .unwrap_or_default(),
                );
                out.push_str(&edit.text);
            }
            at = at.max(edit.end.min(end));
        }
        out.push_str(self.text.get(at as usize..end as usize).unwrap_or_default());
        touched
    }
}

impl Payload {
    fn len(&self) -> usize {
        match self {
            Payload::Frame(frame) => frame.raw.len(),
            Payload::Body(body) => body.len(),
        }
    }
}

fn scanner(patterns: &[Option<Arc<PatternSet>>; 5], channel: Channel) -> Option<Scanner> {
    patterns
        .get(channel as usize)?
        .as_ref()
        .map(|set| Scanner::new(Arc::clone(set)))
}

fn shift(found: &mut [Match], from: usize, base: u32) {
    for m in found.iter_mut().skip(from) {
        m.offset += base;
    }
}

#[cfg(test)]
mod tests;
