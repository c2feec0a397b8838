//! Facts of a chunk, body or error as pieces.

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::openai_chat::fact::{Fact, Form};
use crate::dialect::openai_chat::fields;
use crate::dialect::openai_chat::undecodable::undecodable;
use crate::dialect::sse::Frame;
use crate::dialect::{CallPart, Failure, Finish, Identity, Piece, Undecodable, usage};
use crate::event::{FailureKind, Usage};

/// What ends a stream.
const TERMINATOR: &str = "[DONE]";
/// Fields of a chunk that says nothing but usage.
const BESIDE_USAGE: &[&str] = &[
    "id",
    "object",
    "created",
    "model",
    "provider",
    "service_tier",
    "system_fingerprint",
    "obfuscation",
    "usage",
    "x_groq",
    "timings",
    "metrics",
];
/// Longer bodies that are no error object (an HTML page of a proxy) are cut to this many bytes.
const MAX_MESSAGE_BYTES: usize = 2048;

/// The data of a frame as a chunk's JSON; `None` for comments, blank frames and the terminator, which have none.
pub(super) fn chunk(frame: &Frame) -> Result<Option<&str>, Undecodable> {
    let Some(data) = &frame.data else {
        return Ok(None);
    };
    let data = utf8(data)?.trim_ascii();
    Ok((!data.is_empty() && data != TERMINATOR).then_some(data))
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Undecodable> {
    std::str::from_utf8(bytes).map_err(|error| undecodable("the response", error))
}

pub(super) fn frame(
    frame: &Frame,
    identity: &mut Identity,
    out: &mut Vec<Piece>,
) -> Result<(), Undecodable> {
    match chunk(frame)? {
        Some(source) => pieces(source, Form::Frame, identity, out),
        None => {
            if frame
                .data
                .as_ref()
                .is_some_and(|data| data.trim_ascii() == TERMINATOR.as_bytes())
            {
                out.push(Piece::End);
            }
            Ok(())
        }
    }
}

pub(super) fn body(
    body: &[u8],
    identity: &mut Identity,
    out: &mut Vec<Piece>,
) -> Result<(), Undecodable> {
    pieces(utf8(body)?, Form::Body, identity, out)?;
    out.push(Piece::End);
    Ok(())
}

fn pieces(
    source: &str,
    form: Form,
    identity: &mut Identity,
    out: &mut Vec<Piece>,
) -> Result<(), Undecodable> {
    fields::walk(source, form, &mut |fact| match fact {
        Fact::Id(value) => learn(&mut identity.id, value),
        Fact::Model(value) => learn(&mut identity.model, value),
        Fact::Created(value) => identity.created = value.get().parse().unwrap_or(identity.created),
        Fact::ReasoningField(name) => identity.reasoning_field = Some(name),
        Fact::Text {
            place,
            text,
            generated,
            ..
        } => out.push(Piece::Text {
            place,
            text: text.into_owned(),
            generated,
        }),
        Fact::Call(part) => out.push(Piece::Call(CallPart {
            choice: part.choice,
            slot: part.slot,
            kind: part.kind,
            id: part.id.map(|id| id.into_owned()),
            name: part.name.map(|name| name.into_owned()),
            arguments: part.arguments.into_owned(),
        })),
        Fact::Beside(_) => out.push(Piece::Beside),
        Fact::Finish { choice, reason, .. } => out.push(Piece::Finish {
            choice,
            reason: reason.into_owned(),
        }),
        Fact::Usage(value) => out.extend(usage(value).map(Piece::Usage)),
        Fact::Error(value) => out.push(Piece::Error(failure(0, value))),
        Fact::Repeat { .. } | Fact::Role(_) => {}
    })
}

/// Keeps what the stream says of itself. Nearly all chunks say the same again: no allocation for those. Some servers
/// leave it empty in chunks of another kind.
fn learn(known: &mut String, value: Raw<'_>) {
    if let Some(said) =
        json::string(value).filter(|said| !said.is_empty() && *said != known.as_str())
    {
        *known = said.into_owned();
    }
}

/// Whether the frame has usage, no choice and no text.
pub(super) fn is_usage_only(frame: &Frame) -> bool {
    let Ok(Some(source)) = chunk(frame) else {
        return false;
    };
    let Ok(root) = Object::parse(source) else {
        return false;
    };
    let says = |(key, value): &(json::Key<'_>, Raw<'_>)| match key.as_str() {
        "choices" => json::array(*value).map_or(true, |choices| !choices.is_empty()),
        name => !json::is_null(*value) && !BESIDE_USAGE.contains(&name),
    };
    let mut has_usage = false;
    let walked = fields::walk(source, Form::Frame, &mut |fact| {
        has_usage |= matches!(fact, Fact::Usage(_));
    });
    walked.is_ok() && has_usage && !root.0.iter().any(says)
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

fn usage(value: Raw<'_>) -> Option<Usage> {
    usage::read(&serde_json::from_str(value.get()).ok()?)
}

/// The failure that an error body states, or its text where it is of no known form.
pub(super) fn error_body(status: u16, body: &[u8]) -> Failure {
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
fn failure(status: u16, error: Raw<'_>) -> Failure {
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
