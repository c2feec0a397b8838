//! What OpenAI's completions and chat completions have in common: how a stream is framed and ended, errors, usage, the words
//! for an end.

use bytes::Bytes;
use serde_json::{Value, json};

use super::client_error::ClientError;
use super::edits::Ending;
use super::json::{self, Object, Raw};
use super::mark::{self, MARK};
use super::piece::{Failure, Finish, Undecodable};
use super::sse::Frame;
use super::usage;
use crate::event::{FailureKind, Usage};

/// Data of the frame that ends a stream.
pub(super) const DONE: &str = "[DONE]";
/// The frame that ends a stream.
pub(super) const TERMINATOR: &str = "data: [DONE]\n\n";
/// Longer bodies that are no error object (an HTML page of a proxy) are cut to this many bytes.
const MAX_MESSAGE_BYTES: usize = 2048;

/// The data of a frame as a chunk's JSON; `None` for comments, blank frames and the terminator, which have none.
pub(super) fn chunk(frame: &Frame) -> Result<Option<&str>, Undecodable> {
    let Some(data) = &frame.data else {
        return Ok(None);
    };
    let data = utf8(data)?.trim_ascii();
    Ok((!data.is_empty() && data != DONE).then_some(data))
}

/// Whether a frame ends its stream.
pub(super) fn is_done(frame: &Frame) -> bool {
    let data = frame.data.as_ref();
    data.is_some_and(|data| data.trim_ascii() == DONE.as_bytes())
}

/// A response as text.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Undecodable> {
    std::str::from_utf8(bytes).map_err(|error| Undecodable::at("the response", error))
}

/// A frame with this data.
pub(super) fn frame(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// The frame with `new` in place of `old`, its data.
pub(super) fn reframe(frame: &Frame, old: &str, new: &str) -> Bytes {
    let start = (old.as_ptr() as usize).wrapping_sub(frame.raw.as_ptr() as usize);
    let end = start.wrapping_add(old.len());
    let mut out = Vec::with_capacity(frame.raw.len() + new.len());
    if let (Some(before), Some(after), true) =
        (frame.raw.get(..start), frame.raw.get(end..), start <= end)
    {
        out.extend_from_slice(before);
        out.extend_from_slice(new.as_bytes());
        out.extend_from_slice(after);
    } else {
        // Data of several lines was joined elsewhere: they are written anew.
        if let Some(event) = &frame.event {
            out.extend_from_slice(b"event: ");
            out.extend_from_slice(event);
            out.push(b'\n');
        }
        for line in new.split('\n') {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
        out.push(b'\n');
    }
    out.into()
}

/// What a finish reason means.
pub(super) fn meaning(reason: &str) -> Finish {
    match reason {
        "stop" => Finish::Stop,
        "length" => Finish::Length,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        "content_filter" => Finish::Filtered,
        _ => Finish::Other,
    }
}

/// The dialect's word for an ending.
pub(super) fn finish_reason(ending: &Ending) -> &'static str {
    match ending {
        Ending::Complete => "stop",
        Ending::Refused => "content_filter",
        Ending::Partial(_) => "length",
    }
}

/// The usage that a field states, if it states any.
pub(super) fn stated_usage(value: Raw<'_>) -> Option<Usage> {
    usage::read(&serde_json::from_str(value.get()).ok()?)
}

/// A usage as a field states it.
pub(super) fn usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": u64::from(usage.input) + u64::from(usage.output),
        "prompt_tokens_details": { "cached_tokens": usage.cached },
        "completion_tokens_details": { "reasoning_tokens": usage.reasoning },
    })
}

/// The body of an error response.
pub(super) fn error_body(error: &ClientError) -> Vec<u8> {
    error_object(error).to_string().into_bytes()
}

/// No terminator follows: to a client that overlooked the error it would be the mark of success.
pub(super) fn error_frame(error: &ClientError) -> Bytes {
    frame(&error_object(error)).into()
}

fn error_object(error: &ClientError) -> Value {
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
    if let Some(origin) = &error.origin {
        object[MARK] = mark::decided(origin);
    }
    json!({ "error": object })
}

/// The failure that an error body states, or its text where it is of no known form.
pub(super) fn read_error(status: u16, body: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(body);
    if let Some(error) = Object::parse(&text).ok().and_then(|root| root.get("error")) {
        return failure(status, error);
    }
    let end = (0..=text.len().min(MAX_MESSAGE_BYTES))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0);
    Failure {
        status,
        kind: kind(status, ""),
        message: text[..end].to_owned(),
    }
}

/// `status` 0: taken from the error object, where some servers write it as `code` or `status_code`.
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
    let status = if status == 0 {
        stated.unwrap_or(0)
    } else {
        status
    };
    let words = ["code", "type"]
        .iter()
        .filter_map(|key| fields.string(key))
        .collect::<Vec<_>>()
        .join(" ");
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

/// A failure that is stated without a field `error`: `{"object": "error", "message": ...}` (vLLM), `{"detail": ...}` (FastAPI),
/// `{"message": ..., "code": ...}` and its like (proxies, Mistral). What has choices is an answer.
pub(super) fn bare_failure<'a>(source: &'a str, root: &Object<'a>) -> Option<Raw<'a>> {
    if root.get("choices").is_some() || root.get("error").is_some() {
        return None;
    }
    let states = |keys: &[&str]| keys.iter().any(|key| root.get(key).is_some());
    let named = root.string("object").as_deref() == Some("error");
    if named || (states(&["message"]) && states(&["code", "status", "status_code", "type"])) {
        return Raw::of(source).ok();
    }
    root.get("detail").or_else(|| root.get("error_message"))
}
