//! Edits of requests: all bytes that no edit concerns stay as they are.
//!
//! A system message that is put in before all others stands in `instructions`; in the middle it is an item with its role,
//! which the API has.

use std::collections::BTreeMap;

use serde_json::json;

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::list::{self, Old, Slot};
use crate::dialect::openai_responses::request::{
    OUTPUT_LIMIT, Spot, object, output_limit, spots, utf8,
};
use crate::dialect::openai_responses::request_rows as rows;
use crate::dialect::openai_responses::undecodable::{impossible, undecodable};
use crate::dialect::{EditError, MessageEdit, RequestEdits, Turn};
use crate::event::Role;

/// Parameters that have edits of their own, or would change what was read.
const NOT_PARAMETERS: &[&str] = &[
    "background",
    "conversation",
    "input",
    "instructions",
    "model",
    "previous_response_id",
    "prompt",
    "stream",
    "tools",
];

/// The least limit of output that OpenAI takes here, tokens.
const LEAST_OUTPUT: u32 = 16;

pub(super) fn edit(body: &[u8], edits: &RequestEdits) -> Result<Vec<u8>, EditError> {
    let source = utf8(body)?;
    let root = object("the request", source)?;
    let mut set: Vec<(&str, String)> = Vec::new();
    if edits.streamed {
        set.push(("stream", "true".to_owned()));
    }
    if let Some(model) = &edits.model {
        set.push(("model", json::quote(model)));
    }
    if let Some(id) = &edits.follows {
        set.push(("previous_response_id", json::quote(id)));
    }
    for (name, value) in &edits.parameters {
        if NOT_PARAMETERS.contains(&name.as_str()) {
            return Err(impossible(name, "it is not a parameter"));
        }
        Raw::of(value).map_err(|error| impossible(name, error))?;
        set.retain(|(other, _)| other != name);
        set.push((name, value.clone()));
    }
    if let Some(most) = edits.max_output_tokens {
        // OpenAI refuses less. What a budget has not is then overdrawn by less than this.
        let most = most.max(LEAST_OUTPUT);
        let ordered = set.iter().find(|(name, _)| *name == OUTPUT_LIMIT);
        let stated = match ordered {
            Some((_, value)) => value.parse().ok(),
            None => output_limit(&root)?,
        };
        if stated.is_none_or(|stated| stated > most) {
            set.retain(|(name, _)| *name != OUTPUT_LIMIT);
            set.push((OUTPUT_LIMIT, most.to_string()));
        }
    }
    if !edits.messages.is_empty() {
        set.extend(messages(source, &root, &edits.messages)?);
    }
    Ok(json::set(source, &root, &set).into_bytes())
}

/// The request that goes on after what the model said and called. In a conversation that the server keeps, it has all of that,
/// and takes no item twice: what is new to it are the results.
pub(super) fn go_on(body: &[u8], turn: &Turn) -> Result<Vec<u8>, EditError> {
    let source = utf8(body)?;
    let root = object("the request", source)?;
    if root.get("conversation").is_some() {
        let results = rows::results(&turn.calls())?;
        let input = format!("[{}]", results.join(","));
        return Ok(json::set(source, &root, &[("input", input)]).into_bytes());
    }
    let step = MessageEdit::InsertStep {
        at: spots(&root)?.len(),
        turn: turn.clone(),
    };
    let edits = RequestEdits {
        messages: vec![step],
        ..RequestEdits::default()
    };
    edit(body, &edits)
}

/// What is put in before all other messages: the texts of system messages, and the items of others.
#[derive(Default)]
struct Begins {
    system: Vec<String>,
    items: Vec<String>,
}

/// `instructions` and `input` with the edits made, as far as they change.
fn messages(
    source: &str,
    root: &Object<'_>,
    edits: &[MessageEdit],
) -> Result<Vec<(&'static str, String)>, EditError> {
    let spots = spots(root)?;
    let mut at: BTreeMap<usize, Vec<&MessageEdit>> = BTreeMap::new();
    for edit in edits {
        if edit.index() >= spots.len() + usize::from(edit.inserts()) {
            let what = format!("the request has {} messages", spots.len());
            return Err(impossible(&format!("messages[{}]", edit.index()), what));
        }
        at.entry(edit.index()).or_default().push(edit);
    }
    let mut begins = Begins::default();
    let mut instructions = None;
    let mut slots: Vec<Slot> = Vec::new();
    for index in 0..=spots.len() {
        let edits = at.get(&index).map_or(&[][..], Vec::as_slice);
        let spot = spots.get(index);
        let mut slot = Slot::default();
        for edit in edits {
            match edit {
                MessageEdit::Insert { role, text, .. } => match role {
                    Role::System if index == 0 => begins.system.push(text.clone()),
                    _ => slot.before.push(new_message(*role, text)?),
                },
                MessageEdit::InsertStep { turn, .. } => slot.before.extend(rows::step(turn)?),
                _ => {}
            }
        }
        match spot {
            Some(Spot::Instructions(value)) => {
                begins.items.append(&mut slot.before);
                instructions = changed_instructions(*value, edits)?;
            }
            Some(Spot::Prompt(_)) => {
                begins.items.append(&mut slot.before);
                if edits.iter().any(|edit| !edit.inserts()) {
                    return Err(impossible("prompt", "the server keeps its text"));
                }
            }
            Some(Spot::Text(value) | Spot::Item(_, value)) => {
                slot.old = changed(spot, *value, index, edits)?;
                for edit in edits {
                    if let MessageEdit::AddCalls { calls, .. } = edit {
                        rows::takes_calls(*value, index)?;
                        slot.after.extend(rows::calls(calls)?);
                    }
                }
                slots.push(slot);
            }
            None => slots.push(slot),
        }
    }
    if let Some(first) = slots.first_mut() {
        begins.items.append(&mut first.before);
        first.before = begins.items;
    }
    let mut set = Vec::new();
    if let Some(text) = joined(root, begins.system, instructions) {
        set.push(("instructions", text));
    }
    let touched = |slot: &Slot| {
        !slot.before.is_empty() || !slot.after.is_empty() || !matches!(slot.old, Old::Keep)
    };
    if slots.iter().any(touched) {
        set.push(("input", input(source, root, slots)?));
    }
    Ok(set)
}

