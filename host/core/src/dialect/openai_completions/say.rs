//! What Airlock itself says to a client, and what the upstream of another API said.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::mark::{MARK, mark};
use crate::dialect::openai::{TERMINATOR, error_frame, finish_reason, frame, usage};
use crate::dialect::{ClientError, Closing, EditError, Ending, Finish, Identity, Piece};
use crate::event::{Channel, Place, Usage};

/// Where servers write what a model thought.
pub(super) const REASONING: &str = "reasoning_content";

/// A chunk that adds text. There is no field for a refusal: it is said like any text.
pub(super) fn text(identity: &Identity, place: Place, text: &str) -> Result<Bytes, EditError> {
    let mut said = choice(place.choice, "", None);
    match place.channel {
        Channel::Output | Channel::Refusal => said["text"] = json!(text),
        Channel::Reasoning => said[REASONING] = json!(text),
        _ => {
            let what = "no one field bears the text of this channel";
            return Err(EditError::at(place, what));
        }
    }
    Ok(frame(&chunk(identity, json!([said]))).into())
}

/// A piece of another API's answer, as a chunk.
pub(super) fn piece(
    identity: &Identity,
    piece: &Piece,
    finish: Finish,
) -> Result<Bytes, EditError> {
    let said = match piece {
        Piece::Text {
            place, text: said, ..
        } => return text(identity, *place, said),
        Piece::Call(part) => {
            let place = Place::new(Channel::ToolArguments, part.choice, 0);
            return Err(EditError::at(place, "the API has no calls"));
        }
        Piece::Finish {
            choice: index,
            reason,
        } => {
            let reason = match finish {
                // There are no calls.
                Finish::Stop | Finish::ToolCalls => "stop",
                Finish::Length => "length",
                Finish::Filtered => "content_filter",
                Finish::Other => reason,
            };
            chunk(identity, json!([choice(*index, "", Some(reason))]))
        }
        Piece::Usage(counted) => usage_chunk(identity, *counted),
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

/// Frames that bring a stream to its end.
pub(super) fn close(identity: &Identity, closing: &Closing<'_>) -> Bytes {
    let mut out = String::new();
    if !closing.text.is_empty() {
        for &index in closing.open {
            let said = choice(index, closing.text, None);
            out.push_str(&frame(&chunk(identity, json!([said]))));
        }
    }
    for &index in closing.open {
        let end = choice(index, "", Some(finish_reason(closing.ending)));
        let last = marked(chunk(identity, json!([end])), closing.ending);
        out.push_str(&frame(&last));
    }
    if let Some(counted) = closing.usage {
        out.push_str(&frame(&usage_chunk(identity, counted)));
    }
    out.push_str(TERMINATOR);
    out.into()
}

/// A whole body that answers with a text.
pub(super) fn answer(identity: &Identity, text: &str, ending: &Ending, counted: Usage) -> Vec<u8> {
    let said = choice(0, text, Some(finish_reason(ending)));
    let mut body = chunk(identity, json!([said]));
    body["usage"] = usage(counted);
    marked(body, ending).to_string().into_bytes()
}

fn marked(mut response: Value, ending: &Ending) -> Value {
    if let Some(mark) = mark(ending) {
        response[MARK] = mark;
    }
    response
}

fn usage_chunk(identity: &Identity, counted: Usage) -> Value {
    let mut last = chunk(identity, json!([]));
    last["usage"] = usage(counted);
    last
}

/// A chunk is called what a whole answer is.
fn chunk(identity: &Identity, choices: Value) -> Value {
    json!({
        "id": identity.id,
        "object": "text_completion",
        "created": identity.created,
        "model": identity.model,
        "choices": choices,
    })
}

fn choice(index: u16, text: &str, finish_reason: Option<&str>) -> Value {
    json!({ "text": text, "index": index, "logprobs": null, "finish_reason": finish_reason })
}
