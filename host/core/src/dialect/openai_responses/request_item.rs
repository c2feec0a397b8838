//! The items of a request as messages: each is one, so that a turn of the model with two calls is three of them.

use std::borrow::Cow;

use serde_json::Value;

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::openai_responses::kinds::{self, Calls};
use crate::dialect::openai_responses::leaves::leaves;
use crate::dialect::openai_responses::media;
use crate::dialect::openai_responses::undecodable::undecodable;
use crate::dialect::{MediaView, MessageView, ToolCallView, ToolResultView, Undecodable};
use crate::event::Role;
use crate::event::digest::{Digest, Hasher};

/// Kinds of items that the server made of the model's doing.
const OF_SERVER: &[&str] = &[
    "code_interpreter_call",
    "compaction",
    "file_search_call",
    "image_generation_call",
    "mcp_approval_request",
    "mcp_call",
    "mcp_list_tools",
    "program",
    "program_output",
    "shell_call",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
];

/// Kinds whose content is elsewhere, or encrypted, or a picture: they are told as parts that are not text.
const UNREAD: &[&str] = &["compaction", "image_generation_call", "item_reference"];

pub(super) fn instructions(value: Raw<'_>) -> Result<MessageView, Undecodable> {
    let text = json::string(value);
    let text = text.ok_or_else(|| undecodable("instructions", "it is not a string"))?;
    Ok(said(Role::System, text.into_owned()))
}

/// A text that the server keeps: what is seen of it are the values of its variables.
pub(super) fn prompt(value: Raw<'_>) -> Result<MessageView, Undecodable> {
    let mut view = said(Role::Other, every_text("prompt", value, "prompt")?);
    unread(&mut view, value);
    Ok(view)
}

pub(super) fn text(value: Raw<'_>) -> Result<MessageView, Undecodable> {
    let text = json::string(value);
    let text = text.ok_or_else(|| undecodable("input", "it is not a string"))?;
    Ok(said(Role::User, text.into_owned()))
}

fn said(role: Role, text: String) -> MessageView {
    MessageView {
        role,
        text,
        tool_calls: Vec::new(),
        tool_results: Vec::new(),
        name: None,
        media: Vec::new(),
        span: 0..0,
        media_digest: Digest::default(),
    }
}

pub(super) fn item(at: usize, value: Raw<'_>) -> Result<MessageView, Undecodable> {
    let place = format!("input[{at}]");
    let fields = Object::of(value).map_err(|error| undecodable(place.clone(), error))?;
    let kind = kind(&fields);
    match (kind.as_ref(), kinds::calls(&kind, &fields)) {
        ("message", _) => message(&place, &fields),
        ("reasoning", _) => {
            let mut content = Content::default();
            for list in ["summary", "content"] {
                if let Some(value) = fields.get(list) {
                    content.read(&format!("{place}.{list}"), value)?;
                }
            }
            Ok(content.view(Role::Assistant))
        }
        (_, Some(calls)) => Ok(call(calls, &fields)),
        (kind, None) if kind.ends_with("call_output") => result(&place, &fields),
        (kind, None) => {
            let role = match kind {
                "mcp_approval_response" => Role::User,
                kind if OF_SERVER.contains(&kind) => Role::Assistant,
                _ => Role::Other,
            };
            let mut view = said(role, every_text(kind, value, &place)?);
            if UNREAD.contains(&kind) {
                unread(&mut view, value);
            }
            Ok(view)
        }
    }
}

/// The `type` of an item. A message need not have one.
pub(super) fn kind<'a>(fields: &Object<'a>) -> Cow<'a, str> {
    fields.string("type").unwrap_or(Cow::Borrowed("message"))
}

fn message(place: &str, fields: &Object<'_>) -> Result<MessageView, Undecodable> {
    let role = match fields.string("role").as_deref() {
        Some("system") => Role::System,
        Some("developer") => Role::Developer,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some(_) => Role::Other,
        None => {
            let what = "the message has no such field";
            return Err(undecodable(format!("{place}.role"), what));
        }
    };
    let mut content = Content::default();
    if let Some(value) = fields.get("content") {
        content.read(&format!("{place}.content"), value)?;
    }
    Ok(content.view(role))
}

