//! Requests of Responses as those of other APIs: what no other API has is refused by its name.

use std::borrow::Cow;

use serde_json::{Number, Value};

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::openai_responses::request::{boolean, object, output_limit, string, utf8};
use crate::dialect::openai_responses::request_item::{kind, part_text};
use crate::dialect::portable::{Format, Part, Said, Tool, ToolChoice};
use crate::dialect::{NotPortable, Portable, Undecodable};
use crate::event::Role;

/// Fields that no model reads and that change no answer. `include` asks for more of what the answer is anyway.
const LEFT: &[&str] = &[
    "include",
    "max_tool_calls",
    "metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "service_tier",
    "store",
    "stream_options",
];

/// Efforts that all APIs know.
const EFFORTS: &[&str] = &["none", "minimal", "low", "medium", "high", "xhigh"];

type Ported<T> = Result<T, NotPortable>;

fn unread(error: Undecodable) -> NotPortable {
    NotPortable::field(error.place, error.what)
}

fn refused<T>(field: impl Into<String>, why: &str) -> Ported<T> {
    Err(NotPortable::field(field, why))
}

pub(super) fn read(body: &[u8]) -> Ported<Portable> {
    let source = utf8(body).map_err(unread)?;
    let root = object("the request", source).map_err(unread)?;
    let mut asked = Portable {
        choices: 1,
        max_output_tokens: output_limit(&root)
            .map_err(unread)?
            .filter(|limit| *limit < u32::MAX),
        end_user: root
            .string("safety_identifier")
            .or_else(|| root.string("user"))
            .map(Cow::into_owned),
        ..Portable::default()
    };
    if let Some(text) = string(&root, "instructions").map_err(unread)? {
        asked.turns.push(Said {
            role: Role::System,
            parts: vec![Part::Text(text.into_owned())],
        });
    }
    for (key, value) in &root.0 {
        let (name, value) = (key.as_str(), *value);
        if json::is_null(value) {
            continue;
        }
        match name {
            "instructions" | "max_output_tokens" | "safety_identifier" | "user" => {}
            "model" => asked.model = text(name, value)?,
            "stream" => asked.streamed = boolean(&root, name).map_err(unread)?,
            "input" => input(value, &mut asked)?,
            "tools" => tools(value, &mut asked)?,
            "tool_choice" => asked.tool_choice = Some(tool_choice(value)?),
            "parallel_tool_calls" => {
                asked.parallel_calls = Some(boolean(&root, name).map_err(unread)?);
            }
            "temperature" => asked.sampling.temperature = Some(number(name, value)?),
            "top_p" => asked.sampling.top_p = Some(number(name, value)?),
            "text" => format(value, &mut asked)?,
            "reasoning" => reasoning(value, &mut asked)?,
            "background" if value.get() == "false" => asked.left.push(name.to_owned()),
            "truncation" if value.get() == "\"disabled\"" => asked.left.push(name.to_owned()),
            "top_logprobs" if value.get() == "0" => asked.left.push(name.to_owned()),
            "previous_response_id" | "conversation" => {
                return refused(
                    name,
                    "the conversation is kept by the server of this API alone",
                );
            }
            "prompt" => return refused(name, "its text is kept by the server of this API alone"),
            "background" => {
                return refused(name, "no other API has answers that are fetched later");
            }
            _ if LEFT.contains(&name) => asked.left.push(name.to_owned()),
            _ => return refused(name, "no other API has this field"),
        }
    }
    asked.name_results();
    Ok(asked)
}

fn text(place: &str, value: Raw<'_>) -> Ported<String> {
    match json::string(value) {
        Some(text) => Ok(text.into_owned()),
        None => refused(place, "it is not a string"),
    }
}

fn number(place: &str, value: Raw<'_>) -> Ported<Number> {
    serde_json::from_str(value.get()).or_else(|_| refused(place, "it is not a number"))
}

fn fields<'a>(place: &str, value: Raw<'a>) -> Ported<Object<'a>> {
    Object::of(value).map_err(|error| NotPortable::field(place, error.to_string()))
}

fn list<'a>(place: &str, value: Raw<'a>) -> Ported<Vec<Raw<'a>>> {
    json::array(value).map_err(|error| NotPortable::field(place, error.to_string()))
}

