//! Messages of a request, one by one, with edits made.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::content::between;
use super::request::role;
use super::undecodable::undecodable;
use super::values::{items, object};
use super::{own, system};
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::list::{self, Old, Slot};
use crate::dialect::{EditError, MessageEdit, ToolCallView, Turn};
use crate::event::Role;

/// A new message.
pub(super) fn new(role: Role, text: &str) -> Result<String, EditError> {
    let role = match role {
        Role::User => "user",
        Role::Assistant => "assistant",
        _ => {
            let what = format!("a message of role {role:?} cannot be inserted");
            return Err(impossible("messages", what));
        }
    };
    Ok(json!({ "role": role, "content": text }).to_string())
}

/// Whether a message answers calls.
pub(super) fn bears_results(value: Raw<'_>) -> bool {
    let fields = Object::of(value).ok();
    let blocks = fields
        .map(|fields| fields.array("content"))
        .unwrap_or_default();
    blocks.into_iter().any(|block| is(block, "tool_result"))
}

/// A message with the edits that concern it. Of several texts the last one holds.
pub(super) fn changed(
    value: Raw<'_>,
    index: usize,
    edits: &[&MessageEdit],
) -> Result<String, EditError> {
    let mut message = value.get().to_owned();
    let text = edits.iter().rev().find_map(|edit| match edit {
        MessageEdit::Rewrite { text, .. } => Some((None, text)),
        MessageEdit::Result { id, text, .. } => Some((Some(id), text)),
        _ => None,
    });
    if let Some((id, text)) = text {
        message = match id {
            Some(id) => with_result(&message, index, id, text)?,
            None => rewritten(&message, index, text)?,
        };
    }
    for edit in edits {
        match edit {
            MessageEdit::AddCalls { calls, .. } => message = with_calls(&message, index, calls)?,
            MessageEdit::InsertStep { turn, .. } => message = without_moved(&message, index, turn)?,
            _ => {}
        }
    }
    Ok(message)
}

/// The message with another text. One that has nothing but the result of one call has its text there.
fn rewritten(source: &str, index: usize, text: &str) -> Result<String, EditError> {
    let message = Message::of(source, index)?;
    let path = || format!("messages[{index}].content");
    let Some(list) = message.list() else {
        return Ok(message.with(json::quote(text)));
    };
    let blocks = items(list, &path)?;
    let only_results = blocks.iter().all(|block| is(*block, "tool_result"));
    let ids: Vec<String> = blocks.iter().filter_map(|block| id_of(*block)).collect();
    match &ids[..] {
        [id] if only_results => with_result(source, index, id, text),
        [_, ..] if only_results => Err(impossible(
            &path(),
            "it has the results of several calls, and no text beside them",
        )),
        _ => {
            let slots = system::rewritten(list, between(message.role), text, &path)?;
            message.with_slots(slots)
        }
    }
}

/// The message with another text of the result of a call. What of the result is not text stays.
fn with_result(source: &str, index: usize, id: &str, text: &str) -> Result<String, EditError> {
    let message = Message::of(source, index)?;
    let path = || format!("messages[{index}].content");
    let blocks = match message.list() {
        Some(list) => items(list, &path)?,
        None => Vec::new(),
    };
    let at = blocks
        .iter()
        .position(|block| id_of(*block).as_deref() == Some(id));
    let Some((at, value)) = at.and_then(|at| Some((at, *blocks.get(at)?))) else {
        let what = format!("it has no result of the call `{id}`");
        return Err(impossible(&path(), what));
    };
    let block = object(value, &path)?;
    let content = match block.get("content") {
        Some(list) if json::first_byte(list) == b'[' => {
            let slots = system::rewritten(list, "\n", text, &path)?;
            list::rewritten(source, list, slots).map_err(|error| undecodable(path(), error))?
        }
        _ => json::quote(text),
    };
    let block = json::set(value.get(), &block, &[("content", content)]);
    let mut slots = system::kept(blocks.len());
    if let Some(slot) = slots.get_mut(at) {
        slot.old = Old::Becomes(block);
    }
    message.with_slots(slots)
}

