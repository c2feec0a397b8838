//! The field in which a response or an error says what Airlock did to it, the same in all wire APIs.

use serde_json::{Value, json};

use super::client_error::Origin;
use super::edits::Ending;

/// Name of the field.
pub(super) const MARK: &str = "airlock";

/// Its value for a partial result.
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

/// Its value in an error that somebody decided.
pub(super) fn decided(origin: &Origin) -> Value {
    let Origin {
        code,
        policy,
        exchange,
    } = origin;
    json!({ "code": code, "policy": policy, "exchange": exchange })
}
