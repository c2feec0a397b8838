//! What the types cannot say: that names exist, that numbers make sense, and that nothing calls itself.

mod asks;
mod callers;
pub(super) mod rules;

use crate::config::Config;
use crate::upstream::settings::Credential;
use airlock_core::reason::rules::reaction::Reaction;
use airlock_policy::spec::{ACTIONS, EVENT_KINDS, is_name};
use airlock_policy::{Grants, advice};

/// Path to a value, and what is wrong with it.
pub(super) type Finding = (Vec<String>, String);

/// Judges a configuration whose parts can be read. With `partial`, some entries are missing because they could not be:
/// names are then not looked up.
pub(super) fn check(config: &Config, partial: bool) -> Vec<Finding> {
    let mut check = Check {
        config,
        partial,
        found: Vec::new(),
    };
    check.listeners();
    check.upstreams();
    check.routes();
    asks::check(&mut check);
    check.policies();
    check.on_finding();
    check.webhooks();
    check.people();
    check.machine();
    check.numbers();
    check.found.extend(callers::check(config, partial));
    check.found
}

struct Check<'a> {
    config: &'a Config,
    partial: bool,
    found: Vec<Finding>,
}

impl Check<'_> {
    fn say(&mut self, path: &[&str], message: impl Into<String>) {
        self.found.push((
            path.iter().map(|step| (*step).to_owned()).collect(),
            message.into(),
        ));
    }

    fn listeners(&mut self) {
        let config = self.config;
        if config.gateway.listen == config.admin.listen && config.admin.listen.port() != 0 {
            self.say(
                &["admin", "listen"],
                "both listeners have the same address: give one of them another port",
            );
        }
        for (n, path) in config.gateway.pass_paths.iter().enumerate() {
            let n = n.to_string();
            let at = ["gateway", "pass_paths", n.as_str()];
            if path == "/v1/chat/completions" {
                self.say(
                    &at,
                    "policies judge this path: it cannot pass unjudged. Remove it",
                );
            } else if !path.starts_with("/v1/") {
                self.say(
                    &at,
                    "a path begins with /v1/: write it like \"/v1/audio/speech\"",
                );
            }
        }
        for (section, origins) in [
            ("gateway", &config.gateway.allowed_origins),
            ("admin", &config.admin.allowed_origins),
        ] {
            for (n, origin) in origins.iter().enumerate() {
                let whole = origin.split_once("://").is_some_and(|(_, host)| {
                    !host.is_empty() && !host.contains('/') && host != "*"
                });
                if !whole {
                    let message = "an origin is scheme, host and port: write it like \"https://app.example.com\"";
                    self.say(&[section, "allowed_origins", &n.to_string()], message);
                }
            }
        }
        if config.gateway.max_body_bytes == 0 {
            self.say(
                &["gateway", "max_body_bytes"],
                "no request fits in 0 bytes: the default is 67108864",
            );
        }
    }

    fn upstreams(&mut self) {
        for (name, upstream) in &self.config.upstreams {
            let at = |key: &'static str| ["upstream", name.as_str(), key];
            if calls_itself(self.config, &upstream.base_url) {
                self.say(
                    &at("base_url"),
                    "this is Airlock's own address: name the model server's",
                );
            }
            match (upstream.credential, &upstream.key) {
                (Some(Credential::Own), None) => {
                    self.say(
                        &at("credential"),
                        "\"own\" needs a key: add key = \"env:NAME\" or key = \"file:/path\"",
                    );
                }
                (Some(Credential::Forward), Some(_)) => {
                    self.say(&at("key"), "with credential = \"forward\" this key is never used: remove one of the two");
                }
                (Some(Credential::None), Some(_)) => {
                    self.say(
                        &at("key"),
                        "with credential = \"none\" this key is never used: remove one of the two",
                    );
                }
                _ => {}
            }
            if upstream.header != http::header::AUTHORIZATION && upstream.key.is_none() {
                self.say(
                    &at("header"),
                    "there is no key that it could carry: add key = \"env:NAME\" or key = \"file:/path\"",
                );
            }
            match (&upstream.client_cert_file, &upstream.client_key_file) {
                (Some(_), None) => self.say(
                    &at("client_cert_file"),
                    "a certificate needs its private key: add client_key_file",
                ),
                (None, Some(_)) => self.say(
                    &at("client_key_file"),
                    "a private key needs its certificate: add client_cert_file",
                ),
                _ => {}
            }
            for (key, value) in [
                ("connect_timeout_ms", upstream.connect_timeout_ms),
                ("idle_timeout_ms", upstream.idle_timeout_ms),
                ("total_timeout_ms", upstream.total_timeout_ms),
            ] {
                if !(1..=86_400_000).contains(&value) {
                    self.say(&at(key), "a time limit is 1 to 86400000 ms (a day)");
                }
            }
            if upstream.retries > 10 {
                self.say(
                    &at("retries"),
                    "at most 10: each one lets the client wait, and its SDK retries too",
                );
            }
            if upstream.retry_backoff_ms > 10_000 {
                self.say(
                    &at("retry_backoff_ms"),
                    "at most 10000 ms: the client waits meanwhile",
                );
            }
        }
    }

    fn routes(&mut self) {
        for (n, route) in self.config.routes.iter().enumerate() {
            let n = n.to_string();
            if route.model.is_empty() {
                self.say(&["route", &n, "model"], "name a model, or \"*\" for all");
            }
            self.upstream_exists(&["route", &n, "upstream"], &route.upstream);
            for (m, name) in route.fallback.iter().enumerate() {
                let before = route.fallback.get(..m).unwrap_or_default();
                let m = m.to_string();
                if *name == route.upstream || before.contains(name) {
                    let message = format!(
                        "{name} is tried already: a fallback is another upstream. Remove it"
                    );
                    self.say(&["route", &n, "fallback", &m], message);
                }
                self.upstream_exists(&["route", &n, "fallback", &m], name);
            }
        }
    }

    fn upstream_exists(&mut self, path: &[&str], name: &str) {
        if !self.partial && self.config.upstream(name).is_none() {
            let message = advice::unknown(
                "upstream",
                name,
                self.config.upstreams.iter().map(|(n, _)| n.as_str()),
            );
            self.say(path, message);
        }
    }

    fn policies(&mut self) {
        self.grants(&["policies", "grants"], &self.config.policies.grants);
        for (name, policy) in &self.config.policy {
            if !is_name(name) {
                self.say(
                    &["policy", name],
                    "a policy's name is 1 to 64 of a-z, 0-9 and -, as its file's is",
                );
            }
            if let Some(grants) = &policy.grants {
                self.grants(&["policy", name, "grants"], grants);
            }
            let digest = policy.digest.as_deref().unwrap_or_default();
            if policy.digest.is_some()
                && (digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_hexdigit()))
            {
                self.say(
                    &["policy", name, "digest"],
                    "a digest is 64 hexadecimal digits: sha256sum prints it",
                );
            }
        }
    }

    fn grants(&mut self, path: &[&str], grants: &Grants) {
        let at = |list: &'static str, n: usize| {
            let mut at: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
            at.extend([list.to_owned(), n.to_string()]);
            at
        };
        for (n, action) in grants.actions.iter().enumerate() {
            if !ACTIONS.contains(&action.as_str()) {
                self.found
                    .push((at("actions", n), advice::unknown("action", action, ACTIONS)));
            }
        }
        for (n, kind) in grants.sees.iter().enumerate() {
            let kinds = EVENT_KINDS.iter().map(|(_, name)| *name);
            if kind != "*" && !kinds.clone().any(|known| known == kind) {
                self.found.push((
                    at("sees", n),
                    advice::unknown("kind of event", kind, kinds.chain(["*"])),
                ));
            }
        }
    }

    fn on_finding(&mut self) {
        for (n, row) in self.config.on_finding.iter().enumerate() {
            self.reaction("on_finding", n, &row.reaction);
        }
        for (n, row) in self.config.rules.iter().enumerate() {
            self.reaction("rule", n, &row.reaction);
        }
    }

    /// That what a row names exists.
    fn reaction(&mut self, table: &str, row: usize, reaction: &Reaction) {
        let row = row.to_string();
        match reaction {
            Reaction::Alert { webhook, .. } => {
                self.webhook_exists(&[table, &row, "webhook"], webhook)
            }
            Reaction::Route {
                upstream, model, ..
            } if upstream.is_empty() && model.is_empty() => {
                let message = "a route needs an `upstream`, a `model`, or both";
                self.say(&[table, &row], message);
            }
            Reaction::Route { upstream, .. } | Reaction::Retry { upstream, .. }
                if !upstream.is_empty() =>
            {
                self.upstream_exists(&[table, &row, "upstream"], upstream);
            }
            _ => {}
        }
    }

    fn webhook_exists(&mut self, path: &[&str], name: &str) {
        let known = self.config.webhooks.iter().map(|(known, _)| known.as_str());
        if !name.is_empty() && !self.partial && !known.clone().any(|known| known == name) {
            let message = advice::unknown("webhook", name, known);
            self.say(path, message);
        }
    }

    fn webhooks(&mut self) {
        for (name, webhook) in &self.config.webhooks {
            match (&webhook.header, &webhook.key) {
                (Some(header), Some(_)) if header.parse::<http::HeaderName>().is_err() => {
                    self.say(
                        &["webhook", name, "header"],
                        "this is no name of a header, such as \"authorization\"",
                    );
                }
                (Some(_), None) => {
                    let message = "a header needs its value by reference: add key = \"env:NAME\"";
                    self.say(&["webhook", name, "header"], message);
                }
                (None, Some(_)) => {
                    let message =
                        "name the header that carries the key: add header = \"authorization\"";
                    self.say(&["webhook", name, "key"], message);
                }
                _ => {}
            }
        }
    }

    fn people(&mut self) {
        let people = &self.config.people;
        self.webhook_exists(&["people", "webhook"], &people.webhook);
        for (key, minutes) in [
            ("max_wait_minutes", people.max_wait_minutes),
            ("remember_minutes", people.remember_minutes),
        ] {
            if !(1..=1440).contains(&minutes) {
                self.say(
                    &["people", key],
                    "1 to 1440 minutes (a day): the default is 60",
                );
            }
        }
        if people.max_open == 0 {
            self.say(
                &["people", "max_open"],
                "at least 1: with 0 nobody could be asked; the default is 1000",
            );
        }
    }

    fn machine(&mut self) {
        if let [first, second, ..] = self.config.machine.named()[..] {
            let message = format!("the agent has a name already, {first}: keep one of the two");
            self.say(&["machine", second], message);
        }
        if self.config.machine.agent_pid == Some(0) {
            self.say(&["machine", "agent_pid"], "no process has the id 0");
        }
    }

    fn numbers(&mut self) {
        let dollars = |value: f64| value.is_finite() && value >= 0.0;
        if !dollars(self.config.session.max_cost_usd) {
            self.say(
                &["session", "max_cost_usd"],
                "an amount of dollars is 0 (no limit) or more",
            );
        }
        if self.config.session.idle_minutes == 0 {
            self.say(&["session", "idle_minutes"], "at least 1: the default is 5");
        }
        if self.config.session.hibernate_seconds == 0 {
            self.say(
                &["session", "hibernate_seconds"],
                "at least 1: the default is 60",
            );
        }
        for (model, price) in &self.config.prices {
            for (key, value) in [
                ("input", price.input),
                ("output", price.output),
                ("cached_input", price.cached_input.unwrap_or(0.0)),
            ] {
                if !dollars(value) {
                    self.say(
                        &["price", model, key],
                        "a price is dollars per million tokens, 0 or more",
                    );
                }
            }
        }
        let limits = &self.config.limits;
        for (key, value) in [
            ("memory_mib", limits.memory_mib),
            ("cpu_ms", limits.cpu_ms),
            ("wall_ms", limits.wall_ms),
            ("stack_kib", limits.stack_kib),
            ("table_elements", limits.table_elements),
            ("hostcall_kib", limits.hostcall_kib),
            ("handles", limits.handles),
            ("findings", limits.findings),
            ("actions", limits.actions),
            ("details", limits.details),
            ("file_mib", limits.file_mib),
            ("instances", limits.instances),
        ] {
            if value == 0 {
                self.say(
                    &["limits", key],
                    "no policy can run with 0 of this: remove the line for the default",
                );
            }
        }
    }
}

