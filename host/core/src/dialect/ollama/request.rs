//! Requests: what both APIs ask in the same way.

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::ollama::spelling;
use crate::dialect::{MediaView, MessageView, RequestView, Undecodable};
use crate::event::digest::{Digest, Hasher};

/// Fields that both have.
const ROOT: &[&str] = &[
    "model",
    "stream",
    "format",
    "keep_alive",
    "options",
    "think",
    "truncate",
    "shift",
    "logprobs",
    "top_logprobs",
    "_debug_render_only",
];
/// The option that limits the answer.
pub(super) const LIMIT: &str = "num_predict";
/// Pictures of one message that are told one by one. Of more, the bytes are.
const MOST: usize = 64;

/// A request as an object, whose fields everybody knows by the same names.
pub(super) fn root<'a>(source: &'a str, more: &[&str]) -> Result<Object<'a>, Undecodable> {
    let root = Object::parse(source).map_err(|error| Undecodable::at("the request", error))?;
    spelling::exact(&root, ROOT, &String::new)?;
    spelling::exact(&root, more, &String::new)?;
    Ok(root)
}

/// The view of a request with these messages.
pub(super) fn view(
    root: &Object<'_>,
    messages: Vec<MessageView>,
) -> Result<RequestView, Undecodable> {
    Ok(RequestView {
        model: optional_string(root, "model", "model")?,
        streamed: streamed(root)?,
        choices: 1,
        messages,
        max_output_tokens: options(root)?
            .map(|options| limit(&options))
            .transpose()?
            .flatten(),
        structured_output: root
            .get("format")
            .is_some_and(|format| format.get() != "\"\""),
        // The last line states it.
        include_usage: true,
        ..RequestView::default()
    })
}

/// Streamed, unless it says otherwise.
pub(super) fn streamed(root: &Object<'_>) -> Result<bool, Undecodable> {
    let stated = root.get("stream").map(|value| boolean(value, "stream"));
    Ok(stated.transpose()?.unwrap_or(true))
}

pub(super) fn boolean(value: Raw<'_>, place: &str) -> Result<bool, Undecodable> {
    match value.get() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Undecodable::at(place, "it is neither true nor false")),
    }
}

pub(super) fn options<'a>(root: &Object<'a>) -> Result<Option<Object<'a>>, Undecodable> {
    let options = root.get("options").map(Object::of).transpose();
    options.map_err(|error| Undecodable::at("options", error))
}

/// The limit of output tokens. A negative one is none, and 0 is one to some runners alone.
pub(super) fn limit(options: &Object<'_>) -> Result<Option<u32>, Undecodable> {
    let Some(stated) = options.get(LIMIT) else {
        return Ok(None);
    };
    // Clients whose language has one kind of number write 100.0.
    let number: f64 = stated
        .get()
        .parse()
        .map_err(|_| Undecodable::at(format!("options.{LIMIT}"), "it is not a number"))?;
    let limits = number >= 1.0 && number < f64::from(u32::MAX);
    Ok(limits.then_some(number as u32))
}

/// A string; empty if it is missing.
pub(super) fn optional_string(
    fields: &Object<'_>,
    key: &str,
    place: &str,
) -> Result<String, Undecodable> {
    match fields.get(key) {
        None => Ok(String::new()),
        Some(value) => json::string(value)
            .map(|text| text.into_owned())
            .ok_or_else(|| Undecodable::at(place, "it is not a string")),
    }
}

/// Pictures in base64, of which no type is stated.
pub(super) fn pictures(
    images: Raw<'_>,
    place: &str,
) -> Result<(Vec<MediaView>, Digest), Undecodable> {
    let images = json::array(images).map_err(|error| Undecodable::at(place, error))?;
    let (mut media, mut more, mut hasher) = (Vec::new(), 0, Hasher::default());
    for (index, image) in images.iter().enumerate() {
        let data = json::string(*image)
            .ok_or_else(|| Undecodable::at(format!("{place}[{index}]"), "it is not a string"))?;
        hasher.part(data.as_bytes());
        let bytes = data.trim_end_matches('=').len() as u64 * 3 / 4;
        match media.len() < MOST {
            true => media.push(MediaView {
                name: "image".to_owned(),
                index: index as u32,
                bytes,
                ..MediaView::default()
            }),
            false => more += bytes,
        }
    }
    if more > 0 {
        media.push(MediaView {
            name: "more".to_owned(),
            index: MOST as u32,
            bytes: more,
            ..MediaView::default()
        });
    }
    let digest = if media.is_empty() {
        Digest::default()
    } else {
        hasher.digest()
    };
    Ok((media, digest))
}

pub(super) fn utf8(body: &[u8]) -> Result<&str, Undecodable> {
    std::str::from_utf8(body).map_err(|error| Undecodable::at("the request", error))
}
