//! What is read of a good file, and what is warned of.

use std::path::Path;

use super::written::key;
use crate::config::KeyHash;
use crate::config::parse::parse;
use crate::config::warnings::warnings;
use crate::upstream::key::{KeyError, KeyRef};
use crate::upstream::settings::ProxyConfig;

#[test]
fn order_and_paths_are_as_in_the_file() {
    let text = "[upstream.zeta]\nbase_url = \"https://z/v1/\"\n[upstream.alpha]\nbase_url = \"https://a/v1\"\n\
                [policies]\ndir = \"mine\"\n[policy.x]\nfile = \"x.wasm\"\n[data]\ndir = \"/var/lib/airlock\"\n";
    let config = parse(text, Path::new("/etc/airlock/airlock.toml")).unwrap();
    let names: Vec<_> = config
        .upstreams
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["zeta", "alpha"]);
    assert_eq!(config.upstreams[0].1.base_url, "https://z/v1");
    assert_eq!(config.policies.dir, Path::new("/etc/airlock/mine"));
    assert_eq!(
        config.policy["x"].file.as_deref(),
        Some(Path::new("/etc/airlock/x.wasm"))
    );
    assert_eq!(config.data.dir, Path::new("/var/lib/airlock"));
}

#[test]
fn a_key_file_is_read_trimmed_and_an_empty_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, "sk-file\n").unwrap();
    let key = KeyRef::try_from(format!("file:{}", path.display())).unwrap();
    assert_eq!(key.resolve().unwrap().expose(), "sk-file");
    assert_eq!(format!("{:?}", key.resolve().unwrap()), "Secret(..)");
    std::fs::write(&path, "\n").unwrap();
    assert!(matches!(key.resolve(), Err(KeyError::Unusable(_))));
    std::fs::write(&path, "two words").unwrap();
    assert!(matches!(key.resolve(), Err(KeyError::Unusable(_))));
    let unset = KeyRef::Env("AIRLOCK_TEST_UNSET".into())
        .resolve()
        .expect_err("set")
        .to_string();
    assert!(
        unset.contains("AIRLOCK_TEST_UNSET") && unset.contains("export"),
        "{unset}"
    );
}

#[test]
fn what_is_allowed_but_unwise_is_warned_of() {
    let text = format!(
        "[gateway]\nlisten = \"0.0.0.0:4100\"\n[admin]\nlisten = \"0.0.0.0:4101\"\n\
         [upstream.a]\nbase_url = \"http://gpu.example/v1\"\nkey = \"env:K\"\n{}",
        key(1, "")
    );
    let told = warnings(&parse(&text, Path::new("/a")).unwrap());
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(warnings(&parse("", Path::new("/a")).unwrap()).is_empty());
}

#[test]
fn what_an_upstream_needs_to_be_reached_is_read() {
    let text = "[upstream.a]\nbase_url = \"https://a/openai?api-version=1\"\nkey = \"env:K\"\nheader = \"Api-Key\"\n\
                proxy = \"http://proxy:3128/\"\nca_file = \"ca.pem\"\nclient_cert_file = \"/c.pem\"\n\
                client_key_file = \"k.pem\"\nstream_options = false\n";
    let config = parse(text, Path::new("/etc/airlock.toml")).unwrap();
    let upstream = config.upstream("a").unwrap();
    assert_eq!(upstream.base_url, "https://a/openai?api-version=1");
    assert_eq!(upstream.key_header(), "api-key");
    assert_eq!(
        upstream.proxy,
        ProxyConfig::At("http://proxy:3128".parse().unwrap())
    );
    assert_eq!(upstream.ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
    assert_eq!(
        upstream.client_cert_file.as_deref(),
        Some(Path::new("/c.pem"))
    );
    assert_eq!(
        upstream.client_key_file.as_deref(),
        Some(Path::new("/etc/k.pem"))
    );
    assert!(!upstream.stream_options);
    for (text, expected) in [
        ("env", ProxyConfig::Environment),
        ("none", ProxyConfig::None),
    ] {
        assert_eq!(ProxyConfig::try_from(text.to_owned()), Ok(expected));
    }
}

#[test]
fn keys_and_tenants_are_read() {
    let text = format!(
        "{}{}[tenant.acme]\nrequests_per_minute = 9\n[upstream.a]\nbase_url = \"http://a/v1\"\n\
         credential = \"none\"\nmax_concurrent = 3\n",
        key(1, "tenant = \"acme\"\ntokens_per_minute = 1000"),
        key(2, "")
    );
    let config = parse(&text, Path::new("/a")).unwrap();
    assert_eq!(config.keys[0].tenant, "acme");
    assert_eq!(config.keys[0].limits().tokens_per_minute, 1000);
    assert_eq!(config.keys[1].tenant, "default");
    assert!(config.keys[1].hash.is(&KeyHash::of("2")));
    assert_eq!(config.tenant("acme").requests_per_minute, 9);
    assert!(config.tenant("other").is_unlimited());
    assert_eq!(config.upstream("a").unwrap().limits().max_concurrent, 3);
}
