//! Who may call and how much: keys, tenants, their limits, and whose credential then goes upstream.

use std::collections::HashMap;

use super::{Config, Credential, Finding, advice};
use crate::config::client_key::DEFAULT_TENANT;
use crate::upstream::limits::CallLimits;
use airlock_policy::spec::is_name;

/// A wait past this is longer than SDKs' patience for a connection, and a client that waits holds its request in memory.
const MAX_QUEUE_MS: u64 = 60_000;

/// Judges keys, tenants and limits of calls. With `partial`, some entries could not be read.
pub(super) fn check(config: &Config, partial: bool) -> Vec<Finding> {
    let mut check = Check {
        config,
        found: Vec::new(),
    };
    if !partial && config.keys.is_empty() {
        check.loopback();
    }
    check.keys();
    if !partial {
        check.tenants();
    }
    check.credentials();
    check.limits();
    check.found
}

struct Check<'a> {
    config: &'a Config,
    found: Vec<Finding>,
}

impl Check<'_> {
    fn say(&mut self, path: &[&str], message: impl Into<String>) {
        self.found.push((
            path.iter().map(|step| (*step).to_owned()).collect(),
            message.into(),
        ));
    }

    /// Without keys everybody who reaches the listener calls as they like.
    fn loopback(&mut self) {
        let listen = self.config.gateway.listen;
        if !listen.ip().is_loopback() {
            let message = format!(
                "{listen} is reached from other machines, and without a [[key]] anybody may call: make a key with \
                 `airlock key new NAME --write`, or listen on 127.0.0.1:{}",
                listen.port()
            );
            self.say(&["gateway", "listen"], message);
        }
    }

    fn keys(&mut self) {
        let mut names: HashMap<&str, usize> = HashMap::new();
        let mut hashes = HashMap::new();
        for (n, key) in self.config.keys.iter().enumerate() {
            let row = n.to_string();
            let at = |field: &'static str| ["key", row.as_str(), field];
            // Principals of callers without a key of Airlock's: nobody shall take over their sessions by a name.
            let hash = key.name.strip_prefix("key-");
            let taken = key.name == "anonymous"
                || hash.is_some_and(|h| h.len() == 12 && h.bytes().all(|b| b.is_ascii_hexdigit()));
            if !is_name(&key.name) || taken {
                self.say(
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
                self.say(&at("name"), message);
            }
            if let Some(first) = hashes.insert(key.hash, &key.name) {
                let message =
                    format!("this is the key `{first}`: make another one with `airlock key new`");
                self.say(&at("hash"), message);
            }
            if !is_name(&key.tenant) {
                self.say(
                    &at("tenant"),
                    "a tenant's name is 1 to 64 of a-z, 0-9 and -",
                );
            }
        }
    }

    /// A tenant without a key is a name that is spelled differently elsewhere, and its limits would never hold.
    fn tenants(&mut self) {
        for (name, _) in &self.config.tenants {
            let tenants = self.config.keys.iter().map(|key| key.tenant.as_str());
            let known = tenants.chain([DEFAULT_TENANT]);
            if !known.clone().any(|known| known == name) {
                let mut known: Vec<&str> = known.collect();
                known.sort_unstable();
                known.dedup();
                let message = format!(
                    "no [[key]] belongs to it: {}",
                    advice::unknown("tenant", name, known)
                );
                self.say(&["tenant", name], message);
            }
        }
    }

    /// Airlock's key is not the vendor's: with keys it must be said what a model server gets in its place.
    fn credentials(&mut self) {
        if self.config.keys.is_empty() {
            return;
        }
        for (name, upstream) in &self.config.upstreams {
            if upstream.credential.is_none() && upstream.credential() == Credential::Forward {
                self.say(
                    &["upstream", name],
                    "clients call with Airlock's keys, which are never forwarded: give the upstream its own, key = \
                     \"env:NAME\"; or credential = \"none\" if it asks for none; or credential = \"forward\" if clients \
                     send Airlock's key as x-airlock-key and the vendor's as they always do",
                );
            }
        }
    }

    fn limits(&mut self) {
        let config = self.config;
        for (n, key) in config.keys.iter().enumerate() {
            self.waits(&["key", &n.to_string()], key.limits());
        }
        for (name, limits) in &config.tenants {
            self.waits(&["tenant", name], *limits);
        }
        for (name, upstream) in &config.upstreams {
            self.waits(&["upstream", name], upstream.limits());
        }
    }

    fn waits(&mut self, path: &[&str], limits: CallLimits) {
        let at = |key: &'static str| [path, &[key]].concat();
        if limits.max_queued > 0 && limits.is_unlimited() {
            self.say(
                &at("max_queued"),
                "there is nothing to wait for: set requests_per_minute, tokens_per_minute or max_concurrent too",
            );
        }
        if !(1..=MAX_QUEUE_MS).contains(&limits.queue_ms) {
            self.say(
                &at("queue_ms"),
                "a wait is 1 to 60000 ms; max_queued = 0 lets nobody wait",
            );
        }
    }
}
