//! Where the facts of a response stand: one walk serves reading, editing and splicing, so that what is read is what is
//! written. A frame of a stream and a whole body have the same form.
//!
//! | field | channel |
//! |---|---|
//! | `text` of a part | output; reasoning if the part is a `thought` |
//! | `functionCall` | a call, or a part of one: see [`part`](crate::dialect::gemini::part) |
//! | `promptFeedback.blockReason` | the finish of the first choice: there is no other |
//! | any other string, however deep, in a candidate or beside the candidates, in errors and usage too | other |
//!
//! What a server ran itself (`executableCode`, `codeExecutionResult`, `toolCall`, `toolResponse`) is other text that counts as
//! generated. `groundingSupports` and `logprobsResult` are read as other text, and emptied once what they quote was changed. Inert
//! are numbers, booleans, and what is of a type that makes it inert: see [`quiet`](crate::dialect::gemini::quiet).

use crate::dialect::Undecodable;
use crate::dialect::gemini::fact::{Fact, Form, Tell};
use crate::dialect::gemini::fields::Fields;
use crate::dialect::gemini::text::leaves;
use crate::dialect::gemini::undecodable::undecodable;
use crate::dialect::gemini::{part, quiet};
use crate::dialect::inert::is_token;
use crate::dialect::json::{self, Raw};
use crate::dialect::values::items;
use crate::event::{Channel, Place};

/// A word that says that nothing is said.
const UNSPECIFIED: &str = "_UNSPECIFIED";

/// Tells the facts of a frame or body in their order.
pub(super) fn walk<'a>(source: &'a str, form: Form, tell: Tell<'_, 'a>) -> Result<(), Undecodable> {
    let root = Fields::parse(source, "the response")?;
    let mut seen = Vec::new();
    for (name, value) in root.iter() {
        let path = || name.to_owned();
        let inert = match name {
            "candidates" => {
                for (at, value) in items(value, &path)?.into_iter().enumerate() {
                    candidate(form, at, value, &mut seen, tell)?;
                }
                true
            }
            "promptFeedback" => {
                feedback(value, tell)?;
                true
            }
            "usageMetadata" => {
                tell(Fact::Usage(value));
                rest(value, 0, &quiet::is_count, &path, tell)?;
                true
            }
            "modelVersion" => {
                tell(Fact::Model(value));
                is_token(value)
            }
            "responseId" => {
                tell(Fact::Id(value));
                is_token(value)
            }
            "createTime" => is_token(value),
            "error" => {
                tell(Fact::Error(value));
                match json::first_byte(value) {
                    b'{' => {
                        let inert = |key: &str, value: Raw<'_>| key == "status" && is_token(value);
                        rest(value, 0, &inert, &path, tell)?;
                        true
                    }
                    _ => false,
                }
            }
            _ => false,
        };
        if !inert {
            leaves(value, other(0), false, None, &path, tell)?;
        }
    }
    Ok(())
}

/// Index of a candidate: what it states in a frame, where clients look at no other; its place in a body.
pub(super) fn index(form: Form, at: usize, candidate: &Fields<'_>) -> Result<u16, Undecodable> {
    let path = || format!("candidates[{at}].index");
    match (form, candidate.get("index")) {
        (Form::Frame, Some(stated)) => json::integer(stated)
            .and_then(|n| u16::try_from(n).ok())
            .ok_or_else(|| undecodable(path(), "it is not a number from 0 to 65535")),
        (Form::Frame, None) => Ok(0),
        (Form::Body, _) => {
            u16::try_from(at).map_err(|_| undecodable(path(), "there are too many candidates"))
        }
    }
}

/// The candidates of a body, with their indices.
pub(super) fn candidates<'a>(
    root: &Fields<'a>,
) -> Result<Vec<(u16, Raw<'a>, Fields<'a>)>, Undecodable> {
    let path = || "candidates".to_owned();
    let list = root
        .get("candidates")
        .map(|list| items(list, &path))
        .transpose()?;
    let list = list.into_iter().flatten().enumerate();
    let read = |(at, candidate)| {
        let fields = Fields::of(candidate, &path)?;
        Ok((index(Form::Body, at, &fields)?, candidate, fields))
    };
    list.map(read).collect()
}

