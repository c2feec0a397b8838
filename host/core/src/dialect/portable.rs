//! A request as every wire API can be asked it: what a route to an upstream of another API carries.
//!
//! Guarantees: whoever makes one puts everything into it that the request says, or refuses by the field's name; whoever writes
//! one writes all of it, or refuses the same way. [`Portable::left`] alone is not carried: names of fields that no model reads
//! and that change no answer (cache keys, metadata), which are told on the timeline.

use serde_json::{Number, Value};

use super::tool_call::is_made_up;
use crate::event::Role;

/// A request without the spelling of its API.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Portable {
    /// Model asked for.
    pub model: String,
    /// Whether the answer is streamed.
    pub streamed: bool,
    /// The conversation, instructions too, in order. Neighbours may have one role.
    pub turns: Vec<Said>,
    /// Tools that the client runs.
    pub tools: Vec<Tool>,
    /// Whether tools may, must or must not be called.
    pub tool_choice: Option<ToolChoice>,
    /// Whether several calls may be made in one answer.
    pub parallel_calls: Option<bool>,
    /// Most tokens of output.
    pub max_output_tokens: Option<u32>,
    /// Numbers that steer sampling, as they were written.
    pub sampling: Sampling,
    /// Texts at which the model stops.
    pub stop: Vec<String>,
    /// Form of the answer.
    pub format: Option<Format>,
    /// How hard the model shall think: `none`, `minimal`, `low`, `medium`, `high`, `xhigh`.
    pub effort: Option<String>,
    /// Answers to one prompt; 1 unless stated.
    pub choices: u16,
    /// Identifies the end user.
    pub end_user: Option<String>,
    /// Names of fields that are left behind.
    pub left: Vec<String>,
}

/// Numbers that steer sampling.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0 to 1 or 2.
    pub temperature: Option<Number>,
    /// 0 to 1.
    pub top_p: Option<Number>,
    /// A whole number.
    pub top_k: Option<Number>,
    /// A whole number.
    pub seed: Option<Number>,
    /// -2 to 2.
    pub presence_penalty: Option<Number>,
    /// -2 to 2.
    pub frequency_penalty: Option<Number>,
}

/// What somebody said.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Who: system, developer, user, assistant or tool.
    pub role: Role,
    /// What, in order.
    pub parts: Vec<Part>,
}

/// A part of what was said.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text.
    Text(String),
    /// A picture in the request.
    Image {
        /// `image/png`, ...
        media_type: String,
        /// Base64.
        data: String,
    },
    /// A picture that lies elsewhere.
    ImageUrl(String),
    /// A thought of the model. What its own upstream signed of it is left behind: another one could not read it.
    Reasoning(String),
    /// A call that the model made.
    Call {
        /// Id that its result names.
        id: String,
        /// Name of the tool.
        name: String,
        /// JSON.
        arguments: String,
    },
    /// What came of one.
    Result {
        /// Id of the call.
        id: String,
        /// Name of the tool, as the call of this id has it; empty if no call has.
        name: String,
        /// The result.
        text: String,
        /// The client marks it as a failure.
        failed: bool,
    },
}

/// A tool that the client runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    pub parameters: Option<Value>,
    /// Whether arguments must fit the schema.
    pub strict: Option<bool>,
}

/// Whether tools are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// As the model likes.
    Auto,
    /// Not at all.
    None,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

/// Form of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// Any JSON object.
    Json,
    /// JSON that fits a schema.
    Schema {
        /// The schema's name; empty if it has none.
        name: String,
        /// JSON Schema.
        schema: Value,
        /// Whether it must fit in every respect.
        strict: Option<bool>,
    },
}

/// What a request says to no effect on most answers: left behind, and told, where an API has no place for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Who the end user is.
    EndUser,
    /// That arguments of tools fit their schemas in every respect.
    StrictTools,
    /// The name of the schema of the answer.
    SchemaName,
    /// That one call is made at a time. Every client has to take several from models that do not heed it.
    OneCall,
}

/// What cannot be carried to another API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` cannot be carried to {to}: {why}")]
pub struct NotPortable {
    /// The request's field, as a path, or the thing that the upstream's API has no place for.
    pub field: String,
    /// Name of the API that cannot take it, or "another API".
    pub to: &'static str,
    /// What to do about it.
    pub why: String,
}

impl NotPortable {
    /// A field that no other API has.
    pub fn field(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self::to("another API", field, why)
    }

    /// A field that one API does not have.
    pub fn to(to: &'static str, field: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            to,
            why: why.into(),
        }
    }
}

impl Portable {
    /// Leaves behind what an API has no place for.
    pub fn leave(&mut self, hints: &[Hint]) {
        for hint in hints {
            let left = match hint {
                Hint::EndUser => self.end_user.take().map(|_| "the end user"),
                Hint::OneCall => {
                    let one = self.parallel_calls.take_if(|several| !*several);
                    one.map(|_| "parallel_tool_calls")
                }
                Hint::StrictTools => {
                    let strict = self.tools.iter_mut().filter(|t| t.strict == Some(true));
                    let strict = strict.map(|tool| tool.strict = None).count();
                    (strict > 0).then_some("strict")
                }
                Hint::SchemaName => match &mut self.format {
                    Some(Format::Schema { name, .. }) if !name.is_empty() => {
                        name.clear();
                        Some("the schema's name")
                    }
                    _ => None,
                },
            };
            self.left.extend(left.map(str::to_owned));
        }
    }

    /// Gives each result the name of the call that it answers, and calls without an id of a vendor's one that every API takes.
    pub fn name_results(&mut self) {
        let mut calls: Vec<Made> = Vec::new();
        let nobodys = |id: &str| id.is_empty() || is_made_up(id);
        let parts = self.turns.iter_mut().flat_map(|turn| &mut turn.parts);
        for part in parts {
            match part {
                Part::Call { id, name, .. } => {
                    let stated = id.clone();
                    if nobodys(id) {
                        *id = format!("call_{}", calls.len());
                    }
                    calls.push(Made {
                        stated,
                        id: id.clone(),
                        name: name.clone(),
                        answered: false,
                    });
                }
                Part::Result { id, name, .. } => {
                    let of_name = |call: &&mut Made| name.is_empty() || call.name == *name;
                    // The same made-up id stands for a call of each turn: the oldest that waits is meant.
                    let known = match nobodys(id) {
                        true => {
                            let mut waiting = calls.iter_mut().filter(|call| !call.answered);
                            waiting.find(|call| call.stated == *id && of_name(call))
                        }
                        false => calls.iter_mut().rev().find(|call| call.stated == *id),
                    };
                    if let Some(call) = known {
                        call.answered = true;
                        id.clone_from(&call.id);
                        name.clone_from(&call.name);
                    }
                }
                _ => {}
            }
        }
    }
}

/// A call that was made.
struct Made {
    /// Id as it was stated.
    stated: String,
    /// Id as it is carried.
    id: String,
    name: String,
    answered: bool,
}

/// The result of a call where an API has no field for its failure: it is said as tools say it.
pub fn result_text(text: &str, failed: bool) -> String {
    let says = text.trim_start().to_ascii_lowercase().starts_with("error");
    match failed && !says {
        true => format!("Error: {text}"),
        false => text.to_owned(),
    }
}
