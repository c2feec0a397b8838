//! One simulated generation: the frames that a script makes of a request, in order, one at a time.
//!
//! One frame of content counts as one token, whatever it says. So token limits cut exactly, and the numbers in `usage`
//! differ from what anybody counts: a gateway must reconcile them.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;

use super::models::words;
use super::request::ChatRequest;
use super::script::{Script, ScriptedCall};

/// What one frame adds to its choice.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    Text(String),
    Reasoning(String),
    Refusal(String),
    /// Opens a tool call: its index, id and name.
    Call {
        index: usize,
        id: String,
        name: String,
    },
    /// A fragment of the arguments of an open call.
    Arguments {
        index: usize,
        fragment: String,
    },
}

impl Delta {
    /// Whether it is a token of content. The opening of a call is not: it says nothing yet.
    pub fn is_content(&self) -> bool {
        !matches!(self, Self::Call { .. })
    }
}

/// Tokens, in the vendor's words.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub prompt: usize,
    pub cached: usize,
    pub completion: usize,
    pub reasoning: usize,
}

/// A generation under way.
#[derive(Debug)]
pub struct Generation {
    /// Number of its request.
    pub number: u64,
    pub model: String,
    pub include_usage: bool,
    pub logprobs: bool,
    pub reasoning_field: String,
    pub choices: usize,
    pub usage: Usage,
    /// What is still to be said, for each choice.
    left: Vec<VecDeque<Delta>>,
    /// What an endless generation begins again with.
    again: Option<VecDeque<Delta>>,
    /// Choice whose turn it is: choices speak in turns, as servers interleave them.
    turn: usize,
    /// Content frames that each choice may still say.
    room: Vec<usize>,
    finish: Vec<String>,
    first_delay: Duration,
    delay: Duration,
    spoken: usize,
}

/// Bytes of a prompt that make one token.
const PROMPT_BYTES_PER_TOKEN: usize = 4;
/// Prompt caches work in blocks of tokens; a part of a block is not cached.
const CACHE_BLOCK: usize = 16;

impl Generation {
    /// Plans what the script says to the request. `cached_bytes` of the prompt were seen before.
    pub fn new(request: &ChatRequest, script: &Script, number: u64, cached_bytes: usize) -> Self {
        let left: Vec<_> = (0..request.choices)
            .map(|choice| plan(script, choice, number))
            .collect();
        let finish = match &script.finish_reason {
            Some(finish) => finish.clone(),
            None if script
                .tool_calls
                .as_ref()
                .is_some_and(|calls| !calls.is_empty()) =>
            {
                "tool_calls".into()
            }
            None => "stop".into(),
        };
        let again = script
            .endless
            .unwrap_or(false)
            .then(|| left.first().cloned().unwrap_or_default());
        Self {
            number,
            model: request.model.clone(),
            include_usage: request.include_usage,
            logprobs: request.logprobs,
            reasoning_field: script
                .reasoning_field
                .clone()
                .unwrap_or_else(|| "reasoning_content".into()),
            choices: request.choices,
            usage: Usage {
                prompt: request.prompt.len().div_ceil(PROMPT_BYTES_PER_TOKEN),
                cached: cached_bytes / PROMPT_BYTES_PER_TOKEN / CACHE_BLOCK * CACHE_BLOCK,
                ..Usage::default()
            },
            room: vec![request.max_tokens.unwrap_or(usize::MAX); request.choices],
            finish: vec![finish; request.choices],
            // An endless script with nothing to repeat would spin.
            again: again.filter(|plan| !plan.is_empty()),
            left,
            turn: 0,
            first_delay: Duration::from_millis(script.first_delay_ms.unwrap_or(0)),
            delay: Duration::from_millis(script.delay_ms.unwrap_or(0)),
            spoken: 0,
        }
    }

    /// The next frame of content, with its choice; `None` once every choice has ended.
    pub fn next_delta(&mut self) -> Option<(usize, Delta)> {
        for _ in 0..self.choices {
            let choice = self.turn;
            self.turn = (self.turn + 1) % self.choices;
            if let Some(delta) = self.next_of(choice) {
                self.spoken += 1;
                if delta.is_content() {
                    self.usage.completion += 1;
                }
                if matches!(delta, Delta::Reasoning(_)) {
                    self.usage.reasoning += 1;
                }
                return Some((choice, delta));
            }
        }
        None
    }

    fn next_of(&mut self, choice: usize) -> Option<Delta> {
        let (left, room) = (self.left.get_mut(choice)?, self.room.get_mut(choice)?);
        if left.is_empty()
            && *room > 0
            && let Some(again) = &self.again
        {
            left.clone_from(again);
        }
        if *room == 0 && (!left.is_empty() || self.again.is_some()) {
            left.clear();
            self.finish[choice] = "length".into();
        }
        let delta = left.pop_front()?;
        if delta.is_content() {
            *room = room.saturating_sub(1);
        }
        Some(delta)
    }

