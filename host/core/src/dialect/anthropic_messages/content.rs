//! What the messages of a request consist of.

use std::borrow::Cow;

use serde_json::Value;

use super::media::Media;
use super::undecodable::undecodable;
use super::values::{items, object, text};
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::{MediaView, ToolCallView, ToolResultView, Undecodable};
use crate::event::Role;
use crate::event::digest::{Digest, Hasher};

/// The content of a message, as policies see it.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub text: String,
    pub calls: Vec<ToolCallView>,
    pub results: Vec<ToolResultView>,
    pub media: Vec<MediaView>,
    pub media_digest: Digest,
    /// It has nothing but results.
    pub only_results: bool,
}

/// Reads the content of a message of this role: a string, or blocks.
pub(super) fn content(
    value: Option<Raw<'_>>,
    role: Role,
    path: &dyn Fn() -> String,
) -> Result<Content, Undecodable> {
    let Some(value) = value else {
        return Ok(Content::default());
    };
    if json::first_byte(value) == b'"' {
        return Ok(Content {
            text: text(value, path)?.into_owned(),
            ..Content::default()
        });
    }
    let (mut content, mut texts) = (Content::default(), Vec::new());
    let mut beside = Beside::default();
    let blocks = items(value, path)?;
    content.only_results = !blocks.is_empty();
    for (index, value) in blocks.into_iter().enumerate() {
        let path = || format!("{}[{index}]", path());
        let block = object(value, &path)?;
        let name = block.string("type").unwrap_or_default();
        content.only_results &= name == "tool_result";
        match &*name {
            "tool_use" => content.calls.push(ToolCallView {
                id: block.string("id").unwrap_or_default().into_owned(),
                name: block.string("name").unwrap_or_default().into_owned(),
                arguments: block
                    .get("input")
                    .map_or_else(String::new, |input| input.get().to_owned()),
                ..ToolCallView::default()
            }),
            "tool_result" => {
                let result = result(&block, index, &path, &mut beside)?;
                content.results.push(result);
            }
            // Whoever judges has seen them when they were said; and clients may leave them out.
            "thinking" | "redacted_thinking" => {}
            _ => match text_of(&block, &path)? {
                Some(text) => texts.push(text),
                // Of the model's own turn the digest was made of what it said and called.
                None => beside.add(index, &name, &block, value, role != Role::Assistant),
            },
        }
    }
    content.text = texts.join(between(role));
    content.media_digest = beside.hasher.map(Hasher::digest).unwrap_or_default();
    content.media = beside.media.views();
    Ok(content)
}

/// What stands between two texts of one message as policies see it. Those of the model are read joined when it says them.
pub(super) fn between(role: Role) -> &'static str {
    match role {
        Role::Assistant => "",
        _ => "\n",
    }
}

/// What is not text.
#[derive(Default)]
struct Beside {
    media: Media,
    hasher: Option<Hasher>,
}

impl Beside {
    fn add(
        &mut self,
        index: usize,
        name: &str,
        block: &Object<'_>,
        value: Raw<'_>,
        in_digest: bool,
    ) {
        self.media.add(index, name, block, value.get().len());
        if in_digest {
            self.hasher
                .get_or_insert_with(Hasher::default)
                .part(canonical(value).as_bytes());
        }
    }
}

fn result(
    block: &Object<'_>,
    index: usize,
    path: &dyn Fn() -> String,
    beside: &mut Beside,
) -> Result<ToolResultView, Undecodable> {
    let path = || format!("{}.content", path());
    let said = match block.get("content") {
        None => String::new(),
        Some(value) if json::first_byte(value) == b'"' => text(value, &path)?.into_owned(),
        Some(value) => {
            let mut texts = Vec::new();
            for (at, value) in items(value, &path)?.into_iter().enumerate() {
                let path = || format!("{}[{at}]", path());
                let block = object(value, &path)?;
                match text_of(&block, &path)? {
                    Some(text) => texts.push(text),
                    None => {
                        let name = block.string("type").unwrap_or_default();
                        beside.add(index, &name, &block, value, true);
                    }
                }
            }
            texts.join("\n")
        }
    };
    Ok(ToolResultView {
        id: block.string("tool_use_id").unwrap_or_default().into_owned(),
        text: said,
        failed: block.value("is_error"),
    })
}

/// The text of a block that is text: a document in plain text is read like one.
pub(super) fn text_of<'a>(
    block: &Object<'a>,
    path: &dyn Fn() -> String,
) -> Result<Option<Cow<'a, str>>, Undecodable> {
    let string = |fields: &Object<'a>, key: &str| {
        let value = fields.get(key).ok_or_else(|| {
            undecodable(format!("{}.{key}", path()), "the block has no such field")
        })?;
        text(value, &|| format!("{}.{key}", path())).map(Some)
    };
    match block.string("type").as_deref() {
        Some("text") => string(block, "text"),
        Some("document") => match block.object("source") {
            Some(source) if source.string("type").as_deref() == Some("text") => {
                string(&source, "data")
            }
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

/// A block that is text, with another one and all else as it was.
pub(super) fn with_text(value: Raw<'_>, block: &Object<'_>, new: &str) -> String {
    let new = json::quote(new);
    match block.get("source") {
        Some(source) if block.string("type").as_deref() == Some("document") => {
            let Ok(fields) = Object::of(source) else {
                return value.get().to_owned();
            };
            let source = json::set(source.get(), &fields, &[("data", new)]);
            json::set(value.get(), block, &[("source", source)])
        }
        _ => json::set(value.get(), block, &[("text", new)]),
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
