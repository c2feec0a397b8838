//! What `airlock serve` says of itself when it begins.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::config::warnings::warnings;
use crate::config::{Config, Source};
use crate::render::style::indented;
use crate::upstream::settings::{Credential, UpstreamConfig};
use airlock_core::store::capture::Capture;
use airlock_policy::{Mode, PolicyStatus};

/// The summary: where it listens, where calls go and under whose key, which policies have a say, and what it chose by itself.
pub fn render(
    config: &Config,
    gateway: SocketAddr,
    admin: SocketAddr,
    policies: &[PolicyStatus],
) -> String {
    let mut out = String::new();
    let mut line = |label: &str, text: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{label:>10}  {}", indented(text));
    };
    line("Airlock", env!("CARGO_PKG_VERSION"));
    line(
        "gateway",
        &format!("http://{gateway}/v1   (for applications: OPENAI_BASE_URL=http://{gateway}/v1)"),
    );
    line("admin", &format!("http://{admin}"));
    match &config.source {
        Source::File(file) => line("config", &file.display().to_string()),
        Source::Environment => line("config", "none; airlock init writes one"),
    }
    for note in &config.notes {
        line("chosen", note);
    }
    for (name, upstream) in &config.upstreams {
        line(
            "upstream",
            &format!("{name}: {}, {}", upstream.base_url, whose_key(upstream)),
        );
    }
    let kept = match config.data.capture {
        Capture::Full => "all content",
        Capture::Redacted => "redacted content",
        Capture::None => "no content",
    };
    let days = match config.data.retention_days {
        0 => "for ever".to_owned(),
        days => format!("for {days} days"),
    };
    line(
        "data",
        &format!("{}, {kept}, {days}", config.data.dir.display()),
    );
    line(
        "policies",
        &format!(
            "{} in {}",
            count(policies.len()),
            config.policies.dir.display()
        ),
    );
    for status in policies {
        line("", &policy(status));
    }
    for warning in warnings(config) {
        line("warning", &warning);
    }
    out
}

fn count(policies: usize) -> String {
    match policies {
        0 => "none; *.wasm files are taken as they appear".to_owned(),
        n => format!("{n}; *.wasm files are taken as they change"),
    }
}

fn whose_key(upstream: &UpstreamConfig) -> String {
    match (upstream.credential(), &upstream.key) {
        (Credential::Own, Some(key)) => format!("own key ({key})"),
        _ => "the client's key".to_owned(),
    }
}

fn policy(status: &PolicyStatus) -> String {
    let mode = match status.mode {
        Mode::Enforce => "enforce",
        Mode::Observe => "observe",
    };
    let mut text = match (status.generation, &status.digest) {
        (Some(generation), Some(digest)) => {
            format!(
                "{} generation {generation} ({}), {mode}",
                status.name,
                digest.get(..12).unwrap_or(digest)
            )
        }
        _ => format!("{}: not loaded", status.name),
    };
    if let Some(error) = &status.last_error {
        text.push_str(&format!("; {error}"));
    }
    if !status.ungranted.is_empty() {
        let wanted = status.ungranted.join(", ");
        text.push_str(&format!(
            "; asks for {wanted}: airlock policy grant {} --all-requested",
            status.name
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::upstream::key::KeyRef;

    #[test]
    fn it_says_where_calls_go_and_never_the_key() {
        let mut config = Config::empty(Source::Environment);
        config.notes.push("upstream openai: because".into());
        let mut upstream = UpstreamConfig::new("https://api.openai.com/v1".parse().unwrap());
        upstream.key = Some(KeyRef::Env("OPENAI_API_KEY".into()));
        config.upstreams.push(("openai".into(), upstream));
        let shown = render(
            &config,
            "127.0.0.1:4100".parse().unwrap(),
            "127.0.0.1:4101".parse().unwrap(),
            &[],
        );
        for expected in [
            "OPENAI_BASE_URL=http://127.0.0.1:4100/v1",
            "chosen  upstream openai: because",
            "own key (env:OPENAI_API_KEY)",
            "all content, for 30 days",
            "airlock init",
        ] {
            assert!(shown.contains(expected), "lacks {expected}:\n{shown}");
        }
    }
}
