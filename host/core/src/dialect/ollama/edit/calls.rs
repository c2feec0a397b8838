//! Calls as they are written: left out, renumbered, with other arguments. Each stands whole.

use std::ops::Range;

use crate::dialect::json::{self, Object, Raw, Splices};
use crate::dialect::ollama::fact::Fact;
use crate::dialect::ollama::fields;
use crate::dialect::ollama::shape::Shape;
use crate::dialect::{CallEdit, EditError, Undecodable};
use crate::event::{Channel, Place};

/// Writes the edits of a line's calls: a list is written anew, so that no comma is left of what is gone.
pub(super) fn write(
    shape: &Shape,
    source: &str,
    edits: &[CallEdit],
    splices: &mut Splices,
) -> Result<(), EditError> {
    if edits.is_empty() {
        return Ok(());
    }
    let mut calls: Vec<(Raw<'_>, Raw<'_>)> = Vec::new();
    fields::walk(shape, source, &mut |fact| {
        if let Fact::Call(call) = fact {
            calls.push((call.list, call.value));
        }
    })?;
    if edits.len() != calls.len() {
        return Err(EditError::Impossible {
            place: "tool_calls".to_owned(),
            what: format!("{} edits for {} calls", edits.len(), calls.len()),
        });
    }
    let mut lists: Vec<(Range<usize>, Vec<String>)> = Vec::new();
    for ((list, value), edit) in calls.into_iter().zip(edits) {
        let list = json::span(source, list);
        if lists.last().is_none_or(|(known, _)| *known != list) {
            lists.push((list, Vec::new()));
        }
        let written = match edit {
            CallEdit::Keep => Some(value.get().to_owned()),
            CallEdit::Drop => None,
            CallEdit::Change {
                index,
                arguments,
                id_said,
                name_said,
            } => {
                if *id_said || *name_said {
                    return Err(impossible("a call stands whole"));
                }
                Some(changed(value, *index, arguments.as_deref())?)
            }
        };
        if let Some((_, items)) = lists.last_mut() {
            items.extend(written);
        }
    }
    for (list, items) in lists {
        let with = match items.is_empty() {
            true => "null".to_owned(),
            false => format!("[{}]", items.join(",")),
        };
        splices.replace(list, with);
    }
    Ok(())
}

/// A call with another number, where it states one, and other arguments.
fn changed(call: Raw<'_>, index: u16, arguments: Option<&str>) -> Result<String, EditError> {
    let unreadable = |error| Undecodable::at("tool_calls", error);
    let fields = Object::of(call).map_err(unreadable)?;
    let Some(value) = fields.get("function") else {
        return Err(impossible("it names no tool"));
    };
    let function = Object::of(value).map_err(unreadable)?;
    let mut set = Vec::new();
    if function.get("index").is_some() {
        set.push(("index", index.to_string()));
    }
    if let Some(arguments) = arguments {
        let as_text = function
            .get("arguments")
            .is_some_and(|own| json::first_byte(own) == b'"');
        set.push((
            "arguments",
            match as_text {
                true => json::quote(arguments),
                false => object(arguments)?.to_owned(),
            },
        ));
    }
    let function = json::set(value.get(), &function, &set);
    Ok(json::set(call.get(), &fields, &[("function", function)]))
}

/// Arguments are an object, and nothing else.
fn object(arguments: &str) -> Result<&str, EditError> {
    let object = Object::parse(arguments);
    object
        .map(|_| arguments.trim_ascii())
        .map_err(|_| impossible("arguments must be an object"))
}

fn impossible(what: &str) -> EditError {
    EditError::at(Place::new(Channel::ToolArguments, 0, 0), what)
}
