//! What policies order here.

use serde_json::{Value, json};

use crate::guests::Guest;
use crate::support::*;

pub fn on_request(actions: &[Value]) -> Guest {
    ordering(wakes(json!([{"event": "request"}])), actions)
}

pub fn stop(keep_held: bool) -> Value {
    json!({"stop": {"reason": "enough", "confidence": 0.25, "keep-held": keep_held}})
}

pub fn replace(offset: u32, len: u32, text: &str) -> Value {
    json!({"replace-range": {"span": {"place": {"channel": "output", "choice": 0, "item": 0, "part": 0}, "offset": offset, "length": len}, "text": text}})
}

pub fn route(model: &str, scope: &str) -> Value {
    json!({"route": {"upstream": "", "model": model, "scope": scope}})
}

pub fn inject(text: &str, position: &str, scope: &str) -> Value {
    json!({"inject": {"role": "system", "text": text, "position": position, "scope": scope}})
}

pub fn hello() -> Value {
    json!({"model": "sim-echo", "messages": [{"role": "user", "content": "hello there"}]})
}

/// A request that is streamed and one that is not.
pub fn both(request: Value) -> [(&'static str, Value); 2] {
    [("streamed", streamed(request.clone())), ("whole", request)]
}
