//! What is ordered, by whom, and the contract's words for it.

use airlock_policy::contract::types::{Action, Checkpoint, Severity};

/// Who ordered an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The policy with this index in the plan.
    Policy(usize),
    /// The operator's table `[on_finding]`; observed if the finding was only observed.
    Operator {
        /// Whether the finding came from a policy in `observe` mode.
        observed: bool,
    },
    /// The rule with this index in the plan.
    Rule(usize),
    /// The host itself, because a policy with this index failed and is closed.
    Failure(usize),
}

/// An action that somebody ordered.
#[derive(Clone, Debug)]
pub struct Order {
    /// Who.
    pub by: By,
    /// What.
    pub action: Action,
}

/// A trailing `*` matches any rest.
pub fn matches_glob(glob: &str, text: &str) -> bool {
    glob.strip_suffix('*')
        .map_or(glob == text, |prefix| text.starts_with(prefix))
}

/// The contract's word.
pub fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

/// The contract's word.
pub fn checkpoint_name(checkpoint: Checkpoint) -> &'static str {
    match checkpoint {
        Checkpoint::Request => "request",
        Checkpoint::Stream => "stream",
        Checkpoint::ToolCall => "tool-call",
        Checkpoint::ToolResult => "tool-result",
        Checkpoint::Response => "response",
        Checkpoint::Tick => "tick",
        Checkpoint::Answer => "answer",
        Checkpoint::Other => "other",
    }
}
