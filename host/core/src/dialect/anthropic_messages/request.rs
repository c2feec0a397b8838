//! Requests: what they ask.

use super::content::content;
use super::undecodable::undecodable;
use super::values::{items, object, text};
use super::{sessions, system};
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::{MessageView, RequestView, Undecodable};
use crate::event::Role;
use crate::event::digest::Digest;

/// Messages of one request at most. The vendor refuses more than 100,000; each costs a hash and 24 bytes a session.
const MAX_MESSAGES: usize = 65_536;

pub(super) fn read(body: &[u8]) -> Result<RequestView, Undecodable> {
    let source = utf8(body)?;
    let root = Object::parse(source).map_err(|error| undecodable("the request", error))?;
    let (session_hints, end_user) = sessions::whose(&root);
    let mut views = Vec::new();
    if let (Some(text), Some(value)) = (system::read(&root)?, root.get(system::SYSTEM)) {
        views.push(MessageView {
            role: Role::System,
            text,
            tool_calls: Vec::new(),
            tool_results: Vec::new(),
            name: None,
            media: Vec::new(),
            span: json::span(source, value),
            media_digest: Digest::default(),
        });
    }
    for (index, value) in messages(&root)?.into_iter().enumerate() {
        views.push(message(source, index, value)?);
    }
    let format = root.object("output_config");
    let format = format.and_then(|config| config.get("format"));
    Ok(RequestView {
        model: string(&root, "model")?,
        streamed: optional(&root, "stream")?.unwrap_or(false),
        choices: 1,
        messages: views,
        tools: tools(&root),
        max_output_tokens: max_tokens(&root)?,
        structured_output: format.or_else(|| root.get("output_format")).is_some(),
        unjudgeable: None,
        later: false,
        continues: None,
        include_usage: true,
        end_user,
        session_hints,
    })
}

/// The limit of output tokens that the request states.
pub(super) fn max_tokens(root: &Object<'_>) -> Result<Option<u32>, Undecodable> {
    // Clients whose language has one kind of number write 100.0.
    let limit = optional::<f64>(root, "max_tokens")?;
    let whole = limit.filter(|limit| *limit >= 0.0 && *limit < f64::from(u32::MAX));
    Ok(whole.map(|limit| limit as u32))
}

pub(super) fn messages<'a>(root: &Object<'a>) -> Result<Vec<Raw<'a>>, Undecodable> {
    let path = || "messages".to_owned();
    let value = root
        .get("messages")
        .ok_or_else(|| undecodable("messages", "the request has no such field"))?;
    let messages = items(value, &path)?;
    match messages.len() > MAX_MESSAGES {
        true => {
            let what = format!(
                "the request has {} messages, and at most {MAX_MESSAGES} are read: shorten its history",
                messages.len()
            );
            Err(undecodable("messages", what))
        }
        false => Ok(messages),
    }
}

/// Who speaks in a message.
pub(super) fn role(fields: &Object<'_>, path: &dyn Fn() -> String) -> Result<Role, Undecodable> {
    let path = || format!("{}.role", path());
    let value = fields
        .get("role")
        .ok_or_else(|| undecodable(path(), "the message has no such field"))?;
    Ok(match &*text(value, &path)? {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => Role::Other,
    })
}

fn message(source: &str, index: usize, value: Raw<'_>) -> Result<MessageView, Undecodable> {
    let path = || format!("messages[{index}]");
    let fields = object(value, &path)?;
    let role = role(&fields, &path)?;
    let said = content(fields.get("content"), role, &|| {
        format!("messages[{index}].content")
    })?;
    Ok(MessageView {
        role: match role {
            Role::User if said.only_results => Role::Tool,
            role => role,
        },
        text: said.text,
        tool_calls: said.calls,
        tool_results: said.results,
        name: None,
        media: said.media,
        span: json::span(source, value),
        media_digest: said.media_digest,
    })
}

/// Names of the tools; of those that the server runs, what it calls them.
fn tools(root: &Object<'_>) -> Vec<String> {
    let tools = root.array("tools").into_iter();
    let named = tools.filter_map(|tool| {
        let fields = Object::of(tool).ok()?;
        let name = fields.string("name").or_else(|| fields.string("type"))?;
        Some(name.into_owned())
    });
    named.collect()
}

fn string(root: &Object<'_>, key: &str) -> Result<String, Undecodable> {
    let read = |value| text(value, &|| key.to_owned());
    let value = root.get(key).map(read).transpose()?;
    Ok(value.unwrap_or_default().into_owned())
}

/// A field that is missing, null or a `T`.
fn optional<T: for<'d> serde::Deserialize<'d>>(
    fields: &Object<'_>,
    key: &str,
) -> Result<Option<T>, Undecodable> {
    let read =
        |value: Raw<'_>| serde_json::from_str(value.get()).map_err(|error| undecodable(key, error));
    fields.get(key).map(read).transpose()
}

pub(super) fn utf8(body: &[u8]) -> Result<&str, Undecodable> {
    std::str::from_utf8(body).map_err(|error| undecodable("the request", error))
}
