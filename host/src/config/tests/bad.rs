//! Whole files with mistakes, in keys of upstreams and of clients among them.

use std::path::Path;

use super::written::{hash, key, problems};
use crate::config::parse::parse;

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
