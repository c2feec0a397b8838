//! The prompt of `/api/generate`: fields in place of messages. To whoever judges, each that bears text is a message: the system
//! text first, then the template, the prompt with its pictures, and what shall follow the answer.

use std::ops::Range;

use crate::dialect::json::{self, Object};
use crate::dialect::logprobs;
use crate::dialect::ollama::request::{self, boolean, optional_string, pictures};
use crate::dialect::{MessageView, RequestView, Undecodable};
use crate::event::Role;
use crate::event::digest::Digest;

mod edit;

pub(super) use edit::edit;

/// Fields that `/api/chat` does not have.
pub(super) const ROOT: &[&str] = &[
    "prompt", "suffix", "system", "template", "context", "raw", "images", "width", "height",
    "steps",
];
/// Fields that bear text, and who speaks in them: a template is whatever its author likes.
pub(super) const TEXTS: [(&str, Role); 4] = [
    ("system", Role::System),
    ("template", Role::Other),
    ("prompt", Role::User),
    ("suffix", Role::User),
];

/// The view of a request.
pub(super) fn read(source: &str) -> Result<RequestView, Undecodable> {
    let root = request::root(source, ROOT)?;
    let messages = messages(source, &root)?;
    let messages = messages.into_iter().map(|(_, message)| message).collect();
    let mut view = request::view(&root, messages)?;
    view.unjudgeable = has_context(&root)?.then_some("a conversation in tokens");
    Ok(view)
}

/// Whether it goes on with a conversation that stands in it in tokens: nobody reads that.
pub(super) fn has_context(root: &Object<'_>) -> Result<bool, Undecodable> {
    let Some(context) = root.get("context") else {
        return Ok(false);
    };
    if !logprobs::is_numbers(context) {
        return Err(Undecodable::at("context", "it is no list of numbers"));
    }
    let context = json::array(context).map_err(|error| Undecodable::at("context", error))?;
    Ok(!context.is_empty())
}

/// Whether the prompt goes to the model as it is: then there is no system text beside it.
pub(super) fn is_raw(root: &Object<'_>) -> Result<bool, Undecodable> {
    let raw = root.get("raw").map(|value| boolean(value, "raw"));
    Ok(raw.transpose()?.unwrap_or(false))
}

/// The messages, and the field of each.
pub(super) fn messages(
    source: &str,
    root: &Object<'_>,
) -> Result<Vec<(&'static str, MessageView)>, Undecodable> {
    let mut messages = Vec::new();
    for (field, role) in TEXTS {
        let text = optional_string(root, field, field)?;
        let images = root.get("images").filter(|_| field == "prompt");
        let (media, media_digest) = match images {
            Some(images) => pictures(images, "images")?,
            None => (Vec::new(), Digest::default()),
        };
        let span: Option<Range<usize>> = root
            .get(field)
            .or(images)
            .map(|value| json::span(source, value));
        if text.is_empty() && media.is_empty() {
            continue;
        }
        messages.push((
            field,
            MessageView {
                role,
                text,
                tool_calls: Vec::new(),
                tool_results: Vec::new(),
                name: None,
                media,
                span: span.unwrap_or_default(),
                media_digest,
            },
        ));
    }
    Ok(messages)
}
