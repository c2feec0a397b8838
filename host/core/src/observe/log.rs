//! What one exchange has seen so far, in the form in which policies are told it.
//!
//! One growing string holds all text, so that a batch for a policy is a slice of it: policies that wake late cost one copy,
//! however many chunks there were. Consecutive text of one place becomes one event (64 chunks as one event cost 1.1 us to
//! pass, as 64 events 3.6 us).

use crate::event::{Micros, Place};
use airlock_policy::contract::types::{
    self as wit, Attachments, Batch, Checkpoint, Detail, EventKind, PatternMatch,
};
use airlock_policy::contract::{EVENT_WORDS, EventWords, SMALL, small};

/// At most this much of a message, result or tool call is told as text; the rest is read by `content.read`.
pub const INLINE_BYTES: usize = 4096;

/// Which kinds of events a policy is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u32);

impl Kinds {
    /// Every kind.
    pub const ALL: Kinds = Kinds(u32::MAX);

    /// The set of these kinds.
    pub fn of(kinds: &[EventKind]) -> Kinds {
        kinds
            .iter()
            .fold(Kinds::default(), |set, kind| set.with(*kind))
    }

    /// The set and one more kind.
    pub fn with(self, kind: EventKind) -> Kinds {
        Kinds(self.0 | 1 << kind as u32)
    }

    /// Whether the kind is in the set.
    pub fn has(self, kind: EventKind) -> bool {
        self.0 & 1 << kind as u32 != 0
    }
}

/// One observed fact of the exchange.
#[derive(Debug)]
pub struct Item {
    /// Sequence number on the session's timeline.
    pub seq: u64,
    /// When.
    pub at: Micros,
    /// What.
    pub kind: EventKind,
    /// Where its text stands, if it has a place.
    pub place: Option<Place>,
    /// Offset of the first byte in its channel, for text.
    pub offset: u32,
    /// Tokens of the text.
    pub tokens: u32,
    /// Policy (index in the set) whose action caused this; it is not woken by it.
    pub cause: Option<usize>,
    /// The only policy that is told, for what concerns no other.
    only: Option<usize>,
    end: u32,
    detail: Option<Box<Detail>>,
}

impl Item {
    /// What only few events have.
    pub fn detail(&self) -> Option<&Detail> {
        self.detail.as_deref()
    }
}

/// The log of one exchange.
#[derive(Debug, Default)]
pub struct Log {
    text: String,
    items: Vec<Item>,
    /// First item of the present attempt. What an earlier one generated counts no longer.
    anew: usize,
}

impl Log {
    /// How many items there are; a policy that saw all of them has this as its cursor.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing was observed yet.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The items from an index on.
    pub fn since(&self, cursor: usize) -> &[Item] {
        self.items.get(cursor..).unwrap_or_default()
    }

    /// The generation begins anew: what was generated so far is told to nobody any more, since its places begin at 0 again.
    pub fn start_over(&mut self) {
        self.anew = self.items.len();
    }

    /// Index of the first text item that ends beyond `offset` in its place; the length if there is none.
    pub fn first_beyond(&self, released: impl Fn(Place) -> u32) -> usize {
        self.items
            .iter()
            .enumerate()
            .skip(self.anew)
            .find(|(i, item)| match (item.kind, item.place) {
                (EventKind::Text, Some(place)) => item.offset + self.text_len(*i) > released(place),
                _ => false,
            })
            .map_or(self.items.len(), |(i, _)| i)
    }

    /// Adds a fact. Text beyond [`INLINE_BYTES`] must have been cut by the caller unless it is generated text.
    pub fn push(
        &mut self,
        seq: u64,
        at: Micros,
        kind: EventKind,
        text: &str,
        detail: Option<Detail>,
        cause: Option<usize>,
    ) {
        self.text.push_str(text);
        self.items.push(Item {
            seq,
            at,
            kind,
            place: None,
            offset: 0,
            tokens: 0,
            cause,
            only: None,
            end: self.text.len() as u32,
            detail: detail.map(Box::new),
        });
    }

