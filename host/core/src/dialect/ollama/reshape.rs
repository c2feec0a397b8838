//! A whole answer as a stream, and a stream as a whole answer: for a client that asked for the one where the upstream
//! gives the other. What is made is read and judged like anything that an upstream sent.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::dialect::Undecodable;
use crate::dialect::ollama::fields;
use crate::dialect::ollama::line::one;
use crate::dialect::ollama::own::join;
use crate::dialect::ollama::reader::utf8;
use crate::dialect::ollama::shape::{Shape, THINKING};
use crate::dialect::sse::Frame;

/// Fields of an answer that the first line of a stream has too.
const HEAD: [&str; 4] = ["model", "remote_model", "remote_host", "created_at"];

/// The lines of a stream that says what the body says: one for what is said, and one for the end, as the server writes them.
pub(super) fn stream(shape: &Shape, body: &[u8]) -> Result<Bytes, Undecodable> {
    let mut last = parsed(shape, utf8(body)?)?;
    if states_error(&last) {
        return Ok(one(&Value::Object(last).to_string()).into());
    }
    let mut first = Map::new();
    for name in HEAD {
        if let Some(value) = last.get(name) {
            first.insert(name.to_owned(), value.clone());
        }
    }
    for name in said(shape) {
        if let Some(value) = last.shift_remove(name) {
            first.insert(name.to_owned(), value);
        }
    }
    first.insert("done".to_owned(), json!(false));
    match shape.message {
        Some(field) => {
            let empty = json!({ "role": "assistant", shape.text: "" });
            last.insert(field.to_owned(), empty);
        }
        None => drop(last.insert(shape.text.to_owned(), json!(""))),
    }
    let lines = [first, last].map(|line| one(&Value::Object(line).to_string()));
    Ok(lines.concat().into())
}

/// The fields of a line that bear what is said.
fn said(shape: &Shape) -> Vec<&'static str> {
    match shape.message {
        Some(field) => vec![field, "logprobs"],
        None => vec![shape.text, THINKING, "tool_calls", "logprobs"],
    }
}

/// The body that says what a whole stream says.
pub(super) fn body(shape: &Shape, frames: &[Frame]) -> Result<Vec<u8>, Undecodable> {
    let mut root = Map::new();
    let mut message = Map::new();
    let mut logprobs = Vec::new();
    let mut done = false;
    for data in frames.iter().filter_map(|frame| frame.data.as_ref()) {
        let mut line = parsed(shape, utf8(data)?)?;
        if states_error(&line) {
            return Ok(Value::Object(line).to_string().into_bytes());
        }
        // What follows the last line is read by no client.
        if done {
            break;
        }
        done = line.get("done") == Some(&Value::Bool(true));
        if let Some(Value::Array(tokens)) = line.shift_remove("logprobs") {
            logprobs.extend(tokens);
        }
        match shape.message {
            Some(field) => {
                if let Some(Value::Object(said)) = line.shift_remove(field) {
                    join(&mut message, said);
                }
            }
            None => {
                let said = said(shape).into_iter();
                let said =
                    said.filter_map(|name| Some((name.to_owned(), line.shift_remove(name)?)));
                join(&mut message, said.collect());
            }
        }
        root.extend(line.into_iter().filter(|(_, value)| !value.is_null()));
    }
    if !done {
        let what = "the stream ended before its last line";
        return Err(Undecodable::at("the response", what));
    }
    match shape.message {
        Some(field) => drop(root.insert(field.to_owned(), Value::Object(message))),
        None => root.extend(message),
    }
    if !logprobs.is_empty() {
        root.insert("logprobs".to_owned(), Value::Array(logprobs));
    }
    Ok(Value::Object(root).to_string().into_bytes())
}

fn states_error(line: &Map<String, Value>) -> bool {
    line.get("error")
        .is_some_and(|error| !error.is_null() && error != "")
}

/// A line or body that any reader reads: of a key that stands twice, another value would be left.
fn parsed(shape: &Shape, source: &str) -> Result<Map<String, Value>, Undecodable> {
    fields::walk(shape, source, &mut |_| {})?;
    serde_json::from_str(source).map_err(|error| Undecodable::at("the response", error))
}
