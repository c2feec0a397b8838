//! The last look at what was written: it must read as it was meant, else it does not leave.

use super::Walk;
use crate::dialect::anthropic_messages::read;
use crate::dialect::anthropic_messages::say;
use crate::dialect::{
    CallEdit, CallPart, EditError, Edits, Identity, Piece, Slot, TextEdit, Undecodable, usage,
};
use crate::event::{Channel, Place, Usage};

/// What is edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meant {
    /// A body.
    Body,
    /// An event. `lonely`: no call is left of the message whose calls were left out.
    Event { lonely: bool },
}

/// What a source says.
pub fn said(source: &str, whole: bool, walk: Walk<'_>) -> Result<Vec<Piece>, Undecodable> {
    let (mut pieces, mut identity) = (Vec::new(), Identity::default());
    walk(source, &mut |fact| {
        read::piece(fact, whole, &mut identity, &mut pieces);
    })?;
    Ok(pieces)
}

/// What must be read once `edits` are made.
pub fn meant(pieces: Vec<Piece>, edits: &Edits<'_>, of: Meant) -> Result<Vec<Piece>, EditError> {
    let calls = pieces
        .iter()
        .filter(|p| matches!(p, Piece::Call(_)))
        .count();
    if !edits.calls.is_empty() && edits.calls.len() != calls {
        return Err(EditError::Impossible {
            place: "tool_use".to_owned(),
            what: format!("{} edits for {calls} parts of calls", edits.calls.len()),
        });
    }
    let mut calls = edits.calls.iter();
    let mut left = 0;
    let mut out = Vec::with_capacity(pieces.len());
    for piece in pieces {
        out.extend(match piece {
            Piece::Call(part) => {
                let part = called(part, calls.next().unwrap_or(&CallEdit::Keep));
                left += usize::from(part.is_some());
                part.map(Piece::Call)
            }
            Piece::Text { place, .. } if edits.texts.iter().any(|e| e.place == place) => None,
            Piece::Usage(own) => Some(Piece::Usage(edits.usage.map_or(own, as_stated))),
            Piece::Finish { .. } if edits.goes_on => None,
            Piece::Finish { choice, reason } => {
                let lonely = match of {
                    Meant::Body => left == 0 && !edits.calls.is_empty(),
                    Meant::Event { lonely } => lonely,
                };
                let reason = match lonely && reason == say::TOOL_USE {
                    true => say::END_TURN.to_owned(),
                    false => reason,
                };
                Some(Piece::Finish { choice, reason })
            }
            piece => Some(piece),
        });
    }
    out.extend(edits.texts.iter().map(text));
    let before = edits.before.iter();
    let before = before.filter(|edit| edit.place.channel == Channel::Output);
    out.splice(0..0, before.map(text));
    Ok(out)
}

fn text(edit: &TextEdit) -> Piece {
    Piece::Text {
        place: edit.place,
        text: edit.text.clone(),
        generated: true,
    }
}

/// A usage as whoever reads it in the vendor's words takes it: what was estimated looks exact then.
fn as_stated(all: Usage) -> Usage {
    usage::read(&super::usage(all)).unwrap_or(all)
}

fn called(part: CallPart, edit: &CallEdit) -> Option<CallPart> {
    match edit {
        CallEdit::Keep => Some(part),
        CallEdit::Drop => None,
        // A call is named once, where it begins: `id_said` and `name_said` are of APIs that name it in each part.
        CallEdit::Change {
            index, arguments, ..
        } => Some(CallPart {
            slot: match part.slot {
                Slot::Index(_) => Slot::Index(*index),
                slot => slot,
            },
            arguments: arguments.clone().unwrap_or(part.arguments),
            ..part
        }),
    }
}

/// Fails unless both say the same: at each place the same text, of each call the same parts joined, the same end and usage.
pub fn reads_as_meant(meant: &[Piece], read: Vec<Piece>) -> Result<(), EditError> {
    let (meant, read) = (Sum::of(meant), Sum::of(&read));
    match meant == read {
        true => Ok(()),
        false => Err(EditError::Impossible {
            place: "the response".to_owned(),
            what: "what was written does not read as it was meant".to_owned(),
        }),
    }
}

/// All that pieces say, whatever parts it is in.
#[derive(Debug, Default, PartialEq)]
struct Sum {
    texts: Vec<(Place, String)>,
    calls: Vec<CallPart>,
    rest: Vec<Piece>,
    errors: usize,
}

impl Sum {
    fn of(pieces: &[Piece]) -> Self {
        let mut sum = Self::default();
        for piece in pieces {
            match piece {
                Piece::Text { place, text, .. } => {
                    match sum.texts.iter_mut().find(|(known, _)| known == place) {
                        Some((_, known)) => known.push_str(text),
                        None => sum.texts.push((*place, text.clone())),
                    }
                }
                Piece::Call(part) => sum.call(part),
                // Its message is a text, and is compared as one.
                Piece::Error(_) => sum.errors += 1,
                piece => sum.rest.push(piece.clone()),
            }
        }
        sum.texts.retain(|(_, text)| !text.is_empty());
        sum.texts.sort_by_key(|(place, _)| place.channel as u8);
        for call in &mut sum.calls {
            // White space around JSON means nothing, and an empty object is what no arguments come to.
            let arguments = call.arguments.trim_ascii();
            call.arguments = match arguments {
                "" if call.slot == Slot::Whole => "{}",
                arguments => arguments,
            }
            .to_owned();
        }
        sum
    }

    fn call(&mut self, part: &CallPart) {
        let joins = |known: &&mut CallPart| known.slot == part.slot && part.slot != Slot::Whole;
        match self.calls.iter_mut().find(joins) {
            Some(known) => known.arguments.push_str(&part.arguments),
            None => self.calls.push(part.clone()),
        }
    }
}