    /// Adds what concerns one policy alone, and is told to it whatever it wants to see.
    pub fn push_for(
        &mut self,
        reader: usize,
        seq: u64,
        at: Micros,
        kind: EventKind,
        detail: Detail,
    ) {
        self.push(seq, at, kind, "", Some(detail), None);
        if let Some(item) = self.items.last_mut() {
            item.only = Some(reader);
        }
    }

    /// Adds a fact whose text stands at a place, from its beginning.
    pub fn push_at(
        &mut self,
        (seq, at): (u64, Micros),
        kind: EventKind,
        place: Place,
        text: &str,
        detail: Detail,
        cause: Option<usize>,
    ) {
        self.push(seq, at, kind, text, Some(detail), cause);
        if let Some(item) = self.items.last_mut() {
            item.place = Some(place);
        }
    }

    /// Adds generated text.
    pub fn push_text(
        &mut self,
        seq: u64,
        at: Micros,
        place: Place,
        offset: u32,
        text: &str,
        tokens: u32,
    ) {
        self.push(seq, at, EventKind::Text, text, None, None);
        if let Some(item) = self.items.last_mut() {
            (item.place, item.offset, item.tokens) = (Some(place), offset, tokens);
        }
    }

    fn text_start(&self, index: usize) -> usize {
        index
            .checked_sub(1)
            .and_then(|i| self.items.get(i))
            .map_or(0, |item| item.end as usize)
    }

    fn text_len(&self, index: usize) -> u32 {
        self.items
            .get(index)
            .map_or(0, |item| item.end - self.text_start(index) as u32)
    }

    fn text_of(&self, index: usize) -> &str {
        let end = self.items.get(index).map_or(0, |item| item.end as usize);
        self.text
            .get(self.text_start(index)..end)
            .unwrap_or_default()
    }

    /// Everything since `cursor` that the policy `reader`, with these `kinds`, is told; and the first and last sequence
    /// number of it, (0, 0) if that is nothing.
    pub fn batch(
        &self,
        reader: usize,
        cursor: usize,
        kinds: Kinds,
        checkpoint: Checkpoint,
        exchange: u32,
        matches: Vec<PatternMatch>,
    ) -> (Batch, (u64, u64)) {
        let text = self.text.len().saturating_sub(self.text_start(cursor));
        let mut batch = Batch {
            checkpoint,
            exchange,
            first_seq: 0,
            time: 0,
            text: String::with_capacity(text),
            event_words: EVENT_WORDS,
            events: Vec::new(),
            attached: None,
        };
        let mut details = Vec::new();
        let mut range = (0, 0);
        // The event that is being put together.
        let mut open: Option<EventWords> = None;
        let sees = |item: &Item| {
            item.only
                .map_or(kinds.has(item.kind), |only| only == reader)
        };
        for (i, item) in self.since(cursor).iter().enumerate() {
            let generated = matches!(item.kind, EventKind::Text | EventKind::ToolCall);
            if !sees(item) || generated && cursor + i < self.anew {
                continue;
            }
            let text = self.text_of(cursor + i);
            let (from, place) = (batch.text.len() as u32, place_of(item));
            batch.text.push_str(text);
            let text_end = batch.text.len() as u32;
            range.1 = item.seq;
            if range.0 == 0 {
                (range.0, batch.first_seq, batch.time) = (item.seq, item.seq, item.at);
            }
            if let Some(event) = &mut open {
                let begins = event.offset + (event.text_end - event_start(&batch.events));
                let goes_on = item.kind == EventKind::Text && event.kind == EventKind::Text;
                if goes_on
                    && event.place == place
                    && begins == item.offset
                    && event.text_end == from
                {
                    event.text_end = text_end;
                    event.tokens = small(u64::from(event.tokens) + u64::from(item.tokens));
                    continue;
                }
                event.write(&mut batch.events);
            }
            let detail = match &item.detail {
                Some(detail) => {
                    details.push((**detail).clone());
                    details.len() as u32
                }
                None => 0,
            };
            open = Some(EventWords {
                kind: item.kind,
                detail,
                text_end,
                after: small(item.at.saturating_sub(batch.time)),
                place,
                offset: item.offset,
                tokens: item.tokens.min(SMALL),
            });
        }
        if let Some(event) = open {
            event.write(&mut batch.events);
        }
        if !details.is_empty() || !matches.is_empty() {
            batch.attached = Some(Attachments { details, matches });
        }
        (batch, range)
    }
}

