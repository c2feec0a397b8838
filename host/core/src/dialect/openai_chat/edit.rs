//! Edits of responses: only the bytes of what is edited change, and what was written is read again.
//!
//! A client must read one answer, though several calls to an upstream make it: one set of ids, one role, calls numbered
//! from 0 without gaps, one usage. Who says the role twice breaks clients: the `openai` package (3.52) joins strings of
//! deltas, and reads `assistantassistant`.

use std::ops::Range;

use bytes::Bytes;

use crate::dialect::json::{self, Object, Splices};
use crate::dialect::mark::{MARK, mark};
use crate::dialect::openai;
use crate::dialect::openai_chat::fact::{Fact, Form};
use crate::dialect::openai_chat::undecodable::undecodable;
use crate::dialect::openai_chat::{fields, read, say};
use crate::dialect::sse::Frame;
use crate::dialect::{EditError, Edits, Ending, TextEdit};

mod calls;
mod proof;

use calls::Calls;

pub(super) fn frame(frame: &Frame, edits: &Edits<'_>) -> Result<Option<Bytes>, EditError> {
    let Some(source) = read::chunk(frame)? else {
        return match edits.texts.first() {
            Some(edit) => Err(EditError::at(edit.place, NO_TEXT)),
            None => Ok(Some(frame.raw.clone())),
        };
    };
    let written = write(source, Form::Frame, edits)?;
    let remains = *edits == only_texts(edits) || proof::says_anything(&written)?;
    Ok(remains.then(|| openai::reframe(frame, source, &written)))
}

pub(super) fn body(body: &[u8], edits: &Edits<'_>) -> Result<Vec<u8>, EditError> {
    Ok(write(read::utf8(body)?, Form::Body, edits)?.into_bytes())
}

/// The body with another finish reason in all its choices.
pub(super) fn end_body(body: &[u8], ending: &Ending) -> Result<Vec<u8>, EditError> {
    let source = read::utf8(body)?;
    let root = Object::parse(source).map_err(|error| undecodable("the response", error))?;
    let reason = json::quote(openai::finish_reason(ending));
    let mut splices = Splices::default();
    if let Some(choices) = root.get("choices") {
        for choice in json::array(choices).map_err(|error| undecodable("choices", error))? {
            let fields = Object::of(choice).map_err(|error| undecodable("choices", error))?;
            let ended = json::set(choice.get(), &fields, &[("finish_reason", reason.clone())]);
            splices.replace(json::span(source, choice), ended);
        }
    }
    let source = splices.apply(source);
    let Some(mark) = mark(ending) else {
        return Ok(source.into_bytes());
    };
    let root = Object::parse(&source).map_err(|error| undecodable("the response", error))?;
    Ok(json::set(&source, &root, &[(MARK, mark.to_string())]).into_bytes())
}

const NO_TEXT: &str = "there is no text to replace";

/// Texts first, since a part of a call may bear some, and is then written as a whole.
fn write(source: &str, form: Form, edits: &Edits<'_>) -> Result<String, EditError> {
    let said = texts(source, form, &edits.texts)?;
    let calls = Calls::read(&said, form)?;
    let mut written = parts(&said, form, &calls, edits)?;
    if let Some(identity) = edits.identity {
        let root = Object::parse(&written).map_err(|error| undecodable("the response", error))?;
        let ids = [
            ("id", json::quote(&identity.id)),
            ("created", identity.created.to_string()),
            ("model", json::quote(&identity.model)),
        ];
        written = json::set(&written, &root, &ids);
    }
    if !edits.before.is_empty() {
        written = prepend(&written, edits)?;
    }
    proof::reads_as_meant(&written, form, &calls, edits)?;
    Ok(written)
}

/// The first field of a place gets the whole text, the others become empty, and fields that repeat it become null.
fn texts(source: &str, form: Form, edits: &[TextEdit]) -> Result<String, EditError> {
    if edits.is_empty() {
        return Ok(source.to_owned());
    }
    let mut texts: Vec<(_, Option<Range<usize>>)> = Vec::new();
    let mut repeats = Vec::new();
    fields::walk(source, form, &mut |fact| match fact {
        Fact::Text { place, value, .. } => {
            texts.push((place, value.map(|value| json::span(source, value))));
        }
        Fact::Repeat { choice, of, value } => repeats.push((choice, of, json::span(source, value))),
        _ => {}
    })?;
    let mut splices = Splices::default();
    for edit in edits {
        let mut said = false;
        for (_, span) in texts.iter().filter(|(place, _)| *place == edit.place) {
            let Some(span) = span else {
                return Err(EditError::at(edit.place, "it is not the value of a field"));
            };
            splices.replace(
                span.clone(),
                json::quote(if said { "" } else { &edit.text }),
            );
            said = true;
        }
        if !said {
            return Err(EditError::at(edit.place, NO_TEXT));
        }
        repeated(
            &repeats,
            edit.place.choice,
            Some(edit.place.channel),
            &mut splices,
        );
    }
    Ok(splices.apply(source))
}

