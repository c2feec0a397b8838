//! A whole answer as a stream, and a stream as a whole answer: for a client that asked for the one where the upstream
//! gives the other. What is made is read and judged like anything that an upstream sent.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::dialect::Undecodable;
use crate::dialect::openai_chat::read;
use crate::dialect::openai_chat::undecodable::undecodable;
use crate::dialect::sse::Frame;

/// What every frame of a stream says of the answer.
const HEAD: [&str; 5] = ["id", "object", "created", "model", "system_fingerprint"];

/// Strings that a stream repeats or completes; they do not join.
const SAID_ONCE: [&str; 7] = ["id", "type", "role", "name", "model", "object", "format"];

/// The frames of a stream that says what the body says.
pub(super) fn stream(body: &[u8]) -> Result<Bytes, Undecodable> {
    let mut root: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| undecodable("the response", error))?;
    let mut out = Vec::new();
    if root.get("error").is_some_and(|error| !error.is_null()) {
        write(&mut out, &Value::Object(root));
        return Ok(out.into());
    }
    if !root.is_empty() && !root.contains_key("choices") {
        // What states a failure without a field `error` is read as one in a frame too.
        write(&mut out, &Value::Object(root));
        return Ok(out.into());
    }
    let Some(Value::Array(choices)) = root.remove("choices") else {
        return Err(undecodable("choices", "there is no list of them"));
    };
    let usage = root.remove("usage").filter(|usage| !usage.is_null());
    root.insert("object".to_owned(), json!("chat.completion.chunk"));
    let head: Map<String, Value> = root
        .iter()
        .filter(|(key, _)| HEAD.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let frame = |head: &Map<String, Value>, choices: Value, usage: Option<&Value>| {
        let mut frame = head.clone();
        frame.insert("choices".to_owned(), choices);
        if let Some(usage) = usage {
            frame.insert("usage".to_owned(), usage.clone());
        }
        Value::Object(frame)
    };
    // What stands beside the choices is said once.
    let mut first = Some(root);
    for (n, choice) in choices.into_iter().enumerate() {
        let Value::Object(mut choice) = choice else {
            return Err(undecodable(format!("choices[{n}]"), "it is no object"));
        };
        let index = choice.entry("index").or_insert(json!(n)).clone();
        let reason = choice
            .remove("finish_reason")
            .filter(|reason| !reason.is_null());
        let message = choice.remove("message").or_else(|| choice.remove("delta"));
        choice.insert("delta".to_owned(), delta(message, n)?);
        choice.insert("finish_reason".to_owned(), Value::Null);
        let says = first.take().unwrap_or_else(|| head.clone());
        write(&mut out, &frame(&says, json!([choice]), None));
        let end = json!([{"index": index, "delta": {}, "finish_reason": reason.unwrap_or(json!("stop"))}]);
        write(&mut out, &frame(&head, end, None));
    }
    if let Some(usage) = usage {
        let says = first.take().unwrap_or_else(|| head.clone());
        write(&mut out, &frame(&says, json!([]), Some(&usage)));
    }
    out.extend_from_slice(b"data: [DONE]\n\n");
    Ok(out.into())
}

/// A message as the delta of a stream: its calls are numbered, and absent is absent.
fn delta(message: Option<Value>, choice: usize) -> Result<Value, Undecodable> {
    let Some(Value::Object(mut message)) = message else {
        return Err(undecodable(
            format!("choices[{choice}].message"),
            "there is none",
        ));
    };
    for key in ["tool_calls", "function_call"] {
        if message.get(key).is_some_and(Value::is_null) {
            message.remove(key);
        }
    }
    if let Some(Value::Array(calls)) = message.get_mut("tool_calls") {
        for (n, call) in calls.iter_mut().enumerate() {
            if let Value::Object(call) = call {
                call.insert("index".to_owned(), json!(n));
            }
        }
    }
    Ok(Value::Object(message))
}

fn write(out: &mut Vec<u8>, frame: &Value) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(frame.to_string().as_bytes());
    out.extend_from_slice(b"\n\n");
}

