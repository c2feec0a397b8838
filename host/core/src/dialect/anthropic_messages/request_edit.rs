//! Edits of requests: all bytes that no edit concerns stay as they are.
//!
//! The API has no instructions among the messages: those that are put in, wherever, stand behind the others in `system`. The
//! results of a turn's calls must all stand in the message that follows it, before any text.

use std::collections::BTreeMap;

use super::request::{max_tokens, messages, utf8};
use super::system::{self, SYSTEM};
use super::undecodable::undecodable;
use super::{own, turns};
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::list::{self, Old, Slot};
use crate::dialect::{EditError, MessageEdit, RequestEdits, ToolCallView, Turn};
use crate::event::Role;

/// Parameters that have edits of their own.
const NOT_PARAMETERS: &[&str] = &["model", "messages", "stream", "system", "tools"];

/// Thinking needs a budget of so many tokens at least.
const LEAST_THINKING: u32 = 1024;

pub(super) fn edit(body: &[u8], edits: &RequestEdits) -> Result<Vec<u8>, EditError> {
    let source = utf8(body)?;
    let root = Object::parse(source).map_err(|error| undecodable("the request", error))?;
    let mut set: Vec<(&str, String)> = Vec::new();
    if edits.streamed {
        set.push(("stream", "true".to_owned()));
    }
    if let Some(model) = &edits.model {
        set.push(("model", json::quote(model)));
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
        cap_output(&root, most, &mut set)?;
    }
    if !edits.messages.is_empty() {
        conversation(source, &root, &edits.messages, &mut set)?;
    }
    Ok(json::set(source, &root, &set).into_bytes())
}

/// Lowers the limit, and with it the budget of thinking, which must be below it.
fn cap_output(
    root: &Object<'_>,
    most: u32,
    set: &mut Vec<(&str, String)>,
) -> Result<(), EditError> {
    let value = |set: &[(&str, String)], name: &str| {
        let new = set.iter().find(|(known, _)| *known == name);
        new.map(|(_, value)| value.clone())
    };
    let stated = match value(set, "max_tokens") {
        Some(new) => new.parse().ok(),
        None => max_tokens(root)?,
    };
    if stated.is_some_and(|stated| stated <= most) {
        return Ok(());
    }
    set.retain(|(name, _)| *name != "max_tokens");
    set.push(("max_tokens", most.to_string()));
    let thinking = value(set, "thinking");
    let thinking = thinking.or_else(|| root.get("thinking").map(|value| value.get().to_owned()));
    let Some(thinking) = thinking else {
        return Ok(());
    };
    let fields = Object::parse(&thinking).map_err(|error| undecodable("thinking", error))?;
    let budget = fields.get("budget_tokens").and_then(json::integer);
    if budget.is_some_and(|budget| budget >= i64::from(most)) {
        let lower = match most > LEAST_THINKING {
            true => {
                let budget = (most - 1).to_string();
                json::set(&thinking, &fields, &[("budget_tokens", budget)])
            }
            false => r#"{"type":"disabled"}"#.to_owned(),
        };
        set.retain(|(name, _)| *name != "thinking");
        set.push(("thinking", lower));
    }
    Ok(())
}

/// The request that goes on after what the model said and called.
pub(super) fn go_on(body: &[u8], turn: &Turn) -> Result<Vec<u8>, EditError> {
    let root = Object::parse(utf8(body)?).map_err(|error| undecodable("the request", error))?;
    let at = messages(&root)?.len() + usize::from(root.get(SYSTEM).is_some());
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

/// The edits of one request's messages, by what they concern.
#[derive(Default)]
struct Sorted<'e> {
    system: Option<system::Changes<'e>>,
    /// By index among the messages in the body.
    at: BTreeMap<usize, Vec<&'e MessageEdit>>,
}

