//! The policies that the operator adds between the scenes, as sections of `airlock.toml`.

use super::scenes::models::WINDOW;
use super::scenes::{LATENCY_BUDGET_MS, TOKEN_BUDGET};
use super::stage::Stage;

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
    /// Repetitions, and a full window.
    pub fn guards() -> Self {
        Self {
            policies: &["loop", "context-pressure"],
            sections: format!(
                r#"
[policy.loop.settings]
stop_at = 5

[policy.context-pressure.settings]

[price."sim-fast"]
input = 0.1
output = 0.4
context_window = {WINDOW}
"#
            ),
        }
    }

    /// Limits of time and tokens.
    pub fn budgets(stage: &Stage) -> Self {
        Self {
            policies: &["latency-budget", "token-budget"],
            sections: format!(
                "\n[policy.latency-budget.settings]\nbudget_ms = {LATENCY_BUDGET_MS}\nfast_model = {:?}\n\n\
                 [policy.token-budget.settings]\nmax_tokens = {TOKEN_BUDGET}\n",
                stage.fast_model()
            ),
        }
    }
}
