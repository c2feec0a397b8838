//! Model servers and the way to them.

use super::finding::Check;
use crate::config::Config;
use crate::upstream::settings::Credential;

pub(super) fn upstreams(check: &mut Check<'_>) {
    for (name, upstream) in &check.config.upstreams {
        let at = |key: &'static str| ["upstream", name.as_str(), key];
        if calls_itself(check.config, &upstream.base_url) {
            check.say(
                &at("base_url"),
                "this is Airlock's own address: name the model server's",
            );
        }
        match (upstream.credential, &upstream.key) {
            (Some(Credential::Own), None) => {
                check.say(
                    &at("credential"),
                    "\"own\" needs a key: add key = \"env:NAME\" or key = \"file:/path\"",
                );
            }
            (Some(Credential::Forward), Some(_)) => {
                check.say(
                    &at("key"),
                    "with credential = \"forward\" this key is never used: remove one of the two",
                );
            }
            (Some(Credential::None), Some(_)) => {
                check.say(
                    &at("key"),
                    "with credential = \"none\" this key is never used: remove one of the two",
                );
            }
            _ => {}
        }
        if upstream.header.is_some() && upstream.key.is_none() {
            check.say(
                &at("header"),
                "there is no key that it could carry: add key = \"env:NAME\" or key = \"file:/path\"",
            );
        }
        match (&upstream.client_cert_file, &upstream.client_key_file) {
            (Some(_), None) => check.say(
                &at("client_cert_file"),
                "a certificate needs its private key: add client_key_file",
            ),
            (None, Some(_)) => check.say(
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
                check.say(&at(key), "a time limit is 1 to 86400000 ms (a day)");
            }
        }
        if upstream.retries > 10 {
            check.say(
                &at("retries"),
                "at most 10: each one lets the client wait, and its SDK retries too",
            );
        }
        if upstream.retry_backoff_ms > 10_000 {
            check.say(
                &at("retry_backoff_ms"),
                "at most 10000 ms: the client waits meanwhile",
            );
        }
    }
}

pub(super) fn routes(check: &mut Check<'_>) {
    for (n, route) in check.config.routes.iter().enumerate() {
        let n = n.to_string();
        if route.model.is_empty() {
            check.say(&["route", &n, "model"], "name a model, or \"*\" for all");
        }
        check.upstream_exists(&["route", &n, "upstream"], &route.upstream);
        for (m, name) in route.fallback.iter().enumerate() {
            let before = route.fallback.get(..m).unwrap_or_default();
            let m = m.to_string();
            if *name == route.upstream || before.contains(name) {
                let message =
                    format!("{name} is tried already: a fallback is another upstream. Remove it");
                check.say(&["route", &n, "fallback", &m], message);
            }
            check.upstream_exists(&["route", &n, "fallback", &m], name);
        }
    }
}

/// Whether an address is one of Airlock's own listeners: a call there would come back for ever.
pub(in crate::config) fn calls_itself(config: &Config, url: &http::Uri) -> bool {
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
