//! Policies, and what they are granted.

use super::finding::Check;
use airlock_policy::spec::{ACTIONS, EVENT_KINDS, is_name};
use airlock_policy::{Grants, advice};

pub(super) fn check(check: &mut Check<'_>) {
    grants(
        check,
        &["policies", "grants"],
        &check.config.policies.grants,
    );
    for (name, policy) in &check.config.policy {
        if !is_name(name) {
            check.say(
                &["policy", name],
                "a policy's name is 1 to 64 of a-z, 0-9 and -, as its file's is",
            );
        }
        if let Some(granted) = &policy.grants {
            grants(check, &["policy", name, "grants"], granted);
        }
        let digest = policy.digest.as_deref().unwrap_or_default();
        if policy.digest.is_some()
            && (digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            check.say(
                &["policy", name, "digest"],
                "a digest is 64 hexadecimal digits: sha256sum prints it",
            );
        }
    }
}

fn grants(check: &mut Check<'_>, path: &[&str], grants: &Grants) {
    let at = |list: &'static str, n: usize| {
        let mut at: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
        at.extend([list.to_owned(), n.to_string()]);
        at
    };
    for (n, action) in grants.actions.iter().enumerate() {
        if !ACTIONS.contains(&action.as_str()) {
            check
                .found
                .push((at("actions", n), advice::unknown("action", action, ACTIONS)));
        }
    }
    for (n, kind) in grants.sees.iter().enumerate() {
        let kinds = EVENT_KINDS.iter().map(|(_, name)| *name);
        if kind != "*" && !kinds.clone().any(|known| known == kind) {
            check.found.push((
                at("sees", n),
                advice::unknown("kind of event", kind, kinds.chain(["*"])),
            ));
        }
    }
}
