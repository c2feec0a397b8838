//! A request as every API can be asked it: each of its fields is carried, left, or refused by name.

use serde_json::{Number, Value};

use super::said::{all_read, turns, unreadable, value};
use super::schema::to_json_schema;
use crate::dialect::gemini::contents::Layout;
use crate::dialect::gemini::fields::{Fields, list};
use crate::dialect::gemini::request;
use crate::dialect::gemini::undecodable::utf8;
use crate::dialect::json::{self, Raw};
use crate::dialect::portable::{Format, Tool, ToolChoice};
use crate::dialect::values::items;
use crate::dialect::{NotPortable, Portable, Received};

/// Fields that no model reads and that change no answer.
const LEFT: [&str; 4] = ["labels", "model", "serviceTier", "store"];

pub(in crate::dialect::gemini) fn read(received: Received<'_>) -> Result<Portable, NotPortable> {
    let view = request::read(received).map_err(unreadable)?;
    let source = utf8(received.body).map_err(unreadable)?;
    let layout = Layout::of(source).map_err(unreadable)?;
    all_read(&layout)?;
    let mut portable = Portable {
        model: view.model,
        streamed: view.streamed,
        turns: turns(&layout)?,
        max_output_tokens: view.max_output_tokens,
        choices: view.choices,
        ..Portable::default()
    };
    let mut unread: Vec<&str> = Vec::new();
    for (name, raw) in layout.root.iter() {
        let path = || name.to_owned();
        match name {
            "contents" | "systemInstruction" => {}
            "tools" => {
                for (at, tool) in list(raw, &path)
                    .map_err(unreadable)?
                    .into_iter()
                    .enumerate()
                {
                    tools(tool, at, &mut portable.tools)?;
                }
            }
            "toolConfig" => {}
            "generationConfig" => config(raw, &mut portable)?,
            "safetySettings" if matches!(raw.get(), "[]") => {}
            "safetySettings" => {
                return refused(
                    name,
                    "other servers filter as they like, and the settings change what is answered",
                );
            }
            "cachedContent" => return refused(name, "Google alone has what is cached"),
            _ if LEFT.contains(&name) => portable.left.push(name.to_owned()),
            _ => unread.push(name),
        }
    }
    if let Some(name) = unread.first() {
        return refused(name, "no other API has it");
    }
    // What the tools are is known now.
    if let Some(raw) = layout.root.get("toolConfig") {
        tool_config(raw, &mut portable)?;
    }
    let signed = source.contains("thoughtSignature") || source.contains("thought_signature");
    if signed {
        portable.left.push("thoughtSignature".to_owned());
    }
    portable.name_results();
    Ok(portable)
}

fn tools(tool: Raw<'_>, at: usize, out: &mut Vec<Tool>) -> Result<(), NotPortable> {
    let path = || format!("tools[{at}]");
    for (kind, raw) in Fields::of(tool, &path).map_err(unreadable)?.iter() {
        if kind != "functionDeclarations" {
            return refused(
                &format!("tools[{at}].{kind}"),
                "Google runs this tool itself",
            );
        }
        let path = || format!("tools[{at}].functionDeclarations");
        for (n, function) in list(raw, &path)
            .map_err(unreadable)?
            .into_iter()
            .enumerate()
        {
            let path = || format!("tools[{at}].functionDeclarations[{n}]");
            out.push(self::function(function, &path)?);
        }
    }
    Ok(())
}

fn function(function: Raw<'_>, path: &dyn Fn() -> String) -> Result<Tool, NotPortable> {
    let fields = Fields::of(function, path).map_err(unreadable)?;
    let mut tool = Tool {
        name: String::new(),
        description: None,
        parameters: None,
        strict: None,
    };
    for (name, raw) in fields.iter() {
        let path = || format!("{}.{name}", path());
        let text = || json::string(raw).map(|text| text.into_owned());
        match name {
            "name" => tool.name = text().unwrap_or_default(),
            "description" => tool.description = text(),
            "parameters" | "parametersJsonSchema" if tool.parameters.is_some() => {
                return refused(&path(), "the parameters are stated twice");
            }
            "parameters" => tool.parameters = Some(own_schema(raw, &path)?),
            "parametersJsonSchema" => tool.parameters = Some(value(raw)),
            "behavior" if matches!(raw.get(), "\"BLOCKING\"" | "\"UNSPECIFIED\"") => {}
            _ => return refused(&path(), "no other API has it"),
        }
    }
    Ok(tool)
}

fn own_schema(raw: Raw<'_>, path: &dyn Fn() -> String) -> Result<Value, NotPortable> {
    let refused = |field| {
        NotPortable::field(
            format!("{}.{field}", path()),
            "JSON Schema has no such field",
        )
    };
    to_json_schema(&value(raw)).map_err(refused)
}

fn tool_config(raw: Raw<'_>, portable: &mut Portable) -> Result<(), NotPortable> {
    let path = || "toolConfig".to_owned();
    for (name, raw) in Fields::of(raw, &path).map_err(unreadable)?.iter() {
        match name {
            "functionCallingConfig" => calling(raw, portable)?,
            // Of the server's own tools, of which there are none.
            "includeServerSideToolInvocations" => portable.left.push(format!("toolConfig.{name}")),
            _ => return refused(&format!("toolConfig.{name}"), "no other API has it"),
        }
    }
    Ok(())
}

