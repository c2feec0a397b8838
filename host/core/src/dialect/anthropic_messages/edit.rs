//! Edits of what an answer says: only the bytes of what is edited change.
//!
//! Texts first, since a block that is written as a whole may bear some.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::fact::{Fact, Spot};
use super::spread::{first, spread};
use super::undecodable::undecodable;
use crate::dialect::json::{self, Object, Raw, Splices};
use crate::dialect::{EditError, TextEdit, Undecodable};
use crate::event::{Place, Usage};

mod message;
mod proof;

pub(super) use message::{body, end_body, message};
pub(super) use proof::{Meant, meant, reads_as_meant, said};

/// Walks the facts of a source.
pub(super) type Walk<'w> =
    &'w dyn for<'a> Fn(&'a str, &mut dyn FnMut(Fact<'a>)) -> Result<(), Undecodable>;

/// The source with other text at places. All bytes of text that stays stay.
pub(super) fn texts<'s>(
    source: &'s str,
    walk: Walk<'_>,
    edits: &[TextEdit],
) -> Result<Cow<'s, str>, EditError> {
    if edits.is_empty() {
        return Ok(Cow::Borrowed(source));
    }
    let mut said: Vec<(Place, Spot<'_>, Cow<'_, str>)> = Vec::new();
    walk(source, &mut |fact| {
        if let Fact::Text {
            place, spot, text, ..
        } = fact
        {
            said.push((place, spot, text));
        }
    })?;
    let mut splices = Splices::default();
    for edit in edits {
        let of_place = said.iter().filter(|(place, ..)| *place == edit.place);
        let (spots, parts): (Vec<Spot<'_>>, Vec<&str>) =
            of_place.map(|(_, spot, text)| (*spot, &**text)).unzip();
        if parts.is_empty() {
            return Err(EditError::at(edit.place, "there is no text to replace"));
        }
        for (spot, new) in spots.iter().zip(spread(&parts, "", &edit.text, first)) {
            let Some(new) = new else { continue };
            match spot {
                Spot::Field(value) => {
                    splices.replace(json::span(source, *value), json::quote(&new));
                }
                Spot::Key => {
                    return Err(EditError::at(edit.place, "it is not the value of a field"));
                }
                Spot::Sealed => {
                    let what = "it is signed or encrypted, and another text would be refused";
                    return Err(EditError::at(edit.place, what));
                }
            }
        }
    }
    Ok(Cow::Owned(splices.apply(source)))
}

/// The arguments of a call as an input, which is an object.
pub(super) fn input(arguments: &str) -> Option<&str> {
    let arguments = arguments.trim_ascii();
    match arguments {
        "" => Some("{}"),
        text => Object::parse(text).is_ok().then_some(text),
    }
}

/// An element of a list as an object.
pub(super) fn fields<'a>(value: Raw<'a>, place: &str) -> Result<Object<'a>, Undecodable> {
    Object::of(value).map_err(|error| undecodable(place, error))
}

/// A usage of several legs, in the vendor's words. What was written into a cache is not known apart from the prompt.
pub(super) fn usage(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input - usage.cached.min(usage.input),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
        "output_tokens_details": { "thinking_tokens": usage.reasoning },
    })
}
