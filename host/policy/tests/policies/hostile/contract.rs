//! Guests that break the contract, or want what they were not granted.

use super::*;

#[test]
fn imports_what_was_not_granted() {
    let reads = Guest {
        extra: r#"(import "airlock:policy/content@0.1.0" "read" (func $read (param i64 i64 i32 i32)))"#,
        ..Guest::default()
    };
    let asks = Guest {
        extra: r#"(import "airlock:policy/asking@0.1.0" "ask" (func $ask (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#,
        ..Guest::default()
    };
    let nothing = PolicySpec {
        grants: Some(Grants::default()),
        ..PolicySpec::default()
    };
    // A built-in policy has `asking` linked, and each question without a grant refused; a file has not even that.
    let policies = with_policies(&[
        ("reads", &reads, nothing.clone()),
        ("asks", &asks, nothing.clone()),
    ]);
    assert!(policies.current().get("reads").is_none() && policies.current().get("asks").is_some());
    let reads = last_error(&policies, "reads");
    assert!(
        reads.contains("link") && reads.contains("content = true"),
        "{reads}"
    );
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("asks.wasm"), asks.build()).unwrap();
    let policies = watching(dir.path(), [("asks".to_owned(), nothing)].into());
    assert!(policies.current().entries.is_empty());
    let asks = last_error(&policies, "asks");
    assert!(asks.contains("link") && asks.contains("asks"), "{asks}");
}

#[test]
fn imports_the_world() {
    let component = wat::parse_str(
        r#"(component
            (import "wasi:cli/environment@0.2.0" (instance))
            (instance $i)
            (export "airlock:policy/about@0.1.0" (instance $i)))"#,
    )
    .unwrap();
    let policies = Policies::start(PolicySettings {
        builtins: vec![("wasi".into(), Cow::Owned(component))],
        specs: [("wasi".to_owned(), trusting())].into(),
        ..settings()
    })
    .unwrap();
    assert!(
        last_error(&policies, "wasi").contains("wasi = true"),
        "{}",
        last_error(&policies, "wasi")
    );
}

#[test]
fn returns_an_unknown_action() {
    // `other` is a decision like any; that the host does not know the action is for the caller to record. A case that the
    // contract does not have is malformed.
    let guest = Guest {
        decide:
            "(i32.store (i32.const 16) (i32.const 40000)) (i32.store (i32.const 20) (i32.const 1))
                 (i32.store (i32.const 40000) (i32.const 99)) (return (i32.const 16))",
        ..Guest::default()
    };
    let policies = with_policies(&[("bad", &guest, trusting())]);
    let mut seat = seat(&policies, "bad");
    assert_eq!(
        seat.decide(&situation()).unwrap_err().kind,
        FaultKind::Malformed
    );

    let guest = Guest {
        decide: "(i32.store (i32.const 16) (i32.const 40000)) (i32.store (i32.const 20) (i32.const 1))
                 (i32.store (i32.const 40000) (i32.const 24))
                 (i32.store (i32.const 40008) (i32.const 1024)) (i32.store (i32.const 40012) (i32.const 4))
                 (i32.store (i32.const 40016) (i32.const 1024)) (i32.store (i32.const 40020) (i32.const 4))
                 (return (i32.const 16))",
        extra: r#"(data (i32.const 1024) "boom")"#,
        ..Guest::default()
    };
    let policies = with_policies(&[("bad", &guest, trusting())]);
    let decision = crate::support::seat(&policies, "bad")
        .decide(&situation())
        .unwrap();
    assert_eq!(
        decision.actions,
        [types::Action::Other(("boom".into(), "boom".into()))]
    );
    assert!(!serving(&policies, "bad").may("boom"));
}

#[test]
fn declares_an_unknown_action() {
    let guest = Guest {
        actions: vec!["annotate", "self-destruct"],
        ..Guest::default()
    };
    let policies = with_policies(&[("bad", &guest, trusting())]);
    assert!(last_error(&policies, "bad").contains("self-destruct"));
}

