//! Targets of questions: that there is somebody to ask, and that a grant names one of them.

use super::finding::Check;
use crate::ask::settings::AskConfig;
use crate::upstream::settings::Credential;
use airlock_policy::advice;
use airlock_policy::spec::is_name;

/// A model that has said nothing for ten minutes will not: the vendors' SDKs give up then.
const LONGEST_MS: u64 = 600_000;
/// Longest wait of the contract.
const DAY_MS: u64 = 86_400_000;

pub(super) fn check(check: &mut Check<'_>) {
    let config = check.config;
    for (name, ask) in &config.asks {
        if !is_name(name) {
            check.say(
                &["ask", name],
                "a target's name is 1 to 64 of a-z, 0-9 and -",
            );
        }
        if ask.people {
            people(check, name, ask);
        } else {
            model(check, name, ask);
        }
    }
    grants(check, &["policies", "grants"], &config.policies.grants.asks);
    for (name, policy) in &config.policy {
        if let Some(granted) = &policy.grants {
            grants(check, &["policy", name, "grants"], &granted.asks);
        }
    }
}

fn people(check: &mut Check<'_>, name: &str, ask: &AskConfig) {
    for (key, stated) in [
        ("upstream", ask.upstream.is_some()),
        ("model", ask.model.is_some()),
    ] {
        if stated {
            check.say(
                &["ask", name, key],
                "with people = true no model is asked: remove one of the two",
            );
        }
    }
    if ask.timeout_ms.is_some_and(|ms| !(1..=DAY_MS).contains(&ms)) {
        check.say(
            &["ask", name, "timeout_ms"],
            "people are waited for 1 to 86400000 ms (a day)",
        );
    }
}

fn model(check: &mut Check<'_>, name: &str, ask: &AskConfig) {
    let Some(upstream) = &ask.upstream else {
        check.say(
            &["ask", name],
            "nobody is asked: add upstream = \"...\" and model = \"...\", or people = true",
        );
        return;
    };
    if ask.model.as_ref().is_none_or(String::is_empty) {
        check.say(&["ask", name], "no model is named: add model = \"...\"");
    }
    check.upstream_exists(&["ask", name, "upstream"], upstream);
    let forwards = check
        .config
        .upstream(upstream)
        .is_some_and(|u| u.credential() == Credential::Forward);
    if forwards {
        let message = format!(
            "upstream {upstream} forwards the client's credential, and a question of a policy is no client's: give \
             [upstream.{upstream}] key = \"env:NAME\", or credential = \"none\" if it asks for none"
        );
        check.say(&["ask", name, "upstream"], message);
    }
    if ask.kinds.is_empty() {
        check.say(
            &["ask", name, "kinds"],
            "it answers nothing: name \"classify\", \"generate\" or \"embed\"",
        );
    }
    if ask.max_tokens == 0 {
        check.say(
            &["ask", name, "max_tokens"],
            "no answer has 0 tokens: the default is 512",
        );
    }
    if ask
        .timeout_ms
        .is_some_and(|ms| !(1..=LONGEST_MS).contains(&ms))
    {
        check.say(
            &["ask", name, "timeout_ms"],
            "a model is waited for 1 to 600000 ms",
        );
    }
}

fn grants(check: &mut Check<'_>, path: &[&str], granted: &[String]) {
    if check.partial {
        return;
    }
    let known = check.config.asks.iter().map(|(name, _)| name.as_str());
    for (n, name) in granted.iter().enumerate() {
        if known.clone().any(|known| known == name) {
            continue;
        }
        let n = n.to_string();
        let at: Vec<&str> = path.iter().copied().chain(["asks", &n]).collect();
        let message = if check.config.asks.is_empty() {
            format!("there is no target `{name}`: add [ask.{name}]")
        } else {
            advice::unknown("target", name, known.clone())
        };
        check.say(&at, message);
    }
}
