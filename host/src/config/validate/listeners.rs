//! The two listeners, and what passes through them.

use super::finding::Check;

pub(super) fn check(check: &mut Check<'_>) {
    let config = check.config;
    if config.gateway.listen == config.admin.listen && config.admin.listen.port() != 0 {
        check.say(
            &["admin", "listen"],
            "both listeners have the same address: give one of them another port",
        );
    }
    for (n, path) in config.gateway.pass_paths.iter().enumerate() {
        let n = n.to_string();
        let at = ["gateway", "pass_paths", n.as_str()];
        if path == "/v1/chat/completions" {
            check.say(
                &at,
                "policies judge this path: it cannot pass unjudged. Remove it",
            );
        } else if !path.starts_with("/v1/") {
            check.say(
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
            let whole = origin
                .split_once("://")
                .is_some_and(|(_, host)| !host.is_empty() && !host.contains('/') && host != "*");
            if !whole {
                let message =
                    "an origin is scheme, host and port: write it like \"https://app.example.com\"";
                check.say(&[section, "allowed_origins", &n.to_string()], message);
            }
        }
    }
    if config.gateway.max_body_bytes == 0 {
        check.say(
            &["gateway", "max_body_bytes"],
            "no request fits in 0 bytes: the default is 67108864",
        );
    }
}
