//! Edits of a message that bears its blocks: a body, or what a stream begins with.

use super::{Meant, Walk, fields, input, meant, reads_as_meant, said, texts, usage};
use crate::dialect::anthropic_messages::events;
use crate::dialect::anthropic_messages::failure::utf8;
use crate::dialect::anthropic_messages::say;
use crate::dialect::anthropic_messages::undecodable::undecodable;
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::list::{self, Old, Slot};
use crate::dialect::{CallEdit, EditError, Edits, Ending, TextEdit};
use crate::event::{Channel, Place};

/// A body with the edits made. What was written is read again.
pub fn body(body: &[u8], edits: &Edits<'_>) -> Result<Vec<u8>, EditError> {
    let source = utf8(body)?;
    let walk: Walk<'_> = &|source, tell| events::body(source, tell);
    let before = said(source, true, walk)?;
    let written = texts(source, walk, &edits.texts)?;
    let root = object(&written)?;
    let written = match root.get("content") {
        Some(_) => message(&written, edits)?,
        // An error has no more to edit.
        None => written.into_owned(),
    };
    let meant = meant(before, edits, Meant::Body)?;
    reads_as_meant(&meant, said(&written, true, walk)?)?;
    Ok(written.into_bytes())
}

/// A message, with everything edited but its texts.
pub fn message(source: &str, edits: &Edits<'_>) -> Result<String, EditError> {
    let root = object(source)?;
    let mut set: Vec<(&str, String)> = Vec::new();
    let mut calls = Calls::default();
    if let Some(content) = root.get("content") {
        let content = blocks(source, content, edits, &mut calls)?;
        set.extend(content.map(|content| ("content", content)));
    }
    let ends_in_calls = root.string("stop_reason").as_deref() == Some(say::TOOL_USE);
    if edits.goes_on && root.get("stop_reason").is_some() {
        set.push(("stop_reason", "null".to_owned()));
    } else if ends_in_calls && calls.dropped > 0 && calls.kept == 0 {
        set.push(("stop_reason", json::quote(say::END_TURN)));
    }
    if let Some(identity) = edits.identity {
        set.push(("id", json::quote(&identity.id)));
        set.push(("model", json::quote(&identity.model)));
    }
    if let (Some(all), Some(_)) = (edits.usage, root.get("usage")) {
        set.push(("usage", usage(all).to_string()));
    }
    Ok(json::set(source, &root, &set))
}

#[derive(Default)]
struct Calls {
    dropped: usize,
    kept: usize,
}

/// The list of blocks: without calls that are left out and texts of which nothing is left, with the text of earlier legs
/// before its own.
fn blocks(
    source: &str,
    list: Raw<'_>,
    edits: &Edits<'_>,
    calls: &mut Calls,
) -> Result<Option<String>, EditError> {
    let old = json::array(list).map_err(|error| undecodable("content", error))?;
    let mut slots: Vec<Slot> = Vec::with_capacity(old.len() + 1);
    let mut number = 0;
    let emptied = edits
        .texts
        .iter()
        .any(|e| e.place.channel == Channel::Output);
    for value in &old {
        let block = fields(*value, "content")?;
        let mut slot = Slot::default();
        match block.string("type").as_deref() {
            Some("tool_use") => {
                match edits.calls.get(number) {
                    Some(CallEdit::Drop) => {
                        calls.dropped += 1;
                        slot.old = Old::Gone;
                    }
                    Some(CallEdit::Change {
                        arguments: Some(arguments),
                        ..
                    }) => {
                        calls.kept += 1;
                        slot.old = Old::Becomes(called(*value, &block, arguments)?);
                    }
                    _ => calls.kept += 1,
                }
                number += 1;
            }
            // Whoever sends it back would be refused. What it cites is text of its own, and stays.
            Some("text") if emptied && is_empty(&block) => slot.old = Old::Gone,
            _ => {}
        }
        slots.push(slot);
    }
    if !edits.calls.is_empty() && edits.calls.len() != number {
        return Err(EditError::Impossible {
            place: "content".to_owned(),
            what: format!("{} edits for {number} calls", edits.calls.len()),
        });
    }
    slots.push(Slot::default());
    // What was thought in them was signed as a turn of its own: without that it would be refused when it is sent back.
    let mut before = edits.before.iter().filter(|e| e.place == output());
    if let Some(TextEdit { text, .. }) = before.next().filter(|e| !e.text.is_empty()) {
        say_before(&old, &mut slots, text)?;
    }
    let changes = |slot: &Slot| !(slot.before.is_empty() && matches!(slot.old, Old::Keep));
    if !slots.iter().any(changes) {
        return Ok(None);
    }
    let list = list::rewritten(source, list, slots);
    Ok(Some(list.map_err(|error| undecodable("content", error))?))
}

/// Text before that of a list of blocks: in the first text, or else behind the thoughts, with which a turn begins.
fn say_before(old: &[Raw<'_>], slots: &mut [Slot], text: &str) -> Result<(), EditError> {
    let mut behind = 0;
    for (at, (value, slot)) in old.iter().zip(slots.iter_mut()).enumerate() {
        let block = fields(*value, "content")?;
        match (block.string("type").as_deref(), &slot.old) {
            (Some("text"), Old::Keep) => {
                let own = block.string("text").unwrap_or_default();
                let both = json::quote(&format!("{text}{own}"));
                slot.old = Old::Becomes(json::set(value.get(), &block, &[("text", both)]));
                return Ok(());
            }
            (Some("thinking" | "redacted_thinking"), _) if behind == at => behind = at + 1,
            _ => {}
        }
    }
    if let Some(slot) = slots.get_mut(behind) {
        let block = serde_json::json!({ "type": "text", "text": text });
        slot.before.push(block.to_string());
    }
    Ok(())
}

/// A call with other arguments.
fn called(value: Raw<'_>, block: &Object<'_>, arguments: &str) -> Result<String, EditError> {
    match input(arguments) {
        Some(input) => Ok(json::set(
            value.get(),
            block,
            &[("input", input.to_owned())],
        )),
        None => {
            let place = Place::new(Channel::ToolArguments, 0, 0);
            Err(EditError::at(place, "the arguments are not a JSON object"))
        }
    }
}

fn is_empty(block: &Object<'_>) -> bool {
    let text = block.string("text");
    text.is_none_or(|text| text.is_empty()) && block.array("citations").is_empty()
}

/// The body with another end.
pub fn end_body(body: &[u8], ending: &Ending) -> Result<Vec<u8>, EditError> {
    let source = utf8(body)?;
    let root = object(source)?;
    let mut set = vec![
        ("stop_reason", json::quote(say::stop_reason(ending))),
        ("stop_sequence", "null".to_owned()),
    ];
    set.extend(say::mark(ending).map(|mark| (say::MARK, mark.to_string())));
    Ok(json::set(source, &root, &set).into_bytes())
}

fn object(source: &str) -> Result<Object<'_>, EditError> {
    Ok(Object::parse(source).map_err(|error| undecodable("the response", error))?)
}

fn output() -> Place {
    Place::new(Channel::Output, 0, 0)
}
