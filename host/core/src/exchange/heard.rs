//! Text of the generation is heard: measured, recorded, and told to those who wake on it.

use super::hearing::Hearing;
use super::measure;
use super::model_call::ModelCall;
use crate::event::{Body, Micros, Place};
use crate::release::frame::Span;

/// Text that arrived.
pub struct Heard<'a> {
    /// Where.
    pub place: Place,
    /// What.
    pub text: &'a str,
    /// Whether the model wrote it.
    pub generated: bool,
    /// Its tokens.
    pub tokens: u32,
}

/// Text of the generation is put on the timeline and measured, and told to those who wake on it.
pub fn told(
    hearing: &mut Hearing,
    call: &mut ModelCall,
    arrived: &Heard<'_>,
    span: &Span,
    at: Micros,
) {
    let Heard {
        place,
        text,
        generated,
        tokens,
    } = *arrived;
    if generated {
        if hearing.vitals.first_token.is_none() {
            let after_us = at.saturating_sub(hearing.facts.started);
            hearing.record.note(Body::FirstToken { after_us });
        }
        measure::first_token(hearing, &mut call.legs, at);
        hearing.vitals.tokens(tokens, at);
    }
    hearing.record.text(place, span.start, text, tokens, at);
    hearing.panel.text(place, tokens, at);
}
