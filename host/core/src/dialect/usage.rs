//! Tokens as model servers state them, each in its own way.
//!
//! The vendors agree on few of the words and on fewer of the sums, so the numbers are held against each other:
//!
//! - `total_tokens` decides: what it has beyond prompt and answer was generated (reasoning that stands outside
//!   `completion_tokens`: xAI, Gemini), unless the prompt's own parts beside it explain it (`cache_read_input_tokens`,
//!   `cache_creation_input_tokens`: Anthropic).
//! - Reasoning is part of the answer, as OpenAI has it, and is never added to one that can hold it.
//! - A number may be a float or a string; what is null, negative or no number is not stated.
//! - Anthropic's numbers are those of the answer alone where more was generated for its sake (a compaction, another model's
//!   advice): `iterations` has all that is billed, one by one.
//!
//! Where one answer states its usage more than once (in every frame, at first and at last, at two places of a frame), the
//! statements are cumulative in all servers known, and [`Usage::with`] keeps the most of each number: so no later zero makes
//! an answer free.

use serde_json::{Map, Value};

use crate::event::Usage;

/// The usage in an answer of any API, wherever that states it.
pub fn find(answer: &Value) -> Option<Usage> {
    let at = |path: &str| answer.pointer(path).and_then(read);
    let choices = answer.get("choices").and_then(Value::as_array);
    let in_choices = choices
        .into_iter()
        .flatten()
        .filter_map(|choice| read(choice.get("usage")?));
    [
        // Ollama has no object for it.
        "",
        "/usage",
        "/usageMetadata",
        "/response/usage",
        "/response/usageMetadata",
        "/message/usage",
        "/x_groq/usage",
        "/usage/tokens",
    ]
    .into_iter()
    .filter_map(at)
    .chain(in_choices)
    .reduce(Usage::with)
}

/// Reads a usage object: `None` if it states no token.
pub fn read(value: &Value) -> Option<Usage> {
    let fields = value.as_object()?;
    let iterations = fields.get("iterations").and_then(Value::as_array);
    let parts = iterations
        .into_iter()
        .flatten()
        .filter_map(Value::as_object);
    let all = parts.filter_map(read_one).reduce(Usage::and);
    [read_one(fields), all]
        .into_iter()
        .flatten()
        .reduce(Usage::with)
}

fn read_one(fields: &Map<String, Value>) -> Option<Usage> {
    let number = |names: &[&str]| names.iter().find_map(|name| number(fields, name));
    let detail = |parts: &[&str], names: &[&str]| {
        let within = |part: &&str| fields.get(*part).and_then(Value::as_object);
        let mut parts = parts.iter().filter_map(within);
        parts.find_map(|part| names.iter().find_map(|name| self::number(part, name)))
    };
    let input = number(&[
        "prompt_tokens",
        "input_tokens",
        "inputTokens",
        "promptTokenCount",
        "prompt_eval_count",
    ]);
    let output = number(&[
        "completion_tokens",
        "output_tokens",
        "outputTokens",
        "eval_count",
    ])
    .or_else(|| {
        // Gemini's thoughts are beside its answer in its own words.
        let parts = ["candidatesTokenCount", "thoughtsTokenCount"].map(|name| number(&[name]));
        let stated = parts.iter().any(Option::is_some);
        stated.then(|| parts.into_iter().flatten().fold(0, u32::saturating_add))
    });
    // So is what its tools read, beside its prompt.
    let input = match number(&["toolUsePromptTokenCount"]) {
        Some(read) => Some(input.unwrap_or_default().saturating_add(read)),
        None => input,
    };
    let total = number(&["total_tokens", "totalTokens", "totalTokenCount"]);
    input.or(output).or(total)?;
    let reasoning = detail(
        &["completion_tokens_details", "output_tokens_details"],
        &["reasoning_tokens", "thinking_tokens"],
    )
    .or_else(|| number(&["reasoning_tokens", "thoughtsTokenCount"]))
    .unwrap_or_default();
    // Beside the prompt in Anthropic's own count, inside it in everybody else's.
    let read = number(&["cache_read_input_tokens"]);
    let written = number(&["cache_creation_input_tokens"]).unwrap_or_default();
    let beside = read.unwrap_or_default().saturating_add(written);
    let cached = detail(
        &["prompt_tokens_details", "input_tokens_details"],
        &["cached_tokens"],
    )
    .or_else(|| {
        number(&[
            "prompt_cache_hit_tokens",
            "cached_tokens",
            "cachedContentTokenCount",
        ])
    })
    .max(read)
    .unwrap_or_default();
    let hit_and_miss =
        number(&["prompt_cache_miss_tokens"]).map(|miss| miss.saturating_add(cached));

    let (mut input, output) = match (input.or(hit_and_miss), output) {
        (Some(input), Some(output)) => (input, output),
        (Some(input), None) => (input, total.map_or(0, |total| total.saturating_sub(input))),
        (None, output) => {
            let output = output.unwrap_or_default();
            (total.unwrap_or_default().saturating_sub(output), output)
        }
    };
    // Anthropic's prompt is the part that no cache had. Its own words say so, or the total does.
    let own_words = fields.contains_key("input_tokens") && !fields.contains_key("prompt_tokens");
    let missing = total.map_or(0, |total| {
        total.saturating_sub(input).saturating_sub(output)
    });
    if missing == beside || (missing == 0 && (own_words || cached > input)) {
        input = input.saturating_add(beside);
    }
    let outside = total.map_or(0, |total| {
        total.saturating_sub(input).saturating_sub(output)
    });
    let mut output = output.saturating_add(outside);
    // It cannot be a part of what is smaller.
    if reasoning > output {
        output = output.saturating_add(reasoning);
    }
    Some(Usage {
        input,
        output,
        cached: cached.min(input),
        reasoning,
        exact: true,
    })
}

