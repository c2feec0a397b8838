//! Edits of requests: all bytes that no edit concerns stay as they are.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::json;

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::list::{self, Old, Slot};
use crate::dialect::openai_chat::own;
use crate::dialect::openai_chat::request::{
    OUTPUT_LIMITS, messages, object, optional, output_limits, part_text, utf8,
};
use crate::dialect::openai_chat::undecodable::undecodable;
use crate::dialect::{EditError, MessageEdit, RequestEdits, ToolCallView, Turn};
use crate::event::Role;

/// Parameters that have edits of their own.
const NOT_PARAMETERS: &[&str] = &["model", "messages", "stream", "tools"];

pub(super) fn edit(body: &[u8], edits: &RequestEdits) -> Result<Vec<u8>, EditError> {
    let source = utf8(body)?;
    let root = object("the request", source)?;
    let mut set: Vec<(&str, String)> = Vec::new();
    if let Some(model) = &edits.model {
        set.push(("model", json::quote(model)));
    }
    for (name, value) in &edits.parameters {
        if NOT_PARAMETERS.contains(&name.as_str()) {
            return Err(impossible(name, "it is not a parameter"));
        }
        json::Raw::of(value).map_err(|error| impossible(name, error))?;
        set.retain(|(other, _)| other != name);
        set.push((name, value.clone()));
    }
    if edits.streamed {
        set.push(("stream", "true".to_owned()));
    }
    let streamed = edits.streamed || optional::<bool>(&root, "stream")?.unwrap_or(false);
    if edits.include_usage && streamed {
        let options = root.get("stream_options").map_or("{}", Raw::get);
        let asked = json::set(
            options,
            &object("stream_options", options)?,
            &[("include_usage", "true".to_owned())],
        );
        set.push(("stream_options", asked));
    }
    if let Some(most) = edits.max_output_tokens {
        cap_output(&root, most, &mut set)?;
    }
    if !edits.messages.is_empty() {
        set.push(("messages", edit_messages(source, &root, &edits.messages)?));
    }
    Ok(json::set(source, &root, &set).into_bytes())
}

/// Lowers each limit that is stated, after the parameters that are being set; states one if there is none.
fn cap_output(
    root: &Object<'_>,
    most: u32,
    set: &mut Vec<(&str, String)>,
) -> Result<(), EditError> {
    let mut stated = output_limits(root)?;
    for (name, value) in set.iter() {
        if let Some(&limit) = OUTPUT_LIMITS.iter().find(|limit| *limit == name) {
            stated.retain(|(other, _)| *other != limit);
            stated.push((limit, value.parse().unwrap_or(u32::MAX)));
        }
    }
    if stated.is_empty() {
        stated.push((OUTPUT_LIMITS[0], u32::MAX));
    }
    for (name, limit) in stated {
        if limit > most {
            set.retain(|(other, _)| *other != name);
            set.push((name, most.to_string()));
        }
    }
    Ok(())
}

/// The request that goes on after what the model said and called.
pub(super) fn go_on(body: &[u8], turn: &Turn) -> Result<Vec<u8>, EditError> {
    let at = messages(&object("the request", utf8(body)?)?)?.len();
    let step = MessageEdit::InsertStep {
        at,
        turn: turn.clone(),
    };
    let edits = RequestEdits {
        messages: vec![step],
        ..RequestEdits::default()
    };
    edit(body, &edits)
}

/// The array of messages with the edits made. Messages that no edit names keep their bytes, and the bytes between two of
/// them that stay neighbours.
fn edit_messages(
    source: &str,
    root: &Object<'_>,
    edits: &[MessageEdit],
) -> Result<String, EditError> {
    let old = messages(root)?;
    let mut at: BTreeMap<usize, Vec<&MessageEdit>> = BTreeMap::new();
    for edit in edits {
        if edit.index() >= old.len() + usize::from(edit.inserts()) {
            return Err(impossible(
                &format!("messages[{}]", edit.index()),
                format!("the request has {} messages", old.len()),
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
                    slot.before.push(new_message(*role, text)?);
                }
                MessageEdit::InsertStep { turn, .. } => {
                    let calls = turn.calls();
                    slot.before
                        .push(own::turn(&turn.said(), turn.own(), &calls));
                    slot.before.extend(results(&calls));
                }
                MessageEdit::AddCalls { calls, .. } => slot.after.extend(results(calls)),
                MessageEdit::Evict { .. } => slot.old = Old::Gone,
                MessageEdit::Rewrite { .. } | MessageEdit::Result { .. } => {}
            }
        }
        if let (Some(value), Old::Keep, false) = (old.get(index), &slot.old, edits.is_empty())
            && let Cow::Owned(message) = changed(*value, index, edits)?
        {
            slot.old = Old::Becomes(message);
        }
        slots.push(slot);
    }
    let list = root
        .get("messages")
        .ok_or_else(|| undecodable("messages", "the request has no such field"))?;
    let list = list::rewritten(source, list, slots);
    list.map_err(|error| undecodable("messages", error).into())
}

