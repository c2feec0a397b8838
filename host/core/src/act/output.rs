//! The family "output": what policies change in generated text before it leaves.

use super::scene::{Done, Scene, done, refused};
use crate::event::{Outcome, Span};
use crate::release::Hold;
use crate::release::stretch::Unreplaced;
use airlock_policy::contract::types as wit;

/// Replaces a range of generated text.
pub fn replace(scene: &Scene<'_>, hold: &mut Hold, replacement: &wit::Replacement) -> Done {
    let Some(span) = Span::from_wit(replacement.span) else {
        return refused("it names no text");
    };
    // What was put in is judged by the others' patterns. If it matches, nothing is put in at all.
    let offender = scene
        .panel
        .offends(scene.by, span.place.channel, &replacement.text);
    let text = match offender {
        Some(_) => String::new(),
        None => replacement.text.clone(),
    };
    match hold.replace(span.place, span.offset, span.length, text) {
        Ok(()) => offender.map_or_else(done, |policy| {
            let why = format!(
                "the new text matches a pattern of `{policy}`: the range was removed instead"
            );
            (Outcome::Failed, why)
        }),
        Err(Unreplaced::TooLate) => {
            let why = "the client has a part of the range".to_owned();
            (Outcome::TooLate, why)
        }
        Err(Unreplaced::Impossible(reason)) => refused(reason),
    }
}
