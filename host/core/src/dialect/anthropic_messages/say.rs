//! What Airlock itself says to a client.
//!
//! Measured with the `anthropic` package 2.11: an `error` event raises `APIStatusError`; a stop reason of `refusal` ends a
//! stream like any other; data without a line that names its event is skipped, an error too; the end of the connection
//! without any of these passes for success, so that is never how a stream is ended.

use serde_json::{Value, json};

use super::edit::usage;
use super::failure;
use super::frames::framed;
use crate::dialect::{ClientError, Ending, Identity, Origin};
use crate::event::Usage;

/// Top-level field that marks a partial result.
pub(super) const MARK: &str = "airlock";
/// The model calls tools.
pub(super) const TOOL_USE: &str = "tool_use";
/// The model had said what it wanted to say.
pub(super) const END_TURN: &str = "end_turn";
/// A limit of tokens.
pub(super) const MAX_TOKENS: &str = "max_tokens";
/// The model or a filter refuses.
pub(super) const REFUSAL: &str = "refusal";

/// What begins a message.
pub(super) fn start(identity: &Identity) -> String {
    let mut message = message(identity);
    message["usage"] = json!({ "input_tokens": 0, "output_tokens": 0 });
    event("message_start", json!({ "message": message }))
}

/// What begins a block.
pub(super) fn begin(index: u32, block: Value) -> String {
    event(
        "content_block_start",
        json!({ "index": index, "content_block": block }),
    )
}

/// What adds to one.
pub(super) fn add(index: u32, delta: Value) -> String {
    event(
        "content_block_delta",
        json!({ "index": index, "delta": delta }),
    )
}

/// A part of a call's input.
pub(super) fn input(index: u32, arguments: &str) -> String {
    add(
        index,
        json!({ "type": "input_json_delta", "partial_json": arguments }),
    )
}

/// A part of a text.
pub(super) fn text(index: u32, text: &str) -> String {
    add(index, json!({ "type": "text_delta", "text": text }))
}

/// What ends a block.
pub(super) fn stop(index: u32) -> String {
    event("content_block_stop", json!({ "index": index }))
}

/// What ends a message. `explanation` is of a refusal.
pub(super) fn end(
    reason: &str,
    explanation: Option<&str>,
    counted: Usage,
    mark: Option<Value>,
) -> String {
    let mut fields = json!({
        "delta": { "stop_reason": reason, "stop_sequence": null },
        "usage": usage(counted),
    });
    if let Some(explanation) = explanation {
        fields["delta"]["stop_details"] = details(explanation);
    }
    if let Some(mark) = mark {
        fields[MARK] = mark;
    }
    event("message_delta", fields)
}

/// What follows it, and ends the stream.
pub(super) fn message_stop() -> String {
    event("message_stop", json!({}))
}

/// The answer in one text, or a refusal with it: that stands beside the content, so that no client takes it for the answer
/// whose form it asked for.
pub(super) fn answer(
    identity: &Identity,
    text: &str,
    refusal: bool,
    ending: &Ending,
    counted: Usage,
) -> Vec<u8> {
    let mut body = message(identity);
    if refusal {
        body["stop_details"] = details(text);
    } else if !text.is_empty() {
        body["content"] = json!([{ "type": "text", "text": text }]);
    }
    body["stop_reason"] = json!(stop_reason(ending));
    body["usage"] = usage(counted);
    if let Some(mark) = mark(ending) {
        body[MARK] = mark;
    }
    body.to_string().into_bytes()
}

fn message(identity: &Identity) -> Value {
    json!({
        "id": identity.id,
        "type": "message",
        "role": "assistant",
        "model": identity.model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
    })
}

fn details(explanation: &str) -> Value {
    json!({ "type": "refusal", "category": null, "explanation": explanation })
}

/// No end of the message follows: to a client that overlooked the error it would be the mark of success.
pub(super) fn error_event(error: &ClientError) -> String {
    framed("error", &error_object(error).to_string())
}

pub(super) fn error_body(error: &ClientError) -> Vec<u8> {
    error_object(error).to_string().into_bytes()
}

fn error_object(error: &ClientError) -> Value {
    let mut object = json!({
        "type": failure::word(error.kind, error.status),
        "message": error.message,
        "details": { "error_code": error.code },
    });
    if let Some(Origin {
        code,
        policy,
        exchange,
    }) = &error.origin
    {
        object[MARK] = json!({ "code": code, "policy": policy, "exchange": exchange });
    }
    json!({ "type": "error", "error": object })
}

/// The dialect's word for an ending.
pub(super) fn stop_reason(ending: &Ending) -> &'static str {
    match ending {
        Ending::Complete => END_TURN,
        Ending::Refused => REFUSAL,
        Ending::Partial(_) => MAX_TOKENS,
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

/// A request of Airlock's own.
pub(super) fn question(model: &str, system: &str, user: &str, max_tokens: u64) -> Vec<u8> {
    let body = json!({
        "model": model,
        "max_tokens": max_tokens,
        "system": system,
        "messages": [{ "role": "user", "content": user }],
    });
    body.to_string().into_bytes()
}

fn event(name: &str, fields: Value) -> String {
    let mut event = json!({ "type": name });
    if let (Some(event), Value::Object(fields)) = (event.as_object_mut(), fields) {
        event.extend(fields);
    }
    framed(name, &event.to_string())
}
