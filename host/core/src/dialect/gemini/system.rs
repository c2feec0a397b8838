//! What becomes of the system instruction, which stands outside of the contents.

use crate::dialect::EditError;
use crate::dialect::gemini::fields::{self, Fields};
use crate::dialect::gemini::insert;
use crate::dialect::gemini::splice::{parts_of, rewritten, slots};
use crate::dialect::json::Raw;
use crate::dialect::list::Old;

/// What becomes of the system instruction.
#[derive(Default)]
pub(super) struct System {
    /// Parts before its own.
    pub first: Vec<String>,
    /// Parts after its own.
    pub last: Vec<String>,
    /// Other text.
    pub text: Option<String>,
    /// It goes.
    pub gone: bool,
}

impl System {
    /// The system instruction as it becomes; `None`: it stays.
    pub fn written(self, own: Option<Raw<'_>>) -> Result<Option<String>, EditError> {
        let Self {
            mut first,
            last,
            text,
            gone,
        } = self;
        let untouched = first.is_empty() && last.is_empty() && text.is_none() && !gone;
        if untouched {
            return Ok(None);
        }
        let Some(own) = own.filter(|_| !gone) else {
            first.extend(last);
            return Ok(Some(match first.is_empty() {
                true => "null".to_owned(),
                false => format!(r#"{{"parts":[{}]}}"#, first.join(",")),
            }));
        };
        let list = parts_of(own)?;
        let mut slots = slots(list)?;
        let mut text = text.map(|text| insert::text(&text));
        if text.is_some() {
            let path = || "systemInstruction.parts".to_owned();
            let parts = list.map(|list| fields::list(list, &path)).transpose()?;
            for (slot, part) in slots.iter_mut().zip(parts.into_iter().flatten()) {
                if Fields::of(part, &path)?.get("text").is_some() {
                    slot.old = text.take().map_or(Old::Gone, Old::Becomes);
                }
            }
        }
        first.extend(text);
        if let Some(slot) = slots.first_mut() {
            slot.before.splice(0..0, first);
        }
        if let Some(slot) = slots.last_mut() {
            slot.before.extend(last);
        }
        let parts = rewritten(own.get(), list, slots)?;
        Ok(Some(insert::with_parts(own.get(), parts)?))
    }
}
