//! Edits of requests: all bytes that no edit concerns stay as they are.

use std::ops::Range;

use serde_json::json;
use serde_json::value::RawValue;

use super::request::{OUTPUT_LIMITS, messages, object, optional, output_limits, part_text, utf8};
use super::undecodable;
use crate::gateway::dialect::json::{self, Object};
use crate::gateway::dialect::{EditError, MessageEdit, RequestEdits};
use crate::session::event::Role;

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
        serde_json::from_str::<&RawValue>(value).map_err(|error| impossible(name, error))?;
        set.retain(|(other, _)| other != name);
        set.push((name, value.clone()));
    }
    if edits.include_usage && optional::<bool>(&root, "stream")?.unwrap_or(false) {
        let options = root.get("stream_options").map_or("{}", RawValue::get);
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

/// The array of messages with the edits made. Messages that no edit names keep their bytes, and the bytes between two of
/// them that stay neighbours.
fn edit_messages(
    source: &str,
    root: &Object<'_>,
    edits: &[MessageEdit],
) -> Result<String, EditError> {
    let old = messages(root)?;
    let spans: Vec<_> = old.iter().map(|value| json::span(source, value)).collect();
    for edit in edits {
        let (MessageEdit::Insert { at, .. }
        | MessageEdit::Rewrite { index: at, .. }
        | MessageEdit::Evict { index: at }) = edit;
        let count = old.len() + usize::from(matches!(edit, MessageEdit::Insert { .. }));
        if *at >= count {
            return Err(impossible(
                &format!("messages[{at}]"),
                format!("the request has {} messages", old.len()),
            ));
        }
    }
    // The brackets, with the white space inside them.
    let edges = root
        .get("messages")
        .map(|list| json::span(source, list))
        .zip(spans.first().zip(spans.last()));
    let (open, close) = edges.map_or(("[", "]"), |(list, (first, last))| {
        (
            &source[list.start..first.start],
            &source[last.end..list.end],
        )
    });
    let mut out = String::from(open);
    let mut last = None;
    for index in 0..=old.len() {
        for edit in edits {
            if let MessageEdit::Insert { at, role, text } = edit
                && *at == index
            {
                if out.len() > open.len() {
                    out.push(',');
                }
                out.push_str(&new_message(*role, text)?);
                last = None;
            }
        }
        let Some(value) = old.get(index) else { break };
        if edits.contains(&MessageEdit::Evict { index }) {
            last = None;
            continue;
        }
        match last {
            Some(before) => out.push_str(between(source, &spans, before, index)),
            None if out.len() > open.len() => out.push(','),
            None => {}
        }
        last = Some(index);
        let rewritten = edits.iter().rev().find_map(|edit| match edit {
            MessageEdit::Rewrite { index: at, text } if *at == index => Some(text),
            _ => None,
        });
        match rewritten {
            Some(text) => out.push_str(&rewrite(value, index, text)?),
            None => out.push_str(value.get()),
        }
    }
    out.push_str(close);
    Ok(out)
}

fn between<'s>(source: &'s str, spans: &[Range<usize>], before: usize, after: usize) -> &'s str {
    let gap = spans
        .get(before)
        .zip(spans.get(after))
        .and_then(|(before, after)| source.get(before.end..after.start));
    gap.unwrap_or(",")
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

/// The message with other text: in place of all its text parts, beside those that are not text.
fn rewrite(value: &RawValue, index: usize, text: &str) -> Result<String, EditError> {
    let place = format!("messages[{index}]");
    let fields = object(&place, value.get())?;
    let media: Vec<&str> = match fields
        .get("content")
        .filter(|content| json::first_byte(content) == b'[')
    {
        Some(parts) => {
            let parts = json::array(parts)
                .map_err(|error| undecodable(format!("{place}.content"), error))?;
            parts
                .into_iter()
                .map(RawValue::get)
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
    Ok(json::set(value.get(), &fields, &[("content", content)]))
}

fn impossible(place: &str, what: impl ToString) -> EditError {
    EditError::Impossible {
        place: place.to_owned(),
        what: what.to_string(),
    }
}