/// A call of the client's.
fn call(calls: Calls, fields: &Object<'_>) -> MessageView {
    let string = |key: &str| fields.string(key).unwrap_or_default().into_owned();
    let (name, arguments) = match calls {
        Calls::Named(key) => (string("name"), fields.get(key)),
        Calls::Built(name, keys) => (name.to_owned(), keys.iter().find_map(|key| fields.get(key))),
    };
    let arguments = arguments.map(|value| {
        let text = json::string(value).unwrap_or(Cow::Borrowed(value.get()));
        text.into_owned()
    });
    let mut view = said(Role::Assistant, String::new());
    view.tool_calls.push(ToolCallView {
        id: string("call_id"),
        name,
        arguments: arguments.unwrap_or_default(),
        ..ToolCallView::default()
    });
    view
}

/// The id of the call that an item answers.
pub(super) fn answers<'a>(fields: &Object<'a>) -> Cow<'a, str> {
    let id = fields.string("call_id").or_else(|| fields.string("id"));
    id.unwrap_or_default()
}

/// What came of a call of the client's.
fn result(place: &str, fields: &Object<'_>) -> Result<MessageView, Undecodable> {
    let mut content = Content::default();
    let place = format!("{place}.output");
    match fields.get("output") {
        // What a shell gave back, command by command.
        Some(value) if kind(fields) == "shell_call_output" => {
            content.texts.push(every_text("", value, &place)?);
        }
        Some(value) if json::first_byte(value) == b'{' => content.part(0, value),
        Some(value) => content.read(&place, value)?,
        None => {}
    }
    let mut view = content.view(Role::Tool);
    let failed = match fields.string("status").as_deref() {
        Some("failed") => Some(true),
        _ => None,
    };
    view.tool_results.push(ToolResultView {
        id: answers(fields).into_owned(),
        text: std::mem::take(&mut view.text),
        failed,
    });
    Ok(view)
}

/// All strings of an item, one to a line.
fn every_text(kind: &str, value: Raw<'_>, place: &str) -> Result<String, Undecodable> {
    let mut texts = Vec::new();
    let inert = |key: &str, value: Raw<'_>| kinds::is_inert(kind, key, value);
    leaves(value, place.to_owned(), &inert, &mut |leaf| {
        texts.push(leaf.text.into_owned());
        Ok(())
    })?;
    Ok(texts.join("\n"))
}

fn unread(view: &mut MessageView, value: Raw<'_>) {
    let mut hasher = Hasher::default();
    hasher.part(canonical(value).as_bytes());
    view.media.push(media::media(0, value));
    view.media_digest = hasher.digest();
}

/// Text of parts, the parts that are not text, and a digest of those.
#[derive(Default)]
struct Content {
    texts: Vec<String>,
    media: Vec<MediaView>,
    more: u64,
    hasher: Option<Hasher>,
}

impl Content {
    /// A text, or a list of parts.
    fn read(&mut self, place: &str, value: Raw<'_>) -> Result<(), Undecodable> {
        match json::first_byte(value) {
            b'"' => {
                self.texts.extend(json::string(value).map(Cow::into_owned));
                Ok(())
            }
            b'[' => {
                let parts = json::array(value).map_err(|error| undecodable(place, error))?;
                for (index, part) in parts.into_iter().enumerate() {
                    self.part(index, part);
                }
                Ok(())
            }
            _ => Err(undecodable(
                place,
                "it is neither a text nor a list of parts",
            )),
        }
    }

    fn part(&mut self, index: usize, part: Raw<'_>) {
        if let Some((_, text)) = part_text(part) {
            return self.texts.push(text.into_owned());
        }
        match self.media.len() < media::MOST {
            true => self.media.push(media::media(index, part)),
            false => self.more += part.get().len() as u64,
        }
        let hasher = self.hasher.get_or_insert_with(Hasher::default);
        hasher.part(canonical(part).as_bytes());
    }

    fn view(mut self, role: Role) -> MessageView {
        let more = (self.more > 0).then(|| media::rest(self.more));
        self.media.extend(more);
        MessageView {
            media: self.media,
            media_digest: self.hasher.map(Hasher::digest).unwrap_or_default(),
            ..said(role, self.texts.join("\n"))
        }
    }
}

/// The field of a part that is text, and the text.
pub(super) fn part_text(part: Raw<'_>) -> Option<(&'static str, Cow<'_, str>)> {
    let fields = Object::of(part).ok()?;
    let field = match fields.string("type")?.as_ref() {
        "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text" => "text",
        "refusal" => "refusal",
        _ => return None,
    };
    fields.string(field).map(|text| (field, text))
}

/// JSON in one spelling: keys in order, without cache marks.
fn canonical(value: Raw<'_>) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(value.get()) else {
        return value.get().to_owned();
    };
    if let Some(fields) = value.as_object_mut() {
        fields.shift_remove("prompt_cache_breakpoint");
    }
    value.sort_all_objects();
    value.to_string()
}
