//! Where text stands in content blocks and their deltas: one walk serves reading, editing and splicing, so that what is read
//! is what is written.
//!
//! | block | delta | channel |
//! |---|---|---|
//! | `text` | `text_delta` | output; its citations (`citations_delta`): other |
//! | `thinking` | `thinking_delta`, `signature_delta` | reasoning, signed |
//! | `redacted_thinking` | none | none, if it is encrypted |
//! | `tool_use` | `input_json_delta` | a call |
//! | `server_tool_use`, `mcp_tool_use`, any other `*_tool_use` | `input_json_delta` | other: the server runs it |
//! | `*_tool_result`, `container_upload` | none | other |
//! | `compaction` | `compaction_delta` | other |
//! | any other | any other | other |
//!
//! A delta that its block does not take is refused: some clients skip it, some show it.

use std::borrow::Cow;

use super::course::{Kind, Open};
use super::fact::{Fact, Form, Part, Tell};
use super::undecodable::undecodable;
use super::values::{free, is_inert, is_opaque, known, object, sealed, string, text};
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::{Undecodable, inert};
use crate::event::Channel;

/// What a block begins as.
pub(super) struct Begun {
    pub kind: Kind,
    pub filled: bool,
    pub said: bool,
}

/// A block, whole or as it begins. `calls` counts the client's calls, and this one if it is one.
pub(super) fn block<'a>(
    form: Form,
    value: Raw<'a>,
    calls: &mut u16,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<Begun, Undecodable> {
    let fields = object(value, path)?;
    let name = of_type(&fields, path)?;
    let kind = kind(&name);
    let mut begun = Begun {
        kind,
        filled: false,
        said: false,
    };
    if kind == Kind::Call {
        call(form, value, &fields, calls, path, tell)?;
    }
    for &(ref key, value) in &fields.0 {
        let key = key.as_str();
        let path = || format!("{}.{key}", path());
        if json::is_null(value) || key == "type" {
            continue;
        }
        match (kind, key) {
            (Kind::Text, "text") => {
                begun.said = !text(value, &path)?.is_empty();
                string(value, Channel::Output, &path, tell)?;
            }
            (Kind::Text, "citations") => known(value, Channel::Other, false, &path, tell)?,
            (Kind::Thinking, "thinking") => thought(value, &path, tell)?,
            (Kind::Thinking, "signature") if is_opaque(value) => {}
            (Kind::Thinking, "signature") => sealed(value, Channel::Other, &path, tell)?,
            (Kind::Call | Kind::ServerCall, "input") => {
                begun.filled = !is_empty_object(value, &path)?;
                if kind == Kind::ServerCall {
                    free(value, true, &path, tell)?;
                }
            }
            (Kind::Call, "id" | "name") => {}
            (Kind::ServerCall, "id" | "name" | "server_name") if inert::is_token(value) => {}
            (Kind::Call | Kind::ServerCall, "caller") => {
                known(value, Channel::Other, false, &path, tell)?;
            }
            (Kind::Compaction, "content") => string(value, Channel::Other, &path, tell)?,
            (Kind::Other, "data") if &*name == "redacted_thinking" => {
                if !is_opaque(value) {
                    sealed(value, Channel::Reasoning, &path, tell)?;
                }
            }
            (Kind::Other, _) if is_result(&name) => {
                if !is_inert(key, value) {
                    known(value, Channel::Other, false, &path, tell)?;
                }
            }
            (Kind::Other, "file_id") if &*name == "container_upload" && inert::is_token(value) => {}
            _ => free(value, kind != Kind::Text, &path, tell)?,
        }
    }
    Ok(begun)
}

