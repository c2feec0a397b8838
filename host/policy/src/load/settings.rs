//! Judges an operator's settings under the policy's own schema, and says which ones there are.

use jsonschema::PatternOptions;
use jsonschema::error::ValidationErrorKind;

use crate::advice;
use crate::error::{LoadError, Stage};

/// Judges settings under the policy's own schema. Regular expressions in it run in linear time: the schema is the guest's.
pub(super) fn check_settings(schema: &str, settings: &serde_json::Value) -> Result<(), LoadError> {
    if schema.is_empty() {
        return Ok(());
    }
    let schema: serde_json::Value = serde_json::from_str(schema).map_err(|e| {
        LoadError::new(
            Stage::Describe,
            format!("its settings schema is not JSON: {e}"),
        )
    })?;
    let validator = jsonschema::options()
        .with_pattern_options(PatternOptions::regex())
        .build(&schema)
        .map_err(|e| {
            LoadError::new(
                Stage::Describe,
                format!("its settings schema is not a JSON Schema: {e}"),
            )
        })?;
    let errors: Vec<String> = validator
        .iter_errors(settings)
        .take(5)
        .map(|error| setting(&schema, &error))
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(LoadError::new(Stage::Settings, errors.join("; ")))
    }
}

/// What is wrong with one setting: its path, then what, then which ones there are.
fn setting(schema: &serde_json::Value, error: &jsonschema::ValidationError<'_>) -> String {
    let path = error.instance_path().as_str().replace('/', ".");
    let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() else {
        return format!("`settings{path}`: {error}");
    };
    let keyword = error.schema_path().as_str();
    let known: Vec<&str> = keyword
        .rsplit_once('/')
        .and_then(|(object, _)| schema.pointer(object)?.get("properties")?.as_object())
        .map(|properties| properties.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let name = unexpected.first().map_or("", String::as_str);
    let advice = advice::unknown("setting", name, known.iter().copied());
    let rest = if advice.ends_with('?') {
        format!(" There are {}.", known.join(", "))
    } else {
        String::new()
    };
    format!("`settings{path}.{name}`: {advice}{rest}")
}