/// The instructions with a change: their text, `None` if they go; or no change.
fn changed_instructions(
    value: Raw<'_>,
    edits: &[&MessageEdit],
) -> Result<Option<Option<String>>, EditError> {
    let mut changed = None;
    for edit in edits {
        match edit {
            MessageEdit::Rewrite { text, .. } => changed = Some(Some(text.clone())),
            MessageEdit::Evict { .. } => changed = Some(None),
            MessageEdit::Insert { .. } | MessageEdit::InsertStep { .. } => {}
            MessageEdit::Result { .. } | MessageEdit::AddCalls { .. } => {
                return Err(impossible(
                    "instructions",
                    "they are not a turn of the model",
                ));
            }
        }
    }
    json::string(value).ok_or_else(|| undecodable("instructions", "it is not a string"))?;
    Ok(changed)
}

/// The value of `instructions`, if it changes.
fn joined(
    root: &Object<'_>,
    mut texts: Vec<String>,
    changed: Option<Option<String>>,
) -> Option<String> {
    if texts.is_empty() && changed.is_none() {
        return None;
    }
    let own = || root.string("instructions").map(|text| text.into_owned());
    texts.extend(changed.unwrap_or_else(own));
    match texts.is_empty() {
        true => Some("null".to_owned()),
        false => Some(json::quote(&texts.join("\n\n"))),
    }
}

/// What becomes of an item, or of the text that stands in place of all of them.
fn changed(
    spot: Option<&Spot<'_>>,
    value: Raw<'_>,
    index: usize,
    edits: &[&MessageEdit],
) -> Result<Old, EditError> {
    if edits
        .iter()
        .any(|edit| matches!(edit, MessageEdit::Evict { .. }))
    {
        return Ok(Old::Gone);
    }
    // Of several texts the last one holds.
    let text = edits.iter().rev().find_map(|edit| match edit {
        MessageEdit::Rewrite { text, .. } => Some((None, text)),
        MessageEdit::Result { id, text, .. } => Some((Some(id), text)),
        _ => None,
    });
    Ok(match (spot, text) {
        (_, None) => Old::Keep,
        (Some(Spot::Text(_)), Some((None, text))) => Old::Becomes(json::quote(text)),
        (_, Some((result, text))) => Old::Becomes(rows::rewrite(value, index, result, text)?),
    })
}

/// The new value of `input`. A text that is joined by items becomes one.
fn input(source: &str, root: &Object<'_>, slots: Vec<Slot>) -> Result<String, EditError> {
    let old = root.get("input");
    if let Some(list) = old.filter(|old| json::first_byte(*old) == b'[') {
        let list = list::rewritten(source, list, slots);
        return list.map_err(|error| undecodable("input", error).into());
    }
    let mut items = Vec::new();
    let alone = slots
        .iter()
        .all(|slot| slot.before.is_empty() && slot.after.is_empty());
    for (index, slot) in slots.into_iter().enumerate() {
        items.extend(slot.before);
        let text = match slot.old {
            Old::Gone => None,
            Old::Becomes(text) => Some(text),
            Old::Keep if index == 0 => old.map(|old| old.get().to_owned()),
            Old::Keep => None,
        };
        match text {
            Some(text) if alone => return Ok(text),
            Some(text) => items.push(format!("{{\"role\":\"user\",\"content\":{text}}}")),
            None => {}
        }
        items.extend(slot.after);
    }
    Ok(format!("[{}]", items.join(",")))
}

fn new_message(role: Role, text: &str) -> Result<String, EditError> {
    let role = match role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool | Role::Other => {
            let what = format!("a message of role {role:?} cannot be inserted");
            return Err(impossible("input", what));
        }
    };
    Ok(json!({ "role": role, "content": text }).to_string())
}
