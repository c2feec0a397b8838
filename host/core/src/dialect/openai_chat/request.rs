//! Requests: what they ask.

use std::borrow::Cow;

use serde_json::Value;

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::openai_chat::parts;
use crate::dialect::openai_chat::undecodable::undecodable;
use crate::dialect::{
    MediaView, MessageView, RequestView, ToolCallView, ToolResultView, Undecodable,
};
use crate::event::Role;
use crate::event::digest::{Digest, Hasher};

/// Fields that constrain the form of the answer, in OpenAI's API and in those of vLLM and llama.cpp.
const FORMS: &[&str] = &[
    "response_format",
    "structured_outputs",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "grammar",
    "json_schema",
];
/// Fields that may name the session, best first.
const SESSION: &[&str] = &["litellm_session_id", "session_id", "prompt_cache_key"];
/// The same inside `metadata`, better than those above.
const METADATA_SESSION: &[(&str, &str)] = &[
    ("session_id", "metadata.session_id"),
    ("thread_id", "metadata.thread_id"),
    ("conversation_id", "metadata.conversation_id"),
];
/// Messages of one request at most. Vendors refuse far fewer (OpenAI: 2,048); each costs a hash and 24 bytes a session.
const MAX_MESSAGES: usize = 65_536;
/// Limits of output tokens: the present name, and the one that older servers know.
pub(super) const OUTPUT_LIMITS: &[&str] = &["max_completion_tokens", "max_tokens"];
pub(super) fn read(body: &[u8]) -> Result<RequestView, Undecodable> {
    let source = utf8(body)?;
    let root = object("the request", source)?;
    let metadata = root.object("metadata");
    let in_metadata = METADATA_SESSION
        .iter()
        .filter_map(|(key, name)| Some((*name, metadata.as_ref()?.string(key)?)));
    let beside = SESSION
        .iter()
        .filter_map(|key| Some((*key, root.string(key)?)));
    let options = root.object("stream_options");
    Ok(RequestView {
        model: optional_string(&root, "model")?
            .unwrap_or_default()
            .into_owned(),
        streamed: optional::<bool>(&root, "stream")?.unwrap_or(false),
        choices: choices(&root)?,
        messages: messages(&root)?
            .into_iter()
            .enumerate()
            .map(|(index, value)| message(source, index, value))
            .collect::<Result<_, _>>()?,
        tools: tools(&root),
        max_output_tokens: output_limits(&root)?
            .into_iter()
            .map(|(_, limit)| limit)
            .filter(|&limit| limit < u32::MAX)
            .min(),
        structured_output: FORMS.iter().filter_map(|key| root.get(key)).any(|form| {
            Object::of(form).map_or(true, |form| form.string("type").as_deref() != Some("text"))
        }),
        unjudgeable: root
            .value::<Vec<String>>("modalities")
            .filter(|kinds| kinds.iter().any(|k| k == "audio"))
            .map(|_| "speech"),
        later: false,
        continues: None,
        include_usage: options
            .and_then(|options| options.value("include_usage"))
            .unwrap_or(false),
        end_user: root
            .string("safety_identifier")
            .or_else(|| root.string("user"))
            .map(Cow::into_owned),
        session_hints: in_metadata
            .chain(beside)
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name, value.into_owned()))
            .collect(),
    })
}

fn choices(root: &Object<'_>) -> Result<u16, Undecodable> {
    match integer(root, "n")? {
        None => Ok(1),
        Some(n) => u16::try_from(n).map_err(|_| undecodable("n", "it is not a number of choices")),
    }
}

/// A negative limit, as some servers write "none", is the highest.
pub(super) fn output_limits(root: &Object<'_>) -> Result<Vec<(&'static str, u32)>, Undecodable> {
    let mut limits = Vec::new();
    for name in OUTPUT_LIMITS {
        // Clients whose language has one kind of number write 100.0.
        if let Some(limit) = optional::<f64>(root, name)? {
            let whole = limit >= 0.0 && limit < f64::from(u32::MAX);
            limits.push((*name, if whole { limit as u32 } else { u32::MAX }));
        }
    }
    Ok(limits)
}

