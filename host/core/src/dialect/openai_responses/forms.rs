//! Objects that Airlock makes: responses, messages, usage, the mark of a partial result.

use serde_json::{Map, Value, json};

use crate::dialect::openai_responses::error::MARK;
use crate::dialect::{Ending, Identity};
use crate::event::Usage;

/// A response with all fields that the API's own always have.
pub(super) fn response(identity: &Identity, status: &str) -> Value {
    json!({
        "id": identity.id,
        "object": "response",
        "created_at": identity.created,
        "status": status,
        "error": null,
        "incomplete_details": null,
        "instructions": null,
        "max_output_tokens": null,
        "metadata": {},
        "model": identity.model,
        "output": [],
        "parallel_tool_calls": true,
        "previous_response_id": null,
        "temperature": null,
        "text": { "format": { "type": "text" } },
        "tool_choice": "auto",
        "tools": [],
        "top_p": null,
        "truncation": "disabled",
        "usage": null,
    })
}

/// Id of an item of a response. The API takes back none that is longer than 64 bytes.
pub(super) fn item_id(prefix: &str, response: &str, suffix: &str) -> String {
    const LONGEST: usize = 48;
    let own = response.strip_prefix("resp_").unwrap_or(response);
    let from = own.ceil_char_boundary(own.len().saturating_sub(LONGEST));
    format!("{prefix}_{}_{suffix}", own.get(from..).unwrap_or_default())
}

/// A message of the model with one part.
pub(super) fn message(id: &str, text: &str, refusal: bool) -> Value {
    json!({
        "id": id,
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [part(if refusal { "refusal" } else { "output_text" }, text)],
    })
}

/// A part of a message or thought.
pub(super) fn part(shape: &str, text: &str) -> Value {
    match shape {
        "refusal" => json!({ "type": "refusal", "refusal": text }),
        "output_text" => {
            json!({ "type": "output_text", "annotations": [], "logprobs": [], "text": text })
        }
        shape => json!({ "type": shape, "text": text }),
    }
}

pub(super) fn usage(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "input_tokens_details": { "cached_tokens": usage.cached },
        "output_tokens": usage.output,
        "output_tokens_details": { "reasoning_tokens": usage.reasoning },
        "total_tokens": usage.total(),
    })
}

/// Name of the event that ends a stream so.
pub(super) fn last_event(ending: &Ending) -> &'static str {
    match ending {
        Ending::Complete => "response.completed",
        Ending::Refused | Ending::Partial(_) => "response.incomplete",
    }
}

/// State of items that end with the answer.
pub(super) fn status(ending: &Ending) -> &'static str {
    match ending {
        Ending::Complete => "completed",
        Ending::Refused | Ending::Partial(_) => "incomplete",
    }
}

/// The fields of a response that say how it ended.
pub(super) fn ended(ending: &Ending) -> Map<String, Value> {
    let reason = match ending {
        Ending::Complete => None,
        Ending::Refused => Some("content_filter"),
        Ending::Partial(_) => Some("max_output_tokens"),
    };
    let mut fields = Map::new();
    fields.insert("status".to_owned(), status(ending).into());
    let details = reason.map(|reason| json!({ "reason": reason }));
    fields.insert("incomplete_details".to_owned(), details.unwrap_or_default());
    if let Ending::Partial(partial) = ending {
        let mark = json!({
            "partial": true,
            "reason": partial.reason,
            "confidence": partial.confidence,
            "policy": partial.policy,
        });
        fields.insert(MARK.to_owned(), mark);
    }
    fields
}
