//! What makes a value inert: a type of which no text can be, not the name of its field alone. What is not of its type is
//! judged like any text.

use std::borrow::Cow;

use crate::dialect::json::{self, Raw};

/// Ids, names of models, words of the API. The longest ids that servers write are some 100 bytes.
const MAX_TOKEN_BYTES: usize = 128;

/// Shorter than this, what looks like base64 may as well be a word. Signatures and encrypted text are far longer.
const MIN_OPAQUE_BYTES: usize = 24;

/// Words with which content filters say how much of something there is.
const SEVERITIES: &[&str] = &["safe", "low", "medium", "high"];

/// A short word without white space, or null.
pub(super) fn is_token(value: Raw<'_>) -> bool {
    json::is_null(value) || json::string(value).is_some_and(|text| is_word(&text, MAX_TOKEN_BYTES))
}

/// A name of up to three words, each of which begins with a capital or a digit (`Google AI Studio`), or a token.
pub(super) fn is_name(value: Raw<'_>) -> bool {
    let named = |text: Cow<'_, str>| {
        let mut words = text.split(' ');
        text.len() <= 40
            && words.clone().count() <= 3
            && words.all(|w| {
                is_word(w, 40)
                    && w.starts_with(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit())
            })
    };
    is_token(value) || json::string(value).is_some_and(named)
}

/// Base64 that no one reads: signatures, encrypted reasoning, speech.
pub(super) fn is_opaque(text: &str) -> bool {
    text.len() >= MIN_OPAQUE_BYTES && is_base64(text)
}

/// Of a content filter.
pub(super) fn is_severity(text: &str) -> bool {
    SEVERITIES.contains(&text)
}

/// A key that names a field. Others may be text.
pub(super) fn is_key(key: &str) -> bool {
    let fits =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'$' | b'/' | b':');
    key.len() <= 64 && key.bytes().all(fits)
}

/// A picture, sound or film as a data URL. Formats that are text (SVG) are none.
pub(super) fn is_media(text: &str) -> bool {
    let kind = ["data:image/", "data:audio/", "data:video/"]
        .iter()
        .find_map(|kind| text.strip_prefix(kind));
    let Some((format, data)) = kind.and_then(|rest| rest.split_once(";base64,")) else {
        return false;
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b';' | b'=');
    format.len() <= 64 && format.bytes().all(plain) && !format.starts_with("svg") && is_base64(data)
}

fn is_word(text: &str, longest: usize) -> bool {
    text.len() <= longest && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_base64(text: &str) -> bool {
    let data = text.trim_end_matches('=');
    text.len() - data.len() <= 2
        && data
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_'))
}
