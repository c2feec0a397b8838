//! Edits of requests: all bytes that no edit concerns stay as they are.

use serde_json::json;

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::ollama::request::{LIMIT, limit, options, root, utf8};
use crate::dialect::ollama::{conversation, prompt};
use crate::dialect::{EditError, MessageEdit, RequestEdits, Turn, Undecodable};

/// Parameters that have edits of their own, or are none.
const NOT_PARAMETERS: &[&str] = &[
    "model", "messages", "stream", "tools", "options", "prompt", "suffix", "system", "template",
    "context", "images", "raw",
];
/// Parameters that stand beside the options.
const BESIDE: &[&str] = &[
    "format",
    "keep_alive",
    "think",
    "truncate",
    "shift",
    "logprobs",
    "top_logprobs",
    "width",
    "height",
    "steps",
];

/// An edited request of `/api/chat`.
pub(super) fn chat(body: &[u8], edits: &RequestEdits) -> Result<Vec<u8>, EditError> {
    let source = utf8(body)?;
    let root = root(source, conversation::ROOT)?;
    let mut set = settings(&root, edits)?;
    if !edits.messages.is_empty() {
        let views = conversation::views(source, &root)?;
        let messages = conversation::edit(source, &root, &views, &edits.messages)?;
        set.push(("messages", messages));
    }
    Ok(json::set(source, &root, &set).into_bytes())
}

/// The request of `/api/chat` that goes on after what the model said and called.
pub(super) fn go_on(body: &[u8], turn: &Turn) -> Result<Vec<u8>, EditError> {
    let at = conversation::messages(&root(utf8(body)?, conversation::ROOT)?)?.len();
    let step = MessageEdit::InsertStep {
        at,
        turn: turn.clone(),
    };
    let edits = RequestEdits {
        messages: vec![step],
        ..RequestEdits::default()
    };
    chat(body, &edits)
}

/// An edited request of `/api/generate`.
pub(super) fn generate(body: &[u8], edits: &RequestEdits) -> Result<Vec<u8>, EditError> {
    let source = utf8(body)?;
    let root = root(source, prompt::ROOT)?;
    let mut set = settings(&root, edits)?;
    let messages = prompt::messages(source, &root)?;
    let raw = prompt::is_raw(&root)?;
    set.extend(prompt::edit(&root, raw, &messages, &edits.messages)?);
    Ok(json::set(source, &root, &set).into_bytes())
}

/// The fields beside the messages that change, and their values.
fn settings<'e>(
    root: &Object<'_>,
    edits: &'e RequestEdits,
) -> Result<Vec<(&'e str, String)>, EditError> {
    let mut set: Vec<(&str, String)> = Vec::new();
    if edits.streamed {
        set.push(("stream", "true".to_owned()));
    }
    if let Some(model) = &edits.model {
        set.push(("model", json::quote(model)));
    }
    let mut options_set: Vec<(&str, String)> = Vec::new();
    for (name, value) in &edits.parameters {
        if NOT_PARAMETERS.contains(&name.as_str()) {
            return Err(impossible(name, "it is not a parameter"));
        }
        Raw::of(value).map_err(|error| impossible(name, error))?;
        // What the server does not find where it looks, it passes over.
        let (target, name) = match BESIDE.contains(&name.as_str()) {
            true => (&mut set, name.as_str()),
            false => {
                let name = name.strip_prefix("options.").unwrap_or(name);
                (&mut options_set, name)
            }
        };
        target.retain(|(other, _)| *other != name);
        target.push((name, value.clone()));
    }
    let own = options(root)?;
    if let Some(most) = edits.max_output_tokens {
        let stated = match options_set.iter().find(|(name, _)| *name == LIMIT) {
            Some((_, value)) => limit(&object(&format!("{{\"{LIMIT}\":{value}}}"))?)?,
            None => own.as_ref().map(limit).transpose()?.flatten(),
        };
        if stated.is_none_or(|stated| stated > most) {
            options_set.retain(|(name, _)| *name != LIMIT);
            options_set.push((LIMIT, most.to_string()));
        }
    }
    if !options_set.is_empty() {
        let source = root.get("options").map_or("{}", Raw::get);
        set.push(("options", json::set(source, &object(source)?, &options_set)));
    }
    Ok(set)
}

fn object(source: &str) -> Result<Object<'_>, Undecodable> {
    Object::parse(source).map_err(|error| Undecodable::at("options", error))
}

/// A request of Airlock's own to `/api/chat`.
pub(super) fn ask_chat(model: &str, system: &str, user: &str, max_tokens: u64) -> Vec<u8> {
    let messages =
        json!([{ "role": "system", "content": system }, { "role": "user", "content": user }]);
    let options = json!({ LIMIT: max_tokens });
    let body = json!({ "model": model, "messages": messages, "stream": false, "options": options });
    body.to_string().into_bytes()
}

/// A request of Airlock's own to `/api/generate`.
pub(super) fn ask_generate(model: &str, system: &str, user: &str, max_tokens: u64) -> Vec<u8> {
    let options = json!({ LIMIT: max_tokens });
    let body = json!({ "model": model, "system": system, "prompt": user, "stream": false, "options": options });
    body.to_string().into_bytes()
}

fn impossible(place: &str, what: impl ToString) -> EditError {
    EditError::Impossible {
        place: place.to_owned(),
        what: what.to_string(),
    }
}
