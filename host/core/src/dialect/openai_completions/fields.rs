//! Where the facts of a response stand: one walk serves reading, editing and proving, so that what is read is what is written.
//! A chunk and a whole answer have the same fields.
//!
//! | field | channel |
//! |---|---|
//! | `choices[].text` | output |
//! | `choices[].{reasoning,reasoning_content}` | reasoning |
//! | `choices[].{delta,message}` | none: Together writes them beside `text`, and no client of this API reads them ([`Fact::Beside`]) |
//! | any other string, however deep, in errors and usage too | other |
//!
//! `logprobs` and `token_ids` say again in tokens what their choice says; they are set to null when any of it is replaced, and
//! tokens that say something else are text. With `echo`, the prompt is a part of the text. Inert, since no text can be of their
//! type: numbers, booleans; `id`, `object`, `model`, `service_tier`, `system_fingerprint`, `obfuscation`, `finish_reason`,
//! `stop_reason`, `matched_stop`, `type`, `param` and `code` of an error if they are one short word, and `provider` if it is a name.

use std::borrow::Cow;

use crate::dialect::inert::{self, is_token};
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::openai_completions::fact::{Fact, Form, Tell};
use crate::dialect::values::{self, Leaf, items, object, text};
use crate::dialect::{Undecodable, logprobs, openai};
use crate::event::{Channel, Place};

const OTHER: Place = Place::new(Channel::Other, 0, 0);

/// Tells the facts of a chunk or body in their order.
pub(super) fn walk<'a>(source: &'a str, form: Form, tell: Tell<'_, 'a>) -> Result<(), Undecodable> {
    let root = Object::parse(source).map_err(|error| Undecodable::at("the response", error))?;
    let mut seen = Vec::new();
    if let Some(failure) = openai::bare_failure(source, &root) {
        tell(Fact::Error(failure));
    }
    for (key, value) in root.0 {
        if json::is_null(value) {
            continue;
        }
        let name = key.as_str();
        let path = || name.to_owned();
        match name {
            "choices" => {
                for (at, value) in items(value, &path)?.into_iter().enumerate() {
                    choice(form, at, value, &mut seen, tell)?;
                }
                continue;
            }
            "id" => tell(Fact::Id(value)),
            "model" => tell(Fact::Model(value)),
            "created" => tell(Fact::Created(value)),
            "usage" => tell(Fact::Usage(value)),
            "error" => {
                tell(Fact::Error(value));
                if json::first_byte(value) == b'{' {
                    let inert = |key: &str, value: Raw<'_>| {
                        matches!(key, "type" | "param" | "code") && is_token(value)
                    };
                    values::rest(value, &inert, &path, &mut |leaf| {
                        tell(fact(leaf, OTHER, false));
                    })?;
                    continue;
                }
            }
            _ => {}
        }
        let inert = match name {
            "id" | "object" | "model" | "service_tier" | "system_fingerprint" | "obfuscation" => {
                is_token(value)
            }
            "provider" => inert::is_name(value),
            _ => false,
        };
        if !inert {
            leaves(value, OTHER, false, &path, tell)?;
        }
    }
    Ok(())
}

fn choice<'a>(
    form: Form,
    at: usize,
    value: Raw<'a>,
    seen: &mut Vec<u16>,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let path = || format!("choices[{at}]");
    let entries = object(value, &path)?;
    // In a body its place is its number, whatever it states.
    let index = match (form, entries.get("index")) {
        (Form::Frame, Some(stated)) => json::integer(stated)
            .and_then(|n| u16::try_from(n).ok())
            .ok_or_else(|| {
                let place = format!("{}.index", path());
                Undecodable::at(place, "it is not a number from 0 to 65535")
            })?,
        _ => {
            u16::try_from(at).map_err(|_| Undecodable::at(path(), "there are too many choices"))?
        }
    };
    if seen.contains(&index) {
        let what =
            format!("choice {index} stands twice in one frame, and clients differ on which counts");
        return Err(Undecodable::at(path(), what));
    }
    seen.push(index);
    let place = |channel| Place::new(channel, index, 0);
    let other = place(Channel::Other);
    // Tokens are held against the text, wherever they stand.
    let said = match entries.get("text") {
        Some(value) => text(value, &|| format!("{}.text", path()))?,
        None => Cow::Borrowed(""),
    };
    for &(ref key, value) in &entries.0 {
        if json::is_null(value) {
            continue;
        }
        let name = key.as_str();
        let path = || format!("choices[{at}].{name}");
        match name {
            "index" => {}
            "text" => string(value, place(Channel::Output), &path, tell)?,
            "reasoning" | "reasoning_content" => {
                string(value, place(Channel::Reasoning), &path, tell)?;
            }
            "delta" | "message" => tell(Fact::Beside(value)),
            "finish_reason" => {
                let reason = text(value, &path)?;
                if !is_token(value) {
                    leaves(value, other, false, &path, tell)?;
                }
                if !reason.is_empty() {
                    tell(Fact::Finish {
                        choice: index,
                        reason,
                        value,
                    });
                }
            }
            "logprobs" => {
                if let Some(text) = logprobs::beyond_columns(value, &[&said]) {
                    tell(Fact::Text {
                        place: other,
                        value: None,
                        text: Cow::Owned(text),
                        generated: false,
                    });
                }
                tell(Fact::Tokens {
                    choice: index,
                    value,
                });
            }
            "token_ids" if logprobs::is_numbers(value) => tell(Fact::Tokens {
                choice: index,
                value,
            }),
            "usage" => {
                tell(Fact::Usage(value));
                leaves(value, other, false, &path, tell)?;
            }
            "stop_reason" | "matched_stop" if is_token(value) => {}
            "content_filter_results" => values::leaves(value, &path, &mut |leaf| {
                if !inert::is_severity(&leaf.text) {
                    tell(fact(leaf, other, false));
                }
            })?,
            _ => leaves(value, other, false, &path, tell)?,
        }
    }
    Ok(())
}

/// A field that must be a string, which the model wrote.
fn string<'a>(
    value: Raw<'a>,
    place: Place,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let text = text(value, path)?;
    if !text.is_empty() {
        tell(Fact::Text {
            place,
            value: Some(value),
            text,
            generated: true,
        });
    }
    Ok(())
}

/// All strings in a value that nobody knows.
fn leaves<'a>(
    value: Raw<'a>,
    place: Place,
    generated: bool,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    values::leaves(value, path, &mut |leaf| tell(fact(leaf, place, generated)))
}

fn fact(leaf: Leaf<'_>, place: Place, generated: bool) -> Fact<'_> {
    Fact::Text {
        place,
        value: leaf.value,
        text: leaf.text,
        generated,
    }
}
