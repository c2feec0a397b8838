//! The parts of a chat completion request that the simulator reads. Everything else is accepted and ignored.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::ScriptedError;

/// A request, as far as the simulator cares.
#[derive(Debug)]
pub struct ChatRequest {
    pub model: String,
    pub messages: Vec<Value>,
    /// The messages in one compact line: what the prompt cache and the counts of attempts compare.
    pub prompt: String,
    pub stream: bool,
    pub include_usage: bool,
    /// Number of choices, from 1 to 128 as the vendor allows.
    pub choices: usize,
    /// The functions offered.
    pub tools: Vec<Tool>,
    /// The tighter of the two limits that the vendor knows.
    pub max_tokens: Option<usize>,
    pub logprobs: bool,
    pub metadata: Map<String, Value>,
}

/// A function that the request offers.
#[derive(Debug)]
pub struct Tool {
    pub name: String,
    /// Arguments that its schema accepts: each required property, with a plain value of its type.
    pub arguments: Value,
}

impl Tool {
    fn read(tool: &Value) -> Option<Self> {
        let name = tool.pointer("/function/name")?.as_str()?.to_owned();
        let required = tool
            .pointer("/function/parameters/required")
            .and_then(Value::as_array);
        let sample =
            |property: &str| match tool["function"]["parameters"]["properties"][property]["type"]
                .as_str()
            {
                Some("number" | "integer") => json!(1),
                Some("boolean") => json!(true),
                Some("array") => json!([]),
                Some("object") => json!({}),
                _ => json!("sample"),
            };
        let properties = required.into_iter().flatten().filter_map(Value::as_str);
        let arguments = properties
            .map(|property| (property.to_owned(), sample(property)))
            .collect();
        Some(Self {
            name,
            arguments: Value::Object(arguments),
        })
    }
}

#[derive(Deserialize)]
struct Body {
    model: String,
    messages: Vec<Value>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    n: Option<usize>,
    #[serde(default)]
    tools: Option<Vec<Value>>,
    #[serde(default)]
    max_tokens: Option<usize>,
    #[serde(default)]
    max_completion_tokens: Option<usize>,
    #[serde(default)]
    logprobs: Option<bool>,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

impl ChatRequest {
    /// Reads a body. The error is the vendor's: 400, with what is wrong.
    pub fn parse(body: &[u8]) -> Result<Self, ScriptedError> {
        let body: Body = serde_json::from_slice(body).map_err(|error| {
            ScriptedError::invalid(format!(
                "the body is not a chat completion request: {error}"
            ))
        })?;
        if body.messages.is_empty() {
            return Err(ScriptedError::invalid(
                "messages: at least one is needed".into(),
            ));
        }
        let choices = body.n.unwrap_or(1);
        if !(1..=128).contains(&choices) {
            return Err(ScriptedError::invalid(format!(
                "n: {choices} is not in 1 to 128"
            )));
        }
        let tools = body.tools.unwrap_or_default();
        Ok(Self {
            tools: tools.iter().filter_map(Tool::read).collect(),
            prompt: Value::Array(body.messages.clone()).to_string(),
            model: body.model,
            messages: body.messages,
            stream: body.stream.unwrap_or(false),
            include_usage: body
                .stream_options
                .and_then(|options| options.include_usage)
                .unwrap_or(false),
            choices,
            max_tokens: [body.max_tokens, body.max_completion_tokens]
                .into_iter()
                .flatten()
                .min(),
            logprobs: body.logprobs.unwrap_or(false),
            metadata: body.metadata.unwrap_or_default(),
        })
    }

    /// Text of the newest user message; empty if there is none.
    pub fn last_user_text(&self) -> String {
        self.messages
            .iter()
            .rev()
            .find(|message| role(message) == "user")
            .map(text)
            .unwrap_or_default()
    }

    /// The newest user message whose whole text is a JSON object: its index, and the object.
    pub fn newest_object(&self) -> Option<(usize, Value)> {
        self.messages
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, message)| role(message) == "user")
            .find_map(|(index, message)| {
                let value: Value = serde_json::from_str(text(message).trim()).ok()?;
                value.is_object().then_some((index, value))
            })
    }

    /// How many assistant messages follow the message at `index`, or there are in all.
    pub fn assistant_messages_after(&self, index: Option<usize>) -> usize {
        let start = index.map_or(0, |index| index + 1);
        self.messages
            .iter()
            .skip(start)
            .filter(|message| role(message) == "assistant")
            .count()
    }
}

/// Role of a message; empty if it states none.
pub fn role(message: &Value) -> &str {
    message
        .get("role")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Text of a message, its text parts joined.
pub fn text(message: &Value) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts
            .iter()
            .filter_map(|part| part.get("text")?.as_str())
            .collect(),
        _ => String::new(),
    }
}
