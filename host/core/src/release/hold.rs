//! Generated text on its way to the client: what has arrived, what has left, what is held between the two.
//!
//! Guarantees: frames leave in the order in which they came, whole, and byte for byte unless a replacement touches them; a
//! frame leaves only when every byte of text that it bears may leave.

use std::collections::VecDeque;

use super::call::Call;
use super::frame::{Duty, Held, Payload, Ready, Said, Span};
use super::stretch::{Patterns, Stretch, Unreplaced, scanner};
use crate::dialect::Identity;
use crate::event::{self, Micros, Place};
use crate::observe::tokens::TokenCounter;
use crate::reason::patterns::Match;

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
    pub(super) frames: VecDeque<Held>,
    pub(super) bytes: usize,
    /// Something came in fields that are not of its form.
    beside: bool,
    /// Ids that the client reads, once a second leg has begun.
    pub(super) identity: Option<Identity>,
    /// Text of earlier legs that a body has to begin with. It is held like that of the body.
    pub(super) before: Vec<Span>,
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
    /// of it. `identity` is that of the leg that ends.
    pub fn next_leg(&mut self, identity: &Identity) {
        self.identity.get_or_insert_with(|| identity.clone());
        for held in &mut self.frames {
            let bears = !held.said.spans.is_empty() || !held.said.calls.is_empty();
            held.goes_on = true;
            let ends = held.said.states_usage || !held.said.finishes.is_empty();
            // What ends a stream may bear text too, where its API has no frame for the end alone.
            held.duty = if (held.said.ends || ends) && !bears {
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

    /// Whether the text at a place is of a call that policies have seen whole.
    pub fn is_sealed_call(&self, place: Place) -> bool {
        let call = self.at(place).and_then(|s| s.call.as_ref());
        call.is_some_and(|call| !call.is_open())
    }

    /// What the client gets of a range and of what stands around it.
    pub fn around(&self, range: &event::Span) -> String {
        let stretch = self.at(range.place);
        stretch.map_or_else(String::new, |s| s.around(range.offset, range.end()))
    }

    /// What was put in the place of a range is taken out again.
    pub fn empty(&mut self, range: &event::Span) {
        if let Some(stretch) = self.stretches.iter_mut().find(|s| s.place == range.place) {
            stretch.empty(range.offset, range.end());
        }
    }

    /// Id and arguments that a call would have with a range of them replaced.
    pub fn rewritten(
        &self,
        range: &event::Span,
        text: &str,
    ) -> Result<(String, String), Unreplaced> {
        let stretch = self.at(range.place);
        let Some((stretch, call)) = stretch.and_then(|s| Some((s, s.call.as_ref()?))) else {
            let why = "there is no call at this place".to_owned();
            return Err(Unreplaced::Impossible(why));
        };
        let content = stretch.with(range.offset, range.length, text)?;
        Ok((call.id.clone(), content))
    }

    fn at(&self, place: Place) -> Option<&Stretch> {
        self.stretches.iter().find(|s| s.place == place)
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
