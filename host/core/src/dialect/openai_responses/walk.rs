//! What an event says, read into the record of its response: one walk serves reading, editing and the proof of what was
//! written, so that what is read is what is written.
//!
//! Events name their item by `output_index`; ids are read and not relied on, since some servers give an item another one in
//! each event. Fields that no page describes, and events that nobody knows, are text on [`Channel::Other`], however deep.

use std::borrow::Cow;

use crate::dialect::Undecodable;
use crate::dialect::json::{Object, Raw};
use crate::dialect::openai_responses::event::{self, Kind, Spoken};
use crate::dialect::openai_responses::fact::{Event, Fact, Said};
use crate::dialect::openai_responses::item::{At, place};
use crate::dialect::openai_responses::kinds::Calls;
use crate::dialect::openai_responses::record::Record;
use crate::dialect::openai_responses::response;
use crate::dialect::openai_responses::undecodable::undecodable;
use crate::dialect::openai_responses::walk_rest::{index, others_of_item, position, rest};
use crate::dialect::values::text;
use crate::event::Channel;

/// Reads an event.
pub(super) fn event<'a>(record: &mut Record, source: &'a str) -> Result<Event<'a>, Undecodable> {
    let root = Object::parse(source).map_err(|error| undecodable("the response", error))?;
    let name = match root.get("type") {
        Some(name) => text(name, &|| "type".to_owned())?,
        None => Cow::Borrowed(""),
    };
    let mut event = Event {
        kind: event::kind(&name),
        sequence: root.get("sequence_number"),
        index: root.get("output_index"),
        name,
        ..Event::default()
    };
    if event.kind == Kind::Other && root.get("error").is_some() {
        event.kind = Kind::Error;
    }
    begin(record, &event)?;
    let spoken = event::spoken(&event.name);
    let mut read: Vec<&str> = vec!["type"];
    match event.kind {
        Kind::Begins | Kind::Ends => {
            let ends = event.kind == Kind::Ends;
            let value = root
                .get("response")
                .ok_or_else(|| undecodable("response", "the event has no such field"))?;
            response::response(record, value, ends, &mut event)?;
            read.push("response");
        }
        Kind::Item { done } => {
            let key = index(&root, "output_index")?;
            event.item = Some(key);
            event.object = root.get("item");
            // An item that is null is none.
            if let Some(value) = root.get("item") {
                At::of(record, &mut event, key, done).item(value)?;
            }
            read.push("item");
        }
        Kind::Part { .. } => {
            let key = index(&root, "output_index")?;
            event.item = Some(key);
            let (list, field) = event::list_of_part(&event.name);
            let path = format!("{list}[{}]", position(&root, field)?);
            event.object = root.get("part");
            event.path.clone_from(&path);
            if let Some(value) = root.get("part") {
                let mut at = At::of(record, &mut event, key, false);
                let implied = if list == "summary" {
                    "reasoning"
                } else {
                    "message"
                };
                let kind = at.record.items.get(&key).map(|item| item.kind.clone());
                let kind = kind.unwrap_or_else(|| implied.to_owned());
                at.begin(&kind, None)?;
                at.part(&kind, path, value)?;
            }
            read.push("part");
        }
        Kind::Spoken { done } => {
            if let Some((spoken, _)) = spoken {
                let key = index(&root, "output_index")?;
                event.item = Some(key);
                let field = if done { spoken.whole } else { "delta" };
                say(record, &mut event, key, &root, (spoken, field, done))?;
                read.extend([field, "logprobs"]);
            }
        }
        Kind::Error => match root.get("error") {
            Some(value) => {
                response::error(record, value, &mut event.facts)?;
                read.push("error");
                // Many servers say the same beside it.
                for key in ["message", "code", "param"] {
                    if let Some(value) = root.get(key) {
                        response::error_field(record, value, key, &mut event.facts)?;
                        read.push(key);
                    }
                }
            }
            None => {
                let whole = Raw::of(source).map_err(|error| undecodable("the response", error))?;
                response::error(record, whole, &mut event.facts)?;
                return Ok(event);
            }
        },
        Kind::Other => {
            if let Some(failure) = bare_failure(source, &root, &event.name) {
                event.facts.push(Fact::Error(failure));
            }
            others_of_item(record, &mut event, &root, &mut read)?;
        }
    }
    rest(&root, &read, &mut event)?;
    Ok(event)
}

