//! Where the facts of an answer stand: the events of a stream, and a whole body. A message is the same in both, but for the
//! blocks that a stream brings one by one.
//!
//! An event that is none of the API's is skipped by its clients, and passes: all strings in it are text.

use std::borrow::Cow;

use super::blocks;
use super::course::{Course, Open};
use super::fact::{Fact, Form, Tell};
use super::undecodable::undecodable;
use super::values::{free, is_inert, items, known, object, text};
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::{Undecodable, inert};
use crate::event::Channel;

/// Tells the facts of an event, and gives the course of the stream behind it.
pub(super) fn event<'a>(
    source: &'a str,
    before: Course,
    tell: Tell<'_, 'a>,
) -> Result<Course, Undecodable> {
    let root = Object::parse(source).map_err(|error| undecodable("the event", error))?;
    let name = name(&root)?;
    let mut after = before;
    match &*name {
        "message_start" => {
            if before.begun {
                let what = "a second message begins, and clients differ on which they read";
                return Err(undecodable(&*name, what));
            }
            after.begun = true;
            let value = field(&root, &name, "message")?;
            let path = || "message_start.message".to_owned();
            let fields = object(value, &path)?;
            message(Form::Start, &fields, &mut after, &path, tell)?;
        }
        "content_block_start" => {
            let index = index(&root, &name)?;
            before.may_open(&name, index)?;
            let value = field(&root, &name, "content_block")?;
            let path = || format!("content_block_start[{index}]");
            let begun = blocks::block(Form::Start, value, &mut after.calls, &path, tell)?;
            after.blocks += 1;
            after.open = Some(Open {
                index,
                kind: begun.kind,
                call: before.calls,
                filled: begun.filled,
                said: begun.said,
            });
        }
        "content_block_delta" => {
            let index = index(&root, &name)?;
            let mut open = before.open(&name, index)?;
            let value = field(&root, &name, "delta")?;
            let path = || format!("content_block_delta[{index}]");
            open.said |= blocks::delta(&open, value, &path, tell)?;
            after.open = Some(open);
        }
        "content_block_stop" => {
            before.open(&name, index(&root, &name)?)?;
            after.open = None;
        }
        "message_delta" => {
            before.under_way(&name)?;
            let value = field(&root, &name, "delta")?;
            let path = || "message_delta.delta".to_owned();
            ending(&object(value, &path)?, &path, tell)?;
            if let Some(value) = root.get("usage") {
                usage(value, tell)?;
            }
        }
        "message_stop" => {
            before.under_way(&name)?;
            after.ended = true;
        }
        "error" => error(&root, tell)?,
        _ => {}
    }
    for &(ref key, value) in &root.0 {
        let key = key.as_str();
        let read = match (&*name, key) {
            (_, "type") => true,
            ("message_start", "message")
            | ("content_block_start" | "content_block_delta" | "content_block_stop", "index")
            | ("content_block_start", "content_block")
            | ("content_block_delta" | "message_delta", "delta")
            | ("message_delta", "usage")
            | ("error", "error") => true,
            ("error", _) => is_inert(key, value),
            _ => false,
        };
        if !read {
            free(value, true, &|| format!("{name}.{key}"), tell)?;
        }
    }
    Ok(after)
}

/// Name of an event; it stands in a line of its own too, and has no white space.
pub(super) fn name<'a>(root: &Object<'a>) -> Result<Cow<'a, str>, Undecodable> {
    match root.get("type") {
        Some(value) if inert::is_token(value) => text(value, &|| "type".to_owned()),
        Some(_) => Err(undecodable("type", "it is not the name of an event")),
        // As proxies state one.
        None if root.get("error").is_some() => Ok(Cow::Borrowed("error")),
        None => Err(undecodable("type", "the event has no such field")),
    }
}

