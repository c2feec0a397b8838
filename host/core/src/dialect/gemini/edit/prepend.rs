//! A body with the text of earlier legs before its own: as parts of their own, since its first one may be signed.

use serde_json::json;

use crate::dialect::gemini::fields::Fields;
use crate::dialect::gemini::undecodable::undecodable;
use crate::dialect::gemini::walk::candidates;
use crate::dialect::json::{self, Raw, Splices};
use crate::dialect::list::{self, Slot};
use crate::dialect::{EditError, Edits};
use crate::event::Channel;

pub(super) fn prepend(source: &str, edits: &Edits<'_>) -> Result<String, EditError> {
    let root = Fields::parse(source, "the response")?;
    let mut splices = Splices::default();
    for (choice, candidate, fields) in candidates(&root)? {
        let mut before = Vec::new();
        for edit in edits
            .before
            .iter()
            .filter(|edit| edit.place.choice == choice)
        {
            match edit.place.channel {
                Channel::Output => before.push(json!({"text": edit.text}).to_string()),
                Channel::Reasoning => {
                    before.push(json!({"text": edit.text, "thought": true}).to_string())
                }
                _ => {}
            }
        }
        if before.is_empty() {
            continue;
        }
        let content = fields.get("content").map_or("{}", Raw::get);
        let inner = Fields::parse(content, "content")?;
        let parts = match inner.get("parts") {
            Some(parts) => {
                let count = json::array(parts)
                    .map_err(|error| undecodable("parts", error))?
                    .len();
                let mut slots: Vec<Slot> = (0..=count).map(|_| Slot::default()).collect();
                if let Some(first) = slots.first_mut() {
                    first.before = before;
                }
                list::rewritten(content, parts, slots)
                    .map_err(|error| undecodable("parts", error))?
            }
            None => format!("[{}]", before.join(",")),
        };
        let content = inner.set(content, &[("parts", parts)]);
        splices.replace(
            json::span(source, candidate),
            fields.set(candidate.get(), &[("content", content)]),
        );
    }
    Ok(splices.apply(source))
}
