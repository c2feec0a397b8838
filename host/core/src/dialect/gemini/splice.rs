//! Parts of contents, and contents, written anew.

use crate::dialect::gemini::fields::{self, Fields};
use crate::dialect::gemini::undecodable::undecodable;
use crate::dialect::json::{self, Raw};
use crate::dialect::list::{self, Slot};
use crate::dialect::{EditError, Undecodable};

/// The parts of a content as they stand; `None` if it has none.
pub(super) fn parts_of(content: Raw<'_>) -> Result<Option<Raw<'_>>, Undecodable> {
    Ok(Fields::of(content, &|| "content".to_owned())?.get("parts"))
}

/// A slot for each value of a repeated field, and one for its end.
pub(super) fn slots(list: Option<Raw<'_>>) -> Result<Vec<Slot>, Undecodable> {
    let values = list
        .map(|list| fields::list(list, &|| "parts".to_owned()))
        .transpose()?;
    Ok((0..=values.unwrap_or_default().len())
        .map(|_| Slot::default())
        .collect())
}

/// A repeated field of `source` with what becomes of its values. A single value becomes a list.
pub(super) fn rewritten(
    source: &str,
    list: Option<Raw<'_>>,
    slots: Vec<Slot>,
) -> Result<String, EditError> {
    let written = match list.filter(|list| json::first_byte(*list) == b'[') {
        Some(list) => list::rewritten(source, list, slots),
        None => {
            let single = format!("[{}]", list.map_or("", Raw::get));
            Raw::of(&single).and_then(|list| list::rewritten(&single, list, slots))
        }
    };
    Ok(written.map_err(|error| undecodable("a list", error))?)
}
