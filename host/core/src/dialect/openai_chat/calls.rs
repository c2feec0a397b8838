//! Where a tool call stands: each element of `tool_calls`, and `function_call`, is a part of one call.

use std::borrow::Cow;

use crate::dialect::inert;
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::openai_chat::fact::{Fact, Form, Part, Tell};
use crate::dialect::openai_chat::undecodable::undecodable;
use crate::dialect::openai_chat::values::{leaves, object, text};
use crate::dialect::{CallKind, Slot, Undecodable};
use crate::event::{Channel, Place};

/// The object in an element that says what is called, its key, and the key of the arguments in it.
pub(super) fn target<'a>(
    element: &Object<'a>,
) -> Option<(CallKind, &'static str, &'static str, Raw<'a>)> {
    let function = element
        .get("function")
        .map(|value| (CallKind::Function, "function", "arguments", value));
    function.or_else(|| {
        let value = element.get("custom")?;
        Some((CallKind::Custom, "custom", "input", value))
    })
}

/// An element of `tool_calls`.
pub(super) fn element<'a>(
    form: Form,
    choice: u16,
    list: Raw<'a>,
    value: Raw<'a>,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let entries = object(value, path)?;
    let slot = match (form, entries.get("index")) {
        (Form::Body, _) => Slot::Whole,
        (Form::Frame, None) => Slot::Unnumbered,
        (Form::Frame, Some(stated)) => Slot::Index(index(stated, path)?),
    };
    if entries.get("function").is_some() && entries.get("custom").is_some() {
        return Err(undecodable(
            path(),
            "it is the call of a function and of a custom tool at once",
        ));
    }
    let id = match entries.get("id") {
        Some(id) if json::first_byte(id) == b'"' => json::string(id).filter(|id| !id.is_empty()),
        Some(id) if json::integer(id).is_some() => Some(Cow::Borrowed(id.get())),
        Some(_) => {
            return Err(undecodable(
                format!("{}.id", path()),
                "it is neither a string nor a number",
            ));
        }
        None => None,
    };
    let part = Part {
        choice,
        slot,
        kind: CallKind::Unsaid,
        id,
        name: None,
        arguments: Cow::Borrowed(""),
        list: Some(list),
        value,
    };
    let said = match target(&entries) {
        Some((kind, key, arguments, value)) => {
            let path = || format!("{}.{key}", path());
            said(Part { kind, ..part }, arguments, value, &path, tell)
        }
        None => {
            tell(Fact::Call(part));
            Ok(())
        }
    };
    said?;
    for &(ref key, value) in &entries.0 {
        let inert = match key.as_str() {
            "index" | "id" | "function" | "custom" => true,
            "type" => inert::is_token(value),
            _ => false,
        };
        if !inert {
            let path = || format!("{}.{}", path(), key.as_str());
            leaves(value, other(choice), false, &path, tell)?;
        }
    }
    Ok(())
}

/// The call of the form before tool calls.
pub(super) fn single<'a>(
    choice: u16,
    value: Raw<'a>,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let part = Part {
        choice,
        slot: Slot::Single,
        kind: CallKind::Function,
        id: None,
        name: None,
        arguments: Cow::Borrowed(""),
        list: None,
        value,
    };
    said(part, "arguments", value, path, tell)
}

fn said<'a>(
    part: Part<'a>,
    key: &str,
    value: Raw<'a>,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let entries = object(value, path)?;
    let name = entries
        .get("name")
        .map(|name| text(name, &|| format!("{}.name", path())))
        .transpose()?;
    let arguments = match entries.get(key) {
        None => Cow::Borrowed(""),
        // Some servers give the arguments as an object: its JSON is what others give as a string.
        Some(value) if matches!(json::first_byte(value), b'{' | b'[') => Cow::Borrowed(value.get()),
        Some(value) => text(value, &|| format!("{}.{key}", path()))?,
    };
    let choice = part.choice;
    tell(Fact::Call(Part {
        name: name.filter(|name| !name.is_empty()),
        arguments,
        ..part
    }));
    for (field, value) in &entries.0 {
        if field.as_str() != "name" && field.as_str() != key {
            let path = || format!("{}.{}", path(), field.as_str());
            leaves(*value, other(choice), true, &path, tell)?;
        }
    }
    Ok(())
}

fn other(choice: u16) -> Place {
    Place::new(Channel::Other, choice, 0)
}

/// A stated index. Some servers write it with a fraction of zero.
pub(super) fn index(stated: Raw<'_>, path: &dyn Fn() -> String) -> Result<u16, Undecodable> {
    json::integer(stated)
        .and_then(|n| u16::try_from(n).ok())
        .ok_or_else(|| {
            undecodable(
                format!("{}.index", path()),
                "it is not a number from 0 to 65535",
            )
        })
}
