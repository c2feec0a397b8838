//! The model's own turn, put together from lines and written again into a request.
//!
//! A thinking model (gpt-oss, Qwen) is to have its thought again when its calls are answered. Fields that nobody knows go back
//! with it; the calls are written anew, from their names and the arguments that were judged.

use serde_json::{Map, Value, json};

use crate::dialect::ToolCallView;
use crate::dialect::ollama::shape::Shape;
use crate::dialect::own::OwnTurn;

/// Reads a line, or a body, into the turn. An answer that is no message is never gone on with.
pub(super) fn gather(shape: &Shape, payload: &[u8], turn: &mut OwnTurn) {
    let Some(field) = shape.message else {
        return turn.give_up();
    };
    let payload = payload.trim_ascii();
    if payload.is_empty() || !turn.takes(payload.len()) {
        return;
    }
    let Ok(Value::Object(mut root)) = serde_json::from_slice(payload) else {
        return turn.give_up();
    };
    if let Some(Value::Object(mut message)) = root.shift_remove(field) {
        message.shift_remove("tool_calls");
        join(&mut turn.message, message);
    }
}

/// Adds what a line says of a message to what lines before it said: text goes on, lists grow, all else is said again.
pub(super) fn join(known: &mut Map<String, Value>, more: Map<String, Value>) {
    for (key, value) in more {
        match (known.get_mut(&key), value) {
            (_, Value::Null) => {}
            (Some(Value::String(known)), Value::String(more)) if key != "role" => {
                known.push_str(&more);
            }
            (Some(Value::Array(known)), Value::Array(more)) => known.extend(more),
            (_, value) => drop(known.insert(key, value)),
        }
    }
}

/// The turn as a message: the model's own where it is known, with what was `said` of it.
pub(super) fn turn(said: &str, own: Option<&str>, calls: &[(ToolCallView, String)]) -> String {
    let own = own.and_then(|own| serde_json::from_str::<Map<String, Value>>(own).ok());
    let mut message = Map::new();
    message.insert("role".to_owned(), json!("assistant"));
    message.extend(own.unwrap_or_default());
    message.insert("role".to_owned(), json!("assistant"));
    // A policy may have changed what was said: that is what was judged.
    message.insert("content".to_owned(), json!(said));
    if !calls.is_empty() {
        let calls: Vec<Value> = calls.iter().map(|(call, _)| call_value(call)).collect();
        message.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    Value::Object(message).to_string()
}

/// A call as a message bears it. What is no object, as models write it now and then, is carried as the one argument it is.
pub(super) fn call_value(call: &ToolCallView) -> Value {
    let arguments = match serde_json::from_str::<Value>(&call.arguments) {
        Ok(Value::Object(arguments)) => Value::Object(arguments),
        _ if call.arguments.trim().is_empty() => json!({}),
        _ => json!({ "arguments": call.arguments }),
    };
    json!({ "function": { "name": call.name, "arguments": arguments } })
}

/// The result of a call as a message: matched by the name of the tool, and by the order.
pub(super) fn result(call: &ToolCallView, text: &str) -> String {
    json!({ "role": "tool", "tool_name": call.name, "content": text }).to_string()
}
