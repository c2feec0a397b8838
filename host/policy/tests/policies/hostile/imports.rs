//! Guests that want what they were not granted, or what is not there.

use super::*;

/// Reads content and asks a question. Anything but a refusal for want of a grant kills it; the refusal's words are the
/// summary of its finding.
fn wanting(observe: &'static str) -> Guest {
    Guest {
        extra: r#"
  (import "airlock:policy/content@VERSION" "read" (func $read (param i64 i64 i32 i32)))
  (import "airlock:policy/asking@VERSION" "ask" (func $ask (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (data (i32.const 30000) "judge")
  (func $is-refused (param $result i32) (param $refusal i32) (param $finding i32)
    (if (i32.ne (i32.load8_u (local.get $result)) (i32.const 1)) (then unreachable))
    (if (i32.load8_u (local.get $refusal)) (then unreachable))
    (i64.store offset=48 align=4 (local.get $finding) (i64.load offset=4 align=4 (local.get $refusal))))"#,
        asks: vec!["judge"],
        ..Guest::observing(observe)
    }
}

fn reading() -> Guest {
    wanting(
        "(call $read (i64.const 1) (i64.const 0) (i32.const 9) (i32.const 16))
         (call $is-refused (i32.const 16) (i32.const 20) (i32.load offset=4 {assessment}))",
    )
}

fn asking() -> Guest {
    wanting(
        "(call $ask (i32.const 30000) (i32.const 5) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)
           (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 10) (i32.const 16))
         (call $is-refused (i32.const 16) (i32.const 24) (i32.load offset=4 {assessment}))",
    )
}

#[test]
fn what_was_not_granted_is_refused_when_it_is_called_and_names_the_grant() {
    let policies = with_policies(&[
        ("reads", &reading(), granting_nothing()),
        ("asks", &asking(), granting_nothing()),
    ]);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("reads.wasm"),
        reading().named("reads").build(),
    )
    .unwrap();
    std::fs::write(dir.path().join("asks.wasm"), asking().named("asks").build()).unwrap();
    let entries = ["reads", "asks"].map(|name| (name.to_owned(), granting_nothing()));
    let files = watching(dir.path(), entries.into());
    for policies in [policies, files] {
        for (name, words) in [
            ("reads", "set `grants.content = true` for `reads`"),
            (
                "asks",
                "`judge` is not granted: add it to `grants.asks` of `asks`",
            ),
        ] {
            let mut seat = seat(&policies, name);
            for _ in 0..2 {
                let answer = seat.observe(&batch(1)).unwrap();
                let said = &answer.findings[0].summary;
                assert!(said.contains(words), "{said}");
            }
            assert_eq!(seat.last_tickets(), [0; 0]);
        }
        assert_eq!(
            serving(&policies, "asks").ungranted,
            ["annotate", "ask judge"]
        );
    }
}

#[test]
fn what_was_granted_is_not_refused_for_want_of_it() {
    let policies = with_policies(&[
        ("reads", &reading(), trusting()),
        ("asks", &asking(), trusting()),
    ]);
    for name in ["reads", "asks"] {
        let fault = seat(&policies, name).observe(&batch(1)).unwrap_err();
        assert_eq!(
            fault.kind,
            FaultKind::Trap,
            "it found another refusal: {fault}"
        );
    }
}

/// Golden cases say what a policy does when it has what it asks for: what the operator grants is another matter.
#[test]
fn golden_cases_have_their_content_and_tickets_whatever_is_granted() {
    let case = r#"[{"name":"it reads and asks","content":{"1":"nine bytes"},"calls":[{"checkpoint":"stream",
        "events":[{"kind":"text","channel":"output","text":"x"}],
        "expect":{"findings":[{"kind":"guest.seen"}]}}]}]"#;
    // Dies unless it is given nine bytes, and the first ticket.
    let needs = Guest {
        golden: Some(case.into()),
        ..wanting(
            "(call $read (i64.const 1) (i64.const 0) (i32.const 9) (i32.const 16))
             (if (i32.load8_u (i32.const 16)) (then unreachable))
             (if (i32.ne (i32.load (i32.const 24)) (i32.const 9)) (then unreachable))
             (call $ask (i32.const 30000) (i32.const 5) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)
               (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 10) (i32.const 16))
             (if (i32.load8_u (i32.const 16)) (then unreachable))
             (if (i64.ne (i64.load (i32.const 24)) (i64.const 1)) (then unreachable))",
        )
    };
    let policies = with_policies(&[("needs", &needs, granting_nothing())]);
    assert_eq!(
        serving(&policies, "needs").ungranted,
        ["annotate", "ask judge"]
    );
    // It is granted nothing where it serves.
    let fault = seat(&policies, "needs").observe(&batch(1)).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Trap, "{fault}");
}

/// Why a component that imports this interface does not serve.
fn refusal_of(import: &str) -> String {
    let component = wat::parse_str(format!(
        r#"(component
            (import "{import}" (instance))
            (instance $i)
            (export "airlock:policy/about@0.2.0" (instance $i)))"#
    ))
    .unwrap();
    let policies = Policies::start(PolicySettings {
        builtins: vec![("guard".into(), Cow::Owned(component))],
        specs: [("guard".to_owned(), trusting())].into(),
        ..settings()
    })
    .unwrap();
    assert!(policies.current().entries.is_empty());
    last_error(&policies, "guard")
}

#[test]
fn imports_the_world() {
    let why = refusal_of("wasi:cli/environment@0.2.0");
    assert!(why.starts_with("link: "), "{why}");
    assert!(
        why.contains("`wasi:cli/environment@0.2.0`") && why.contains("wasi = true"),
        "{why}"
    );
}

#[test]
fn imports_an_interface_that_the_contract_does_not_have() {
    let why = refusal_of("airlock:policy/clock@0.2.0");
    assert!(why.starts_with("link: "), "{why}");
    for words in [
        "`airlock:policy/clock@0.2.0`",
        "this host's contract 0.2.0 does not have",
        "build it against",
    ] {
        assert!(why.contains(words), "{why}");
    }
}

#[test]
fn imports_another_package() {
    let why = refusal_of("acme:tools/clock@1.0.0");
    assert!(why.starts_with("link: "), "{why}");
    assert!(
        why.contains("`acme:tools/clock@1.0.0`") && why.contains("only `airlock:policy`"),
        "{why}"
    );
}
