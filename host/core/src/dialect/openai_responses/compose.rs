//! Events that Airlock puts into a client's stream, each read by the client like any other: so what is said in them is said
//! again where the stream repeats itself.
//!
//! The whole life of an item is written, since the `openai` package (3.52) raises in its stream helper where
//! `content_part.added` or `output_item.done` are missing, and where an item is not finished at the end.

use serde_json::{Map, Value, json};

use crate::dialect::json::Object;
use crate::dialect::openai_responses::client::Client;
use crate::dialect::openai_responses::forms;
use crate::dialect::openai_responses::kinds::{self, Calls};
use crate::dialect::openai_responses::reader::pieces;
use crate::dialect::openai_responses::splice::framed;
use crate::dialect::{Identity, Piece};

/// Bytes that are written, and what a client reads in them.
#[derive(Default)]
pub(super) struct Out {
    pub bytes: Vec<u8>,
    pub pieces: Vec<Piece>,
}

impl Client {
    /// An event of this name with these fields.
    pub fn emit(&mut self, out: &mut Out, name: &str, fields: Value) {
        let mut event = Map::new();
        event.insert("type".to_owned(), name.into());
        event.insert("sequence_number".to_owned(), self.own_number().into());
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
        let data = Value::Object(event).to_string();
        out.bytes.extend_from_slice(framed(name, &data).as_bytes());
        // What is not read here is missed by whoever compares what was written with what was meant.
        if let Ok(event) = self.heard(&data) {
            pieces(&event, false, &mut out.pieces);
        }
    }

    /// The answer begins, if it has not.
    pub fn begin(&mut self, out: &mut Out, identity: &Identity) {
        if self.record.began {
            return;
        }
        let response = forms::response(identity, "in_progress");
        self.begin_with(out, &response);
    }

    /// The answer begins with this object.
    pub fn begin_with(&mut self, out: &mut Out, response: &Value) {
        for name in ["response.created", "response.in_progress"] {
            self.emit(out, name, json!({ "response": response }));
        }
    }

    /// An item begins: its number.
    pub fn add_item(&mut self, out: &mut Out, item: &Value) -> u32 {
        let key = self.next_item();
        let fields = json!({ "output_index": key, "item": item });
        self.emit(out, "response.output_item.added", fields);
        key
    }

    /// A part of an item begins.
    pub fn add_part(&mut self, out: &mut Out, key: u32, list: &str, number: usize, part: &Value) {
        let mut fields = self.at_part(key, list, number);
        fields["part"] = part.clone();
        self.emit(
            out,
            &format!("response.{}_part.added", family(list)),
            fields,
        );
    }

    /// More text of a part.
    pub fn add_text(&mut self, out: &mut Out, key: u32, list: &str, number: usize, text: &str) {
        let shape = self.shape(key, list, number);
        let mut fields = self.at_part(key, list, number);
        fields["delta"] = text.into();
        if shape == "output_text" {
            fields["logprobs"] = json!([]);
        }
        self.emit(out, &format!("response.{}.delta", spoken(&shape)), fields);
    }

    /// More arguments of a call.
    pub fn add_arguments(&mut self, out: &mut Out, key: u32, arguments: &str) {
        let mut fields = self.at(key);
        fields["delta"] = arguments.into();
        self.emit(
            out,
            &format!("response.{}.delta", self.arguments(key).0),
            fields,
        );
    }

    /// Everything that has begun ends, with this state.
    pub fn finish_items(&mut self, out: &mut Out, status: &str) {
        for key in self.open() {
            self.finish_item(out, key, status);
        }
    }

    /// An item ends.
    pub fn finish_item(&mut self, out: &mut Out, key: u32, status: &str) {
        let kind = self.record.items.get(&key).map(|item| item.kind.clone());
        match kind.as_deref() {
            Some("message" | "reasoning") => {
                for list in ["summary", "content"] {
                    let mut number = 0;
                    while let Some(part) = self.part(key, list, number) {
                        if self.is_open(key, &format!("{list}[{number}]")) {
                            self.finish_part(out, key, list, number, &part);
                        }
                        number += 1;
                    }
                }
            }
            Some("function_call" | "custom_tool_call") => {
                let (family, field) = self.arguments(key);
                let mut fields = self.at(key);
                fields[field] = self.record.text(key, field).into();
                self.emit(out, &format!("response.{family}.done"), fields);
            }
            _ => {}
        }
        let item = self.item(key, status);
        let fields = json!({ "output_index": key, "item": item });
        self.emit(out, "response.output_item.done", fields);
    }

    fn finish_part(&mut self, out: &mut Out, key: u32, list: &str, number: usize, part: &Value) {
        let shape = self.shape(key, list, number);
        let field = if shape == "refusal" {
            "refusal"
        } else {
            "text"
        };
        let mut fields = self.at_part(key, list, number);
        fields[field] = part[field].clone();
        if shape == "output_text" {
            fields["logprobs"] = json!([]);
        }
        self.emit(out, &format!("response.{}.done", spoken(&shape)), fields);
        let mut fields = self.at_part(key, list, number);
        fields["part"] = part.clone();
        self.emit(out, &format!("response.{}_part.done", family(list)), fields);
    }

