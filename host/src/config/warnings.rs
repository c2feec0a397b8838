//! What a configuration says that is allowed and unwise.

use super::Config;

/// What is allowed but should be seen at every start, one line each.
pub fn warnings(config: &Config) -> Vec<String> {
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