pub(super) fn messages<'a>(root: &Object<'a>) -> Result<Vec<Raw<'a>>, Undecodable> {
    let value = root
        .get("messages")
        .ok_or_else(|| undecodable("messages", "the request has no such field"))?;
    let messages = json::array(value).map_err(|error| undecodable("messages", error))?;
    if messages.len() > MAX_MESSAGES {
        let count = messages.len();
        return Err(undecodable(
            "messages",
            format!(
                "the request has {count} messages, and at most {MAX_MESSAGES} are read: shorten its history"
            ),
        ));
    }
    Ok(messages)
}

fn message(source: &str, index: usize, value: Raw<'_>) -> Result<MessageView, Undecodable> {
    let at = |error| inside(&format!("messages[{index}]"), error);
    let fields =
        Object::of(value).map_err(|error| undecodable(format!("messages[{index}]"), error))?;
    let role = match optional_string(&fields, "role").map_err(at)?.as_deref() {
        Some("system") => Role::System,
        Some("developer") => Role::Developer,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("tool" | "function") => Role::Tool,
        Some(_) => Role::Other,
        None => {
            return Err(undecodable(
                format!("messages[{index}].role"),
                "the message has no such field",
            ));
        }
    };
    let Content {
        mut text,
        media,
        media_digest,
    } = content(&fields).map_err(at)?;
    let name = fields.string("name").map(Cow::into_owned);
    let mut tool_results = Vec::new();
    if role == Role::Tool {
        let id = fields
            .string("tool_call_id")
            .map(Cow::into_owned)
            .or_else(|| name.clone())
            .unwrap_or_default();
        tool_results.push(ToolResultView {
            id,
            text: std::mem::take(&mut text),
            failed: None,
        });
    }
    Ok(MessageView {
        role,
        text,
        tool_calls: calls(&fields).map_err(at)?,
        tool_results,
        name,
        media,
        media_digest: media_digest.unwrap_or_default(),
        span: json::span(source, value),
    })
}

/// Text of a message, its parts that are not text, and a digest of those.
#[derive(Default)]
struct Content {
    text: String,
    media: Vec<MediaView>,
    media_digest: Option<Digest>,
}

fn content(fields: &Object<'_>) -> Result<Content, Undecodable> {
    let refusal = optional_string(fields, "refusal")?;
    let Some(value) = fields.get("content") else {
        return Ok(Content {
            text: refusal.unwrap_or_default().into_owned(),
            ..Content::default()
        });
    };
    let mut texts: Vec<Cow<'_, str>> = Vec::new();
    let (mut media, mut more, mut hasher) = (Vec::new(), 0, None);
    match json::first_byte(value) {
        b'"' => texts.extend(json::string(value)),
        b'[' => {
            let parts = json::array(value).map_err(|error| undecodable("content", error))?;
            for (index, part) in parts.into_iter().enumerate() {
                match part_text(part.get()) {
                    Some(text) => texts.push(text),
                    None => {
                        match media.len() < parts::MOST {
                            true => media.push(parts::media(index, part.get())),
                            false => more += part.get().len() as u64,
                        }
                        hasher
                            .get_or_insert_with(Hasher::default)
                            .part(canonical(part).as_bytes());
                    }
                }
            }
        }
        _ => {
            return Err(undecodable(
                "content",
                "it is neither a string nor a list of parts",
            ));
        }
    }
    if more > 0 {
        media.push(parts::rest(more));
    }
    texts.extend(refusal);
    let text = match texts.len() {
        1 => texts.remove(0).into_owned(),
        _ => texts.join("\n"),
    };
    Ok(Content {
        text,
        media,
        media_digest: hasher.map(Hasher::digest),
    })
}

/// The text of a part that is text.
pub(super) fn part_text(part: &str) -> Option<Cow<'_, str>> {
    if part.starts_with('"') {
        return serde_json::from_str(part).ok().map(Cow::Owned);
    }
    let fields = Object::parse(part).ok()?;
    match fields.string("type")?.as_ref() {
        "text" | "input_text" | "output_text" => fields.string("text"),
        "refusal" => fields.string("refusal"),
        _ => None,
    }
}