    /// How long the model thinks before the next frame of content; not at all if there is none.
    pub fn pause(&self) -> Duration {
        let rooms = self.left.iter().zip(&self.room);
        let more = |(left, room): (&VecDeque<Delta>, &usize)| {
            *room > 0 && (!left.is_empty() || self.again.is_some())
        };
        if !rooms.into_iter().any(more) {
            return Duration::ZERO;
        }
        if self.spoken == 0 {
            self.first_delay
        } else {
            self.delay
        }
    }

    /// Why a choice ended, once it has.
    pub fn finish(&self, choice: usize) -> &str {
        self.finish.get(choice).map_or("stop", String::as_str)
    }
}

/// Everything that one choice says.
fn plan(script: &Script, choice: usize, number: u64) -> VecDeque<Delta> {
    let own = script
        .choices
        .as_ref()
        .and_then(|choices| choices.get(choice));
    let text = match (own, &script.chunks, &script.text) {
        (Some(chunks), _, _) | (None, Some(chunks), _) => chunks.clone(),
        (None, None, Some(text)) => words(text),
        (None, None, None) => Vec::new(),
    };
    let mut plan: VecDeque<Delta> = script
        .reasoning
        .iter()
        .flatten()
        .cloned()
        .map(Delta::Reasoning)
        .collect();
    plan.extend(text.into_iter().map(Delta::Text));
    plan.extend(script.refusal.iter().flatten().cloned().map(Delta::Refusal));
    for (index, call) in script.tool_calls.iter().flatten().enumerate() {
        let id = call
            .id
            .clone()
            .unwrap_or_else(|| format!("call_sim_{number}_{choice}_{index}"));
        plan.push_back(Delta::Call {
            index,
            id,
            name: call.name.clone(),
        });
        plan.extend(
            fragments(call)
                .into_iter()
                .map(|fragment| Delta::Arguments { index, fragment }),
        );
    }
    plan
}

/// The arguments of a call, in fragments of at most 8 characters unless the call states its own.
fn fragments(call: &ScriptedCall) -> Vec<String> {
    if let Some(chunks) = &call.chunks {
        return chunks.clone();
    }
    let arguments = match &call.arguments {
        Value::Null => "{}".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let characters: Vec<char> = arguments.chars().collect();
    characters
        .chunks(8)
        .map(|piece| piece.iter().collect())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn generation(body: Value, script: Value) -> Generation {
        let mut whole =
            json!({"model": "sim-echo", "messages": [{"role": "user", "content": "hi"}]});
        whole
            .as_object_mut()
            .unwrap()
            .extend(body.as_object().unwrap().clone());
        let request = ChatRequest::parse(whole.to_string().as_bytes()).unwrap();
        Generation::new(&request, &serde_json::from_value(script).unwrap(), 1, 0)
    }

    fn all(generation: &mut Generation) -> Vec<(usize, Delta)> {
        std::iter::from_fn(|| generation.next_delta())
            .take(1000)
            .collect()
    }

    #[test]
    fn each_entry_of_chunks_is_one_frame() {
        let mut generation = generation(
            json!({}),
            json!({"chunks": ["a", "", "b c"], "reasoning": ["r"]}),
        );
        let text = |piece: &str| (0, Delta::Text(piece.into()));
        assert_eq!(
            all(&mut generation),
            [
                (0, Delta::Reasoning("r".into())),
                text("a"),
                text(""),
                text("b c")
            ]
        );
        assert_eq!(
            (generation.usage.completion, generation.usage.reasoning),
            (4, 1)
        );
        assert_eq!(generation.finish(0), "stop");
    }

    #[test]
    fn a_token_limit_cuts_each_choice_at_its_frame() {
        let mut one = generation(
            json!({"max_tokens": 2, "n": 2}),
            json!({"chunks": ["a", "b", "c"]}),
        );
        assert_eq!(all(&mut one).len(), 4);
        assert_eq!((one.finish(0), one.finish(1)), ("length", "length"));
        let mut endless = generation(
            json!({"max_tokens": 7}),
            json!({"text": "on and on", "endless": true}),
        );
        assert_eq!(all(&mut endless).len(), 7);
        assert_eq!(endless.finish(0), "length");
        let mut exact = generation(json!({"max_tokens": 3}), json!({"chunks": ["a", "b", "c"]}));
        assert_eq!(all(&mut exact).len(), 3);
        assert_eq!(exact.finish(0), "stop");
    }

    #[test]
    fn choices_speak_in_turns() {
        let mut two = generation(json!({"n": 2}), json!({"choices": [["a", "b"], ["x"]]}));
        let said: Vec<usize> = all(&mut two).iter().map(|(choice, _)| *choice).collect();
        assert_eq!(said, [0, 1, 0]);
    }

    #[test]
    fn fragments_of_arguments_join_to_the_arguments() {
        let call = |arguments: Value| ScriptedCall {
            name: "f".into(),
            arguments,
            chunks: None,
            id: None,
        };
        assert_eq!(
            fragments(&call(json!({"ü": "0123456789"}))).concat(),
            r#"{"ü":"0123456789"}"#
        );
        assert_eq!(fragments(&call(json!("{broken"))).concat(), "{broken");
        assert_eq!(fragments(&call(Value::Null)), ["{}"]);
    }
}
