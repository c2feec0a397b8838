//! The dialect: JSON of chat completions, chunks, models, embeddings and errors, in the vendor's shape and order of fields.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::error::ScriptedError;
use super::generation::{Delta, Generation, Usage};
use super::models::{MODELS, Model};

/// Owner of every model: nobody takes a simulated answer for a model's.
pub const OWNER: &str = "airlock-simulator";

/// 2026-01-01: a constant, so that the same script gives the same bytes.
const CREATED: u64 = 1_767_225_600;

/// Ends a stream.
pub const DONE: &str = "data: [DONE]\n\n";

/// One SSE frame.
pub fn frame(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// The frame that opens a choice.
pub fn opening(generation: &Generation, choice: usize) -> Value {
    chunk(
        generation,
        choice,
        json!({"role": "assistant", "content": "", "refusal": null}),
        Value::Null,
        None,
    )
}

/// The frame of a delta.
pub fn delta(generation: &Generation, choice: usize, delta: &Delta) -> Value {
    let logprobs = match delta {
        Delta::Text(text) if generation.logprobs => {
            json!({"content": [logprob(text)], "refusal": null})
        }
        Delta::Refusal(text) if generation.logprobs => {
            json!({"content": null, "refusal": [logprob(text)]})
        }
        _ => Value::Null,
    };
    let body = match delta {
        Delta::Text(text) => json!({"content": text}),
        Delta::Reasoning(text) => Value::Object(Map::from_iter([(
            generation.reasoning_field.clone(),
            json!(text),
        )])),
        Delta::Refusal(text) => json!({"refusal": text}),
        Delta::Call { index, id, name } => json!({"tool_calls": [
            {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
        ]}),
        Delta::Arguments { index, fragment } => {
            json!({"tool_calls": [{"index": index, "function": {"arguments": fragment}}]})
        }
    };
    chunk(generation, choice, body, logprobs, None)
}

/// The frame that closes a choice.
pub fn closing(generation: &Generation, choice: usize) -> Value {
    chunk(
        generation,
        choice,
        json!({}),
        Value::Null,
        Some(generation.finish(choice)),
    )
}

/// The frame with the usage, after all choices, for clients that asked for it.
pub fn usage_chunk(generation: &Generation) -> Value {
    let mut chunk = envelope(generation, "chat.completion.chunk", json!([]));
    chunk["usage"] = usage(generation.usage);
    chunk
}

fn chunk(
    generation: &Generation,
    choice: usize,
    delta: Value,
    logprobs: Value,
    finish: Option<&str>,
) -> Value {
    let choices =
        json!([{"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": finish}]);
    let mut chunk = envelope(generation, "chat.completion.chunk", choices);
    if generation.include_usage {
        chunk["usage"] = Value::Null;
    }
    chunk
}

fn envelope(generation: &Generation, object: &str, choices: Value) -> Value {
    json!({
        "id": format!("chatcmpl-sim-{}", generation.number),
        "object": object,
        "created": CREATED,
        "model": generation.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
        "choices": choices,
    })
}

fn logprob(text: &str) -> Value {
    json!({"token": text, "logprob": -0.25, "bytes": text.as_bytes(), "top_logprobs": []})
}

fn usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}

/// One choice of an answer that is not streamed, put together from its deltas.
#[derive(Default)]
pub struct Choice {
    text: Option<String>,
    reasoning: String,
    refusal: Option<String>,
    calls: Vec<(String, String, String)>,
    logprobs: Vec<Value>,
}

impl Choice {
    /// Adds what one frame would have said.
    pub fn add(&mut self, delta: Delta) {
        match delta {
            Delta::Text(text) => {
                self.logprobs.push(logprob(&text));
                self.text.get_or_insert_default().push_str(&text);
            }
            Delta::Reasoning(text) => self.reasoning.push_str(&text),
            Delta::Refusal(text) => self.refusal.get_or_insert_default().push_str(&text),
            Delta::Call { id, name, .. } => self.calls.push((id, name, String::new())),
            Delta::Arguments { index, fragment } => {
                if let Some((_, _, arguments)) = self.calls.get_mut(index) {
                    arguments.push_str(&fragment);
                }
            }
        }
    }
}

/// An answer that is not streamed.
pub fn completion(generation: &Generation, choices: Vec<Choice>) -> Value {
    let choices: Vec<Value> = choices
        .into_iter()
        .enumerate()
        .map(|(index, choice)| whole_choice(generation, index, choice))
        .collect();
    let mut completion = envelope(generation, "chat.completion", Value::Array(choices));
    completion["usage"] = usage(generation.usage);
    completion
}

fn whole_choice(generation: &Generation, index: usize, choice: Choice) -> Value {
    let silent = choice.text.is_none() && choice.calls.is_empty() && choice.refusal.is_none();
    let content = if silent {
        Some(String::new())
    } else {
        choice.text
    };
    let mut message = json!({"role": "assistant", "content": content, "refusal": choice.refusal});
    if !choice.reasoning.is_empty() {
        message[&generation.reasoning_field] = json!(choice.reasoning);
    }
    if !choice.calls.is_empty() {
        let call = |(id, name, arguments): (String, String, String)| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
        message["tool_calls"] = choice.calls.into_iter().map(call).collect();
    }
    let logprobs = if generation.logprobs {
        json!({"content": choice.logprobs, "refusal": null})
    } else {
        Value::Null
    };
    json!({"index": index, "message": message, "logprobs": logprobs, "finish_reason": generation.finish(index)})
}

/// The vendor's error envelope.
pub fn error(error: &ScriptedError) -> Value {
    json!({"error": {"message": error.message, "type": error.kind, "param": null, "code": error.code}})
}

/// `GET /v1/models`.
pub fn models() -> Value {
    json!({"object": "list", "data": MODELS.iter().map(model).collect::<Vec<_>>()})
}

/// One model of the list. `description` is an addition to the vendor's fields.
pub fn model(model: &Model) -> Value {
    json!({"id": model.name, "object": "model", "created": CREATED, "owned_by": OWNER, "description": model.behaviour})
}

/// Components of a simulated vector.
const DIMENSIONS: usize = 8;

/// `POST /v1/embeddings`: a hash of each text, read as small vectors. The SDK asks for base64 unless told otherwise.
pub fn embeddings(request: &Value) -> Value {
    use base64::Engine as _;
    let texts: Vec<String> = match &request["input"] {
        Value::Array(texts) => texts
            .iter()
            .map(|text| {
                text.as_str()
                    .map_or_else(|| text.to_string(), str::to_owned)
            })
            .collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    };
    let tokens: usize = texts.iter().map(|text| text.len().div_ceil(4)).sum();
    let encoded = request["encoding_format"] == "base64";
    let vector = |text: &String| {
        let digest = Sha256::digest(text.as_bytes());
        let values = digest
            .iter()
            .take(DIMENSIONS)
            .map(|byte| (f32::from(*byte) - 127.5) / 127.5);
        if encoded {
            let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
            json!(base64::engine::general_purpose::STANDARD.encode(bytes))
        } else {
            json!(values.collect::<Vec<f32>>())
        }
    };
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| json!({"object": "embedding", "index": index, "embedding": vector(text)}))
        .collect();
    json!({
        "object": "list",
        "data": data,
        "model": request["model"],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    })
}
