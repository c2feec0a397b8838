//! A request of this API as others can be asked the same.

use serde_json::{Map, Number, Value};

use crate::dialect::portable::{Format, NotPortable, Part, Portable, Said, Tool, ToolChoice};
use crate::event::Role;

type Fields = Map<String, Value>;

/// Fields that no model reads and that change no answer.
/// What is done with a long context is its vendor's affair: another one gets it whole.
const LEFT: &[&str] = &[
    "cache_control",
    "context_management",
    "diagnostics",
    "service_tier",
    "speed",
];

pub fn read(body: &[u8]) -> Result<Portable, NotPortable> {
    let root: Fields = serde_json::from_slice(body)
        .map_err(|error| NotPortable::field("the request", error.to_string()))?;
    let mut out = Portable {
        choices: 1,
        ..Portable::default()
    };
    if let Some(system) = root.get("system").filter(|system| !system.is_null()) {
        let parts = texts(system, "system", &mut out.left)?;
        out.turns.push(Said {
            role: Role::System,
            parts,
        });
    }
    for (key, value) in &root {
        match key.as_str() {
            _ if value.is_null() => {}
            "system" => {}
            "model" => out.model = string(value, key)?,
            "stream" => out.streamed = boolean(value, key)?,
            "max_tokens" => out.max_output_tokens = Some(whole(value, key)?),
            "temperature" => out.sampling.temperature = Some(number(value, key)?),
            "top_p" => out.sampling.top_p = Some(number(value, key)?),
            "top_k" => out.sampling.top_k = Some(number(value, key)?),
            "stop_sequences" => {
                for value in list(value, key)? {
                    out.stop.push(string(value, key)?);
                }
            }
            "messages" => {
                for (index, message) in list(value, key)?.iter().enumerate() {
                    turn(message, &format!("messages[{index}]"), &mut out)?;
                }
            }
            "tools" => {
                for (index, value) in list(value, key)?.iter().enumerate() {
                    let tool = tool(value, &format!("tools[{index}]"), &mut out.left)?;
                    out.tools.push(tool);
                }
            }
            "tool_choice" => choice(value, &mut out)?,
            "metadata" => metadata(value, &mut out)?,
            "output_config" => config(value, &mut out)?,
            "output_format" => out.format = Some(format(value, key)?),
            "thinking" => {}
            key if LEFT.contains(&key) => leave(&mut out.left, key),
            key => return Err(NotPortable::field(key, "no other API has it")),
        }
    }
    if let Some(value) = root.get("thinking").filter(|value| !value.is_null()) {
        thinking(value, &mut out)?;
    }
    out.name_results();
    Ok(out)
}

/// How long the model may think: other APIs know an effort alone.
fn thinking(value: &Value, out: &mut Portable) -> Result<(), NotPortable> {
    let fields = object(value, "thinking")?;
    for key in fields.keys() {
        match key.as_str() {
            "type" | "budget_tokens" => {}
            "display" => leave(&mut out.left, "thinking.display"),
            key => return Err(unknown(&format!("thinking.{key}"))),
        }
    }
    match (fields.get("type").and_then(Value::as_str), &out.effort) {
        (Some("disabled"), _) => out.effort = Some("none".to_owned()),
        (Some("adaptive"), _) => {}
        // Other APIs take an effort, which is no number of tokens: models think there as they do unasked.
        (Some("enabled"), _) => leave(&mut out.left, "thinking.budget_tokens"),
        _ => return Err(unknown("thinking.type")),
    }
    Ok(())
}

fn config(value: &Value, out: &mut Portable) -> Result<(), NotPortable> {
    for (key, value) in object(value, "output_config")? {
        match key.as_str() {
            _ if value.is_null() => {}
            "effort" => {
                let effort = string(value, "output_config.effort")?;
                out.effort = Some(match effort.as_str() {
                    "low" | "medium" | "high" | "xhigh" => effort,
                    "max" => "xhigh".to_owned(),
                    _ => return Err(unknown("output_config.effort")),
                });
            }
            "format" => out.format = Some(format(value, "output_config.format")?),
            key => return Err(unknown(&format!("output_config.{key}"))),
        }
    }
    Ok(())
}

fn format(value: &Value, path: &str) -> Result<Format, NotPortable> {
    let fields = object(value, path)?;
    let known = |key: &String| matches!(key.as_str(), "type" | "schema" | "name");
    if let Some(key) = fields.keys().find(|key| !known(key)) {
        return Err(unknown(&format!("{path}.{key}")));
    }
    match (
        fields.get("type").and_then(Value::as_str),
        fields.get("schema"),
    ) {
        (Some("json_schema"), Some(schema)) => Ok(Format::Schema {
            name: fields
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            schema: schema.clone(),
            strict: Some(true),
        }),
        _ => Err(unknown(&format!("{path}.type"))),
    }
}

