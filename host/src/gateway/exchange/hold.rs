//! Generated text on its way to the client: what has arrived, what has left, what is held between the two.
//!
//! Guarantees: frames leave in the order in which they came, whole, and byte for byte unless a replacement touches them; a
//! frame leaves only when every byte of text that it bears may leave.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::gateway::dialect::{CallEdit, Dialect, EditError, Identity, Splice, TextEdit};
use crate::gateway::sse::Frame;
use crate::observe::tokens::{StreamCounter, TokenCounter};
use crate::reason::patterns::{Match, PatternSet, Scanner};
use crate::session::event::{Channel, Micros, Place, Usage};

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
    /// The vendor's id.
    pub id: String,
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
    /// What is added to the upstream's own index of a call: those of later rounds go on counting.
    pub base: u16,
    frames: VecDeque<Held>,
    bytes: usize,
    /// Ids that the client reads, once a second round has begun.
    identity: Option<Identity>,
    /// Text of earlier rounds that a body has to begin with.
    before: Vec<TextEdit>,
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
            self.carry(&body.said.spans);
        }
    }

    /// Keeps the text of a body whose round is over, for the body that the client gets.
    fn carry(&mut self, spans: &[Span]) {
        for span in spans {
            let Some(stretch) = self.stretches.get_mut(span.stretch) else {
                continue;
            };
            stretch.released = stretch.released.max(span.end);
            if stretch.place.channel == Channel::ToolArguments {
                continue;
            }
            let mut text = String::new();
            stretch.render(span.start, span.end, &mut text);
            match self.before.iter_mut().find(|e| e.place == stretch.place) {
                Some(edit) => edit.text.push_str(&text),
                None => self.before.push(TextEdit {
                    place: stretch.place,
                    text,
                }),
            }
        }
    }

    /// Another attempt at the whole answer: nothing of this one has reached the client.
    pub fn start_over(&mut self) {
        *self = Hold::default();
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
            if !(due && front.said.spans.iter().all(may) && front.said.calls.iter().all(named)) {
                break;
            }
            let Some(held) = self.frames.pop_front() else {
                break;
            };
            self.bytes -= held.payload.len();
            let edits = self.edits(&held);
            let calls = self.call_edits(&held);
            for span in &held.said.spans {
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
                before: std::mem::take(&mut self.before),
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
            });
        }
        Ok(())
    }

    /// The client was given a frame. Not every one that may leave does: the session's budget may end before it.
    pub fn delivered(&mut self, ready: &Ready) {
        self.begun |= ready.begins;
        self.finished.extend(&ready.finishes);
    }

    /// Nothing that is held will leave.
    pub fn discard(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }

    /// The new text of each place of a frame that a replacement touches, by the upstream's own indexes.
    fn edits(&self, held: &Held) -> Vec<TextEdit> {
        let spans = &held.said.spans;
        let mut edits: Vec<TextEdit> = Vec::new();
        let mut done: Vec<usize> = Vec::new();
        for span in spans {
            if done.contains(&span.stretch) {
                continue;
            }
            done.push(span.stretch);
            let Some(stretch) = self.stretches.get(span.stretch) else {
                continue;
            };
            let (mut text, mut touched) = (String::new(), false);
            for span in spans.iter().filter(|s| s.stretch == span.stretch) {
                touched |= stretch.render(span.start, span.end, &mut text);
            }
            if touched {
                let mut place = stretch.place;
                if place.channel == Channel::ToolArguments {
                    place.block = place.block.saturating_sub(held.base);
                }
                edits.push(TextEdit { place, text });
            }
        }
        edits
    }

    /// What becomes of the calls in a frame: those that are denied are left out, and the client counts the others.
    fn call_edits(&mut self, held: &Held) -> Vec<CallEdit> {
        let mut touched: Vec<usize> = held.said.calls.clone();
        touched.extend(held.said.spans.iter().map(|span| span.stretch));
        touched.sort_unstable();
        touched.dedup();
        let mut edits = Vec::new();
        for index in touched {
            let Some(Stretch {
                place,
                call: Some(call),
                ..
            }) = self.stretches.get(index)
            else {
                continue;
            };
            let own = place.block.saturating_sub(held.base);
            let denied = matches!(call.verdict, Verdict::Denied(_));
            let counted = self.stretches.iter().take(index).filter(|s| {
                s.place.choice == place.choice
                    && s.call
                        .as_ref()
                        .is_some_and(|c| !matches!(c.verdict, Verdict::Denied(_)))
            });
            let to = (!denied).then_some(counted.count() as u16);
            // The whole of the new arguments stands in the first frame of the call.
            let arguments = call.rewritten.as_ref().map(|text| {
                if call.left {
                    String::new()
                } else {
                    text.clone()
                }
            });
            if to != Some(own) || arguments.is_some() {
                edits.push(CallEdit {
                    choice: place.choice,
                    index: own,
                    to,
                    arguments,
                });
            }
            if let Some(call) = self.stretches.get_mut(index).and_then(|s| s.call.as_mut()) {
                call.left |= !denied;
            }
        }
        edits
    }
}