/// Tells the facts of a whole body: a message, or an error.
pub(super) fn body<'a>(source: &'a str, tell: Tell<'_, 'a>) -> Result<(), Undecodable> {
    let root = Object::parse(source).map_err(|error| undecodable("the response", error))?;
    let path = || "the response".to_owned();
    let states = |keys: &[&str]| keys.iter().any(|key| root.get(key).is_some());
    if states(&["content"]) {
        if states(&["error"]) {
            let what =
                "it is a message and an error at once, and clients differ on which they read";
            return Err(undecodable("the response", what));
        }
        return message(Form::Whole, &root, &mut Course::default(), &path, tell);
    }
    if states(&["error"]) {
        error(&root, tell)?;
    } else if states(&["detail", "message", "error_message"]) {
        // As proxies state one.
        tell(Fact::Error(
            Raw::of(source).map_err(|error| undecodable("the response", error))?,
        ));
    } else {
        return Err(undecodable("content", "the response has no such field"));
    }
    for &(ref key, value) in &root.0 {
        if key.as_str() != "error" && !is_inert(key.as_str(), value) {
            free(value, false, &|| key.as_str().to_owned(), tell)?;
        }
    }
    Ok(())
}

/// A message: that of a body, or what a stream begins with. Its blocks are counted in `course`.
fn message<'a>(
    form: Form,
    fields: &Object<'a>,
    course: &mut Course,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    for &(ref key, value) in &fields.0 {
        let key = key.as_str();
        let path = || format!("{}.{key}", path());
        if json::is_null(value) {
            continue;
        }
        match key {
            "id" => tell(Fact::Id(value)),
            "model" => tell(Fact::Model(value)),
            "content" => {
                for (at, value) in items(value, &path)?.into_iter().enumerate() {
                    let path = || format!("{}[{at}]", path());
                    // Nothing can be added to a block that a stream begins with.
                    blocks::block(Form::Whole, value, &mut course.calls, &path, tell)?;
                    course.blocks += 1;
                }
            }
            "usage" => usage(value, tell)?,
            _ => {}
        }
        let read = match key {
            "content" | "usage" | "stop_reason" | "stop_sequence" | "stop_details"
            | "container" => true,
            "id" | "model" | "role" | "type" => inert::is_token(value),
            _ => false,
        };
        if !read {
            free(value, form == Form::Start, &path, tell)?;
        }
    }
    let ends = ["stop_reason", "stop_sequence", "stop_details", "container"];
    let ends = fields
        .0
        .iter()
        .filter(|(key, _)| ends.contains(&key.as_str()));
    for &(ref key, value) in ends {
        end(key.as_str(), value, path, tell)?;
    }
    Ok(())
}

/// What ends a message, in a stream.
fn ending<'a>(
    fields: &Object<'a>,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let mut ends = fields.0.iter();
    ends.try_for_each(|&(ref key, value)| end(key.as_str(), value, path, tell))
}

/// A field that ends a message.
fn end<'a>(
    key: &str,
    value: Raw<'a>,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let path = || format!("{}.{key}", path());
    if json::is_null(value) {
        return Ok(());
    }
    match key {
        "stop_reason" => {
            let reason = text(value, &path)?;
            if !inert::is_token(value) {
                free(value, false, &path, tell)?;
            }
            if !reason.is_empty() {
                tell(Fact::Finish { reason, value });
            }
            Ok(())
        }
        // Why it was refused.
        "stop_details" => known(value, Channel::Refusal, false, &path, tell),
        "container" => known(value, Channel::Other, false, &path, tell),
        _ => free(value, false, &path, tell),
    }
}

fn usage<'a>(value: Raw<'a>, tell: Tell<'_, 'a>) -> Result<(), Undecodable> {
    tell(Fact::Usage(value));
    known(value, Channel::Other, false, &|| "usage".to_owned(), tell)
}

fn error<'a>(root: &Object<'a>, tell: Tell<'_, 'a>) -> Result<(), Undecodable> {
    let value = field(root, "error", "error")?;
    tell(Fact::Error(value));
    known(value, Channel::Other, false, &|| "error".to_owned(), tell)
}

/// A field that an event must have.
fn field<'a>(root: &Object<'a>, event: &str, key: &str) -> Result<Raw<'a>, Undecodable> {
    root.get(key)
        .ok_or_else(|| undecodable(format!("{event}.{key}"), "there is none"))
}

/// The number of a block.
fn index(root: &Object<'_>, event: &str) -> Result<u32, Undecodable> {
    let value = field(root, event, "index")?;
    json::integer(value)
        .and_then(|n| u32::try_from(n).ok())
        .ok_or_else(|| undecodable(format!("{event}.index"), "it is not the number of a block"))
}