fn calling(raw: Raw<'_>, portable: &mut Portable) -> Result<(), NotPortable> {
    let path = || "toolConfig.functionCallingConfig".to_owned();
    let fields = Fields::of(raw, &path).map_err(unreadable)?;
    let mut allowed: Vec<String> = Vec::new();
    for (name, raw) in fields.iter() {
        match name {
            "mode" => {}
            "allowedFunctionNames" => {
                let names = items(raw, &path).map_err(unreadable)?;
                allowed.extend(
                    names
                        .into_iter()
                        .filter_map(json::string)
                        .map(|name| name.into_owned()),
                );
            }
            // Whole calls are as good to a client that reads parts of them.
            "streamFunctionCallArguments" => portable.left.push(format!("{}.{name}", path())),
            _ => return refused(&format!("{}.{name}", path()), "no other API has it"),
        }
    }
    let all = || {
        portable
            .tools
            .iter()
            .all(|tool| allowed.contains(&tool.name))
    };
    let mode = fields.text("mode", &path).map_err(unreadable)?;
    portable.tool_choice = match (mode.as_deref(), &allowed[..]) {
        (None | Some("AUTO" | "MODE_UNSPECIFIED"), []) => Some(ToolChoice::Auto),
        (Some("NONE"), []) => Some(ToolChoice::None),
        (Some("ANY"), []) => Some(ToolChoice::Required),
        (Some("ANY"), [only]) => Some(ToolChoice::Named(only.clone())),
        (Some("ANY"), _) if all() => Some(ToolChoice::Required),
        (Some("VALIDATED"), []) => {
            portable
                .tools
                .iter_mut()
                .for_each(|tool| tool.strict = Some(true));
            Some(ToolChoice::Auto)
        }
        (_, []) => return refused(&format!("{}.mode", path()), "no other API has it"),
        _ => {
            return refused(
                &format!("{}.allowedFunctionNames", path()),
                "no other API chooses among some of the tools",
            );
        }
    };
    Ok(())
}

fn config(raw: Raw<'_>, portable: &mut Portable) -> Result<(), NotPortable> {
    let path = || "generationConfig".to_owned();
    let fields = Fields::of(raw, &path).map_err(unreadable)?;
    let mut schema = None;
    for (name, raw) in fields.iter() {
        let path = || format!("generationConfig.{name}");
        let number = || {
            serde_json::from_str::<Number>(raw.get())
                .map(Some)
                .or_else(|_| refused(&path(), "it is no number"))
        };
        match name {
            "maxOutputTokens" | "candidateCount" | "responseMimeType" => {}
            "temperature" => portable.sampling.temperature = number()?,
            "topP" => portable.sampling.top_p = number()?,
            "topK" => portable.sampling.top_k = number()?,
            "seed" => portable.sampling.seed = number()?,
            "presencePenalty" => portable.sampling.presence_penalty = number()?,
            "frequencyPenalty" => portable.sampling.frequency_penalty = number()?,
            "stopSequences" => {
                let texts = items(raw, &path).map_err(unreadable)?;
                portable.stop.extend(
                    texts
                        .into_iter()
                        .filter_map(json::string)
                        .map(|text| text.into_owned()),
                );
            }
            "responseSchema" => schema = Some(own_schema(raw, &path)?),
            "responseJsonSchema" | "_responseJsonSchema" => schema = Some(value(raw)),
            "responseModalities" if value(raw) == serde_json::json!(["TEXT"]) => {}
            "thinkingConfig" => thinking(raw, portable)?,
            _ => return refused(&path(), "no other API has it"),
        }
    }
    let form = fields.text("responseMimeType", &path).map_err(unreadable)?;
    portable.format = match (form.as_deref(), schema) {
        (None | Some("" | "text/plain"), None) => None,
        (Some("application/json"), None) => Some(Format::Json),
        (Some("application/json"), Some(schema)) => Some(Format::Schema {
            name: String::new(),
            schema,
            strict: None,
        }),
        _ => {
            return refused(
                "generationConfig.responseMimeType",
                "other APIs answer in text or in JSON",
            );
        }
    };
    Ok(())
}

fn thinking(raw: Raw<'_>, portable: &mut Portable) -> Result<(), NotPortable> {
    let path = || "generationConfig.thinkingConfig".to_owned();
    for (name, raw) in Fields::of(raw, &path).map_err(unreadable)?.iter() {
        let path = || format!("generationConfig.thinkingConfig.{name}");
        let effort = match name {
            // Whether thoughts are told is each API's own affair.
            "includeThoughts" => {
                portable.left.push(path());
                continue;
            }
            "thinkingLevel" => match json::string(raw).as_deref() {
                Some(level @ ("MINIMAL" | "LOW" | "MEDIUM" | "HIGH")) => level.to_ascii_lowercase(),
                Some(level @ ("minimal" | "low" | "medium" | "high")) => level.to_owned(),
                _ => return refused(&path(), "no other API has this level"),
            },
            "thinkingBudget" => match json::integer(raw) {
                Some(0) => "none".to_owned(),
                // As the model likes.
                Some(-1) => continue,
                _ => {
                    return refused(
                        &path(),
                        "other APIs have levels of effort, and no budget of tokens is exactly one",
                    );
                }
            },
            _ => return refused(&path(), "no other API has it"),
        };
        portable.effort = Some(effort);
    }
    Ok(())
}

fn refused<T>(field: &str, why: &str) -> Result<T, NotPortable> {
    Err(NotPortable::field(field, why))
}
