//! Requests of Chat Completions from and to those of other APIs.

use serde_json::{Map, Value, json};

use super::NAME;
use crate::dialect::portable::{
    Format, NotPortable, Part, Portable, Said, Tool, ToolChoice, result_text,
};
use crate::event::Role;

/// Fields that change no answer of a model: cache keys, bookkeeping, how a stream is told.
const LEFT: &[&str] = &[
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "service_tier",
    "store",
    "litellm_session_id",
    "session_id",
];

pub(super) fn read(body: &[u8]) -> Result<Portable, NotPortable> {
    let root: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| NotPortable::field("the request", error.to_string()))?;
    let mut portable = Portable {
        choices: 1,
        ..Portable::default()
    };
    for (key, value) in &root {
        if !value.is_null() {
            field(&mut portable, key, value)?;
        }
    }
    portable.name_results();
    Ok(portable)
}

fn field(portable: &mut Portable, key: &str, value: &Value) -> Result<(), NotPortable> {
    let wrong = || NotPortable::field(key, "it has another type than the API says");
    let text = || value.as_str().map(str::to_owned).ok_or_else(wrong);
    let number = || value.as_number().cloned().ok_or_else(wrong);
    match key {
        "model" => portable.model = text()?,
        "stream" => portable.streamed = value.as_bool().ok_or_else(wrong)?,
        "stream_options" => {}
        "messages" => {
            for (at, message) in value.as_array().ok_or_else(wrong)?.iter().enumerate() {
                portable.turns.push(turn(message, at)?);
            }
        }
        "tools" => {
            for (at, tool) in value.as_array().ok_or_else(wrong)?.iter().enumerate() {
                portable.tools.push(tool_of(tool, at)?);
            }
        }
        "tool_choice" => portable.tool_choice = Some(choice(value)?),
        "parallel_tool_calls" => portable.parallel_calls = value.as_bool(),
        "max_tokens" | "max_completion_tokens" => {
            let limit = value.as_u64().and_then(|n| u32::try_from(n).ok());
            let limit = limit.ok_or_else(wrong)?;
            let known = portable.max_output_tokens;
            portable.max_output_tokens = Some(known.map_or(limit, |known| known.min(limit)));
        }
        "temperature" => portable.sampling.temperature = Some(number()?),
        "top_p" => portable.sampling.top_p = Some(number()?),
        "top_k" => portable.sampling.top_k = Some(number()?),
        "seed" => portable.sampling.seed = Some(number()?),
        "presence_penalty" if *value == 0 => {}
        "frequency_penalty" if *value == 0 => {}
        "presence_penalty" => portable.sampling.presence_penalty = Some(number()?),
        "frequency_penalty" => portable.sampling.frequency_penalty = Some(number()?),
        "stop" => match value {
            Value::String(one) => portable.stop.push(one.clone()),
            Value::Array(all) => {
                for one in all {
                    let one = one.as_str().ok_or_else(wrong)?;
                    portable.stop.push(one.to_owned());
                }
            }
            _ => return Err(wrong()),
        },
        "n" => {
            let choices = value.as_u64().and_then(|n| u16::try_from(n).ok());
            portable.choices = choices.ok_or_else(wrong)?;
        }
        "reasoning_effort" => portable.effort = Some(text()?),
        "user" | "safety_identifier" => portable.end_user = Some(text()?),
        "response_format" => portable.format = format(value)?,
        "logprobs" if *value == false => {}
        "modalities" if *value == json!(["text"]) => {}
        "logit_bias" if *value == json!({}) => {}
        name if LEFT.contains(&name) => portable.left.push(name.to_owned()),
        name => {
            return Err(NotPortable::field(
                name,
                "leave it out, or route the model to an upstream that speaks chat completions",
            ));
        }
    }
    Ok(())
}

fn turn(message: &Value, at: usize) -> Result<Said, NotPortable> {
    let place = |field: &str| format!("messages[{at}].{field}");
    let Value::Object(fields) = message else {
        return Err(NotPortable::field(
            format!("messages[{at}]"),
            "it is no object",
        ));
    };
    let role = match fields.get("role").and_then(Value::as_str) {
        Some("system") => Role::System,
        Some("developer") => Role::Developer,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("tool") => Role::Tool,
        _ => {
            let why = "only system, developer, user, assistant and tool are carried";
            return Err(NotPortable::field(place("role"), why));
        }
    };
    let mut parts = Vec::new();
    let mut said = Vec::new();
    for (key, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        match key.as_str() {
            "role" => {}
            // Of the tool, which the call has too. Speakers of one role are told apart by no other API.
            "name" if role == Role::Tool => {}
            "content" => content(value, &place("content"), &mut said)?,
            "refusal" => said.extend(value.as_str().map(|text| Part::Text(text.to_owned()))),
            "reasoning_content" | "reasoning" => {
                if let (Some(text), true) = (value.as_str(), parts.is_empty()) {
                    parts.push(Part::Reasoning(text.to_owned()));
                }
            }
            "tool_call_id" => {}
            "tool_calls" => {
                for (n, call) in value.as_array().into_iter().flatten().enumerate() {
                    said.push(call_of(call, &place(&format!("tool_calls[{n}]")))?);
                }
            }
            "annotations" | "audio" if value.as_array().is_some_and(Vec::is_empty) => {}
            other => {
                let why = "other APIs have no place for it in a message";
                return Err(NotPortable::field(place(other), why));
            }
        }
    }
    parts.append(&mut said);
    if role == Role::Tool {
        let text = texts(&parts).ok_or_else(|| {
            NotPortable::field(place("content"), "a tool's result is carried as text only")
        })?;
        let id = fields.get("tool_call_id").and_then(Value::as_str);
        parts = vec![Part::Result {
            id: id.unwrap_or_default().to_owned(),
            name: String::new(),
            text,
            failed: false,
        }];
    }
    // Texts come before calls, whatever the order of the fields.
    parts.sort_by_key(|part| match part {
        Part::Reasoning(_) => 0,
        Part::Call { .. } => 2,
        _ => 1,
    });
    Ok(Said { role, parts })
}

