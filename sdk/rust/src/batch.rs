//! Views of what the host passes: events with their text cut out, details found.

use crate::{
    bindings::policy::airlock::policy::types as wit,
    types::{Channel, Checkpoint, Detail, EventKind, PatternMatch, ReportedFinding, Span},
};

/// Events of one exchange, or of the session itself, in order.
#[derive(Clone, Debug)]
pub struct Batch(wit::Batch);

impl Batch {
    pub(crate) fn new(batch: wit::Batch) -> Self {
        Self(batch)
    }

    /// Why the policy is called.
    pub fn checkpoint(&self) -> Checkpoint {
        self.0.checkpoint
    }

    /// Number of the exchange in its session, from 1; 0 for events of the session itself.
    pub fn exchange(&self) -> u32 {
        self.0.exchange
    }

    /// Time of the first event, in microseconds since the Unix epoch. A policy has no other clock.
    pub fn time(&self) -> u64 {
        self.0.time
    }

    /// Text of all events, joined.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The events, with their texts and details.
    pub fn events(&self) -> impl Iterator<Item = Event<'_>> {
        let mut start = 0;
        let mut details = self.0.details.iter().peekable();
        self.0.events.iter().enumerate().map(move |(index, event)| {
            let end = event.text_end as usize;
            // The host's offsets fall on borders of characters; an empty text is better than a trap if one did not.
            let text = self.0.text.get(start..end).unwrap_or_default();
            start = end;
            let index = index as u32;
            while details.next_if(|(of, _)| *of < index).is_some() {}
            let detail = details
                .next_if(|(of, _)| *of == index)
                .map(|(_, detail)| detail);
            Event {
                index,
                seq: self.0.first_seq + u64::from(index),
                kind: event.kind,
                channel: event.channel,
                choice: event.choice,
                block: event.block,
                time: self.0.time + u64::from(event.after),
                offset: event.offset,
                tokens: event.tokens,
                text,
                detail,
            }
        })
    }

    /// Matches of this policy's patterns, in order of their end.
    pub fn matches(&self) -> &[PatternMatch] {
        &self.0.matches
    }

    /// Where a match shows in the events of this batch, and its text there. The beginning of a match may lie in an
    /// earlier batch: then the part that is here; nothing if none is.
    pub fn find(&self, found: &PatternMatch) -> Option<(Span, &str)> {
        let (from, to) = (found.offset, found.offset.saturating_add(found.len));
        self.events().find_map(|event| {
            let same_place = event.kind == EventKind::Text
                && event.channel == found.channel
                && event.choice == found.choice
                && event.block == found.block;
            let end = event.offset + event.text.len() as u32;
            if !same_place || end < to || event.offset >= to {
                return None;
            }
            let start = from.saturating_sub(event.offset);
            let text = event
                .text
                .get(start as usize..(to - event.offset) as usize)?;
            Some((event.span(start, text.len() as u32), text))
        })
    }

    /// The newest value of a vital in this batch; ids are in [`vital`](crate::vital).
    pub fn vital(&self, id: crate::vital::Id) -> Option<f64> {
        self.0
            .details
            .iter()
            .rev()
            .find_map(|(_, detail)| match detail {
                Detail::Vitals(vitals) => vitals
                    .iter()
                    .find(|vital| vital.id == id)
                    .map(|vital| vital.value),
                _ => None,
            })
    }
}

/// One observed fact.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Index in the batch.
    pub index: u32,
    /// Sequence number on the session's timeline.
    pub seq: u64,
    /// What kind of fact it is.
    pub kind: EventKind,
    /// For text: where it was written.
    pub channel: Channel,
    /// For text and tool calls: index of the choice.
    pub choice: u16,
    /// For text and tool calls: index of the block or call.
    pub block: u16,
    /// Microseconds since the Unix epoch.
    pub time: u64,
    /// For text: offset of its first byte in its channel.
    pub offset: u32,
    /// Tokens in the text.
    pub tokens: u32,
    /// Its text.
    pub text: &'a str,
    /// Its detail, if its kind has one.
    pub detail: Option<&'a Detail>,
}

impl Event<'_> {
    /// A part of its text, as evidence.
    pub fn span(&self, start: u32, len: u32) -> Span {
        Span {
            event: self.index,
            start,
            len,
        }
    }

    /// All of its text, as evidence.
    pub fn whole(&self) -> Span {
        self.span(0, self.text.len() as u32)
    }
}

/// Findings of the kinds that the actuator subscribed to, and the events that they were drawn from.
#[derive(Clone, Debug)]
pub struct Situation {
    /// The findings.
    pub findings: Vec<ReportedFinding>,
    /// The events.
    pub batch: Batch,
}

impl Situation {
    pub(crate) fn new(situation: wit::Situation) -> Self {
        Self {
            findings: situation.findings,
            batch: Batch::new(situation.batch),
        }
    }

    /// Findings of one kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a ReportedFinding> {
        self.findings
            .iter()
            .filter(move |found| found.finding.kind == kind)
    }
}
