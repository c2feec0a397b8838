//! Who may call and how much: keys, tenants, their limits, and whose credential then goes upstream.

use std::collections::HashMap;

use super::finding::Check;
use crate::config::client_key::DEFAULT_TENANT;
use crate::upstream::limits::CallLimits;
use crate::upstream::settings::Credential;
use airlock_policy::advice;
use airlock_policy::spec::is_name;

/// A wait past this is longer than SDKs' patience for a connection, and a client that waits holds its request in memory.
const MAX_QUEUE_MS: u64 = 60_000;

/// Judges keys, tenants and limits of calls.
pub(super) fn check(check: &mut Check<'_>) {
    if !check.partial && check.config.keys.is_empty() {
        loopback(check);
    }
    keys(check);
    if !check.partial {
        tenants(check);
    }
    credentials(check);
    limits(check);
}

/// Without keys everybody who reaches the listener calls as they like.
fn loopback(check: &mut Check<'_>) {
    let listen = check.config.gateway.listen;
    if !listen.ip().is_loopback() {
        let message = format!(
            "{listen} is reached from other machines, and without a [[key]] anybody may call: make a key with \
             `airlock key new NAME --write`, or listen on 127.0.0.1:{}",
            listen.port()
        );
        check.say(&["gateway", "listen"], message);
    }
}

fn keys(check: &mut Check<'_>) {
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut hashes = HashMap::new();
    for (n, key) in check.config.keys.iter().enumerate() {
        let row = n.to_string();
        let at = |field: &'static str| ["key", row.as_str(), field];
        // Principals of callers without a key of Airlock's: nobody shall take over their sessions by a name.
        let hash = key.name.strip_prefix("key-");
        let taken = key.name == "anonymous"
            || hash.is_some_and(|h| h.len() == 12 && h.bytes().all(|b| b.is_ascii_hexdigit()));
        if !is_name(&key.name) || taken {
            check.say(
                &at("name"),
                "a key's name is 1 to 64 of a-z, 0-9 and -, and not one that callers without a key get: `anonymous`, or `key-` and 12 \
                 hexadecimal digits",
            );
        }
        if names.insert(&key.name, n).is_some() {
            let message = format!(
                "there is another key `{}`: sessions belong to the name, so each key has its own",
                key.name
            );
            check.say(&at("name"), message);
        }
        if let Some(first) = hashes.insert(key.hash, &key.name) {
            let message =
                format!("this is the key `{first}`: make another one with `airlock key new`");
            check.say(&at("hash"), message);
        }
        if !is_name(&key.tenant) {
            check.say(
                &at("tenant"),
                "a tenant's name is 1 to 64 of a-z, 0-9 and -",
            );
        }
    }
}

/// A tenant without a key is a name that is spelled differently elsewhere, and its limits would never hold.
fn tenants(check: &mut Check<'_>) {
    for (name, _) in &check.config.tenants {
        let tenants = check.config.keys.iter().map(|key| key.tenant.as_str());
        let known = tenants.chain([DEFAULT_TENANT]);
        if !known.clone().any(|known| known == name) {
            let mut known: Vec<&str> = known.collect();
            known.sort_unstable();
            known.dedup();
            let message = format!(
                "no [[key]] belongs to it: {}",
                advice::unknown("tenant", name, known)
            );
            check.say(&["tenant", name], message);
        }
    }
}

/// Airlock's key is not the vendor's: with keys it must be said what a model server gets in its place.
fn credentials(check: &mut Check<'_>) {
    if check.config.keys.is_empty() {
        return;
    }
    for (name, upstream) in &check.config.upstreams {
        if upstream.credential.is_none() && upstream.credential() == Credential::Forward {
            check.say(
                &["upstream", name],
                "clients call with Airlock's keys, which are never forwarded: give the upstream its own, key = \
                 \"env:NAME\"; or credential = \"none\" if it asks for none; or credential = \"forward\" if clients \
                 send Airlock's key as x-airlock-key and the vendor's as they always do",
            );
        }
    }
}

fn limits(check: &mut Check<'_>) {
    let config = check.config;
    for (n, key) in config.keys.iter().enumerate() {
        waits(check, &["key", &n.to_string()], key.limits());
    }
    for (name, limits) in &config.tenants {
        waits(check, &["tenant", name], *limits);
    }
    for (name, upstream) in &config.upstreams {
        waits(check, &["upstream", name], upstream.limits());
    }
}

fn waits(check: &mut Check<'_>, path: &[&str], limits: CallLimits) {
    let at = |key: &'static str| [path, &[key]].concat();
    if limits.max_queued > 0 && limits.is_unlimited() {
        check.say(
            &at("max_queued"),
            "there is nothing to wait for: set requests_per_minute, tokens_per_minute or max_concurrent too",
        );
    }
    if !(1..=MAX_QUEUE_MS).contains(&limits.queue_ms) {
        check.say(
            &at("queue_ms"),
            "a wait is 1 to 60000 ms; max_queued = 0 lets nobody wait",
        );
    }
}
