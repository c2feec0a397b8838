//! A list of JSON values written anew, with all bytes of what stays as they were: separators and white space too.

use std::ops::Range;

use super::json::{self, Raw};

/// What becomes of the place of one value of a list. The place behind the last value has only what comes before it.
#[derive(Default)]
pub(super) struct Slot {
    /// Values that are put before it.
    pub before: Vec<String>,
    /// What becomes of itself.
    pub old: Old,
    /// Values that are put right after it.
    pub after: Vec<String>,
}

/// What becomes of a value.
#[derive(Default)]
pub(super) enum Old {
    /// It stays.
    #[default]
    Keep,
    /// It goes.
    Gone,
    /// This stands in its place.
    Becomes(String),
}

/// The list, which stands in `source`, with one slot for each of its values and one for its end.
pub(super) fn rewritten(
    source: &str,
    list: Raw<'_>,
    slots: Vec<Slot>,
) -> serde_json::Result<String> {
    let old = json::array(list)?;
    let spans: Vec<_> = old.iter().map(|value| json::span(source, *value)).collect();
    // The brackets, with the white space inside them.
    let (open, close) = match (spans.first(), spans.last()) {
        (Some(first), Some(last)) => {
            let list = json::span(source, list);
            (
                source.get(list.start..first.start).unwrap_or("["),
                source.get(last.end..list.end).unwrap_or("]"),
            )
        }
        _ => ("[", "]"),
    };
    let mut new = List {
        out: open.to_owned(),
        empty: true,
        last: None,
    };
    for (index, slot) in slots.into_iter().enumerate() {
        slot.before.iter().for_each(|value| new.add(value));
        let Some(value) = old.get(index) else { break };
        let becomes = match &slot.old {
            Old::Keep => value.get(),
            Old::Becomes(text) => text,
            Old::Gone => continue,
        };
        match new.last {
            Some(before) if before + 1 == index => {
                new.out.push_str(between(source, &spans, before, index));
            }
            _ => new.comma(),
        }
        new.out.push_str(becomes);
        (new.empty, new.last) = (false, Some(index));
        slot.after.iter().for_each(|value| new.add(value));
    }
    new.out.push_str(close);
    Ok(new.out)
}

/// The new list, as far as it is written.
struct List {
    out: String,
    empty: bool,
    /// The old value that was written last, unless a new one was since.
    last: Option<usize>,
}

impl List {
    fn comma(&mut self) {
        if !self.empty {
            self.out.push(',');
        }
    }

    fn add(&mut self, value: &str) {
        self.comma();
        self.out.push_str(value);
        (self.empty, self.last) = (false, None);
    }
}

fn between<'s>(source: &'s str, spans: &[Range<usize>], before: usize, after: usize) -> &'s str {
    let gap = spans
        .get(before)
        .zip(spans.get(after))
        .and_then(|(before, after)| source.get(before.end..after.start));
    gap.unwrap_or(",")
}
