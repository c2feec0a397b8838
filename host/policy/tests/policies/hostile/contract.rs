//! Guests that break the contract.

use airlock_policy::contract::EventWords;
use serde_json::{Value, json};

use super::*;

#[test]
fn returns_an_unknown_action() {
    // `other` is a decision like any; that the host does not know the action is for the caller to record. A case that the
    // contract does not have is malformed.
    let guest = Guest {
        decide:
            "(i32.store (i32.const 20) (i32.const 40000)) (i32.store (i32.const 24) (i32.const 1))
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
        decision: Some(json!({ "actions": [{ "other": ["boom", "boom"] }] })),
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
        contract: vec![("@0.2.0", "@0.3.0")],
        ..Guest::default()
    };
    let earlier = Guest {
        contract: vec![("@0.2.0", "@0.1.0")],
        ..Guest::default()
    };
    // Says 0.2.0 and has another enum behind it.
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
        ("earlier", &earlier, trusting()),
        ("forged", &forged, trusting()),
        ("vague", &vague, trusting()),
        ("good", &Guest::default(), trusting()),
    ]);
    let error = |name| last_error(&policies, name);
    for (name, version) in [("other", "0.3.0"), ("earlier", "0.1.0")] {
        let error = error(name);
        assert!(
            error.starts_with("version") && error.contains(&format!("@{version}`")),
            "{error}"
        );
        assert!(
            error.contains("this host speaks 0.2.0: rebuild it"),
            "{error}"
        );
    }
    assert!(error("forged").starts_with("link"), "{}", error("forged"));
    assert!(
        error("vague").contains("semantic version"),
        "{}",
        error("vague")
    );
    assert_eq!(policies.current().entries.len(), 1);
}

/// As the contract promises: within 0.2 there are only additions, and what a guest does not use it does not need.
#[test]
fn speaks_a_later_patch_of_the_contract() {
    let later = Guest {
        contract: vec![("@0.2.0", "@0.2.1")],
        observe: "(call $log (i32.const 2) (i32.const 0) (i32.const 0))",
        extra: r#"(import "airlock:policy/logging@VERSION" "log" (func $log (param i32 i32 i32)))"#,
        ..Guest::default()
    };
    let policies = with_policies(&[("later", &later, trusting())]);
    assert_eq!(observe(&mut seat(&policies, "later")).unwrap(), 1);
}

#[test]
fn leaks_handles() {
    let fault = fault_of(&Guest::observing(
        "(loop $l (drop (call $new (i32.const 1))) (br $l))",
    ));
    assert_eq!(fault.kind, FaultKind::Flood, "{fault}");
    assert!(fault.message.contains("limits.handles"), "{fault}");
}

/// A finding that is sound but for what is changed in it.
fn finding(change: Value) -> Value {
    let mut finding = json!({
        "kind": "guard.seen", "severity": "low", "confidence": 1, "subject": "response", "summary": "", "data": "",
    });
    for (name, value) in change.as_object().unwrap() {
        finding[name] = value.clone();
    }
    finding
}

/// A guest whose first answer is usual and whose second has this finding.
fn finding_later(change: Value) -> Guest {
    Guest {
        assessments: vec![json!({ "findings": [finding(change)] })],
        ..Guest::observing("(if (i32.eq (global.get $count) (i32.const 2)) (then (return {a0})))")
    }
}

/// What its second call comes to. The batches are of one text, and each begins with the first byte of it.
fn second_call(change: Value) -> Result<types::Assessment, airlock_policy::Fault> {
    let guest = finding_later(change);
    let policies = with_policies(&[("guest", &guest, trusting())]);
    let mut seat = seat(&policies, "guest");
    seat.observe(&batch(1)).unwrap();
    seat.observe(&batch(2))
}

#[test]
fn answers_with_nonsense() {
    for (change, says) in [
        (json!({ "confidence": 2 }), "confidence 2"),
        (json!({ "kind": "" }), "kind has 0 bytes"),
        (json!({ "data": "{" }), "not JSON"),
    ] {
        let fault = second_call(change).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Malformed, "{fault}");
        assert!(fault.message.contains(says), "{fault}");
    }
}

