//! Bad files, as people write them: each message has its place and says what to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use super::parse::parse;
use super::*;
use crate::upstream::key;
use crate::upstream::settings::ProxyConfig;

fn problems(text: &str) -> Problems {
    parse(text, Path::new("/etc/airlock.toml")).expect_err("a bad file was taken")
}

/// The file, the line and column of the first problem, and words that its message must have.
#[test]
fn each_mistake_is_told_with_its_place_and_what_to_do() {
    let upstream = "[upstream.a]\nbase_url = \"https://a.example/v1\"\n";
    for (text, line, column, words) in [
        (
            "[gateway]\nlisten = 4100\n",
            2,
            10,
            &["gateway", "127.0.0.1:4100"][..],
        ),
        (
            "[gateway]\nlisten = \"4100\"\n",
            2,
            10,
            &["address", "127.0.0.1:4100"],
        ),
        (
            "[gateway]\nlisen = \"127.0.0.1:1\"\n",
            2,
            1,
            &["lisen", "did you mean `listen`"],
        ),
        (
            "[gatway]\n",
            1,
            2,
            &["section `gatway`", "did you mean `gateway`"],
        ),
        ("[zzz]\n", 1, 2, &["section `zzz`", "gateway, admin"]),
        (
            "[gateway]\nmax_body_bytes = \"big\"\n",
            2,
            18,
            &["whole number"],
        ),
        ("[gateway]\nmax_body_bytes = -1\n", 2, 18, &["whole number"]),
        (
            "[gateway]\npass_paths = [\"/v1/chat/completions\"]\n",
            2,
            15,
            &["unjudged", "Remove"],
        ),
        (
            "[gateway]\npass_paths = [\"/v1/a\", \"audio\"]\n",
            2,
            24,
            &["/v1/audio"],
        ),
        (
            "[gateway]\nallowed_origins = [\"*\"]\n",
            2,
            20,
            &["https://"],
        ),
        (
            "[admin]\nlisten = \"127.0.0.1:4100\"\n",
            2,
            10,
            &["another port"],
        ),
        (
            "[data]\ncapture = \"ful\"\n",
            2,
            11,
            &["ful", "did you mean `full`"],
        ),
        (
            "[data]\ncapture = \"everything\"\n",
            2,
            11,
            &["everything", "redacted"],
        ),
        ("[upstream.a]\n", 1, 1, &["base_url", "missing", "add"]),
        (
            "[upstream.a]\nbase_url = \"api.openai.com\"\n",
            2,
            12,
            &["https://api.openai.com/v1"],
        ),
        (
            "[upstream.a]\nbase_url = \"ftp://a/v1\"\n",
            2,
            12,
            &["http"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://me:pw@a/v1\"\n",
            2,
            12,
            &["key"],
        ),
        (
            "[upstream.a]\nbase_url = \"http://localhost:4100/v1\"\n",
            2,
            12,
            &["Airlock's own address"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1?api-version=1&key=x\"\n",
            2,
            12,
            &["credentials", "key"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\nheader = \"api-key\"\n",
            3,
            10,
            &["no key", "env:NAME"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\nheader = \"api key\"\n",
            3,
            10,
            &["header", "api-key"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\nproxy = \"socks5://a\"\n",
            3,
            9,
            &["http and https", "http://proxy"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\nproxy = \"http://me:pw@a\"\n",
            3,
            9,
            &["credentials", "HTTPS_PROXY"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\nclient_cert_file = \"a.pem\"\n",
            3,
            20,
            &["private key", "client_key_file"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\nclient_key_file = \"a.pem\"\n",
            3,
            19,
            &["certificate", "client_cert_file"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\nkey = \"sk-123\"\n",
            3,
            7,
            &["env:NAME", "file:/path"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\napi_key = \"sk-123\"\n",
            3,
            1,
            &["by reference", "env:NAME"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\ncredential = \"own\"\n",
            3,
            14,
            &["needs a key", "env:NAME"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\ncredential = \"forward\"\nkey = \"env:K\"\n",
            4,
            7,
            &["never used", "remove"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\nidle_timeout_ms = 0\n",
            3,
            19,
            &["1 to"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\nretries = 50\n",
            3,
            11,
            &["at most 10"],
        ),
        (
            "upstream = \"https://a/v1\"\n",
            1,
            12,
            &["[upstream.<name>]"],
        ),
        ("[route]\nmodel = \"*\"\n", 1, 1, &["[[route]]"]),
        (
            &format!("{upstream}[[route]]\nmodel = \"*\"\nupstream = \"b\"\n"),
            5,
            12,
            &["unknown upstream `b`"],
        ),
        (
            &format!("{upstream}[[route]]\nmodel = \"\"\nupstream = \"a\"\n"),
            4,
            9,
            &["\"*\""],
        ),
        (
            &format!("{upstream}[[route]]\nmodel = \"*\"\nupstream = \"a\"\nfallback = [\"a\"]\n"),
            6,
            13,
            &["tried already"],
        ),
        ("[policy.Blocklist]\n", 1, 1, &["a-z"]),
        (
            "[policy.x]\nmode = \"enforced\"\n",
            2,
            8,
            &["did you mean `enforce`"],
        ),
        (
            "[policy.x.grants]\nactions = [\"blok\"]\n",
            2,
            12,
            &["did you mean `block`"],
        ),
        (
            "[policy.x.grants]\nsees = [\"txt\"]\n",
            2,
            9,
            &["did you mean `text`"],
        ),
        (
            "[policy.x]\ndigest = \"abc\"\n",
            2,
            10,
            &["64", "sha256sum"],
        ),
        ("[limits]\ncpu_ms = 0\n", 2, 10, &["default"]),
        (
            "[machine]\nagent_pid = 7\nagent_cgroup = \"/sys/fs/cgroup/a\"\n",
            3,
            16,
            &["agent_pid", "keep one"],
        ),
        ("[machine]\nagent_pid = 0\n", 2, 13, &["no process"]),
        (
            "[machine]\nagent_pidfile = \"a\"\n",
            2,
            1,
            &["did you mean `agent_pid_file`"],
        ),
        (
            "[session]\nhibernate_seconds = 0\n",
            2,
            21,
            &["the default is 60"],
        ),
        (
            "[[on_finding]]\nkind = \"a\"\naction = \"blok\"\n",
            3,
            10,
            &["did you mean `block`"],
        ),
        (
            "[[on_finding]]\nkind = \"a\"\naction = \"annotate\"\nmode = \"soft\"\n",
            1,
            1,
            &["`mode`", "remove"],
        ),
        (
            "[[on_finding]]\nkind = \"a\"\naction = \"inject\"\n",
            1,
            1,
            &["message"],
        ),
        (
            "[[on_finding]]\nkind = \"a*b\"\naction = \"annotate\"\n",
            1,
            1,
            &["trailing *"],
        ),
        (
            "[[on_finding]]\nkind = \"a\"\naction = \"alert\"\nwebhook = \"ops\"\n",
            4,
            11,
            &["unknown webhook `ops`"],
        ),
        (
            "[people]\nwebhook = \"ops\"\n",
            2,
            11,
            &["unknown webhook `ops`"],
        ),
        (
            "[people]\nmax_wait_minutes = 1441\n",
            2,
            20,
            &["people.max_wait_minutes", "1 to 1440"],
        ),
        (
            "[people]\nmax_open = 0\n",
            2,
            12,
            &["people.max_open", "at least 1"],
        ),
        (
            "[webhook.ops]\nurl = \"https://a\"\nheader = \"x-key\"\n",
            3,
            10,
            &["by reference"],
        ),
        ("[session]\nmax_cost_usd = -1.0\n", 2, 16, &["0 (no limit)"]),
        (
            "[[rule]]\nwhen = \"vitals.elapsd > 5\"\ndo = \"stop\"\n",
            2,
            15,
            &["rule[0].when", "did you mean `elapsed`"],
        ),
        (
            "[[rule]]\nwhen = \"\"\"\ntrue\n  && request.modell == 'a'\"\"\"\ndo = \"stop\"\n",
            4,
            13,
            &["did you mean `model`"],
        ),
        (
            "[[rule]]\nwhen = \"session.tenant == \\\"a\\\" && )\"\ndo = \"stop\"\n",
            2,
            36,
            &["this is no CEL"],
        ),
        (
            "[[rule]]\nwhen = \"true\"\ndo = \"stopp\"\n",
            3,
            6,
            &["did you mean `stop`"],
        ),
        (
            "[[rule]]\nwhen = \"true\"\ndo = \"stop\"\nmesage = \"a\"\n",
            4,
            1,
            &["did you mean `message`"],
        ),
        (
            "[[rule]]\nwhen = \"true\"\ndo = \"stop\"\nwebhook = \"a\"\n",
            1,
            1,
            &["`webhook` means nothing for stop"],
        ),
        (
            "[[rule]]\nwhen = \"true\"\ndo = \"stop\"\nmode = \"hard\"\n",
            4,
            8,
            &["unknown word `hard`"],
        ),
        (
            "[[rule]]\nwhen = \"true\"\ndo = \"stop\"\nat = [\"requests\"]\n",
            4,
            7,
            &["did you mean `request`"],
        ),
        (
            "[[rule]]\nwhen = \"tool.failed\"\ndo = \"stop\"\nat = [\"request\"]\n",
            4,
            6,
            &["leave `at` out"],
        ),
        (
            "[[rule]]\nwhen = \"true\"\ndo = \"route\"\nupstream = \"nowhere\"\n",
            4,
            12,
            &["unknown upstream `nowhere`"],
        ),
        (
            "[[rule]]\nwhen = \"true\"\ndo = \"alert\"\nwebhook = \"ops\"\n",
            4,
            11,
            &["unknown webhook `ops`"],
        ),
        (
            "[[rule]]\nwhen = \"true\"\ndo = \"set-parameters\"\n",
            1,
            1,
            &["needs `parameters`"],
        ),
        (
            "[[rule]]\nname = \"a\"\nwhen = \"true\"\ndo = \"stop\"\n[[rule]]\nname = \"a\"\nwhen = \"true\"\ndo = \"stop\"\n",
            6,
            8,
            &["another rule is named `a`"],
        ),
        (
            "[[rule]]\nwhen = \"true\"\ndo = \"stop\"\nmode = \"observe\"\non_failure = \"closed\"\n",
            1,
            1,
            &["cannot fail closed"],
        ),
        (
            "[price.\"m\"]\ninput = 1\noutput = nan\n",
            3,
            10,
            &["per million"],
        ),
        ("[gateway\nlisten = 1\n", 1, 9, &["not TOML"]),
        ("[gateway]\n\"é\" = 1 1\n", 2, 7, &["not TOML"]),
    ] {
        let problems = problems(text);
        let first = &problems.problems[0];
        let shown = problems.to_string();
        assert_eq!(
            (first.line, first.column),
            (line, column),
            "{text}\n{shown}"
        );
        assert!(
            shown.starts_with(&format!("/etc/airlock.toml:{line}:{column}: ")),
            "{shown}"
        );
        for word in words {
            assert!(shown.contains(word), "{text}\nlacks {word:?}: {shown}");
        }
    }
}

#[test]
fn all_problems_of_a_file_are_told_at_once_and_in_order() {
    let text = "[gateway]\nlisen = 1\n\n[data]\ncapture = \"x\"\n\n[upstream.a]\nbase_url = 1\n\n[limits]\ncpu_ms = 0\n";
    let lines: Vec<_> = problems(text)
        .problems
        .iter()
        .map(|problem| problem.line)
        .collect();
    assert_eq!(lines, [2, 5, 8, 11]);
}

#[test]
fn a_broken_upstream_does_not_make_its_routes_look_wrong() {
    let text = "[upstream.a]\nbase_url = 1\n[[route]]\nmodel = \"*\"\nupstream = \"a\"\n";
    assert_eq!(problems(text).problems.len(), 1);
}

#[test]
fn a_key_in_the_file_is_never_repeated_in_a_message() {
    for text in [
        "[upstream.a]\nbase_url = \"https://a/v1\"\nkey = \"sk-secret\"\n",
        "[upstream.a]\nbase_url = \"https://a/v1\"\napi_key = \"sk-secret\"\n",
        "[upstream.a]\nbase_url = \"https://a/v1\"\nretries = \"sk-secret\"\n",
        "[upstream.a]\nbase_url = \"https://sk-secret@a/v1\"\n",
    ] {
        let problems = problems(text);
        assert!(
            !format!("{problems} {problems:?}").contains("sk-secret"),
            "{problems}"
        );
    }
}

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
    assert!(matches!(key.resolve(), Err(key::KeyError::Unusable(_))));
    std::fs::write(&path, "two words").unwrap();
    assert!(matches!(key.resolve(), Err(key::KeyError::Unusable(_))));
    let unset = KeyRef::Env("AIRLOCK_TEST_UNSET".into())
        .resolve()
        .expect_err("set")
        .to_string();
    assert!(
        unset.contains("AIRLOCK_TEST_UNSET") && unset.contains("export"),
        "{unset}"
    );
}

/// A hash that no other key of a test has.
fn hash(n: u8) -> String {
    KeyHash::of(&n.to_string()).to_string()
}

fn key(n: u8, more: &str) -> String {
    format!("[[key]]\nname = \"k{n}\"\nhash = \"{}\"\n{more}\n", hash(n))
}

#[test]
fn what_is_allowed_but_unwise_is_warned_of() {
    let text = format!(
        "[gateway]\nlisten = \"0.0.0.0:4100\"\n[admin]\nlisten = \"0.0.0.0:4101\"\n\
         [upstream.a]\nbase_url = \"http://gpu.example/v1\"\nkey = \"env:K\"\n{}",
        key(1, "")
    );
    let warnings = parse(&text, Path::new("/a")).unwrap().warnings();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(parse("", Path::new("/a")).unwrap().warnings().is_empty());
}

#[test]
fn what_an_upstream_needs_to_be_reached_is_read() {
    let text = "[upstream.a]\nbase_url = \"https://a/openai?api-version=1\"\nkey = \"env:K\"\nheader = \"Api-Key\"\n\
                proxy = \"http://proxy:3128/\"\nca_file = \"ca.pem\"\nclient_cert_file = \"/c.pem\"\n\
                client_key_file = \"k.pem\"\nstream_options = false\n";
    let config = parse(text, Path::new("/etc/airlock.toml")).unwrap();
    let upstream = config.upstream("a").unwrap();
    assert_eq!(upstream.base_url, "https://a/openai?api-version=1");
    assert_eq!(upstream.header, "api-key");
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

#[test]
fn mistakes_in_keys_and_limits_of_calls_are_told_with_their_place() {
    let airlocks = "alk-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let named = |name: &str| format!("[[key]]\nname = \"{name}\"\nhash = \"{}\"\n", hash(7));
    let upstream = |more: &str| format!("[upstream.a]\nbase_url = \"http://a/v1\"\n{more}\n");
    for (text, line, advice) in [
        (
            "[gateway]\nlisten = \"0.0.0.0:4100\"\n".to_owned(),
            2,
            "airlock key new",
        ),
        (
            format!("[[key]]\nname = \"a\"\nhash = \"{airlocks}\"\n"),
            3,
            "a key itself",
        ),
        (
            "[[key]]\nname = \"a\"\nhash = \"abc\"\n".to_owned(),
            3,
            "sha256:",
        ),
        ("[[key]]\nname = \"a\"\n".to_owned(), 1, "`hash` is missing"),
        (named("A b"), 2, "a-z, 0-9 and -"),
        (named("anonymous"), 2, "anonymous"),
        (named("key-0123456789ab"), 2, "hexadecimal"),
        (
            format!("{}{}", key(1, ""), key(1, "").replace(&hash(1), &hash(2))),
            6,
            "another key `k1`",
        ),
        (
            format!("{}{}", key(1, ""), key(1, "").replace("k1", "k2")),
            7,
            "the key `k1`",
        ),
        (key(1, "tenant = \"A B\""), 4, "tenant's name"),
        (
            key(1, "request_per_minute = 1"),
            4,
            "did you mean `requests_per_minute`",
        ),
        (key(1, "max_queued = 5"), 4, "nothing to wait for"),
        (key(1, "max_concurrent = 1\nqueue_ms = 0"), 5, "1 to 60000"),
        (
            format!(
                "{}[tenant.amce]\nmax_concurrent = 1\n",
                key(1, "tenant = \"acme\"")
            ),
            5,
            "did you mean `acme`",
        ),
        (
            format!("{}{}", upstream(""), key(1, "")),
            1,
            "x-airlock-key",
        ),
        (upstream("max_queued = 5"), 3, "nothing to wait for"),
        (
            upstream("credential = \"none\"\nkey = \"env:K\""),
            4,
            "never used",
        ),
    ] {
        let problems = parse(&text, Path::new("/a")).expect_err(&text);
        let told = problems.to_string();
        assert!(told.contains(advice), "{told}\n{text}");
        assert_eq!(problems.problems[0].line, line, "{told}\n{text}");
        assert!(!told.contains(airlocks), "{told}");
    }
}
