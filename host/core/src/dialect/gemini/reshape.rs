//! A whole answer as a stream, and a stream as a whole answer. A frame has the form of a body, so that the one is the stream's
//! only frame, and the other what its frames say together.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::dialect::Undecodable;
use crate::dialect::gemini::body::event;
use crate::dialect::gemini::calls::Calls;
use crate::dialect::gemini::fact::{Fact, Form, Shape};
use crate::dialect::gemini::fields::camel;
use crate::dialect::gemini::read;
use crate::dialect::gemini::undecodable::{undecodable, utf8};
use crate::dialect::gemini::walk::walk;
use crate::dialect::json::{self, Raw};
use crate::dialect::sse::Frame;
use crate::dialect::usage;

/// The frames of a stream that says what the body says. A stream that came as one array has its elements as frames.
pub(super) fn stream(body: &[u8]) -> Result<Bytes, Undecodable> {
    let source = utf8(body)?;
    let value = Raw::of(source).map_err(|error| undecodable("the response", error))?;
    if json::first_byte(value) != b'[' {
        return Ok(event(&whole(source)?.into()).into());
    }
    let mut events = String::new();
    for element in json::array(value).map_err(|error| undecodable("the response", error))? {
        // What reads twofold is refused before one reading of it is chosen.
        walk(element.get(), Form::Frame, &mut |_| {})?;
        events.push_str(&event(&parsed(element.get())?.into()));
    }
    Ok(events.into())
}

/// The one frame that says what the body says.
fn whole(source: &str) -> Result<Map<String, Value>, Undecodable> {
    walk(source, Form::Body, &mut |_| {})?;
    let mut root = parsed(source)?;
    if let Some(Value::Array(candidates)) = root.get_mut("candidates") {
        for (at, candidate) in candidates.iter_mut().enumerate() {
            let Value::Object(candidate) = candidate else {
                return Err(undecodable(format!("candidates[{at}]"), "it is no object"));
            };
            candidate.insert("index".to_owned(), json!(at));
            let finish = candidate.entry("finishReason").or_insert(Value::Null);
            if finish.is_null() {
                *finish = json!("STOP");
            }
        }
    }
    Ok(root)
}

/// The body that says what a whole stream says.
pub(super) fn body(frames: &[Frame]) -> Result<Vec<u8>, Undecodable> {
    let calls = Begun::read(frames)?;
    let mut calls = calls.0.into_iter();
    let mut root = Map::new();
    let mut candidates: BTreeMap<u16, Map<String, Value>> = BTreeMap::new();
    let mut ended = false;
    for frame in frames {
        let Some(source) = read::data(frame)? else {
            continue;
        };
        walk(source, Form::Frame, &mut |fact| {
            ended |= matches!(fact, Fact::Finish { .. })
        })?;
        let frame = parsed(source)?;
        if frame.get("error").is_some_and(|error| !error.is_null()) {
            return Ok(Value::Object(frame).to_string().into_bytes());
        }
        for (key, value) in frame {
            match (key.as_str(), value) {
                ("candidates", Value::Array(list)) => {
                    for candidate in list {
                        let Value::Object(candidate) = candidate else {
                            return Err(undecodable("candidates", "one is no object"));
                        };
                        let index = candidate
                            .get("index")
                            .and_then(Value::as_f64)
                            .unwrap_or_default();
                        add_candidate(
                            candidates.entry(index as u16).or_default(),
                            candidate,
                            &mut calls,
                        );
                    }
                }
                (_, Value::Null) => {}
                // The newest counts, of those that count at all.
                ("usageMetadata", value) => {
                    let counts = |value: &Value| usage::read(value).is_some();
                    let known = root.get("usageMetadata");
                    if counts(&value) || !known.is_some_and(counts) {
                        root.insert(key, value);
                    }
                }
                (_, value) => add(&mut root, key, value),
            }
        }
    }
    if !ended {
        return Err(undecodable(
            "the response",
            "the stream ended before its last frame",
        ));
    }
    let indexed = |(index, mut candidate): (u16, Map<String, Value>)| {
        candidate.insert("index".to_owned(), json!(index));
        Value::Object(candidate)
    };
    let candidates: Vec<Value> = candidates.into_iter().map(indexed).collect();
    let mut body = Map::new();
    if !candidates.is_empty() {
        body.insert("candidates".to_owned(), Value::Array(candidates));
    }
    body.extend(root);
    Ok(Value::Object(body).to_string().into_bytes())
}

fn add_candidate(known: &mut Map<String, Value>, new: Map<String, Value>, calls: &mut Arguments) {
    for (key, value) in new {
        match (key.as_str(), value) {
            ("index", _) | (_, Value::Null) => {}
            ("content", Value::Object(content)) => {
                let known = known.entry("content").or_insert_with(|| json!({}));
                if let Value::Object(known) = known {
                    add_content(known, content, calls);
                }
            }
            // Each frame rates anew.
            ("safetyRatings", value) => drop(known.insert(key, value)),
            (_, value) => add(known, key, value),
        }
    }
}

