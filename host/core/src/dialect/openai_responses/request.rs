//! Requests: what they ask.
//!
//! The messages of the view are, in this order: `instructions`, if it is there; `prompt`, a text that the server keeps and whose
//! variables the request states; the text in `input`, or each of its items.

use std::borrow::Cow;

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::openai_responses::request_item;
use crate::dialect::openai_responses::undecodable::undecodable;
use crate::dialect::request::Continued;
use crate::dialect::{MessageView, RequestView, Undecodable};

/// Fields that may name the session, best first.
const SESSION: &[&str] = &["litellm_session_id", "session_id", "prompt_cache_key"];
/// The same inside `metadata`, better than those above.
const METADATA_SESSION: &[(&str, &str)] = &[
    ("session_id", "metadata.session_id"),
    ("thread_id", "metadata.thread_id"),
    ("conversation_id", "metadata.conversation_id"),
];
/// Messages of one request at most. Each costs a hash and 24 bytes a session.
const MAX_MESSAGES: usize = 65_536;
/// The limit of output tokens.
pub(super) const OUTPUT_LIMIT: &str = "max_output_tokens";

/// Where a message of the view stands in the request.
#[derive(Clone, Copy)]
pub(super) enum Spot<'a> {
    /// `instructions`.
    Instructions(Raw<'a>),
    /// `prompt`.
    Prompt(Raw<'a>),
    /// `input`, if that is a text.
    Text(Raw<'a>),
    /// An item of `input`, and its number.
    Item(usize, Raw<'a>),
}

pub(super) fn read(body: &[u8]) -> Result<RequestView, Undecodable> {
    let source = utf8(body)?;
    let root = object("the request", source)?;
    let format = root.object("text").and_then(|text| text.object("format"));
    let kind = format.map(|format| format.string("type").unwrap_or_default().into_owned());
    Ok(RequestView {
        model: string(&root, "model")?.unwrap_or_default().into_owned(),
        streamed: boolean(&root, "stream")?,
        choices: 1,
        messages: messages(source, &root)?,
        tools: tools(&root),
        max_output_tokens: output_limit(&root)?.filter(|limit| *limit < u32::MAX),
        structured_output: kind.is_some_and(|kind| kind != "text"),
        unjudgeable: boolean(&root, "background")?
            .then_some("an answer that is fetched later (background)"),
        later: boolean(&root, "background")?,
        continues: continues(&root)?,
        // The API states it always.
        include_usage: true,
        end_user: root
            .string("safety_identifier")
            .or_else(|| root.string("user"))
            .map(Cow::into_owned),
        session_hints: hints(&root),
    })
}

/// Where the messages stand, in their order.
pub(super) fn spots<'a>(root: &Object<'a>) -> Result<Vec<Spot<'a>>, Undecodable> {
    let mut spots = Vec::new();
    if let Some(value) = root.get("instructions") {
        spots.push(Spot::Instructions(value));
    }
    if let Some(value) = root.get("prompt") {
        spots.push(Spot::Prompt(value));
    }
    let Some(input) = root.get("input") else {
        return Ok(spots);
    };
    match json::first_byte(input) {
        b'"' => spots.push(Spot::Text(input)),
        b'[' => {
            let items = json::array(input).map_err(|error| undecodable("input", error))?;
            if items.len() > MAX_MESSAGES {
                let count = items.len();
                let what = format!(
                    "the request has {count} items, and at most {MAX_MESSAGES} are read: shorten its history"
                );
                return Err(undecodable("input", what));
            }
            let items = items.into_iter().enumerate();
            spots.extend(items.map(|(at, item)| Spot::Item(at, item)));
        }
        _ => {
            return Err(undecodable(
                "input",
                "it is neither a text nor a list of items",
            ));
        }
    }
    Ok(spots)
}

fn messages(source: &str, root: &Object<'_>) -> Result<Vec<MessageView>, Undecodable> {
    let spots = spots(root)?.into_iter();
    let views = spots.map(|spot| {
        let (value, view) = match spot {
            Spot::Instructions(value) => (value, request_item::instructions(value)?),
            Spot::Prompt(value) => (value, request_item::prompt(value)?),
            Spot::Text(value) => (value, request_item::text(value)?),
            Spot::Item(at, value) => (value, request_item::item(at, value)?),
        };
        Ok(MessageView {
            span: json::span(source, value),
            ..view
        })
    });
    views.collect()
}

/// The conversation that the server keeps.
fn continues(root: &Object<'_>) -> Result<Option<Continued>, Undecodable> {
    if let Some(id) = string(root, "previous_response_id")?.filter(|id| !id.is_empty()) {
        return Ok(Some(Continued {
            field: "previous_response_id",
            id: id.into_owned(),
            chain: true,
        }));
    }
    let Some(value) = root.get("conversation") else {
        return Ok(None);
    };
    let id = conversation(value).ok_or_else(|| undecodable("conversation", "it has no id"))?;
    Ok(Some(Continued {
        field: "conversation",
        id,
        chain: true,
    }))
}

/// The id of a conversation, alone or in an object.
fn conversation(value: Raw<'_>) -> Option<String> {
    let id = match json::first_byte(value) {
        b'{' => Object::of(value).ok()?.string("id"),
        _ => json::string(value),
    };
    id.map(Cow::into_owned)
}

fn hints(root: &Object<'_>) -> Vec<(&'static str, String)> {
    let metadata = root.object("metadata");
    let in_metadata = METADATA_SESSION
        .iter()
        .filter_map(|(key, name)| Some((*name, metadata.as_ref()?.string(key)?.into_owned())));
    let kept = root.get("conversation").and_then(conversation);
    let beside = SESSION
        .iter()
        .filter_map(|key| Some((*key, root.string(key)?.into_owned())));
    in_metadata
        .chain(kept.map(|id| ("conversation", id)))
        .chain(beside)
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// Names of the tools: of those that OpenAI describes, their types.
fn tools(root: &Object<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for tool in root.array("tools") {
        let Ok(tool) = Object::of(tool) else {
            continue;
        };
        let kind = tool.string("type").unwrap_or_default();
        let inner = if kind == "namespace" {
            tool.array("tools")
        } else {
            Vec::new()
        };
        let inner = inner.into_iter().filter_map(|tool| Object::of(tool).ok());
        names.extend(inner.filter_map(|tool| Some(tool.string("name")?.into_owned())));
        let name = match kind.as_ref() {
            "function" | "custom" => tool.string("name"),
            _ => None,
        };
        names.push(name.unwrap_or(kind).into_owned());
    }
    names.retain(|name| !name.is_empty());
    names
}

/// A negative limit, as some clients write "none", is the highest.
pub(super) fn output_limit(root: &Object<'_>) -> Result<Option<u32>, Undecodable> {
    // Clients whose language has one kind of number write 100.0.
    let read = |value: Raw<'_>| {
        let limit: f64 = value
            .get()
            .parse()
            .map_err(|_| undecodable(OUTPUT_LIMIT, "it is not a number"))?;
        let whole = limit >= 0.0 && limit < f64::from(u32::MAX);
        Ok(if whole { limit as u32 } else { u32::MAX })
    };
    root.get(OUTPUT_LIMIT).map(read).transpose()
}

/// A field that is missing, null, false or true.
pub(super) fn boolean(root: &Object<'_>, key: &str) -> Result<bool, Undecodable> {
    match root.get(key).map(Raw::get) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(undecodable(key, "it is neither true nor false")),
    }
}

/// A field that is missing, null or a string.
pub(super) fn string<'a>(
    root: &Object<'a>,
    key: &str,
) -> Result<Option<Cow<'a, str>>, Undecodable> {
    let read = |value| json::string(value).ok_or_else(|| undecodable(key, "it is not a string"));
    root.get(key).map(read).transpose()
}

pub(super) fn object<'a>(place: &str, source: &'a str) -> Result<Object<'a>, Undecodable> {
    Object::parse(source).map_err(|error| undecodable(place, error))
}

pub(super) fn utf8(body: &[u8]) -> Result<&str, Undecodable> {
    std::str::from_utf8(body).map_err(|error| undecodable("the request", error))
}
