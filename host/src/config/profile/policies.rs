//! The entries of first-party policies that a profile becomes.

use toml::{Table, Value};

use super::table::{number, table};
use super::wanted::ProfileConfig;

/// Entries `[policy.<name>]`.
pub(super) fn policies(profile: &ProfileConfig) -> Table {
    let mut policies = Table::new();
    let mut set = |name: &str, settings: Table| {
        let entry = Table::from_iter([("settings".to_owned(), Value::Table(settings))]);
        policies.insert(name.to_owned(), Value::Table(entry));
    };
    if let Some(ms) = profile.latency_budget_ms {
        let mut settings = table([("budget_ms", number(ms)), ("per", "exchange".into())]);
        if let Some(model) = &profile.fallback_model {
            settings.insert("fast_model".to_owned(), model.as_str().into());
        }
        set("latency-budget", settings);
    }
    if let Some(tokens) = profile.token_budget_per_session {
        set("token-budget", table([("max_tokens", number(tokens))]));
    }
    if let Some(errors) = profile.max_tool_errors {
        set("tool-errors", table([("max_errors", number(errors))]));
    }
    if let Some(breaker) = &profile.circuit_breaker {
        let mut settings = table([
            ("error_rate", breaker.error_rate_threshold.into()),
            ("cooldown_seconds", number(breaker.cooldown_seconds)),
        ]);
        if let Some(seconds) = breaker.window_seconds {
            settings.insert("window_seconds".to_owned(), number(seconds));
        }
        set("tool-breaker", settings);
    }
    for name in profile.classifiers() {
        let entry = policies
            .entry(name)
            .or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(entry) = entry {
            entry.insert("required".to_owned(), true.into());
            entry.insert("mode".to_owned(), "enforce".into());
            entry.insert("on_failure".to_owned(), "closed".into());
        }
    }
    policies
}
