//! A whole answer as a stream, and a stream as a whole answer: for a client that asked for the one where the upstream
//! gives the other. What is made is read and judged like anything that an upstream sent.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::dialect::Undecodable;
use crate::dialect::openai::{self, TERMINATOR, frame};
use crate::dialect::openai_completions::fact::Form;
use crate::dialect::openai_completions::fields;
use crate::dialect::sse::Frame;

/// What every chunk of a stream says of the answer.
const HEAD: [&str; 5] = ["id", "object", "created", "model", "system_fingerprint"];

/// The frames of a stream that says what the body says.
pub(super) fn stream(body: &[u8]) -> Result<Bytes, Undecodable> {
    let mut root = parsed(openai::utf8(body)?, Form::Body)?;
    if states_error(&root) {
        return Ok(frame(&Value::Object(root)).into());
    }
    let Some(Value::Array(choices)) = root.remove("choices") else {
        return Err(Undecodable::at("choices", "there is no list of them"));
    };
    let usage = root.remove("usage").filter(|usage| !usage.is_null());
    let of_head = |(key, _): &(&String, &Value)| HEAD.contains(&key.as_str());
    let head: Map<String, Value> = root
        .iter()
        .filter(of_head)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    // What stands beside the choices is said once.
    let mut first = Some(root);
    let mut chunk = |choices: Value| {
        let mut says = first.take().unwrap_or_else(|| head.clone());
        says.insert("choices".to_owned(), choices);
        says
    };
    let mut out = String::new();
    for (n, choice) in choices.into_iter().enumerate() {
        let Value::Object(mut choice) = choice else {
            return Err(Undecodable::at(format!("choices[{n}]"), "it is no object"));
        };
        // In a body the place of a choice is its number.
        choice.insert("index".to_owned(), json!(n));
        let reason = choice.insert("finish_reason".to_owned(), Value::Null);
        let reason = reason.filter(|reason| !reason.is_null());
        out.push_str(&frame(&Value::Object(chunk(json!([choice])))));
        let reason = reason.unwrap_or_else(|| json!("stop"));
        let end = json!([{ "text": "", "index": n, "logprobs": null, "finish_reason": reason }]);
        out.push_str(&frame(&Value::Object(chunk(end))));
    }
    if let Some(usage) = usage {
        let mut last = chunk(json!([]));
        last.insert("usage".to_owned(), usage);
        out.push_str(&frame(&Value::Object(last)));
    }
    out.push_str(TERMINATOR);
    Ok(out.into())
}

/// The body that says what a whole stream says.
pub(super) fn body(frames: &[Frame]) -> Result<Vec<u8>, Undecodable> {
    let mut root = Map::new();
    let mut choices: BTreeMap<u64, Map<String, Value>> = BTreeMap::new();
    let mut ended = false;
    for frame in frames {
        let Some(source) = openai::chunk(frame)? else {
            ended |= openai::is_done(frame);
            continue;
        };
        let mut chunk = parsed(source, Form::Frame)?;
        if states_error(&chunk) {
            return Ok(Value::Object(chunk).to_string().into_bytes());
        }
        let list = chunk.remove("choices");
        for (at, choice) in list.iter().flat_map(Value::as_array).flatten().enumerate() {
            if let Value::Object(choice) = choice {
                let index = choice.get("index").and_then(Value::as_u64);
                let known = choices.entry(index.unwrap_or(at as u64)).or_default();
                add(known, choice.clone());
            }
        }
        root.extend(chunk.into_iter().filter(|(_, value)| !value.is_null()));
    }
    let finished = |choice: &Map<String, Value>| {
        let reason = choice.get("finish_reason");
        reason.is_some_and(Value::is_string)
    };
    ended |= choices.values().any(finished);
    if !ended || choices.is_empty() {
        let what = "the stream ended before its last frame";
        return Err(Undecodable::at("the response", what));
    }
    let choices = choices.into_iter().map(|(index, mut choice)| {
        choice.insert("index".to_owned(), json!(index));
        Value::Object(choice)
    });
    root.insert("choices".to_owned(), choices.collect());
    Ok(Value::Object(root).to_string().into_bytes())
}

/// Adds what a chunk says of a choice: text goes on, columns of tokens grow, all else is said again.
fn add(known: &mut Map<String, Value>, more: Map<String, Value>) {
    for (key, value) in more {
        match (known.get_mut(&key), value) {
            (Some(_), Value::Null) => {}
            (Some(Value::String(known)), Value::String(more)) if key != "finish_reason" => {
                known.push_str(&more);
            }
            (Some(Value::Array(known)), Value::Array(more)) => known.extend(more),
            (Some(Value::Object(known)), Value::Object(more)) => add(known, more),
            (_, value) => drop(known.insert(key, value)),
        }
    }
}

fn states_error(root: &Map<String, Value>) -> bool {
    root.get("error").is_some_and(|error| !error.is_null())
}

/// A chunk or body that the reader reads: of a key that stands twice, another value would be left.
fn parsed(source: &str, form: Form) -> Result<Map<String, Value>, Undecodable> {
    fields::walk(source, form, &mut |_| {})?;
    serde_json::from_str(source).map_err(|error| Undecodable::at("the response", error))
}
