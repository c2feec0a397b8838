//! Items of a request as they are written: with other text, and those of a turn that is given back to the model.

use serde_json::json;

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::openai_responses::kinds::{self, Calls};
use crate::dialect::openai_responses::request_item::{answers, kind, part_text};
use crate::dialect::openai_responses::undecodable::{impossible, undecodable};
use crate::dialect::{EditError, ToolCallView, Turn};

/// Fails unless an item is of the model's own turn.
pub(super) fn takes_calls(value: Raw<'_>, index: usize) -> Result<(), EditError> {
    let fields = Object::of(value).ok();
    let own = fields.is_some_and(|fields| match kind(&fields).as_ref() {
        "message" => fields.string("role").as_deref() == Some("assistant"),
        kind => kind.ends_with("_call") || kind == "reasoning",
    });
    match own {
        true => Ok(()),
        false => Err(impossible(
            &format!("messages[{index}]"),
            "only the model makes tool calls",
        )),
    }
}

/// Calls, each with its result.
pub(super) fn calls(calls: &[(ToolCallView, String)]) -> Result<Vec<String>, EditError> {
    let mut items: Vec<String> = calls.iter().map(|(call, _)| call_item(call)).collect();
    items.extend(results(calls)?);
    Ok(items)
}

/// What came of calls.
pub(super) fn results(calls: &[(ToolCallView, String)]) -> Result<Vec<String>, EditError> {
    calls
        .iter()
        .map(|(call, text)| result_item(call, text))
        .collect()
}

/// A turn of the model: its own items in their order, with the calls at their places; then what came of the calls.
pub(super) fn step(turn: &Turn) -> Result<Vec<String>, EditError> {
    let calls = turn.calls();
    let said = turn.said();
    let mut items = Vec::new();
    let mut put: Vec<&str> = Vec::new();
    let list = turn
        .own()
        .and_then(|own| json::array(Raw::of(own).ok()?).ok());
    match list {
        Some(list) => {
            let texts = list.iter().filter_map(|item| message_text(*item));
            let mut rewritten = (texts.collect::<String>() != said).then_some(said);
            let altered = rewritten.is_some();
            for item in list {
                if let Some(id) = json::string(item) {
                    if let Some((call, _)) = calls.iter().find(|(call, _)| call.id == id) {
                        put.push(&call.id);
                        items.push(call_item(call));
                    }
                } else if altered && message_text(item).is_some() {
                    // A policy changed what was said: it stands in the first message, with no id of the server's.
                    items.extend(rewritten.take().filter(|said| !said.is_empty()).map(spoken));
                } else {
                    items.push(item.get().to_owned());
                }
            }
            items.extend(rewritten.filter(|said| !said.is_empty()).map(spoken));
        }
        None if said.is_empty() => {}
        None => items.push(spoken(said)),
    }
    let others = calls
        .iter()
        .filter(|(call, _)| !put.contains(&call.id.as_str()));
    items.extend(others.map(|(call, _)| call_item(call)));
    items.extend(results(&calls)?);
    Ok(items)
}

fn spoken(text: String) -> String {
    json!({ "role": "assistant", "content": text }).to_string()
}

/// What a message of the model says; `None` if it is none.
fn message_text(item: Raw<'_>) -> Option<String> {
    let fields = Object::of(item).ok()?;
    if kind(&fields) != "message" {
        return None;
    }
    let texts = fields.array("content").into_iter().filter_map(|part| {
        let (field, text) = part_text(part)?;
        (field == "text").then(|| text.into_owned())
    });
    Some(texts.collect())
}

/// A call as its server wrote it, with the arguments that were judged; else as the API has it.
fn call_item(call: &ToolCallView) -> String {
    own_call(call).unwrap_or_else(|| {
        let item = json!({
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        });
        item.to_string()
    })
}

fn own_call(call: &ToolCallView) -> Option<String> {
    let own = call.own.as_ref()?;
    let fields = Object::parse(own).ok()?;
    let kind = kind(&fields);
    let set = match kinds::calls(&kind, &fields)? {
        Calls::Named(key) => (key, json::quote(&call.arguments)),
        Calls::Built(_, keys) => {
            let key = keys.iter().find(|key| fields.get(key).is_some())?;
            Raw::of(&call.arguments).ok()?;
            (*key, call.arguments.clone())
        }
    };
    Some(json::set(own, &fields, &[set]))
}

