//! Guests named for their misbehaviour. Each test shows that the host lives, that the fault is called by its name, and
//! that the neighbour policy and the neighbour session are untouched.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use airlock::contract::types;
use airlock::policy::{
    Ask, Asker, ContentSource, FaultKind, Grants, Limits, OnFailure, Policies, PolicyEvent,
    PolicySettings, PolicySpec, Seat, Services, State,
};

use crate::guests::Guest;
use crate::support::*;

/// Runs one call of a misbehaving guest between two calls of its neighbours.
fn fault_of(guest: &Guest) -> airlock::policy::Fault {
    fault_under(guest, settings().limits)
}

fn fault_under(guest: &Guest, limits: Limits) -> airlock::policy::Fault {
    let policies = with_limits(
        &[
            ("bad", guest, trusting()),
            ("good", &Guest::default(), trusting()),
        ],
        limits,
    );
    let mut neighbour = seat(&policies, "good");
    let mut other_session = Seat::new(serving(&policies, "bad"), facts("s2"), Services::none());
    assert_eq!(observe(&mut neighbour).unwrap(), 1);
    let fault = seat(&policies, "bad")
        .observe(&batch(1))
        .expect_err("the guest must fail");
    assert_eq!(
        observe(&mut neighbour).unwrap(),
        2,
        "the neighbour policy goes on with its state"
    );
    // The other session of the same policy is its own instance: it fails for itself, not because of the first one.
    let own = other_session
        .observe(&batch(1))
        .expect_err("the guest must fail here too");
    assert_eq!(own.kind, fault.kind);
    drop(other_session);
    assert_eq!(
        policies.instances().0,
        1,
        "only the neighbour's instance is left"
    );
    fault
}

#[test]
fn loops_for_ever() {
    let fault = fault_of(&Guest::observing("(loop $l (br $l))"));
    assert_eq!(fault.kind, FaultKind::Timeout, "{fault}");
    assert!(
        fault.message.contains("cpu_ms") || fault.message.contains("wall_ms"),
        "{fault}"
    );
}

#[test]
fn loops_for_ever_while_it_opens() {
    // Judged at load: it never serves.
    let guest = Guest {
        open: "(loop $l (br $l))",
        ..Guest::default()
    };
    let policies = with_policies(&[
        ("bad", &guest, trusting()),
        ("good", &Guest::default(), trusting()),
    ]);
    assert!(policies.current().get("bad").is_none());
    assert!(
        last_error(&policies, "bad").contains("timeout"),
        "{}",
        last_error(&policies, "bad")
    );
    assert_eq!(observe(&mut seat(&policies, "good")).unwrap(), 1);
}

#[test]
fn grows_memory() {
    let fault = fault_of(&Guest::observing(
        "(loop $l (br_if $l (i32.ne (i32.const -1) (memory.grow (i32.const 16))))) unreachable",
    ));
    assert_eq!(fault.kind, FaultKind::Memory, "{fault}");
}

#[test]
fn grows_memory_and_lives_with_the_refusal() {
    let guest = Guest::observing(
        "(loop $l (br_if $l (i32.ne (i32.const -1) (memory.grow (i32.const 16)))))",
    );
    let policies = with_policies(&[("greedy", &guest, trusting())]);
    assert_eq!(
        observe(&mut seat(&policies, "greedy")).unwrap(),
        1,
        "a refused growth is no fault by itself"
    );
}

#[test]
fn wants_more_memory_than_it_may_from_the_start() {
    let guest = Guest {
        pages: 1024,
        ..Guest::default()
    };
    let policies = with_policies(&[("huge", &guest, trusting())]);
    assert!(policies.current().get("huge").is_none());
    let mut spec = trusting();
    spec.limits.memory_mib = Some(96);
    let policies = with_policies(&[("huge", &guest, spec)]);
    assert_eq!(
        observe(&mut seat(&policies, "huge")).unwrap(),
        1,
        "too big for the pool, but granted"
    );
}

