//! Requests: what they ask.

use std::borrow::Cow;

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::{MessageView, RequestView, Undecodable, values};
use crate::event::Role;
use crate::event::digest::Digest;

/// Fields that constrain the form of the answer, in the APIs of vLLM and llama.cpp.
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
/// Prompts of one request at most. Vendors take far fewer.
const MAX_PROMPTS: usize = 65_536;
/// The limit of output tokens of each choice.
pub(super) const LIMIT: &str = "max_tokens";

/// What is asked for.
pub(super) enum Prompts<'a> {
    /// Texts.
    Texts(Vec<Raw<'a>>),
    /// So many prompts in tokens.
    Tokens(usize),
}

pub(super) fn read(body: &[u8]) -> Result<RequestView, Undecodable> {
    let source = utf8(body)?;
    let root = root(source)?;
    let (messages, unjudgeable, prompts) = match prompts(&root)? {
        Prompts::Texts(texts) => (texts, None, None),
        Prompts::Tokens(count) => (Vec::new(), Some("a prompt of tokens"), Some(count)),
    };
    let prompts = prompts.unwrap_or(messages.len()).max(1);
    let embeds = root.get("prompt_embeds");
    let metadata = root.object("metadata");
    let in_metadata = METADATA_SESSION
        .iter()
        .filter_map(|(key, name)| Some((*name, metadata.as_ref()?.string(key)?)));
    let beside = SESSION
        .iter()
        .filter_map(|key| Some((*key, root.string(key)?)));
    Ok(RequestView {
        model: string(&root, "model")?.unwrap_or_default().into_owned(),
        streamed: boolean(&root, "stream")?,
        choices: choices(&root, prompts)?,
        messages: messages
            .into_iter()
            .chain(suffix(&root)?)
            .map(|value| message(source, value))
            .collect(),
        tools: Vec::new(),
        max_output_tokens: limit(&root)?.filter(|&limit| limit < u32::MAX),
        structured_output: FORMS.iter().filter_map(|key| root.get(key)).any(|form| {
            Object::of(form).map_or(true, |form| form.string("type").as_deref() != Some("text"))
        }),
        unjudgeable: unjudgeable.or(embeds.map(|_| "a prompt of embeddings")),
        later: false,
        continues: None,
        include_usage: root
            .object("stream_options")
            .and_then(|options| options.value("include_usage"))
            .unwrap_or(false),
        end_user: root.string("user").map(Cow::into_owned),
        session_hints: in_metadata
            .chain(beside)
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name, value.into_owned()))
            .collect(),
    })
}

/// The prompts: a text, a list of texts, or the same in tokens. Without one the model begins on its own.
pub(super) fn prompts<'a>(root: &Object<'a>) -> Result<Prompts<'a>, Undecodable> {
    let Some(value) = root.get("prompt") else {
        return Ok(Prompts::Texts(Vec::new()));
    };
    if json::first_byte(value) == b'"' {
        return Ok(Prompts::Texts(vec![value]));
    }
    let list = values::items(value, &|| "prompt".to_owned())?;
    if list.len() > MAX_PROMPTS {
        let what = format!("at most {MAX_PROMPTS} prompts are read");
        return Err(Undecodable::at("prompt", what));
    }
    let all = |is: fn(u8) -> bool| list.iter().all(|item| is(json::first_byte(*item)));
    if all(|byte| byte == b'"') {
        Ok(Prompts::Texts(list))
    } else if all(|byte| byte == b'[') {
        Ok(Prompts::Tokens(list.len()))
    } else if all(|byte| byte.is_ascii_digit()) {
        Ok(Prompts::Tokens(1))
    } else {
        let what = "it is neither text nor tokens, or both";
        Err(Undecodable::at("prompt", what))
    }
}

/// What shall follow the answer.
pub(super) fn suffix<'a>(root: &Object<'a>) -> Result<Option<Raw<'a>>, Undecodable> {
    let text = string(root, "suffix")?;
    let says = text.is_some_and(|text| !text.is_empty());
    Ok(root.get("suffix").filter(|_| says))
}

fn message(source: &str, value: Raw<'_>) -> MessageView {
    MessageView {
        role: Role::User,
        text: json::string(value).unwrap_or_default().into_owned(),
        tool_calls: Vec::new(),
        tool_results: Vec::new(),
        name: None,
        media: Vec::new(),
        span: json::span(source, value),
        media_digest: Digest::default(),
    }
}

/// Each prompt is answered so many times.
fn choices(root: &Object<'_>, prompts: usize) -> Result<u16, Undecodable> {
    let each = match root.get("n") {
        None => 1,
        Some(n) => json::integer(n)
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| Undecodable::at("n", "it is not a number of choices"))?,
    };
    let all = u16::try_from(each.saturating_mul(prompts));
    all.map_err(|_| Undecodable::at("n", "there would be too many choices"))
}

/// A negative limit, as some servers write "none", is the highest.
pub(super) fn limit(root: &Object<'_>) -> Result<Option<u32>, Undecodable> {
    let Some(stated) = root.get(LIMIT) else {
        return Ok(None);
    };
    // Clients whose language has one kind of number write 100.0.
    let number: f64 = stated
        .get()
        .parse()
        .map_err(|_| Undecodable::at(LIMIT, "it is not a number"))?;
    let limits = number >= 0.0 && number < f64::from(u32::MAX);
    Ok(Some(if limits { number as u32 } else { u32::MAX }))
}

pub(super) fn boolean(root: &Object<'_>, key: &str) -> Result<bool, Undecodable> {
    match root.get(key).map(Raw::get) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Undecodable::at(key, "it is neither true nor false")),
    }
}

pub(super) fn string<'a>(
    root: &Object<'a>,
    key: &str,
) -> Result<Option<Cow<'a, str>>, Undecodable> {
    let text =
        |value| json::string(value).ok_or_else(|| Undecodable::at(key, "it is not a string"));
    root.get(key).map(text).transpose()
}

pub(super) fn root(source: &str) -> Result<Object<'_>, Undecodable> {
    Object::parse(source).map_err(|error| Undecodable::at("the request", error))
}

pub(super) fn utf8(body: &[u8]) -> Result<&str, Undecodable> {
    std::str::from_utf8(body).map_err(|error| Undecodable::at("the request", error))
}
