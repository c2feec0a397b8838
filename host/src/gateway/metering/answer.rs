//! An answer that nobody decodes, read for what it states of its usage, and else for how much text it bears.

use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::Value;

use super::request;
use airlock_core::dialect::framing::{Decoded, Framing, document};
use airlock_core::dialect::usage;
use airlock_core::event::Usage;

/// A document that is longer is not kept for reading; its bytes are counted.
const MOST: u64 = 16 << 20;

/// One answer as it passes.
pub(super) struct Answer {
    /// `None` for what has no text, and for what is too long to be kept.
    framing: Option<Framing>,
    /// It is not read, or not to its end.
    unread: bool,
    is_stream: bool,
    /// Bytes so far.
    bytes: u64,
    /// Bytes of what was read so far.
    read: request::Bytes,
    usage: Option<Usage>,
}

impl Answer {
    pub fn new(headers: &HeaderMap) -> Self {
        let kind = headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let media = ["audio/", "image/", "video/", "application/octet-stream"]
            .iter()
            .any(|media| kind.starts_with(media));
        Self {
            framing: (!media).then(Framing::default),
            unread: media,
            is_stream: false,
            bytes: 0,
            read: request::Bytes::default(),
            usage: None,
        }
    }

    /// The next bytes.
    pub fn read(&mut self, bytes: &Bytes) {
        self.bytes += bytes.len() as u64;
        let Some(framing) = &mut self.framing else {
            return;
        };
        let mut out = Vec::new();
        let framed = framing.push(bytes.clone(), &mut out);
        if framed.is_err() || (self.bytes > MOST && !self.is_stream) {
            self.framing = None;
            self.unread = true;
        }
        out.into_iter().for_each(|decoded| self.decoded(decoded));
    }

    /// What the provider stated. No more is read after this.
    pub fn usage(&mut self) -> Option<Usage> {
        if let Some(mut framing) = self.framing.take() {
            let mut out = Vec::new();
            framing.finish(&mut out);
            out.into_iter().for_each(|decoded| self.decoded(decoded));
        }
        self.usage
    }

    /// Tokens of output so far, estimated.
    pub fn output(&self) -> u64 {
        match self.unread {
            true => self.read.tokens().max(self.bytes / 1024),
            false => self.read.tokens(),
        }
    }

    /// The same of an answer that can be ended in the middle; of a document there is nothing to save.
    pub fn streamed(&self) -> u64 {
        if self.is_stream { self.output() } else { 0 }
    }

    fn decoded(&mut self, decoded: Decoded) {
        let json = match decoded {
            Decoded::Unit(frame) => {
                self.is_stream = true;
                frame.data
            }
            Decoded::Document(bytes) => Some(document(&bytes)),
            // Plain text, as transcriptions may be.
            Decoded::Noise(frame) => {
                if !self.is_stream {
                    self.read.add("", &String::from_utf8_lossy(&frame.raw));
                }
                None
            }
        };
        let Some(json) = json.and_then(|json| serde_json::from_slice::<Value>(&json).ok()) else {
            return;
        };
        if let Some(stated) = usage::find(&json) {
            self.usage = Some(self.usage.map_or(stated, |known| known.with(stated)));
        }
        generated("", &json, &mut self.read);
    }
}

/// Strings that are generated, as the known APIs name them.
fn generated(key: &str, value: &Value, bytes: &mut request::Bytes) {
    const TEXT: [&str; 12] = [
        "text",
        "content",
        "delta",
        "reasoning",
        "reasoning_content",
        "thinking",
        "refusal",
        "arguments",
        "partial_json",
        "transcript",
        "output_text",
        "b64_json",
    ];
    match value {
        Value::String(text) if TEXT.contains(&key) => bytes.add(key, text),
        Value::Array(items) => items.iter().for_each(|item| generated(key, item, bytes)),
        Value::Object(fields) => {
            // The events of the Responses API say everything again when it is complete.
            let event = fields
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if event.starts_with("response.") {
                if let Some(delta) = fields.get("delta") {
                    generated("delta", delta, bytes);
                }
                return;
            }
            fields
                .iter()
                .for_each(|(key, value)| generated(key, value, bytes));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    fn answer(kind: &'static str, body: &str) -> Answer {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind.parse().unwrap())]);
        let mut answer = Answer::new(&headers);
        for piece in body.as_bytes().chunks(7) {
            answer.read(&Bytes::copy_from_slice(piece));
        }
        answer
    }

    #[test]
    fn usage_is_found_wherever_an_api_states_it() {
        let tokens = json!({"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14});
        let own = json!({"input_tokens": 9, "output_tokens": 5, "total_tokens": 14});
        let document = |body: Value| ("application/json", body.to_string());
        let stream = |frames: &[Value]| {
            let frames: String = frames
                .iter()
                .map(|f| format!("event: x\ndata: {f}\n\n"))
                .collect();
            ("text/event-stream", format!("{frames}data: [DONE]\n\n"))
        };
        for (kind, body) in [
            document(
                json!({"object": "text_completion", "choices": [{"text": "hi"}], "usage": tokens}),
            ),
            document(json!({"object": "response", "output": [], "usage": own})),
            document(
                json!({"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 5, "totalTokenCount": 14}}),
            ),
            document(
                json!({"text": "hi", "usage": {"type": "tokens", "input_tokens": 9, "output_tokens": 5, "total_tokens": 14}}),
            ),
            stream(&[
                json!({"choices": [{"text": "hi"}]}),
                json!({"choices": [], "usage": tokens}),
            ]),
            stream(&[json!({"type": "response.completed", "response": {"usage": own}})]),
            stream(&[
                json!({"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}}),
                json!({"type": "message_delta", "usage": {"output_tokens": 5}}),
            ]),
            stream(&[json!({"x_groq": {"usage": tokens}})]),
            stream(&[json!({"choices": [{"usage": tokens}]})]),
        ] {
            let read = answer(kind, &body)
                .usage()
                .unwrap_or_else(|| panic!("{body}"));
            assert_eq!((read.input, read.output), (9, 5), "{body}");
        }
    }

    #[test]
    fn an_answer_that_states_nothing_is_estimated_by_its_text() {
        let words = "word ".repeat(80);
        let output = |kind, body: &str| {
            let mut answer = answer(kind, body);
            assert_eq!(answer.usage(), None);
            answer.output()
        };
        let body = json!({"id": "x".repeat(100), "choices": [{"text": words}]}).to_string();
        assert_eq!(output("application/json", &body), 100);
        let frame = |text: &str| {
            format!(
                "data: {}\n\n",
                json!({"type": "response.output_text.delta", "delta": text})
            )
        };
        let done = format!(
            "data: {}\n\n",
            json!({"type": "response.output_text.done", "text": words})
        );
        let body: String = words.split_inclusive(' ').map(frame).collect::<String>() + &done;
        assert_eq!(
            output("text/event-stream", &body),
            100,
            "and not again at the end"
        );
        assert_eq!(output("text/plain", &words), 100);
        assert_eq!(output("audio/mpeg", &"\0".repeat(10 << 10)), 10);
        let embedding = json!({"data": [{"embedding": "QUJD".repeat(500)}]}).to_string();
        assert_eq!(output("application/json", &embedding), 0);
        let picture = json!({"data": [{"b64_json": "QUJD".repeat(256)}]}).to_string();
        assert_eq!(output("application/json", &picture), 1);
    }
}
