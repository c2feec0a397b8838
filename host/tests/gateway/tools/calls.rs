//! Tool calls as policies order them and clients have them.

use serde_json::{Value, json};

use crate::guests::Guest;
use crate::support::*;

/// A policy that orders this whenever a tool call is complete.
pub fn on_call(actions: &[Value]) -> Guest {
    ordering(wakes(json!([{"event": "tool-call"}])), actions)
}

pub fn deny(id: &str, reason: &str) -> Value {
    json!({"deny-tool-call": {"call": id, "reason": reason}})
}

pub fn rewrite(id: &str, arguments: &str) -> Value {
    json!({"rewrite-tool-call": {"call": id, "content": arguments}})
}

pub fn call(id: &str, name: &str, arguments: Value) -> Value {
    json!({"id": id, "name": name, "arguments": arguments})
}

/// A conversation in which the model makes these calls, and says something after their results.
pub fn calling(calls: &[Value], after: &str) -> Value {
    chat(&json!({"turns": [{"text": "Let me look.", "tool_calls": calls}, {"text": after}]}))
}

pub fn both(request: Value) -> [(&'static str, Value); 2] {
    [("streamed", streamed(request.clone())), ("whole", request)]
}

/// Tool calls as the client has them: id, name, arguments, by index.
pub fn calls_of(reply: &Reply) -> Vec<(String, String, String)> {
    let mut calls: Vec<(String, String, String)> = Vec::new();
    let values = if reply.text().contains("data: ") {
        reply.frames()
    } else {
        vec![reply.json()]
    };
    for value in values {
        let choice = &value["choices"][0];
        let said = if choice["delta"].is_object() {
            &choice["delta"]
        } else {
            &choice["message"]
        };
        for (at, part) in said["tool_calls"]
            .as_array()
            .unwrap_or(&vec![])
            .iter()
            .enumerate()
        {
            let index = part["index"].as_u64().map_or(at, |n| n as usize);
            if calls.len() <= index {
                calls.resize(index + 1, Default::default());
            }
            let known = &mut calls[index];
            known.0 += part["id"].as_str().unwrap_or_default();
            known.1 += part["function"]["name"].as_str().unwrap_or_default();
            known.2 += part["function"]["arguments"].as_str().unwrap_or_default();
        }
    }
    calls
}

/// One set of ids, one role, one usage: what several rounds must look like.
pub fn assert_one_answer(reply: &Reply, context: &str) {
    if !reply.text().contains("data: ") {
        return;
    }
    let frames: Vec<Value> = reply
        .frames()
        .into_iter()
        .filter(Value::is_object)
        .collect();
    let ids: std::collections::BTreeSet<String> =
        frames.iter().map(|f| f["id"].to_string()).collect();
    assert_eq!(ids.len(), 1, "{context}: {ids:?}");
    let roles = frames
        .iter()
        .filter(|f| f["choices"][0]["delta"]["role"].is_string());
    assert_eq!(roles.count(), 1, "{context}: {}", reply.text());
    let usages = frames.iter().filter(|f| f["usage"].is_object());
    assert_eq!(usages.count(), 1, "{context}: {}", reply.text());
    assert!(reply.is_done(), "{context}: {}", reply.text());
}

pub fn usage_of(reply: &Reply) -> Value {
    let values = if reply.text().contains("data: ") {
        reply.frames()
    } else {
        vec![reply.json()]
    };
    let usage = values.iter().rev().find(|v| v["usage"].is_object());
    usage.unwrap()["usage"].clone()
}
