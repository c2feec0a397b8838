//! What stands beside the messages: what of it other APIs have, and how they say it.

use serde_json::{Map, Value, json};

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::ollama::request::{LIMIT, limit, optional_string, options, streamed};
use crate::dialect::portable::Format;
use crate::dialect::{NotPortable, Portable, Undecodable};

/// Options of the machine that runs the model: the answer is the same.
const OF_MACHINE: &[&str] = &[
    "numa",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "num_thread",
    "low_vram",
    "use_mmap",
    "use_mlock",
    "draft_num_predict",
];

pub(super) fn unreadable(error: Undecodable) -> NotPortable {
    NotPortable::field(error.place, error.what)
}

/// Reads everything but the fields `own`, which bear the conversation.
pub(super) fn read(root: &Object<'_>, own: &[&str]) -> Result<Portable, NotPortable> {
    let mut portable = Portable {
        model: optional_string(root, "model", "model").map_err(unreadable)?,
        streamed: streamed(root).map_err(unreadable)?,
        choices: 1,
        ..Portable::default()
    };
    for (key, value) in &root.0 {
        let (name, value) = (key.as_str(), *value);
        if json::is_null(value) || own.contains(&name) {
            continue;
        }
        match name {
            "model" | "stream" => {}
            "options" => read_options(root, &mut portable)?,
            "format" => portable.format = format(value)?,
            "think" => portable.effort = Some(effort(value)?.to_owned()),
            "keep_alive" => portable.left.push(name.to_owned()),
            // What they are where nothing is said.
            "truncate" | "shift" if value.get() == "true" => portable.left.push(name.to_owned()),
            "logprobs" | "_debug_render_only" if value.get() == "false" => {}
            "top_logprobs" if value.get() == "0" => {}
            _ => return Err(NotPortable::field(name, "leave it out")),
        }
    }
    Ok(portable)
}

fn read_options(root: &Object<'_>, portable: &mut Portable) -> Result<(), NotPortable> {
    let Some(options) = options(root).map_err(unreadable)? else {
        return Ok(());
    };
    portable.max_output_tokens = limit(&options).map_err(unreadable)?;
    for (key, value) in &options.0 {
        let (name, value) = (key.as_str(), *value);
        let path = || format!("options.{name}");
        if json::is_null(value) {
            continue;
        }
        let sampling = &mut portable.sampling;
        let number = match name {
            LIMIT => continue,
            "stop" => {
                portable.stop = serde_json::from_str(value.get())
                    .map_err(|error| NotPortable::field(path(), error.to_string()))?;
                continue;
            }
            "temperature" => &mut sampling.temperature,
            "top_p" => &mut sampling.top_p,
            "top_k" => &mut sampling.top_k,
            "seed" => &mut sampling.seed,
            "presence_penalty" => &mut sampling.presence_penalty,
            "frequency_penalty" => &mut sampling.frequency_penalty,
            _ if OF_MACHINE.contains(&name) => {
                portable.left.push(path());
                continue;
            }
            _ => return Err(NotPortable::field(path(), "leave it out")),
        };
        let stated = serde_json::from_str(value.get());
        *number = Some(stated.map_err(|error| NotPortable::field(path(), error.to_string()))?);
    }
    Ok(())
}

fn format(value: Raw<'_>) -> Result<Option<Format>, NotPortable> {
    let format: Value = serde_json::from_str(value.get())
        .map_err(|error| NotPortable::field("format", error.to_string()))?;
    match format {
        Value::String(word) if word.is_empty() => Ok(None),
        Value::String(word) if word == "json" => Ok(Some(Format::Json)),
        schema @ Value::Object(_) => Ok(Some(Format::Schema {
            name: String::new(),
            schema,
            strict: None,
        })),
        _ => Err(NotPortable::field(
            "format",
            "it is neither `json` nor a schema",
        )),
    }
}

/// Ollama itself takes `true` for `medium` where a model has levels.
fn effort(think: Raw<'_>) -> Result<&'static str, NotPortable> {
    match think.get() {
        "false" => Ok("none"),
        "true" | "\"medium\"" => Ok("medium"),
        "\"low\"" => Ok("low"),
        "\"high\"" => Ok("high"),
        _ => {
            let why = "say `low`, `medium`, `high`, or whether at all";
            Err(NotPortable::field("think", why))
        }
    }
}

/// Writes everything that stands beside the messages and the tools.
pub(super) fn write(
    to: &'static str,
    portable: &Portable,
    body: &mut Map<String, Value>,
) -> Result<(), NotPortable> {
    let refuse = |field: &str, why: &str| Err(NotPortable::to(to, field, why));
    if portable.choices > 1 {
        return refuse("n", "it gives one answer");
    }
    if portable.end_user.is_some() {
        return refuse("user", "it has no field for the end user");
    }
    body.insert("stream".to_owned(), json!(portable.streamed));
    match portable.effort.as_deref() {
        None => {}
        Some("none") => drop(body.insert("think".to_owned(), json!(false))),
        Some(level @ ("low" | "medium" | "high")) => {
            body.insert("think".to_owned(), json!(level));
        }
        Some(level) => return refuse("effort", &format!("it has no level `{level}`")),
    }
    match &portable.format {
        None => {}
        Some(Format::Json) => drop(body.insert("format".to_owned(), json!("json"))),
        // Every schema binds, strict or not.
        Some(Format::Schema { name, schema, .. }) => {
            let mut schema = schema.clone();
            if let Value::Object(fields) = &mut schema
                && !name.is_empty()
            {
                fields.entry("title").or_insert(json!(name));
            }
            body.insert("format".to_owned(), schema);
        }
    }
    let sampling = &portable.sampling;
    let numbers = [
        ("temperature", &sampling.temperature),
        ("top_p", &sampling.top_p),
        ("top_k", &sampling.top_k),
        ("seed", &sampling.seed),
        ("presence_penalty", &sampling.presence_penalty),
        ("frequency_penalty", &sampling.frequency_penalty),
    ];
    let mut options = Map::new();
    for (name, number) in numbers {
        if let Some(number) = number {
            options.insert(name.to_owned(), Value::Number(number.clone()));
        }
    }
    if let Some(most) = portable.max_output_tokens {
        options.insert(LIMIT.to_owned(), json!(most));
    }
    if !portable.stop.is_empty() {
        options.insert("stop".to_owned(), json!(portable.stop));
    }
    if !options.is_empty() {
        body.insert("options".to_owned(), Value::Object(options));
    }
    Ok(())
}
