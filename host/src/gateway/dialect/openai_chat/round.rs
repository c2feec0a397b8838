//! Frames and bodies of one upstream call as parts of an answer that several calls make.
//!
//! A client must read one answer: one set of ids, one role, calls numbered from 0 without gaps, one usage. What is read
//! here is taken apart as JSON and written anew; order and spelling of the fields stay, white space does not.
//!
//! Who says the role twice breaks clients: the `openai` package (3.52) joins strings of deltas, and reads
//! `assistantassistant`.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::say;
use super::undecodable;
use crate::gateway::dialect::{CallEdit, EditError, Identity, Splice};
use crate::session::event::Channel;

pub(super) fn frame(raw: &[u8], splice: &Splice<'_>) -> Result<Option<Bytes>, EditError> {
    let data: Vec<&[u8]> = raw
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .filter_map(|line| line.strip_prefix(b"data:"))
        .collect();
    let data = data.join(&b'\n');
    let bare = data.trim_ascii();
    if bare.is_empty() || bare == b"[DONE]" {
        return Ok(Some(Bytes::copy_from_slice(raw)));
    }
    let mut root: Map<String, Value> =
        serde_json::from_slice(&data).map_err(|error| undecodable("the frame", error))?;
    identify(&mut root, splice.identity);
    let states_usage = state_usage(&mut root, splice);
    let mut says = states_usage || root.contains_key("error");
    for choice in choices(&mut root) {
        let number = number(choice);
        let Some(Value::Object(delta)) = choice.get_mut("delta") else {
            continue;
        };
        if splice.identity.is_some() {
            delta.remove("role");
        }
        edit_calls(delta, number, &splice.calls);
        let empty = delta.values().all(|value| value.is_null());
        if splice.goes_on && choice.contains_key("finish_reason") {
            choice.insert("finish_reason".to_owned(), Value::Null);
        }
        says |= !empty || choice.get("finish_reason").is_some_and(|v| !v.is_null());
    }
    Ok(says.then(|| say::frame(&Value::Object(root)).into()))
}

pub(super) fn body(raw: &[u8], splice: &Splice<'_>) -> Result<Vec<u8>, EditError> {
    let mut root: Map<String, Value> =
        serde_json::from_slice(raw).map_err(|error| undecodable("the response", error))?;
    identify(&mut root, splice.identity);
    state_usage(&mut root, splice);
    for choice in choices(&mut root) {
        let number = number(choice);
        let Some(Value::Object(message)) = choice.get_mut("message") else {
            continue;
        };
        edit_calls(message, number, &splice.calls);
        for edit in splice.before.iter().filter(|e| e.place.choice == number) {
            let field = match edit.place.channel {
                Channel::Output => "content",
                Channel::Refusal => "refusal",
                Channel::Reasoning => splice
                    .identity
                    .and_then(|identity| identity.reasoning_field)
                    .unwrap_or("reasoning_content"),
                Channel::ToolArguments | Channel::Other => continue,
            };
            prepend(message, field, &edit.text);
        }
    }
    Ok(Value::Object(root).to_string().into_bytes())
}

fn identify(root: &mut Map<String, Value>, identity: Option<&Identity>) {
    let Some(identity) = identity else { return };
    root.insert("id".to_owned(), json!(identity.id));
    root.insert("created".to_owned(), json!(identity.created));
    root.insert("model".to_owned(), json!(identity.model));
}

/// States the usage of all rounds where the round states its own. Returns whether it states any.
fn state_usage(root: &mut Map<String, Value>, splice: &Splice<'_>) -> bool {
    let states = root.get("usage").is_some_and(Value::is_object);
    if let (true, Some(usage)) = (states, splice.usage) {
        root.insert("usage".to_owned(), say::usage(usage));
    }
    states
}

fn choices(root: &mut Map<String, Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    root.get_mut("choices")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
}

fn number(choice: &Map<String, Value>) -> u16 {
    choice
        .get("index")
        .and_then(Value::as_u64)
        .and_then(|n| u16::try_from(n).ok())
        .unwrap_or_default()
}

/// Leaves out, renumbers and rewrites calls. In a delta a call states its index; in a message its place is its index.
fn edit_calls(said: &mut Map<String, Value>, choice: u16, edits: &[CallEdit]) {
    if edits.is_empty() {
        return;
    }
    let edit_of = |index: usize| {
        edits
            .iter()
            .find(|e| e.choice == choice && usize::from(e.index) == index)
    };
    if let Some(Value::Array(calls)) = said.get_mut("tool_calls") {
        let mut at = 0;
        calls.retain_mut(|call| {
            let stated = call.get("index").and_then(Value::as_u64);
            let index = stated.map_or(at, |n| n as usize);
            at += 1;
            let Some(edit) = edit_of(index) else {
                return true;
            };
            if let (Some(to), Some(_)) = (edit.to, stated) {
                call["index"] = json!(to);
            }
            if let Some(arguments) = &edit.arguments {
                rewrite(call, arguments);
            }
            edit.to.is_some()
        });
        if calls.is_empty() {
            said.remove("tool_calls");
        }
    }
    // The form before tool calls: one call, without an index.
    if said.contains_key("function_call")
        && let Some(edit) = edit_of(0)
    {
        match (&edit.to, &edit.arguments) {
            (None, _) => drop(said.remove("function_call")),
            (Some(_), Some(arguments)) => said["function_call"]["arguments"] = json!(arguments),
            (Some(_), None) => {}
        }
    }
}

