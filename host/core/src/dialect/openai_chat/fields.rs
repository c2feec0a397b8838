//! Where the facts of a response stand: one walk serves reading, editing and splicing, so that what is read is what is
//! written.
//!
//! A stream says a choice in `delta`, a whole body in `message`; the other of the two is read by no client, and not here
//! ([`Fact::Beside`]). Their fields are the same:
//!
//! | field | channel |
//! |---|---|
//! | `content` (string, or parts of type `text`) | output |
//! | `reasoning`, `reasoning_content`, `reasoning_details[].{text,summary}`, content parts of type `thinking` | reasoning; a field that says the same again repeats it |
//! | `refusal`, content parts of type `refusal` | refusal |
//! | `tool_calls[]`, `function_call` | parts of calls: see [`calls`](crate::dialect::openai_chat::calls) |
//! | any other string, however deep, in a choice or beside the choices, in errors and usage too; `audio.transcript` | other |
//!
//! `logprobs` and `token_ids` repeat the text of their choice and are set to null when any of it is replaced; tokens that do
//! not repeat it are text. Inert, since they are names, numbers or opaque: numbers, booleans, and what is of the type that
//! makes it inert ([`inert`](crate::dialect::inert)): a name of a model with a sentence in it is text.
//! The bytes of speech (`audio.data`) are inert too: no policy judges them, and `RequestView::unjudgeable` says so before.

use std::borrow::Cow;

use crate::dialect::Undecodable;
use crate::dialect::inert::{self, is_token};
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::logprobs;
use crate::dialect::openai_chat::calls;
use crate::dialect::openai_chat::fact::{Fact, Form, Tell};
use crate::dialect::openai_chat::undecodable::undecodable;
use crate::dialect::openai_chat::values::{items, leaves, object, rest, string, text};
use crate::event::{Channel, Place};

/// Fields of a delta or message that the model did not write: sources, pictures.
const NOT_GENERATED: &[&str] = &[
    "annotations",
    "citations",
    "context",
    "images",
    "search_results",
    "sources",
];

/// Tells the facts of a chunk or body in their order.
pub(super) fn walk<'a>(source: &'a str, form: Form, tell: Tell<'_, 'a>) -> Result<(), Undecodable> {
    let root = Object::parse(source).map_err(|error| undecodable("the response", error))?;
    let other = Place::new(Channel::Other, 0, 0);
    let mut seen = Vec::new();
    if let Some(failure) = bare_failure(source, &root) {
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
            "x_groq" => {
                let groq = Object::of(value).ok();
                if let Some(usage) = groq.as_ref().and_then(|groq| groq.get("usage")) {
                    tell(Fact::Usage(usage));
                }
                if let Some(error) = groq.and_then(|groq| groq.get("error")) {
                    tell(Fact::Error(error));
                }
            }
            "error" => {
                tell(Fact::Error(value));
                if json::first_byte(value) == b'{' {
                    let inert = |key: &str, value: Raw<'_>| {
                        matches!(key, "type" | "param" | "code") && is_token(value)
                    };
                    rest(value, &inert, other, false, &path, tell)?;
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
            "moderation" | "prompt_filter_results" => {
                severities(value, other, &path, tell)?;
                true
            }
            _ => false,
        };
        if !inert {
            leaves(value, other, false, &path, tell)?;
        }
    }
    Ok(())
}

