//! An event as the numbers that the contract passes. Their meaning stands at `batch` in `wit/events.wit`.

use crate::types::{Channel, EventKind, Place};

/// Numbers of one event, at least.
pub(super) const EVENT_WORDS: usize = 10;

/// One event in numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Words {
    pub(super) kind: EventKind,
    /// Index in the details, if it has one.
    pub(super) detail: Option<usize>,
    pub(super) text_end: usize,
    pub(super) after: u32,
    pub(super) place: Place,
    pub(super) offset: u32,
    pub(super) tokens: u32,
}

impl Words {
    /// Nothing if there are too few. More come from a later version, and mean nothing here.
    pub(super) fn read(words: &[u32]) -> Option<Self> {
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
            kind: KINDS
                .get(kind as usize)
                .copied()
                .unwrap_or(EventKind::Other),
            detail: (detail as usize).checked_sub(1),
            text_end: text_end as usize,
            after,
            place: Place {
                channel: CHANNELS
                    .get(channel as usize)
                    .copied()
                    .unwrap_or(Channel::Other),
                choice,
                item,
                part,
            },
            offset,
            tokens,
        })
    }
}

/// In the order of their numbers.
const KINDS: [EventKind; 16] = [
    EventKind::SessionOpened,
    EventKind::HistoryRewritten,
    EventKind::Message,
    EventKind::Part,
    EventKind::ToolOffered,
    EventKind::Request,
    EventKind::Text,
    EventKind::ToolCall,
    EventKind::ToolResult,
    EventKind::ResponseEnd,
    EventKind::Failure,
    EventKind::Vitals,
    EventKind::Answer,
    EventKind::Intervention,
    EventKind::Finding,
    EventKind::Other,
];

/// In the order of their numbers.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use airlock_golden::wit_json;

    use super::*;

    #[test]
    fn numbers_are_those_of_the_contract_here_and_in_golden_cases() {
        assert_eq!(EventKind::Other as usize + 1, KINDS.len());
        for (number, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
            assert_eq!(
                wit_json::to_value(&kind).unwrap(),
                airlock_golden::EVENT_KINDS[number]
            );
        }
        assert_eq!(Channel::Other as usize + 1, CHANNELS.len());
        for (number, channel) in CHANNELS.into_iter().enumerate() {
            assert_eq!(channel as usize, number);
            assert_eq!(
                wit_json::to_value(&channel).unwrap(),
                airlock_golden::CHANNELS[number]
            );
            assert_eq!(channel.to_string(), airlock_golden::CHANNELS[number]);
        }
    }

    #[test]
    fn what_a_later_version_adds_is_other() {
        let words = Words::read(&[99, 0, 1, 2, 99, 3, 4, 5, 6, 7, 8, 9]).unwrap();
        assert_eq!(
            (words.kind, words.place.channel),
            (EventKind::Other, Channel::Other)
        );
        assert_eq!((words.detail, words.tokens), (None, 7));
        assert_eq!(Words::read(&[6; EVENT_WORDS - 1]), None);
    }
}