#[test]
fn recurses() {
    let guest = Guest {
        observe: "(drop (call $down (i32.const 0)))",
        extra: "(func $down (param i32) (result i32) (i32.add (i32.const 1) (call $down (local.get 0))))",
        ..Guest::default()
    };
    let fault = fault_of(&guest);
    assert_eq!(fault.kind, FaultKind::Trap, "{fault}");
    assert!(fault.message.contains("stack_kib"), "{fault}");
}

#[test]
fn floods_the_host_with_strings() {
    let guest = Guest {
        pages: 64,
        observe: "(call $log (i32.const 2) (i32.const 0) (i32.const 4000000))",
        extra: r#"(import "airlock:policy/logging@0.1.0" "log" (func $log (param i32 i32 i32)))"#,
        ..Guest::default()
    };
    let fault = fault_of(&guest);
    assert_eq!(fault.kind, FaultKind::Flood, "{fault}");
    assert!(fault.message.contains("hostcall_kib"), "{fault}");
}

#[test]
fn returns_a_huge_list() {
    // Half a million findings at one address: 20 MB for the host to copy.
    let guest = Guest {
        pages: 400,
        observe:
            "(i32.store (i32.const 16) (i32.const 64)) (i32.store (i32.const 20) (i32.const 500000))
                  (return (i32.const 16))",
        ..Guest::default()
    };
    let fault = fault_of(&guest);
    assert_eq!(fault.kind, FaultKind::Flood, "{fault}");
}

#[test]
fn returns_more_findings_than_it_may() {
    let limits = Limits {
        findings: 1,
        ..settings().limits
    };
    let guest = Guest::observing(
        // The usual finding twice: the list's length is the second word of the answer, which lies at the end.
        "(i32.store (i32.const 16) (i32.const 65536)) (i32.store (i32.const 20) (i32.const 2))
         (return (i32.const 16))",
    );
    let fault = fault_under(&guest, limits);
    assert_eq!(fault.kind, FaultKind::Malformed, "{fault}");
    assert!(fault.message.contains("limits.findings"), "{fault}");
}

#[test]
fn returns_a_list_that_is_not_there() {
    let guest = Guest::observing(
        "(i32.store (i32.const 16) (i32.const -64)) (i32.store (i32.const 20) (i32.const 3)) (return (i32.const 16))",
    );
    assert_eq!(fault_of(&guest).kind, FaultKind::Malformed);
}

#[test]
fn traps_at_first_call() {
    let fault = fault_of(&Guest::observing("unreachable"));
    assert_eq!(fault.kind, FaultKind::Trap, "{fault}");
}

#[test]
fn traps_at_third_call() {
    let guest =
        Guest::observing("(if (i32.eq (global.get $count) (i32.const 3)) (then unreachable))");
    let policies = with_policies(&[("bad", &guest, trusting())]);
    let mut seat = seat(&policies, "bad");
    assert_eq!(observe(&mut seat).unwrap(), 1);
    assert_eq!(observe(&mut seat).unwrap(), 2);
    assert_eq!(observe(&mut seat).unwrap_err().kind, FaultKind::Trap);
    // Restored and told again what it was told, without the call that killed it: so the next call is its third again.
    assert_eq!(observe(&mut seat).unwrap_err().kind, FaultKind::Trap);
    let counts = serving(&policies, "bad").counts();
    assert_eq!((counts.calls, counts.faults, counts.traps), (4, 2, 2));
}