/// A failure that is stated without a field `error`: `{"object": "error", "message": ...}` (vLLM), `{"detail": ...}` (FastAPI),
/// `{"message": ..., "code": ...}` and its like (proxies, Mistral). What has choices is an answer.
fn bare_failure<'a>(source: &'a str, root: &Object<'a>) -> Option<Raw<'a>> {
    if root.get("choices").is_some() || root.get("error").is_some() {
        return None;
    }
    let states = |keys: &[&str]| keys.iter().any(|key| root.get(key).is_some());
    let named = root.string("object").as_deref() == Some("error");
    if named || (states(&["message"]) && states(&["code", "status", "status_code", "type"])) {
        return Raw::of(source).ok();
    }
    root.get("detail").or_else(|| root.get("error_message"))
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
        (Form::Frame, Some(stated)) => calls::index(stated, &path)?,
        _ => u16::try_from(at).map_err(|_| undecodable(path(), "there are too many choices"))?,
    };
    if seen.contains(&index) {
        let what =
            format!("choice {index} stands twice in one frame, and clients differ on which counts");
        return Err(undecodable(path(), what));
    }
    seen.push(index);
    let place = |channel| Place::new(channel, index, 0);
    let other = place(Channel::Other);
    let (primary, secondary) = match form {
        Form::Frame => ("delta", "message"),
        Form::Body => ("message", "delta"),
    };
    let mut said: Vec<(Channel, String)> = Vec::new();
    if let Some(value) = entries.get(primary) {
        let path = || format!("choices[{at}].{primary}");
        if entries.get("logprobs").is_none() {
            delta(form, index, value, &path, tell)?;
        } else {
            delta(form, index, value, &path, &mut |fact| {
                if let Fact::Text { place, text, .. } = &fact {
                    said.push((place.channel, text.to_string()));
                }
                tell(fact);
            })?;
        }
    }
    for &(ref key, value) in &entries.0 {
        if json::is_null(value) {
            continue;
        }
        let name = key.as_str();
        let path = || format!("choices[{at}].{name}");
        match name {
            _ if name == primary || name == "index" => {}
            _ if name == secondary => tell(Fact::Beside(value)),
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
                let text_of = |wanted: &[Channel]| -> String {
                    let of = |channel: &Channel| wanted.contains(channel);
                    let texts = said.iter().filter(|(channel, _)| of(channel));
                    texts.map(|(_, text)| text.as_str()).collect()
                };
                let texts = [
                    text_of(&[Channel::Output]),
                    text_of(&[Channel::Refusal]),
                    text_of(&[Channel::Reasoning]),
                    text_of(&[Channel::Reasoning]) + &text_of(&[Channel::Output]),
                    text_of(&[Channel::Output]) + &text_of(&[Channel::Refusal]),
                ];
                if let Some(text) = logprobs::beyond(value, &texts.each_ref().map(String::as_str)) {
                    tell(Fact::Text {
                        place: other,
                        value: None,
                        text: Cow::Owned(text),
                        generated: false,
                    });
                }
                tell(repeat(index, None, value));
            }
            "token_ids" if logprobs::is_numbers(value) => tell(repeat(index, None, value)),
            // Moonshot states it here, in the last chunk of a choice.
            "usage" => {
                tell(Fact::Usage(value));
                leaves(value, other, false, &path, tell)?;
            }
            "native_finish_reason" | "stop_reason" | "matched_stop" if is_token(value) => {}
            "content_filter_results" => severities(value, other, &path, tell)?,
            name => leaves(value, other, name == "text", &path, tell)?,
        }
    }
    Ok(())
}

/// What content filters say: how much of what there is. All else in it is text.
fn severities<'a>(
    value: Raw<'a>,
    place: Place,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    leaves(value, place, false, path, &mut |fact| {
        if !matches!(&fact, Fact::Text { text, .. } if inert::is_severity(text)) {
            tell(fact);
        }
    })
}

