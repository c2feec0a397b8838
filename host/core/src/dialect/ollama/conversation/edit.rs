//! Edits of messages: those that no edit names keep their bytes, and the bytes between two that stay neighbours.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::json;

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::list::{self, Old, Slot};
use crate::dialect::ollama::own;
use crate::dialect::{EditError, MessageEdit, MessageView, ToolCallView, Undecodable};
use crate::event::Role;

/// The list of messages with the edits made. `views` are those of the messages.
pub(in crate::dialect::ollama) fn edit(
    source: &str,
    root: &Object<'_>,
    views: &[MessageView],
    edits: &[MessageEdit],
) -> Result<String, EditError> {
    let list = match root.get("messages") {
        Some(list) => list,
        None => Raw::of("[]").map_err(unreadable)?,
    };
    let old = json::array(list).map_err(unreadable)?;
    let mut at: BTreeMap<usize, Vec<&MessageEdit>> = BTreeMap::new();
    for edit in edits {
        if edit.index() >= old.len() + usize::from(edit.inserts()) {
            return Err(impossible(
                edit.index(),
                &format!("the request has {} messages", old.len()),
            ));
        }
        at.entry(edit.index()).or_default().push(edit);
    }
    let mut slots = Vec::with_capacity(old.len() + 1);
    for index in 0..=old.len() {
        let edits = at.get(&index).map_or(&[][..], Vec::as_slice);
        let mut slot = Slot::default();
        for edit in edits {
            match edit {
                MessageEdit::Insert { role, text, .. } => {
                    slot.before.push(new_message(*role, text, index)?);
                }
                MessageEdit::InsertStep { turn, .. } => {
                    let calls = turn.calls();
                    let turn = own::turn(&turn.said(), turn.own(), &calls);
                    slot.before.push(turn);
                    slot.before.extend(results(&calls));
                }
                MessageEdit::AddCalls { calls, .. } => slot.after.extend(results(calls)),
                MessageEdit::Evict { .. } => slot.old = Old::Gone,
                MessageEdit::Rewrite { .. } | MessageEdit::Result { .. } => {}
            }
        }
        if let (Some(value), Some(view), Old::Keep) = (old.get(index), views.get(index), &slot.old)
            && let Cow::Owned(message) = changed(*value, view, index, edits)?
        {
            slot.old = Old::Becomes(message);
        }
        slots.push(slot);
    }
    list::rewritten(source, list, slots).map_err(unreadable)
}

fn results(calls: &[(ToolCallView, String)]) -> impl Iterator<Item = String> {
    calls.iter().map(|(call, text)| own::result(call, text))
}

/// A message with the edits that concern it. Of several texts the last one holds.
fn changed<'a>(
    value: Raw<'a>,
    view: &MessageView,
    index: usize,
    edits: &[&MessageEdit],
) -> Result<Cow<'a, str>, EditError> {
    let mut message = Cow::Borrowed(value.get());
    for edit in edits {
        match edit {
            MessageEdit::Rewrite { text, .. } => message = Cow::Owned(rewritten(&message, text)?),
            MessageEdit::Result { id, text, .. } => {
                if !view.tool_results.iter().any(|result| result.id == *id) {
                    let what = format!("it is not the result of the call `{id}`");
                    return Err(impossible(index, &what));
                }
                message = Cow::Owned(rewritten(&message, text)?);
            }
            MessageEdit::AddCalls { calls, .. } => {
                if view.role != Role::Assistant {
                    return Err(impossible(index, "only the model makes tool calls"));
                }
                message = Cow::Owned(add_calls(&message, calls)?);
            }
            _ => {}
        }
    }
    Ok(message)
}

/// Other text; pictures stay.
fn rewritten(message: &str, text: &str) -> Result<String, EditError> {
    let fields = Object::parse(message).map_err(unreadable)?;
    Ok(json::set(
        message,
        &fields,
        &[("content", json::quote(text))],
    ))
}

/// More calls, each at its place among those that the message has.
fn add_calls(message: &str, calls: &[(ToolCallView, String)]) -> Result<String, EditError> {
    let fields = Object::parse(message).map_err(unreadable)?;
    let present = fields.get("tool_calls").map(json::array).transpose();
    let present = present.map_err(unreadable)?.into_iter().flatten();
    let mut list: Vec<String> = present.map(|call| call.get().to_owned()).collect();
    for (call, _) in calls {
        let at = call.at.map_or(list.len(), |at| at as usize);
        list.insert(at.min(list.len()), own::call_value(call).to_string());
    }
    let list = format!("[{}]", list.join(","));
    Ok(json::set(message, &fields, &[("tool_calls", list)]))
}

fn new_message(role: Role, text: &str, index: usize) -> Result<String, EditError> {
    let role = match role {
        // There is one role for instructions, and it may stand anywhere.
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool | Role::Other => {
            let what = format!("a message of role {role:?} cannot be inserted");
            return Err(impossible(index, &what));
        }
    };
    Ok(json!({ "role": role, "content": text }).to_string())
}

fn unreadable(error: serde_json::Error) -> EditError {
    Undecodable::at("messages", error).into()
}

fn impossible(index: usize, what: &str) -> EditError {
    EditError::Impossible {
        place: format!("messages[{index}]"),
        what: what.to_owned(),
    }
}
