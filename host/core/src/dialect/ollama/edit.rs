//! Edits of lines and bodies: only the bytes of what is edited change, and what was written is read again.
//!
//! Of several legs the client reads one answer: one model, and one end.

use std::ops::Range;

use crate::dialect::json::{self, Object, Splices};
use crate::dialect::mark::MARK;
use crate::dialect::ollama::fact::Fact;
use crate::dialect::ollama::fields::{self, COUNTS};
use crate::dialect::ollama::say;
use crate::dialect::ollama::shape::{Shape, THINKING};
use crate::dialect::{EditError, Edits, Ending, TextEdit, Undecodable};
use crate::event::Channel;

mod calls;
mod proof;

use proof::Sense;
pub(super) use proof::changes;

/// What was made of a line or body.
pub(super) struct Written {
    /// JSON.
    pub json: String,
    /// Whether it says anything that a client may wait for.
    pub says: bool,
}

/// A line or body with the edits made. `stale`: what went out before it is not what the model wrote, so that tokens of the
/// whole conversation would tell what was replaced.
pub(super) fn write(
    shape: &Shape,
    source: &str,
    edits: &Edits<'_>,
    stale: bool,
) -> Result<Written, EditError> {
    let before = Sense::of(shape, source)?;
    let said = texts(shape, source, &edits.texts)?;
    let mut json = parts(shape, &said, edits, stale || changes(edits))?;
    let usage = edits
        .usage
        .filter(|_| before.is_counted() && !edits.goes_on);
    if let Some(usage) = usage {
        let [input, output] = COUNTS;
        let counts = [(input, usage.input), (output, usage.output)];
        json = set(
            &json,
            &counts.map(|(name, count)| (name, count.to_string())),
        )?;
    }
    if let Some(identity) = edits.identity.filter(|known| !known.model.is_empty()) {
        json = set(&json, &[("model", json::quote(&identity.model))])?;
    }
    if !edits.before.is_empty() {
        json = prepend(shape, &json, &edits.before)?;
    }
    let after = Sense::of(shape, &json)?;
    proof::reads_as_meant(&before, &after, edits, stale)?;
    Ok(Written {
        says: after.says(),
        json,
    })
}

/// Whether it says the whole conversation again, in tokens.
pub(super) fn has_context(shape: &Shape, source: &str) -> bool {
    let mut has = false;
    let walked = fields::walk(shape, source, &mut |fact| {
        has |= matches!(fact, Fact::Context(_));
    });
    has || walked.is_err()
}

/// The first field of a place gets the whole text, the others become empty, and tokens that say it again become null.
fn texts(shape: &Shape, source: &str, edits: &[TextEdit]) -> Result<String, EditError> {
    if edits.is_empty() {
        return Ok(source.to_owned());
    }
    let mut texts: Vec<(_, Option<Range<usize>>)> = Vec::new();
    fields::walk(shape, source, &mut |fact| {
        if let Fact::Text { place, value, .. } = fact {
            texts.push((place, value.map(|value| json::span(source, value))));
        }
    })?;
    let mut splices = Splices::default();
    for edit in edits {
        let mut said = false;
        for (_, span) in texts.iter().filter(|(place, _)| *place == edit.place) {
            let Some(span) = span else {
                return Err(EditError::at(edit.place, "it is not the value of a field"));
            };
            let text = if said { "" } else { &*edit.text };
            splices.replace(span.clone(), json::quote(text));
            said = true;
        }
        if !said {
            return Err(EditError::at(edit.place, "there is no text to replace"));
        }
    }
    Ok(splices.apply(source))
}

/// Everything but texts.
fn parts(shape: &Shape, source: &str, edits: &Edits<'_>, stale: bool) -> Result<String, EditError> {
    let mut splices = Splices::default();
    let mut null = |value| splices.replace(json::span(source, value), "null".to_owned());
    let tokens = !edits.texts.is_empty() || !edits.calls.is_empty();
    let (mut counts, mut done) = (Vec::new(), None);
    fields::walk(shape, source, &mut |fact| match fact {
        Fact::Tokens(value) if tokens => null(value),
        Fact::Context(value) if stale => null(value),
        Fact::Usage(stated) => counts = stated,
        Fact::Done { value, stated, .. } if edits.goes_on => done = Some((value, stated)),
        _ => {}
    })?;
    if let Some((value, reason)) = done {
        // What the leg used is a part of what the last one states.
        counts.iter().for_each(|(_, value)| null(*value));
        reason.into_iter().for_each(&mut null);
        splices.replace(json::span(source, value), "false".to_owned());
    }
    calls::write(shape, source, &edits.calls, &mut splices)?;
    Ok(splices.apply(source))
}

/// A body with the text of earlier legs before its own. A body that states an error has no place for it.
fn prepend(shape: &Shape, source: &str, before: &[TextEdit]) -> Result<String, EditError> {
    let root = Object::parse(source).map_err(|error| Undecodable::at("the response", error))?;
    if root.get("error").is_some() {
        return Ok(source.to_owned());
    }
    let message = match shape.message {
        None => Some(Object::parse(source)),
        Some(field) => root.get(field).map(Object::of),
    };
    let Some(message) = message else {
        return Ok(source.to_owned());
    };
    let message = message.map_err(|error| Undecodable::at("message", error))?;
    let mut fields: Vec<(&str, String)> = Vec::new();
    for edit in before {
        let field = match edit.place.channel {
            // There is no field for a refusal.
            Channel::Output | Channel::Refusal => shape.text,
            Channel::Reasoning => THINKING,
            _ => continue,
        };
        match fields.iter_mut().find(|(known, _)| *known == field) {
            Some((_, text)) => text.push_str(&edit.text),
            None => fields.push((field, edit.text.clone())),
        }
    }
    for (field, text) in &mut fields {
        let own = message.string(field).unwrap_or_default();
        *text = json::quote(&format!("{text}{own}"));
    }
    match shape
        .message
        .and_then(|field| Some((field, root.get(field)?)))
    {
        None => Ok(json::set(source, &root, &fields)),
        Some((field, value)) => {
            let message = json::set(value.get(), &message, &fields);
            Ok(json::set(source, &root, &[(field, message)]))
        }
    }
}

/// The body with another end.
pub(super) fn end_body(body: &str, ending: &Ending) -> Result<Vec<u8>, EditError> {
    let reason = json::quote(say::reason(ending));
    let mut fields = vec![("done", "true".to_owned()), ("done_reason", reason)];
    if let Some(mark) = say::marked(ending) {
        fields.push((MARK, mark.to_string()));
    }
    Ok(set(body, &fields)?.into_bytes())
}

fn set(source: &str, fields: &[(&str, String)]) -> Result<String, EditError> {
    let root = Object::parse(source).map_err(|error| Undecodable::at("the response", error))?;
    Ok(json::set(source, &root, fields))
}
