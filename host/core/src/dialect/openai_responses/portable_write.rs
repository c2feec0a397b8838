//! Requests of other APIs as those of Responses.
//!
//! Nothing is stored at the server: the client's own API has no word for it, and its next request brings the conversation
//! again. Thoughts of the model are not given back, since the API takes back those alone that its own server encrypted. A
//! result has no mark of failure: that it failed stands in its text.

use serde_json::{Map, Value, json};

use crate::dialect::openai_responses::NAME;
use crate::dialect::portable::{Format, Part, Said, ToolChoice, result_text};
use crate::dialect::{NotPortable, Portable};
use crate::event::Role;

fn refused<T>(field: &str, why: &str) -> Result<T, NotPortable> {
    Err(NotPortable::to(NAME, field, why))
}

pub(super) fn write(portable: &Portable) -> Result<Vec<u8>, NotPortable> {
    let sampling = &portable.sampling;
    for (field, stated) in [
        ("top_k", &sampling.top_k),
        ("seed", &sampling.seed),
        ("presence_penalty", &sampling.presence_penalty),
        ("frequency_penalty", &sampling.frequency_penalty),
    ] {
        if stated.is_some() {
            return refused(field, "the API has no such field");
        }
    }
    if !portable.stop.is_empty() {
        return refused("stop", "the API has no such field");
    }
    if portable.choices > 1 {
        return refused("n", "the API gives one answer");
    }
    let mut body = Map::new();
    let mut set = |key: &str, value: Value| drop(body.insert(key.to_owned(), value));
    set("model", json!(portable.model));
    let (instructions, turns) = instructions(&portable.turns);
    if let Some(instructions) = instructions {
        set("instructions", json!(instructions));
    }
    let mut input = Vec::new();
    for turn in turns {
        items(turn, &mut input)?;
    }
    set("input", input.into());
    if portable.streamed {
        set("stream", json!(true));
    }
    set("store", json!(false));
    if !portable.tools.is_empty() {
        set("tools", tools(portable));
    }
    match &portable.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => set("tool_choice", json!("auto")),
        Some(ToolChoice::None) => set("tool_choice", json!("none")),
        Some(ToolChoice::Required) => set("tool_choice", json!("required")),
        Some(ToolChoice::Named(name)) => {
            set("tool_choice", json!({ "type": "function", "name": name }));
        }
    }
    if let Some(parallel) = portable.parallel_calls {
        set("parallel_tool_calls", json!(parallel));
    }
    if let Some(limit) = portable.max_output_tokens {
        set("max_output_tokens", json!(limit));
    }
    if let Some(temperature) = &sampling.temperature {
        set("temperature", json!(temperature));
    }
    if let Some(top_p) = &sampling.top_p {
        set("top_p", json!(top_p));
    }
    if let Some(format) = &portable.format {
        set("text", json!({ "format": form(format) }));
    }
    if let Some(effort) = &portable.effort {
        set("reasoning", json!({ "effort": effort }));
    }
    if let Some(user) = &portable.end_user {
        set("user", json!(user));
    }
    Ok(Value::Object(body).to_string().into_bytes())
}

/// The system text at the beginning, and the turns after it.
fn instructions(turns: &[Said]) -> (Option<String>, &[Said]) {
    let is_text = |turn: &Said| {
        let text = |part: &Part| matches!(part, Part::Text(_));
        turn.role == Role::System && turn.parts.iter().all(text)
    };
    let end = turns.iter().take_while(|turn| is_text(turn)).count();
    let (system, rest) = turns.split_at(end);
    let texts: Vec<&str> = system
        .iter()
        .flat_map(|turn| &turn.parts)
        .filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    ((!texts.is_empty()).then(|| texts.join("\n\n")), rest)
}

fn tools(portable: &Portable) -> Value {
    let tools = portable.tools.iter().map(|tool| {
        json!({
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
            // The API's own default is strict, which no other one has.
            "strict": tool.strict.unwrap_or(false),
        })
    });
    tools.collect()
}

fn form(format: &Format) -> Value {
    match format {
        Format::Json => json!({ "type": "json_object" }),
        Format::Schema {
            name,
            schema,
            strict,
        } => {
            let name = if name.is_empty() { "answer" } else { name };
            let mut form = json!({ "type": "json_schema", "name": name, "schema": schema });
            if let Some(strict) = strict {
                form["strict"] = json!(strict);
            }
            form
        }
    }
}

/// The items that a turn is.
fn items(turn: &Said, input: &mut Vec<Value>) -> Result<(), NotPortable> {
    let role = match turn.role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
        _ => return refused("messages", "the API has no such role"),
    };
    let own = turn.role == Role::Assistant;
    let shape = if own { "output_text" } else { "input_text" };
    let mut content: Vec<Value> = Vec::new();
    let flush = |content: &mut Vec<Value>, input: &mut Vec<Value>| {
        if !content.is_empty() {
            let content = std::mem::take(content);
            input.push(json!({ "type": "message", "role": role, "content": content }));
        }
    };
    for part in &turn.parts {
        match part {
            Part::Text(_) if turn.role == Role::Tool => {
                return refused("messages", "a tool says nothing but results");
            }
            Part::Text(text) => content.push(json!({ "type": shape, "text": text })),
            Part::Image { .. } | Part::ImageUrl(_) if turn.role != Role::User => {
                return refused("messages", "pictures are taken from the user alone");
            }
            Part::Image { media_type, data } => {
                let url = format!("data:{media_type};base64,{data}");
                content.push(json!({ "type": "input_image", "image_url": url, "detail": "auto" }));
            }
            Part::ImageUrl(url) => {
                content.push(json!({ "type": "input_image", "image_url": url, "detail": "auto" }));
            }
            Part::Reasoning(_) => {}
            Part::Call {
                id,
                name,
                arguments,
            } => {
                flush(&mut content, input);
                input.push(json!({
                    "type": "function_call", "call_id": id, "name": name, "arguments": arguments,
                }));
            }
            Part::Result {
                id, text, failed, ..
            } => {
                flush(&mut content, input);
                input.push(json!({
                    "type": "function_call_output", "call_id": id, "output": result_text(text, *failed),
                }));
            }
        }
    }
    flush(&mut content, input);
    Ok(())
}
