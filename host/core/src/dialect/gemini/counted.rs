//! The usage of an answer.

use serde_json::{Map, Value, json};

use crate::dialect::json::Raw;
use crate::dialect::usage;
use crate::event::Usage;

/// What a `usageMetadata` states; `None` if it counts no token.
pub(super) fn read(value: Raw<'_>) -> Option<Usage> {
    let value: Value = serde_json::from_str(value.get()).ok()?;
    let Value::Object(fields) = value else {
        return None;
    };
    // The words by which usage is known everywhere, whichever way they are spelled.
    let named = |name: String| match name.as_str() {
        "prompt_token_count" => "promptTokenCount".to_owned(),
        "candidates_token_count" => "candidatesTokenCount".to_owned(),
        "thoughts_token_count" => "thoughtsTokenCount".to_owned(),
        "total_token_count" => "totalTokenCount".to_owned(),
        "cached_content_token_count" => "cachedContentTokenCount".to_owned(),
        "tool_use_prompt_token_count" => "toolUsePromptTokenCount".to_owned(),
        _ => name,
    };
    let fields: Map<String, Value> = fields
        .into_iter()
        .map(|(name, value)| (named(name), value))
        .collect();
    usage::read(&Value::Object(fields))
}

/// A `usageMetadata` that states it.
pub(super) fn written(usage: Usage) -> Value {
    let mut fields = json!({
        "promptTokenCount": usage.input,
        "candidatesTokenCount": usage.output.saturating_sub(usage.reasoning),
        "totalTokenCount": usage.total(),
    });
    for (name, count) in [
        ("cachedContentTokenCount", usage.cached),
        ("thoughtsTokenCount", usage.reasoning),
    ] {
        if count > 0 {
            fields[name] = json!(count);
        }
    }
    fields
}
