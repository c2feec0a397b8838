//! Edits of responses: only the bytes of what is edited change, and what was written is read again.
//!
//! A part that is signed is never changed, and may go as a whole: with it goes its signature. A call has no number, so that
//! what a client counts needs no renumbering.

use std::collections::BTreeSet;

use crate::dialect::gemini::counted;
use crate::dialect::gemini::edit::calls::CallParts;
use crate::dialect::gemini::fact::{Fact, Form};
use crate::dialect::gemini::fields::Fields;
use crate::dialect::gemini::say;
use crate::dialect::gemini::undecodable::utf8;
use crate::dialect::gemini::walk::{candidates, walk};
use crate::dialect::json::{self, Splices};
use crate::dialect::{CallEdit, EditError, Edits, Ending, TextEdit};
use crate::event::Channel;

mod calls;
mod prepend;
mod proof;

pub(super) use proof::says_anything;

const NO_TEXT: &str = "there is no text to replace";

/// A part that says nothing.
const EMPTY: &str = r#"{"text":""}"#;

/// What an edited stream or body has left behind, that later frames must know of.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// Choices of which something was changed: what quotes them is empty from then on.
    changed: BTreeSet<u16>,
    /// Choices whose present call came in parts and was written whole: none of its other parts may follow.
    whole: BTreeSet<u16>,
}

impl Trail {
    /// Whether a frame that nobody edits may leave as it came.
    pub fn is_clean(&self) -> bool {
        self.changed.is_empty() && self.whole.is_empty()
    }
}

/// The frame or body with the edits made.
pub(super) fn write(
    source: &str,
    form: Form,
    edits: &Edits<'_>,
    trail: &mut Trail,
) -> Result<String, EditError> {
    let calls = CallParts::read(source, form)?;
    calls.follow(&edits.calls, &mut trail.whole)?;
    let quotable = [Channel::Output, Channel::Reasoning];
    let texts = edits.texts.iter().map(|edit| edit.place);
    let texts = texts
        .filter(|place| quotable.contains(&place.channel))
        .map(|place| place.choice);
    trail
        .changed
        .extend(texts.chain(calls.changed(&edits.calls)));
    let said = texts_replaced(source, form, &edits.texts)?;
    let mut written = parts(&said, form, edits, &trail.changed)?;
    if !edits.before.is_empty() {
        written = prepend::prepend(&written, edits)?;
    }
    proof::reads_as_meant(&written, form, &calls, edits, &trail.changed)?;
    Ok(written)
}

/// The body with another finish reason in all its candidates.
pub(super) fn end_body(body: &[u8], ending: &Ending) -> Result<Vec<u8>, EditError> {
    let source = utf8(body)?;
    let root = Fields::parse(source, "the response")?;
    let reason = json::quote(say::finish_reason(ending));
    let mut splices = Splices::default();
    for (_, candidate, fields) in candidates(&root)? {
        let ended = fields.set(candidate.get(), &[("finishReason", reason.clone())]);
        splices.replace(json::span(source, candidate), ended);
    }
    let source = splices.apply(source);
    let Some(mark) = say::mark(ending) else {
        return Ok(source.into_bytes());
    };
    let root = Fields::parse(&source, "the response")?;
    Ok(root
        .set(&source, &[(say::MARK, mark.to_string())])
        .into_bytes())
}

/// The first text of a place gets the whole, the others become empty. One that is signed can only go.
fn texts_replaced(source: &str, form: Form, edits: &[TextEdit]) -> Result<String, EditError> {
    if edits.is_empty() {
        return Ok(source.to_owned());
    }
    let mut texts = Vec::new();
    walk(source, form, &mut |fact| {
        if let Fact::Text {
            place,
            value,
            signed,
            ..
        } = fact
        {
            let span = |value| json::span(source, value);
            texts.push((place, value.map(span), signed.map(span)));
        }
    })?;
    let mut splices = Splices::default();
    for edit in edits {
        let place = edit.place;
        let of_place = texts.iter().filter(|(at, ..)| *at == place);
        let mut unsaid = Some(edit.text.as_str());
        let mut found = false;
        for (_, value, signed) in of_place {
            found = true;
            let is_text = matches!(place.channel, Channel::Output | Channel::Reasoning);
            match (value, signed) {
                (None, _) => return Err(EditError::at(place, "it is not the value of a field")),
                (Some(_), Some(part)) if is_text => splices.replace(part.clone(), EMPTY.to_owned()),
                (Some(_), Some(_)) => return Err(EditError::at(place, "it is signed")),
                (Some(value), None) => {
                    splices.replace(
                        value.clone(),
                        json::quote(unsaid.take().unwrap_or_default()),
                    );
                }
            }
        }
        match unsaid {
            _ if !found => return Err(EditError::at(place, NO_TEXT)),
            Some(text) if !text.is_empty() => return Err(EditError::at(place, "it is signed")),
            _ => {}
        }
    }
    Ok(splices.apply(source))
}

/// Everything but texts.
fn parts(
    source: &str,
    form: Form,
    edits: &Edits<'_>,
    changed: &BTreeSet<u16>,
) -> Result<String, EditError> {
    let mut splices = Splices::default();
    walk(source, form, &mut |fact| {
        let (value, with) = match fact {
            Fact::Finish {
                value: Some(value), ..
            } if edits.goes_on => (value, "null".to_owned()),
            Fact::Repeat {
                choice,
                value,
                emptied,
            } if changed.contains(&choice) => (value, emptied.to_owned()),
            Fact::Usage(value) => match (edits.usage, counted::read(value)) {
                (Some(usage), Some(_)) => (value, counted::written(usage).to_string()),
                _ => return,
            },
            Fact::Id(value) => match edits.identity {
                Some(identity) => (value, json::quote(&identity.id)),
                None => return,
            },
            Fact::Model(value) => match edits.identity {
                Some(identity) => (value, json::quote(&identity.model)),
                None => return,
            },
            _ => return,
        };
        splices.replace(json::span(source, value), with);
    })?;
    if edits.calls.iter().any(|edit| *edit != CallEdit::Keep) {
        // The texts were replaced before: the parts stand elsewhere now.
        CallParts::read(source, form)?.write(source, &edits.calls, &mut splices)?;
    }
    Ok(splices.apply(source))
}