/// The model's message with more calls, each at its place among those that it has.
fn with_calls(
    source: &str,
    index: usize,
    calls: &[(ToolCallView, String)],
) -> Result<String, EditError> {
    let message = Message::of(source, index)?;
    let path = || format!("messages[{index}].content");
    if message.role != Role::Assistant {
        return Err(impossible(&path(), "only the model makes tool calls"));
    }
    let call = |call: &ToolCallView| own::call_value(call).to_string();
    let Some(list) = message.list() else {
        let said = message.fields.string("content").unwrap_or_default();
        let said = (!said.is_empty()).then(|| json!({ "type": "text", "text": said }).to_string());
        let calls = calls.iter().map(|(view, _)| call(view));
        let blocks: Vec<String> = said.into_iter().chain(calls).collect();
        return Ok(message.with(format!("[{}]", blocks.join(","))));
    };
    let blocks = items(list, &path)?;
    let places = blocks.iter().enumerate();
    let places = places.filter(|(_, block)| is(**block, "tool_use"));
    // Index of each call among the blocks: in the turn as it was, a call stands behind the blocks before the next one.
    let mut order: Vec<Option<usize>> = places.map(|(at, _)| Some(at)).collect();
    let mut slots = system::kept(blocks.len());
    for (view, _) in calls {
        let at = view
            .at
            .map_or(order.len(), |at| at as usize)
            .min(order.len());
        let next = order.iter().skip(at).find_map(|known| *known);
        order.insert(at, None);
        if let Some(slot) = slots.get_mut(next.unwrap_or(blocks.len())) {
            slot.before.push(call(view));
        }
    }
    message.with_slots(slots)
}

/// A message that answers calls with the results of more of them, before all others.
pub(super) fn with_results(
    source: &str,
    index: usize,
    calls: &[(ToolCallView, String)],
) -> Result<String, EditError> {
    let message = Message::of(source, index)?;
    let path = || format!("messages[{index}].content");
    let length = match message.list() {
        Some(list) => items(list, &path)?.len(),
        None => 0,
    };
    let mut slots = system::kept(length);
    if let Some(slot) = slots.first_mut() {
        slot.before = own::results(calls)
            .map(|result| result.to_string())
            .collect();
    }
    message.with_slots(slots)
}

/// A message before which a step is put that the client has in it: thoughts of that step stand there, and not twice.
fn without_moved(source: &str, index: usize, turn: &Turn) -> Result<String, EditError> {
    let message = Message::of(source, index)?;
    let path = || format!("messages[{index}].content");
    let own = turn
        .own()
        .and_then(|own| serde_json::from_str::<Map<String, Value>>(own).ok());
    let (Some(own), Some(list)) = (own, message.list()) else {
        return Ok(source.to_owned());
    };
    let blocks = own.get("content").and_then(Value::as_array);
    let signed = blocks.into_iter().flatten().filter_map(|block| {
        let signature = block["signature"]
            .as_str()
            .or_else(|| block["data"].as_str());
        signature.filter(|signature| !signature.is_empty())
    });
    let signed: HashSet<&str> = signed.collect();
    let blocks = items(list, &path)?;
    let mut slots = system::kept(blocks.len());
    let mut moved = false;
    for (value, slot) in blocks.into_iter().zip(&mut slots) {
        let block = object(value, &path)?;
        let signature = match block.string("type").as_deref() {
            Some("thinking") => block.string("signature"),
            Some("redacted_thinking") => block.string("data"),
            _ => None,
        };
        if signature.is_some_and(|signature| signed.contains(&*signature)) {
            slot.old = Old::Gone;
            moved = true;
        }
    }
    match moved {
        true => message.with_slots(slots),
        false => Ok(source.to_owned()),
    }
}

/// A message, and where its content stands.
struct Message<'s> {
    source: &'s str,
    fields: Object<'s>,
    role: Role,
    index: usize,
}

impl<'s> Message<'s> {
    fn of(source: &'s str, index: usize) -> Result<Self, EditError> {
        let path = || format!("messages[{index}]");
        let fields = Object::parse(source).map_err(|error| undecodable(path(), error))?;
        let role = role(&fields, &path)?;
        Ok(Self {
            source,
            fields,
            role,
            index,
        })
    }

    /// Its blocks, if it has them as such.
    fn list(&self) -> Option<Raw<'s>> {
        let content = self.fields.get("content");
        content.filter(|content| json::first_byte(*content) == b'[')
    }

    /// It with another content.
    fn with(&self, content: String) -> String {
        json::set(self.source, &self.fields, &[("content", content)])
    }

    /// It with its blocks written anew.
    fn with_slots(&self, slots: Vec<Slot>) -> Result<String, EditError> {
        let Some(list) = self.list() else {
            return Ok(self.source.to_owned());
        };
        let place = || format!("messages[{}].content", self.index);
        let list = list::rewritten(self.source, list, slots);
        Ok(self.with(list.map_err(|error| undecodable(place(), error))?))
    }
}

fn is(block: Raw<'_>, name: &str) -> bool {
    let block = Object::of(block).ok();
    block.is_some_and(|block| block.string("type").as_deref() == Some(name))
}

/// The call that a block is the result of.
fn id_of(block: Raw<'_>) -> Option<String> {
    let fields = Object::of(block)
        .ok()
        .filter(|_| is(block, "tool_result"))?;
    Some(
        fields
            .string("tool_use_id")
            .unwrap_or_default()
            .into_owned(),
    )
}

fn impossible(place: &str, what: impl ToString) -> EditError {
    EditError::Impossible {
        place: place.to_owned(),
        what: what.to_string(),
    }
}
