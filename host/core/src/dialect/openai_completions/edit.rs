//! Edits of responses: only the bytes of what is edited change, and what was written is read again.

use std::ops::Range;

use bytes::Bytes;

use crate::dialect::json::{self, Object, Splices};
use crate::dialect::mark::{MARK, mark};
use crate::dialect::openai;
use crate::dialect::openai_completions::fact::{Fact, Form};
use crate::dialect::openai_completions::{fields, say};
use crate::dialect::sse::Frame;
use crate::dialect::{EditError, Edits, Ending, TextEdit, Undecodable};
use crate::event::Channel;

mod proof;

use proof::Sense;

const NO_TEXT: &str = "there is no text to replace";

pub(super) fn frame(frame: &Frame, edits: &Edits<'_>) -> Result<Option<Bytes>, EditError> {
    let Some(source) = openai::chunk(frame)? else {
        return match edits.texts.first() {
            Some(edit) => Err(EditError::at(edit.place, NO_TEXT)),
            None => Ok(Some(frame.raw.clone())),
        };
    };
    let (written, says) = write(source, Form::Frame, edits)?;
    // A frame of which nothing but text is replaced remains, whatever is left of it.
    let texts_alone = Edits {
        texts: edits.texts.clone(),
        ..Edits::default()
    };
    let remains = says || *edits == texts_alone;
    Ok(remains.then(|| openai::reframe(frame, source, &written)))
}

pub(super) fn body(body: &[u8], edits: &Edits<'_>) -> Result<Vec<u8>, EditError> {
    let (written, _) = write(openai::utf8(body)?, Form::Body, edits)?;
    Ok(written.into_bytes())
}

/// What is written, and whether a client may wait for it.
fn write(source: &str, form: Form, edits: &Edits<'_>) -> Result<(String, bool), EditError> {
    if !edits.calls.is_empty() {
        return Err(EditError::Impossible {
            place: "choices".to_owned(),
            what: "the API has no calls".to_owned(),
        });
    }
    let before = Sense::of(source, form)?;
    let said = texts(source, form, &edits.texts)?;
    let mut written = parts(&said, form, edits)?;
    if let Some(identity) = edits.identity {
        let root = Object::parse(&written).map_err(unreadable)?;
        let ids = [
            ("id", json::quote(&identity.id)),
            ("created", identity.created.to_string()),
            ("model", json::quote(&identity.model)),
        ];
        written = json::set(&written, &root, &ids);
    }
    if !edits.before.is_empty() {
        written = prepend(&written, &edits.before)?;
    }
    let after = Sense::of(&written, form)?;
    proof::reads_as_meant(&before, &after, edits)?;
    Ok((written, after.says()))
}

/// The first field of a place gets the whole text, the others become empty, and tokens that say it again become null.
fn texts(source: &str, form: Form, edits: &[TextEdit]) -> Result<String, EditError> {
    if edits.is_empty() {
        return Ok(source.to_owned());
    }
    let mut texts: Vec<(_, Option<Range<usize>>)> = Vec::new();
    let mut tokens = Vec::new();
    fields::walk(source, form, &mut |fact| match fact {
        Fact::Text { place, value, .. } => {
            texts.push((place, value.map(|value| json::span(source, value))));
        }
        Fact::Tokens { choice, value } => tokens.push((choice, json::span(source, value))),
        _ => {}
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
            return Err(EditError::at(edit.place, NO_TEXT));
        }
        let of_choice = tokens
            .iter()
            .filter(|(choice, _)| *choice == edit.place.choice);
        for (_, span) in of_choice {
            splices.replace(span.clone(), "null".to_owned());
        }
    }
    Ok(splices.apply(source))
}

/// Everything but texts and ids.
fn parts(source: &str, form: Form, edits: &Edits<'_>) -> Result<String, EditError> {
    let mut splices = Splices::default();
    fields::walk(source, form, &mut |fact| {
        let (value, with) = match fact {
            Fact::Beside(value) if edits.alone => (value, "null".to_owned()),
            Fact::Finish { value, .. } if edits.goes_on => (value, "null".to_owned()),
            Fact::Usage(value) => match edits.usage {
                Some(usage) if json::first_byte(value) == b'{' => {
                    (value, openai::usage(usage).to_string())
                }
                _ => return,
            },
            _ => return,
        };
        splices.replace(json::span(source, value), with);
    })?;
    Ok(splices.apply(source))
}

/// A body with the text of earlier legs before its own. There is no field for a refusal.
fn prepend(source: &str, before: &[TextEdit]) -> Result<String, EditError> {
    let root = Object::parse(source).map_err(unreadable)?;
    let mut splices = Splices::default();
    let choices = root.get("choices").map(json::array).transpose();
    for (at, choice) in choices
        .map_err(unreadable)?
        .into_iter()
        .flatten()
        .enumerate()
    {
        let fields = Object::of(choice).map_err(unreadable)?;
        let mut set: Vec<(&str, String)> = Vec::new();
        for edit in before.iter().filter(|e| usize::from(e.place.choice) == at) {
            let field = match edit.place.channel {
                Channel::Output | Channel::Refusal => "text",
                Channel::Reasoning => say::REASONING,
                _ => continue,
            };
            match set.iter_mut().find(|(known, _)| *known == field) {
                Some((_, text)) => text.push_str(&edit.text),
                None => set.push((field, edit.text.clone())),
            }
        }
        for (field, text) in &mut set {
            let own = fields.string(field).unwrap_or_default();
            *text = json::quote(&format!("{text}{own}"));
        }
        splices.replace(
            json::span(source, choice),
            json::set(choice.get(), &fields, &set),
        );
    }
    Ok(splices.apply(source))
}

/// The body with another finish reason in all its choices.
pub(super) fn end_body(body: &[u8], ending: &Ending) -> Result<Vec<u8>, EditError> {
    let source = openai::utf8(body)?;
    let root = Object::parse(source).map_err(unreadable)?;
    let reason = json::quote(openai::finish_reason(ending));
    let mut splices = Splices::default();
    let choices = root.get("choices").map(json::array).transpose();
    for choice in choices.map_err(unreadable)?.into_iter().flatten() {
        let fields = Object::of(choice).map_err(unreadable)?;
        let ended = json::set(choice.get(), &fields, &[("finish_reason", reason.clone())]);
        splices.replace(json::span(source, choice), ended);
    }
    let source = splices.apply(source);
    let Some(mark) = mark(ending) else {
        return Ok(source.into_bytes());
    };
    let root = Object::parse(&source).map_err(unreadable)?;
    Ok(json::set(&source, &root, &[(MARK, mark.to_string())]).into_bytes())
}

fn unreadable(error: serde_json::Error) -> Undecodable {
    Undecodable::at("the response", error)
}
