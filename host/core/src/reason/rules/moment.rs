//! What rules are evaluated on: one moment of an exchange, and the one event that a rule is about.

use std::sync::Arc;

use crate::event::Micros;
use crate::event::declared::Declared;
use crate::observe::vitals::Vitals;
use airlock_policy::contract::types::{Checkpoint, Facts, Failure, Finding};

/// What there is to ask for, but for the event.
#[derive(Debug)]
pub struct Moment<'a> {
    /// Why rules are evaluated.
    pub checkpoint: Checkpoint,
    /// When.
    pub now: Micros,
    /// What is measured.
    pub vitals: &'a Vitals,
    /// The session.
    pub facts: &'a Facts,
    /// What the request declares.
    pub declared: &'a Declared,
    /// Model, as it goes upstream.
    pub model: &'a str,
    /// Name of the upstream; empty before it is chosen.
    pub upstream: &'a str,
    /// Whether the client asked for a stream.
    pub streamed: bool,
    /// Names of the tools offered.
    pub tools: &'a [String],
    /// Messages in the request.
    pub messages: usize,
    /// Prompt tokens, estimated.
    pub input_tokens: u32,
    /// What policies found at this checkpoint.
    pub findings: &'a [Told],
}

/// A finding as rules are told it.
#[derive(Clone, Debug)]
pub struct Told {
    /// Policy that found it.
    pub policy: String,
    /// Whether that policy only observes.
    pub observed: bool,
    /// What it found.
    pub finding: Finding,
}

/// The one event that a rule is about.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A complete tool call.
    Call {
        /// The vendor's id.
        id: String,
        /// Name of the tool.
        name: String,
        /// Arguments, whole; `None`: too much to have been kept, and so nothing that a rule can judge.
        arguments: Option<Arc<str>>,
    },
    /// The result of a tool call.
    Result {
        /// The vendor's id of the call.
        id: String,
        /// Name of the tool.
        name: String,
        /// Whether it states a failure.
        failed: bool,
        /// From the release of the call, us.
        duration: u64,
    },
    /// A failed call.
    Failure(Failure),
}

impl Subject {
    /// The checkpoint at which such an event is judged.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        match self {
            Self::Call { .. } => Checkpoint::ToolCall,
            Self::Result { .. } => Checkpoint::ToolResult,
            Self::Failure(_) => Checkpoint::Response,
        }
    }
}
