//! Parameters of a request as policies set them: most stand in `generationConfig`.

use crate::dialect::gemini::fields::{Fields, camel};
use crate::dialect::gemini::request::output_limit;
use crate::dialect::gemini::undecodable::impossible;
use crate::dialect::json::Raw;
use crate::dialect::{EditError, RequestEdits};

/// What has edits of its own, or would change what is answered.
const NOT_PARAMETERS: [&str; 7] = [
    "model",
    "contents",
    "systemInstruction",
    "tools",
    "generationConfig",
    "candidateCount",
    "cachedContent",
];

/// Fields beside `generationConfig`.
const BESIDE: [&str; 5] = [
    "safetySettings",
    "toolConfig",
    "labels",
    "serviceTier",
    "store",
];

/// Fields of the request that set parameters and lower the limit of output tokens.
pub(super) fn set(
    root: &Fields<'_>,
    edits: &RequestEdits,
) -> Result<Vec<(&'static str, String)>, EditError> {
    let mut beside: Vec<(&'static str, String)> = Vec::new();
    let mut within: Vec<(String, String)> = Vec::new();
    for (stated, value) in &edits.parameters {
        let name = camel(stated).unwrap_or_else(|| stated.clone());
        if NOT_PARAMETERS.contains(&name.as_str()) {
            return Err(impossible(stated, "it is not a parameter"));
        }
        Raw::of(value).map_err(|error| impossible(stated, error))?;
        match BESIDE.iter().find(|known| **known == name) {
            Some(known) => {
                beside.retain(|(other, _)| other != known);
                beside.push((known, value.clone()));
            }
            None => {
                within.retain(|(other, _)| *other != name);
                within.push((name, value.clone()));
            }
        }
    }
    let source = root.get("generationConfig").map_or("{}", Raw::get);
    let config = written(source, &within)?;
    let config = match edits.max_output_tokens {
        Some(most) => capped(&config, most)?,
        None => config,
    };
    if config != source {
        beside.push(("generationConfig", config));
    }
    Ok(beside)
}

fn written(source: &str, values: &[(String, String)]) -> Result<String, EditError> {
    let values: Vec<(&str, String)> = values
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    Ok(Fields::parse(source, "generationConfig")?.set(source, &values))
}

fn capped(source: &str, most: u32) -> Result<String, EditError> {
    let limit = output_limit(&Fields::parse(source, "generationConfig")?)?;
    match limit.is_some_and(|limit| limit <= most) {
        true => Ok(source.to_owned()),
        false => written(source, &[("maxOutputTokens".to_owned(), most.to_string())]),
    }
}