/// What came of a call, in the form that its kind has.
fn result_item(call: &ToolCallView, text: &str) -> Result<String, EditError> {
    let own = call.own.as_ref().and_then(|own| Object::parse(own).ok());
    let kind = own.map(|own| kind(&own).into_owned()).unwrap_or_default();
    let id = &call.id;
    let item = match kind.as_str() {
        "custom_tool_call" => {
            json!({ "type": "custom_tool_call_output", "call_id": id, "output": text })
        }
        "local_shell_call" => {
            json!({ "type": "local_shell_call_output", "call_id": id, "output": text })
        }
        "shell_call" => json!({
            "type": "shell_call_output",
            "call_id": id,
            "output": [{
                "stdout": "",
                "stderr": text,
                "outcome": { "type": "exit", "exit_code": 1 },
            }],
        }),
        "apply_patch_call" => json!({
            "type": "apply_patch_call_output",
            "call_id": id,
            "status": "failed",
            "output": text,
        }),
        "computer_call" => {
            return Err(impossible(
                "computer_call",
                "its result is a picture, and no text",
            ));
        }
        _ => json!({ "type": "function_call_output", "call_id": id, "output": text }),
    };
    Ok(item.to_string())
}

/// The item with other text: in place of all its text, beside what is not text. With `result` it must be the result of that
/// call.
pub(super) fn rewrite(
    value: Raw<'_>,
    index: usize,
    result: Option<&String>,
    text: &str,
) -> Result<String, EditError> {
    let place = format!("messages[{index}]");
    let unreadable = |error| undecodable(place.clone(), error);
    let fields = Object::of(value).map_err(unreadable)?;
    let kind = kind(&fields);
    if let Some(id) = result
        && !(kind.ends_with("_output") && answers(&fields) == id.as_str())
    {
        let what = format!("it is not the result of the call `{id}`");
        return Err(impossible(&place, what));
    }
    let (field, shape) = match kind.as_ref() {
        "message" if fields.string("role").as_deref() == Some("assistant") => {
            ("content", "output_text")
        }
        "message" => ("content", "input_text"),
        "reasoning" if fields.get("encrypted_content").is_none() => ("summary", "summary_text"),
        "reasoning" => {
            let what = "it bears encrypted content, which would not fit other text";
            return Err(impossible(&place, what));
        }
        "shell_call_output" => {
            let outcome = fields.array("output").into_iter().find_map(|part| {
                let outcome = Object::of(part).ok()?.get("outcome")?;
                serde_json::from_str::<serde_json::Value>(outcome.get()).ok()
            });
            let outcome = outcome.unwrap_or(json!({ "type": "exit", "exit_code": 0 }));
            let part = json!([{ "stdout": text, "stderr": "", "outcome": outcome }]);
            return Ok(json::set(
                value.get(),
                &fields,
                &[("output", part.to_string())],
            ));
        }
        "computer_call_output" => {
            return Err(impossible(&place, "the result is a picture, and no text"));
        }
        kind if kind.ends_with("call_output") => ("output", "input_text"),
        _ => return Err(impossible(&place, "it has no text that could be another")),
    };
    let content = match fields.get(field).map(|old| (json::first_byte(old), old)) {
        Some((b'[', old)) => parts(old, shape, text).map_err(unreadable)?,
        _ if kind == "reasoning" => json!([{ "type": shape, "text": text }]).to_string(),
        _ => json::quote(text),
    };
    let mut set = vec![(field, content)];
    if kind == "reasoning" && fields.get("content").is_some() {
        set.push(("content", "[]".to_owned()));
    }
    Ok(json::set(value.get(), &fields, &set))
}

/// Parts with the text in the first one that is text; the others that are go.
fn parts(list: Raw<'_>, shape: &str, text: &str) -> serde_json::Result<String> {
    let mut out = Vec::new();
    let mut written = false;
    for part in json::array(list)? {
        let Some((field, _)) = part_text(part) else {
            out.push(part.get().to_owned());
            continue;
        };
        if !std::mem::replace(&mut written, true) {
            let fields = Object::of(part)?;
            out.push(json::set(
                part.get(),
                &fields,
                &[(field, json::quote(text))],
            ));
        }
    }
    if !written {
        out.insert(0, json!({ "type": shape, "text": text }).to_string());
    }
    Ok(format!("[{}]", out.join(",")))
}
