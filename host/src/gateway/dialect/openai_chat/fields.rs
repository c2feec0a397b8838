//! Where the facts of a response stand: one walk serves reading and editing, so that what is read is what can be edited.
//!
//! The fields of a chunk (`delta`) and of a whole body (`message`) are the same:
//!
//! | field | channel |
//! |---|---|
//! | `content` (string, or parts of type `text`) | output |
//! | `reasoning`, `reasoning_content`, `reasoning_details[].{text,summary}`, content parts of type `thinking` | reasoning; a field that says the same again repeats it |
//! | `refusal`, content parts of type `refusal` | refusal |
//! | `tool_calls[].function.arguments`, `tool_calls[].custom.input`, `function_call.arguments` | tool arguments |
//! | any other string, however deep, in a choice or beside the choices, in errors too; `audio.transcript` | other |
//!
//! `logprobs` and `token_ids` repeat the text of their choice and are set to null when any of it is replaced.
//! Inert, since they are names, numbers or opaque: keys, numbers, booleans, `type` in lists of parts, and the fields listed in
//! the constants below.
//! The bytes of speech (`audio.data`) are inert too: no policy judges them, and `RequestView::audio_output` says so before.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::undecodable;
use super::values::{index, items, leaves, object, others, rest, string, text};
use crate::gateway::dialect::Undecodable;
use crate::gateway::dialect::json::{self, Object};
use crate::session::event::{Channel, Place};

/// Of the response. `airlock` is Airlock's own mark of a partial result.
const INERT: &[&str] = &[
    "airlock",
    "id",
    "object",
    "created",
    "model",
    "provider",
    "service_tier",
    "system_fingerprint",
    "obfuscation",
    "usage",
    "x_groq",
    "timings",
    "metrics",
    "moderation",
    "prompt_filter_results",
    "prompt_text",
    "prompt_token_ids",
    "prompt_logprobs",
    "kv_transfer_params",
];
/// Of a choice.
const CHOICE_INERT: &[&str] = &[
    "index",
    "native_finish_reason",
    "stop_reason",
    "matched_stop",
    "content_filter_results",
    "content_filter_offsets",
];
/// Of a delta or message. `channel` names the part of the model's own format that the text was in.
const DELTA_INERT: &[&str] = &["role", "channel"];
/// Of a tool call.
const CALL_INERT: &[&str] = &["index", "id", "type"];
/// Of one of the `reasoning_details`: `data` and `signature` are encrypted or signed.
const DETAIL_INERT: &[&str] = &["type", "id", "index", "format", "data", "signature"];
/// Of an error.
const ERROR_INERT: &[&str] = &["message", "type", "param", "code"];
/// Of `audio`.
const AUDIO_INERT: &[&str] = &["id", "data", "expires_at"];

