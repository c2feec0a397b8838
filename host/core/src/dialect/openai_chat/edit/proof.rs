//! The last look at what was written: it must read as it was meant, else it does not leave.

use crate::dialect::openai_chat::edit::calls::Calls;
use crate::dialect::openai_chat::fact::{Fact, Form};
use crate::dialect::openai_chat::fields;
use crate::dialect::{CallPart, EditError, Edits, Undecodable};
use crate::event::Place;

/// Fails if a call that was left out, or a text that was replaced, is still read in what was written.
pub(super) fn reads_as_meant(
    written: &str,
    form: Form,
    calls: &Calls,
    edits: &Edits<'_>,
) -> Result<(), EditError> {
    let mut texts: Vec<(Place, String)> = Vec::new();
    let mut beside = false;
    fields::walk(written, form, &mut |fact| match fact {
        Fact::Text { place, text, .. } => {
            match texts.iter_mut().find(|(known, _)| *known == place) {
                Some((_, known)) => known.push_str(&text),
                None => texts.push((place, text.into_owned())),
            }
        }
        Fact::Beside(_) => beside = true,
        _ => {}
    })?;
    let left: Vec<CallPart> = Calls::read(written, form)?.meant(&[]);
    if left != calls.meant(&edits.calls) {
        return Err(other_than_meant("tool_calls"));
    }
    if beside && edits.alone {
        return Err(other_than_meant("fields that are not of this form"));
    }
    for edit in &edits.texts {
        let said = texts.iter().find(|(place, _)| *place == edit.place);
        let said = said.map_or("", |(_, text)| text.as_str());
        let before = edits.before.iter().find(|e| e.place == edit.place);
        let meant = before.map_or("", |e| e.text.as_str()).to_owned() + &edit.text;
        if said != meant {
            return Err(other_than_meant(&format!("{:?}", edit.place.channel)));
        }
    }
    Ok(())
}

/// Whether a frame says anything that a client may wait for.
pub(super) fn says_anything(written: &str) -> Result<bool, Undecodable> {
    let mut says = false;
    fields::walk(written, Form::Frame, &mut |fact| {
        says |= matches!(
            fact,
            Fact::Text { .. }
                | Fact::Call(_)
                | Fact::Finish { .. }
                | Fact::Usage(_)
                | Fact::Error(_)
                | Fact::Role(_)
        );
    })?;
    Ok(says)
}

fn other_than_meant(place: &str) -> EditError {
    EditError::Impossible {
        place: place.to_owned(),
        what: "what was written does not read as it was meant".to_owned(),
    }
}
