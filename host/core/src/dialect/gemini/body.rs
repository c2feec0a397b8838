//! A response as Airlock writes one: a frame of a stream and a whole body have the same form.

use serde_json::{Map, Value, json};

use crate::dialect::Identity;

/// A response with these candidates, of this answer.
pub(super) fn response(identity: &Identity, candidates: Vec<Value>) -> Map<String, Value> {
    let mut response = Map::new();
    if !candidates.is_empty() {
        response.insert("candidates".to_owned(), Value::Array(candidates));
    }
    for (name, stated) in [
        ("modelVersion", &identity.model),
        ("responseId", &identity.id),
    ] {
        if !stated.is_empty() {
            response.insert(name.to_owned(), json!(stated));
        }
    }
    response
}

/// A candidate that says these parts.
pub(super) fn candidate(choice: u16, parts: Vec<Value>) -> Value {
    json!({"content": {"parts": parts, "role": "model"}, "index": choice})
}

/// A response as an event.
pub(super) fn event(response: &Value) -> String {
    format!("data: {response}\n\n")
}