/// A fact, and where it stands.
pub(super) enum Fact<'a> {
    Id(&'a RawValue),
    Model(&'a RawValue),
    Created(&'a RawValue),
    /// Text that is not empty.
    Text {
        place: Place,
        value: &'a RawValue,
        text: Cow<'a, str>,
    },
    /// Says again what stands at a channel of the choice, or anywhere in it.
    Repeat {
        choice: u16,
        of: Option<Channel>,
        value: &'a RawValue,
    },
    /// Name of the field in which reasoning came.
    ReasoningField(&'static str),
    Call {
        choice: u16,
        block: u16,
        id: Option<Cow<'a, str>>,
        name: Option<Cow<'a, str>>,
    },
    Finish {
        choice: u16,
        reason: Cow<'a, str>,
    },
    Usage(&'a RawValue),
    Error(&'a RawValue),
}

/// Tells the facts of a chunk or body in their order.
pub(super) fn walk<'a>(
    source: &'a str,
    tell: &mut impl FnMut(Fact<'a>),
) -> Result<(), Undecodable> {
    let root = Object::parse(source).map_err(|error| undecodable("the response", error))?;
    let other = Place {
        channel: Channel::Other,
        choice: 0,
        block: 0,
    };
    for (key, value) in root.0 {
        if json::is_null(value) {
            continue;
        }
        match key.as_str() {
            "choices" => {
                for (at, value) in items(value, || "choices".into())?.into_iter().enumerate() {
                    choice(at, value, tell)?;
                }
            }
            "id" => tell(Fact::Id(value)),
            "model" => tell(Fact::Model(value)),
            "created" => tell(Fact::Created(value)),
            "usage" => tell(Fact::Usage(value)),
            "x_groq" => {
                if let Some(usage) = Object::parse(value.get())
                    .ok()
                    .and_then(|groq| groq.get("usage"))
                {
                    tell(Fact::Usage(usage));
                }
            }
            "error" => {
                tell(Fact::Error(value));
                if json::first_byte(value) == b'{' {
                    rest(value, ERROR_INERT, other, || "error".into(), tell)?;
                }
            }
            name if INERT.contains(&name) => {}
            name => leaves(value, other, &|| name.to_owned(), tell)?,
        }
    }
    Ok(())
}

fn choice<'a>(
    at: usize,
    value: &'a RawValue,
    tell: &mut impl FnMut(Fact<'a>),
) -> Result<(), Undecodable> {
    let path = || format!("choices[{at}]");
    let entries = object(value, path)?;
    let index = index(&entries, at, path)?;
    let other = Place {
        channel: Channel::Other,
        choice: index,
        block: 0,
    };
    for (key, value) in &entries.0 {
        if json::is_null(value) {
            continue;
        }
        match key.as_str() {
            "delta" => delta(index, value, || format!("choices[{at}].delta"), tell)?,
            // Beside a delta it repeats the answer so far: text, but not again of the same channels.
            "message" if entries.get("delta").is_none() => {
                delta(index, value, || format!("choices[{at}].message"), tell)?;
            }
            "finish_reason" => {
                let reason = text(value, || format!("choices[{at}].finish_reason"))?;
                if !reason.is_empty() {
                    tell(Fact::Finish {
                        choice: index,
                        reason,
                    });
                }
            }
            "logprobs" | "token_ids" => tell(Fact::Repeat {
                choice: index,
                of: None,
                value,
            }),
            // Moonshot states it here, in the last chunk of a choice.
            "usage" => tell(Fact::Usage(value)),
            name if CHOICE_INERT.contains(&name) => {}
            name => leaves(value, other, &|| format!("choices[{at}].{name}"), tell)?,
        }
    }
    Ok(())
}

fn delta<'a>(
    choice: u16,
    value: &'a RawValue,
    path: impl Fn() -> String + Copy,
    tell: &mut impl FnMut(Fact<'a>),
) -> Result<(), Undecodable> {
    let entries = object(value, path)?;
    let place = |channel| Place {
        channel,
        choice,
        block: 0,
    };
    for (key, value) in &entries.0 {
        if json::is_null(value) {
            continue;
        }
        match key.as_str() {
            "content" => content(value, choice, || format!("{}.content", path()), tell)?,
            "refusal" => string(
                value,
                place(Channel::Refusal),
                || format!("{}.refusal", path()),
                tell,
            )?,
            "tool_calls" => {
                let path = || format!("{}.tool_calls", path());
                for (at, value) in items(value, path)?.into_iter().enumerate() {
                    call(choice, at, value, || format!("{}[{at}]", path()), tell)?;
                }
            }
            "function_call" => function(
                choice,
                0,
                None,
                value,
                || format!("{}.function_call", path()),
                tell,
            )?,
            "audio" => rest(
                value,
                AUDIO_INERT,
                place(Channel::Other),
                || format!("{}.audio", path()),
                tell,
            )?,
            "reasoning" | "reasoning_content" | "reasoning_details" => {}
            name if DELTA_INERT.contains(&name) => {}
            name => leaves(
                value,
                place(Channel::Other),
                &|| format!("{}.{name}", path()),
                tell,
            )?,
        }
    }
    reasoning(&entries, choice, path, tell)
}

/// Reasoning comes in up to three fields of one delta. The first counts; another one that says the same is a repetition,
/// and one that says something else is text of its own.
fn reasoning<'a>(
    delta: &Object<'a>,
    choice: u16,
    path: impl Fn() -> String + Copy,
    tell: &mut impl FnMut(Fact<'a>),
) -> Result<(), Undecodable> {
    let mut said = Cow::Borrowed("");
    for name in ["reasoning", "reasoning_content"] {
        let Some(value) = delta.get(name) else {
            continue;
        };
        let text = text(value, || format!("{}.{name}", path()))?;
        if text.is_empty() {
            continue;
        }
        if said.is_empty() {
            said = text.clone();
            tell(Fact::ReasoningField(name));
            tell(Fact::Text {
                place: Place {
                    channel: Channel::Reasoning,
                    choice,
                    block: 0,
                },
                value,
                text,
            });
        } else if said == text {
            tell(Fact::Repeat {
                choice,
                of: Some(Channel::Reasoning),
                value,
            });
        } else {
            tell(Fact::Text {
                place: Place {
                    channel: Channel::Other,
                    choice,
                    block: 0,
                },
                value,
                text,
            });
        }
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
    let mut told = Vec::new();
    for (at, detail) in items(details, path)?.into_iter().enumerate() {
        let place = Place {
            channel,
            choice,
            block: 0,
        };
        rest(
            detail,
            DETAIL_INERT,
            place,
            || format!("{}[{at}]", path()),
            &mut |fact| told.push(fact),
        )?;
    }
    let detailed = told.iter().map(|fact| {
        if let Fact::Text { text, .. } = fact {
            text.as_ref()
        } else {
            ""
        }
    });
    if !said.is_empty() && detailed.collect::<String>() == said {
        tell(Fact::Repeat {
            choice,
            of: Some(Channel::Reasoning),
            value: details,
        });
    } else {
        told.into_iter().for_each(tell);
    }
    Ok(())
}

fn content<'a>(
    value: &'a RawValue,
    choice: u16,
    path: impl Fn() -> String + Copy,
    tell: &mut impl FnMut(Fact<'a>),
) -> Result<(), Undecodable> {
    let place = |channel| Place {
        channel,
        choice,
        block: 0,
    };
    if json::first_byte(value) != b'[' {
        return string(value, place(Channel::Output), path, tell);
    }
    for (at, part) in items(value, path)?.into_iter().enumerate() {
        let path = || format!("{}[{at}]", path());
        let part = object(part, path)?;
        let channel = match part.string("type").as_deref() {
            Some("text" | "output_text") => Channel::Output,
            Some("refusal") => Channel::Refusal,
            Some("thinking" | "reasoning") => Channel::Reasoning,
            _ => Channel::Other,
        };
        for (key, value) in &part.0 {
            let channel = match key.as_str() {
                "type" => continue,
                "text" | "refusal" | "thinking" | "reasoning" => channel,
                _ => Channel::Other,
            };
            leaves(
                value,
                place(channel),
                &|| format!("{}.{}", path(), key.as_str()),
                tell,
            )?;
        }
    }
    Ok(())
}

fn call<'a>(
    choice: u16,
    at: usize,
    value: &'a RawValue,
    path: impl Fn() -> String + Copy,
    tell: &mut impl FnMut(Fact<'a>),
) -> Result<(), Undecodable> {
    let entries = object(value, path)?;
    let block = index(&entries, at, path)?;
    let id = entries.string("id");
    let Some((name, value)) = ["function", "custom"]
        .iter()
        .find_map(|name| Some((name, entries.get(name)?)))
    else {
        if id.is_some() {
            tell(Fact::Call {
                choice,
                block,
                id,
                name: None,
            });
        }
        return others(
            &entries,
            CALL_INERT,
            Place {
                channel: Channel::Other,
                choice,
                block,
            },
            path,
            tell,
        );
    };
    function(
        choice,
        block,
        id,
        value,
        || format!("{}.{name}", path()),
        tell,
    )?;
    for (key, value) in &entries.0 {
        if key.as_str() != *name && !CALL_INERT.contains(&key.as_str()) {
            let path = || format!("{}.{}", path(), key.as_str());
            leaves(
                value,
                Place {
                    channel: Channel::Other,
                    choice,
                    block,
                },
                &path,
                tell,
            )?;
        }
    }
    Ok(())
}

fn function<'a>(
    choice: u16,
    block: u16,
    id: Option<Cow<'a, str>>,
    value: &'a RawValue,
    path: impl Fn() -> String + Copy,
    tell: &mut impl FnMut(Fact<'a>),
) -> Result<(), Undecodable> {
    let entries = object(value, path)?;
    let name = entries.string("name").filter(|name| !name.is_empty());
    let id = id.filter(|id| !id.is_empty());
    if id.is_some() || name.is_some() {
        tell(Fact::Call {
            choice,
            block,
            id,
            name,
        });
    }
    let place = Place {
        channel: Channel::ToolArguments,
        choice,
        block,
    };
    for key in ["arguments", "input"] {
        let Some(value) = entries.get(key) else {
            continue;
        };
        match json::first_byte(value) {
            // Some servers give the arguments as an object: its JSON is what others give as a string.
            b'{' | b'[' => tell(Fact::Text {
                place,
                value,
                text: Cow::Borrowed(value.get()),
            }),
            _ => string(value, place, || format!("{}.{key}", path()), tell)?,
        }
    }
    others(
        &entries,
        &["name", "arguments", "input"],
        Place {
            channel: Channel::Other,
            ..place
        },
        path,
        tell,
    )
}
