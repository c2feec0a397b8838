//! Where text stands, and what a finding is about.

use std::{cmp::Ordering, fmt};

use crate::types::{Channel, Message, Place, ReleaseMark, Span, Subject, ToolCall, ToolResult};

/// Its name in the contract, such as `tool-arguments`.
impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nowhere => "nowhere",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
            Self::Refusal => "refusal",
            Self::ToolArguments => "tool-arguments",
            Self::Message => "message",
            Self::ToolResult => "tool-result",
            Self::Other => "other",
        })
    }
}

impl Place {
    /// The first text of a channel: choice, item and part are 0.
    pub fn new(channel: Channel) -> Self {
        Self {
            channel,
            choice: 0,
            item: 0,
            part: 0,
        }
    }

    /// The same in this item.
    pub fn item(mut self, item: u32) -> Self {
        self.item = item;
        self
    }

    /// A range of this text: offset of its first byte, and bytes.
    pub fn span(self, offset: u32, length: u32) -> Span {
        Span {
            place: self,
            offset,
            length,
        }
    }

    fn key(&self) -> (Channel, u32, u32, u32) {
        (self.channel, self.choice, self.item, self.part)
    }
}

impl Eq for Place {}

/// By channel, choice, item and part, so that a place can be the key of a map.
impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Span {
    /// Offset of the first byte behind it.
    pub fn end(&self) -> u32 {
        self.offset.saturating_add(self.length)
    }

    /// Whether the two have a byte in common.
    pub fn overlaps(&self, other: &Span) -> bool {
        self.place == other.place && self.offset.max(other.offset) < self.end().min(other.end())
    }
}

/// A span is a list of one, so that `.evidence(event.whole())` reads well.
impl IntoIterator for Span {
    type Item = Span;
    type IntoIter = std::iter::Once<Span>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(self)
    }
}

impl ReleaseMark {
    /// Everything of this text before the offset may go out.
    pub fn new(place: Place, upto: u32) -> Self {
        Self { place, upto }
    }
}

/// The session: nothing more exact.
impl Default for Subject {
    fn default() -> Self {
        Self::Session
    }
}

/// Exactly this text.
impl From<Span> for Subject {
    fn from(span: Span) -> Self {
        Self::Text(span)
    }
}

impl From<&Message> for Subject {
    fn from(message: &Message) -> Self {
        Self::Message(message.message)
    }
}

impl From<&ToolCall> for Subject {
    fn from(call: &ToolCall) -> Self {
        Self::ToolCall(call.call.clone())
    }
}

impl From<&ToolResult> for Subject {
    fn from(result: &ToolResult) -> Self {
        Self::ToolResult(result.call.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_overlap_where_they_share_a_byte() {
        let output = Place::new(Channel::Output);
        let span = output.span(4, 4);
        assert_eq!(span.end(), 8);
        for (other, expected) in [
            (output.span(4, 4), true),
            (output.span(0, 5), true),
            (output.span(7, 9), true),
            (output.span(5, 1), true),
            (output.span(0, 4), false),
            (output.span(8, 4), false),
            (output.span(6, 0), false),
            (output.item(1).span(4, 4), false),
            (Place::new(Channel::Reasoning).span(4, 4), false),
        ] {
            assert_eq!(span.overlaps(&other), expected, "{other:?}");
            assert_eq!(other.overlaps(&span), expected, "{other:?}");
        }
    }

    #[test]
    fn places_are_ordered_by_what_is_outermost() {
        let first = Place::new(Channel::Output).item(9);
        let second = Place {
            choice: 1,
            ..Place::new(Channel::Output)
        };
        assert!(first < second && second < Place::new(Channel::Reasoning));
    }
}
