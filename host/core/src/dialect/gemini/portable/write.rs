//! A request of another API as one of this.

use serde_json::{Map, Value, json};

use crate::dialect::gemini::function;
use crate::dialect::gemini::part::SIGNATURE;
use crate::dialect::gemini::undecodable::NAME;
use crate::dialect::portable::{Format, Part, Said, ToolChoice};
use crate::dialect::{NotPortable, Portable, ToolCallView};
use crate::event::Role;

/// In the place of a signature of a call that another model made: models from Gemini 3 on refuse a call without, and Google
/// documents this one for conversations that come from elsewhere.
const UNSIGNED: &str = "skip_thought_signature_validator";

/// The body that asks the same. An instruction in the middle of the conversation goes to the system instruction, since the API
/// has none elsewhere. The end user and the name of a schema change no answer, and have no place.
pub(in crate::dialect::gemini) fn write(portable: &Portable) -> Result<Vec<u8>, NotPortable> {
    let mut body = Map::new();
    let (system, said): (Vec<&Said>, Vec<&Said>) = portable
        .turns
        .iter()
        .partition(|turn| matches!(turn.role, Role::System | Role::Developer));
    let mut instructions = Vec::new();
    for part in system.iter().flat_map(|turn| &turn.parts) {
        instructions.push(self::part(part)?);
    }
    if !instructions.is_empty() {
        body.insert(
            "systemInstruction".to_owned(),
            json!({ "parts": instructions }),
        );
    }
    let contents = contents(&said, signs(&portable.model))?;
    if contents.is_empty() {
        return refused(
            "messages",
            "it answers to what somebody says, and instructions alone are not that",
        );
    }
    body.insert("contents".to_owned(), Value::Array(contents));
    tools(portable, &mut body)?;
    let config = config(portable)?;
    if !config.is_empty() {
        body.insert("generationConfig".to_owned(), Value::Object(config));
    }
    Ok(Value::Object(body).to_string().into_bytes())
}

/// Whether a model demands the signatures of calls.
fn signs(model: &str) -> bool {
    let version = model
        .rsplit('/')
        .next()
        .and_then(|name| name.strip_prefix("gemini-"));
    let major = version.and_then(|version| version.split(['-', '.']).next());
    major
        .and_then(|major| major.parse::<u32>().ok())
        .is_some_and(|major| major >= 3)
}

/// Neighbours of one role are one content; results are the user's, in a content of their own right after the calls.
fn contents(turns: &[&Said], sign: bool) -> Result<Vec<Value>, NotPortable> {
    let mut contents: Vec<(Role, Vec<Value>)> = Vec::new();
    for turn in turns {
        let mut parts = Vec::new();
        for part in &turn.parts {
            parts.push(self::part(part)?);
        }
        match contents.last_mut().filter(|(role, _)| *role == turn.role) {
            Some((_, known)) => known.extend(parts),
            None => contents.push((turn.role, parts)),
        }
    }
    contents.retain(|(_, parts)| !parts.is_empty());
    let written = contents.into_iter().map(|(role, mut parts)| {
        let speaker = if role == Role::Assistant {
            "model"
        } else {
            "user"
        };
        let first = parts
            .iter_mut()
            .find(|part| part.get("functionCall").is_some());
        if let (true, Role::Assistant, Some(call)) = (sign, role, first) {
            call[SIGNATURE] = json!(UNSIGNED);
        }
        json!({"parts": parts, "role": speaker})
    });
    Ok(written.collect())
}

fn part(part: &Part) -> Result<Value, NotPortable> {
    let spelled = match part {
        Part::Text(text) => return Ok(json!({ "text": text })),
        Part::Reasoning(text) => return Ok(json!({"text": text, "thought": true})),
        Part::Image { media_type, data } => {
            return Ok(json!({"inlineData": {"mimeType": media_type, "data": data}}));
        }
        Part::ImageUrl(_) => {
            return refused(
                "image_url",
                "it takes pictures in the request, or of its own store: send the data",
            );
        }
        Part::Call {
            id,
            name,
            arguments,
        } => function::call(&ToolCallView {
            id: id.clone(),
            name: name.clone(),
            arguments: arguments.clone(),
            ..ToolCallView::default()
        }),
        Part::Result { name, .. } if name.is_empty() => {
            return refused(
                "tool_call_id",
                "a result is told by the name of its function, and no call has this id",
            );
        }
        Part::Result {
            id,
            name,
            text,
            failed,
        } => function::result(id, name, text, *failed),
    };
    serde_json::from_str(&spelled)
        .map_err(|error| NotPortable::to(NAME, "messages", error.to_string()))
}

