//! What Airlock itself says to a client: text, endings, errors, and what another API's upstream said.

use serde_json::{Value, json};

use crate::dialect::gemini::body::{candidate, response};
use crate::dialect::gemini::counted;
use crate::dialect::{ClientError, Closing, EditError, Ending, Finish, Identity, Origin};
use crate::event::{Channel, FailureKind, Place, Usage};

/// Top-level field that marks a partial result, and field of an error that says who decided it.
pub(super) const MARK: &str = "airlock";

/// The type of the detail of an error that is for programs.
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";

/// A response that adds text. The API has no place for a refusal.
pub(super) fn text(identity: &Identity, place: Place, text: &str) -> Result<Value, EditError> {
    let part = match place.channel {
        Channel::Output => json!({"text": text}),
        Channel::Reasoning => json!({"text": text, "thought": true}),
        _ => {
            return Err(EditError::at(
                place,
                "no one field bears the text of this channel",
            ));
        }
    };
    Ok(response(identity, vec![candidate(place.choice, vec![part])]).into())
}

/// Responses that bring a stream to an end: one for each open choice. A refusal stands where the API explains a finish, since
/// the content is where an answer of the form that was asked for is looked for.
pub(super) fn close(identity: &Identity, closing: &Closing<'_>) -> Vec<Value> {
    let mut said: Vec<Value> = Vec::new();
    for &choice in closing.open {
        let ended = ended(choice, closing.text, closing.refusal, closing.ending);
        let mut last = response(identity, vec![ended]);
        last.extend(mark(closing.ending).map(|mark| (MARK.to_owned(), mark)));
        said.push(last.into());
    }
    if let Some(usage) = closing.usage {
        if said.is_empty() {
            said.push(response(identity, Vec::new()).into());
        }
        if let Some(last) = said.last_mut() {
            last["usageMetadata"] = counted::written(usage);
        }
    }
    said
}

/// A whole body that answers with a text.
pub(super) fn answer(
    identity: &Identity,
    text: &str,
    refusal: bool,
    ending: &Ending,
    usage: Usage,
) -> Value {
    let mut body = response(identity, vec![ended(0, text, refusal, ending)]);
    body.insert("usageMetadata".to_owned(), counted::written(usage));
    body.extend(mark(ending).map(|mark| (MARK.to_owned(), mark)));
    body.into()
}

fn ended(choice: u16, text: &str, refusal: bool, ending: &Ending) -> Value {
    let said = if refusal { "" } else { text };
    let mut ended = candidate(choice, vec![json!({"text": said})]);
    ended["finishReason"] = json!(finish_reason(ending));
    if refusal && !text.is_empty() {
        ended["finishMessage"] = json!(text);
    }
    ended
}

/// A response that ends a choice, in the word that has this meaning.
pub(super) fn finish(identity: &Identity, choice: u16, finish: Finish, reason: &str) -> Value {
    let word = match finish {
        Finish::Stop | Finish::ToolCalls => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::Filtered => "SAFETY",
        Finish::Other => "OTHER",
    };
    let mut ended = candidate(choice, vec![json!({"text": ""})]);
    ended["finishReason"] = json!(word);
    if finish == Finish::Other {
        ended["finishMessage"] = json!(reason);
    }
    response(identity, vec![ended]).into()
}

/// The dialect's word for an ending.
pub(super) fn finish_reason(ending: &Ending) -> &'static str {
    match ending {
        Ending::Complete => "STOP",
        Ending::Refused => "SAFETY",
        Ending::Partial(_) => "MAX_TOKENS",
    }
}

/// Value of [`MARK`] for a partial result.
pub(super) fn mark(ending: &Ending) -> Option<Value> {
    let Ending::Partial(partial) = ending else {
        return None;
    };
    Some(json!({
        "partial": true,
        "reason": partial.reason,
        "confidence": partial.confidence,
        "policy": partial.policy,
    }))
}

/// An error, as a body and as a frame.
pub(super) fn error(error: &ClientError) -> Value {
    let mut object = json!({
        "code": error.status,
        "message": error.message,
        "status": word(error),
        "details": [{
            "@type": ERROR_INFO,
            "reason": error.code.to_ascii_uppercase(),
            "domain": MARK,
        }],
    });
    if let Some(Origin {
        code,
        policy,
        exchange,
    }) = &error.origin
    {
        object[MARK] = json!({"code": code, "policy": policy, "exchange": exchange});
    }
    json!({ "error": object })
}

/// The word of `google.rpc.Code` for an error.
fn word(error: &ClientError) -> &'static str {
    match (error.kind, error.status) {
        (FailureKind::RateLimit, _) | (_, 429) => "RESOURCE_EXHAUSTED",
        (FailureKind::Overloaded, _) | (_, 502 | 503) => "UNAVAILABLE",
        (FailureKind::Timeout, _) | (_, 408 | 504) => "DEADLINE_EXCEEDED",
        (FailureKind::Cancelled, _) | (_, 499) => "CANCELLED",
        (_, 401) => "UNAUTHENTICATED",
        (_, 403) => "PERMISSION_DENIED",
        (_, 404) => "NOT_FOUND",
        (_, 409) => "ABORTED",
        (_, 501) => "UNIMPLEMENTED",
        // A budget that is used up: a repetition meets the same.
        (_, 402) => "FAILED_PRECONDITION",
        (_, 400..=499) => "INVALID_ARGUMENT",
        _ => "INTERNAL",
    }
}