#[test]
fn a_crash_costs_no_memory_of_the_session() {
    // Dies once, at the call whose batch has two events.
    let guest = Guest::observing("(if (i32.eq (local.get 9) (i32.const 2)) (then unreachable))");
    let policies = with_policies(&[("bad", &guest, trusting())]);
    let mut seat = seat(&policies, "bad");
    for n in 1..=3 {
        assert_eq!(observe(&mut seat).unwrap(), n);
    }
    seat.settle().unwrap();
    assert_eq!(observe(&mut seat).unwrap(), 4);
    assert_eq!(seat.observe(&batch(2)).unwrap_err().kind, FaultKind::Trap);
    assert_eq!(
        observe(&mut seat).unwrap(),
        5,
        "three saved, one told again, this one; not the one that killed it"
    );
    seat.hibernate().unwrap();
    assert!(!seat.is_awake());
    assert_eq!(policies.instances().0, 0);
    assert_eq!(observe(&mut seat).unwrap(), 6);
}

#[test]
fn panics_with_last_words() {
    // What a panic hook does: say why, then trap.
    let guest = Guest {
        observe: r"(call $log (i32.const 4) (i32.const 1024) (i32.const 17)) unreachable",
        extra: r#"(import "airlock:policy/logging@0.1.0" "log" (func $log (param i32 i32 i32)))
                  (data (i32.const 1024) "index out of rang")"#,
        ..Guest::default()
    };
    let fault = fault_of(&guest);
    assert_eq!(fault.kind, FaultKind::Trap);
    assert!(fault.message.contains("index out of rang"), "{fault}");
}

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

#[test]
fn fails_again_and_again() {
    let guest = Guest::observing("unreachable");
    let policies = with_policies(&[("bad", &guest, trusting())]);
    let mut events = policies.events();
    let mut seat = seat(&policies, "bad");
    for _ in 0..3 {
        assert_eq!(observe(&mut seat).unwrap_err().kind, FaultKind::Trap);
    }
    let fault = observe(&mut seat).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Quarantined, "{fault}");
    assert!(fault.message.contains("trap"), "it says why: {fault}");
    let generation = serving(&policies, "bad");
    assert_eq!(generation.state(), State::Quarantined);
    assert_eq!(
        generation.on_failure,
        OnFailure::Closed,
        "it may block: so the caller blocks meanwhile"
    );
    assert!(matches!(
        &told(&mut events)[..],
        [PolicyEvent::Quarantined {
            on_failure: OnFailure::Closed,
            ..
        }]
    ));
    assert!(policies.ready().is_ok());
    // After the backoff one call is let through; it fails, and the next backoff is longer.
    eventually("a trial call is let through", || {
        observe(&mut seat).unwrap_err().kind == FaultKind::Trap
    });
    assert_eq!(observe(&mut seat).unwrap_err().kind, FaultKind::Quarantined);
}

#[test]
fn uses_up_all_room() {
    let limits = Limits {
        instances: 2,
        ..settings().limits
    };
    let policies = with_limits(&[("good", &Guest::default(), trusting())], limits);
    let mut seats: Vec<Seat> = (0..3).map(|_| seat(&policies, "good")).collect();
    assert_eq!(observe(&mut seats[0]).unwrap(), 1);
    assert_eq!(observe(&mut seats[1]).unwrap(), 1);
    let fault = observe(&mut seats[2]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Pool, "{fault}");
    assert!(fault.message.contains("limits.instances"));
    assert_eq!(
        serving(&policies, "good").state(),
        State::Active,
        "not the policy's fault"
    );
    seats[0].hibernate().unwrap();
    assert_eq!(observe(&mut seats[2]).unwrap(), 1);
    assert_eq!(observe(&mut seats[0]).unwrap_err().kind, FaultKind::Pool);
    seats[1].hibernate().unwrap();
    assert_eq!(
        observe(&mut seats[0]).unwrap(),
        2,
        "hibernated with its memory"
    );
}