#[test]
fn points_at_text_that_was_not_told() {
    let evidence = |channel: &str, item: u32, offset: u32, length: u32| {
        let place = json!({ "channel": channel, "choice": 0, "item": item, "part": 0 });
        second_call(json!({ "evidence": [{ "place": place, "offset": offset, "length": length }] }))
    };
    // 40 bytes were told of the answer.
    for (offset, length) in [(0, 40), (39, 1), (40, 0)] {
        let found = evidence("output", 0, offset, length).unwrap();
        assert_eq!(found.findings[0].evidence[0].length, length);
    }
    for (offset, length) in [(0, 41), (40, 1), (1 << 30, 1)] {
        let fault = evidence("output", 0, offset, length).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Malformed, "{fault}");
        assert!(
            fault.message.contains("ends beyond what was told"),
            "{fault}"
        );
    }
    // A text of which this batch says nothing may have been told before.
    evidence("message", 3, 100, 10).unwrap();
    evidence("output", 1, 100, 10).unwrap();
    let fault = evidence("message", 3, u32::MAX, 1).unwrap_err();
    assert_eq!(
        fault.kind,
        FaultKind::Malformed,
        "no text has so many bytes: {fault}"
    );
}

#[test]
fn points_at_the_rest_of_a_long_text() {
    // The event holds the beginning of it; `content.read` gives the rest.
    let told = |offset: u32| {
        let place = json!({ "channel": "tool-result", "choice": 0, "item": 2, "part": 0 });
        let guest = finding_later(
            json!({ "evidence": [{ "place": place, "offset": offset, "length": 10 }] }),
        );
        let policies = with_policies(&[("guest", &guest, trusting())]);
        let mut seat = seat(&policies, "guest");
        seat.observe(&batch(1)).unwrap();
        seat.observe(&long_result())
    };
    told(5_000).unwrap();
    told(9_990).unwrap();
    let fault = told(9_991).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Malformed, "{fault}");
}

/// A tool result of 10,000 bytes, of which the event has 4,096.
fn long_result() -> Arc<types::Batch> {
    let mut events = Vec::new();
    EventWords {
        kind: types::EventKind::ToolResult,
        detail: 1,
        text_end: 4096,
        after: 0,
        place: types::Place {
            channel: types::Channel::ToolResult,
            item: 2,
            ..ANSWER
        },
        offset: 0,
        tokens: 0,
    }
    .write(&mut events);
    let result = types::ToolResult {
        call: "call_1".into(),
        name: "search".into(),
        duration: 1,
        failed: false,
        message: 1,
        content: types::ContentRef {
            content: 1,
            length: 10_000,
        },
        extra: vec![],
    };
    Arc::new(types::Batch {
        checkpoint: types::Checkpoint::ToolResult,
        text: "x".repeat(4096),
        events,
        attached: Some(types::Attachments {
            details: vec![types::Detail::ToolResult(result)],
            matches: vec![],
        }),
        ..(*batch(1)).clone()
    })
}

#[test]
fn points_at_what_an_earlier_batch_told_of_the_same_text() {
    let place = json!({ "channel": "output", "choice": 0, "item": 0, "part": 0 });
    let guest =
        finding_later(json!({ "evidence": [{ "place": place, "offset": 5, "length": 10 }] }));
    let policies = with_policies(&[("guest", &guest, trusting())]);
    let mut seat = seat(&policies, "guest");
    seat.observe(&batch(1)).unwrap();
    // The next 20 bytes of it.
    let mut next = (*batch(1)).clone();
    next.events[8] = 20;
    let found = seat.observe(&Arc::new(next)).unwrap();
    assert_eq!(found.findings[0].evidence[0].offset, 5);
}

#[test]
fn saves_more_than_it_may() {
    let guest = Guest {
        save: "(i32.store offset=8 {saved} (i32.add (i32.const 4) (i32.mul (global.get $count) (i32.const 2000))))",
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