fn rewrite(call: &mut Value, arguments: &str) {
    let (part, field) = if call.get("custom").is_some() {
        ("custom", "input")
    } else {
        ("function", "arguments")
    };
    call[part][field] = json!(arguments);
}

fn prepend(message: &mut Map<String, Value>, field: &str, text: &str) {
    match message.get_mut(field) {
        Some(Value::String(own)) => own.insert_str(0, text),
        Some(Value::Array(parts)) => parts.insert(0, json!({ "type": "text", "text": text })),
        _ => drop(message.insert(field.to_owned(), json!(text))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::gateway::dialect::TextEdit;
    use crate::session::event::{Place, Usage};

    fn delta(delta: Value, finish: Value) -> Vec<u8> {
        let chunk = json!({"id": "second", "object": "chat.completion.chunk", "created": 9, "model": "m2",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
        format!("data: {chunk}\n\n").into_bytes()
    }

    fn read(frame: &Bytes) -> Value {
        let text = std::str::from_utf8(frame).unwrap();
        serde_json::from_str(text.strip_prefix("data: ").unwrap()).unwrap()
    }

    fn call(index: u16, to: Option<u16>, arguments: Option<&str>) -> Splice<'static> {
        Splice {
            calls: vec![CallEdit {
                choice: 0,
                index,
                to,
                arguments: arguments.map(str::to_owned),
            }],
            ..Splice::default()
        }
    }

    #[test]
    fn a_frame_of_a_denied_call_leaves_nothing() {
        let raw = delta(
            json!({"tool_calls": [{"index": 1, "id": "c", "function": {"name": "f", "arguments": "{}"}}]}),
            Value::Null,
        );
        assert_eq!(frame(&raw, &call(1, None, None)).unwrap(), None);
        assert!(frame(&raw, &call(0, None, None)).unwrap().is_some());
    }

    #[test]
    fn calls_are_renumbered_and_rewritten() {
        let raw = delta(
            json!({"tool_calls": [{"index": 1, "id": "c", "function": {"name": "f", "arguments": "{\"a\":1}"}}]}),
            Value::Null,
        );
        let out = read(
            &frame(&raw, &call(1, Some(0), Some("{\"a\":2}")))
                .unwrap()
                .unwrap(),
        );
        let said = &out["choices"][0]["delta"]["tool_calls"][0];
        assert_eq!(said["index"], 0);
        assert_eq!(said["function"]["arguments"], "{\"a\":2}");
        assert_eq!(said["id"], "c");
    }

    #[test]
    fn a_later_round_speaks_with_the_ids_of_the_first_and_names_no_role() {
        let identity = Identity {
            id: "first".into(),
            model: "m1".into(),
            created: 1,
            ..Identity::default()
        };
        let splice = Splice {
            identity: Some(&identity),
            goes_on: true,
            ..Splice::default()
        };
        let raw = delta(
            json!({"role": "assistant", "content": "x"}),
            json!("tool_calls"),
        );
        let out = read(&frame(&raw, &splice).unwrap().unwrap());
        assert_eq!(
            (&out["id"], &out["model"], &out["created"]),
            (&json!("first"), &json!("m1"), &json!(1))
        );
        assert_eq!(out["choices"][0]["delta"], json!({"content": "x"}));
        assert_eq!(out["choices"][0]["finish_reason"], Value::Null);
        let role_only = delta(json!({"role": "assistant", "content": null}), Value::Null);
        assert_eq!(frame(&role_only, &splice).unwrap(), None);
    }

    #[test]
    fn usage_is_that_of_all_rounds() {
        let usage = Usage {
            input: 10,
            output: 5,
            ..Usage::default()
        };
        let splice = Splice {
            usage: Some(usage),
            ..Splice::default()
        };
        let raw = b"data: {\"id\":\"a\",\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\r\n\r\n";
        let out = read(&frame(raw, &splice).unwrap().unwrap());
        assert_eq!(out["usage"]["total_tokens"], 15);
    }

    #[test]
    fn a_body_begins_with_what_was_said_before_and_lacks_denied_calls() {
        let splice = Splice {
            before: vec![TextEdit {
                place: Place {
                    channel: Channel::Output,
                    choice: 0,
                    block: 0,
                },
                text: "Before. ".into(),
            }],
            ..call(0, None, None)
        };
        let raw = json!({"id": "a", "choices": [{"index": 0, "message": {"role": "assistant", "content": null,
            "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": "{}"}},
                {"id": "y", "function": {"name": "g", "arguments": "{}"}}]}, "finish_reason": "tool_calls"}]});
        let out: Value =
            serde_json::from_slice(&body(raw.to_string().as_bytes(), &splice).unwrap()).unwrap();
        let message = &out["choices"][0]["message"];
        assert_eq!(message["content"], "Before. ");
        assert_eq!(message["tool_calls"].as_array().unwrap().len(), 1);
        assert_eq!(message["tool_calls"][0]["id"], "y");
    }
}
