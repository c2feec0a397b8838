//! Facts of a frame, body or error as pieces.

use crate::dialect::gemini::calls::Calls;
use crate::dialect::gemini::counted;
use crate::dialect::gemini::fact::{Fact, Form};
use crate::dialect::gemini::fields::Fields;
use crate::dialect::gemini::undecodable::utf8;
use crate::dialect::gemini::walk::walk;
use crate::dialect::json::{self, Raw};
use crate::dialect::sse::Frame;
use crate::dialect::{Failure, Finish, Identity, Piece, Undecodable};
use crate::event::FailureKind;

/// Longer bodies that are no error object (an HTML page of a proxy) are cut to this many bytes.
const MAX_MESSAGE_BYTES: usize = 2048;

/// Of a prompt that is too long for the model.
const TOO_LONG: &str = "exceeds the maximum number of tokens";

/// The data of a frame as JSON; `None` for what has none.
pub(super) fn data(frame: &Frame) -> Result<Option<&str>, Undecodable> {
    let Some(data) = &frame.data else {
        return Ok(None);
    };
    let data = utf8(data)?.trim_ascii();
    Ok((!data.is_empty()).then_some(data))
}

/// What a frame or body says.
pub(super) fn pieces(
    source: &str,
    form: Form,
    calls: &mut Calls,
    identity: &mut Identity,
    out: &mut Vec<Piece>,
) -> Result<(), Undecodable> {
    let (mut finished, mut wrong) = (Vec::new(), None);
    walk(source, form, &mut |fact| match fact {
        Fact::Id(value) => learn(&mut identity.id, value),
        Fact::Model(value) => learn(&mut identity.model, value),
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
        Fact::Call(call) if wrong.is_none() => match calls.part(form, &call) {
            Ok(part) => out.push(Piece::Call(part)),
            Err(error) => wrong = Some(error),
        },
        Fact::Finish { choice, reason, .. } => {
            finished.push(choice);
            out.push(Piece::Finish {
                choice,
                reason: reason.into_owned(),
            });
        }
        Fact::Usage(value) => out.extend(counted::read(value).map(Piece::Usage)),
        Fact::Error(value) => out.push(Piece::Error(failure(0, value))),
        Fact::Call(_) | Fact::Media | Fact::Repeat { .. } => {}
    })?;
    // A finish may stand before the calls of its candidate.
    let unfinished = finished
        .into_iter()
        .find_map(|choice| calls.finish(choice).err());
    wrong.or(unfinished).map_or(Ok(()), Err)
}

/// Keeps what the answer states of itself. Nearly all frames state the same again.
fn learn(known: &mut String, value: Raw<'_>) {
    if let Some(said) =
        json::string(value).filter(|said| !said.is_empty() && *said != known.as_str())
    {
        *known = said.into_owned();
    }
}

/// Whether the frame has usage, no candidate and no text.
pub(super) fn is_usage_only(frame: &Frame) -> bool {
    let Ok(Some(source)) = data(frame) else {
        return false;
    };
    let (mut usage, mut more) = (false, false);
    let walked = walk(source, Form::Frame, &mut |fact| match fact {
        Fact::Usage(_) => usage = true,
        Fact::Id(_) | Fact::Model(_) => {}
        _ => more = true,
    });
    let candidates = Fields::parse(source, "")
        .ok()
        .and_then(|root| root.get("candidates"));
    let none = candidates.is_none_or(|list| json::array(list).is_ok_and(|list| list.is_empty()));
    walked.is_ok() && usage && !more && none
}

/// What a finish reason means, of a candidate or of a prompt.
pub(super) fn meaning(reason: &str) -> Finish {
    match reason {
        "STOP" => Finish::Stop,
        "MAX_TOKENS" => Finish::Length,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "JAILBREAK"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => Finish::Filtered,
        _ => Finish::Other,
    }
}

/// The failure that an error body states, or its text where it is of no known form. The error of a stream that is no
/// stream of events is the element of a list.
pub(super) fn error_body(status: u16, body: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(body);
    let value = Raw::of(&text)
        .ok()
        .and_then(|value| match json::first_byte(value) {
            b'[' => json::array(value).ok()?.into_iter().next(),
            _ => Some(value),
        });
    let error = value.and_then(|value| Fields::of(value, &String::new).ok()?.get("error"));
    if let Some(error) = error {
        return failure(status, error);
    }
    let end = text.floor_char_boundary(text.len().min(MAX_MESSAGE_BYTES));
    Failure {
        status,
        kind: kind(status, "", ""),
        message: text.get(..end).unwrap_or_default().to_owned(),
    }
}

/// `status` 0: taken from the error object.
fn failure(status: u16, error: Raw<'_>) -> Failure {
    let Ok(fields) = Fields::of(error, &String::new) else {
        let message =
            json::string(error).map_or_else(|| error.get().to_owned(), |text| text.into_owned());
        let kind = kind(status, "", &message);
        return Failure {
            status,
            kind,
            message,
        };
    };
    let stated = fields.get("code").and_then(json::integer);
    let stated = stated
        .and_then(|code| u16::try_from(code).ok())
        .unwrap_or(0);
    let status = if status == 0 { stated } else { status };
    let word = fields.string("status").unwrap_or_default();
    let message = fields.string("message");
    let message = message.map_or_else(|| error.get().to_owned(), |text| text.into_owned());
    Failure {
        status,
        kind: kind(status, &word, &message),
        message,
    }
}

/// The API's word decides before the status: a prompt that is too long and a malformed request are both 400.
fn kind(status: u16, word: &str, message: &str) -> FailureKind {
    match (word, status) {
        ("INVALID_ARGUMENT", _) if message.contains(TOO_LONG) => FailureKind::ContextLength,
        ("RESOURCE_EXHAUSTED", _) | (_, 429) => FailureKind::RateLimit,
        ("UNAVAILABLE", _) | (_, 503 | 529) => FailureKind::Overloaded,
        ("DEADLINE_EXCEEDED", _) | (_, 408 | 504) => FailureKind::Timeout,
        ("CANCELLED", _) | (_, 499) => FailureKind::Cancelled,
        _ => FailureKind::Upstream,
    }
}