fn content(value: &Value, place: &str, parts: &mut Vec<Part>) -> Result<(), NotPortable> {
    let list = match value {
        Value::String(text) => {
            if !text.is_empty() {
                parts.push(Part::Text(text.clone()));
            }
            return Ok(());
        }
        Value::Array(list) => list,
        _ => return Err(NotPortable::field(place, "it is neither text nor a list")),
    };
    for (at, part) in list.iter().enumerate() {
        let kind = part["type"].as_str().unwrap_or_default();
        match kind {
            "text" => {
                let text = part["text"].as_str().unwrap_or_default();
                parts.push(Part::Text(text.to_owned()));
            }
            "image_url" => {
                let image = &part["image_url"];
                let url = image.as_str().or_else(|| image["url"].as_str());
                parts.push(picture(url.unwrap_or_default()));
            }
            _ => {
                let why = format!("parts of type `{kind}` are not carried");
                return Err(NotPortable::field(format!("{place}[{at}]"), why));
            }
        }
    }
    Ok(())
}

fn picture(url: &str) -> Part {
    let data = url.strip_prefix("data:");
    match data.and_then(|data| data.split_once(";base64,")) {
        Some((media_type, data)) => Part::Image {
            media_type: media_type.to_owned(),
            data: data.to_owned(),
        },
        None => Part::ImageUrl(url.to_owned()),
    }
}

fn call_of(call: &Value, place: &str) -> Result<Part, NotPortable> {
    let function = call["function"].as_object().ok_or_else(|| {
        NotPortable::field(
            place,
            "only calls of functions are carried, not of custom tools",
        )
    })?;
    let text = |key: &str| match function.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    Ok(Part::Call {
        id: call["id"].as_str().unwrap_or_default().to_owned(),
        name: text("name"),
        arguments: text("arguments"),
    })
}

/// The texts of parts that are all text.
fn texts(parts: &[Part]) -> Option<String> {
    let texts = parts.iter().map(|part| match part {
        Part::Text(text) => Some(text.as_str()),
        _ => None,
    });
    Some(texts.collect::<Option<Vec<_>>>()?.join("\n"))
}

fn tool_of(tool: &Value, at: usize) -> Result<Tool, NotPortable> {
    let place = format!("tools[{at}]");
    let Some(function) = tool["function"].as_object() else {
        let kind = tool["type"].as_str().unwrap_or_default();
        let why = format!("tools of type `{kind}` are not carried, functions are");
        return Err(NotPortable::field(place, why));
    };
    let name = function.get("name").and_then(Value::as_str);
    let description = function.get("description").and_then(Value::as_str);
    Ok(Tool {
        name: name.unwrap_or_default().to_owned(),
        description: description.map(str::to_owned),
        parameters: function.get("parameters").cloned(),
        strict: function.get("strict").and_then(Value::as_bool),
    })
}

fn choice(value: &Value) -> Result<ToolChoice, NotPortable> {
    match value.as_str() {
        Some("auto") => return Ok(ToolChoice::Auto),
        Some("none") => return Ok(ToolChoice::None),
        Some("required") => return Ok(ToolChoice::Required),
        _ => {}
    }
    match value["function"]["name"].as_str() {
        Some(name) => Ok(ToolChoice::Named(name.to_owned())),
        None => Err(NotPortable::field(
            "tool_choice",
            "only auto, none, required and one function are carried",
        )),
    }
}

fn format(value: &Value) -> Result<Option<Format>, NotPortable> {
    match value["type"].as_str() {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(Format::Json)),
        Some("json_schema") => {
            let named = &value["json_schema"];
            Ok(Some(Format::Schema {
                name: named["name"].as_str().unwrap_or_default().to_owned(),
                schema: named["schema"].clone(),
                strict: named["strict"].as_bool(),
            }))
        }
        _ => Err(NotPortable::field(
            "response_format",
            "only text, json_object and json_schema are carried",
        )),
    }
}