impl<'e> Sorted<'e> {
    fn of(edits: &'e [MessageEdit], old: &[Raw<'_>], has_system: bool) -> Result<Self, EditError> {
        let (before, length) = (usize::from(has_system), old.len());
        let mut sorted = Self::default();
        for edit in edits {
            let index = edit.index();
            if index >= length + before + usize::from(edit.inserts()) {
                return Err(impossible(
                    &format!("messages[{index}]"),
                    format!("the request has {} messages", length + before),
                ));
            }
            match edit {
                MessageEdit::Insert {
                    role: Role::System | Role::Developer,
                    text,
                    ..
                } => sorted.system().added.push(text),
                MessageEdit::Insert { .. } => {
                    let at = before_calls(old, index.saturating_sub(before));
                    sorted.at.entry(at).or_default().push(edit);
                }
                MessageEdit::InsertStep { .. } => {
                    let at = index.saturating_sub(before);
                    sorted.at.entry(at).or_default().push(edit);
                }
                MessageEdit::Rewrite { text, .. } if index < before => {
                    sorted.system().text = Some(text);
                }
                MessageEdit::Evict { .. } if index < before => sorted.system().evicted = true,
                _ if index < before => {
                    return Err(impossible(SYSTEM, "it has no calls and no results"));
                }
                _ => {
                    let at = index.saturating_sub(before);
                    sorted.at.entry(at).or_default().push(edit);
                }
            }
        }
        Ok(sorted)
    }

    fn system(&mut self) -> &mut system::Changes<'e> {
        self.system.get_or_insert_default()
    }
}

/// The place at or before `at` that does not come between calls and their results.
fn before_calls(old: &[Raw<'_>], mut at: usize) -> usize {
    while at > 0
        && old
            .get(at)
            .is_some_and(|value| turns::bears_results(*value))
    {
        at -= 1;
    }
    at
}

/// The conversation with the edits made. Messages that no edit names keep their bytes, and the bytes between two of them that
/// stay neighbours.
fn conversation(
    source: &str,
    root: &Object<'_>,
    edits: &[MessageEdit],
    set: &mut Vec<(&str, String)>,
) -> Result<(), EditError> {
    let old = messages(root)?;
    let sorted = Sorted::of(edits, &old, root.get(SYSTEM).is_some())?;
    if let Some(system) = &sorted.system {
        set.push((SYSTEM, system.value(source, root)?));
    }
    if sorted.at.is_empty() {
        return Ok(());
    }
    let mut slots = system::kept(old.len());
    // Results of calls that were added to the message before.
    let mut owed: Vec<(ToolCallView, String)> = Vec::new();
    for (index, slot) in slots.iter_mut().enumerate() {
        let edits = sorted.at.get(&index).map_or(&[][..], Vec::as_slice);
        let results = std::mem::take(&mut owed);
        let value = old.get(index).copied();
        let answers = value.is_some_and(turns::bears_results);
        if !results.is_empty() && !answers {
            slot.before.push(own::results_message(&results));
        }
        for edit in edits {
            match edit {
                MessageEdit::Insert { role, text, .. } => {
                    slot.before.push(turns::new(*role, text)?);
                }
                MessageEdit::InsertStep { turn, .. } => slot.before.extend(own::messages(turn)),
                MessageEdit::AddCalls { calls, .. } => owed.extend(calls.iter().cloned()),
                MessageEdit::Evict { .. } => slot.old = Old::Gone,
                MessageEdit::Rewrite { .. } | MessageEdit::Result { .. } => {}
            }
        }
        let changes = !edits.is_empty() || (answers && !results.is_empty());
        if let (Some(value), Old::Keep, true) = (value, &slot.old, changes) {
            let message = turns::changed(value, index, edits)?;
            let message = match answers && !results.is_empty() {
                true => turns::with_results(&message, index, &results)?,
                false => message,
            };
            if message != value.get() {
                slot.old = Old::Becomes(message);
            }
        }
    }
    set.push(("messages", written(source, root, slots)?));
    Ok(())
}

fn written(source: &str, root: &Object<'_>, slots: Vec<Slot>) -> Result<String, EditError> {
    let list = root
        .get("messages")
        .ok_or_else(|| undecodable("messages", "the request has no such field"))?;
    let list = list::rewritten(source, list, slots);
    Ok(list.map_err(|error| undecodable("messages", error))?)
}

fn impossible(place: &str, what: impl ToString) -> EditError {
    EditError::Impossible {
        place: place.to_owned(),
        what: what.to_string(),
    }
}