/// Fails if the object has another field than these that is neither null nor false.
fn only(place: &str, fields: &Object<'_>, known: &[&str]) -> Ported<()> {
    let other = fields.0.iter().find(|(key, value)| {
        let says = !matches!(value.get(), "null" | "false" | "[]" | "{}");
        says && !known.contains(&key.as_str())
    });
    match other {
        Some((key, _)) => refused(
            format!("{place}.{}", key.as_str()),
            "no other API has this field",
        ),
        None => Ok(()),
    }
}

fn input(value: Raw<'_>, asked: &mut Portable) -> Ported<()> {
    if let Some(said) = json::string(value) {
        asked.turns.push(Said {
            role: Role::User,
            parts: vec![Part::Text(said.into_owned())],
        });
        return Ok(());
    }
    for (at, item) in list("input", value)?.into_iter().enumerate() {
        let place = format!("input[{at}]");
        let of = fields(&place, item)?;
        asked.turns.extend(turn(&place, &of, &mut asked.left)?);
    }
    Ok(())
}

fn turn(place: &str, item: &Object<'_>, left: &mut Vec<String>) -> Ported<Option<Said>> {
    let string = |key: &str| item.string(key).unwrap_or_default().into_owned();
    let said = match kind(item).as_ref() {
        "message" => {
            only(
                place,
                item,
                &["type", "id", "role", "content", "status", "phase"],
            )?;
            let role = match item.string("role").as_deref() {
                Some("system") => Role::System,
                Some("developer") => Role::Developer,
                Some("user") => Role::User,
                Some("assistant") => Role::Assistant,
                _ => return refused(format!("{place}.role"), "no other API has this role"),
            };
            let parts = item.get("content");
            let parts = parts.map(|value| parts_of(&format!("{place}.content"), value, left));
            Said {
                role,
                parts: parts.transpose()?.unwrap_or_default(),
            }
        }
        "reasoning" => {
            // What its own server encrypted of it is for that one.
            let known = [
                "type",
                "id",
                "summary",
                "content",
                "encrypted_content",
                "status",
            ];
            only(place, item, &known)?;
            let lists = ["content", "summary"].map(|key| item.array(key));
            let lists = lists.into_iter().find(|list| !list.is_empty());
            let texts = lists.into_iter().flatten();
            let texts: Vec<String> = texts
                .filter_map(|part| part_text(part).map(|(_, text)| text.into_owned()))
                .filter(|text| !text.is_empty())
                .collect();
            if texts.is_empty() {
                return Ok(None);
            }
            Said {
                role: Role::Assistant,
                parts: vec![Part::Reasoning(texts.join("\n\n"))],
            }
        }
        "function_call" => {
            let known = ["type", "id", "call_id", "name", "arguments", "status"];
            only(place, item, &known)?;
            Said {
                role: Role::Assistant,
                parts: vec![Part::Call {
                    id: string("call_id"),
                    name: string("name"),
                    arguments: string("arguments"),
                }],
            }
        }
        "function_call_output" => {
            only(
                place,
                item,
                &["type", "id", "call_id", "output", "status", "name"],
            )?;
            let place = format!("{place}.output");
            let parts = item
                .get("output")
                .map(|value| parts_of(&place, value, left));
            let mut texts = Vec::new();
            for part in parts.transpose()?.unwrap_or_default() {
                match part {
                    Part::Text(text) => texts.push(text),
                    _ => return refused(place, "a result with a picture is not carried"),
                }
            }
            Said {
                role: Role::Tool,
                parts: vec![Part::Result {
                    id: string("call_id"),
                    name: String::new(),
                    text: texts.join("\n"),
                    failed: false,
                }],
            }
        }
        other => {
            let why = format!("no other API has items of type `{other}`");
            return refused(format!("{place}.type"), &why);
        }
    };
    Ok(Some(said))
}

