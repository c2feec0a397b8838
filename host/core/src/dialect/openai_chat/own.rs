//! The model's own turn, put together from deltas and written again into a request.
//!
//! What the fields mean is not known here: `reasoning_content` (DeepSeek, vLLM), `reasoning` and `reasoning_details`
//! (OpenRouter), `thinking_blocks` (LiteLLM), parts of type `thinking` (Mistral), `extra_content` with the signature of a
//! thought beside a call (Gemini), and whatever comes next. They join as a client would join them.

use serde_json::{Map, Value, json};

use crate::dialect::ToolCallView;
use crate::dialect::own::{OwnCall, OwnTurn};

/// Strings that each delta states whole: a later one takes the place of an earlier one.
const WHOLE: [&str; 7] = [
    "role",
    "type",
    "id",
    "format",
    "name",
    "signature",
    "thought_signature",
];

/// Reads one frame's data, or a body, into the turn. Only the first choice: with several, no turn goes on.
pub(super) fn gather(payload: &[u8], turn: &mut OwnTurn) {
    let payload = payload.trim_ascii();
    if payload.is_empty() || payload == b"[DONE]" || !turn.takes(payload.len()) {
        return;
    }
    let Ok(Value::Object(mut root)) = serde_json::from_slice(payload) else {
        return turn.give_up();
    };
    let Some(Value::Array(choices)) = root.get_mut("choices") else {
        return;
    };
    for choice in choices.iter_mut().filter_map(Value::as_object_mut) {
        if choice.get("index").and_then(Value::as_u64).unwrap_or(0) != 0 {
            continue;
        }
        for part in ["delta", "message"] {
            if let Some(Value::Object(said)) = choice.shift_remove(part) {
                add(turn, said);
            }
        }
    }
}

fn add(turn: &mut OwnTurn, mut said: Map<String, Value>) {
    if let Some(Value::Array(calls)) = said.shift_remove("tool_calls") {
        for call in calls {
            if let Value::Object(call) = call {
                add_call(&mut turn.calls, call);
            }
        }
    }
    // The form before tool calls has no id by which its answer could be told: that turn is built anew.
    said.shift_remove("function_call");
    merge(&mut turn.message, said);
}

/// A part of a call: of the newest with its index or id, unless it names another id than that one has.
fn add_call(calls: &mut Vec<OwnCall>, mut fields: Map<String, Value>) {
    let index = fields.shift_remove("index").and_then(|n| n.as_u64());
    let id = fields.get("id").and_then(Value::as_str).unwrap_or_default();
    let known = match index {
        Some(_) => calls.iter().rposition(|call| call.index == index),
        None if id.is_empty() => calls.len().checked_sub(1),
        None => calls.iter().rposition(|call| call.id() == id),
    };
    let known = known.and_then(|at| calls.get_mut(at));
    let joins = |call: &OwnCall| id.is_empty() || call.id().is_empty() || call.id() == id;
    match known.filter(|call| joins(call)) {
        Some(call) => merge(&mut call.fields, fields),
        None => {
            let mut call = OwnCall {
                index,
                ..OwnCall::default()
            };
            merge(&mut call.fields, fields);
            calls.push(call);
        }
    }
}

fn merge(into: &mut Map<String, Value>, part: Map<String, Value>) {
    for (key, value) in part {
        match (into.get_mut(&key), value) {
            (_, Value::Null) => {}
            (None, Value::Array(items)) if items.is_empty() => {}
            (None, value) => drop(into.insert(key, value)),
            (Some(known), value) => join(&key, known, value),
        }
    }
}

fn join(key: &str, known: &mut Value, value: Value) {
    match (known, value) {
        (Value::String(known), Value::String(more)) => {
            if !WHOLE.contains(&key) {
                known.push_str(&more);
            } else if !more.is_empty() {
                *known = more;
            }
        }
        (Value::Object(known), Value::Object(more)) => merge(known, more),
        (Value::Array(known), Value::Array(more)) => {
            for item in more {
                add_item(known, item);
            }
        }
        (known, value) => *known = value,
    }
}