fn candidate<'a>(
    form: Form,
    at: usize,
    value: Raw<'a>,
    seen: &mut Vec<u16>,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let path = || format!("candidates[{at}]");
    let fields = Fields::of(value, &path)?;
    let choice = index(form, at, &fields)?;
    if seen.contains(&choice) {
        let what = format!(
            "candidate {choice} stands twice in one frame, and clients differ on which counts"
        );
        return Err(undecodable(path(), what));
    }
    seen.push(choice);
    for (name, value) in fields.iter() {
        let path = || format!("candidates[{at}].{name}");
        match name {
            "index" | "tokenCount" | "avgLogprobs"
                if !matches!(json::first_byte(value), b'"' | b'[' | b'{') => {}
            "content" => content(form, choice, value, &path, tell)?,
            "finishReason" => {
                let reason =
                    json::string(value).ok_or_else(|| undecodable(path(), "it is not a string"))?;
                if !is_token(value) {
                    leaves(value, other(choice), false, None, &path, tell)?;
                }
                if says(&reason) {
                    tell(Fact::Finish {
                        choice,
                        reason,
                        value: Some(value),
                    });
                }
            }
            "safetyRatings" => ratings(value, choice, &path, tell)?,
            "groundingMetadata" => grounding(value, choice, &path, tell)?,
            "logprobsResult" => {
                tell(Fact::Repeat {
                    choice,
                    value,
                    emptied: "null",
                });
                leaves(value, other(choice), false, None, &path, tell)?;
            }
            _ => leaves(value, other(choice), false, None, &path, tell)?,
        }
    }
    Ok(())
}

fn content<'a>(
    form: Form,
    choice: u16,
    value: Raw<'a>,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    for (name, value) in Fields::of(value, path)?.iter() {
        let path = || format!("{}.{name}", path());
        match name {
            "role" if is_token(value) => {}
            "parts" => {
                for (at, element) in items(value, &path)?.into_iter().enumerate() {
                    let path = || format!("{}[{at}]", path());
                    part::part(form, choice, value, element, &path, tell)?;
                }
            }
            _ => leaves(value, other(choice), true, None, &path, tell)?,
        }
    }
    Ok(())
}

/// What became of the prompt. If it was refused, there is no candidate.
fn feedback<'a>(value: Raw<'a>, tell: Tell<'_, 'a>) -> Result<(), Undecodable> {
    let path = || "promptFeedback".to_owned();
    for (name, value) in Fields::of(value, &path)?.iter() {
        let path = || format!("promptFeedback.{name}");
        match name {
            "blockReason" => {
                let reason =
                    json::string(value).ok_or_else(|| undecodable(path(), "it is not a string"))?;
                if !is_token(value) {
                    leaves(value, other(0), false, None, &path, tell)?;
                }
                if says(&reason) {
                    let (choice, value) = (0, None);
                    tell(Fact::Finish {
                        choice,
                        reason,
                        value,
                    });
                }
            }
            "safetyRatings" => ratings(value, 0, &path, tell)?,
            _ => leaves(value, other(0), false, None, &path, tell)?,
        }
    }
    Ok(())
}

fn ratings<'a>(
    value: Raw<'a>,
    choice: u16,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    for rating in items(value, path)? {
        if !quiet::is_rating(rating) {
            leaves(rating, other(choice), false, None, path, tell)?;
        }
    }
    Ok(())
}

/// What the answer rests on. Its supports quote the answer.
fn grounding<'a>(
    value: Raw<'a>,
    choice: u16,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    for (name, value) in Fields::of(value, path)?.iter() {
        if name == "groundingSupports" {
            tell(Fact::Repeat {
                choice,
                value,
                emptied: "[]",
            });
        }
        let path = || format!("{}.{name}", path());
        leaves(value, other(choice), false, None, &path, tell)?;
    }
    Ok(())
}

/// All strings of an object but of the fields that `inert` finds to be of their type.
fn rest<'a>(
    value: Raw<'a>,
    choice: u16,
    inert: &dyn Fn(&str, Raw<'_>) -> bool,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    for (name, value) in Fields::of(value, path)?.iter() {
        if !inert(name, value) {
            let path = || format!("{}.{name}", path());
            leaves(value, other(choice), false, None, &path, tell)?;
        }
    }
    Ok(())
}

fn says(word: &str) -> bool {
    !word.is_empty() && !word.ends_with(UNSPECIFIED)
}

fn other(choice: u16) -> Place {
    Place::new(Channel::Other, choice, 0)
}