type Repeat = (u16, Option<crate::event::Channel>, Range<usize>);

/// Nulls what repeats the text of a channel.
fn repeated(
    repeats: &[Repeat],
    choice: u16,
    channel: Option<crate::event::Channel>,
    splices: &mut Splices,
) {
    let concerned = |at: u16, of: Option<_>| at == choice && (of.is_none() || of == channel);
    for (_, _, span) in repeats.iter().filter(|(at, of, _)| concerned(*at, *of)) {
        splices.replace(span.clone(), "null".to_owned());
    }
}

/// Everything but texts and ids.
fn parts(source: &str, form: Form, calls: &Calls, edits: &Edits<'_>) -> Result<String, EditError> {
    let mut splices = Splices::default();
    let mut repeats: Vec<Repeat> = Vec::new();
    fields::walk(source, form, &mut |fact| {
        let (value, with) = match fact {
            Fact::Beside(value) if edits.alone => (value, "null".to_owned()),
            // In a body nobody has said it before.
            Fact::Role(value) if edits.identity.is_some() && form == Form::Frame => {
                (value, "null".to_owned())
            }
            Fact::Finish { value, .. } if edits.goes_on => (value, "null".to_owned()),
            Fact::Usage(value) => match edits.usage {
                Some(usage) if json::first_byte(value) == b'{' => {
                    (value, openai::usage(usage).to_string())
                }
                _ => return,
            },
            Fact::Repeat { choice, of, value } => {
                repeats.push((choice, of, json::span(source, value)));
                return;
            }
            _ => return,
        };
        splices.replace(json::span(source, value), with);
    })?;
    // Tokens of a call that changes or goes would tell what it was.
    for choice in calls.write(source, &edits.calls, &mut splices)? {
        repeated(&repeats, choice, None, &mut splices);
    }
    Ok(splices.apply(source))
}

/// A body with the text of earlier rounds before its own.
fn prepend(source: &str, edits: &Edits<'_>) -> Result<String, EditError> {
    use crate::event::Channel;
    let unreadable = |error| undecodable("the response", error);
    let root = Object::parse(source).map_err(unreadable)?;
    let mut splices = Splices::default();
    let choices = root
        .get("choices")
        .map(json::array)
        .transpose()
        .map_err(unreadable)?;
    for (at, choice) in choices.into_iter().flatten().enumerate() {
        let choice = Object::of(choice).map_err(unreadable)?;
        let Some(value) = choice.get("message") else {
            continue;
        };
        let message = Object::of(value).map_err(unreadable)?;
        let mut fields = Vec::new();
        for edit in edits
            .before
            .iter()
            .filter(|e| usize::from(e.place.choice) == at)
        {
            let field = match edit.place.channel {
                Channel::Output => "content",
                Channel::Refusal => "refusal",
                Channel::Reasoning => edits
                    .identity
                    .and_then(|identity| identity.reasoning_field)
                    .unwrap_or(say::REASONING),
                _ => continue,
            };
            let own = message.get(field);
            let whole = match own.map(json::first_byte) {
                Some(b'[') => {
                    let part = serde_json::json!({ "type": "text", "text": edit.text }).to_string();
                    let parts = own.map(json::array).transpose().map_err(unreadable)?;
                    let parts = parts.into_iter().flatten().map(|part| part.get());
                    let all: Vec<&str> = std::iter::once(part.as_str()).chain(parts).collect();
                    format!("[{}]", all.join(","))
                }
                _ => {
                    let own = own.and_then(json::string).unwrap_or_default();
                    json::quote(&format!("{}{own}", edit.text))
                }
            };
            fields.push((field, whole));
        }
        splices.replace(
            json::span(source, value),
            json::set(value.get(), &message, &fields),
        );
    }
    Ok(splices.apply(source))
}

/// Whether nothing but text is replaced: such a frame remains, whatever is left of its text.
fn only_texts<'a>(edits: &Edits<'a>) -> Edits<'a> {
    Edits {
        texts: edits.texts.clone(),
        ..Edits::default()
    }
}

#[cfg(test)]
mod tests;