/// The bytes of a frame or body as the client gets them: its own, unless something concerns it.
fn written(
    dialect: &dyn Dialect,
    payload: Payload,
    edits: &[TextEdit],
    splice: &Splice<'_>,
) -> Result<Bytes, EditError> {
    let (bytes, is_frame) = match (payload, edits) {
        (Payload::Frame(frame), []) => (frame.raw, true),
        (Payload::Frame(frame), edits) => (dialect.edit_frame(&frame, edits)?, true),
        (Payload::Body(body), []) => (body, false),
        (Payload::Body(body), edits) => (dialect.edit_body(&body, edits)?.into(), false),
    };
    if *splice == Splice::default() {
        return Ok(bytes);
    }
    if is_frame {
        return Ok(dialect.splice_frame(&bytes, splice)?.unwrap_or_default());
    }
    Ok(dialect.splice_body(&bytes, splice)?.into())
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

    /// The whole text as the client gets it.
    pub fn seen(&self) -> String {
        if let Some(text) = self.call.as_ref().and_then(|call| call.rewritten.clone()) {
            return text;
        }
        let mut text = String::with_capacity(self.text.len());
        self.render(0, self.text.len() as u32, &mut text);
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
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::gateway::dialect::openai_chat::OpenAiChat;
    use crate::gateway::dialect::{Identity, Piece};
    use crate::gateway::sse::Framer;
    use crate::reason::patterns::{PatternSpec, Syntax};

    const OUT: Place = Place {
        channel: Channel::Output,
        choice: 0,
        block: 0,
    };

    fn patterns(text: &str) -> [Option<Arc<PatternSet>>; 5] {
        let spec = PatternSpec {
            owner: 0,
            index: 0,
            syntax: Syntax::Literal,
            text: text.to_owned(),
            ignore_case: false,
            holds: true,
        };
        let mut patterns = [const { None }; 5];
        patterns[Channel::Output as usize] =
            Some(Arc::new(PatternSet::compile(vec![spec]).unwrap()));
        patterns
    }

    /// Feeds chunks of output as frames; gives the hold and the raw bytes of all frames.
    fn fed(chunks: &[&str], patterns: &[Option<Arc<PatternSet>>; 5]) -> (Hold, Vec<Match>, String) {
        let (mut hold, mut found, mut raw) = (Hold::default(), Vec::new(), String::new());
        let tokens = TokenCounter::for_model("gpt-4o");
        for chunk in chunks {
            let json = serde_json::json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                "choices": [{"index": 0, "delta": {"content": chunk}, "finish_reason": null}]});
            let line = format!("data: {json}\n\n");
            raw.push_str(&line);
            let mut frames = Vec::new();
            Framer::default()
                .push(Bytes::from(line), &mut frames)
                .unwrap();
            let frame = frames.remove(0);
            let mut pieces = Vec::new();
            OpenAiChat
                .read_frame(&frame, &mut Identity::default(), &mut pieces)
                .unwrap();
            let mut spans = Vec::new();
            for piece in pieces {
                if let Piece::Text { place, text } = piece {
                    let index = hold.stretch(place, patterns, &tokens);
                    spans.push(hold.append(index, &text, &mut found).0);
                }
            }
            let said = Said {
                spans,
                tokens: 1,
                ..Said::default()
            };
            hold.push(Payload::Frame(frame), said, Duty::Pass, 0);
        }
        (hold, found, raw)
    }

    fn release(hold: &mut Hold) -> String {
        let mut ready = Vec::new();
        hold.release(&OpenAiChat, Stretch::safe, true, &mut ready)
            .unwrap();
        for frame in &ready {
            hold.delivered(frame);
        }
        ready
            .iter()
            .map(|r| String::from_utf8(r.bytes.to_vec()).unwrap())
            .collect()
    }

    fn text_of(frames: &str) -> String {
        let mut out = String::new();
        for data in frames.lines().filter_map(|l| l.strip_prefix("data: ")) {
            let v: serde_json::Value = serde_json::from_str(data).unwrap();
            out.push_str(
                v["choices"][0]["delta"]["content"]
                    .as_str()
                    .unwrap_or_default(),
            );
        }
        out
    }

    #[test]
    fn untouched_frames_leave_byte_for_byte() {
        let (mut hold, _, raw) = fed(&["Hel", "lo", " wörld"], &[const { None }; 5]);
        assert_eq!(release(&mut hold), raw);
        assert!(hold.begun && hold.bytes() == 0);
    }

    #[test]
    fn what_may_begin_a_match_waits_and_leaves_when_it_was_none() {
        let set = patterns("secret");
        let (mut hold, found, _) = fed(&["my ", "sec"], &set);
        assert!(found.is_empty());
        assert_eq!(text_of(&release(&mut hold)), "my ");
        let (mut hold, _, raw) = fed(&["my ", "sec", "ond"], &set);
        assert_eq!(release(&mut hold), raw);
    }

    #[test]
    fn a_replacement_over_several_frames_leaves_none_of_the_old_text() {
        let set = patterns("secret");
        let (mut hold, found, _) = fed(&["my s", "ecr", "et word"], &set);
        assert_eq!((found[0].offset, found[0].len), (3, 6));
        hold.replace(OUT, 3, 6, "[gone]".to_owned()).unwrap();
        let out = release(&mut hold);
        assert_eq!(text_of(&out), "my [gone] word");
        assert_eq!(hold.stretches[0].seen(), "my [gone] word");
    }

    #[test]
    fn a_replacement_of_what_has_left_is_too_late_and_changes_nothing() {
        let (mut hold, _, raw) = fed(&["Hello"], &[const { None }; 5]);
        assert_eq!(release(&mut hold), raw);
        assert_eq!(
            hold.replace(OUT, 2, 2, String::new()),
            Err(Unreplaced::TooLate)
        );
        assert!(matches!(
            hold.replace(OUT, 3, 9, String::new()),
            Err(Unreplaced::TooLate)
        ));
        let (mut hold, _, _) = fed(&["é"], &[const { None }; 5]);
        assert!(matches!(
            hold.replace(OUT, 1, 1, String::new()),
            Err(Unreplaced::Impossible(_))
        ));
        assert!(matches!(
            hold.replace(OUT, 0, 3, String::new()),
            Err(Unreplaced::Impossible(_))
        ));
    }

    #[test]
    fn new_patterns_search_what_has_not_left() {
        let (mut hold, _, _) = fed(&["a secret"], &[const { None }; 5]);
        let mut found = Vec::new();
        hold.rescan(&patterns("secret"), &mut found);
        assert_eq!(
            found
                .iter()
                .map(|(_, m)| (m.offset, m.len))
                .collect::<Vec<_>>(),
            [(2, 6)]
        );
    }
}
