//! What is said to a client besides the frames of its own API: text that Airlock adds, and the answer of another API's upstream.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::openai_responses::compose::Out;
use crate::dialect::openai_responses::forms;
use crate::dialect::openai_responses::writer::ResponsesWriter;
use crate::dialect::{
    CallKind, CallPart, ClientError, EditError, Finish, Piece, Slot, Writer as _,
};
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
pub(super) fn text(
    writer: &mut ResponsesWriter,
    place: Place,
    text: &str,
) -> Result<Bytes, EditError> {
    let shape = shape(place)?;
    // What the upstream says next repeats none of it.
    writer.part_ways();
    let mut out = Out::default();
    let client = &mut writer.client;
    client.begin(&mut out, &writer.identity);
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
    let item = whole(writer, shape, text);
    writer.client.say_item(&mut out, &item);
    Ok(out.bytes.into())
}

fn whole(writer: &ResponsesWriter, shape: Shape, text: &str) -> Value {
    let id = writer.fresh_id(shape.prefix);
    match shape.item {
        "reasoning" => {
            json!({ "id": id, "type": "reasoning", "summary": [forms::part(shape.part, text)] })
        }
        _ => forms::message(&id, text, shape.part == "refusal"),
    }
}

/// A piece of another API's answer.
pub(super) fn piece(
    writer: &mut ResponsesWriter,
    piece: &Piece,
    finish: Finish,
) -> Result<Bytes, EditError> {
    let mut out = Out::default();
    match piece {
        Piece::Text { place, text, .. } => more(writer, &mut out, *place, text)?,
        Piece::Call(part) => call(writer, &mut out, part)?,
        Piece::Finish { .. } => writer.said.finish = Some(finish),
        Piece::Usage(usage) => {
            let known = writer.said.usage;
            writer.said.usage = Some(known.map_or(*usage, |known| known.with(*usage)));
        }
        Piece::Error(failure) => {
            let error = ClientError {
                status: failure.status,
                kind: failure.kind,
                message: failure.message.clone(),
                code: "airlock_upstream".to_owned(),
                origin: None,
            };
            return Ok(writer.error(&error));
        }
        Piece::Beside => {}
        Piece::End => end(writer, &mut out),
    }
    Ok(out.bytes.into())
}

fn more(
    writer: &mut ResponsesWriter,
    out: &mut Out,
    place: Place,
    text: &str,
) -> Result<(), EditError> {
    let shape = shape(place)?;
    let client = &mut writer.client;
    client.begin(out, &writer.identity);
    let key = match writer.said.open {
        Some((key, open)) if open == shape => key,
        open => {
            if let Some((key, _)) = open {
                client.finish_item(out, key, "completed");
            }
            let mut head = whole(writer, shape, "");
            head[shape.list] = json!([]);
            if shape.item == "message" {
                head["status"] = "in_progress".into();
            }
            let client = &mut writer.client;
            let key = client.add_item(out, &head);
            client.add_part(out, key, shape.list, 0, &forms::part(shape.part, ""));
            writer.said.open = Some((key, shape));
            key
        }
    };
    writer.client.add_text(out, key, shape.list, 0, text);
    Ok(())
}

fn call(writer: &mut ResponsesWriter, out: &mut Out, part: &CallPart) -> Result<(), EditError> {
    let place = Place::new(Channel::ToolArguments, part.choice, 0);
    if part.choice > 0 {
        return Err(EditError::at(place, "there is one choice"));
    }
    let Slot::Index(number) = part.slot else {
        return Err(EditError::at(place, "the call has no number"));
    };
    let client = &mut writer.client;
    client.begin(out, &writer.identity);
    if let Some((key, _)) = writer.said.open.take() {
        client.finish_item(out, key, "completed");
    }
    let key = match writer.said.calls.get(&number) {
        Some(key) => *key,
        None => {
            let Some(name) = &part.name else {
                return Err(EditError::at(place, "the call names no tool"));
            };
            let custom = part.kind == CallKind::Custom;
            let id = writer.fresh_id(if custom { "ctc" } else { "fc" });
            let call = part.id.clone().unwrap_or_else(|| writer.fresh_id("call"));
            let head = match custom {
                true => json!({
                    "id": id, "type": "custom_tool_call", "call_id": call, "name": name, "input": "",
                }),
                false => json!({
                    "id": id, "type": "function_call", "status": "in_progress", "call_id": call,
                    "name": name, "arguments": "",
                }),
            };
            let key = writer.client.add_item(out, &head);
            writer.said.calls.insert(number, key);
            key
        }
    };
    if !part.arguments.is_empty() {
        writer.client.add_arguments(out, key, &part.arguments);
    }
    Ok(())
}

fn end(writer: &mut ResponsesWriter, out: &mut Out) {
    if writer.client.record.ended {
        return;
    }
    writer.said.open = None;
    let (name, status, reason) = match writer.said.finish {
        Some(Finish::Length) => (
            "response.incomplete",
            "incomplete",
            Some("max_output_tokens"),
        ),
        Some(Finish::Filtered) => ("response.incomplete", "incomplete", Some("content_filter")),
        _ => ("response.completed", "completed", None),
    };
    writer.client.begin(out, &writer.identity);
    writer.client.finish_items(out, status);
    let mut response = writer.response();
    response["status"] = status.into();
    response["incomplete_details"] =
        reason.map_or(Value::Null, |reason| json!({ "reason": reason }));
    response["output"] = writer.client.output(status).into();
    if let Some(usage) = writer.said.usage {
        response["usage"] = forms::usage(usage);
    }
    let fields = json!({ "response": response });
    writer.client.emit(out, name, fields);
}
