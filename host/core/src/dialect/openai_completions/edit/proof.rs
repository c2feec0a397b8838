//! The last look at what was written: it must read as it was meant, else it does not leave.

use crate::dialect::openai_completions::fact::{Fact, Form};
use crate::dialect::openai_completions::fields;
use crate::dialect::{EditError, Edits, Undecodable};
use crate::event::{Channel, Place};

/// What a chunk or body says.
#[derive(Debug, Default)]
pub(super) struct Sense {
    texts: Vec<(Place, String)>,
    finished: Vec<u16>,
    beside: bool,
    failed: bool,
    counted: bool,
}

impl Sense {
    pub fn of(source: &str, form: Form) -> Result<Self, Undecodable> {
        let mut sense = Self::default();
        fields::walk(source, form, &mut |fact| match fact {
            Fact::Text { place, text, .. } => sense.say(place, &text),
            Fact::Beside(_) => sense.beside = true,
            Fact::Finish { choice, .. } => sense.finished.push(choice),
            Fact::Usage(_) => sense.counted = true,
            Fact::Error(_) => sense.failed = true,
            Fact::Id(_) | Fact::Model(_) | Fact::Created(_) | Fact::Tokens { .. } => {}
        })?;
        Ok(sense)
    }

    /// Whether a client may wait for it.
    pub fn says(&self) -> bool {
        let silent = self.texts.is_empty() && self.finished.is_empty();
        !silent || self.counted || self.failed
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
        let earlier = edits.before.iter().filter(|edit| is_of(edit.place, place));
        let earlier: String = earlier.map(|edit| edit.text.as_str()).collect();
        if after.said(place) != earlier + own {
            return Err(other_than_meant(&format!("{:?}", place.channel)));
        }
    }
    let finished = match edits.goes_on {
        true => &[][..],
        false => &before.finished,
    };
    if after.finished != finished || after.failed != before.failed {
        return Err(other_than_meant("finish_reason"));
    }
    match after.beside && edits.alone {
        true => Err(other_than_meant("fields that are not of this API")),
        false => Ok(()),
    }
}

/// Whether text of earlier legs stands at a place: a refusal stands where any answer does.
fn is_of(earlier: Place, place: Place) -> bool {
    let channel = match earlier.channel {
        Channel::Refusal => Channel::Output,
        channel => channel,
    };
    channel == place.channel && earlier.choice == place.choice
}

fn other_than_meant(place: &str) -> EditError {
    EditError::Impossible {
        place: place.to_owned(),
        what: "what was written does not read as it was meant".to_owned(),
    }
}
