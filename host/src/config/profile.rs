//! `[profile]`: what is wanted of a run, in one place. It has no mechanism of its own: it becomes entries of first-party
//! policies and rules, which `airlock config check --expanded` shows.
//!
//! A profile of a subtask comes on top of the whole one and can only tighten it, because which subtask a request serves
//! is said by the client. So its classifiers judge every call, and everything else of it is a rule.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

use super::Config;
use airlock_core::reason::rules::row::{PROFILE, RuleConfig};
use airlock_policy::spec::{OnFailure, is_name};
use airlock_policy::{Mode, PolicySpec};

/// The window over which a tool's error rate is measured for rules, in seconds; a policy can have another.
const VITAL_WINDOW: u32 = 300;

/// Longest name of a subtask with a profile: the names of its rules are made of it.
const MAX_NAME: usize = 40;

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
    /// What it becomes, as the text of a configuration; empty for an empty profile.
    pub fn expanded(&self) -> String {
        let mut root = Table::new();
        let policies = self.policies();
        if !policies.is_empty() {
            root.insert("policy".to_owned(), Value::Table(policies));
        }
        let rules = self.rules();
        if !rules.is_empty() {
            let rows = rules.into_iter().map(Value::Table).collect();
            root.insert("rule".to_owned(), Value::Array(rows));
        }
        // A table of texts and numbers can always be written.
        toml::to_string(&root).unwrap_or_default()
    }

    /// Puts what it becomes into the configuration.
    ///
    /// # Errors
    /// Path to a key, and what is wrong with it.
    pub(super) fn apply(&self, config: &mut Config) -> Result<(), Vec<(Vec<String>, String)>> {
        let mut wrong = Vec::new();
        self.judge(&["profile"], &mut wrong);
        for (key, policy) in self.sets() {
            if config.policy.contains_key(policy) {
                let message = format!(
                    "[policy.{policy}] is stated too, and one of the two would win silently: remove one"
                );
                wrong.push((vec!["profile".to_owned(), key.to_owned()], message));
            }
        }
        for name in self.classifiers() {
            let Some(spec) = config.policy.get(name) else {
                continue;
            };
            let contrary = [
                ("enabled = false", !spec.enabled),
                ("mode = \"observe\"", spec.mode == Mode::Observe),
                (
                    "on_failure = \"open\"",
                    spec.on_failure == Some(OnFailure::Open),
                ),
            ];
            if let Some((what, _)) = contrary.into_iter().find(|(_, set)| *set) {
                let message = format!(
                    "[policy.{name}] has {what}, and a safety classifier enforces and fails closed: remove that, or its name here"
                );
                wrong.push((
                    vec!["profile".to_owned(), "safety_classifiers".to_owned()],
                    message,
                ));
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let classifiers: Vec<&str> = self.classifiers().collect();
        for (name, table) in self.policies() {
            if let (Some(spec), true) =
                (config.policy.get_mut(&name), classifiers.contains(&&*name))
            {
                spec.required = true;
                spec.on_failure = Some(OnFailure::Closed);
                continue;
            }
            match table.try_into::<PolicySpec>() {
                Ok(spec) => drop(config.policy.insert(name, spec)),
                Err(error) => wrong.push((vec!["profile".to_owned()], error.to_string())),
            }
        }
        for table in self.rules() {
            match table.try_into::<RuleConfig>() {
                Ok(rule) => config.rules.push(rule),
                Err(error) => wrong.push((vec!["profile".to_owned()], error.to_string())),
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn judge(&self, at: &[&str], wrong: &mut Vec<(Vec<String>, String)>) {
        let mut say = |key: &str, message: String| {
            let path = at.iter().copied().chain([key]).map(str::to_owned);
            wrong.push((path.collect(), message));
        };
        if self
            .latency_budget_ms
            .is_some_and(|ms| !(1..=86_400_000).contains(&ms))
        {
            say(
                "latency_budget_ms",
                "a time is 1 to 86400000 ms (a day)".to_owned(),
            );
        }
        if self.token_budget_per_session == Some(0) {
            say(
                "token_budget_per_session",
                "a budget is 1 token or more: remove the line for none".to_owned(),
            );
        }
        if self
            .fallback_model
            .as_ref()
            .is_some_and(|m| m.is_empty() || m.contains(char::is_control))
        {
            say("fallback_model", "name a model".to_owned());
        }
        if let Some(name) = self.safety_classifiers.iter().find(|name| !is_name(name)) {
            say(
                "safety_classifiers",
                format!("`{name}` is no name of a policy"),
            );
        }
        if let Some(breaker) = &self.circuit_breaker {
            let seconds = |n: u32| (1..=86_400).contains(&n);
            if !(breaker.error_rate_threshold > 0.0 && breaker.error_rate_threshold <= 1.0) {
                say(
                    "circuit_breaker",
                    "error_rate_threshold is a share: above 0, at most 1".to_owned(),
                );
            } else if !seconds(breaker.cooldown_seconds)
                || !breaker.window_seconds.is_none_or(seconds)
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
        for name in self.subtask.keys() {
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
        for (name, profile) in &self.subtask {
            profile.judge(&["profile", "subtask", name], wrong);
        }
    }

    /// Keys that set a policy, and which.
    fn sets(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
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
    fn classifiers(&self) -> impl Iterator<Item = &str> {
        let subtasks = self.subtask.values().flat_map(|p| &p.safety_classifiers);
        self.safety_classifiers
            .iter()
            .chain(subtasks)
            .map(String::as_str)
    }

    fn policies(&self) -> Table {
        let mut policies = Table::new();
        let mut set = |name: &str, settings: Table| {
            let entry = Table::from_iter([("settings".to_owned(), Value::Table(settings))]);
            policies.insert(name.to_owned(), Value::Table(entry));
        };
        if let Some(ms) = self.latency_budget_ms {
            let mut settings = table([("budget_ms", number(ms)), ("per", "exchange".into())]);
            if let Some(model) = &self.fallback_model {
                settings.insert("fast_model".to_owned(), model.as_str().into());
            }
            set("latency-budget", settings);
        }
        if let Some(tokens) = self.token_budget_per_session {
            set("token-budget", table([("max_tokens", number(tokens))]));
        }
        if let Some(errors) = self.max_tool_errors {
            set("tool-errors", table([("max_errors", number(errors))]));
        }
        if let Some(breaker) = &self.circuit_breaker {
            let mut settings = table([
                ("error_rate", breaker.error_rate_threshold.into()),
                ("cooldown_seconds", number(breaker.cooldown_seconds)),
            ]);
            if let Some(seconds) = breaker.window_seconds {
                settings.insert("window_seconds".to_owned(), number(seconds));
            }
            set("tool-breaker", settings);
        }
        for name in self.classifiers() {
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

    /// Its rules, those of subtasks first: of two retries the first is carried out.
    fn rules(&self) -> Vec<Table> {
        let mut rules = Vec::new();
        for (name, profile) in &self.subtask {
            profile.subtask_rules(name, &mut rules);
        }
        if let Some(model) = &self.fallback_model {
            rules.push(retry("fallback", "", model));
        }
        rules
    }

    fn subtask_rules(&self, name: &str, rules: &mut Vec<Table>) {
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
        if let Some(ms) = self.latency_budget_ms {
            let when = format!("vitals.elapsed > {}", ms.saturating_mul(1000));
            add(
                "latency",
                when,
                "stop",
                message("the time for this subtask is used up"),
            );
        }
        if let Some(tokens) = self.token_budget_per_session {
            let when = format!("vitals.session_tokens > {}", tokens.min(i64::MAX as u64));
            add(
                "tokens",
                when,
                "stop",
                message("the tokens for this subtask are used up"),
            );
        }
        if let Some(errors) = self.max_tool_errors {
            let when = format!("tool.failed && vitals.tool_failures > {errors}");
            let told = "Too many tool calls have failed. Do not repeat the same call: try another way, or say what you could not do and why.";
            add("tool-errors", when, "inject", message(told));
        }
        if let Some(breaker) = &self.circuit_breaker {
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
        if let Some(model) = &self.fallback_model {
            rules.push(retry(&format!("{name}-fallback"), &declared, model));
        }
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

fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn number(n: impl Into<u64>) -> Value {
    Value::Integer(i64::try_from(n.into()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::path::Path;

    use crate::config::Config;
    use crate::config::parse::parse;
    use airlock_core::reason::rules::reaction::Reaction;
    use airlock_policy::Mode;
    use airlock_policy::spec::OnFailure;

    const WHOLE: &str = r#"[profile]
latency_budget_ms = 20000
token_budget_per_session = 50000
max_tool_errors = 2
fallback_model = "it's \\ small"
safety_classifiers = ["blocklist"]
circuit_breaker = { error_rate_threshold = 0.5, window_seconds = 120, cooldown_seconds = 45 }
[profile.subtask.search]
latency_budget_ms = 5000
token_budget_per_session = 9000
max_tool_errors = 0
fallback_model = "tiny"
safety_classifiers = ["pii"]
circuit_breaker = { error_rate_threshold = 1 }
"#;

    fn read(text: &str) -> Config {
        parse(text, Path::new("/a.toml")).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
    }

    #[test]
    fn a_profile_becomes_policies_and_rules_and_nothing_else() {
        let config = read(WHOLE);
        let settings = |name: &str| serde_json::Value::from(config.policy[name].settings.clone());
        assert_eq!(
            settings("latency-budget"),
            serde_json::json!({"budget_ms": 20000, "per": "exchange", "fast_model": "it's \\ small"})
        );
        assert_eq!(
            settings("token-budget"),
            serde_json::json!({"max_tokens": 50000})
        );
        assert_eq!(
            settings("tool-errors"),
            serde_json::json!({"max_errors": 2})
        );
        assert_eq!(
            settings("tool-breaker"),
            serde_json::json!({"error_rate": 0.5, "cooldown_seconds": 45, "window_seconds": 120})
        );
        for name in ["blocklist", "pii"] {
            let spec = &config.policy[name];
            assert!(spec.required && spec.mode == Mode::Enforce);
            assert_eq!(spec.on_failure, Some(OnFailure::Closed));
        }
        let names: Vec<&str> = config.rules.iter().map(|rule| &*rule.name).collect();
        assert_eq!(
            names,
            [
                "profile-search-latency",
                "profile-search-tokens",
                "profile-search-tool-errors",
                "profile-search-breaker",
                "profile-search-fallback",
                "profile-fallback"
            ]
        );
        assert!(matches!(
            &config.rules[3].reaction,
            Reaction::OpenCircuit {
                cooldown_ms: 30_000,
                ..
            }
        ));
    }

    #[test]
    fn what_it_became_can_be_written_instead() {
        let config = read(WHOLE);
        let mut written = read(&config.profile.expanded().replace("profile-", "p-"));
        for rule in &mut written.rules {
            rule.name = rule.name.replace("p-", "profile-");
        }
        assert_eq!(written.policy, config.policy);
        assert_eq!(written.rules, config.rules);
        assert_eq!(
            Config::empty(crate::config::Source::Environment)
                .profile
                .expanded(),
            ""
        );
    }

    #[test]
    fn a_classifier_keeps_what_its_own_entry_says() {
        let text = "[profile]\nsafety_classifiers = [\"pii\"]\n[policy.pii]\norder = 3\nsettings = { a = 1 }\n";
        let spec = &read(text).policy["pii"];
        assert_eq!((spec.order, spec.required), (3, true));
        assert_eq!(spec.settings["a"], 1);
    }

    #[test]
    fn nothing_wins_silently_and_mistakes_are_told_by_name() {
        for (text, line, message) in [
            (
                "[policy.token-budget]\n[profile]\ntoken_budget_per_session = 5\n",
                3,
                "[policy.token-budget] is stated too",
            ),
            (
                "[policy.latency-budget]\n[profile]\nlatency_budget_ms = 5\n",
                3,
                "[policy.latency-budget] is stated too",
            ),
            (
                "[policy.tool-errors]\n[profile]\nmax_tool_errors = 5\n",
                3,
                "[policy.tool-errors] is stated too",
            ),
            (
                "[policy.tool-breaker]\n[profile]\ncircuit_breaker = { error_rate_threshold = 0.5 }\n",
                3,
                "[policy.tool-breaker] is stated too",
            ),
            (
                "[profile]\nsafety_classifiers = [\"a\"]\n[policy.a]\nmode = \"observe\"\n",
                2,
                "[policy.a] has mode = \"observe\"",
            ),
            (
                "[profile]\nsafety_classifiers = [\"a\"]\n[policy.a]\nenabled = false\n",
                2,
                "[policy.a] has enabled = false",
            ),
            (
                "[profile]\nsafety_classifiers = [\"a\"]\n[policy.a]\non_failure = \"open\"\n",
                2,
                "on_failure = \"open\"",
            ),
            (
                "[profile]\nlatency_budget = 5\n",
                2,
                "did you mean `latency_budget_ms`",
            ),
            ("[profile]\nlatency_budget_ms = 0\n", 2, "1 to 86400000"),
            (
                "[profile]\ntoken_budget_per_session = 0\n",
                2,
                "1 token or more",
            ),
            ("[profile]\nfallback_model = \"\"\n", 2, "name a model"),
            (
                "[profile]\ncircuit_breaker = { error_rate_threshold = 1.5 }\n",
                2,
                "a share",
            ),
            (
                "[profile]\ncircuit_breaker = { error_rate_threshold = 1, cooldown_seconds = 0 }\n",
                2,
                "86400 seconds",
            ),
            (
                "[profile.subtask.a]\ncircuit_breaker = { error_rate_threshold = 1, window_seconds = 9 }\n",
                2,
                "the window is 300",
            ),
            ("[profile.subtask.A]\n", 1, "a-z, 0-9 and -"),
            ("[profile.subtask.a.subtask.b]\n", 1, "has no subtasks"),
            (
                "[[rule]]\nname = \"profile-x\"\nwhen = \"true\"\ndo = \"stop\"\n",
                2,
                "the profile's",
            ),
        ] {
            let problems = parse(text, Path::new("/a.toml")).unwrap_err();
            let told = problems.to_string();
            assert!(told.contains(message), "{told}\n{text}");
            assert_eq!(problems.problems[0].line, line, "{told}\n{text}");
        }
    }
}
