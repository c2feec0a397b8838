//! What Airlock itself says to a client.
//!
//! Measured with the `openai` package 3.52: a chunk with `error` raises `APIError`; a finish reason of `content_filter` or
//! `length` ends a plain stream like any other and makes the `.stream()` helper raise `ContentFilterFinishReasonError` or
//! `LengthFinishReasonError`; the field `airlock` is readable on chunk and body; the end of the connection without any of
//! these passes for success, so that is never how a stream is ended.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::mark::{MARK, mark};
use crate::dialect::openai::{TERMINATOR, error_frame, finish_reason, frame, usage};
use crate::dialect::{ClientError, Closing, EditError, Ending, Finish, Identity, Piece, Slot};
use crate::event::{Channel, Place, Usage};

/// Where most servers write reasoning.
pub(super) const REASONING: &str = "reasoning_content";

pub(super) fn text_frame(
    identity: &Identity,
    place: Place,
    text: &str,
) -> Result<Bytes, EditError> {
    let delta = match place.channel {
        Channel::Output => json!({ "content": text }),
        Channel::Reasoning => json!({ identity.reasoning_field.unwrap_or(REASONING): text }),
        Channel::Refusal => json!({ "refusal": text }),
        Channel::ToolArguments => {
            json!({ "tool_calls": [{ "index": place.item, "function": { "arguments": text } }] })
        }
        Channel::Other | Channel::Message | Channel::ToolResult => {
            return Err(EditError::at(
                place,
                "no one field bears the text of this channel",
            ));
        }
    };
    Ok(frame(&chunk(identity, json!([choice(place.choice, delta, None)]))).into())
}

/// The first frame of a stream: who speaks.
pub(super) fn role_frame(identity: &Identity) -> Bytes {
    let delta = json!({ "role": "assistant", "content": "" });
    frame(&chunk(identity, json!([choice(0, delta, None)]))).into()
}

/// A piece of another API's answer, as a chunk.
pub(super) fn piece(
    identity: &Identity,
    piece: &Piece,
    finish: Finish,
) -> Result<Bytes, EditError> {
    let said = match piece {
        Piece::Text { place, text, .. } => return text_frame(identity, *place, text),
        Piece::Call(part) => {
            let index = match part.slot {
                Slot::Index(index) => index,
                _ => {
                    let place = Place::new(Channel::ToolArguments, part.choice, 0);
                    return Err(EditError::at(place, "the call has no number"));
                }
            };
            let mut call = json!({ "index": index, "function": { "arguments": part.arguments } });
            if let Some(id) = &part.id {
                call["id"] = json!(id);
                call["type"] = json!("function");
            }
            if let Some(name) = &part.name {
                call["function"]["name"] = json!(name);
            }
            let delta = json!({ "tool_calls": [call] });
            chunk(identity, json!([choice(part.choice, delta, None)]))
        }
        Piece::Finish {
            choice: index,
            reason,
        } => {
            let reason = match finish {
                Finish::Stop => "stop",
                Finish::Length => "length",
                Finish::ToolCalls => "tool_calls",
                Finish::Filtered => "content_filter",
                Finish::Other => reason,
            };
            chunk(identity, json!([choice(*index, json!({}), Some(reason))]))
        }
        Piece::Usage(counted) => {
            let mut last = chunk(identity, json!([]));
            last["usage"] = usage(*counted);
            last
        }
        Piece::Error(failure) => {
            let error = ClientError {
                status: failure.status,
                kind: failure.kind,
                message: failure.message.clone(),
                code: "airlock_upstream".to_owned(),
                origin: None,
            };
            return Ok(error_frame(&error));
        }
        Piece::Beside => return Ok(Bytes::new()),
        Piece::End => return Ok(TERMINATOR.into()),
    };
    Ok(frame(&said).into())
}

pub(super) fn close_stream(identity: &Identity, closing: &Closing<'_>) -> Bytes {
    let mut out = String::new();
    for &index in closing.open {
        let delta = match (closing.begun, closing.refusal, closing.text) {
            (true, _, "") => continue,
            (false, false, text) => json!({ "role": "assistant", "content": text }),
            (false, true, text) => json!({ "role": "assistant", "refusal": text }),
            (true, false, text) => json!({ "content": text }),
            (true, true, text) => json!({ "refusal": text }),
        };
        out.push_str(&frame(&chunk(
            identity,
            json!([choice(index, delta, None)]),
        )));
    }
    let reason = finish_reason(closing.ending);
    for &index in closing.open {
        let last = chunk(identity, json!([choice(index, json!({}), Some(reason))]));
        out.push_str(&frame(&marked(last, closing.ending)));
    }
    if let Some(counted) = closing.usage {
        let mut last = chunk(identity, json!([]));
        last["usage"] = usage(counted);
        out.push_str(&frame(&last));
    }
    out.push_str(TERMINATOR);
    out.into()
}

pub(super) fn answer_body(
    identity: &Identity,
    text: &str,
    refusal: bool,
    ending: &Ending,
    counted: Usage,
) -> Vec<u8> {
    let message = match refusal {
        true => json!({ "role": "assistant", "content": null, "refusal": text }),
        false => json!({ "role": "assistant", "content": text, "refusal": null }),
    };
    let body = json!({
        "id": identity.id,
        "object": "chat.completion",
        "created": identity.created,
        "model": identity.model,
        "choices": [{
            "index": 0,
            "message": message,
            "logprobs": null,
            "finish_reason": finish_reason(ending),
        }],
        "usage": usage(counted),
    });
    marked(body, ending).to_string().into_bytes()
}

fn marked(mut response: Value, ending: &Ending) -> Value {
    if let Some(mark) = mark(ending) {
        response[MARK] = mark;
    }
    response
}

fn chunk(identity: &Identity, choices: Value) -> Value {
    json!({
        "id": identity.id,
        "object": "chat.completion.chunk",
        "created": identity.created,
        "model": identity.model,
        "choices": choices,
    })
}

fn choice(index: u16, delta: Value, finish_reason: Option<&str>) -> Value {
    json!({ "index": index, "delta": delta, "logprobs": null, "finish_reason": finish_reason })
}

/// A request of Airlock's own.
pub(super) fn question(model: &str, system: &str, user: &str, max_tokens: u64) -> Vec<u8> {
    let body = json!({
        "model": model,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
        "max_completion_tokens": max_tokens,
    });
    body.to_string().into_bytes()
}
