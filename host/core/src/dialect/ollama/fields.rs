//! Where the facts of an answer stand: one walk serves reading, editing and proving, so that what is read is what is written.
//! A line of a stream and a whole answer have the same fields.
//!
//! | field | channel |
//! |---|---|
//! | `message.content`, or `response` | output |
//! | `message.thinking`, or `thinking` | reasoning |
//! | `message.tool_calls[]`, or `tool_calls[]` | calls: see [`calls`] |
//! | any other string, however deep, in errors too | other |
//!
//! `logprobs` and `context` say again in tokens what the line, or the conversation, says; they are set to null when any of it
//! is replaced, and what stands in `logprobs` beyond it is text. Inert, since no text can be of their type: numbers, booleans;
//! `model`, `remote_model`, `remote_host`, `created_at`, `done_reason`, `role`, `tool_name`, `tool_call_id` if they are one short
//! word; pictures (`images`, `image`) if they are base64.

use std::borrow::Cow;

use crate::dialect::inert::{self, is_token};
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::ollama::calls;
use crate::dialect::ollama::fact::{Fact, Tell};
use crate::dialect::ollama::shape::{Shape, THINKING};
use crate::dialect::ollama::spelling;
use crate::dialect::ollama::text::{OTHER, OUTPUT, REASONING, leaves, string};
use crate::dialect::values::{items, object, text};
use crate::dialect::{Undecodable, logprobs};
use crate::event::Channel;

/// Fields that state tokens.
pub(super) const COUNTS: [&str; 2] = ["prompt_eval_count", "eval_count"];

const ROOT: &[&str] = &[
    "model",
    "created_at",
    "done",
    "done_reason",
    "error",
    "context",
    "logprobs",
    "prompt_eval_count",
    "eval_count",
];
const MESSAGE: &[&str] = &["role", "tool_calls", THINKING, "images", "image"];

/// Tells the facts of a line or body: what its message says first, its end last.
pub(super) fn walk<'a>(
    shape: &Shape,
    source: &'a str,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let root = Object::parse(source).map_err(|error| Undecodable::at("the response", error))?;
    let nowhere = String::new;
    spelling::exact(&root, ROOT, &nowhere)?;
    let mut said: Vec<(Channel, String)> = Vec::new();
    let mut hear = |fact: Fact<'a>| {
        if let Fact::Text { place, text, .. } = &fact {
            said.push((place.channel, text.to_string()));
        }
        tell(fact);
    };
    match shape.message {
        None => message(shape, &root, &nowhere, &mut hear)?,
        Some(field) => {
            spelling::exact(&root, &[field], &nowhere)?;
            if let Some(value) = root.get(field) {
                let path = || field.to_owned();
                let fields = object(value, &path)?;
                message(shape, &fields, &path, &mut hear)?;
                // What nobody knows.
                for (key, value) in &fields.0 {
                    if !is_of_message(shape, key.as_str()) {
                        let path = || format!("{field}.{}", key.as_str());
                        leaves(*value, true, &path, &mut hear)?;
                    }
                }
            }
        }
    }
    beside(shape, &root, tell)?;
    if let Some(value) = root.get("logprobs") {
        tokens(value, &said, tell);
    }
    end(&root, tell)
}

fn is_of_message(shape: &Shape, key: &str) -> bool {
    key == shape.text || MESSAGE.contains(&key) || matches!(key, "tool_name" | "tool_call_id")
}

/// What the message says.
fn message<'a>(
    shape: &Shape,
    fields: &Object<'a>,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    spelling::exact(fields, MESSAGE, path)?;
    spelling::exact(fields, &[shape.text], path)?;
    let prefix = path();
    let dot = if prefix.is_empty() { "" } else { "." };
    for &(ref key, value) in &fields.0 {
        if json::is_null(value) {
            continue;
        }
        let name = key.as_str();
        let path = || format!("{prefix}{dot}{name}");
        match name {
            _ if name == shape.text => string(value, OUTPUT, &path, tell)?,
            THINKING => string(value, REASONING, &path, tell)?,
            "tool_calls" => {
                for (at, element) in items(value, &path)?.into_iter().enumerate() {
                    let path = || format!("{}[{at}]", path());
                    calls::element(value, element, &path, tell)?;
                }
            }
            "images" | "image" => pictures(value, &path, tell)?,
            "role" | "tool_name" | "tool_call_id" if !is_token(value) => {
                leaves(value, false, &path, tell)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// What stands beside the message, and is neither tokens nor the end.
fn beside<'a>(shape: &Shape, root: &Object<'a>, tell: Tell<'_, 'a>) -> Result<(), Undecodable> {
    for &(ref key, value) in &root.0 {
        let name = key.as_str();
        let of_message = match shape.message {
            Some(field) => name == field,
            None => is_of_message(shape, name),
        };
        if of_message || json::is_null(value) {
            continue;
        }
        let path = || name.to_owned();
        match name {
            "done" | "logprobs" => continue,
            "model" => tell(Fact::Model(value)),
            "error" if value.get() != "\"\"" => tell(Fact::Error(value)),
            "context" if logprobs::is_numbers(value) => {
                tell(Fact::Context(value));
                continue;
            }
            _ => {}
        }
        let inert = match name {
            "model" | "remote_model" | "remote_host" | "created_at" | "done_reason" => {
                is_token(value)
            }
            _ => false,
        };
        if !inert {
            leaves(value, false, &path, tell)?;
        }
    }
    Ok(())
}

/// Pictures are inert if nobody can read them.
fn pictures<'a>(
    value: Raw<'a>,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let all = match json::first_byte(value) {
        b'[' => items(value, path)?,
        _ => vec![value],
    };
    for picture in all {
        if !json::string(picture).is_some_and(|data| inert::is_opaque(&data)) {
            leaves(picture, true, path, tell)?;
        }
    }
    Ok(())
}

/// Tokens that say again what the line says; what they say beyond it is text. Of a thinking model they may have both what was
/// thought and what was said.
fn tokens<'a>(value: Raw<'a>, said: &[(Channel, String)], tell: Tell<'_, 'a>) {
    let of = |wanted: Channel| -> String {
        let texts = said.iter().filter(|(channel, _)| *channel == wanted);
        texts.map(|(_, text)| text.as_str()).collect()
    };
    let (thought, output) = (of(Channel::Reasoning), of(Channel::Output));
    let both = format!("{thought}{output}");
    if let Some(text) = logprobs::beyond_list(value, &[&output, &thought, &both]) {
        tell(Fact::Text {
            place: OTHER,
            value: None,
            text: Cow::Owned(text),
            generated: false,
        });
    }
    tell(Fact::Tokens(value));
}

/// Usage, and whether the answer is complete.
fn end<'a>(root: &Object<'a>, tell: Tell<'_, 'a>) -> Result<(), Undecodable> {
    let counts = COUNTS.into_iter();
    let counts: Vec<_> = counts
        .filter_map(|name| Some((name, root.get(name)?)))
        .collect();
    if !counts.is_empty() {
        tell(Fact::Usage(counts));
    }
    let stated = root.get("done_reason");
    let reason = stated
        .map(|value| text(value, &|| "done_reason".to_owned()))
        .transpose()?;
    match root.get("done") {
        Some(value) if value.get() == "true" => tell(Fact::Done {
            value,
            // What old servers do not state is that.
            reason: reason
                .filter(|reason| !reason.is_empty())
                .unwrap_or(Cow::Borrowed("stop")),
            stated,
        }),
        Some(value) if value.get() != "false" => {
            return Err(Undecodable::at("done", "it is neither true nor false"));
        }
        _ => {}
    }
    Ok(())
}