#[test]
fn lies_about_its_version() {
    let other = Guest {
        contract: vec![("@0.1.0", "@0.2.0")],
        ..Guest::default()
    };
    // Says 0.1.0 and has another enum behind it.
    let forged = Guest {
        contract: vec![("enum severity {", "enum severity { whisper,")],
        ..Guest::default()
    };
    let vague = Guest {
        version: "latest",
        ..Guest::default()
    };
    let policies = with_policies(&[
        ("other", &other, trusting()),
        ("forged", &forged, trusting()),
        ("vague", &vague, trusting()),
        ("good", &Guest::default(), trusting()),
    ]);
    let error = |name| last_error(&policies, name);
    assert!(
        error("other").starts_with("version") && error("other").contains("0.2.0"),
        "{}",
        error("other")
    );
    assert!(error("forged").starts_with("link"), "{}", error("forged"));
    assert!(
        error("vague").contains("semantic version"),
        "{}",
        error("vague")
    );
    assert_eq!(policies.current().entries.len(), 1);
}

#[test]
fn leaks_handles() {
    let fault = fault_of(&Guest::observing(
        "(loop $l (drop (call $new-reasoning (i32.const 1))) (br $l))",
    ));
    assert_eq!(fault.kind, FaultKind::Flood, "{fault}");
    assert!(fault.message.contains("limits.handles"), "{fault}");
}

#[test]
fn answers_with_nonsense() {
    // Confidence 2.0 in the usual finding: its fourth word.
    let guest = Guest::observing(
        "(memory.copy (i32.const 40000) (i32.load (i32.const 24)) (i32.const 0))
         (i32.store (i32.const 16) (i32.const 40000)) (i32.store (i32.const 20) (i32.const 1))
         (i32.store (i32.const 40000) (i32.const 64)) (i32.store (i32.const 40004) (i32.const 1))
         (i32.store (i32.const 40012) (i32.const 0x40000000)) (return (i32.const 16))",
    );
    let fault = fault_of(&guest);
    assert_eq!(fault.kind, FaultKind::Malformed);
    assert!(fault.message.contains("confidence 2"), "{fault}");
    // Evidence beyond the batch.
    let guest = Guest::observing(
        "(i32.store (i32.const 16) (i32.const 40000)) (i32.store (i32.const 20) (i32.const 1))
         (i32.store (i32.const 40000) (i32.const 64)) (i32.store (i32.const 40004) (i32.const 1))
         (i32.store (i32.const 40024) (i32.const 40100)) (i32.store (i32.const 40028) (i32.const 1))
         (i32.store (i32.const 40100) (i32.const 5)) (return (i32.const 16))",
    );
    let fault = fault_of(&guest);
    assert_eq!(fault.kind, FaultKind::Malformed);
    assert!(fault.message.contains("evidence"), "{fault}");
}

#[test]
fn saves_more_than_it_may() {
    let guest = Guest {
        save: "(i32.store offset=8 (i32.const {saved}) (i32.add (i32.const 4) (i32.mul (global.get $count) (i32.const 2000))))",
        ..Guest::default()
    };
    let limits = Limits {
        state_kib: 1,
        ..settings().limits
    };
    let policies = with_limits(&[("hoarder", &guest, trusting())], limits);
    let mut seat = seat(&policies, "hoarder");
    observe(&mut seat).unwrap();
    let fault = seat.settle().unwrap_err();
    assert_eq!(fault.kind, FaultKind::Malformed);
    assert!(fault.message.contains("state_kib"), "{fault}");
    assert_eq!(observe(&mut seat).unwrap(), 1, "it goes on from nothing");
}

#[test]
fn saves_more_than_it_may_from_the_start() {
    let limits = Limits {
        state_kib: 0,
        ..settings().limits
    };
    let policies = with_limits(&[("hoarder", &Guest::default(), trusting())], limits);
    assert!(policies.current().get("hoarder").is_none());
    let why = last_error(&policies, "hoarder");
    assert!(
        why.contains("rehearse") && why.contains("limits.state_kib"),
        "{why}"
    );
}
