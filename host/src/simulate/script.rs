//! What a request orders the simulator to do.
//!
//! A script is a JSON object. It is taken from `metadata.sim` (an object, or a string that holds one, since the vendor's
//! metadata has string values only), else from the newest user message whose whole text is a JSON object. It overrides the
//! behaviour of the model that is asked, field by field, so `sim-slow` with a `text` says that text slowly.
//!
//! `turns` scripts a conversation: turn k answers the request that has k assistant messages after the script's own message
//! (in the whole request, for `metadata.sim`). A script without `turns` is its only turn. Past the last turn the model's own
//! behaviour holds. An unknown field is an error: a test that misspells a control must not pass.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

pub use super::error::ScriptedError;
use super::request::ChatRequest;

/// The controls. Everything is optional.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Said word by word: one frame for a word and the space before it.
    pub text: Option<String>,
    /// Said in these very pieces, one SSE frame each. Wins over `text`.
    pub chunks: Option<Vec<String>>,
    /// Pieces of each choice, for requests with `n`. Choices past the list say what choice 0 says.
    pub choices: Option<Vec<Vec<String>>>,
    /// Reasoning, told before the text, one frame each.
    pub reasoning: Option<Vec<String>>,
    /// Field of the delta that carries reasoning: `reasoning_content` (the default), or `reasoning`.
    pub reasoning_field: Option<String>,
    /// Refusal text, one frame each.
    pub refusal: Option<Vec<String>>,
    /// Tool calls, told after the text.
    pub tool_calls: Option<Vec<ScriptedCall>>,
    /// Instead of `stop`, or `tool_calls` where there are some.
    pub finish_reason: Option<String>,
    /// Repeats the pieces until the client leaves or its token limit is reached.
    pub endless: Option<bool>,
    /// Wait before the first frame.
    pub first_delay_ms: Option<u64>,
    /// Wait before each further frame.
    pub delay_ms: Option<u64>,
    /// Fails with this HTTP status instead.
    pub status: Option<u16>,
    /// How many times the same messages fail with `status` before they are answered. Without it they always fail.
    pub fail_times: Option<u32>,
    /// Body of the failure.
    pub error: Option<ScriptedError>,
    /// Further response headers, such as `retry-after`.
    pub headers: BTreeMap<String, String>,
    /// Cuts the connection after so many frames of content, with no end of the body.
    pub die_after_chunks: Option<usize>,
    /// Falls silent, with the connection open, after so many frames of content.
    pub hang_after_chunks: Option<usize>,
    /// Sends an error frame, and nothing more, after so many frames of content.
    pub error_after_chunks: Option<usize>,
    /// Leaves out `data: [DONE]`.
    pub no_done: Option<bool>,
    /// The stream's body, verbatim, instead of anything generated. Each entry is one write.
    pub raw: Option<Vec<String>>,
    /// Writes the body in pieces of so many bytes, across the borders of frames and of characters.
    pub write_bytes: Option<usize>,
    /// One script for each answer of a conversation.
    pub turns: Vec<Script>,
}

/// A tool call that the model makes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptedCall {
    /// Name of the function.
    pub name: String,
    /// Arguments: a string as it is, or any JSON value, written compactly.
    #[serde(default)]
    pub arguments: Value,
    /// The arguments in these very fragments, one frame each. Wins over `arguments`.
    pub chunks: Option<Vec<String>>,
    /// Id of the call; made up if absent.
    pub id: Option<String>,
}

impl Script {
    /// This script, with what it leaves open taken from `base`.
    #[must_use]
    pub fn over(self, base: Self) -> Self {
        // Who says what is said belongs together: a script with content of its own takes none from the model.
        let speaks = self.text.is_some()
            || self.chunks.is_some()
            || self.tool_calls.is_some()
            || self.choices.is_some();
        let keep = !speaks && self.reasoning.is_none() && self.refusal.is_none();
        let mut headers = base.headers;
        headers.extend(self.headers);
        Self {
            text: self.text.or(base.text.filter(|_| keep)),
            chunks: self.chunks.or(base.chunks.filter(|_| keep)),
            choices: self.choices.or(base.choices.filter(|_| keep)),
            reasoning: self.reasoning.or(base.reasoning.filter(|_| keep)),
            reasoning_field: self.reasoning_field.or(base.reasoning_field),
            refusal: self.refusal.or(base.refusal.filter(|_| keep)),
            tool_calls: self.tool_calls.or(base.tool_calls.filter(|_| keep)),
            finish_reason: self.finish_reason.or(base.finish_reason),
            endless: self.endless.or(base.endless),
            first_delay_ms: self.first_delay_ms.or(base.first_delay_ms),
            delay_ms: self.delay_ms.or(base.delay_ms),
            status: self.status.or(base.status),
            fail_times: self.fail_times.or(base.fail_times),
            error: self.error.or(base.error),
            headers,
            die_after_chunks: self.die_after_chunks.or(base.die_after_chunks),
            hang_after_chunks: self.hang_after_chunks.or(base.hang_after_chunks),
            error_after_chunks: self.error_after_chunks.or(base.error_after_chunks),
            no_done: self.no_done.or(base.no_done),
            raw: self.raw.or(base.raw),
            write_bytes: self.write_bytes.or(base.write_bytes),
            turns: Vec::new(),
        }
    }

    /// The script of turn `step`; `None` past the last one.
    fn turn(mut self, step: usize) -> Option<Self> {
        if self.turns.is_empty() {
            return (step == 0).then_some(self);
        }
        (step < self.turns.len()).then(|| self.turns.swap_remove(step))
    }
}

/// The script that holds for this request. The error names the field that is wrong.
pub fn find(request: &ChatRequest) -> Result<Option<Script>, ScriptedError> {
    if let Some(value) = request.metadata.get("sim") {
        let value = match value {
            Value::String(text) => serde_json::from_str(text).map_err(|error| {
                ScriptedError::invalid(format!("metadata.sim is not JSON: {error}"))
            })?,
            other => other.clone(),
        };
        let script = read(value, "metadata.sim")?;
        // Metadata belongs to the request it came with; without turns it holds at every step.
        let step = if script.turns.is_empty() {
            0
        } else {
            request.assistant_messages_after(None)
        };
        return Ok(script.turn(step));
    }
    let Some((index, value)) = request.newest_object() else {
        return Ok(None);
    };
    let script = read(value, &format!("the script in messages[{index}]"))?;
    Ok(script.turn(request.assistant_messages_after(Some(index))))
}

fn read(value: Value, place: &str) -> Result<Script, ScriptedError> {
    serde_json::from_value(value)
        .map_err(|error| ScriptedError::invalid(format!("{place}: {error}")))
}
