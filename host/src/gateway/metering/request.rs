//! What a call will spend, as far as its method, path and body tell.

use http::{HeaderMap, Method, header};
use serde_json::Value;

/// When a call spends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Spends {
    /// Never.
    Nothing,
    /// With its answer.
    Now,
    /// After its answer, where Airlock does not see it.
    Later,
}

/// What a call will spend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::gateway) struct Estimate {
    /// Tokens of its prompt.
    pub input: u64,
    /// The most tokens of its answer, if the request says so.
    pub output: Option<u64>,
    /// Whether the answer is generated at all.
    pub generates: bool,
}

/// When a call spends. What is not known to be free spends with its answer.
pub(in crate::gateway) fn spends(method: &Method, path: &str, body: &[u8]) -> Spends {
    if !matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
        return Spends::Nothing;
    }
    let mut parts = path.strip_prefix("/v1/").unwrap_or(path).split('/');
    match parts.next().unwrap_or_default() {
        "files" | "uploads" | "vector_stores" | "containers" | "assistants" | "moderations" => {
            Spends::Nothing
        }
        "batches" | "fine_tuning" | "evals" | "videos" | "realtime" => Spends::Later,
        "messages" if parts.next() == Some("batches") => Spends::Later,
        "threads" if parts.any(|part| part == "runs") => Spends::Later,
        "threads" => Spends::Nothing,
        "responses" if in_background(body) => Spends::Later,
        _ => Spends::Now,
    }
}

/// A response that is made while nobody listens.
fn in_background(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Wire {
        background: Option<Value>,
    }
    let wire = serde_json::from_slice::<Wire>(body).ok();
    wire.and_then(|wire| wire.background)
        .is_some_and(|value| value != Value::Bool(false) && !value.is_null())
}

impl Estimate {
    /// Of a request.
    pub fn of(path: &str, headers: &HeaderMap, body: &[u8]) -> Self {
        let generates = !["/v1/embeddings", "/v1/rerank", "/v1/score"].contains(&path);
        let json: Option<Value> = serde_json::from_slice(body).ok();
        let Some(json) = json else {
            let kind = headers.get(header::CONTENT_TYPE);
            let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            let bytes = body.len() as u64;
            return Self {
                input: if kind.starts_with("text/") {
                    bytes / 4
                } else {
                    bytes / 1024
                },
                output: None,
                generates,
            };
        };
        let limits = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
        let limit = limits.iter().find_map(|name| whole(&json[*name]));
        let times = whole(&json["n"])
            .unwrap_or(1)
            .max(whole(&json["best_of"]).unwrap_or(1));
        Self {
            input: text(&json).tokens(),
            output: limit.map(|limit| limit.saturating_mul(times.max(1))),
            generates,
        }
    }
}

fn whole(value: &Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_f64().map(|n| n.max(0.0) as u64))
}

/// Bytes of a value's strings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bytes {
    text: u64,
    other: u64,
}

impl Bytes {
    /// Four bytes of text a token; a KiB of an image or of speech, which are billed by their size and length.
    pub(super) fn tokens(self) -> u64 {
        self.text.div_ceil(4) + self.other.div_ceil(1024)
    }

    /// A string: data, if it is a data URL or stands where data stands.
    pub(super) fn add(&mut self, key: &str, text: &str) {
        let data = matches!(key, "b64_json" | "data" | "file_data" | "image_base64");
        if text.starts_with("data:") || (data && text.len() > 256) {
            self.other += text.len() as u64;
        } else {
            self.text += text.len() as u64;
        }
    }
}

/// All strings of a request.
fn text(value: &Value) -> Bytes {
    fn walk(key: &str, value: &Value, bytes: &mut Bytes) {
        match value {
            Value::String(text) => bytes.add(key, text),
            // A prompt may be given as the tokens that it is.
            Value::Number(_) if matches!(key, "input" | "prompt") => bytes.text += 4,
            Value::Array(items) => items.iter().for_each(|item| walk(key, item, bytes)),
            Value::Object(fields) => fields
                .iter()
                .for_each(|(key, value)| walk(key, value, bytes)),
            _ => {}
        }
    }
    let mut bytes = Bytes::default();
    walk("", value, &mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_known_to_be_free_spends() {
        let of = |method: Method, path: &str| spends(&method, path, b"{}");
        for path in [
            "/v1/completions",
            "/v1/responses",
            "/v1/embeddings",
            "/v1/audio/speech",
            "/v1/messages",
            "/v1/new",
        ] {
            assert_eq!(of(Method::POST, path), Spends::Now, "{path}");
        }
        for path in [
            "/v1/files",
            "/v1/uploads/u/parts",
            "/v1/moderations",
            "/v1/threads/t/messages",
        ] {
            assert_eq!(of(Method::POST, path), Spends::Nothing, "{path}");
        }
        for path in [
            "/v1/batches",
            "/v1/messages/batches",
            "/v1/threads/t/runs",
            "/v1/threads/runs",
            "/v1/fine_tuning/jobs",
        ] {
            assert_eq!(of(Method::POST, path), Spends::Later, "{path}");
        }
        assert_eq!(of(Method::GET, "/v1/batches"), Spends::Nothing);
        assert_eq!(of(Method::DELETE, "/v1/responses/r"), Spends::Nothing);
        let background = spends(&Method::POST, "/v1/responses", br#"{"background": true}"#);
        assert_eq!(background, Spends::Later);
    }

    #[test]
    fn a_prompt_is_its_text_and_never_the_bytes_of_a_picture() {
        let of = |body: Value| {
            Estimate::of(
                "/v1/responses",
                &HeaderMap::new(),
                body.to_string().as_bytes(),
            )
        };
        assert_eq!(of(json!({"input": "x".repeat(400)})).input, 100);
        let picture = format!("data:image/png;base64,{}", "A".repeat(1 << 20));
        let shown = of(json!({"input": [{"type": "input_image", "image_url": picture}]}));
        assert!((1024..1100).contains(&shown.input), "{shown:?}");
        let limited = of(json!({"input": "x", "max_output_tokens": 50, "n": 2}));
        assert_eq!(limited.output, Some(100));
        assert_eq!(of(json!({"input": [[1, 2, 3], [4]]})).input, 4);
        let embedding = Estimate::of("/v1/embeddings", &HeaderMap::new(), b"{}");
        assert!(!embedding.generates);
    }
}