/// An item of a list: a part of the one with its index, or of the last one, if both are text of one kind. What is encrypted
/// comes whole.
fn add_item(list: &mut Vec<Value>, item: Value) {
    let kind = |item: &Value| item["type"].as_str().unwrap_or_default().to_owned();
    let of = kind(&item);
    let textual = matches!(&*of, "text" | "thinking" | "reasoning")
        || matches!(&*of, "reasoning.text" | "reasoning.summary");
    let joins = |known: &Value| {
        let ids = known["id"].as_str().zip(item["id"].as_str());
        let signed = known["signature"].as_str().is_some_and(|s| !s.is_empty());
        let same = item["index"] == known["index"] && kind(known) == of;
        same && ids.is_none_or(|(a, b)| a == b) && (!signed || item["index"].is_number())
    };
    let at = match item["index"].is_number() {
        true => list.iter().rposition(joins),
        false => list.len().checked_sub(1).filter(|at| joins(&list[*at])),
    };
    match at.filter(|_| textual).and_then(|at| list.get_mut(at)) {
        Some(known) => join("", known, item),
        None => list.push(item),
    }
}

/// The turn as a message: the model's own where it is known, with what was `said` of it.
pub(super) fn turn(said: &str, own: Option<&str>, calls: &[(ToolCallView, String)]) -> String {
    let own = own.and_then(|own| serde_json::from_str::<Map<String, Value>>(own).ok());
    let mut message = Map::new();
    message.insert("role".to_owned(), json!("assistant"));
    message.insert("content".to_owned(), Value::Null);
    message.extend(own.unwrap_or_default());
    message.insert("role".to_owned(), json!("assistant"));
    let content = message.entry("content").or_insert(Value::Null);
    // A policy may have changed what was said: that is what was judged.
    if !content.is_array() || text_of(content) != said {
        *content = match said {
            "" if !calls.is_empty() => Value::Null,
            said => json!(said),
        };
    }
    if !calls.is_empty() {
        let calls: Vec<Value> = calls.iter().map(|(call, _)| call_value(call)).collect();
        message.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    Value::Object(message).to_string()
}

fn text_of(content: &Value) -> String {
    let parts = content.as_array().into_iter().flatten();
    parts
        .filter(|part| part["type"] == "text")
        .filter_map(|part| part["text"].as_str())
        .collect()
}

/// A call as its server wrote it, with the arguments that were judged.
pub(super) fn call_value(call: &ToolCallView) -> Value {
    let own = call.own.as_deref();
    let own = own.and_then(|own| serde_json::from_str::<Map<String, Value>>(own).ok());
    let mut own = own.unwrap_or_default();
    let (form, field) = match own.get("custom").is_some_and(Value::is_object) {
        true => ("custom", "input"),
        false => ("function", "arguments"),
    };
    let mut inner = match own.get(form) {
        Some(Value::Object(inner)) => inner.clone(),
        _ => Map::new(),
    };
    inner.insert("name".to_owned(), json!(call.name));
    inner.insert(field.to_owned(), json!(call.arguments));
    own.insert("id".to_owned(), json!(call.id));
    own.entry("type").or_insert(json!(form));
    own.insert(form.to_owned(), Value::Object(inner));
    Value::Object(own)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(deltas: &[Value]) -> OwnTurn {
        let mut turn = OwnTurn::default();
        for delta in deltas {
            let frame = json!({"choices": [{"index": 0, "delta": delta}]});
            gather(frame.to_string().as_bytes(), &mut turn);
        }
        gather(b"[DONE]", &mut turn);
        turn
    }

    fn message(deltas: &[Value]) -> Value {
        serde_json::from_str(&of(deltas).message().unwrap()).unwrap()
    }

    #[test]
    fn deltas_join_in_every_field_whether_it_is_known_or_not() {
        let whole = message(&[
            json!({"role": "assistant", "content": null, "refusal": null}),
            json!({"reasoning_content": "I ", "unheard_of": {"proof": "a"}, "annotations": []}),
            json!({"role": "assistant", "reasoning_content": "think", "unheard_of": {"proof": "b", "n": 1}}),
            json!({"content": "It "}),
            json!({"content": "is"}),
        ]);
        assert_eq!(
            whole,
            json!({"role": "assistant", "reasoning_content": "I think", "unheard_of": {"proof": "ab", "n": 1}, "content": "It is"})
        );
    }

    #[test]
    fn blocks_of_thinking_join_by_index_and_keep_their_order() {
        let block = |text: &str, signature: Value| {
            json!({"reasoning_details": [{"type": "reasoning.text", "text": text,
            "signature": signature, "format": "anthropic-claude-v1", "index": 0}]})
        };
        let encrypted = |data: &str| json!({"reasoning_details": [{"type": "reasoning.encrypted", "data": data, "index": 1}]});
        let whole = message(&[
            block("I ", Value::Null),
            block("think", Value::Null),
            block("", json!("c2ln+/==")),
            encrypted("AA"),
            encrypted("BB"),
        ]);
        let details = whole["reasoning_details"].as_array().unwrap();
        assert_eq!(details.len(), 3, "{whole}");
        assert_eq!(
            (&details[0]["text"], &details[0]["signature"]),
            (&json!("I think"), &json!("c2ln+/=="))
        );
        assert_eq!(details[0]["format"], "anthropic-claude-v1");
        assert_eq!(
            (&details[1]["data"], &details[2]["data"]),
            (&json!("AA"), &json!("BB"))
        );
    }

    #[test]
    fn blocks_without_an_index_join_until_they_are_signed() {
        let part = |text: &str, signature: Value| json!({"thinking_blocks": [{"type": "thinking", "thinking": text, "signature": signature}]});
        let whole = message(&[
            part("one ", Value::Null),
            part("two", Value::Null),
            part("", json!("first")),
            part("three", json!("second")),
        ]);
        assert_eq!(
            whole["thinking_blocks"],
            json!([
                {"type": "thinking", "thinking": "one two", "signature": "first"},
                {"type": "thinking", "thinking": "three", "signature": "second"},
            ])
        );
    }

    #[test]
    fn calls_keep_what_stands_beside_them_and_get_the_arguments_that_were_judged() {
        let signed = json!({"google": {"thought_signature": "CpQB/+=="}});
        let turn = of(&[
            json!({"tool_calls": [{"index": 0, "id": "a", "type": "function", "extra_content": signed,
                "function": {"name": "rm", "arguments": "{\"p\":"}}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}),
            // Another call, at the index of the first.
            json!({"tool_calls": [{"index": 0, "id": "b", "function": {"name": "ls", "arguments": "{}", "strict": true}}]}),
        ]);
        let view = |id: &str, arguments: &str| ToolCallView {
            id: id.to_owned(),
            name: "rm".to_owned(),
            arguments: arguments.to_owned(),
            own: turn.call(id),
            at: None,
        };
        let call = call_value(&view("a", "{\"p\":1}"));
        assert_eq!(
            call,
            json!({"id": "a", "type": "function", "extra_content": signed, "function": {"name": "rm", "arguments": "{\"p\":1}"}})
        );
        let other = call_value(&view("b", "{\"q\":2}"));
        assert_eq!(other["function"]["strict"], true);
        assert_eq!(other["function"]["arguments"], "{\"q\":2}");
        assert_eq!(
            turn.call("a").unwrap().matches("{\\\"p\\\":1}").count(),
            1,
            "the parts of the arguments join"
        );
        // What is not known is built.
        let built = call_value(&view("c", "{}"));
        assert_eq!(
            built.to_string(),
            r#"{"id":"c","type":"function","function":{"name":"rm","arguments":"{}"}}"#
        );
    }

    #[test]
    fn a_turn_that_was_not_seen_whole_is_built_anew() {
        let mut turn = of(&[json!({"reasoning_content": "x"})]);
        gather(b"{", &mut turn);
        gather(
            br#"{"choices":[{"delta":{"reasoning_content":"y"}}]}"#,
            &mut turn,
        );
        assert_eq!(turn.message(), None);
        let mut turn = OwnTurn::default();
        let long = json!({"choices": [{"delta": {"content": "x".repeat(1 << 20)}}]}).to_string();
        for _ in 0..40 {
            gather(long.as_bytes(), &mut turn);
        }
        assert_eq!(turn.message(), None, "it is bounded");
    }

    #[test]
    fn what_a_policy_changed_in_the_text_is_changed_in_the_turn() {
        let own = json!({"role": "assistant", "content": "secret", "reasoning": "r"}).to_string();
        let spelled: Value = serde_json::from_str(&turn("[gone]", Some(&own), &[])).unwrap();
        assert_eq!(
            spelled,
            json!({"role": "assistant", "content": "[gone]", "reasoning": "r"})
        );
        let parts = json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "yes"}]});
        let spelled: Value =
            serde_json::from_str(&turn("yes", Some(&parts.to_string()), &[])).unwrap();
        assert_eq!(spelled["content"], parts["content"]);
        assert_eq!(
            turn("yes", None, &[]),
            r#"{"role":"assistant","content":"yes"}"#
        );
    }
}
