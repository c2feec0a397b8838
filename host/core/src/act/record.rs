//! What the timeline keeps of an order.
//!
//! A policy may order as often and as much as it likes, and an order that is refused costs it nothing: what is kept of those
//! is bounded, or one policy fills the memory and the disk with words that changed nothing. What was carried out is kept
//! whole, as it explains what the client or the model got.
//! No text is cut in two: redaction looks for whole secrets, and would not know half of one.

use serde_json::{Map, Value, json};

use super::name::{arguments, name};
use crate::event::size::json_bytes;
use airlock_policy::contract::types::Action;

/// Bytes of JSON of an argument that is kept where the order was not carried out.
const MAX_ARGUMENT: usize = 256;
/// Bytes of arguments of one such order.
const MAX_ORDER: usize = 2 * 1024;
/// Bytes of arguments of all such orders of an exchange. Ten thousand of them come to this, and 300 bytes for each.
const MAX_EXCHANGE: usize = 256 * 1024;
/// Bytes of a name that is not the contract's own, and of a reason.
const MAX_NAME: usize = 64;
const MAX_REASON: usize = 1024;

/// Room that an exchange has left for orders that were not carried out.
#[derive(Clone, Copy, Debug)]
pub struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(MAX_EXCHANGE)
    }
}

impl Room {
    /// The arguments of an order that was not carried out: those that are small, and of the others how many bytes they had.
    pub fn arguments(&mut self, action: &Action) -> Value {
        let whole = arguments(action);
        let bytes = json_bytes(&whole);
        let kept = match &whole {
            Value::Object(fields) if bytes > MAX_ORDER => Value::Object(small(fields)),
            _ => whole,
        };
        let size = json_bytes(&kept);
        if size > MAX_ORDER || size > self.0 {
            return json!({ "bytes": bytes });
        }
        self.0 -= size;
        kept
    }
}

fn small(fields: &Map<String, Value>) -> Map<String, Value> {
    let kept = fields.iter().map(|(name, value)| {
        let bytes = json_bytes(value);
        let value = match bytes > MAX_ARGUMENT {
            true => json!({ "bytes": bytes }),
            false => value.clone(),
        };
        (name.clone(), value)
    });
    kept.collect()
}

/// The action's name, bounded: an unknown one has the name that the policy gave it.
pub fn bounded_name(action: &Action) -> &str {
    up_to(name(action), MAX_NAME)
}

/// Why it was not carried out, bounded: it may quote what was ordered.
pub fn bounded_reason(reason: String) -> String {
    match reason.len() > MAX_REASON {
        true => format!("{} … ({} bytes)", up_to(&reason, MAX_REASON), reason.len()),
        false => reason,
    }
}

fn up_to(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_policy::contract::types as wit;

    fn rewrite(arguments: usize) -> Action {
        Action::RewriteToolCall(wit::ToolRewrite {
            call: "c1".to_owned(),
            content: "x".repeat(arguments),
        })
    }

    #[test]
    fn of_a_refused_order_what_is_small_is_kept_and_of_the_rest_its_size() {
        let mut room = Room::default();
        let kept = room.arguments(&rewrite(1000));
        assert_eq!(kept["content"].as_str().map(str::len), Some(1000));
        let kept = room.arguments(&rewrite(100_000));
        assert_eq!(kept, json!({"call": "c1", "content": {"bytes": 100_002}}));
        // Many small ones are one big one.
        let set = (0..5000).map(|n| (n.to_string(), "1".to_owned())).collect();
        let scope = wit::Scope::Session;
        let kept = room.arguments(&Action::SetParameters(wit::Parameters {
            fields: set,
            scope,
        }));
        assert!(json_bytes(&kept) < 200, "{kept}");
        // An action that nobody knows.
        let other = Action::Other(("n".repeat(1000), "y".repeat(100_000)));
        assert!(json_bytes(&room.arguments(&other)) < 200);
        assert_eq!(bounded_name(&other).len(), MAX_NAME);
        assert!(bounded_reason("é".repeat(100_000)).len() < MAX_REASON + 64);
    }

    #[test]
    fn ten_thousand_refused_orders_stay_within_a_bound() {
        let mut room = Room::default();
        for size in [1_500, 60_000] {
            let kept: usize = (0..10_000)
                .map(|_| json_bytes(&room.arguments(&rewrite(size))))
                .sum();
            assert!(kept < MAX_EXCHANGE + 10_000 * 32, "{kept} bytes of {size}");
        }
    }
}