/// A failure that is stated without a field `error`: `{"object": "error", "message": ...}` (vLLM), `{"detail": ...}` (FastAPI),
/// `{"message": ..., "code": ...}` and its like (proxies).
fn bare_failure<'a>(source: &'a str, root: &Object<'a>, name: &str) -> Option<Raw<'a>> {
    if name.starts_with("response.") || root.get("output").is_some() {
        return None;
    }
    let states = |keys: &[&str]| keys.iter().any(|key| root.get(key).is_some());
    let named = root.string("object").as_deref() == Some("error");
    if named || (states(&["message"]) && states(&["code", "status", "status_code", "type"])) {
        return Raw::of(source).ok();
    }
    root.get("detail").or_else(|| root.get("error_message"))
}

/// Whether the event may stand where it stands.
fn begin(record: &mut Record, event: &Event<'_>) -> Result<(), Undecodable> {
    match event.kind {
        Kind::Begins if record.ended => record.begin_again(),
        Kind::Begins if record.began && event.name == "response.created" => {
            return Err(undecodable("the response", "it begins twice"));
        }
        Kind::Item { .. } | Kind::Part { .. } | Kind::Spoken { .. } | Kind::Ends
            if record.ended =>
        {
            return Err(undecodable("the response", "it goes on after its end"));
        }
        _ => {}
    }
    record.began |= event.kind == Kind::Begins;
    Ok(())
}

/// A further part of a text, or a whole one.
fn say<'a>(
    record: &mut Record,
    event: &mut Event<'a>,
    key: u32,
    root: &Object<'a>,
    (spoken, field, whole): (&'static Spoken, &'static str, bool),
) -> Result<(), Undecodable> {
    let path = match spoken.index {
        "" => spoken.path(0),
        index => spoken.path(position(root, index)?),
    };
    let done = event.name.ends_with(".done");
    let mut at = At::of(record, event, key, false);
    // What is said of an item that was never added says what the item is.
    let calls = match (at.record.items.get(&key), spoken.item) {
        (Some(item), _) => item.call.is_some(),
        (None, kind) => matches!(
            kind,
            "function_call" | "custom_tool_call" | "shell_call" | "apply_patch_call"
        ),
    };
    at.begin(spoken.item, calls.then_some(Calls::Named("")))?;
    let Some(value) = root.get(field) else {
        return Ok(());
    };
    let said = text(value, &|| field.to_owned())?;
    let channel = match (spoken.item, field) {
        _ if calls => Channel::ToolArguments,
        ("message", _) if spoken.path(0).ends_with("refusal") => Channel::Refusal,
        ("message", _) => Channel::Output,
        ("reasoning", _) => Channel::Reasoning,
        _ => Channel::Other,
    };
    let fault = |what: String| undecodable(format!("output[{key}].{path}"), what);
    let new = match whole {
        true => at.record.state(key, &path, &said, channel, done),
        false => at.record.add(key, &path, &said, channel).map(|()| 0),
    };
    let new = new.map_err(fault)?;
    let mut part = at.new_part(spoken.item);
    if calls && !part.built {
        (part.text, part.value, part.new, part.whole) = (said, Some(value), new, whole);
        part.says = !part.news().is_empty();
        at.facts.push(Fact::Call(part));
        return Ok(());
    }
    let tokens = root.get("logprobs");
    // What a tool that OpenAI describes is to do is certain when the item is done; until then it is text of its own, and cannot
    // be replaced apart from the call.
    let value = (!calls).then_some(value);
    at.facts.push(Fact::Text(Said {
        place: place(if calls { Channel::Other } else { channel }),
        item: Some(key),
        path: path.clone(),
        value,
        text: said.clone(),
        new,
        whole,
        generated: !calls,
    }));
    match tokens {
        Some(tokens) => at.tokens(path, tokens, &said),
        None => Ok(()),
    }
}