fn add_content(known: &mut Map<String, Value>, new: Map<String, Value>, calls: &mut Arguments) {
    for (key, value) in new {
        match (key.as_str(), value) {
            (_, Value::Null) => {}
            ("parts", Value::Array(parts)) => {
                let list = known.entry("parts").or_insert_with(|| json!([]));
                if let Value::Array(list) = list {
                    parts
                        .into_iter()
                        .for_each(|part| add_part(list, part, calls));
                }
            }
            (_, value) => drop(known.insert(key, value)),
        }
    }
}

/// Texts that frames cut join, but none that is signed; an empty one goes.
fn add_part(list: &mut Vec<Value>, mut part: Value, calls: &mut Arguments) {
    if let Some(Value::Object(call)) = part.get_mut("functionCall") {
        match calls.next() {
            Some(Begins::No) => return,
            Some(Begins::With(arguments)) => {
                call.shift_remove("partialArgs");
                call.shift_remove("willContinue");
                call.insert("args".to_owned(), arguments);
            }
            Some(Begins::Whole) | None => {}
        }
        return list.push(part);
    }
    let plain = |part: &Value| -> Option<bool> {
        let fields = part.as_object()?;
        let mut names = fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, _)| name.as_str());
        let plain =
            names.all(|name| matches!(name, "text" | "thought")) && part["text"].is_string();
        plain.then(|| part["thought"] == true)
    };
    let thought = plain(&part);
    match list.last_mut() {
        _ if thought.is_some() && part["text"] == "" => {}
        Some(last) if thought.is_some() && plain(last) == thought => {
            let text = |part: &Value| part["text"].as_str().unwrap_or_default().to_owned();
            last["text"] = json!(text(last) + &text(&part));
        }
        _ => list.push(part),
    }
}

/// What was said before and what is said now of one thing: lists grow, objects are filled in, anything else is said anew.
fn add(known: &mut Map<String, Value>, key: String, value: Value) {
    match (known.get_mut(&key), value) {
        (_, Value::Null) => {}
        (Some(Value::Array(old)), Value::Array(new)) => old.extend(new),
        (Some(Value::Object(old)), Value::Object(new)) => {
            new.into_iter()
                .for_each(|(key, value)| add(old, key, value));
        }
        (_, value) => drop(known.insert(key, value)),
    }
}

/// The parts of calls of a stream, in their order.
struct Begun(Vec<Begins>);

type Arguments = std::vec::IntoIter<Begins>;

enum Begins {
    /// It is a whole call.
    Whole,
    /// It begins a call that has these arguments in the end.
    With(Value),
    /// It goes on with one.
    No,
}

impl Begun {
    fn read(frames: &[Frame]) -> Result<Self, Undecodable> {
        let mut calls = Calls::default();
        let mut begun = Vec::new();
        // Where each call of which parts came began, and its arguments.
        let mut texts: Vec<(u16, usize, String)> = Vec::new();
        for frame in frames {
            let mut wrong = None;
            let Some(source) = read::data(frame)? else {
                continue;
            };
            walk(source, Form::Frame, &mut |fact| {
                let Fact::Call(call) = fact else { return };
                match (calls.part(Form::Frame, &call), &call.shape) {
                    (Err(error), _) => wrong = Some(error),
                    (Ok(_), Shape::Whole(_)) => begun.push(Begins::Whole),
                    (Ok(part), _) if call.name.is_some() => {
                        texts.push((call.choice, begun.len(), part.arguments));
                        begun.push(Begins::With(Value::Null));
                    }
                    (Ok(part), _) => {
                        let open = texts
                            .iter_mut()
                            .rev()
                            .find(|(choice, ..)| *choice == call.choice);
                        if let Some((.., text)) = open {
                            text.push_str(&part.arguments);
                        }
                        begun.push(Begins::No);
                    }
                }
            })?;
            wrong.map_or(Ok(()), Err)?;
        }
        for (_, at, text) in texts {
            let arguments =
                serde_json::from_str(&text).map_err(|error| undecodable("partialArgs", error))?;
            if let Some(begins) = begun.get_mut(at) {
                *begins = Begins::With(arguments);
            }
        }
        Ok(Self(begun))
    }
}

/// A frame or body with its fields in camel case. Arguments and results of functions are no fields of the API.
fn parsed(source: &str) -> Result<Map<String, Value>, Undecodable> {
    match serde_json::from_str(source).map(in_camel_case) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(undecodable("the response", "it is no object")),
        Err(error) => Err(undecodable("the response", error)),
    }
}

fn in_camel_case(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(in_camel_case).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let name = camel(&name).unwrap_or(name);
                match name.as_str() {
                    "args" | "response" => (name, value),
                    _ => (name, in_camel_case(value)),
                }
            });
            Value::Object(fields.collect())
        }
        other => other,
    }
}
