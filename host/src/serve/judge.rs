//! Everything that serving judges before it answers: one function, so that `airlock config check` cannot call good what
//! `airlock serve` then refuses.

use std::sync::Arc;

use crate::config::place::place;
use crate::config::{Config, Problem, Problems};
use crate::gateway::Settings;
use airlock_policy::{Policies, PolicySettings, PolicyStatus};

/// A configuration that can serve.
pub struct Judged {
    /// With its keys, certificates, rules and prices.
    pub settings: Settings,
    /// Its policies, loaded.
    pub policies: Arc<Policies>,
}

/// How policies are loaded under this configuration.
pub fn policy_settings(config: &Config) -> PolicySettings {
    PolicySettings {
        dir: Some(config.policies.dir.clone()),
        default_grants: config.policies.grants.clone(),
        specs: config.policy.clone(),
        limits: config.limits.clone(),
        cache_dir: Some(config.data.dir.join("compiled")),
        check: airlock_core::reason::plan::check,
        builtins: crate::builtin::all(),
    }
}

/// Makes ready what the configuration names: upstreams with their keys, prices, rules, and every policy with its settings.
///
/// # Errors
/// All that is wrong, each at its place in the file.
pub async fn judge(config: &Config, policies: PolicySettings) -> Result<Judged, Problems> {
    let mut problems = Vec::new();
    let settings = Settings::new(config.clone()).map_err(|error| {
        problems.extend(match error.downcast::<Problems>() {
            Ok(several) => several.problems,
            Err(error) => vec![Problem::global("", format!("{error:#}"))],
        });
    });
    // Compiling is work for the processor: not on a thread that serves.
    let started = tokio::task::spawn_blocking(move || Policies::start(policies)).await;
    let policies = match started {
        Ok(Ok(policies)) => {
            problems.extend(all_entries_serve(config, &policies.status()));
            Ok(policies)
        }
        Ok(Err(error)) => {
            problems.push(Problem::global("policies", format!("{error:#}")));
            Err(())
        }
        Err(error) => {
            let message = format!("loading the policies was interrupted: {error}");
            problems.push(Problem::global("policies", message));
            Err(())
        }
    };
    match (settings, policies) {
        (Ok(settings), Ok(policies)) if problems.is_empty() => Ok(Judged { settings, policies }),
        _ => Err(place(config, problems)),
    }
}

/// A policy that the operator names is relied on: Airlock does not start without it, as with any other mistake in the
/// configuration. Files that were only dropped into the directory are another matter.
fn all_entries_serve(config: &Config, status: &[PolicyStatus]) -> Vec<Problem> {
    let entries = config.policy.iter().filter(|(_, spec)| spec.enabled);
    let broken = entries.filter_map(|(name, _)| match status.iter().find(|s| s.name == *name) {
        Some(s) if s.generation.is_some() => None,
        Some(s) => Some((name, s.last_error.clone())),
        None => Some((name, None)),
    });
    broken
        .map(|(name, why)| {
            let why = why.unwrap_or_else(|| {
                "no policy of this name is inside, and none is in the directory".to_owned()
            });
            Problem::global(
                &key(name, &why),
                format!("this policy does not serve: mend it, or set `enabled = false`: {why}"),
            )
        })
        .collect()
}

/// The key that a refusal is about: what it names first in ticks, if that is one of the settings.
fn key(name: &str, why: &str) -> String {
    let named = why.strip_prefix("settings: ").map(|why| {
        let ticked = why.strip_prefix('`').and_then(|why| why.split('`').next());
        match ticked {
            Some(path) if path.starts_with("settings") => path.to_owned(),
            _ => "settings".to_owned(),
        }
    });
    match named {
        Some(path) => format!("policy.{name}.{path}"),
        None if why.starts_with("trust: ") => format!("policy.{name}.digest"),
        None => format!("policy.{name}"),
    }
}

/// What serves less than it could: told, not refused.
pub fn warnings(config: &Config, status: &[PolicyStatus]) -> Vec<String> {
    let ungranted = status.iter().filter(|s| !s.ungranted.is_empty()).map(|s| {
        format!(
            "policy.{}: it asks for more than it is granted and runs without: {}",
            s.name,
            s.ungranted.join(", ")
        )
    });
    let refused = status
        .iter()
        .filter(|s| !config.policy.contains_key(&s.name) && s.generation.is_none())
        .filter_map(|s| {
            Some(format!(
                "{}: it does not serve: {}",
                s.name,
                s.last_error.as_ref()?
            ))
        });
    ungranted.chain(refused).collect()
}
