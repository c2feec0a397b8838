//! The policies that the operator adds between the scenes, as sections of `airlock.toml`.

use super::limits::{LATENCY_BUDGET_MS, SILENCE_MS, TOKEN_BUDGET, WINDOW};

/// The policies of the beginning.
pub const FIRST: &str = r#"[policy.tool-errors.settings]
max_errors = 3

[policy.blocklist.settings]
patterns = [{ text = "ACME-INTERNAL-7731", name = "build key" }]
alert = false
"#;

/// Policies that come into play together.
pub struct Act {
    /// Their names.
    pub policies: &'static [&'static str],
    /// Their sections.
    pub sections: String,
}

impl Act {
    /// Tools, repetitions, silences, and a full window.
    pub fn guards() -> Self {
        Self {
            policies: &[
                "tool-breaker",
                "tool-guard",
                "loop",
                "stall",
                "context-pressure",
            ],
            sections: format!(
                r#"
[policy.tool-breaker.settings]
min_calls = 2
alert = false

[policy.tool-guard.settings]
default = "allow"
rules = [
  {{ tools = ["delete_*"], do = "deny", reason = "accounts are deleted by the support team only" }},
  {{ tools = ["transfer"], do = "ask", reason = "money leaves the house" }},
]

[policy.loop.settings]
stop_at = 5

[policy.stall.settings]
first_token_ms = {SILENCE_MS}
fallback_model = "sim-fast"

[policy.context-pressure.settings]

[price."sim-fast"]
input = 0.1
output = 0.4
context_window = {WINDOW}
"#
            ),
        }
    }

    /// Limits of time and tokens; a session that is slow moves to `fast_model`.
    pub fn budgets(fast_model: &str) -> Self {
        Self {
            policies: &["latency-budget", "token-budget"],
            sections: format!(
                "\n[policy.latency-budget.settings]\nbudget_ms = {LATENCY_BUDGET_MS}\nfast_model = {fast_model:?}\n\n\
                 [policy.token-budget.settings]\nmax_tokens = {TOKEN_BUDGET}\n"
            ),
        }
    }
}
