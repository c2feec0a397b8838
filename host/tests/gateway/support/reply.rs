//! What a client got, as bytes and as the dialect reads them.

use serde_json::{Value, json};

/// An answer, whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub bytes: Vec<u8>,
    /// The connection broke before the body's end.
    pub cut: bool,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The frames' data; `[DONE]` as a string.
    pub fn frames(&self) -> Vec<Value> {
        frames(&self.text())
    }

    /// What the client was told, by place.
    pub fn said(&self) -> Said {
        let mut said = Said::default();
        if self.text().contains("data: ") {
            for frame in self.frames() {
                said.add(&frame);
            }
        } else {
            said.add(&self.json());
        }
        said
    }

    /// All text of all places; empty for an error.
    pub fn said_lossy(&self) -> String {
        match self.error_code().is_empty() || self.text().contains("data: ") {
            true => self.said().0.values().cloned().collect(),
            false => String::new(),
        }
    }

    pub fn is_done(&self) -> bool {
        self.text().trim_end().ends_with("data: [DONE]")
    }

    /// Code of the error that ends it, in a body or in the last frame.
    pub fn error_code(&self) -> String {
        let value = match self.text().contains("data: ") {
            true => self.frames().pop().unwrap_or_default(),
            false => serde_json::from_slice(&self.bytes).unwrap_or_default(),
        };
        value["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Finish reasons of choice 0; none of an error.
    pub fn finishes_lossy(&self) -> Vec<String> {
        match self.status {
            200 => self.finishes(),
            _ => vec![],
        }
    }

    /// Finish reasons of choice 0.
    pub fn finishes(&self) -> Vec<String> {
        let values = match self.text().contains("data: ") {
            true => self.frames(),
            false => vec![self.json()],
        };
        let reason = |v: &Value| Some(v["choices"][0]["finish_reason"].as_str()?.to_owned());
        values.iter().filter_map(reason).collect()
    }
}

fn frames(text: &str) -> Vec<Value> {
    text.split("\n\n")
        .filter_map(|frame| frame.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data)))
        .collect()
}

/// Text by choice and field; arguments by `choice/tool_calls/index`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said(pub std::collections::BTreeMap<String, String>);

impl Said {
    pub fn add(&mut self, frame: &Value) {
        for choice in frame["choices"].as_array().unwrap_or(&vec![]) {
            let delta = if choice["delta"].is_object() {
                &choice["delta"]
            } else {
                &choice["message"]
            };
            for field in ["content", "reasoning_content", "reasoning", "refusal"] {
                if let Some(text) = delta[field].as_str().filter(|t| !t.is_empty()) {
                    *self
                        .0
                        .entry(format!("{}/{field}", choice["index"]))
                        .or_default() += text;
                }
            }
            for (i, call) in delta["tool_calls"]
                .as_array()
                .unwrap_or(&vec![])
                .iter()
                .enumerate()
            {
                let index = call["index"].as_u64().unwrap_or(i as u64);
                if let Some(text) = call["function"]["arguments"]
                    .as_str()
                    .filter(|t| !t.is_empty())
                {
                    *self
                        .0
                        .entry(format!("{}/tool_calls/{index}", choice["index"]))
                        .or_default() += text;
                }
            }
        }
    }

    pub fn at(&self, place: &str) -> &str {
        self.0.get(place).map_or("", String::as_str)
    }
}
