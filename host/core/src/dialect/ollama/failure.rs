//! Errors: as Ollama states them, and as Airlock states them in its place.
//!
//! Measured with `ollama` 0.6.3 for Python and 0.6.4 for JavaScript, and read in the client in Go: a line whose `error` is a
//! string that is not empty raises in all three; the one for JavaScript raises at a field `error` of any value, and the one
//! in Go takes no other than a string. The end of the connection without a last line passes for success in Python.

use serde_json::{Value, json};

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::mark::{self, MARK};
use crate::dialect::{ClientError, Failure};
use crate::event::FailureKind;

/// Longer bodies that are no error object (an HTML page of a proxy) are cut to this many bytes.
const MAX_MESSAGE_BYTES: usize = 2048;

/// An error of Airlock's own, as a body or a line. The API has no field for its code: that stands in the mark.
pub(super) fn stated(error: &ClientError) -> Value {
    let mark = match &error.origin {
        Some(origin) => mark::decided(origin),
        None => json!({ "code": error.code }),
    };
    json!({ "error": error.message, MARK: mark })
}

/// The failure that an error body states, or its text where it is of no known form.
pub(super) fn of_body(status: u16, body: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(body);
    if let Some(error) = Object::parse(&text).ok().and_then(|root| root.get("error")) {
        return of_value(status, error);
    }
    let end = (0..=text.len().min(MAX_MESSAGE_BYTES))
        .rev()
        .find(|&at| text.is_char_boundary(at));
    failure(status, text.get(..end.unwrap_or(0)).unwrap_or_default())
}

/// The failure that the field `error` states. Proxies write an object.
pub(super) fn of_value(status: u16, error: Raw<'_>) -> Failure {
    let inner = Object::of(error).ok();
    let message = inner.and_then(|inner| inner.string("message"));
    let message = message.or_else(|| json::string(error));
    failure(status, message.as_deref().unwrap_or(error.get()))
}

fn failure(status: u16, message: &str) -> Failure {
    Failure {
        status,
        kind: kind(status, message),
        message: message.to_owned(),
    }
}

/// There is no word for a kind but the message. Of a context that is too long it speaks in one of these.
fn kind(status: u16, message: &str) -> FailureKind {
    let message = message.to_ascii_lowercase();
    let says = |word: &str| message.contains(word);
    if says("context length") || says("context size") || says("context window") {
        FailureKind::ContextLength
    } else if status == 429 {
        FailureKind::RateLimit
    } else if matches!(status, 503 | 529) {
        FailureKind::Overloaded
    } else if matches!(status, 408 | 504) {
        FailureKind::Timeout
    } else {
        FailureKind::Upstream
    }
}
