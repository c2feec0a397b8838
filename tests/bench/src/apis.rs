//! The wire APIs in which answers are streamed: what a client asks, and what the upstream says.
//!
//! Each chunk bears the time of its write in a number `created`, which no client of these APIs reads and no policy judges.

use serde_json::{Value, json};

/// A wire API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// OpenAI Chat Completions.
    Chat,
    /// OpenAI Responses.
    Responses,
    /// Anthropic Messages.
    Messages,
    /// Gemini.
    Gemini,
    /// Ollama's own.
    Ollama,
}

impl Api {
    /// All of them, the one first by which the others are measured.
    pub const ALL: [Api; 5] = [
        Api::Chat,
        Api::Responses,
        Api::Messages,
        Api::Gemini,
        Api::Ollama,
    ];

    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Api::Chat => "chat completions",
            Api::Responses => "Responses",
            Api::Messages => "Messages",
            Api::Gemini => "Gemini",
            Api::Ollama => "Ollama",
        }
    }

    /// Path and query of a streamed call of `model`.
    pub fn path(self, model: &str) -> String {
        match self {
            Api::Chat => "/v1/chat/completions".to_owned(),
            Api::Responses => "/v1/responses".to_owned(),
            Api::Messages => "/v1/messages".to_owned(),
            Api::Gemini => format!("/v1beta/models/{model}:streamGenerateContent?alt=sse"),
            Api::Ollama => "/api/chat".to_owned(),
        }
    }

    /// The API of a path.
    pub fn of(path: &str) -> Api {
        let same = |api: &Api| match api {
            Api::Gemini => path.contains(":streamGenerateContent"),
            api => path.ends_with(&api.path("")),
        };
        Api::ALL.into_iter().find(same).unwrap_or(Api::Chat)
    }

    /// A streamed call that asks one thing.
    pub fn body(self, model: &str, question: &str) -> String {
        let said = json!([{"role": "user", "content": question}]);
        let body = match self {
            Api::Chat => json!({"model": model, "stream": true, "messages": said}),
            Api::Responses => json!({"model": model, "stream": true, "input": said}),
            Api::Messages => {
                json!({"model": model, "stream": true, "max_tokens": 4096, "messages": said})
            }
            Api::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": question}]}]}),
            Api::Ollama => json!({"model": model, "stream": true, "messages": said}),
        };
        body.to_string()
    }

    /// Media type of a stream.
    pub fn media_type(self) -> &'static str {
        match self {
            Api::Ollama => "application/x-ndjson",
            _ => "text/event-stream",
        }
    }

    /// What a stream begins with.
    pub fn head(self) -> String {
        match self {
            Api::Responses => {
                let answer = |status: &str| {
                    json!({"id": "resp_bench", "object": "response", "created_at": 1, "status": status,
                           "model": "bench", "output": []})
                };
                let item = json!({"id": "msg_bench", "type": "message", "status": "in_progress",
                                  "role": "assistant", "content": []});
                let part = json!({"type": "output_text", "text": "", "annotations": []});
                [
                    json!({"type": "response.created", "sequence_number": 0, "response": answer("in_progress")}),
                    json!({"type": "response.in_progress", "sequence_number": 1, "response": answer("in_progress")}),
                    json!({"type": "response.output_item.added", "sequence_number": 2, "output_index": 0, "item": item}),
                    json!({"type": "response.content_part.added", "sequence_number": 3, "item_id": "msg_bench",
                           "output_index": 0, "content_index": 0, "part": part}),
                ]
                .iter()
                .map(named)
                .collect()
            }
            Api::Messages => {
                let usage = json!({"input_tokens": 100, "output_tokens": 1});
                let message = json!({"id": "msg_bench", "type": "message", "role": "assistant", "model": "bench",
                                     "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage});
                let block = json!({"type": "text", "text": ""});
                [
                    json!({"type": "message_start", "message": message}),
                    json!({"type": "content_block_start", "index": 0, "content_block": block}),
                ]
                .iter()
                .map(named)
                .collect()
            }
            _ => String::new(),
        }
    }

    /// One chunk: its place in the stream, its text, and when it is written.
    pub fn chunk(self, index: usize, word: &str, now: u64) -> String {
        match self {
            Api::Chat => format!(
                "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":{now},\"model\":\"bench\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{word}\"}},\"finish_reason\":null}}]}}\n\n"
            ),
            Api::Responses => format!(
                "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"sequence_number\":{},\"item_id\":\"msg_bench\",\"output_index\":0,\"content_index\":0,\"delta\":\"{word}\",\"logprobs\":[],\"created\":{now}}}\n\n",
                index + 4
            ),
            Api::Messages => format!(
                "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{word}\"}},\"created\":{now}}}\n\n"
            ),
            Api::Gemini => format!(
                "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"{word}\"}}],\"role\":\"model\"}},\"index\":0}}],\"modelVersion\":\"bench\",\"responseId\":\"bench\",\"created\":{now}}}\n\n"
            ),
            Api::Ollama => format!(
                "{{\"model\":\"bench\",\"created_at\":\"2026-01-01T00:00:00Z\",\"message\":{{\"role\":\"assistant\",\"content\":\"{word}\"}},\"done\":false,\"created\":{now}}}\n"
            ),
        }
    }

    /// What a stream of this text ends with.
    pub fn end(self, text: &str, chunks: usize) -> String {
        match self {
            Api::Chat => "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n".to_owned(),
            Api::Responses => {
                let part = json!({"type": "output_text", "text": text, "annotations": []});
                let item = json!({"id": "msg_bench", "type": "message", "status": "completed", "role": "assistant",
                                  "content": [part]});
                let usage = json!({"input_tokens": 100, "output_tokens": chunks, "total_tokens": chunks + 100});
                let answer = json!({"id": "resp_bench", "object": "response", "created_at": 1, "status": "completed",
                                    "model": "bench", "output": [item], "usage": usage});
                let n = chunks + 4;
                [
                    json!({"type": "response.output_text.done", "sequence_number": n, "item_id": "msg_bench",
                           "output_index": 0, "content_index": 0, "text": text, "logprobs": []}),
                    json!({"type": "response.content_part.done", "sequence_number": n + 1, "item_id": "msg_bench",
                           "output_index": 0, "content_index": 0, "part": part}),
                    json!({"type": "response.output_item.done", "sequence_number": n + 2, "output_index": 0, "item": item}),
                    json!({"type": "response.completed", "sequence_number": n + 3, "response": answer}),
                ]
                .iter()
                .map(named)
                .collect()
            }
            Api::Messages => [
                json!({"type": "content_block_stop", "index": 0}),
                json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
                       "usage": {"output_tokens": chunks}}),
                json!({"type": "message_stop"}),
            ]
            .iter()
            .map(named)
            .collect(),
            Api::Gemini => {
                let usage = json!({"promptTokenCount": 100, "candidatesTokenCount": chunks, "totalTokenCount": chunks + 100});
                let end = json!({"candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "STOP",
                                 "index": 0}], "usageMetadata": usage, "modelVersion": "bench", "responseId": "bench"});
                format!("data: {end}\n\n")
            }
            Api::Ollama => {
                let end = json!({"model": "bench", "created_at": "2026-01-01T00:00:00Z",
                                 "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "stop",
                                 "prompt_eval_count": 100, "eval_count": chunks});
                format!("{end}\n")
            }
        }
    }
}

/// An event with its name.
fn named(event: &Value) -> String {
    let name = event["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {event}\n\n")
}
