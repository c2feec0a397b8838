//! The model's own turn, as its server wrote it, and as it goes back into a request.
//!
//! Thoughts are signed, and results of the server's tools are encrypted: both go back as they came, in their order. Where a
//! call stood, a block with its id alone stands in what is kept, so that each call that goes back is put at its place.

use serde_json::{Map, Value, json};

use super::assembly::Assembly;
use super::edit::input;
use super::spread::{first, spread};
use crate::dialect::own::{OwnCall, OwnTurn};
use crate::dialect::{ToolCallView, Turn};

/// What one leg's answer has said of the model's turn.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    turn: OwnTurn,
    assembly: Assembly,
}

impl Gathered {
    /// Reads one frame's data, or a body.
    pub fn gather(&mut self, payload: &[u8]) {
        let payload = payload.trim_ascii();
        if payload.is_empty() || payload == b"[DONE]" || !self.turn.takes(payload.len()) {
            return;
        }
        let Ok(Value::Object(root)) = serde_json::from_slice(payload) else {
            return self.turn.give_up();
        };
        match root.get("type").and_then(Value::as_str) {
            Some("message") => {
                self.assembly = Assembly::of_body(root);
                self.keep();
            }
            Some("message_stop") => self.keep(),
            _ => self.assembly.add(root),
        }
    }

    /// Some of it is not known.
    pub fn give_up(&mut self) {
        self.turn.give_up();
        self.assembly = Assembly::default();
    }

    /// The turn without its calls, as JSON; `None` if it is not known whole.
    pub fn message(&self) -> Option<String> {
        self.turn.message()
    }

    /// The call of this id, as JSON.
    pub fn call(&self, id: &str) -> Option<String> {
        self.turn.call(id)
    }

    /// The message has ended: its blocks are the turn.
    fn keep(&mut self) {
        let Ok(blocks) = std::mem::take(&mut self.assembly).blocks() else {
            return self.turn.give_up();
        };
        let mut content = Vec::with_capacity(blocks.len());
        for block in blocks {
            let Ok(block) = serde_json::from_str::<Map<String, Value>>(&block) else {
                return self.turn.give_up();
            };
            match block.get("type").and_then(Value::as_str) {
                Some("tool_use") => {
                    content.push(json!({ "type": "tool_use", "id": block.get("id") }));
                    self.turn.calls.push(OwnCall {
                        index: None,
                        fields: block,
                    });
                }
                _ => content.push(Value::Object(block)),
            }
        }
        let message = &mut self.turn.message;
        message.insert("role".to_owned(), json!("assistant"));
        message.insert("content".to_owned(), Value::Array(content));
    }
}

/// The messages in which a turn goes back: the model's, with its calls, and the results of these.
pub(super) fn messages(turn: &Turn) -> Vec<String> {
    let calls = turn.calls();
    let mut left: Vec<Value> = Vec::new();
    let mut content = match kept(turn) {
        Some(own) => own,
        None => vec![json!({ "type": "text", "text": turn.said() })],
    };
    for (call, _) in &calls {
        let at = content.iter_mut().find(|block| {
            block["type"] == "tool_use" && block["id"] == call.id && block.get("name").is_none()
        });
        match at {
            Some(place) => *place = call_value(call),
            None => left.push(call_value(call)),
        }
    }
    // Calls that do not go back, and texts that say nothing, which the API refuses.
    content.retain(|block| match block["type"].as_str() {
        Some("tool_use") => block.get("name").is_some(),
        Some("text") => block["text"] != "",
        _ => true,
    });
    content.extend(left);
    if content.is_empty() {
        return Vec::new();
    }
    let mut messages = vec![json!({ "role": "assistant", "content": content }).to_string()];
    if !calls.is_empty() {
        messages.push(results_message(&calls));
    }
    messages
}

/// The blocks of the turn as they were kept, with what was said of it: a policy may have changed that, and it is what was
/// judged.
fn kept(turn: &Turn) -> Option<Vec<Value>> {
    let own: Map<String, Value> = serde_json::from_str(turn.own()?).ok()?;
    let Some(Value::Array(mut content)) = own.get("content").cloned() else {
        return None;
    };
    let said = turn.said();
    let is_text = |block: &&mut Value| block["type"] == "text" && block["text"].is_string();
    let texts: Vec<&mut Value> = content.iter_mut().filter(is_text).collect();
    let parts: Vec<String> = texts
        .iter()
        .map(|block| text_of(block).to_owned())
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if parts.is_empty() {
        content.push(json!({ "type": "text", "text": said }));
    } else {
        for (block, new) in texts.into_iter().zip(spread(&parts, "", &said, first)) {
            if let Some(new) = new {
                block["text"] = json!(new);
            }
        }
    }
    Some(content)
}

fn text_of(block: &Value) -> &str {
    block["text"].as_str().unwrap_or_default()
}

/// The results of calls as one message: all of a turn's must be there.
pub(super) fn results_message(calls: &[(ToolCallView, String)]) -> String {
    let results: Vec<Value> = results(calls).collect();
    json!({ "role": "user", "content": results }).to_string()
}

/// The results of calls as blocks.
pub(super) fn results(calls: &[(ToolCallView, String)]) -> impl Iterator<Item = Value> {
    calls.iter().map(
        |(call, text)| json!({ "type": "tool_result", "tool_use_id": call.id, "content": text }),
    )
}

/// A call as its server wrote it, with the arguments that were judged.
pub(super) fn call_value(call: &ToolCallView) -> Value {
    let own = call.own.as_deref();
    let own = own.and_then(|own| serde_json::from_str::<Map<String, Value>>(own).ok());
    let mut block = own.unwrap_or_default();
    block.insert("type".to_owned(), json!("tool_use"));
    block.insert("id".to_owned(), json!(call.id));
    block.insert("name".to_owned(), json!(call.name));
    let arguments = input(&call.arguments).and_then(|input| serde_json::from_str(input).ok());
    // The API takes objects alone. What the model wrote instead is told it all the same.
    let arguments = arguments.unwrap_or_else(|| json!({ "arguments": call.arguments }));
    block.insert("input".to_owned(), arguments);
    Value::Object(block)
}
