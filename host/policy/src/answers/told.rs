//! Whether a finding shows in text that was told.

use std::collections::HashMap;

use super::numbers::{end, span};
use crate::contract::{SMALL, channel_name, types};

/// How far each text was told when the batch was made.
#[derive(Default)]
pub(super) struct Told(HashMap<[u32; 4], u64>);

impl Told {
    pub(super) fn of(batch: &types::Batch) -> Self {
        let mut ends = HashMap::new();
        for (event, text, detail) in batch.told() {
            let end = (u64::from(event.offset) + text.len() as u64).max(whole(detail));
            let known: &mut u64 = ends.entry(Self::key(&event.place)).or_default();
            *known = end.max(*known);
        }
        Self(ends)
    }

    /// A text that the batch says nothing of may have been told before: its end is not known.
    fn end(&self, place: &types::Place) -> u64 {
        let end = self.0.get(&Self::key(place));
        end.copied().unwrap_or(SMALL.into())
    }

    fn key(place: &types::Place) -> [u32; 4] {
        [place.channel as u32, place.choice, place.item, place.part]
    }
}

/// Judges where a finding shows: it must end within what was told of that text.
pub(super) fn evidence(shown: &types::Span, told: &Told) -> Result<(), String> {
    if shown.place.channel == types::Channel::Nowhere {
        return Err("its evidence is in the channel `nowhere`, which has no text".into());
    }
    span("a number of its evidence", shown)?;
    if end(shown) > told.end(&shown.place) {
        return Err(format!(
            "its evidence, {} bytes from {} of `{}` {}, ends beyond what was told of that text",
            shown.length,
            shown.offset,
            channel_name(shown.place.channel),
            shown.place.item
        ));
    }
    Ok(())
}

/// Length of a text of which the event holds only the beginning: the rest can be read, so it was told.
fn whole(detail: Option<&types::Detail>) -> u64 {
    use types::Detail as D;
    match detail {
        Some(D::Message(m)) => m.content.length,
        Some(D::ToolOffer(t)) => t.content.length,
        Some(D::ToolCall(t)) => t.content.length,
        Some(D::ToolResult(t)) => t.content.length,
        _ => 0,
    }
}
