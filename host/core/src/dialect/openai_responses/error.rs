//! Errors: those of upstreams, read, and those of Airlock, as objects.

use serde_json::{Value, json};

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::{ClientError, Failure, Origin};
use crate::event::FailureKind;

/// Field of an error, and of a partial result, that is Airlock's own.
pub(super) const MARK: &str = "airlock";

/// Longer bodies that are no error object (an HTML page of a proxy) are cut to this many bytes.
const MAX_MESSAGE_BYTES: usize = 2048;

/// The failure that an error body states, or its text where it is of no known form.
pub(super) fn body(status: u16, body: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(body);
    if let Some(error) = Object::parse(&text).ok().and_then(|root| root.get("error")) {
        return failure(status, error);
    }
    let end = text.floor_char_boundary(MAX_MESSAGE_BYTES);
    Failure {
        status,
        kind: kind(status, ""),
        message: text.get(..end).unwrap_or_default().to_owned(),
    }
}

/// `status` 0: taken from the error object, where some servers write it.
pub(super) fn failure(status: u16, error: Raw<'_>) -> Failure {
    let Ok(fields) = Object::of(error) else {
        let message =
            json::string(error).map_or_else(|| error.get().to_owned(), |text| text.into_owned());
        return Failure {
            status,
            kind: kind(status, ""),
            message,
        };
    };
    let stated = ["status", "status_code", "code"]
        .iter()
        .find_map(|key| fields.value::<u16>(key));
    let words = ["code", "type"]
        .iter()
        .filter_map(|key| fields.string(key))
        .collect::<Vec<_>>()
        .join(" ");
    let status = match status {
        0 => stated.unwrap_or(0),
        status => status,
    };
    let message = fields
        .string("message")
        .map_or_else(|| error.get().to_owned(), |text| text.into_owned());
    Failure {
        status,
        kind: kind(status, &words),
        message,
    }
}

/// The vendors' words decide before the status: a context that is too long and a malformed request are both 400.
fn kind(status: u16, words: &str) -> FailureKind {
    let says = |word: &str| words.contains(word);
    if says("context_length") || says("context_window") {
        FailureKind::ContextLength
    } else if says("rate_limit") || status == 429 {
        FailureKind::RateLimit
    } else if says("overloaded") || matches!(status, 503 | 529) {
        FailureKind::Overloaded
    } else if says("timeout") || matches!(status, 408 | 504) {
        FailureKind::Timeout
    } else {
        FailureKind::Upstream
    }
}

/// An error of Airlock, as the API has it.
pub(super) fn object(error: &ClientError) -> Value {
    let kind = match error.kind {
        FailureKind::RateLimit => "rate_limit_error",
        _ if error.status == 401 => "authentication_error",
        _ if error.status >= 500 => "server_error",
        _ => "invalid_request_error",
    };
    let mut object = json!({
        "message": error.message,
        "type": kind,
        "param": null,
        "code": error.code,
        "status": error.status,
    });
    if let Some(Origin {
        code,
        policy,
        exchange,
    }) = &error.origin
    {
        object[MARK] = json!({ "code": code, "policy": policy, "exchange": exchange });
    }
    object
}

/// The body of an error response.
pub(super) fn of(error: &ClientError) -> Vec<u8> {
    json!({ "error": object(error) }).to_string().into_bytes()
}
