//! A whole answer as a stream, and a stream as a whole answer: for a client that asked for the one where the upstream
//! gives the other. What is made is read and judged like anything that an upstream sent.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::assembly::Assembly;
use super::blocks::{kind, of_type};
use super::course::{Course, Kind};
use super::frames::framed;
use super::undecodable::undecodable;
use super::{events, read, say};
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::sse::Frame;
use crate::dialect::{Identity, Undecodable};

/// Fields of a message that a stream states at its end.
const ENDS: [&str; 4] = ["stop_reason", "stop_sequence", "stop_details", "container"];

/// Usage that is known before anything is generated.
const KNOWN_FIRST: [&str; 3] = [
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
];

/// The events of a stream that says what the body says.
pub(super) fn stream(source: &str) -> Result<Bytes, Undecodable> {
    events::body(source, &mut |_| {})?;
    let root = Object::parse(source).map_err(|error| undecodable("the response", error))?;
    let Some(content) = root.get("content").filter(|_| root.get("error").is_none()) else {
        return Ok(framed("error", source).into());
    };
    let mut out = String::new();
    let mut message: Map<String, Value> =
        serde_json::from_str(source).map_err(|error| undecodable("the response", error))?;
    message.insert("content".to_owned(), json!([]));
    let mut delta = Map::new();
    for key in ENDS {
        let value = message.get_mut(key).map(Value::take);
        delta.extend(value.map(|value| (key.to_owned(), value)));
    }
    delta.entry("stop_reason").or_insert(json!(say::END_TURN));
    message.entry("stop_reason").or_insert(Value::Null);
    // The mark of a partial result stands where the message ends.
    let mark = message.remove(say::MARK);
    let usage = message.get("usage").cloned().unwrap_or_else(|| json!({}));
    if let Some(Value::Object(first)) = message.get_mut("usage") {
        let known = |key: &str| KNOWN_FIRST.contains(&key);
        first.retain(|key, _| known(key));
        first.insert("output_tokens".to_owned(), json!(0));
    }
    let start = json!({ "type": "message_start", "message": message });
    out.push_str(&framed("message_start", &start.to_string()));
    let blocks = json::array(content).map_err(|error| undecodable("content", error))?;
    for (index, value) in (0..).zip(blocks) {
        block(index, value, &mut out)?;
    }
    let mut end = json!({ "type": "message_delta", "delta": delta, "usage": usage });
    if let Some(mark) = mark {
        end[say::MARK] = mark;
    }
    out.push_str(&framed("message_delta", &end.to_string()));
    out.push_str(&say::message_stop());
    Ok(out.into())
}

/// A block as it begins, fills and ends.
fn block(index: u32, value: Raw<'_>, out: &mut String) -> Result<(), Undecodable> {
    let path = || format!("content[{index}]");
    let fields = Object::of(value).map_err(|error| undecodable(path(), error))?;
    let string = |key: &str| fields.string(key).unwrap_or_default().into_owned();
    let mut begun: Vec<(&str, String)> = Vec::new();
    let mut deltas: Vec<Value> = Vec::new();
    let mut say = |key: &'static str, kind: &str, delta: &str, text: String| {
        if !text.is_empty() {
            deltas.push(json!({ "type": kind, delta: text }));
        }
        begun.push((key, "\"\"".to_owned()));
    };
    match kind(&of_type(&fields, &path)?) {
        Kind::Text => {
            say("text", "text_delta", "text", string("text"));
            if fields.get("citations").is_some() {
                begun.push(("citations", "[]".to_owned()));
            }
            for citation in fields.array("citations") {
                let citation: Value = serde_json::from_str(citation.get())
                    .map_err(|error| undecodable(path(), error))?;
                deltas.push(json!({ "type": "citations_delta", "citation": citation }));
            }
        }
        Kind::Thinking => {
            say("thinking", "thinking_delta", "thinking", string("thinking"));
            say(
                "signature",
                "signature_delta",
                "signature",
                string("signature"),
            );
        }
        Kind::Call | Kind::ServerCall => {
            let input = fields
                .get("input")
                .filter(|input| Object::of(*input).is_ok_and(|input| !input.0.is_empty()));
            if let Some(input) = input {
                deltas.push(json!({ "type": "input_json_delta", "partial_json": input.get() }));
            }
            begun.push(("input", "{}".to_owned()));
        }
        Kind::Compaction | Kind::Other => {}
    }
    let begun = json::set(value.get(), &fields, &begun);
    let start =
        format!("{{\"type\":\"content_block_start\",\"index\":{index},\"content_block\":{begun}}}");
    out.push_str(&framed("content_block_start", &start));
    for delta in deltas {
        out.push_str(&say::add(index, delta));
    }
    out.push_str(&say::stop(index));
    Ok(())
}

/// The body that says what a whole stream says.
pub(super) fn body(frames: &[Frame]) -> Result<Vec<u8>, Undecodable> {
    let (mut course, mut assembly) = (Course::default(), Assembly::default());
    let (mut pieces, mut identity) = (Vec::new(), Identity::default());
    for frame in frames {
        let Some(source) = read::data(frame)? else {
            continue;
        };
        // What comes behind the end is read by no client.
        if course.ended {
            break;
        }
        read::is_named_alike(frame, source)?;
        pieces.clear();
        course = read::event(source, course, &mut identity, &mut pieces)?;
        let event: Map<String, Value> =
            serde_json::from_str(source).map_err(|error| undecodable("the event", error))?;
        let root = Object::parse(source).map_err(|error| undecodable("the event", error))?;
        if &*events::name(&root)? == "error" {
            return Ok(Value::Object(event).to_string().into_bytes());
        }
        assembly.add(event);
    }
    if !course.ended {
        let what = "the stream ended before its last event";
        return Err(undecodable("the response", what));
    }
    Ok(assembly.body()?.into_bytes())
}