    /// A whole item, from its beginning to its end.
    pub fn say_item(&mut self, out: &mut Out, item: &Value) {
        let kind = item["type"].as_str().unwrap_or_default();
        let key = self.add_item(out, &head(item, kind));
        match kind {
            "message" | "reasoning" => {
                for list in ["summary", "content"] {
                    let parts = item[list].as_array().into_iter().flatten();
                    for (number, part) in parts.enumerate() {
                        let shape = part["type"].as_str().unwrap_or_default();
                        let field = if shape == "refusal" {
                            "refusal"
                        } else {
                            "text"
                        };
                        let mut empty = part.clone();
                        if let Some(part) = empty.as_object_mut() {
                            part.insert(field.to_owned(), "".into());
                            part.retain(|key, _| {
                                !matches!(key.as_str(), "logprobs" | "annotations")
                            });
                            if shape == "output_text" {
                                part.insert("annotations".to_owned(), json!([]));
                            }
                        }
                        self.add_part(out, key, list, number, &empty);
                        let text = part[field].as_str().unwrap_or_default();
                        if !text.is_empty() {
                            self.add_text(out, key, list, number, text);
                        }
                        self.finish_part(out, key, list, number, part);
                    }
                }
            }
            "function_call" | "custom_tool_call" => {
                let (family, field) = self.arguments(key);
                let arguments = item[field].as_str().unwrap_or_default().to_owned();
                if !arguments.is_empty() {
                    self.add_arguments(out, key, &arguments);
                }
                let mut fields = self.at(key);
                fields[field] = arguments.into();
                self.emit(out, &format!("response.{family}.done"), fields);
            }
            _ => {}
        }
        let fields = json!({ "output_index": key, "item": item });
        self.emit(out, "response.output_item.done", fields);
    }

    /// All items as they stand.
    pub fn output(&self, status: &str) -> Vec<Value> {
        let keys = self.record.items.keys();
        keys.map(|key| self.item(*key, status)).collect()
    }

    /// The items that have ended.
    pub fn finished(&self) -> Vec<Value> {
        let ended = self.items.iter().filter(|(_, shown)| shown.done.is_some());
        ended.map(|(key, _)| self.item(*key, "")).collect()
    }

    fn at(&self, key: u32) -> Value {
        let id = self.record.items.get(&key).map_or("", |item| &item.id);
        json!({ "item_id": id, "output_index": key })
    }

    fn at_part(&self, key: u32, list: &str, number: usize) -> Value {
        let mut at = self.at(key);
        let field = if list == "summary" {
            "summary_index"
        } else {
            "content_index"
        };
        at[field] = number.into();
        at
    }

    /// The `type` of a part.
    fn shape(&self, key: u32, list: &str, number: usize) -> String {
        let part = self.part(key, list, number).unwrap_or_default();
        part["type"].as_str().unwrap_or("output_text").to_owned()
    }

    /// Family of the events that say a call's arguments, and the field that bears them.
    fn arguments(&self, key: u32) -> (&'static str, &'static str) {
        let item = self.record.items.get(&key);
        match item.is_some_and(|item| item.kind == "custom_tool_call") {
            true => ("custom_tool_call_input", "input"),
            false => ("function_call_arguments", "arguments"),
        }
    }
}

fn family(list: &str) -> &'static str {
    if list == "summary" {
        "reasoning_summary"
    } else {
        "content"
    }
}

fn spoken(shape: &str) -> &'static str {
    match shape {
        "refusal" => "refusal",
        "reasoning_text" => "reasoning_text",
        "summary_text" => "reasoning_summary_text",
        _ => "output_text",
    }
}

/// An item as it begins.
fn head(item: &Value, kind: &str) -> Value {
    let mut head = item.clone();
    let Some(fields) = head.as_object_mut() else {
        return head;
    };
    let empty = match kind {
        "message" => vec!["content"],
        "reasoning" => vec!["summary", "content"],
        _ => Vec::new(),
    };
    for field in empty {
        if fields.contains_key(field) {
            fields.insert(field.to_owned(), json!([]));
        }
    }
    let whole = item.to_string();
    let calls = Object::parse(&whole)
        .ok()
        .and_then(|item| kinds::calls(kind, &item));
    match calls {
        Some(Calls::Named(field)) => drop(fields.insert(field.to_owned(), "".into())),
        // What is to be done is said when the item is done.
        Some(Calls::Built(_, keys)) => {
            for key in keys {
                if let Some(value) = fields.get_mut(*key) {
                    blank(value);
                }
            }
        }
        None => {}
    }
    if fields.contains_key("status") {
        fields.insert("status".to_owned(), "in_progress".into());
    }
    head
}

/// Without its strings but for names of shapes.
fn blank(value: &mut Value) {
    match value {
        Value::String(text) => text.clear(),
        Value::Array(items) => items.clear(),
        Value::Object(fields) => {
            for (key, value) in fields {
                if key != "type" {
                    blank(value);
                }
            }
        }
        _ => {}
    }
}