/// Whether an address is one of Airlock's own listeners: a call there would come back for ever.
pub(super) fn calls_itself(config: &Config, url: &http::Uri) -> bool {
    let port = url
        .port_u16()
        .unwrap_or(if url.scheme_str() == Some("https") {
            443
        } else {
            80
        });
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    [config.gateway.listen, config.admin.listen]
        .iter()
        .any(|listen| {
            let local = host.eq_ignore_ascii_case("localhost")
                || host.parse::<std::net::IpAddr>().is_ok_and(|ip| {
                    ip == listen.ip()
                        || ip.is_unspecified()
                        || (ip.is_loopback()
                            && (listen.ip().is_loopback() || listen.ip().is_unspecified()))
                });
            port == listen.port() && local
        })
}

/// What is allowed but should be seen at every start.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut out = Vec::new();
    if !config.gateway.listen.ip().is_loopback() {
        out.push(format!(
            "the gateway at {} is reached without TLS, and its clients' keys with it: put something in front that speaks \
             TLS, or listen on a loopback address",
            config.gateway.listen
        ));
    }
    if !config.admin.listen.ip().is_loopback() {
        out.push(format!(
            "the admin API at {} is reached without TLS, and its token with it: listen on a loopback address",
            config.admin.listen
        ));
    }
    for (name, upstream) in &config.upstreams {
        let plain = upstream.base_url.scheme_str() == Some("http");
        let host = upstream
            .base_url
            .host()
            .unwrap_or_default()
            .trim_matches(['[', ']']);
        let local = host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback());
        if plain && !local && upstream.key.is_some() {
            out.push(format!(
                "the key of upstream {name} goes over the network without TLS: use https"
            ));
        }
    }
    out
}