pub(super) fn write(portable: &Portable) -> Result<Vec<u8>, NotPortable> {
    let mut root = Map::new();
    let mut set = |key: &str, value: Value| {
        if !value.is_null() {
            root.insert(key.to_owned(), value);
        }
    };
    set("model", json!(portable.model));
    set("stream", json!(portable.streamed));
    let mut messages = Vec::new();
    for turn in &portable.turns {
        write_turn(turn, &mut messages);
    }
    set("messages", json!(messages));
    if !portable.tools.is_empty() {
        let tools: Vec<Value> = portable.tools.iter().map(write_tool).collect();
        set("tools", json!(tools));
    }
    set(
        "tool_choice",
        portable
            .tool_choice
            .as_ref()
            .map_or(Value::Null, |choice| match choice {
                ToolChoice::Auto => json!("auto"),
                ToolChoice::None => json!("none"),
                ToolChoice::Required => json!("required"),
                ToolChoice::Named(name) => {
                    json!({ "type": "function", "function": { "name": name } })
                }
            }),
    );
    set("parallel_tool_calls", json!(portable.parallel_calls));
    // The name that all servers know: OpenAI's own models for reasoning alone demand the other.
    let limit = match portable.effort.is_some() {
        true => "max_completion_tokens",
        false => "max_tokens",
    };
    set(limit, json!(portable.max_output_tokens));
    let sampling = &portable.sampling;
    set("temperature", json!(sampling.temperature));
    set("top_p", json!(sampling.top_p));
    set("seed", json!(sampling.seed));
    set("presence_penalty", json!(sampling.presence_penalty));
    set("frequency_penalty", json!(sampling.frequency_penalty));
    if sampling.top_k.is_some() {
        return Err(NotPortable::to(NAME, "top_k", "it has no such parameter"));
    }
    if !portable.stop.is_empty() {
        set("stop", json!(portable.stop));
    }
    set("reasoning_effort", json!(portable.effort));
    set("user", json!(portable.end_user));
    if portable.choices > 1 {
        set("n", json!(portable.choices));
    }
    set(
        "response_format",
        portable
            .format
            .as_ref()
            .map_or(Value::Null, |format| match format {
                Format::Json => json!({ "type": "json_object" }),
                Format::Schema {
                    name,
                    schema,
                    strict,
                } => {
                    let name = if name.is_empty() { "answer" } else { name };
                    let mut named = json!({ "name": name, "schema": schema });
                    if let Some(strict) = strict {
                        named["strict"] = json!(strict);
                    }
                    json!({ "type": "json_schema", "json_schema": named })
                }
            }),
    );
    Ok(Value::Object(root).to_string().into_bytes())
}

fn write_tool(tool: &Tool) -> Value {
    let mut function = Map::new();
    function.insert("name".to_owned(), json!(tool.name));
    let optional = [
        ("description", json!(tool.description)),
        ("parameters", json!(tool.parameters)),
        ("strict", json!(tool.strict)),
    ];
    for (key, value) in optional.into_iter().filter(|(_, value)| !value.is_null()) {
        function.insert(key.to_owned(), value);
    }
    json!({ "type": "function", "function": function })
}

/// One message, with each tool result as a message of its own before it, as the API wants them.
fn write_turn(turn: &Said, messages: &mut Vec<Value>) {
    let mut content: Vec<Value> = Vec::new();
    let (mut calls, mut reasoning) = (Vec::new(), String::new());
    for part in &turn.parts {
        match part {
            Part::Text(text) => content.push(json!({ "type": "text", "text": text })),
            Part::Image { media_type, data } => {
                let url = format!("data:{media_type};base64,{data}");
                content.push(json!({ "type": "image_url", "image_url": { "url": url } }));
            }
            Part::ImageUrl(url) => {
                content.push(json!({ "type": "image_url", "image_url": { "url": url } }));
            }
            Part::Reasoning(text) => reasoning.push_str(text),
            Part::Call {
                id,
                name,
                arguments,
            } => calls.push(json!({
                "id": id, "type": "function", "function": { "name": name, "arguments": arguments }
            })),
            Part::Result {
                id, text, failed, ..
            } => {
                let text = result_text(text, *failed);
                messages.push(json!({ "role": "tool", "tool_call_id": id, "content": text }));
            }
        }
    }
    let role = match turn.role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::Assistant => "assistant",
        _ => "user",
    };
    let said = !content.is_empty() || !calls.is_empty() || !reasoning.is_empty();
    if !said {
        return;
    }
    let only_text = content.iter().all(|part| part["type"] == "text");
    let content = match content.as_slice() {
        [] => Value::Null,
        [one] if only_text => one["text"].clone(),
        // Many servers take a string only, and no part of a text means anything by itself.
        all if only_text => {
            let texts = all.iter().filter_map(|part| part["text"].as_str());
            json!(texts.collect::<Vec<_>>().join("\n"))
        }
        _ => Value::Array(content),
    };
    let mut message = json!({ "role": role, "content": content });
    if !reasoning.is_empty() {
        message["reasoning_content"] = json!(reasoning);
    }
    if !calls.is_empty() {
        message["tool_calls"] = json!(calls);
    }
    messages.push(message);
}
