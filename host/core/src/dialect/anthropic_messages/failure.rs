//! Errors that upstreams state.

use super::undecodable::NAME;
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::{Failure, Undecodable};
use crate::event::FailureKind;

/// Longer bodies that are no error object (an HTML page of a proxy) are cut to this many bytes.
const MAX_MESSAGE_BYTES: usize = 2048;

/// The vendor's words, each with the status with which it answers.
const WORDS: &[(&str, u16)] = &[
    ("invalid_request_error", 400),
    ("authentication_error", 401),
    ("billing_error", 402),
    ("permission_error", 403),
    ("not_found_error", 404),
    ("conflict_error", 409),
    ("request_too_large", 413),
    ("rate_limit_error", 429),
    ("api_error", 500),
    ("timeout_error", 504),
    ("overloaded_error", 529),
];

/// The failure that an error body states, or its text where it is of no known form.
pub(super) fn of_body(status: u16, body: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(body);
    if let Some(error) = Object::parse(&text).ok().and_then(|root| root.get("error")) {
        return of(status, error);
    }
    let end = (0..=text.len().min(MAX_MESSAGE_BYTES))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0);
    Failure {
        status,
        kind: kind(status, ""),
        message: text.get(..end).unwrap_or_default().to_owned(),
    }
}

/// `status` 0: that with which the vendor answers such an error.
pub(super) fn of(status: u16, error: Raw<'_>) -> Failure {
    let fields = Object::of(error).ok();
    let string = |key: &str| fields.as_ref().and_then(|fields| fields.string(key));
    let word = string("type").unwrap_or_default();
    let message = string("message")
        .or_else(|| json::string(error))
        .map_or_else(|| error.get().to_owned(), |text| text.into_owned());
    let stated = || WORDS.iter().find(|(known, _)| *known == word);
    let status = match status {
        0 => stated().map_or(0, |(_, status)| *status),
        status => status,
    };
    let kind = match is_too_long(&message) {
        true => FailureKind::ContextLength,
        false => kind(status, &word),
    };
    Failure {
        status,
        kind,
        message,
    }
}

/// The vendor has no word of its own for a prompt that is too long.
fn is_too_long(message: &str) -> bool {
    [
        "prompt is too long",
        "exceed context limit",
        "context window",
    ]
    .iter()
    .any(|words| message.contains(words))
}

fn kind(status: u16, word: &str) -> FailureKind {
    match (word, status) {
        ("rate_limit_error", _) | (_, 429) => FailureKind::RateLimit,
        ("overloaded_error", _) | (_, 503 | 529) => FailureKind::Overloaded,
        ("timeout_error", _) | (_, 408 | 504) => FailureKind::Timeout,
        _ => FailureKind::Upstream,
    }
}

/// The vendor's word for a failure of Airlock's own.
pub(super) fn word(kind: FailureKind, status: u16) -> &'static str {
    match kind {
        FailureKind::RateLimit => return "rate_limit_error",
        FailureKind::Overloaded => return "overloaded_error",
        FailureKind::Timeout => return "timeout_error",
        _ => {}
    }
    let known = WORDS.iter().find(|(_, known)| *known == status);
    match known {
        Some((word, _)) => word,
        None if status >= 500 => "api_error",
        None => "invalid_request_error",
    }
}

/// The text that bytes are.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Undecodable> {
    std::str::from_utf8(bytes).map_err(|error| Undecodable::at("the response", error).of(NAME))
}
