//! Whether what is wanted makes sense.

use super::wanted::ProfileConfig;
use airlock_policy::spec::is_name;

/// The window over which a tool's error rate is measured for rules, in seconds; a policy can have another.
const VITAL_WINDOW: u32 = 300;

/// Longest name of a subtask with a profile: the names of its rules are made of it.
const MAX_NAME: usize = 40;

/// Judges a profile that stands at `at`; a path to a key, and what is wrong with it, goes to `wrong`.
pub(super) fn judge(profile: &ProfileConfig, at: &[&str], wrong: &mut Vec<(Vec<String>, String)>) {
    let mut say = |key: &str, message: String| {
        let path = at.iter().copied().chain([key]).map(str::to_owned);
        wrong.push((path.collect(), message));
    };
    if profile
        .latency_budget_ms
        .is_some_and(|ms| !(1..=86_400_000).contains(&ms))
    {
        say(
            "latency_budget_ms",
            "a time is 1 to 86400000 ms (a day)".to_owned(),
        );
    }
    if profile.token_budget_per_session == Some(0) {
        say(
            "token_budget_per_session",
            "a budget is 1 token or more: remove the line for none".to_owned(),
        );
    }
    if profile
        .fallback_model
        .as_ref()
        .is_some_and(|m| m.is_empty() || m.contains(char::is_control))
    {
        say("fallback_model", "name a model".to_owned());
    }
    if let Some(name) = profile
        .safety_classifiers
        .iter()
        .find(|name| !is_name(name))
    {
        say(
            "safety_classifiers",
            format!("`{name}` is no name of a policy"),
        );
    }
    if let Some(breaker) = &profile.circuit_breaker {
        let seconds = |n: u32| (1..=86_400).contains(&n);
        if !(breaker.error_rate_threshold > 0.0 && breaker.error_rate_threshold <= 1.0) {
            say(
                "circuit_breaker",
                "error_rate_threshold is a share: above 0, at most 1".to_owned(),
            );
        } else if !seconds(breaker.cooldown_seconds) || !breaker.window_seconds.is_none_or(seconds)
        {
            say(
                "circuit_breaker",
                "a time here is 1 to 86400 seconds (a day)".to_owned(),
            );
        } else if at.len() > 1 && breaker.window_seconds.is_some_and(|n| n != VITAL_WINDOW) {
            say(
                "circuit_breaker",
                format!(
                    "for a subtask the window is {VITAL_WINDOW} seconds: remove window_seconds"
                ),
            );
        }
    }
    for name in profile.subtask.keys() {
        if at.len() > 1 {
            say(
                "subtask",
                "a subtask has no subtasks: give it a profile of its own beside this one"
                    .to_owned(),
            );
            return;
        }
        if !is_name(name) || name.len() > MAX_NAME {
            say(
                "subtask",
                format!(
                    "`{name}`: a subtask with a profile has a name of 1 to {MAX_NAME} of a-z, 0-9 and -"
                ),
            );
        }
    }
    for (name, subtask) in &profile.subtask {
        judge(subtask, &["profile", "subtask", name], wrong);
    }
}