fn metadata(value: &Value, out: &mut Portable) -> Result<(), NotPortable> {
    for (key, value) in object(value, "metadata")? {
        match key.as_str() {
            "user_id" => out.end_user = value.as_str().map(str::to_owned),
            key => leave(&mut out.left, &format!("metadata.{key}")),
        }
    }
    Ok(())
}

fn choice(value: &Value, out: &mut Portable) -> Result<(), NotPortable> {
    let fields = object(value, "tool_choice")?;
    for (key, value) in fields {
        match key.as_str() {
            "type" | "name" => {}
            "disable_parallel_tool_use" => {
                let disabled = boolean(value, "tool_choice.disable_parallel_tool_use")?;
                out.parallel_calls = Some(!disabled);
            }
            key => return Err(unknown(&format!("tool_choice.{key}"))),
        }
    }
    out.tool_choice = Some(match fields.get("type").and_then(Value::as_str) {
        Some("auto") => ToolChoice::Auto,
        Some("any") => ToolChoice::Required,
        Some("none") => ToolChoice::None,
        Some("tool") => {
            let name = fields.get("name").unwrap_or(&Value::Null);
            ToolChoice::Named(string(name, "tool_choice.name")?)
        }
        _ => return Err(unknown("tool_choice.type")),
    });
    Ok(())
}

fn tool(value: &Value, path: &str, left: &mut Vec<String>) -> Result<Tool, NotPortable> {
    let fields = object(value, path)?;
    let kind = fields.get("type").filter(|kind| !kind.is_null());
    if let Some(kind) = kind.filter(|kind| *kind != "custom") {
        let what = format!("{kind} is a tool of the vendor's own");
        return Err(NotPortable::field(path, what));
    }
    let mut tool = Tool {
        name: String::new(),
        description: None,
        parameters: None,
        strict: None,
    };
    for (key, value) in fields {
        let path = format!("{path}.{key}");
        match key.as_str() {
            _ if value.is_null() => {}
            "type" => {}
            "name" => tool.name = string(value, &path)?,
            "description" => tool.description = Some(string(value, &path)?),
            "input_schema" => tool.parameters = Some(value.clone()),
            "strict" => tool.strict = Some(boolean(value, &path)?),
            "cache_control" | "eager_input_streaming" => leave(left, key),
            _ => return Err(unknown(&path)),
        }
    }
    Ok(tool)
}

/// A message. Results of calls are said by the tools, whatever else the user says with them.
fn turn(value: &Value, path: &str, out: &mut Portable) -> Result<(), NotPortable> {
    let fields = object(value, path)?;
    if let Some(key) = fields
        .keys()
        .find(|key| !matches!(key.as_str(), "role" | "content"))
    {
        return Err(unknown(&format!("{path}.{key}")));
    }
    let role = match fields.get("role").and_then(Value::as_str) {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("system") => Role::System,
        _ => return Err(unknown(&format!("{path}.role"))),
    };
    let content = fields.get("content").unwrap_or(&Value::Null);
    let parts = match content {
        Value::String(text) => vec![Part::Text(text.clone())],
        content => {
            let path = format!("{path}.content");
            let mut parts = Vec::new();
            for (index, block) in list(content, &path)?.iter().enumerate() {
                parts.extend(part(block, &format!("{path}[{index}]"), &mut out.left)?);
            }
            parts
        }
    };
    for part in parts {
        let role = match part {
            Part::Result { .. } => Role::Tool,
            _ => role,
        };
        match out.turns.last_mut() {
            // Of two messages none is made: the one before may be another.
            Some(last) if last.role == role && !last.parts.is_empty() => last.parts.push(part),
            _ => out.turns.push(Said {
                role,
                parts: vec![part],
            }),
        }
    }
    Ok(())
}

