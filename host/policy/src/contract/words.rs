//! Events as the numbers that the contract passes.

use super::types::{Batch, Channel, Detail, EventKind, Place};

/// Numbers of one event.
pub const EVENT_WORDS: u32 = 10;

/// The largest `u32` of the contract: languages that know signed numbers only read it exactly.
pub const SMALL: u32 = i32::MAX as u32;

/// The largest `u64` of the contract: up to here JavaScript reads each one exactly.
pub const LARGE: u64 = 1 << 53;

/// A measure as the contract passes it: one that is too large stays at the largest.
#[must_use]
pub fn small(measure: u64) -> u32 {
    u32::try_from(measure).unwrap_or(SMALL).min(SMALL)
}

/// The same for measures that may be larger.
#[must_use]
pub fn large(measure: u64) -> u64 {
    measure.min(LARGE)
}

/// One event. The meaning of each number stands in `wit/events.wit`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EventWords {
    /// What it states.
    pub kind: EventKind,
    /// Its detail: 0 for none, else one more than the index in `details`.
    pub detail: u32,
    /// End of its text in the batch's.
    pub text_end: u32,
    /// Microseconds after the batch's time.
    pub after: u32,
    /// Where its text stands.
    pub place: Place,
    /// Offset of its text in that place.
    pub offset: u32,
    /// Tokens of its text.
    pub tokens: u32,
}

impl EventWords {
    /// Appends it to the numbers of a batch.
    pub fn write(&self, events: &mut Vec<u32>) {
        events.extend_from_slice(&[
            self.kind as u32,
            self.detail,
            self.text_end,
            self.after,
            self.place.channel as u32,
            self.place.choice,
            self.place.item,
            self.place.part,
            self.offset,
            self.tokens,
        ]);
    }

    fn read(words: &[u32]) -> Option<Self> {
        let &[
            kind,
            detail,
            text_end,
            after,
            channel,
            choice,
            item,
            part,
            offset,
            tokens,
            ..,
        ] = words
        else {
            return None;
        };
        Some(Self {
            kind: kind_of(kind),
            detail,
            text_end,
            after,
            place: Place {
                channel: channel_of(channel),
                choice,
                item,
                part,
            },
            offset,
            tokens,
        })
    }
}

impl Batch {
    /// The events in it.
    pub fn words(&self) -> impl Iterator<Item = EventWords> + '_ {
        let step = (self.event_words as usize).max(EVENT_WORDS as usize);
        self.events.chunks(step).filter_map(EventWords::read)
    }

    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words().count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The events, each with its text and its detail.
    pub fn told(&self) -> impl Iterator<Item = (EventWords, &str, Option<&Detail>)> {
        let mut start = 0;
        let details = self.attached.as_ref().map_or(&[][..], |a| &a.details[..]);
        self.words().map(move |event| {
            let end = event.text_end as usize;
            let text = self.text.get(start..end).unwrap_or_default();
            start = end;
            let detail = (event.detail as usize)
                .checked_sub(1)
                .and_then(|index| details.get(index));
            (event, text, detail)
        })
    }
}

const CHANNELS: [Channel; 8] = [
    Channel::Nowhere,
    Channel::Output,
    Channel::Reasoning,
    Channel::Refusal,
    Channel::ToolArguments,
    Channel::Message,
    Channel::ToolResult,
    Channel::Other,
];

/// The contract's word for a channel.
#[must_use]
pub fn channel_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Nowhere => "nowhere",
        Channel::Output => "output",
        Channel::Reasoning => "reasoning",
        Channel::Refusal => "refusal",
        Channel::ToolArguments => "tool-arguments",
        Channel::Message => "message",
        Channel::ToolResult => "tool-result",
        Channel::Other => "other",
    }
}

fn channel_of(number: u32) -> Channel {
    let known = CHANNELS.get(number as usize);
    known.copied().unwrap_or(Channel::Other)
}

fn kind_of(number: u32) -> EventKind {
    let known = crate::spec::EVENT_KINDS.get(number as usize);
    known.map_or(EventKind::Other, |(kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::types::{Attachments, Checkpoint};
    use super::*;
    use crate::spec::EVENT_KINDS;

    #[test]
    fn numbers_are_those_of_the_cases() {
        for (number, (kind, _)) in EVENT_KINDS.iter().enumerate() {
            assert_eq!(*kind as usize, number);
        }
        for (number, channel) in CHANNELS.iter().enumerate() {
            assert_eq!(*channel as usize, number);
        }
        assert_eq!(kind_of(999), EventKind::Other);
        assert_eq!(channel_of(999), Channel::Other);
    }

    #[test]
    fn a_measure_stays_at_its_bound() {
        assert_eq!(
            [small(7), small(1 << 31), small(u64::MAX)],
            [7, SMALL, SMALL]
        );
        assert_eq!([large(7), large(u64::MAX)], [7, 1 << 53]);
    }

    #[test]
    fn what_is_written_is_read() {
        let place = Place {
            channel: Channel::ToolArguments,
            choice: 1,
            item: 2,
            part: 3,
        };
        let event = EventWords {
            kind: EventKind::ToolCall,
            detail: 4,
            text_end: 5,
            after: 6,
            place,
            offset: 7,
            tokens: 8,
        };
        let mut events = Vec::new();
        event.write(&mut events);
        assert_eq!(events.len(), EVENT_WORDS as usize);
        assert_eq!(EventWords::read(&events), Some(event));
    }

    #[test]
    fn words_that_a_later_version_adds_are_stepped_over() {
        let event = |text_end, detail| EventWords {
            kind: EventKind::Text,
            detail,
            text_end,
            after: 0,
            place: Place {
                channel: Channel::Output,
                choice: 0,
                item: 0,
                part: 0,
            },
            offset: 0,
            tokens: 1,
        };
        let written = [event(2, 0), event(2, 1), event(5, 2)];
        let mut events = Vec::new();
        for event in &written {
            event.write(&mut events);
            events.extend([u32::MAX, 7]);
        }
        let note = |name: &str| Detail::Other((name.into(), "1".into()));
        let batch = Batch {
            checkpoint: Checkpoint::Stream,
            exchange: 1,
            first_seq: 1,
            time: 1,
            text: "abcde".into(),
            event_words: 12,
            events,
            attached: Some(Attachments {
                details: vec![note("first"), note("second")],
                matches: vec![],
            }),
        };
        assert_eq!(batch.len(), 3);
        assert!(batch.words().eq(written));
        let told: Vec<(&str, Option<&Detail>)> = batch
            .told()
            .map(|(_, text, detail)| (text, detail))
            .collect();
        assert_eq!(
            told,
            [
                ("ab", None),
                ("", Some(&note("first"))),
                ("cde", Some(&note("second")))
            ]
        );
    }
}