/// A delta of the open block. Says whether it bore text.
pub(super) fn delta<'a>(
    open: &Open,
    value: Raw<'a>,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<bool, Undecodable> {
    let fields = object(value, path)?;
    let name = of_type(&fields, path)?;
    let fits = match &*name {
        "text_delta" | "citations_delta" => open.kind == Kind::Text,
        "thinking_delta" | "signature_delta" => open.kind == Kind::Thinking,
        "input_json_delta" => matches!(open.kind, Kind::Call | Kind::ServerCall),
        "compaction_delta" => open.kind == Kind::Compaction,
        _ => true,
    };
    if !fits {
        let what = format!("a block of kind {:?} takes no `{name}`", open.kind);
        return Err(undecodable(path(), what));
    }
    let mut said = false;
    for &(ref key, value) in &fields.0 {
        let key = key.as_str();
        let path = || format!("{}.{key}", path());
        if json::is_null(value) || key == "type" {
            continue;
        }
        match (&*name, key) {
            ("text_delta", "text") => {
                said = !text(value, &path)?.is_empty();
                string(value, Channel::Output, &path, tell)?;
            }
            ("citations_delta", "citation") => known(value, Channel::Other, false, &path, tell)?,
            ("thinking_delta", "thinking") => thought(value, &path, tell)?,
            ("signature_delta", "signature") if is_opaque(value) => {}
            ("signature_delta", "signature") => sealed(value, Channel::Other, &path, tell)?,
            ("input_json_delta", "partial_json") => input(open, value, &path, tell)?,
            ("compaction_delta", "content") => string(value, Channel::Other, &path, tell)?,
            ("compaction_delta", "encrypted_content") if is_opaque(value) => {}
            _ => free(value, true, &path, tell)?,
        }
    }
    Ok(said)
}

/// The name of a block's or delta's type.
pub(super) fn of_type<'a>(
    fields: &Object<'a>,
    path: &dyn Fn() -> String,
) -> Result<Cow<'a, str>, Undecodable> {
    let path = || format!("{}.type", path());
    match fields.get("type") {
        Some(value) if inert::is_token(value) => text(value, &path),
        Some(_) => Err(undecodable(path(), "it is not the name of a type")),
        None => Err(undecodable(path(), "there is none")),
    }
}

/// What a block of this type is.
pub(super) fn kind(name: &str) -> Kind {
    match name {
        "text" => Kind::Text,
        "thinking" => Kind::Thinking,
        "tool_use" => Kind::Call,
        name if name.ends_with("_tool_use") => Kind::ServerCall,
        "compaction" => Kind::Compaction,
        _ => Kind::Other,
    }
}

fn is_result(name: &str) -> bool {
    name == "tool_result" || name.ends_with("_tool_result")
}

fn call<'a>(
    form: Form,
    value: Raw<'a>,
    fields: &Object<'a>,
    calls: &mut u16,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let string = |key: &str| {
        let value = fields.get(key);
        let read = |value| text(value, &|| format!("{}.{key}", path()));
        let text = value.map(read).transpose();
        text.map(|text| text.filter(|text| !text.is_empty()))
    };
    let arguments = match fields.get("input") {
        // An empty input stands for what the deltas say.
        Some(input)
            if form == Form::Whole || !is_empty_object(input, &|| format!("{}.input", path()))? =>
        {
            input.get()
        }
        _ => "",
    };
    tell(Fact::Call(Part {
        number: *calls,
        id: string("id")?,
        name: string("name")?,
        arguments: Cow::Borrowed(arguments),
        form,
        value,
    }));
    *calls = calls
        .checked_add(1)
        .ok_or_else(|| undecodable(path(), "there are too many calls"))?;
    Ok(())
}

/// A part of the input of a call.
fn input<'a>(
    open: &Open,
    value: Raw<'a>,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let arguments = text(value, path)?;
    if open.filled && !arguments.is_empty() {
        let what = "the call has an input already, and clients differ on what joins it";
        return Err(undecodable(path(), what));
    }
    if open.kind == Kind::ServerCall {
        return string(value, Channel::Other, path, tell);
    }
    tell(Fact::Call(Part {
        number: open.call,
        id: None,
        name: None,
        arguments,
        form: Form::Delta,
        value,
    }));
    Ok(())
}

/// A thought. It is signed, before or after it is said: what it says cannot be replaced.
fn thought<'a>(
    value: Raw<'a>,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    text(value, path)?;
    sealed(value, Channel::Reasoning, path, tell)
}

fn is_empty_object(value: Raw<'_>, path: &dyn Fn() -> String) -> Result<bool, Undecodable> {
    Ok(object(value, path)?.0.is_empty())
}
