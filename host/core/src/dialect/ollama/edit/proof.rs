//! The last look at what was written: it must read as it was meant, else it does not leave.

use crate::dialect::ollama::fact::Fact;
use crate::dialect::ollama::fields;
use crate::dialect::ollama::shape::Shape;
use crate::dialect::{CallEdit, EditError, Edits, Undecodable};
use crate::event::{Channel, Place};

/// What a line or body says.
#[derive(Debug, Default)]
pub(super) struct Sense {
    texts: Vec<(Place, String)>,
    /// Name and arguments.
    calls: Vec<(String, String)>,
    /// It states an end, an error, usage.
    done: bool,
    failed: bool,
    counted: bool,
    context: bool,
}

impl Sense {
    pub fn of(shape: &Shape, source: &str) -> Result<Self, Undecodable> {
        let mut sense = Self::default();
        fields::walk(shape, source, &mut |fact| match fact {
            Fact::Text { place, text, .. } => sense.say(place, &text),
            Fact::Call(call) => {
                let name = call.name.unwrap_or_default().into_owned();
                // White space around JSON means nothing.
                sense
                    .calls
                    .push((name, call.arguments.trim_ascii().to_owned()));
            }
            Fact::Context(_) => sense.context = true,
            Fact::Usage(_) => sense.counted = true,
            Fact::Error(_) => sense.failed = true,
            Fact::Done { .. } => sense.done = true,
            Fact::Model(_) | Fact::Tokens(_) => {}
        })?;
        Ok(sense)
    }

    /// Whether a client may wait for it.
    pub fn says(&self) -> bool {
        let silent = self.texts.is_empty() && self.calls.is_empty();
        !silent || self.done || self.failed || self.counted
    }

    /// Whether it states usage.
    pub fn is_counted(&self) -> bool {
        self.counted
    }

    fn say(&mut self, place: Place, text: &str) {
        match self.texts.iter_mut().find(|(known, _)| *known == place) {
            Some((_, known)) => known.push_str(text),
            None => self.texts.push((place, text.to_owned())),
        }
    }

    fn said(&self, place: Place) -> &str {
        let text = self.texts.iter().find(|(known, _)| *known == place);
        text.map_or("", |(_, text)| text)
    }
}

/// Fails unless `after` says what `before` does with the edits made.
pub(super) fn reads_as_meant(
    before: &Sense,
    after: &Sense,
    edits: &Edits<'_>,
    stale: bool,
) -> Result<(), EditError> {
    let mut places: Vec<Place> = edits.texts.iter().map(|edit| edit.place).collect();
    // Tokens that went say nothing beyond any more: what is other text is looked at if it was edited.
    let told = before.texts.iter().chain(&after.texts);
    places.extend(
        told.map(|(place, _)| *place)
            .filter(|place| place.channel != Channel::Other),
    );
    for place in places {
        let edit = edits.texts.iter().find(|edit| edit.place == place);
        let own = edit.map_or_else(|| before.said(place), |edit| &edit.text);
        let earlier: String = edits
            .before
            .iter()
            .filter(|edit| is_of(edit.place, place))
            .map(|edit| edit.text.as_str())
            .collect();
        if after.said(place) != earlier + own {
            return Err(other_than_meant(&format!("{:?}", place.channel)));
        }
    }
    if after.calls != meant(&before.calls, &edits.calls) {
        return Err(other_than_meant("tool_calls"));
    }
    if after.done != (before.done && !edits.goes_on) || after.failed != before.failed {
        return Err(other_than_meant("done"));
    }
    match after.context && (stale || changes(edits)) {
        true => Err(other_than_meant("context")),
        false => Ok(()),
    }
}

/// Whether edits make an answer other than the one that the model gave.
pub(in crate::dialect::ollama) fn changes(edits: &Edits<'_>) -> bool {
    let keeps = |edit: &CallEdit| *edit == CallEdit::Keep;
    !edits.texts.is_empty()
        || !edits.before.is_empty()
        || edits.goes_on
        || !edits.calls.iter().all(keeps)
}

/// Whether text of earlier legs stands at a place: a refusal stands where any answer does.
fn is_of(earlier: Place, place: Place) -> bool {
    let channel = match earlier.channel {
        Channel::Refusal => Channel::Output,
        channel => channel,
    };
    channel == place.channel
}

fn meant(calls: &[(String, String)], edits: &[CallEdit]) -> Vec<(String, String)> {
    let mut meant = Vec::new();
    for (at, (name, own)) in calls.iter().enumerate() {
        let arguments = match edits.get(at) {
            Some(CallEdit::Drop) => continue,
            Some(CallEdit::Change {
                arguments: Some(arguments),
                ..
            }) => arguments.trim_ascii(),
            _ => own,
        };
        meant.push((name.clone(), arguments.to_owned()));
    }
    meant
}

fn other_than_meant(place: &str) -> EditError {
    EditError::Impossible {
        place: place.to_owned(),
        what: "what was written does not read as it was meant".to_owned(),
    }
}