/// A number of tokens, however it is written.
fn number(fields: &Map<String, Value>, name: &str) -> Option<u32> {
    let number = match fields.get(name)? {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    // Rounded up; what is beyond 32 bits stays there.
    (number.is_finite() && number >= 0.0).then(|| number.ceil() as u32)
}

impl Usage {
    /// This and another statement of the same answer: the most of each number.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            input: self.input.max(other.input),
            output: self.output.max(other.output),
            cached: self.cached.max(other.cached),
            reasoning: self.reasoning.max(other.reasoning),
            exact: self.exact || other.exact,
        }
    }

    /// This and that of another answer.
    fn and(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            cached: self.cached.saturating_add(other.cached),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            exact: self.exact && other.exact,
        }
    }

    /// Input and output.
    #[must_use]
    pub fn total(self) -> u64 {
        u64::from(self.input) + u64::from(self.output)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    /// Input, output, cached, reasoning.
    fn of(value: Value) -> Option<[u32; 4]> {
        let usage = read(&value)?;
        assert!(usage.exact);
        Some([usage.input, usage.output, usage.cached, usage.reasoning])
    }

    #[test]
    fn every_vendors_usage_is_read_as_it_is_billed() {
        let table = [
            // OpenAI: reasoning and cached tokens are parts.
            (
                json!({"prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306,
                    "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
                    "completion_tokens_details": {"reasoning_tokens": 256, "audio_tokens": 0,
                        "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}}),
                [2006, 300, 1920, 256],
            ),
            // xAI: reasoning beside the answer, and in the total.
            (
                json!({"prompt_tokens": 19, "completion_tokens": 29, "total_tokens": 323,
                    "prompt_tokens_details": {"text_tokens": 19, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": 4},
                    "completion_tokens_details": {"reasoning_tokens": 275, "audio_tokens": 0,
                        "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}, "num_sources_used": 0}),
                [19, 304, 4, 275],
            ),
            // Gemini's compatible API: thoughts in the total alone, and nowhere said.
            (
                json!({"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 221}),
                [12, 209, 0, 0],
            ),
            // DeepSeek.
            (
                json!({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
                    "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36}),
                [100, 50, 64, 0],
            ),
            // Moonshot, and Cohere's compatible API.
            (
                json!({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150, "cached_tokens": 80}),
                [100, 50, 80, 0],
            ),
            // Groq: times beside tokens.
            (
                json!({"queue_time": 0.08, "prompt_tokens": 43, "prompt_time": 0.003, "completion_tokens": 16,
                    "completion_time": 0.03, "total_tokens": 59, "total_time": 0.033}),
                [43, 16, 0, 0],
            ),
            // OpenRouter: costs beside tokens.
            (
                json!({"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30, "cost": 0.0000125,
                    "is_byok": false, "cost_details": {"upstream_inference_cost": null},
                    "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 2},
                    "completion_tokens_details": {"reasoning_tokens": 15, "image_tokens": 0}}),
                [10, 20, 8, 15],
            ),
            // Anthropic's own words: the prompt is what no cache had.
            (
                json!({"input_tokens": 3, "cache_creation_input_tokens": 418, "cache_read_input_tokens": 1600,
                    "output_tokens": 33, "service_tier": "standard"}),
                [2021, 33, 1600, 0],
            ),
            // With thinking, and with a compaction that the numbers of the answer leave out.
            (
                json!({"input_tokens": 3, "output_tokens": 33, "output_tokens_details": {"thinking_tokens": 20}}),
                [3, 33, 0, 20],
            ),
            (
                json!({"input_tokens": 181, "output_tokens": 8, "cache_read_input_tokens": 0, "iterations": [
                    {"type": "compaction", "input_tokens": 100, "output_tokens": 83, "cache_read_input_tokens": 55096},
                    {"type": "message", "input_tokens": 181, "output_tokens": 8}]}),
                [55377, 91, 55096, 0],
            ),
            // The same numbers under OpenAI's words, with the cache beside the prompt, and inside it.
            (
                json!({"prompt_tokens": 3, "completion_tokens": 33, "total_tokens": 1636, "cache_read_input_tokens": 1600}),
                [1603, 33, 1600, 0],
            ),
            (
                json!({"prompt_tokens": 1603, "completion_tokens": 33, "total_tokens": 1636,
                    "cache_read_input_tokens": 1600, "prompt_tokens_details": {"cached_tokens": 1600}}),
                [1603, 33, 1600, 0],
            ),
            (
                json!({"input_tokens": 3, "cache_read_input_tokens": 1600, "output_tokens": 33, "total_tokens": 36}),
                [1603, 33, 1600, 0],
            ),
            // The Responses API.
            (
                json!({"input_tokens": 100, "input_tokens_details": {"cached_tokens": 40}, "output_tokens": 50,
                    "output_tokens_details": {"reasoning_tokens": 32}, "total_tokens": 150}),
                [100, 50, 40, 32],
            ),
            // Gemini's own words: what tools read and what was thought stand beside prompt and answer.
            (
                json!({"promptTokenCount": 147, "candidatesTokenCount": 108, "totalTokenCount": 783,
                    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 147}],
                    "toolUsePromptTokenCount": 360, "thoughtsTokenCount": 168}),
                [507, 276, 0, 168],
            ),
            (
                json!({"promptTokenCount": 100, "cachedContentTokenCount": 80, "candidatesTokenCount": 7,
                    "thoughtsTokenCount": 3}),
                [100, 10, 80, 3],
            ),
            (
                json!({"promptTokenCount": 87, "totalTokenCount": 165, "thoughtsTokenCount": 78}),
                [87, 78, 0, 78],
            ),
            (
                json!({"promptTokenCount": 46, "totalTokenCount": 46}),
                [46, 0, 0, 0],
            ),
            // Ollama: beside the answer, with times in between. What its cache had of the prompt is not stated.
            (
                json!({"model": "llama3.2", "done": true, "total_duration": 4883583458_u64, "load_duration": 1334875,
                    "prompt_eval_count": 26, "prompt_eval_duration": 342546000, "eval_count": 282, "eval_duration": 4535599000_u64}),
                [26, 282, 0, 0],
            ),
            (json!({"done": true, "eval_count": 5}), [0, 5, 0, 0]),
            // Embeddings.
            (json!({"prompt_tokens": 8, "total_tokens": 8}), [8, 0, 0, 0]),
            // Floats and strings; what is null is not stated.
            (
                json!({"prompt_tokens": 12.0, "completion_tokens": 7.5, "total_tokens": null}),
                [12, 8, 0, 0],
            ),
            (
                json!({"prompt_tokens": "12", "completion_tokens": " 7 ", "total_tokens": "19",
                    "prompt_tokens_details": null, "completion_tokens_details": {"reasoning_tokens": "3"}}),
                [12, 7, 0, 3],
            ),
            // One of the three is missing.
            (
                json!({"prompt_tokens": 12, "total_tokens": 20}),
                [12, 8, 0, 0],
            ),
            (
                json!({"completion_tokens": 8, "total_tokens": 20}),
                [12, 8, 0, 0],
            ),
            (
                json!({"prompt_tokens": 12, "completion_tokens": null, "total_tokens": 20}),
                [12, 8, 0, 0],
            ),
            // Reasoning that the answer cannot hold, and no total.
            (
                json!({"prompt_tokens": 5, "completion_tokens": 10, "completion_tokens_details": {"reasoning_tokens": 90}}),
                [5, 100, 0, 90],
            ),
            // A total that is too small says nothing.
            (
                json!({"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 0}),
                [12, 7, 0, 0],
            ),
            (
                json!({"prompt_tokens": 1e12, "completion_tokens": -3, "total_tokens": 1e12}),
                [u32::MAX, 0, 0, 0],
            ),
        ];
        for (value, expected) in table {
            assert_eq!(of(value.clone()), Some(expected), "{value}");
        }
    }

    #[test]
    fn what_states_no_token_is_no_usage() {
        for value in [
            json!(null),
            json!({}),
            json!([1]),
            json!("12"),
            json!({"type": "duration", "seconds": 9}),
            json!({"prompt_tokens": null, "completion_tokens": "many"}),
        ] {
            assert_eq!(of(value.clone()), None, "{value}");
        }
    }

    #[test]
    fn a_later_statement_never_makes_an_answer_cheaper() {
        let first = read(&json!({"prompt_tokens": 100, "completion_tokens": 0})).unwrap();
        let last = read(&json!({"prompt_tokens": 0, "completion_tokens": 40})).unwrap();
        let both = first.with(last);
        assert_eq!((both.input, both.output), (100, 40));
        assert_eq!(both.with(read(&json!({"prompt_tokens": 0})).unwrap()), both);
    }
}
