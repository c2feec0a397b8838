//! Which bytes of a batch's text are those of a span.

use std::ops::Range;

use super::words::Words;
use crate::types::Span;

/// The longest part of a span that stands in one piece in the text of a batch, whose events are given each with the bytes of
/// its own text. Nothing if no byte of it is there.
pub(super) fn longest(
    events: impl Iterator<Item = (Words, Range<usize>)>,
    span: &Span,
) -> Option<Range<usize>> {
    let (mut piece, mut longest) = (Piece::default(), 0..0);
    for (words, bytes) in events.filter(|(words, _)| words.place == span.place) {
        if piece.goes_on_with(&words, &bytes) {
            piece.bytes.end = bytes.end;
        } else {
            piece = Piece {
                offset: words.offset as usize,
                bytes,
            };
        }
        let part = piece.part(span);
        // Of two of the same length, the newer: a tool call repeats its arguments, which may have been rewritten.
        if part.len() >= longest.len() {
            longest = part;
        }
    }
    (!longest.is_empty()).then_some(longest)
}

/// Text that follows one another both in its place and in the batch.
#[derive(Default)]
struct Piece {
    /// Offset of its first byte in the place.
    offset: usize,
    /// Its bytes in the batch's text.
    bytes: Range<usize>,
}

impl Piece {
    fn goes_on_with(&self, next: &Words, bytes: &Range<usize>) -> bool {
        self.bytes.end == bytes.start
            && self.offset.saturating_add(self.bytes.len()) == next.offset as usize
    }

    /// The bytes of a span in it; an empty range if it has none.
    fn part(&self, span: &Span) -> Range<usize> {
        // Saturating, because a span may be anybody's, and these are 32 bits in Wasm.
        let at = |offset: u32| {
            let inside = (offset as usize).saturating_sub(self.offset);
            self.bytes.start.saturating_add(inside)
        };
        at(span.offset)..at(span.end()).min(self.bytes.end)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::{Value, json};

    use crate::{
        Batch,
        testing::batch,
        types::{Channel, Place},
    };

    fn events(events: Value) -> Batch {
        batch(&json!({ "events": events })).unwrap()
    }

    #[test]
    fn the_text_of_a_span_is_what_is_here_of_it() {
        let output = Place::new(Channel::Output);
        // 10..18 of the output in two events, with something without text between them; then 18..20 behind another text.
        let batch = events(json!([
            { "kind": "text", "offset": 10, "text": "word" },
            { "kind": "vitals" },
            { "kind": "text", "text": "fish" },
            { "kind": "text", "channel": "reasoning", "text": "hm" },
            { "kind": "text", "text": "ed" },
        ]));
        for (offset, length, expected) in [
            (11, 2, Some("or")),
            (10, 8, Some("wordfish")),
            (9, 7, Some("wordfi")),
            (0, 11, Some("w")),
            (14, 5, Some("fish")),
            (17, 3, Some("ed")),
            (19, 9, Some("d")),
            (0, 10, None),
            (20, 5, None),
            (12, 0, None),
        ] {
            assert_eq!(
                batch.text_of(&output.span(offset, length)),
                expected,
                "{offset} {length}"
            );
        }
        assert_eq!(batch.text_of(&output.item(1).span(10, 4)), None);
        assert_eq!(
            batch.text_of(&Place::new(Channel::Reasoning).span(0, 2)),
            Some("hm")
        );
        let events: Vec<_> = batch.events().collect();
        assert_eq!(batch.text_of(&events[2].whole()), Some("fish"));
    }

    #[test]
    fn of_a_text_that_is_told_twice_the_longer_part_counts() {
        let batch = events(json!([
            { "kind": "text", "channel": "tool-arguments", "text": "{\"a\":1}" },
            { "kind": "tool-call", "text": "{\"b" },
        ]));
        let arguments = Place::new(Channel::ToolArguments);
        assert_eq!(batch.text_of(&arguments.span(1, 5)), Some("\"a\":1"));
        assert_eq!(batch.text_of(&arguments.span(1, 2)), Some("\"b"));
    }
}