#[test]
fn loops_for_ever_in_a_replay() {
    let guest = Guest::observing(
        "(if (i32.eq (global.get $count) (i32.const 2)) (then (loop $l (br $l))))",
    );
    let limits = settings().limits;
    let generation =
        airlock::policy::for_replay("bad", guest.build(), trusting(), &limits).unwrap();
    let mut seat = Seat::new(generation, facts("s1"), Services::none());
    assert_eq!(observe(&mut seat).unwrap(), 1);
    let first = observe(&mut seat).unwrap_err();
    assert_eq!(first.kind, FaultKind::Timeout, "{first}");
    assert!(
        first.message.contains("fuel"),
        "bounded by work, not by time: {first}"
    );
    assert_eq!(observe(&mut seat).unwrap_err(), first, "each time the same");
}

/// The runtime's WASI blocks on an async runtime, which panics on that runtime's own threads: such a policy's calls must
/// work from there all the same.
#[tokio::test]
async fn uses_a_wasi_with_nothing_behind_it() {
    let mut spec = trusting();
    if let Some(grants) = &mut spec.grants {
        grants.wasi = true;
    }
    let policies = with_policies(&[
        ("wasi", &Guest::default(), spec.clone()),
        ("bad", &Guest::observing("(loop $l (br $l))"), spec),
    ]);
    let mut seat = seat(&policies, "wasi");
    assert_eq!(observe(&mut seat).unwrap(), 1);
    assert_eq!(observe(&mut seat).unwrap(), 2);
    let fault = observe(&mut crate::support::seat(&policies, "bad")).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Timeout, "{fault}");
}

#[derive(Default)]
struct Desk(Mutex<Vec<String>>);

impl Asker for Desk {
    fn ask(&self, ask: Ask<'_>) -> Result<u64, String> {
        let mut asked = self.0.lock().unwrap();
        asked.push(format!("{}:{}", ask.policy, ask.target));
        Ok(asked.len() as u64)
    }
}

impl ContentSource for Desk {
    fn read(&self, _: u64, _: u64, _: u32) -> Option<Vec<u8>> {
        None
    }
}

#[test]
fn a_restored_session_asks_nobody_twice() {
    // Asks at each call; dies at the batch with two events.
    let guest = Guest {
        observe: r"(call $ask (i32.const 1024) (i32.const 5) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)
                     (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 10) (i32.const 16))
                   (if (i32.eq (local.get 9) (i32.const 2)) (then unreachable))",
        extra: r#"(import "airlock:policy/asking@0.1.0" "ask" (func $ask (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
                  (data (i32.const 1024) "judge")"#,
        asks: vec!["judge"],
        ..Guest::default()
    };
    let policies = with_policies(&[("curious", &guest, trusting())]);
    let desk = Arc::new(Desk::default());
    let services = Services {
        content: desk.clone(),
        asks: desk.clone(),
    };
    let mut seat = Seat::new(serving(&policies, "curious"), facts("s1"), services);
    observe(&mut seat).unwrap();
    observe(&mut seat).unwrap();
    assert_eq!(seat.last_tickets(), [2]);
    seat.observe(&batch(2)).unwrap_err();
    assert_eq!(seat.last_tickets(), [0; 0]);
    assert_eq!(desk.0.lock().unwrap().len(), 3);
    assert_eq!(observe(&mut seat).unwrap(), 3);
    assert_eq!(
        desk.0.lock().unwrap().len(),
        4,
        "told again, it asked nobody; only the new call asked"
    );
}

#[test]
fn many_threads_call_while_one_policy_burns() {
    let burning = Guest::observing("(loop $l (br $l))");
    let policies = with_policies(&[
        ("burning", &burning, trusting()),
        ("good", &Guest::default(), trusting()),
    ]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut seat = seat(&policies, "burning");
            for _ in 0..3 {
                assert_eq!(observe(&mut seat).unwrap_err().kind, FaultKind::Timeout);
            }
        });
        for _ in 0..4 {
            scope.spawn(|| {
                let mut seat = seat(&policies, "good");
                for n in 1..=150 {
                    assert_eq!(observe(&mut seat).unwrap(), n);
                }
            });
        }
    });
}
