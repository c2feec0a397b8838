//! The last look at what was written: the client must read in it what was meant, else it does not leave.

use crate::dialect::{CallKind, EditError, Piece};
use crate::event::Place;

/// What a client is to read.
#[derive(Default)]
pub(super) struct Meant {
    texts: Vec<(Place, String)>,
    calls: Vec<Called>,
}

/// A part of a call.
#[derive(PartialEq, Eq)]
pub(super) struct Called {
    pub kind: CallKind,
    pub id: Option<String>,
    pub name: Option<String>,
    pub arguments: String,
}

impl Meant {
    /// Further text at a place.
    pub fn text(&mut self, place: Place, text: &str) {
        match self.texts.iter_mut().find(|(known, _)| *known == place) {
            Some((_, known)) => known.push_str(text),
            None => self.texts.push((place, text.to_owned())),
        }
    }

    /// A further part of a call.
    pub fn call(&mut self, call: Called) {
        let says = call.id.is_some() || call.name.is_some() || !call.arguments.is_empty();
        self.calls.extend(says.then_some(call));
    }

    /// Fails unless the pieces say it, and nothing else.
    pub fn reads(mut self, pieces: &[Piece]) -> Result<(), EditError> {
        let mut read = Self::default();
        for piece in pieces {
            match piece {
                Piece::Text { place, text, .. } => read.text(*place, text),
                Piece::Call(part) => read.call(Called {
                    kind: part.kind,
                    id: part.id.clone(),
                    name: part.name.clone(),
                    arguments: part.arguments.clone(),
                }),
                _ => {}
            }
        }
        self.texts.retain(|(_, text)| !text.is_empty());
        read.texts.retain(|(_, text)| !text.is_empty());
        self.texts.sort_by_key(|(place, _)| *place);
        read.texts.sort_by_key(|(place, _)| *place);
        let other = |place: &str| {
            Err(EditError::Impossible {
                place: place.to_owned(),
                what: "what was written does not read as it was meant".to_owned(),
            })
        };
        if self.calls != read.calls {
            return other("a tool call");
        }
        if self.texts != read.texts {
            return other("the text");
        }
        Ok(())
    }
}
