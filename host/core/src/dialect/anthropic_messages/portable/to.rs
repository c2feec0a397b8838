//! A request of another API as this one can be asked the same.
//!
//! Thoughts are not carried: the API takes those alone that its own models have signed.

use serde_json::{Map, Value, json};

use crate::dialect::anthropic_messages::NAME;
use crate::dialect::portable::{Format, NotPortable, Part, Portable, Said, Tool, ToolChoice};
use crate::event::Role;

/// The API demands a limit. Where the request states none, this one, which every model that is served takes.
const MAX_TOKENS: u32 = 4096;

pub fn write(portable: &Portable) -> Result<Vec<u8>, NotPortable> {
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| drop(body.insert(key.to_owned(), value));
    put("model", json!(portable.model));
    let limit = portable.max_output_tokens.unwrap_or(MAX_TOKENS);
    put("max_tokens", json!(limit));
    if portable.streamed {
        put("stream", json!(true));
    }
    let system = instructions(&portable.turns)?;
    if !system.is_empty() {
        put("system", json!(system));
    }
    put("messages", Value::Array(messages(&portable.turns)?));
    if !portable.tools.is_empty() {
        let tools = portable.tools.iter().map(tool);
        put("tools", tools.collect());
        if let Some(choice) = choice(portable) {
            put("tool_choice", choice);
        }
    }
    let sampling = &portable.sampling;
    for (field, value) in [
        ("seed", &sampling.seed),
        ("presence_penalty", &sampling.presence_penalty),
        ("frequency_penalty", &sampling.frequency_penalty),
    ] {
        // Zero is what the others take for none.
        let none = |number: &serde_json::Number| number.as_f64() == Some(0.0) && field != "seed";
        if value.as_ref().is_some_and(|number| !none(number)) {
            return Err(refused(field, "the API has no such parameter"));
        }
    }
    if sampling
        .temperature
        .as_ref()
        .is_some_and(|t| t.as_f64() > Some(1.0))
    {
        return Err(refused("temperature", "it is at most 1 there"));
    }
    for (key, value) in [
        ("temperature", &sampling.temperature),
        ("top_p", &sampling.top_p),
        ("top_k", &sampling.top_k),
    ] {
        if let Some(value) = value {
            put(key, json!(value));
        }
    }
    if !portable.stop.is_empty() {
        put("stop_sequences", json!(portable.stop));
    }
    if portable.choices > 1 {
        return Err(refused("n", "the API gives one answer"));
    }
    let mut config = Map::new();
    match portable.effort.as_deref() {
        None => {}
        Some("none") => put("thinking", json!({ "type": "disabled" })),
        // The least that it has.
        Some("minimal") => drop(config.insert("effort".to_owned(), json!("low"))),
        Some(effort) => drop(config.insert("effort".to_owned(), json!(effort))),
    }
    match &portable.format {
        None => {}
        // It fits in every respect whatever is asked for, and has no name.
        Some(Format::Schema { schema, .. }) => {
            let format = json!({ "type": "json_schema", "schema": schema });
            config.insert("format".to_owned(), format);
        }
        Some(Format::Json) => {
            return Err(refused("response_format", "state a JSON schema"));
        }
    }
    if !config.is_empty() {
        put("output_config", Value::Object(config));
    }
    if let Some(user) = &portable.end_user {
        put("metadata", json!({ "user_id": user }));
    }
    Ok(Value::Object(body).to_string().into_bytes())
}

/// All instructions, wherever they stand: the API takes them before the messages.
fn instructions(turns: &[Said]) -> Result<String, NotPortable> {
    let mut texts = Vec::new();
    for part in turns
        .iter()
        .filter(|turn| instructs(turn))
        .flat_map(|turn| &turn.parts)
    {
        match part {
            Part::Text(text) if text.is_empty() => {}
            Part::Text(text) => texts.push(text.as_str()),
            _ => return Err(refused("system", "instructions are text")),
        }
    }
    Ok(texts.join("\n\n"))
}

fn instructs(turn: &Said) -> bool {
    matches!(turn.role, Role::System | Role::Developer)
}

