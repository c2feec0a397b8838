//! Requests: what they ask.

use airlock_policy::contract::SMALL;
use serde_json::Value;

use crate::dialect::gemini::contents::{Layout, Message, Part};
use crate::dialect::gemini::fields::{Fields, list};
use crate::dialect::gemini::path;
use crate::dialect::gemini::undecodable::{undecodable, utf8};
use crate::dialect::json::{self, Raw};
use crate::dialect::request::Continued;
use crate::dialect::values::items;
use crate::dialect::{MediaView, MessageView, Received, RequestView, ToolResultView, Undecodable};
use crate::event::Role;
use crate::event::digest::Hasher;

/// Fields that constrain the form of the answer, besides its media type.
const FORMS: [&str; 4] = [
    "responseSchema",
    "responseJsonSchema",
    "_responseJsonSchema",
    "responseFormat",
];

/// Labels that may name the session, best first, and their paths.
const SESSION: [(&str, &str); 3] = [
    ("session_id", "labels.session_id"),
    ("thread_id", "labels.thread_id"),
    ("conversation_id", "labels.conversation_id"),
];

/// Number of the modality of speech in its protocol buffer.
const AUDIO: i64 = 3;

/// Bytes of a kind or of a media type.
const WORD: usize = 127;

/// Parts of one message that are told one by one. Of more, the number and the bytes are.
const MOST: usize = 64;

pub(super) fn read(received: Received<'_>) -> Result<RequestView, Undecodable> {
    let (model, streamed) = path::read(received.path)?;
    let source = utf8(received.body)?;
    let layout = Layout::of(source)?;
    let root = &layout.root;
    let at = || "generationConfig".to_owned();
    let config = match root.inner("generationConfig", &String::new)? {
        Some(config) => config,
        None => Fields::parse("{}", "generationConfig")?,
    };
    let labels = root
        .get("labels")
        .and_then(|labels| json::Object::of(labels).ok());
    let hints = SESSION
        .iter()
        .filter_map(|(key, name)| Some((*name, labels.as_ref()?.string(key)?)));
    let form = config.text("responseMimeType", &at)?;
    let cached = root.text("cachedContent", &|| "the request".to_owned())?;
    let choices = match integer(&config, "candidateCount")? {
        None | Some(0) => 1,
        Some(n) => u16::try_from(n)
            .map_err(|_| undecodable("candidateCount", "it is not a number of candidates"))?,
    };
    Ok(RequestView {
        model,
        streamed,
        choices,
        messages: layout
            .messages
            .iter()
            .map(|message| view(source, &layout, message))
            .collect(),
        tools: tools(root)?,
        max_output_tokens: output_limit(&config)?,
        structured_output: form.is_some_and(|form| !matches!(&*form, "" | "text/plain"))
            || FORMS.iter().any(|name| config.get(name).is_some()),
        unjudgeable: speaks(&config)?.then_some("speech"),
        later: false,
        continues: cached.filter(|id| !id.is_empty()).map(|id| Continued {
            field: "cachedContent",
            id: id.into_owned(),
            chain: false,
        }),
        // Its usage is part of every answer.
        include_usage: true,
        end_user: None,
        session_hints: hints
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name, value.into_owned()))
            .collect(),
    })
}

/// The limit of output tokens; 0 means none.
pub(super) fn output_limit(config: &Fields<'_>) -> Result<Option<u32>, Undecodable> {
    let limit = integer(config, "maxOutputTokens")?.filter(|limit| *limit > 0);
    Ok(limit.and_then(|limit| u32::try_from(limit).ok()))
}

/// A whole number, which JSON of protocol buffers may write as a string.
fn integer(fields: &Fields<'_>, name: &str) -> Result<Option<i64>, Undecodable> {
    let read = |value: Raw<'_>| {
        let text = json::string(value);
        let number = text.map_or_else(|| json::integer(value), |text| text.trim().parse().ok());
        number.ok_or_else(|| undecodable(name, "it is not a whole number"))
    };
    fields.get(name).map(read).transpose()
}

fn speaks(config: &Fields<'_>) -> Result<bool, Undecodable> {
    let path = || "responseModalities".to_owned();
    let Some(value) = config.get("responseModalities") else {
        return Ok(false);
    };
    let kinds = match json::first_byte(value) {
        b'[' => items(value, &path)?,
        _ => vec![value],
    };
    let is_speech = |kind: &Raw<'_>| match json::string(*kind) {
        Some(word) => word.eq_ignore_ascii_case("AUDIO"),
        None => json::integer(*kind) == Some(AUDIO),
    };
    Ok(kinds.iter().any(is_speech))
}

