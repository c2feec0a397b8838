//! The commented `airlock.toml` that `airlock init` writes.

/// Its text: every key with its default, each behind a `#`, so that later defaults take effect.
pub const TEMPLATE: &str = include_str!("template.toml");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::path::Path;

    use serde::de::DeserializeOwned;

    use super::TEMPLATE;
    use crate::ask::settings::AskConfig;
    use crate::config::parse::parse;
    use crate::config::*;
    use crate::upstream::key::KeyRef;
    use crate::upstream::limits::CallLimits;
    use crate::upstream::settings::{RouteConfig, UpstreamConfig, WebhookConfig};
    use airlock_core::observe::machine::settings::MachineConfig;
    use airlock_core::observe::prices::Price;
    use airlock_policy::Grants;

    /// The template with the `#` before every key and header removed; prose begins with `# `.
    fn uncommented() -> String {
        let bare = |line: &str| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
            _ => line.to_owned(),
        };
        TEMPLATE.lines().map(bare).collect::<Vec<_>>().join("\n")
    }

    fn read(text: &str) -> Config {
        parse(text, Path::new("/etc/airlock.toml")).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn defaults() -> Config {
        let mut config = Config::empty(Source::File("/etc/airlock.toml".into()));
        config.policies.dir = "/etc/policies".into();
        config
    }

    #[test]
    fn as_written_it_says_nothing_but_the_defaults() {
        assert_eq!(read(TEMPLATE), defaults());
    }

    #[test]
    fn every_key_stands_there_with_its_default() {
        let config = read(&uncommented());
        let expected = defaults();
        assert_eq!(config.gateway, expected.gateway);
        assert_eq!(config.admin, expected.admin);
        assert_eq!(
            config.tenants,
            [("default".to_owned(), CallLimits::default())]
        );
        assert_eq!(config.keys.len(), 1);
        assert_eq!(config.keys[0].limits(), CallLimits::default());
        assert_eq!(config.limits, expected.limits);
        assert_eq!(config.people, expected.people);
        assert_eq!(config.session, expected.session);
        assert_eq!(config.policies, expected.policies);
        let data = DataConfig {
            dir: expected.data.dir.clone(),
            ..config.data.clone()
        };
        assert_eq!(data, expected.data);

        let mut upstream = UpstreamConfig::new("https://api.openai.com/v1".parse().unwrap());
        upstream.credential = Some(crate::upstream::settings::Credential::Own);
        upstream.key = Some(KeyRef::Env("OPENAI_API_KEY".into()));
        // Stated in the template; unstated it is the same for this API.
        upstream.header = Some(http::header::AUTHORIZATION);
        assert_eq!(config.upstreams, [("openai".to_owned(), upstream)]);
        assert_eq!(
            config.policy["blocklist"].ask_quota,
            airlock_policy::AskQuota::default()
        );
        let asked = AskConfig {
            upstream: Some("openai".into()),
            model: Some("gpt-4o-mini".into()),
            timeout_ms: Some(30_000),
            ..AskConfig::default()
        };
        assert_eq!(config.asks, [("summariser".to_owned(), asked)]);
        // One entry, and the four policies that the profile sets.
        assert_eq!(config.policy.len(), 5);
        assert_eq!(config.on_finding.len(), 1);
        // One row, and those of the profile and its subtask.
        assert_eq!(config.rules.len(), 3);
    }

    /// The keys that a section knows, as serde tells them to somebody who gets one wrong.
    fn keys<T: DeserializeOwned>() -> Vec<String> {
        let Err(error) = toml::from_str::<T>("no_such_key = 1") else {
            panic!("the key was taken")
        };
        let message = error.message().to_owned();
        let known: Vec<_> = message
            .split('`')
            .skip(1)
            .step_by(2)
            .skip(1)
            .map(str::to_owned)
            .collect();
        assert!(!known.is_empty(), "{message}");
        known
    }

    #[test]
    fn no_key_is_forgotten() {
        let text = uncommented();
        let root: toml::Table = text.parse().unwrap();
        let has = |path: &[&str], keys: Vec<String>| {
            let mut at = toml::Value::Table(root.clone());
            for step in path {
                at = match at {
                    toml::Value::Array(rows) => rows[0].clone(),
                    other => other,
                };
                at = at[*step].clone();
            }
            if let toml::Value::Array(rows) = &at {
                at = rows[0].clone();
            }
            for key in keys {
                assert!(at.get(&key).is_some(), "{path:?} lacks {key}");
            }
        };
        has(&["gateway"], keys::<GatewayConfig>());
        has(&["admin"], keys::<AdminConfig>());
        has(&["data"], keys::<DataConfig>());
        has(&["key"], keys::<ClientKey>());
        has(&["tenant", "default"], keys::<CallLimits>());
        has(&["upstream", "openai"], keys::<UpstreamConfig>());
        has(&["ask", "summariser"], keys::<AskConfig>());
        has(&["route"], keys::<RouteConfig>());
        has(&["policies"], keys::<PoliciesConfig>());
        has(&["policies", "grants"], keys::<Grants>());
        has(
            &["policy", "blocklist"],
            keys::<airlock_policy::PolicySpec>(),
        );
        has(&["limits"], keys::<airlock_policy::Limits>());
        has(&["webhook", "ops"], keys::<WebhookConfig>());
        has(&["people"], keys::<PeopleConfig>());
        has(&["profile"], keys::<ProfileConfig>());
        has(&["session"], keys::<SessionConfig>());
        has(&["price", "my-model"], keys::<Price>());
        // Of these only one can stand there at a time.
        for key in keys::<MachineConfig>() {
            assert!(
                TEMPLATE.contains(&format!("{key} = ")),
                "machine lacks {key}"
            );
        }
    }
}