/// JSON in one spelling: keys in order, without cache marks.
fn canonical(value: Raw<'_>) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(value.get()) else {
        return value.get().to_owned();
    };
    if let Some(fields) = value.as_object_mut() {
        fields.remove("cache_control");
    }
    value.sort_all_objects();
    value.to_string()
}

fn calls(fields: &Object<'_>) -> Result<Vec<ToolCallView>, Undecodable> {
    let mut calls = Vec::new();
    if let Some(list) = fields.get("tool_calls") {
        for (index, value) in json::array(list)
            .map_err(|error| undecodable("tool_calls", error))?
            .into_iter()
            .enumerate()
        {
            let call = object(&format!("tool_calls[{index}]"), value.get())?;
            let id = call.string("id").unwrap_or_default().into_owned();
            calls.push(view(
                id,
                call.object("function").or_else(|| call.object("custom")),
            ));
        }
    }
    if let Some(call) = fields.object("function_call") {
        let name = call.string("name").unwrap_or_default().into_owned();
        calls.push(view(name, Some(call)));
    }
    Ok(calls)
}

/// A call of the deprecated form has no id: its name takes the place, as in its result.
fn view(id: String, function: Option<Object<'_>>) -> ToolCallView {
    let Some(function) = function else {
        return ToolCallView {
            id,
            ..ToolCallView::default()
        };
    };
    let arguments = function.get("arguments").or_else(|| function.get("input"));
    ToolCallView {
        id,
        name: function.string("name").unwrap_or_default().into_owned(),
        arguments: arguments
            .map(|value| {
                json::string(value)
                    .unwrap_or(Cow::Borrowed(value.get()))
                    .into_owned()
            })
            .unwrap_or_default(),
        ..ToolCallView::default()
    }
}

fn tools(root: &Object<'_>) -> Vec<String> {
    let list = |key| root.array(key);
    let named = |object: Option<Object<'_>>| {
        object.and_then(|fields| Some(fields.string("name")?.into_owned()))
    };
    let mut names = Vec::new();
    for tool in list("tools") {
        let Ok(tool) = Object::of(tool) else {
            continue;
        };
        let name = named(tool.object("function").or_else(|| tool.object("custom")));
        names.extend(name.or_else(|| Some(tool.string("type")?.into_owned())));
    }
    names.extend(
        list("functions")
            .into_iter()
            .filter_map(|value| named(Object::of(value).ok())),
    );
    names
}

/// A field that is missing, null or a `T`.
pub(super) fn optional<T: for<'d> serde::Deserialize<'d>>(
    fields: &Object<'_>,
    key: &str,
) -> Result<Option<T>, Undecodable> {
    let read =
        |value: Raw<'_>| serde_json::from_str(value.get()).map_err(|error| undecodable(key, error));
    fields.get(key).map(read).transpose()
}

/// A field that is missing, null or a whole number.
fn integer(fields: &Object<'_>, key: &str) -> Result<Option<i64>, Undecodable> {
    let read =
        |value| json::integer(value).ok_or_else(|| undecodable(key, "it is not a whole number"));
    fields.get(key).map(read).transpose()
}

fn optional_string<'a>(
    fields: &Object<'a>,
    key: &str,
) -> Result<Option<Cow<'a, str>>, Undecodable> {
    let read = |value| json::string(value).ok_or_else(|| undecodable(key, "it is not a string"));
    fields.get(key).map(read).transpose()
}

pub(super) fn object<'a>(place: &str, source: &'a str) -> Result<Object<'a>, Undecodable> {
    Object::parse(source).map_err(|error| undecodable(place, error))
}

pub(super) fn utf8(body: &[u8]) -> Result<&str, Undecodable> {
    std::str::from_utf8(body).map_err(|error| undecodable("the request", error))
}

fn inside(place: &str, error: Undecodable) -> Undecodable {
    Undecodable {
        place: format!("{place}.{}", error.place),
        ..error
    }
}