/// The turns, those of one side joined: all results of a turn's calls must stand in the message that follows it, before
/// any text.
fn messages(turns: &[Said]) -> Result<Vec<Value>, NotPortable> {
    let mut messages: Vec<(&str, Vec<Value>, Vec<Value>)> = Vec::new();
    for (at, turn) in turns
        .iter()
        .enumerate()
        .filter(|(_, turn)| !instructs(turn))
    {
        let role = match turn.role {
            Role::Assistant => "assistant",
            _ => "user",
        };
        let (mut results, mut blocks) = (Vec::new(), Vec::new());
        for part in &turn.parts {
            let block = block(part, role, &format!("messages[{at}]"))?;
            match part {
                Part::Result { .. } => results.extend(block),
                _ => blocks.extend(block),
            }
        }
        if results.is_empty() && blocks.is_empty() {
            continue;
        }
        match messages.last_mut() {
            // Results that come behind what the user said answer calls of an earlier turn, and are not in their place.
            Some((known, earlier, said)) if *known == role && said.is_empty() => {
                earlier.extend(results);
                said.extend(blocks);
            }
            Some((known, _, said)) if *known == role && results.is_empty() => said.extend(blocks),
            _ => messages.push((role, results, blocks)),
        }
    }
    let message = |(role, mut results, blocks): (&str, Vec<Value>, Vec<Value>)| {
        results.extend(blocks);
        json!({ "role": role, "content": results })
    };
    Ok(messages.into_iter().map(message).collect())
}

/// A part as a block; `None` if there is nothing to say in it, which the API refuses.
fn block(part: &Part, role: &str, path: &str) -> Result<Option<Value>, NotPortable> {
    let of_model = role == "assistant";
    Ok(Some(match part {
        Part::Text(text) if text.is_empty() => return Ok(None),
        Part::Text(text) => json!({ "type": "text", "text": text }),
        // Told by who carries the request: unsigned, it is refused.
        Part::Reasoning(_) => return Ok(None),
        Part::Image { .. } | Part::ImageUrl(_) if of_model => {
            return Err(refused(path, "the model says text alone"));
        }
        Part::Image { media_type, data } => image(media_type, data),
        Part::ImageUrl(url) => match in_url(url) {
            Some((media_type, data)) => image(media_type, data),
            None => json!({ "type": "image", "source": { "type": "url", "url": url } }),
        },
        Part::Call {
            id,
            name,
            arguments,
        } => {
            let input = match arguments.trim() {
                "" => Ok(Map::new()),
                text => serde_json::from_str::<Map<String, Value>>(text),
            };
            let input = input.map_err(|_| {
                let what = format!("the arguments of the call `{id}` are not a JSON object");
                refused(path, what)
            })?;
            json!({ "type": "tool_use", "id": identifier(id), "name": name, "input": input })
        }
        Part::Result {
            id, text, failed, ..
        } => {
            let mut result =
                json!({ "type": "tool_result", "tool_use_id": identifier(id), "content": text });
            if *failed {
                result["is_error"] = json!(true);
            }
            result
        }
    }))
}

fn image(media_type: &str, data: &str) -> Value {
    let source = json!({ "type": "base64", "media_type": media_type, "data": data });
    json!({ "type": "image", "source": source })
}

/// Media type and data of a data URL.
fn in_url(url: &str) -> Option<(&str, &str)> {
    url.strip_prefix("data:")?.split_once(";base64,")
}

/// Ids of the API have letters, digits, `_` and `-` alone. A call and its result have the same.
fn identifier(id: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    id.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

fn tool(tool: &Tool) -> Value {
    let schema = tool.parameters.clone();
    let schema = schema.unwrap_or_else(|| json!({ "type": "object", "properties": {} }));
    let mut out = json!({ "name": tool.name, "input_schema": schema });
    if let Some(description) = &tool.description {
        out["description"] = json!(description);
    }
    if let Some(strict) = tool.strict {
        out["strict"] = json!(strict);
    }
    out
}

fn choice(portable: &Portable) -> Option<Value> {
    let alone = portable.parallel_calls == Some(false);
    let mut choice = match &portable.tool_choice {
        None if !alone => return None,
        None | Some(ToolChoice::Auto) => json!({ "type": "auto" }),
        Some(ToolChoice::None) => return Some(json!({ "type": "none" })),
        Some(ToolChoice::Required) => json!({ "type": "any" }),
        Some(ToolChoice::Named(name)) => json!({ "type": "tool", "name": name }),
    };
    if alone {
        choice["disable_parallel_tool_use"] = json!(true);
    }
    Some(choice)
}

fn refused(field: impl Into<String>, why: impl Into<String>) -> NotPortable {
    NotPortable::to(NAME, field, why)
}
