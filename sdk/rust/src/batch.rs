//! Views of what the host passes: events with their text cut out, details found.

mod piece;
mod words;

use std::ops::Range;

use words::{EVENT_WORDS, Words};

use crate::{
    bindings::policy::airlock::policy::{actions, events as wit},
    types::{Checkpoint, Detail, EventKind, PatternMatch, Place, ReportedFinding, Span},
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

    /// Sequence number of the first event on the session's timeline. Those of the others do not follow from it: texts are
    /// joined, and what this policy does not see is left out.
    pub fn first_seq(&self) -> u64 {
        self.0.first_seq
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
        let details = self.details();
        self.words()
            .enumerate()
            .map(move |(index, (words, bytes))| Event {
                index: index as u32,
                kind: words.kind,
                place: words.place,
                time: self.0.time.saturating_add(u64::from(words.after)),
                offset: words.offset,
                tokens: words.tokens,
                // The host's offsets fall on borders of characters; an empty text is better than a trap if one did not.
                text: self.0.text.get(bytes).unwrap_or_default(),
                detail: words.detail.and_then(|at| details.get(at)),
            })
    }

    /// Matches of this policy's patterns in generated text, in order of their end.
    pub fn matches(&self) -> &[PatternMatch] {
        self.0
            .attached
            .as_ref()
            .map_or(&[], |attached| &attached.matches)
    }

    /// The text of a span, as far as this batch has it in one piece: the beginning may lie in an earlier batch, and the end
    /// beyond the first 4,096 bytes that an event brings of a long text. Nothing if no byte of it is here.
    pub fn text_of(&self, span: &Span) -> Option<&str> {
        let bytes = piece::longest(self.words(), span)?;
        self.0.text.get(bytes)
    }

    /// The newest value of a vital in this batch; ids are in [`vital`](crate::vital).
    pub fn vital(&self, id: crate::vital::Id) -> Option<f64> {
        self.details().iter().rev().find_map(|detail| match detail {
            Detail::Vitals(vitals) => vitals
                .iter()
                .find(|vital| vital.quantity == id)
                .map(|vital| vital.value),
            _ => None,
        })
    }

    fn details(&self) -> &[Detail] {
        self.0
            .attached
            .as_ref()
            .map_or(&[], |attached| &attached.details)
    }

    /// The events in numbers, each with the bytes of its text in the joined one.
    fn words(&self) -> impl Iterator<Item = (Words, Range<usize>)> {
        let step = (self.0.event_words as usize).max(EVENT_WORDS);
        let mut start = 0;
        self.0
            .events
            .chunks(step)
            .filter_map(Words::read)
            .map(move |words| {
                let bytes = start..words.text_end;
                start = words.text_end;
                (words, bytes)
            })
    }
}

/// One observed fact.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Index in the batch.
    pub index: u32,
    /// What kind of fact it is.
    pub kind: EventKind,
    /// Where its text stands; in channel `nowhere` if it has none, or one without a place.
    pub place: Place,
    /// Microseconds since the Unix epoch.
    pub time: u64,
    /// Offset of the first byte of its text in its place.
    pub offset: u32,
    /// For text: tokens in it.
    pub tokens: u32,
    /// Its text; of a message, a tool call or the result of one, the first 4,096 bytes.
    pub text: &'a str,
    /// Its detail, if its kind has one.
    pub detail: Option<&'a Detail>,
}

