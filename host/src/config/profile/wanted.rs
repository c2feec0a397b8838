//! What is wanted of a run, as it stands in the file.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProfileConfig {
    /// Longest time of one model call, in milliseconds, from 1. Past it the answer is partial.
    pub latency_budget_ms: Option<u64>,
    /// Tokens of a session, input and output, from 1.
    pub token_budget_per_session: Option<u64>,
    /// Failed tool calls that are accepted before the agent is told to try another way.
    pub max_tool_errors: Option<u32>,
    /// Model to which a call goes that failed and may be repeated, or that is about to use up its time.
    pub fallback_model: Option<String>,
    /// Policies that must judge: required, enforcing, failing closed.
    pub safety_classifiers: Vec<String>,
    /// When a tool is not called for a while.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// The same, for requests that declare a subtask. Not within a subtask.
    pub subtask: BTreeMap<String, ProfileConfig>,
}

/// When a tool is not called for a while.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CircuitBreaker {
    /// Share of failed calls, above 0 and up to 1.
    pub error_rate_threshold: f64,
    /// Seconds over which it is measured, 1 to 86,400. In a subtask always 300.
    pub window_seconds: Option<u32>,
    /// Seconds for which the tool is not called, 1 to 86,400.
    #[serde(default = "cooldown_seconds")]
    pub cooldown_seconds: u32,
}

fn cooldown_seconds() -> u32 {
    30
}

impl ProfileConfig {
    /// Keys that set a policy, and which.
    pub(super) fn sets(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        [
            (
                "latency_budget_ms",
                "latency-budget",
                self.latency_budget_ms.is_some(),
            ),
            (
                "token_budget_per_session",
                "token-budget",
                self.token_budget_per_session.is_some(),
            ),
            (
                "max_tool_errors",
                "tool-errors",
                self.max_tool_errors.is_some(),
            ),
            (
                "circuit_breaker",
                "tool-breaker",
                self.circuit_breaker.is_some(),
            ),
        ]
        .into_iter()
        .filter(|(.., set)| *set)
        .map(|(key, policy, _)| (key, policy))
    }

    /// Names of the policies that must judge, those of subtasks included.
    pub(super) fn classifiers(&self) -> impl Iterator<Item = &str> {
        let subtasks = self.subtask.values().flat_map(|p| &p.safety_classifiers);
        self.safety_classifiers
            .iter()
            .chain(subtasks)
            .map(String::as_str)
    }
}