/// A text, or a list of parts.
fn parts_of(place: &str, value: Raw<'_>, left: &mut Vec<String>) -> Ported<Vec<Part>> {
    if let Some(said) = json::string(value) {
        return Ok(vec![Part::Text(said.into_owned())]);
    }
    let mut parts = Vec::new();
    for (at, value) in list(place, value)?.into_iter().enumerate() {
        let place = format!("{place}[{at}]");
        let part = fields(&place, value)?;
        if let Some((field, said)) = part_text(value) {
            let known = [
                "type",
                field,
                "annotations",
                "logprobs",
                "prompt_cache_breakpoint",
            ];
            only(&place, &part, &known)?;
            parts.push(Part::Text(said.into_owned()));
            continue;
        }
        let kind = part.string("type").unwrap_or_default();
        if kind != "input_image" {
            let why = format!("parts of type `{kind}` are not carried");
            return refused(format!("{place}.type"), &why);
        }
        only(
            &place,
            &part,
            &["type", "image_url", "detail", "prompt_cache_breakpoint"],
        )?;
        let Some(url) = part.string("image_url") else {
            return refused(place, "the picture has no address");
        };
        if part.string("detail").is_some_and(|detail| detail != "auto") {
            left.push(format!("{place}.detail"));
        }
        parts.push(picture(&url));
    }
    Ok(parts)
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

fn tools(value: Raw<'_>, asked: &mut Portable) -> Ported<()> {
    for (at, value) in list("tools", value)?.into_iter().enumerate() {
        let place = format!("tools[{at}]");
        let tool = fields(&place, value)?;
        let kind = tool.string("type").unwrap_or_default();
        if kind != "function" {
            let why = match kind.as_ref() {
                "custom" => "custom tools have no schema, and other APIs demand one".to_owned(),
                kind => format!("tools of type `{kind}` are those of this API's server alone"),
            };
            return refused(format!("{place}.type"), &why);
        }
        only(
            &place,
            &tool,
            &["type", "name", "description", "parameters", "strict"],
        )?;
        asked.tools.push(Tool {
            name: tool.string("name").unwrap_or_default().into_owned(),
            description: tool.string("description").map(Cow::into_owned),
            parameters: tool.value("parameters"),
            strict: tool.value("strict"),
        });
    }
    Ok(())
}

fn tool_choice(value: Raw<'_>) -> Ported<ToolChoice> {
    if let Some(word) = json::string(value) {
        return match word.as_ref() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => refused("tool_choice", "no other API has this choice"),
        };
    }
    let choice = fields("tool_choice", value)?;
    match (choice.string("type").as_deref(), choice.string("name")) {
        (Some("function"), Some(name)) => Ok(ToolChoice::Named(name.into_owned())),
        _ => refused("tool_choice.type", "no other API has this choice"),
    }
}

fn format(value: Raw<'_>, asked: &mut Portable) -> Ported<()> {
    let text = fields("text", value)?;
    only("text", &text, &["format", "verbosity"])?;
    match text.string("verbosity").as_deref() {
        None => {}
        Some("medium") => asked.left.push("text.verbosity".to_owned()),
        Some(_) => return refused("text.verbosity", "no other API has this field"),
    }
    let Some(value) = text.get("format") else {
        return Ok(());
    };
    let format = fields("text.format", value)?;
    match format.string("type").as_deref() {
        Some("text") => {}
        Some("json_object") => asked.format = Some(Format::Json),
        Some("json_schema") => {
            only(
                "text.format",
                &format,
                &["type", "name", "schema", "strict", "description"],
            )?;
            if format.get("description").is_some() {
                asked.left.push("text.format.description".to_owned());
            }
            let schema: Option<Value> = format.value("schema");
            let Some(schema) = schema else {
                return refused("text.format.schema", "there is none");
            };
            asked.format = Some(Format::Schema {
                name: format.string("name").unwrap_or_default().into_owned(),
                schema,
                strict: format.value("strict"),
            });
        }
        _ => return refused("text.format.type", "no other API has this form"),
    }
    Ok(())
}

fn reasoning(value: Raw<'_>, asked: &mut Portable) -> Ported<()> {
    let reasoning = fields("reasoning", value)?;
    only(
        "reasoning",
        &reasoning,
        &["effort", "summary", "generate_summary"],
    )?;
    for key in ["summary", "generate_summary"] {
        if reasoning.get(key).is_some() {
            asked.left.push(format!("reasoning.{key}"));
        }
    }
    if let Some(effort) = reasoning.string("effort") {
        if !EFFORTS.contains(&effort.as_ref()) {
            return refused("reasoning.effort", "no other API has this effort");
        }
        asked.effort = Some(effort.into_owned());
    }
    Ok(())
}