impl Event<'_> {
    /// A part of its text: first byte in `text`, and bytes.
    pub fn span(&self, start: u32, length: u32) -> Span {
        self.place.span(self.offset.saturating_add(start), length)
    }

    /// All of its text.
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
    pub(crate) fn new(situation: actions::Situation) -> Self {
        Self {
            findings: situation.findings,
            batch: Batch::new(situation.batch),
        }
    }

    /// What this policy itself found.
    pub fn own(&self) -> impl Iterator<Item = &ReportedFinding> {
        self.findings.iter().filter(|found| found.is_own)
    }

    /// What this policy itself found, of one kind.
    pub fn own_of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a ReportedFinding> {
        self.of_kind(kind).filter(|found| found.is_own)
    }

    /// Findings of one kind, those of other policies included: any of them can name its findings as it likes, so that one
    /// cannot be believed more than who found it. For what the policy itself found there is [`own_of_kind`](Self::own_of_kind).
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a ReportedFinding> {
        self.findings
            .iter()
            .filter(move |found| found.finding.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        testing::batch,
        types::{Channel, Finding, Severity},
        vital,
    };

    fn events(events: Value) -> Batch {
        batch(&json!({ "first-seq": 3, "time": 100, "events": events })).unwrap()
    }

    #[test]
    fn each_event_has_its_own_text_and_detail() {
        let batch = events(json!([
            { "kind": "vitals", "detail": { "vitals": [{ "quantity": 1, "value": 5.0 }] } },
            { "kind": "text", "offset": 7, "text": "né", "after": 2, "tokens": 1 },
            { "kind": "tool-call", "item": 1, "text": "{}", "detail": { "tool-call": { "call": "c" } } },
            { "kind": "vitals", "detail": { "vitals": [{ "quantity": 1, "value": 6.0 }] } },
        ]));
        let events: Vec<_> = batch.events().collect();
        assert_eq!(events.len(), 4);
        assert_eq!(
            (
                events[1].text,
                batch.first_seq(),
                events[1].time,
                events[1].tokens
            ),
            ("né", 3, 102, 1)
        );
        assert!(events[1].detail.is_none());
        assert!(matches!(events[2].detail, Some(Detail::ToolCall(call)) if call.call == "c"));
        assert_eq!(events[1].whole(), Place::new(Channel::Output).span(7, 3));
        assert_eq!(
            events[2].span(1, 1),
            Place::new(Channel::ToolArguments).item(1).span(1, 1)
        );
        assert_eq!(
            (batch.vital(vital::ELAPSED), batch.vital(vital::TOKEN_GAP)),
            (Some(6.0), None)
        );
    }

    #[test]
    fn words_of_a_later_version_are_stepped_over() {
        let mut wit =
            events(json!([{ "kind": "text", "text": "a" }, { "kind": "text", "text": "b" }])).0;
        wit.event_words = 12;
        wit.events = wit
            .events
            .chunks(10)
            .flat_map(|words| [words, &[1, 2]].concat())
            .collect();
        let batch = Batch::new(wit);
        assert_eq!(
            batch.events().map(|event| event.text).collect::<Vec<_>>(),
            ["a", "b"]
        );
    }

    #[test]
    fn what_cannot_be_is_no_trap() {
        let mut wit = events(json!([{ "kind": "text", "text": "ab" }, { "kind": "text" }])).0;
        let most = u32::MAX;
        wit.time = u64::MAX;
        // The text ends before it begins, far behind the batch's, and all offsets are as far as they can be.
        for (first, second) in [(most, 0), (1, most), (most, most)] {
            wit.events = [
                [6, 0, first, most, 1, 0, 0, 0, most, 1],
                [6, most, second, 0, 1, most, most, most, most, most],
            ]
            .concat();
            let batch = Batch::new(wit.clone());
            for event in batch.events() {
                assert_eq!(event.time, u64::MAX);
                assert_eq!(event.span(most, most).end(), most);
                for offset in [0, 1, most] {
                    batch.text_of(&event.place.span(offset, most));
                }
            }
        }
    }

    #[test]
    fn own_findings_are_told_from_those_that_others_name_alike() {
        let found = |kind: &str, is_own| ReportedFinding {
            policy: String::new(),
            is_own,
            session: String::new(),
            exchange: 1,
            finding: Finding::new(kind, Severity::Low, ""),
        };
        let situation = Situation {
            findings: vec![found("a", false), found("a", true), found("b", true)],
            batch: events(json!([])),
        };
        assert_eq!(situation.of_kind("a").count(), 2);
        assert!(situation.own().eq(&situation.findings[1..]));
        assert!(situation.own_of_kind("a").eq(&situation.findings[1..2]));
    }
}
