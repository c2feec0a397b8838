//! The last look at what was written: it must read as it was meant, else it does not leave.

use std::collections::BTreeSet;

use crate::dialect::gemini::edit::calls::CallParts;
use crate::dialect::gemini::fact::{Fact, Form};
use crate::dialect::gemini::undecodable::impossible;
use crate::dialect::gemini::walk::walk;
use crate::dialect::{EditError, Edits, Undecodable};
use crate::event::{Channel, Place};

/// Fails if a call that was left out, or a text that was replaced, is still read in what was written.
pub(in crate::dialect::gemini) fn reads_as_meant(
    written: &str,
    form: Form,
    calls: &CallParts,
    edits: &Edits<'_>,
    changed: &BTreeSet<u16>,
) -> Result<(), EditError> {
    let mut texts: Vec<(Place, String)> = Vec::new();
    let (mut quotes, mut ends) = (false, false);
    walk(written, form, &mut |fact| match fact {
        Fact::Text { place, text, .. } => match texts.iter_mut().find(|(known, _)| *known == place)
        {
            Some((_, known)) => known.push_str(&text),
            None => texts.push((place, text.into_owned())),
        },
        Fact::Repeat {
            choice,
            value,
            emptied,
        } => quotes |= changed.contains(&choice) && value.get() != emptied,
        Fact::Finish { value, .. } => ends |= value.is_some(),
        _ => {}
    })?;
    if CallParts::read(written, form)?.meant(&[]) != calls.meant(&edits.calls) {
        return Err(other_than_meant("functionCall"));
    }
    if quotes || (ends && edits.goes_on) {
        return Err(other_than_meant("candidates"));
    }
    for edit in &edits.texts {
        let said = texts.iter().find(|(place, _)| *place == edit.place);
        let said = said.map_or("", |(_, text)| text.as_str());
        let before = edits.before.iter().find(|e| e.place == edit.place);
        let meant = before.map_or("", |e| e.text.as_str()).to_owned() + &edit.text;
        // What quoted a text that was changed went with all that it said.
        let emptied = edit.place.channel == Channel::Other
            && said.is_empty()
            && changed.contains(&edit.place.choice);
        if said != meant && !emptied {
            return Err(other_than_meant(&format!("{:?}", edit.place.channel)));
        }
    }
    Ok(())
}

/// Whether a frame says anything that a client may wait for. The usage of a leg that goes on is that of no answer.
pub(in crate::dialect::gemini) fn says_anything(
    written: &str,
    goes_on: bool,
) -> Result<bool, Undecodable> {
    let mut says = false;
    walk(written, Form::Frame, &mut |fact| {
        says |= match fact {
            Fact::Text { .. } | Fact::Call(_) | Fact::Media => true,
            Fact::Finish { .. } | Fact::Error(_) => true,
            Fact::Usage(_) => !goes_on,
            Fact::Id(_) | Fact::Model(_) | Fact::Repeat { .. } => false,
        };
    })?;
    Ok(says)
}

fn other_than_meant(place: &str) -> EditError {
    impossible(place, "what was written does not read as it was meant")
}
