//! The rules that a profile becomes.

use toml::{Table, Value};

use super::table::{number, table};
use super::wanted::ProfileConfig;
use airlock_core::reason::rules::row::PROFILE;

/// Its rules, those of subtasks first: of two retries the first is carried out.
pub(super) fn rules(profile: &ProfileConfig) -> Vec<Table> {
    let mut rules = Vec::new();
    for (name, subtask) in &profile.subtask {
        subtask_rules(subtask, name, &mut rules);
    }
    if let Some(model) = &profile.fallback_model {
        rules.push(retry("fallback", "", model));
    }
    rules
}

fn subtask_rules(profile: &ProfileConfig, name: &str, rules: &mut Vec<Table>) {
    let declared = format!("has(session.subtask) && session.subtask == '{name}' && ");
    let mut add = |what: &str, when: String, action: &str, more: Vec<(&str, Value)>| {
        let mut row = table([
            ("name", format!("{PROFILE}{name}-{what}").into()),
            ("when", format!("{declared}{when}").into()),
            ("do", action.into()),
        ]);
        row.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
        rules.push(row);
    };
    let message = |text: &str| vec![("message", Value::from(text))];
    if let Some(ms) = profile.latency_budget_ms {
        let when = format!("vitals.elapsed > {}", ms.saturating_mul(1000));
        add(
            "latency",
            when,
            "stop",
            message("the time for this subtask is used up"),
        );
    }
    if let Some(tokens) = profile.token_budget_per_session {
        let when = format!("vitals.session_tokens > {}", tokens.min(i64::MAX as u64));
        add(
            "tokens",
            when,
            "stop",
            message("the tokens for this subtask are used up"),
        );
    }
    if let Some(errors) = profile.max_tool_errors {
        let when = format!("tool.failed && vitals.tool_failures > {errors}");
        let told = "Too many tool calls have failed. Do not repeat the same call: try another way, or say what you could not do and why.";
        add("tool-errors", when, "inject", message(told));
    }
    if let Some(breaker) = &profile.circuit_breaker {
        let when = format!(
            "tool.failed && has(vitals.tool_error_rate) && vitals.tool_error_rate >= {:?}",
            breaker.error_rate_threshold
        );
        let cooldown = number(u64::from(breaker.cooldown_seconds) * 1000);
        add(
            "breaker",
            when,
            "open-circuit",
            vec![("cooldown_ms", cooldown)],
        );
    }
    if let Some(model) = &profile.fallback_model {
        rules.push(retry(&format!("{name}-fallback"), &declared, model));
    }
}

/// A failed call is repeated with another model, unless it was that one which failed.
fn retry(name: &str, declared: &str, model: &str) -> Table {
    let quoted = model.replace('\\', "\\\\").replace('\'', "\\'");
    table([
        ("name", format!("{PROFILE}{name}").into()),
        (
            "when",
            format!("{declared}failure.retryable && request.model != '{quoted}'").into(),
        ),
        ("do", "retry".into()),
        ("model", model.into()),
    ])
}
