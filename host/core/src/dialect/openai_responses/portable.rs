//! Requests of Responses as those of other APIs: what no other API has is refused by its name.

use std::borrow::Cow;

use serde_json::Value;

use crate::dialect::Portable;
use crate::dialect::json::{self, Raw};
use crate::dialect::openai_responses::portable_field::{
    Ported, fields, list, number, only, refused, text, unread,
};
use crate::dialect::openai_responses::portable_turns::input;
use crate::dialect::openai_responses::request::{boolean, object, output_limit, string, utf8};
use crate::dialect::portable::{Format, Part, Said, Tool, ToolChoice};
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
