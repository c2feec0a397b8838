//! Generated text at one place, searched and counted as it arrives, and as the client gets it.

use std::sync::Arc;

use super::call::Call;
use crate::dialect::media;
use crate::event::{Channel, Place};
use crate::observe::tokens::{StreamCounter, TokenCounter};
use crate::reason::patterns::{MAX_MATCH, Match, PatternSet, Scanner};

/// Patterns of all policies, by channel.
pub type Patterns = [Option<Arc<PatternSet>>; 5];

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

/// Why a replacement was not made.
#[derive(Debug, PartialEq, Eq)]
pub enum Unreplaced {
    /// The client has a part of the range.
    TooLate,
    /// The range is not there, or cuts a character.
    Impossible(String),
}

#[derive(Clone, Debug)]
struct Edit {
    start: u32,
    end: u32,
    text: String,
}

impl Stretch {
    pub(super) fn new(place: Place, patterns: &Patterns, tokens: &TokenCounter) -> Stretch {
        Stretch {
            place,
            text: String::new(),
            released: 0,
            call: None,
            scanner: scanner(patterns, place.channel),
            scan_base: 0,
            counter: tokens.stream(),
            edits: Vec::new(),
        }
    }

    /// More text: the offset at which it begins, and its tokens if the model wrote it.
    pub(super) fn append(
        &mut self,
        text: &str,
        generated: bool,
        found: &mut Vec<Match>,
    ) -> (u32, u32) {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        if let Some(scanner) = &mut self.scanner {
            let before = found.len();
            scanner.feed(text, found);
            shift(found, before, self.scan_base);
        }
        let tokens = if generated {
            media::without(text)
                .map(|part| self.counter.push(part))
                .sum()
        } else {
            0
        };
        (start, tokens)
    }

    /// Tokens of the text, if all of it was counted.
    pub(super) fn counted(&self) -> Option<u32> {
        let all = self.counter.bytes() == self.text.len() && !self.counter.is_rough();
        all.then(|| self.counter.total())
    }

    /// Tokens of what was counted of it, by another counter.
    pub(super) fn recounted(&self, by: &TokenCounter) -> u32 {
        // Of pictures in it and of what the model did not write nothing was counted: then it is as many bytes of it.
        let end = self.text.floor_char_boundary(self.counter.bytes());
        self.text.get(..end).map_or(0, |text| by.count_text(text))
    }

    /// No more text comes: what was open becomes certain.
    pub(super) fn finish(&mut self, found: &mut Vec<Match>) {
        if let Some(mut scanner) = self.scanner.take() {
            let before = found.len();
            scanner.finish(found);
            shift(found, before, self.scan_base);
        }
    }

    /// What the client does not have yet is searched for other patterns, from the beginning.
    pub(super) fn rescan(&mut self, by: Option<Scanner>, found: &mut Vec<(Place, Match)>) {
        self.scanner = by;
        self.scan_base = self.released;
        if let Some(scanner) = &mut self.scanner {
            let mut matches = Vec::new();
            let unseen = self.text.get(self.released as usize..).unwrap_or_default();
            scanner.feed(unseen, &mut matches);
            shift(&mut matches, 0, self.scan_base);
            found.extend(matches.into_iter().map(|m| (self.place, m)));
        }
    }

    /// Replaces a range that has not left.
    pub(super) fn replace(
        &mut self,
        offset: u32,
        len: u32,
        text: String,
    ) -> Result<(), Unreplaced> {
        let edit = self.edit(offset, len, text)?;
        self.edits.push(edit);
        self.edits.sort_by_key(|e| e.start);
        Ok(())
    }

