//! What a profile becomes, and the mistakes in one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use super::expanded;
use crate::config::parse::parse;
use crate::config::{Config, Source};
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
    let mut written = read(&expanded(&config.profile).replace("profile-", "p-"));
    for rule in &mut written.rules {
        rule.name = rule.name.replace("p-", "profile-");
    }
    assert_eq!(written.policy, config.policy);
    assert_eq!(written.rules, config.rules);
    assert_eq!(expanded(&Config::empty(Source::Environment).profile), "");
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
