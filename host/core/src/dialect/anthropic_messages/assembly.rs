//! A message put together from the events of its stream, as the vendor's clients put it together.
//!
//! What they skip (pings, events and deltas that are none of the API's) is no part of it.

use serde_json::{Map, Value, json};

use super::undecodable::undecodable;
use crate::dialect::Undecodable;
use crate::dialect::json::{self, Object};

/// The message, as far as it has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Assembly {
    message: Map<String, Value>,
    blocks: Vec<Block>,
}

/// A block of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    fields: Map<String, Value>,
    /// The parts of its input: its JSON as it was written.
    input: String,
}

impl Assembly {
    /// The message of a body.
    pub fn of_body(mut message: Map<String, Value>) -> Self {
        let content = message.get_mut("content").map(Value::take);
        let blocks = match content {
            Some(Value::Array(blocks)) => blocks,
            _ => Vec::new(),
        };
        Self {
            message,
            blocks: blocks.into_iter().map(Block::of).collect(),
        }
    }

    /// Adds an event, which was read before and found to be in its place.
    pub fn add(&mut self, mut event: Map<String, Value>) {
        match event
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default()
        {
            "message_start" => {
                if let Some(Value::Object(message)) = event.remove("message") {
                    *self = Self::of_body(message);
                }
            }
            "content_block_start" => {
                let block = event.remove("content_block").map(Block::of);
                self.blocks.extend(block);
            }
            "content_block_delta" => {
                // The one that is open is the last.
                if let (Some(block), Some(Value::Object(delta))) =
                    (self.blocks.last_mut(), event.remove("delta"))
                {
                    block.add(delta);
                }
            }
            "message_delta" => {
                if let Some(Value::Object(delta)) = event.remove("delta") {
                    self.message.extend(delta);
                }
                if let Some(Value::Object(stated)) = event.remove("usage") {
                    let usage = self.message.entry("usage").or_insert_with(|| json!({}));
                    if let Value::Object(usage) = usage {
                        // Each number is of all so far.
                        usage.extend(stated.into_iter().filter(|(_, value)| !value.is_null()));
                    }
                }
                event.retain(|key, _| key != "type");
                self.message.extend(event);
            }
            _ => {}
        }
    }

    /// Its blocks as JSON.
    ///
    /// # Errors
    /// The input of a call is not an object.
    pub fn blocks(&self) -> Result<Vec<String>, Undecodable> {
        self.blocks.iter().map(Block::json).collect()
    }

    /// It as a body.
    ///
    /// # Errors
    /// As [`Assembly::blocks`].
    pub fn body(&self) -> Result<String, Undecodable> {
        let message = Value::Object(self.message.clone()).to_string();
        let root = Object::parse(&message).map_err(|error| undecodable("the response", error))?;
        let content = format!("[{}]", self.blocks()?.join(","));
        Ok(json::set(&message, &root, &[("content", content)]))
    }
}

impl Block {
    fn of(value: Value) -> Self {
        let fields = match value {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        Self {
            fields,
            input: String::new(),
        }
    }

    fn add(&mut self, mut delta: Map<String, Value>) {
        let kind = delta
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let (key, from) = match kind {
            "text_delta" => ("text", "text"),
            "thinking_delta" => ("thinking", "thinking"),
            "signature_delta" => ("signature", "signature"),
            "compaction_delta" => ("content", "content"),
            "input_json_delta" => {
                let part = delta.get("partial_json").and_then(Value::as_str);
                return self.input.push_str(part.unwrap_or_default());
            }
            "citations_delta" => {
                let list = self.fields.entry("citations").or_insert_with(|| json!([]));
                if list.is_null() {
                    *list = json!([]);
                }
                if let (Value::Array(list), Some(citation)) = (list, delta.remove("citation")) {
                    list.push(citation);
                }
                return;
            }
            _ => return,
        };
        for (name, value) in delta {
            match (&mut self.fields.entry(key).or_insert(Value::Null), value) {
                (_, Value::Null) => {}
                (Value::String(known), Value::String(more)) if name == from => {
                    // Clients keep the last signature.
                    if key == "signature" {
                        known.clear();
                    }
                    known.push_str(&more);
                }
                (known, value) if name == from => **known = value,
                (_, value) if name != "type" => {
                    self.fields.insert(name, value);
                }
                _ => {}
            }
        }
    }

    /// With its input as it was written.
    fn json(&self) -> Result<String, Undecodable> {
        let block = Value::Object(self.fields.clone()).to_string();
        if self.input.trim_ascii().is_empty() {
            return Ok(block);
        }
        let unreadable = |error| undecodable("the input of a call", error);
        let input = json::Raw::of(&self.input).map_err(unreadable)?;
        Object::of(input).map_err(unreadable)?;
        let fields = Object::parse(&block).map_err(|error| undecodable("content", error))?;
        let input = input.get().to_owned();
        Ok(json::set(&block, &fields, &[("input", input)]))
    }
}