    /// The change that replaces a range, if it can be made.
    fn edit(&self, offset: u32, len: u32, text: String) -> Result<Edit, Unreplaced> {
        let impossible = |why: &str| Err(Unreplaced::Impossible(why.to_owned()));
        let end = offset.saturating_add(len);
        if offset < self.released {
            return Err(Unreplaced::TooLate);
        }
        if end as usize > self.text.len() {
            return impossible("the range ends beyond the text that has arrived");
        }
        if !self.text.is_char_boundary(offset as usize) || !self.text.is_char_boundary(end as usize)
        {
            return impossible("the range does not begin and end between characters");
        }
        if self.edits.iter().any(|e| offset < e.end && e.start < end) {
            return impossible("a part of the range was replaced before");
        }
        Ok(Edit {
            start: offset,
            end,
            text,
        })
    }

    /// The arguments of a sealed call with one range more replaced. Where a policy wrote the whole of them there are no ranges
    /// any more.
    pub(super) fn with(&self, offset: u32, len: u32, text: &str) -> Result<String, Unreplaced> {
        let whole = |edits: &[Edit]| {
            let mut seen = String::with_capacity(self.text.len());
            render(&self.text, edits, 0, self.text.len() as u32, &mut seen);
            seen
        };
        let rewritten = self.call.as_ref().and_then(|call| call.rewritten.as_ref());
        if rewritten.is_some_and(|rewritten| *rewritten != whole(&self.edits)) {
            let why = "the arguments were rewritten before".to_owned();
            return Err(Unreplaced::Impossible(why));
        }
        let mut edits = self.edits.clone();
        edits.push(self.edit(offset, len, text.to_owned())?);
        edits.sort_by_key(|e| e.start);
        Ok(whole(&edits))
    }

    /// What the client gets of a range and of as much text before and behind it as a match may have.
    pub(super) fn around(&self, start: u32, end: u32) -> String {
        let (start, end) = (start as usize, (end as usize).min(self.text.len()));
        let from = start.saturating_sub(MAX_MATCH).min(self.text.len());
        let to = end.saturating_add(MAX_MATCH).min(self.text.len());
        let from = self.text.floor_char_boundary(from) as u32;
        let to = self.text.ceil_char_boundary(to) as u32;
        let mut text = String::new();
        self.render(from, to, &mut text);
        // What is put in at the end goes out with what comes next.
        let at_end = |e: &&Edit| e.start as usize == self.text.len() && e.start == to;
        let last = self.edits.iter().filter(at_end);
        text.extend(last.map(|e| e.text.as_str()));
        text
    }

    /// What stands in the place of a range is taken out.
    pub(super) fn empty(&mut self, start: u32, end: u32) {
        let it = |e: &&mut Edit| e.start == start && e.end == end;
        if let Some(edit) = self.edits.iter_mut().rev().find(it) {
            edit.text.clear();
        }
    }
    /// Offset before which no byte can belong to a match that is not reported yet.
    pub fn safe(&self) -> u32 {
        self.scanner
            .as_ref()
            .map_or(u32::MAX, |s| self.scan_base + s.safe())
    }

    /// Whether it is a call that policies have seen whole, and that has no arguments: there is no text to wait for.
    pub(super) fn is_judged_without_text(&self) -> bool {
        self.text.is_empty() && self.call.as_ref().is_some_and(Call::is_judged)
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

    /// Whether some of its text is replaced.
    pub fn is_edited(&self) -> bool {
        !self.edits.is_empty()
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
    pub(super) fn render(&self, start: u32, end: u32, out: &mut String) -> bool {
        render(&self.text, &self.edits, start, end, out)
    }
}

fn render(text: &str, edits: &[Edit], start: u32, end: u32, out: &mut String) -> bool {
    let (mut at, mut touched) = (start, false);
    for edit in edits
        .iter()
        .filter(|e| e.start < end && start < e.end.max(e.start + 1))
    {
        touched = true;
        if edit.start >= start {
            out.push_str(
                text.get(at as usize..edit.start as usize)
                    .unwrap_or_default(),
            );
            out.push_str(&edit.text);
        }
        at = at.max(edit.end.min(end));
    }
    out.push_str(text.get(at as usize..end as usize).unwrap_or_default());
    touched
}

pub(super) fn scanner(patterns: &Patterns, channel: Channel) -> Option<Scanner> {
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