/// Where the text of the event that comes next begins.
fn event_start(events: &[u32]) -> u32 {
    const TEXT_END: usize = 2;
    let last = events.len().checked_sub(EVENT_WORDS as usize);
    last.and_then(|last| events.get(last + TEXT_END))
        .copied()
        .unwrap_or(0)
}

fn place_of(item: &Item) -> wit::Place {
    let nowhere = wit::Place {
        channel: wit::Channel::Nowhere,
        choice: 0,
        item: 0,
        part: 0,
    };
    item.place.map_or(nowhere, Into::into)
}

/// The longest prefix of at most [`INLINE_BYTES`] that ends on a character boundary.
pub fn inline(text: &str) -> &str {
    text.get(..text.floor_char_boundary(INLINE_BYTES.min(text.len())))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::event::Channel;

    const OUT: Place = Place::new(Channel::Output, 0, 0);
    const THINK: Place = Place::new(Channel::Reasoning, 0, 0);

    fn sample() -> Log {
        let mut log = Log::default();
        log.push(1, 1_000, EventKind::Failure, "first try", None, None);
        log.push_text(2, 2_000, THINK, 0, "hm", 1);
        log.push_text(3, 3_000, OUT, 0, "Hé", 1);
        log.push_text(4, 4_500, OUT, 3, "llo", 1);
        log.push_text(5, 5_000, THINK, 2, "m", 1);
        log
    }

    #[test]
    fn consecutive_text_of_one_place_is_one_event() {
        let (batch, range) = sample().batch(0, 0, Kinds::ALL, Checkpoint::Stream, 1, vec![]);
        assert_eq!(batch.text, "first tryhmHéllom");
        let events: Vec<EventWords> = batch.words().collect();
        let ends: Vec<u32> = events.iter().map(|e| e.text_end).collect();
        assert_eq!(ends, [9, 11, 17, 18]);
        let offsets: Vec<u32> = events.iter().map(|e| e.offset).collect();
        assert_eq!(offsets, [0, 0, 0, 2]);
        assert_eq!(events[2].tokens, 2);
        assert_eq!(range, (1, 5));
        assert_eq!(
            (batch.first_seq, batch.time, events[1].after),
            (1, 1_000, 1_000)
        );
    }

    #[test]
    fn kinds_that_a_policy_does_not_see_take_no_room() {
        let log = sample();
        let (batch, _) = log.batch(
            0,
            2,
            Kinds::of(&[EventKind::Text]),
            Checkpoint::Stream,
            1,
            vec![],
        );
        assert_eq!(batch.text, "Héllom");
        let (batch, range) = log.batch(
            0,
            0,
            Kinds::of(&[EventKind::Answer]),
            Checkpoint::Stream,
            1,
            vec![],
        );
        assert!(batch.events.is_empty() && batch.text.is_empty() && range == (0, 0));
    }

    #[test]
    fn unreleased_text_is_found_for_another_generation_to_see() {
        let log = sample();
        assert_eq!(
            log.first_beyond(|place| if place == OUT { 3 } else { 9 }),
            3
        );
        assert_eq!(log.first_beyond(|_| 99), log.len());
    }

    #[test]
    fn what_a_failed_attempt_said_is_told_to_nobody_after_it() {
        let mut log = sample();
        log.start_over();
        log.push_text(6, 6_000, OUT, 0, "again", 1);
        let (batch, range) = log.batch(0, 0, Kinds::ALL, Checkpoint::Stream, 1, vec![]);
        assert_eq!((batch.text.as_str(), range), ("first tryagain", (1, 6)));
        assert_eq!(log.first_beyond(|_| 0), 5);
    }

    #[test]
    fn inline_text_ends_on_a_character() {
        let long = "é".repeat(INLINE_BYTES);
        assert_eq!(inline(&long).len(), INLINE_BYTES);
        assert_eq!(inline(&long[..6]), "ééé");
    }
}
