//! Edits of whole bodies, as of the last event of a stream.

use serde_json::{Value, json};

use crate::dialect::json::{self, Object};
use crate::dialect::openai_responses::edit::ids;
use crate::dialect::openai_responses::fact::Fact;
use crate::dialect::openai_responses::final_edit::{kept, usage, whole_text};
use crate::dialect::openai_responses::forms;
use crate::dialect::openai_responses::reader::{pieces, utf8, whole};
use crate::dialect::openai_responses::record::Record;
use crate::dialect::openai_responses::rows::{Links, Rows};
use crate::dialect::openai_responses::undecodable::undecodable;
use crate::dialect::{EditError, Edits, Ending, TextEdit};
use crate::event::Channel;

/// The body with `edits` made.
pub(super) fn edit(body: &[u8], edits: &Edits<'_>) -> Result<Vec<u8>, EditError> {
    let source = utf8(body)?;
    let (mut theirs, ours, mut links) = (Record::default(), Record::default(), Links::default());
    let event = whole(&mut theirs, source)?;
    for key in theirs.items.keys() {
        links.link(*key, *key);
    }
    let mut rows = Rows::new(&theirs, &ours, &mut links);
    let mut before = Vec::new();
    for edit in &edits.before {
        if let Some(item) = item_before(edit, before.len(), edits) {
            rows.meant.text(edit.place, &edit.text);
            before.push(item.to_string());
        }
    }
    rows.make(&event.facts, edits)?;
    usage(&mut rows, &event, edits);
    if let Some(identity) = edits.identity {
        ids(&event.facts, identity, &mut rows.changes);
    }
    if let Some((list, items)) = &event.output {
        let mut listed = kept(&rows, items);
        if listed.len() < items.len() || !before.is_empty() {
            before.append(&mut listed);
            rows.changes
                .replace(*list, format!("[{}]", before.join(",")));
        }
    }
    let written = whole_text(&mut rows, &event, source, |written| {
        let mut record = Record::default();
        whole(&mut record, written)?;
        Ok(record)
    })?;
    let mut read = Vec::new();
    pieces(&whole(&mut Record::default(), &written)?, true, &mut read);
    rows.meant.reads(&read)?;
    Ok(written.into_bytes())
}

/// Text of earlier legs as an item of its own.
fn item_before(edit: &TextEdit, number: usize, edits: &Edits<'_>) -> Option<Value> {
    if edit.text.is_empty() {
        return None;
    }
    let of = edits.identity.map_or("", |identity| &identity.id);
    let id = |prefix: &str| forms::item_id(prefix, of, &format!("b{number}"));
    match edit.place.channel {
        Channel::Output => Some(forms::message(&id("msg"), &edit.text, false)),
        Channel::Refusal => Some(forms::message(&id("msg"), &edit.text, true)),
        Channel::Reasoning => {
            let part = forms::part("summary_text", &edit.text);
            Some(json!({ "id": id("rs"), "type": "reasoning", "summary": [part] }))
        }
        _ => None,
    }
}

/// The body with another end.
pub(super) fn end(body: &[u8], ending: &Ending) -> Result<Vec<u8>, EditError> {
    let source = utf8(body)?;
    // What cannot be read has no end that could be another.
    let event = whole(&mut Record::default(), source)?;
    if event
        .facts
        .iter()
        .any(|fact| matches!(fact, Fact::Error(_)))
        || event.response.is_none()
    {
        return Err(undecodable("the response", "it is no answer").into());
    }
    let root = Object::parse(source).map_err(|error| undecodable("the response", error))?;
    let fields = forms::ended(ending);
    let set: Vec<(&str, String)> = fields
        .iter()
        .map(|(key, value)| (key.as_str(), value.to_string()))
        .collect();
    Ok(json::set(source, &root, &set).into_bytes())
}