fn repeat(choice: u16, of: Option<Channel>, value: Raw<'_>) -> Fact<'_> {
    Fact::Repeat { choice, of, value }
}

fn delta<'a>(
    form: Form,
    choice: u16,
    value: Raw<'a>,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let entries = object(value, path)?;
    let place = |channel| Place::new(channel, choice, 0);
    let other = place(Channel::Other);
    for &(ref key, value) in &entries.0 {
        if json::is_null(value) {
            continue;
        }
        let name = key.as_str();
        let path = || format!("{}.{name}", path());
        match name {
            "content" => content(value, choice, &path, tell)?,
            "refusal" => string(value, place(Channel::Refusal), &path, tell)?,
            "tool_calls" => {
                for (at, element) in items(value, &path)?.into_iter().enumerate() {
                    let path = || format!("{}[{at}]", path());
                    calls::element(form, choice, value, element, &path, tell)?;
                }
            }
            "function_call" => calls::single(choice, value, &path, tell)?,
            "audio" => {
                let inert = |key: &str, value: Raw<'_>| match key {
                    "id" => is_token(value),
                    "data" => json::string(value).is_some_and(|data| inert::is_opaque(&data)),
                    _ => false,
                };
                rest(value, &inert, other, true, &path, tell)?;
            }
            "reasoning" | "reasoning_content" | "reasoning_details" => {}
            "role" => {
                tell(Fact::Role(value));
                if !is_token(value) {
                    leaves(value, other, false, &path, tell)?;
                }
            }
            // Names the part of the model's own format that the text was in.
            "channel" if is_token(value) => {}
            name => leaves(value, other, !NOT_GENERATED.contains(&name), &path, tell)?,
        }
    }
    reasoning(&entries, choice, path, tell)
}

/// Reasoning comes in up to three fields of one delta. The first counts; another one that says the same is a repetition,
/// and one that says something else is text of its own.
fn reasoning<'a>(
    delta: &Object<'a>,
    choice: u16,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let place = |channel| Place::new(channel, choice, 0);
    let mut said = Cow::Borrowed("");
    for name in ["reasoning", "reasoning_content"] {
        let Some(value) = delta.get(name) else {
            continue;
        };
        let text = text(value, &|| format!("{}.{name}", path()))?;
        if text.is_empty() {
            continue;
        }
        let channel = if said.is_empty() {
            said = text.clone();
            tell(Fact::ReasoningField(name));
            Channel::Reasoning
        } else if said == text {
            tell(repeat(choice, Some(Channel::Reasoning), value));
            continue;
        } else {
            Channel::Other
        };
        tell(Fact::Text {
            place: place(channel),
            value: Some(value),
            text,
            generated: true,
        });
    }
    let Some(details) = delta.get("reasoning_details") else {
        return Ok(());
    };
    let path = || format!("{}.reasoning_details", path());
    let channel = if said.is_empty() {
        Channel::Reasoning
    } else {
        Channel::Other
    };
    // `data` is encrypted, `signature` signed.
    let inert = |key: &str, value: Raw<'_>| match key {
        "type" | "id" | "index" | "format" => is_token(value),
        "data" | "signature" => json::string(value).is_some_and(|data| inert::is_opaque(&data)),
        _ => false,
    };
    let mut told = Vec::new();
    for (at, detail) in items(details, &path)?.into_iter().enumerate() {
        let path = || format!("{}[{at}]", path());
        rest(detail, &inert, place(channel), true, &path, &mut |fact| {
            told.push(fact)
        })?;
    }
    let detailed = told.iter().map(|fact| match fact {
        Fact::Text { text, .. } => text.as_ref(),
        _ => "",
    });
    if !said.is_empty() && detailed.collect::<String>() == said {
        tell(repeat(choice, Some(Channel::Reasoning), details));
    } else {
        told.into_iter().for_each(tell);
    }
    Ok(())
}

fn content<'a>(
    value: Raw<'a>,
    choice: u16,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let place = |channel| Place::new(channel, choice, 0);
    if json::first_byte(value) != b'[' {
        return string(value, place(Channel::Output), path, tell);
    }
    for (at, part) in items(value, path)?.into_iter().enumerate() {
        let path = || format!("{}[{at}]", path());
        let part = object(part, &path)?;
        let channel = match part.string("type").as_deref() {
            Some("text" | "output_text") => Channel::Output,
            Some("refusal") => Channel::Refusal,
            Some("thinking" | "reasoning") => Channel::Reasoning,
            _ => Channel::Other,
        };
        for &(ref key, value) in &part.0 {
            let (channel, generated) = match key.as_str() {
                "type" if is_token(value) => continue,
                "text" | "refusal" | "thinking" | "reasoning" => (channel, true),
                _ => (Channel::Other, false),
            };
            let path = || format!("{}.{}", path(), key.as_str());
            leaves(value, place(channel), generated, &path, tell)?;
        }
    }
    Ok(())
}
