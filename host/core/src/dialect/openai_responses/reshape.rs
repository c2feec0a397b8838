//! A whole answer as a stream, and a stream as a whole answer: for a client that asked for the one where the upstream
//! gives the other. What is made is read and judged like anything that an upstream sent.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::Undecodable;
use crate::dialect::json::{Object, Raw};
use crate::dialect::openai_responses::client::Client;
use crate::dialect::openai_responses::compose::Out;
use crate::dialect::openai_responses::event::Kind;
use crate::dialect::openai_responses::fact::{Event, Fact};
use crate::dialect::openai_responses::reader::{source, utf8, whole};
use crate::dialect::openai_responses::record::Record;
use crate::dialect::openai_responses::undecodable::undecodable;
use crate::dialect::sse::Frame;

/// The events of a stream that says what the body says.
pub(super) fn stream(body: &[u8]) -> Result<Bytes, Undecodable> {
    let text = utf8(body)?;
    let read = whole(&mut Record::default(), text)?;
    let unreadable = |error| undecodable("the response", error);
    let root: Value = serde_json::from_str(text).map_err(unreadable)?;
    let (mut client, mut out) = (Client::default(), Out::default());
    if read.response.is_none() {
        let error = read.facts.iter().find_map(|fact| match fact {
            Fact::Error(value) => serde_json::from_str::<Value>(value.get()).ok(),
            _ => None,
        });
        let error = error.ok_or_else(|| undecodable("output", "there is no list of items"))?;
        client.emit(&mut out, "error", json!({ "error": error }));
        return Ok(out.bytes.into());
    }
    let mut head = root.clone();
    if let Some(head) = head.as_object_mut() {
        head.insert("status".to_owned(), "in_progress".into());
        head.insert("output".to_owned(), json!([]));
        for field in ["error", "incomplete_details", "usage", "completed_at"] {
            if let Some(value) = head.get_mut(field) {
                *value = Value::Null;
            }
        }
        head.shift_remove("output_text");
    }
    client.begin_with(&mut out, &head);
    for item in root["output"].as_array().into_iter().flatten() {
        client.say_item(&mut out, item);
    }
    let name = match root["status"].as_str() {
        Some("incomplete") => "response.incomplete",
        Some("failed") => "response.failed",
        Some("cancelled") => "response.cancelled",
        _ => "response.completed",
    };
    client.emit(&mut out, name, json!({ "response": root }));
    Ok(out.bytes.into())
}

/// The body that says what a whole stream says: the response of its last event, with the items that were said before and are
/// missing there.
pub(super) fn body(frames: &[Frame]) -> Result<Vec<u8>, Undecodable> {
    let mut client = Client::default();
    let mut error = None;
    for frame in frames {
        let Some(source) = source(frame)? else {
            continue;
        };
        let event = client.heard(source)?;
        match event.kind {
            Kind::Ends => {
                let whole = ended(&event)?;
                return with_missing(&event, whole, &client);
            }
            Kind::Error => error = Some(stated(source)),
            _ => {}
        }
    }
    let unended = || undecodable("the response", "the stream ended before its last event");
    Ok(error.ok_or_else(unended)?.to_string().into_bytes())
}

fn ended<'a>(event: &Event<'a>) -> Result<Raw<'a>, Undecodable> {
    let missing = || undecodable("response", "the event has no such field");
    event.response.ok_or_else(missing)
}

fn with_missing(
    event: &Event<'_>,
    whole: Raw<'_>,
    client: &Client,
) -> Result<Vec<u8>, Undecodable> {
    let listed = event.output.iter().flat_map(|(_, items)| items);
    let listed: Vec<(u32, Raw<'_>)> = listed.copied().collect();
    let missing = |key: &&u32| !listed.iter().any(|(known, _)| known == *key);
    if client.record.items.keys().find(missing).is_none() {
        return Ok(whole.get().as_bytes().to_vec());
    }
    let items = client.record.items.keys().map(|key| {
        let said = listed.iter().find(|(known, _)| known == key);
        said.map_or_else(
            || client.item(*key, "completed").to_string(),
            |(_, item)| item.get().to_owned(),
        )
    });
    let list = format!("[{}]", items.collect::<Vec<_>>().join(","));
    let fields = Object::of(whole).map_err(|error| undecodable("response", error))?;
    let whole = crate::dialect::json::set(whole.get(), &fields, &[("output", list)]);
    Ok(whole.into_bytes())
}

/// The error of an event, as the body of a response has it.
fn stated(source: &str) -> Value {
    let mut event: Value = serde_json::from_str(source).unwrap_or_default();
    match event.get_mut("error").map(Value::take) {
        Some(error) if !error.is_null() => json!({ "error": error }),
        _ => {
            if let Some(fields) = event.as_object_mut() {
                fields.shift_remove("sequence_number");
                fields.shift_remove("type");
            }
            json!({ "error": event })
        }
    }
}
