//! What is said to a client besides the frames of its own API: text that Airlock adds, and the answer of another API's upstream.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::openai_responses::compose::Out;
use crate::dialect::openai_responses::forms;
use crate::dialect::openai_responses::state::State;
use crate::dialect::{CallKind, CallPart, ClientError, EditError, Finish, Piece, Slot};
use crate::event::{Channel, Place, Usage};

/// How far the answer of another API was said.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The item that text goes on in.
    open: Option<(u32, Shape)>,
    /// Items of calls, by number.
    calls: BTreeMap<u16, u32>,
    finish: Option<Finish>,
    usage: Option<Usage>,
}

/// How text of a channel stands in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    item: &'static str,
    list: &'static str,
    part: &'static str,
    prefix: &'static str,
}

fn shape(place: Place) -> Result<Shape, EditError> {
    let (item, list, part, prefix) = match place.channel {
        _ if place.choice > 0 => return Err(EditError::at(place, "there is one choice")),
        Channel::Output => ("message", "content", "output_text", "msg"),
        Channel::Refusal => ("message", "content", "refusal", "msg"),
        Channel::Reasoning => ("reasoning", "summary", "summary_text", "rs"),
        _ => {
            let what = "no one field bears the text of this channel";
            return Err(EditError::at(place, what));
        }
    };
    Ok(Shape {
        item,
        list,
        part,
        prefix,
    })
}

/// Frames that add text: to what is being said, if that goes on at the place; else in an item of its own.
pub(super) fn text(state: &mut State, place: Place, text: &str) -> Result<Bytes, EditError> {
    let shape = shape(place)?;
    // What the upstream says next repeats none of it.
    state.part_ways();
    let mut out = Out::default();
    let client = &mut state.client;
    client.begin(&mut out, &state.identity);
    for key in client.open().into_iter().rev() {
        let bears = client.record.items.get(&key);
        if !bears.is_some_and(|item| item.kind == shape.item && !item.sealed) {
            continue;
        }
        let mut number = 0;
        while let Some(part) = client.part(key, shape.list, number) {
            let path = format!("{}[{number}]", shape.list);
            if part["type"] == shape.part && client.is_open(key, &path) {
                client.add_text(&mut out, key, shape.list, number, text);
                return Ok(out.bytes.into());
            }
            number += 1;
        }
    }
    let item = whole(state, shape, text);
    state.client.say_item(&mut out, &item);
    Ok(out.bytes.into())
}

fn whole(state: &State, shape: Shape, text: &str) -> Value {
    let id = state.fresh_id(shape.prefix);
    match shape.item {
        "reasoning" => {
            json!({ "id": id, "type": "reasoning", "summary": [forms::part(shape.part, text)] })
        }
        _ => forms::message(&id, text, shape.part == "refusal"),
    }
}

/// A piece of another API's answer.
pub(super) fn piece(
    state: &mut State,
    said: &mut Said,
    piece: &Piece,
    finish: Finish,
) -> Result<Bytes, EditError> {
    let mut out = Out::default();
    match piece {
        Piece::Text { place, text, .. } => more(state, said, &mut out, (*place, text))?,
        Piece::Call(part) => call(state, said, &mut out, part)?,
        Piece::Finish { .. } => said.finish = Some(finish),
        Piece::Usage(usage) => {
            let known = said.usage;
            said.usage = Some(known.map_or(*usage, |known| known.with(*usage)));
        }
        Piece::Error(failure) => {
            let error = ClientError {
                status: failure.status,
                kind: failure.kind,
                message: failure.message.clone(),
                code: "airlock_upstream".to_owned(),
                origin: None,
            };
            state.fail(&mut out, &error);
        }
        Piece::Beside => {}
        Piece::End => end(state, said, &mut out),
    }
    Ok(out.bytes.into())
}

fn more(
    state: &mut State,
    said: &mut Said,
    out: &mut Out,
    (place, text): (Place, &str),
) -> Result<(), EditError> {
    let shape = shape(place)?;
    let client = &mut state.client;
    client.begin(out, &state.identity);
    let key = match said.open {
        Some((key, open)) if open == shape => key,
        open => {
            if let Some((key, _)) = open {
                client.finish_item(out, key, "completed");
            }
            let mut head = whole(state, shape, "");
            head[shape.list] = json!([]);
            if shape.item == "message" {
                head["status"] = "in_progress".into();
            }
            let client = &mut state.client;
            let key = client.add_item(out, &head);
            client.add_part(out, key, shape.list, 0, &forms::part(shape.part, ""));
            said.open = Some((key, shape));
            key
        }
    };
    state.client.add_text(out, key, shape.list, 0, text);
    Ok(())
}

fn call(
    state: &mut State,
    said: &mut Said,
    out: &mut Out,
    part: &CallPart,
) -> Result<(), EditError> {
    let place = Place::new(Channel::ToolArguments, part.choice, 0);
    if part.choice > 0 {
        return Err(EditError::at(place, "there is one choice"));
    }
    let Slot::Index(number) = part.slot else {
        return Err(EditError::at(place, "the call has no number"));
    };
    let client = &mut state.client;
    client.begin(out, &state.identity);
    if let Some((key, _)) = said.open.take() {
        client.finish_item(out, key, "completed");
    }
    let key = match said.calls.get(&number) {
        Some(key) => *key,
        None => {
            let Some(name) = &part.name else {
                return Err(EditError::at(place, "the call names no tool"));
            };
            let custom = part.kind == CallKind::Custom;
            let id = state.fresh_id(if custom { "ctc" } else { "fc" });
            let call = part.id.clone().unwrap_or_else(|| state.fresh_id("call"));
            let head = match custom {
                true => json!({
                    "id": id, "type": "custom_tool_call", "call_id": call, "name": name, "input": "",
                }),
                false => json!({
                    "id": id, "type": "function_call", "status": "in_progress", "call_id": call,
                    "name": name, "arguments": "",
                }),
            };
            let key = state.client.add_item(out, &head);
            said.calls.insert(number, key);
            key
        }
    };
    if !part.arguments.is_empty() {
        state.client.add_arguments(out, key, &part.arguments);
    }
    Ok(())
}

fn end(state: &mut State, said: &mut Said, out: &mut Out) {
    if state.client.record.ended {
        return;
    }
    said.open = None;
    let (name, status, reason) = match said.finish {
        Some(Finish::Length) => (
            "response.incomplete",
            "incomplete",
            Some("max_output_tokens"),
        ),
        Some(Finish::Filtered) => ("response.incomplete", "incomplete", Some("content_filter")),
        _ => ("response.completed", "completed", None),
    };
    state.client.begin(out, &state.identity);
    state.client.finish_items(out, status);
    let mut response = state.response();
    response["status"] = status.into();
    response["incomplete_details"] =
        reason.map_or(Value::Null, |reason| json!({ "reason": reason }));
    response["output"] = state.client.output(status).into();
    if let Some(usage) = said.usage {
        response["usage"] = forms::usage(usage);
    }
    let fields = json!({ "response": response });
    state.client.emit(out, name, fields);
}
