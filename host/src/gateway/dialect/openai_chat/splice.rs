//! Edits of responses: only the bytes of the edited values change.

use bytes::Bytes;

use super::fields::{self, Fact};
use super::{read, say, undecodable};
use crate::gateway::dialect::json::{self, Object, Splices};
use crate::gateway::dialect::{EditError, Ending, TextEdit};
use crate::gateway::sse::Frame;

pub(super) fn frame(frame: &Frame, edits: &[TextEdit]) -> Result<Bytes, EditError> {
    let source = read::chunk(frame)?.unwrap_or_default();
    Ok(reframe(frame, source, &text(source, edits)?))
}

pub(super) fn body(body: &[u8], edits: &[TextEdit]) -> Result<Vec<u8>, EditError> {
    Ok(text(read::utf8(body)?, edits)?.into_bytes())
}

/// The body with another finish reason in all its choices.
pub(super) fn end_body(body: &[u8], ending: &Ending) -> Result<Vec<u8>, EditError> {
    let source = read::utf8(body)?;
    let root = Object::parse(source).map_err(|error| undecodable("the response", error))?;
    let reason = json::quote(say::finish_reason(ending));
    let mut splices = Splices::default();
    if let Some(choices) = root.get("choices") {
        for choice in json::array(choices).map_err(|error| undecodable("choices", error))? {
            let fields =
                Object::parse(choice.get()).map_err(|error| undecodable("choices", error))?;
            let ended = json::set(choice.get(), &fields, &[("finish_reason", reason.clone())]);
            splices.replace(json::span(source, choice), ended);
        }
    }
    let source = splices.apply(source);
    let Some(mark) = say::mark(ending) else {
        return Ok(source.into_bytes());
    };
    let root = Object::parse(&source).map_err(|error| undecodable("the response", error))?;
    Ok(json::set(&source, &root, &[(say::MARK, mark.to_string())]).into_bytes())
}

/// The first field of a place gets the whole text, the others become empty, and fields that repeat it become null.
fn text(source: &str, edits: &[TextEdit]) -> Result<String, EditError> {
    if edits.is_empty() {
        return Ok(source.to_owned());
    }
    let mut texts = Vec::new();
    let mut repeats = Vec::new();
    fields::walk(source, &mut |fact| match fact {
        Fact::Text { place, value, .. } => texts.push((place, json::span(source, value))),
        Fact::Repeat { choice, of, value } => repeats.push((choice, of, json::span(source, value))),
        _ => {}
    })?;
    let mut splices = Splices::default();
    for edit in edits {
        let mut said = false;
        for (_, span) in texts.iter().filter(|(place, _)| *place == edit.place) {
            splices.replace(
                span.clone(),
                json::quote(if said { "" } else { &edit.text }),
            );
            said = true;
        }
        if !said {
            return Err(EditError::at(edit.place, "there is no text to replace"));
        }
        let repeated = |choice, of: Option<_>| {
            choice == edit.place.choice && of.is_none_or(|of| of == edit.place.channel)
        };
        for (_, _, span) in repeats
            .iter()
            .filter(|(choice, of, _)| repeated(*choice, *of))
        {
            splices.replace(span.clone(), "null".to_owned());
        }
    }
    Ok(splices.apply(source))
}

/// The frame with `new` in place of `old`, its data.
fn reframe(frame: &Frame, old: &str, new: &str) -> Bytes {
    let start = (old.as_ptr() as usize).wrapping_sub(frame.raw.as_ptr() as usize);
    let end = start.wrapping_add(old.len());
    let mut out = Vec::with_capacity(frame.raw.len() + new.len());
    if let (Some(before), Some(after), true) =
        (frame.raw.get(..start), frame.raw.get(end..), start <= end)
    {
        out.extend_from_slice(before);
        out.extend_from_slice(new.as_bytes());
        out.extend_from_slice(after);
    } else {
        // Data of several lines was joined elsewhere: they are written anew.
        if let Some(event) = &frame.event {
            out.extend_from_slice(b"event: ");
            out.extend_from_slice(event);
            out.push(b'\n');
        }
        for line in new.split('\n') {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
        out.push(b'\n');
    }
    out.into()
}