fn tools(portable: &Portable, body: &mut Map<String, Value>) -> Result<(), NotPortable> {
    if portable.parallel_calls == Some(false) {
        return refused(
            "parallel_tool_calls",
            "it has no way to ask for one call at a time",
        );
    }
    let declared = portable.tools.iter().map(|tool| {
        let mut function = Map::new();
        function.insert("name".to_owned(), json!(tool.name));
        function.extend(
            tool.description
                .as_ref()
                .map(|text| ("description".to_owned(), json!(text))),
        );
        let schema = tool.parameters.clone();
        function.extend(schema.map(|schema| ("parametersJsonSchema".to_owned(), schema)));
        Value::Object(function)
    });
    let declared: Vec<Value> = declared.collect();
    let strict = portable.tools.iter().any(|tool| tool.strict == Some(true));
    if !declared.is_empty() {
        body.insert(
            "tools".to_owned(),
            json!([{ "functionDeclarations": declared }]),
        );
    }
    let mut calling = Map::new();
    let mode = match &portable.tool_choice {
        // Of no tools nothing is to be chosen.
        None | Some(ToolChoice::Auto | ToolChoice::None) if portable.tools.is_empty() => {
            return Ok(());
        }
        None | Some(ToolChoice::Auto) if strict => "VALIDATED",
        None => return Ok(()),
        Some(ToolChoice::Auto) => "AUTO",
        Some(ToolChoice::None) => "NONE",
        Some(ToolChoice::Required) => "ANY",
        Some(ToolChoice::Named(name)) => {
            calling.insert("allowedFunctionNames".to_owned(), json!([name]));
            "ANY"
        }
    };
    calling.insert("mode".to_owned(), json!(mode));
    body.insert(
        "toolConfig".to_owned(),
        json!({ "functionCallingConfig": calling }),
    );
    Ok(())
}

fn config(portable: &Portable) -> Result<Map<String, Value>, NotPortable> {
    let mut config = Map::new();
    let sampling = &portable.sampling;
    for (name, number) in [
        ("temperature", &sampling.temperature),
        ("topP", &sampling.top_p),
        ("topK", &sampling.top_k),
        ("seed", &sampling.seed),
        ("presencePenalty", &sampling.presence_penalty),
        ("frequencyPenalty", &sampling.frequency_penalty),
    ] {
        config.extend(
            number
                .as_ref()
                .map(|number| (name.to_owned(), Value::Number(number.clone()))),
        );
    }
    let mut set = |name: &str, value: Value| drop(config.insert(name.to_owned(), value));
    if let Some(most) = portable.max_output_tokens {
        set("maxOutputTokens", json!(most));
    }
    if portable.choices > 1 {
        set("candidateCount", json!(portable.choices));
    }
    if !portable.stop.is_empty() {
        set("stopSequences", json!(portable.stop));
    }
    match &portable.format {
        None => {}
        Some(Format::Json) => set("responseMimeType", json!("application/json")),
        Some(Format::Schema { schema, .. }) => {
            set("responseMimeType", json!("application/json"));
            set("responseJsonSchema", schema.clone());
        }
    }
    match portable.effort.as_deref() {
        None => {}
        Some("none") => set("thinkingConfig", json!({"thinkingBudget": 0})),
        Some(level @ ("minimal" | "low" | "medium" | "high")) => {
            set(
                "thinkingConfig",
                json!({"thinkingLevel": level.to_ascii_uppercase()}),
            );
        }
        Some(_) => return refused("reasoning_effort", "it has no such level"),
    }
    Ok(config)
}

fn refused<T>(field: &str, why: &str) -> Result<T, NotPortable> {
    Err(NotPortable::to(NAME, field, why))
}