fn results(calls: &[(ToolCallView, String)]) -> impl Iterator<Item = String> {
    calls.iter().map(|(call, text)| {
        json!({ "role": "tool", "tool_call_id": call.id, "content": text }).to_string()
    })
}

/// A message with the edits that concern it. Of several texts the last one holds.
fn changed<'a>(
    value: Raw<'a>,
    index: usize,
    edits: &[&MessageEdit],
) -> Result<Cow<'a, str>, EditError> {
    let mut message = Cow::Borrowed(value.get());
    let text = edits.iter().rev().find_map(|edit| match edit {
        MessageEdit::Rewrite { text, .. } => Some((None, text)),
        MessageEdit::Result { id, text, .. } => Some((Some(id), text)),
        _ => None,
    });
    if let Some((result, text)) = text {
        message = Cow::Owned(rewrite(value, index, result, text)?);
    }
    for edit in edits {
        if let MessageEdit::AddCalls { calls, .. } = edit {
            message = Cow::Owned(add_calls(&message, index, calls)?);
        }
    }
    Ok(message)
}

/// The assistant's message with more calls, each at its place among those that it has: some vendors sign only the first.
fn add_calls(
    source: &str,
    index: usize,
    calls: &[(ToolCallView, String)],
) -> Result<String, EditError> {
    let place = format!("messages[{index}]");
    let fields = object(&place, source)?;
    if fields.string("role").as_deref() != Some("assistant") {
        return Err(impossible(&place, "only the model makes tool calls"));
    }
    let mut list = match fields.get("tool_calls") {
        Some(present) => {
            let present = json::array(present)
                .map_err(|error| undecodable(format!("{place}.tool_calls"), error))?;
            let present = present.into_iter().map(|call| call.get().to_owned());
            present.collect::<Vec<_>>()
        }
        None => Vec::new(),
    };
    for (call, _) in calls {
        let at = call.at.map_or(list.len(), |at| at as usize);
        list.insert(at.min(list.len()), own::call_value(call).to_string());
    }
    let list = format!("[{}]", list.join(","));
    Ok(json::set(source, &fields, &[("tool_calls", list)]))
}

fn new_message(role: Role, text: &str) -> Result<String, EditError> {
    let role = match role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool | Role::Other => {
            return Err(impossible(
                "messages",
                format!("a message of role {role:?} cannot be inserted"),
            ));
        }
    };
    Ok(json!({ "role": role, "content": text }).to_string())
}

/// The message with other text: in place of all its text parts, beside those that are not text. With `result` it must be
/// the result of that call.
fn rewrite(
    value: Raw<'_>,
    index: usize,
    result: Option<&String>,
    text: &str,
) -> Result<String, EditError> {
    let place = format!("messages[{index}]");
    let fields = object(&place, value.get())?;
    let answers = fields
        .string("tool_call_id")
        .or_else(|| fields.string("name"));
    if let Some(id) = result
        && answers.as_deref() != Some(id)
    {
        return Err(impossible(
            &place,
            format!("it is not the result of the call `{id}`"),
        ));
    }
    let media: Vec<&str> = match fields
        .get("content")
        .filter(|content| json::first_byte(*content) == b'[')
    {
        Some(parts) => {
            let parts = json::array(parts)
                .map_err(|error| undecodable(format!("{place}.content"), error))?;
            parts
                .into_iter()
                .map(Raw::get)
                .filter(|part| part_text(part).is_none())
                .collect()
        }
        None => Vec::new(),
    };
    let content = if media.is_empty() {
        json::quote(text)
    } else {
        format!(
            "[{},{}]",
            json!({ "type": "text", "text": text }),
            media.join(",")
        )
    };
    let mut set = vec![("content", content)];
    // A refusal is text of the message too.
    if fields.get("refusal").is_some() {
        set.push(("refusal", "null".to_owned()));
    }
    Ok(json::set(value.get(), &fields, &set))
}

fn impossible(place: &str, what: impl ToString) -> EditError {
    EditError::Impossible {
        place: place.to_owned(),
        what: what.to_string(),
    }
}