/// Names of functions, and the kinds of tools that the server runs.
fn tools(root: &Fields<'_>) -> Result<Vec<String>, Undecodable> {
    let path = || "tools".to_owned();
    let mut names = Vec::new();
    let tools = root
        .get("tools")
        .map(|tools| list(tools, &path))
        .transpose()?;
    for tool in tools.into_iter().flatten() {
        for (kind, value) in Fields::of(tool, &path)?.iter() {
            if kind != "functionDeclarations" {
                names.push(kind.to_owned());
                continue;
            }
            for function in list(value, &path)? {
                let name = Fields::of(function, &path)?.string("name");
                names.extend(name.map(|name| name.into_owned()));
            }
        }
    }
    Ok(names)
}

fn view(source: &str, layout: &Layout<'_>, message: &Message<'_>) -> MessageView {
    let of_model = message.role == Role::Assistant;
    let mut view = MessageView {
        role: message.role,
        text: String::new(),
        tool_calls: Vec::new(),
        tool_results: Vec::new(),
        name: None,
        media: Vec::new(),
        span: span(source, layout, message),
        media_digest: Default::default(),
    };
    let (mut more, mut hasher) = (0, None);
    let mut parts: Vec<(&str, Raw<'_>, usize)> = Vec::new();
    for (index, (_, part)) in message.parts.iter().enumerate() {
        match part {
            Part::Text(text) if text.is_empty() => {}
            Part::Text(text) => {
                if !view.text.is_empty() && !of_model {
                    view.text.push('\n');
                }
                view.text.push_str(text);
            }
            Part::Thought(_) => {}
            Part::Call(call) => view.tool_calls.push(call.clone()),
            Part::Result {
                id,
                text,
                failed,
                media,
                ..
            } => {
                view.tool_results.push(ToolResultView {
                    id: id.clone(),
                    text: text.clone().into_owned(),
                    failed: *failed,
                });
                parts.extend(media.iter().map(|(name, part)| (*name, *part, index)));
            }
            Part::Other(name, part) => parts.push((name, *part, index)),
        }
    }
    for (name, part, index) in parts {
        match view.media.len() < MOST {
            true => view.media.push(media(name, index, part)),
            false => more += part.get().len() as u64,
        }
        // What the server made of a turn is not in the turn as it was generated.
        if !of_model {
            hasher
                .get_or_insert_with(Hasher::default)
                .part(canonical(part).as_bytes());
        }
    }
    if more > 0 {
        view.media.push(MediaView {
            name: "more".to_owned(),
            index: MOST as u32,
            bytes: more,
            ..MediaView::default()
        });
    }
    view.media_digest = hasher.map(Hasher::digest).unwrap_or_default();
    view
}

fn span(source: &str, layout: &Layout<'_>, message: &Message<'_>) -> std::ops::Range<usize> {
    let contents = layout.contents.get(message.run.clone()).unwrap_or_default();
    let ends = contents
        .first()
        .or(layout.system.as_ref())
        .zip(contents.last().or(layout.system.as_ref()));
    ends.map_or(0..0, |(first, last)| {
        json::span(source, *first).start..json::span(source, *last).end
    })
}

/// What a part is, that is not text. `index` is its place in its message.
fn media(name: &str, index: usize, part: Raw<'_>) -> MediaView {
    let mut view = MediaView {
        name: word(name),
        index: u32::try_from(index).unwrap_or(SMALL),
        bytes: part.get().len() as u64,
        ..MediaView::default()
    };
    let Ok(fields) = Fields::of(part, &String::new) else {
        return view;
    };
    let inner = |name| fields.inner(name, &String::new).ok().flatten();
    if let Some(data) = inner("inlineData") {
        view.media_type = media_type(&data.string("mimeType").unwrap_or_default());
        let digits = data
            .string("data")
            .unwrap_or_default()
            .trim_end_matches('=')
            .len() as u64;
        view.bytes = digits * 3 / 4;
    } else if let Some(file) = inner("fileData") {
        view.media_type = media_type(&file.string("mimeType").unwrap_or_default());
        view.reference = file.string("fileUri").unwrap_or_default().into_owned();
        view.bytes = 0;
    }
    view
}

/// A kind of part as the API names them.
fn word(name: &str) -> String {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    match name.len() <= WORD && name.bytes().all(fits) {
        true => name.to_owned(),
        false => "other".to_owned(),
    }
}

/// A media type of the form that RFC 6838 gives it; else none.
fn media_type(stated: &str) -> String {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
    let names = stated.split_once('/').filter(|(kind, name)| {
        let whole = |name: &str| !name.is_empty() && name.bytes().all(fits);
        stated.len() <= WORD && whole(kind) && whole(name)
    });
    names.map_or_else(String::new, |_| stated.to_ascii_lowercase())
}

/// JSON in one spelling: keys in order.
fn canonical(value: Raw<'_>) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(value.get()) else {
        return value.get().to_owned();
    };
    value.sort_all_objects();
    value.to_string()
}