/// A block; `None` if nobody but its own server reads it.
fn part(value: &Value, path: &str, left: &mut Vec<String>) -> Result<Option<Part>, NotPortable> {
    let fields = object(value, path)?;
    let field = |key: &str| {
        let value = fields.get(key).unwrap_or(&Value::Null);
        string(value, &format!("{path}.{key}"))
    };
    let kind = fields
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let (known, part): (&[&str], Option<Part>) = match kind {
        "text" => (&["text"], Some(Part::Text(field("text")?))),
        "thinking" => {
            leave(left, "signature");
            let thought = Part::Reasoning(field("thinking")?);
            (&["thinking", "signature"], Some(thought))
        }
        "redacted_thinking" => {
            leave(left, kind);
            (&["data"], None)
        }
        "image" => (&["source"], Some(image(fields, path)?)),
        "tool_use" => {
            let input = fields.get("input").cloned();
            let input = input.unwrap_or_else(|| Value::Object(Fields::new()));
            let call = Part::Call {
                id: field("id")?,
                name: field("name")?,
                arguments: input.to_string(),
            };
            (&["id", "name", "input", "caller"], Some(call))
        }
        "tool_result" => {
            let content = fields.get("content").unwrap_or(&Value::Null);
            let path = format!("{path}.content");
            let parts = match content {
                Value::Null => Vec::new(),
                content => texts(content, &path, left)?,
            };
            let parts = parts.into_iter().map(|part| match part {
                Part::Text(text) => text,
                _ => String::new(),
            });
            let text = parts.collect::<Vec<_>>().join("\n");
            let result = Part::Result {
                id: field("tool_use_id")?,
                name: String::new(),
                text,
                failed: fields.get("is_error").and_then(Value::as_bool) == Some(true),
            };
            (&["tool_use_id", "content", "is_error"], Some(result))
        }
        _ => {
            let what = format!("no other API has a block of type `{kind}`");
            return Err(NotPortable::field(path, what));
        }
    };
    for (key, value) in fields {
        match key.as_str() {
            "type" => {}
            key if known.contains(&key) || value.is_null() => {}
            "cache_control" | "citations" => leave(left, key),
            key => return Err(unknown(&format!("{path}.{key}"))),
        }
    }
    Ok(Some(part).flatten())
}

fn image(fields: &Fields, path: &str) -> Result<Part, NotPortable> {
    let path = format!("{path}.source");
    let source = object(fields.get("source").unwrap_or(&Value::Null), &path)?;
    let field = |key: &str| {
        let value = source.get(key).unwrap_or(&Value::Null);
        string(value, &format!("{path}.{key}"))
    };
    match source.get("type").and_then(Value::as_str) {
        Some("base64") => Ok(Part::Image {
            media_type: field("media_type")?,
            data: field("data")?,
        }),
        Some("url") => Ok(Part::ImageUrl(field("url")?)),
        _ => Err(NotPortable::field(
            path,
            "the picture lies with the vendor: state its bytes or its address",
        )),
    }
}

/// A string, or blocks of text.
fn texts(value: &Value, path: &str, left: &mut Vec<String>) -> Result<Vec<Part>, NotPortable> {
    if let Value::String(text) = value {
        return Ok(vec![Part::Text(text.clone())]);
    }
    let mut parts = Vec::new();
    for (index, block) in list(value, path)?.iter().enumerate() {
        let path = format!("{path}[{index}]");
        match part(block, &path, left)? {
            Some(text @ Part::Text(_)) => parts.push(text),
            _ => return Err(NotPortable::field(path, "only text can be carried here")),
        }
    }
    Ok(parts)
}

fn leave(left: &mut Vec<String>, name: &str) {
    if left.iter().all(|known| known != name) {
        left.push(name.to_owned());
    }
}

fn unknown(path: &str) -> NotPortable {
    NotPortable::field(path, "no other API has it, or not with this value")
}

fn wrong(path: &str, what: &str) -> NotPortable {
    NotPortable::field(path, format!("it is not {what}"))
}

fn object<'v>(value: &'v Value, path: &str) -> Result<&'v Fields, NotPortable> {
    value.as_object().ok_or_else(|| wrong(path, "an object"))
}

fn list<'v>(value: &'v Value, path: &str) -> Result<&'v Vec<Value>, NotPortable> {
    value.as_array().ok_or_else(|| wrong(path, "a list"))
}

fn string(value: &Value, path: &str) -> Result<String, NotPortable> {
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| wrong(path, "a string"))
}

fn boolean(value: &Value, path: &str) -> Result<bool, NotPortable> {
    value.as_bool().ok_or_else(|| wrong(path, "true or false"))
}

fn number(value: &Value, path: &str) -> Result<Number, NotPortable> {
    value
        .as_number()
        .cloned()
        .ok_or_else(|| wrong(path, "a number"))
}

fn whole(value: &Value, path: &str) -> Result<u32, NotPortable> {
    let number = value
        .as_f64()
        .filter(|n| n.fract() == 0.0 && (0.0..4e9).contains(n));
    number
        .map(|n| n as u32)
        .ok_or_else(|| wrong(path, "a whole number"))
}
