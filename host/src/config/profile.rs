//! `[profile]`: what is wanted of a run, in one place. It has no mechanism of its own: it becomes entries of first-party
//! policies and rules, which `airlock config check --expanded` shows.
//!
//! A profile of a subtask comes on top of the whole one and can only tighten it, because which subtask a request serves
//! is said by the client. So its classifiers judge every call, and everything else of it is a rule.

mod judge;
mod policies;
mod rules;
mod table;
#[cfg(test)]
mod tests;
mod wanted;

use toml::{Table, Value};

pub use self::wanted::{CircuitBreaker, ProfileConfig};
use crate::config::Config;
use airlock_core::reason::rules::row::RuleConfig;
use airlock_policy::spec::OnFailure;
use airlock_policy::{Mode, PolicySpec};

/// What it becomes, as the text of a configuration; empty for an empty profile.
pub fn expanded(profile: &ProfileConfig) -> String {
    let mut root = Table::new();
    let policies = policies::policies(profile);
    if !policies.is_empty() {
        root.insert("policy".to_owned(), Value::Table(policies));
    }
    let rules = rules::rules(profile);
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
pub(super) fn apply(
    profile: &ProfileConfig,
    config: &mut Config,
) -> Result<(), Vec<(Vec<String>, String)>> {
    let mut wrong = Vec::new();
    judge::judge(profile, &["profile"], &mut wrong);
    for (key, policy) in profile.sets() {
        if config.policy.contains_key(policy) {
            let message = format!(
                "[policy.{policy}] is stated too, and one of the two would win silently: remove one"
            );
            wrong.push((vec!["profile".to_owned(), key.to_owned()], message));
        }
    }
    for name in profile.classifiers() {
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
    let classifiers: Vec<&str> = profile.classifiers().collect();
    for (name, table) in policies::policies(profile) {
        if let (Some(spec), true) = (config.policy.get_mut(&name), classifiers.contains(&&*name)) {
            spec.required = true;
            spec.on_failure = Some(OnFailure::Closed);
            continue;
        }
        match table.try_into::<PolicySpec>() {
            Ok(spec) => drop(config.policy.insert(name, spec)),
            Err(error) => wrong.push((vec!["profile".to_owned()], error.to_string())),
        }
    }
    for table in rules::rules(profile) {
        match table.try_into::<RuleConfig>() {
            Ok(rule) => config.rules.push(rule),
            Err(error) => wrong.push((vec!["profile".to_owned()], error.to_string())),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}