/// The body that says what a whole stream says.
pub(super) fn body(frames: &[Frame]) -> Result<Vec<u8>, Undecodable> {
    let mut root = Map::new();
    let mut choices: BTreeMap<u64, Map<String, Value>> = BTreeMap::new();
    let mut ended = false;
    for frame in frames {
        let Some(source) = read::chunk(frame)? else {
            ended |= frame.says();
            continue;
        };
        let chunk: Map<String, Value> =
            serde_json::from_str(source).map_err(|error| undecodable("the response", error))?;
        if chunk.get("error").is_some_and(|error| !error.is_null()) {
            return Ok(Value::Object(chunk).to_string().into_bytes());
        }
        for (key, value) in chunk {
            match (key.as_str(), value) {
                ("choices", Value::Array(list)) => {
                    for choice in list {
                        let Value::Object(choice) = choice else {
                            return Err(undecodable("choices", "one is no object"));
                        };
                        let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
                        add_choice(choices.entry(index).or_default(), choice);
                    }
                }
                (_, Value::Null) => {}
                (name, value) if HEAD.contains(&name) => {
                    let known = root.entry(key).or_insert(Value::Null);
                    if known.is_null() || *known == "" {
                        *known = value;
                    }
                }
                (_, value) => {
                    root.insert(key, value);
                }
            }
        }
    }
    ended |= choices
        .values()
        .any(|choice| choice.get("finish_reason").is_some_and(Value::is_string));
    if !ended || choices.is_empty() {
        return Err(undecodable(
            "the response",
            "the stream ended before its last frame",
        ));
    }
    root.insert("object".to_owned(), json!("chat.completion"));
    let choices: Vec<Value> = choices
        .into_iter()
        .map(|(index, mut choice)| {
            choice.insert("index".to_owned(), json!(index));
            let message = choice.entry("message").or_insert_with(|| json!({}));
            if let Value::Object(message) = message {
                message.entry("role").or_insert_with(|| json!("assistant"));
                message.entry("content").or_insert(Value::Null);
                for call in message
                    .get_mut("tool_calls")
                    .and_then(Value::as_array_mut)
                    .into_iter()
                    .flatten()
                {
                    if let Value::Object(call) = call {
                        call.remove("index");
                    }
                }
            }
            Value::Object(choice)
        })
        .collect();
    root.insert("choices".to_owned(), Value::Array(choices));
    Ok(Value::Object(root).to_string().into_bytes())
}

fn add_choice(known: &mut Map<String, Value>, new: Map<String, Value>) {
    for (key, mut value) in new {
        let key = match key.as_str() {
            "index" => continue,
            "delta" => "message".to_owned(),
            _ => key,
        };
        if let (Some(Value::Object(message)), Value::Object(delta)) =
            (known.get("message"), &mut value)
        {
            one_reasoning(message, delta);
        }
        if key == "finish_reason" && !value.is_null() {
            known.insert(key, value);
        } else {
            add(known, key, value);
        }
    }
}

/// Reasoning that goes on in the other one of its two fields goes on all the same.
fn one_reasoning(message: &Map<String, Value>, delta: &mut Map<String, Value>) {
    for (known, other) in [
        ("reasoning", "reasoning_content"),
        ("reasoning_content", "reasoning"),
    ] {
        let switches = message.contains_key(known)
            && !message.contains_key(other)
            && !delta.contains_key(known);
        if switches && let Some(text) = delta.remove(other) {
            delta.insert(known.to_owned(), text);
        }
    }
}

/// Adds a field of a delta to what came before: text joins, lists grow, objects are filled in.
fn add(known: &mut Map<String, Value>, key: String, value: Value) {
    let Some(old) = known.get_mut(&key) else {
        known.insert(key, value);
        return;
    };
    match (old, value) {
        (_, Value::Null) => {}
        (Value::String(old), Value::String(new)) if SAID_ONCE.contains(&key.as_str()) => {
            // A further part of a name joins; the same name again does not.
            if key == "name" && *old != new {
                old.push_str(&new);
            } else if old.is_empty() {
                *old = new;
            }
        }
        (Value::String(old), Value::String(new)) => old.push_str(&new),
        (Value::Array(old), Value::Array(new)) => {
            new.into_iter().for_each(|item| add_item(old, item))
        }
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in new {
                add(old, key, value);
            }
        }
        // Content in parts goes on as text, and text in parts.
        (Value::Array(old), Value::String(new)) => add_item(old, text_part(new)),
        (old, Value::Array(new)) if old.is_string() => {
            let mut parts = vec![text_part(old.as_str().unwrap_or_default().to_owned())];
            parts.extend(new);
            *old = Value::Array(parts);
        }
        (old, new) => *old = new,
    }
}

fn text_part(text: String) -> Value {
    json!({"type": "text", "text": text})
}

/// An item with an index goes on where the last one of that index stopped, unless it has an id of its own.
fn add_item(list: &mut Vec<Value>, item: Value) {
    let id = |value: &Value| {
        value["id"]
            .as_str()
            .filter(|id| !id.is_empty())
            .map(str::to_owned)
    };
    let goes_on = item["index"].is_number().then(|| {
        list.iter()
            .rposition(|known| known["index"] == item["index"])
    });
    let place = goes_on.flatten().filter(|at| {
        let known = list.get(*at).and_then(id);
        id(&item).is_none_or(|new| known.is_none_or(|known| known == new))
    });
    match (place.and_then(|at| list.get_mut(at)), item) {
        (Some(Value::Object(known)), Value::Object(new)) => {
            for (key, value) in new {
                add(known, key, value);
            }
        }
        (_, item) => list.push(item),
    }
}
