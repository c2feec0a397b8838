//! Guests named for their misbehaviour. Each test shows that the host lives, that the fault is called by its name, and
//! that the neighbour policy and the neighbour session are untouched.

mod contract;
mod endurance;
mod failing;
mod imports;

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use airlock_policy::contract::types;
use airlock_policy::{
    Ask, Asker, ContentSource, FaultKind, Limits, OnFailure, Policies, PolicyEvent, PolicySettings,
    Seat, Services, State,
};

use crate::guests::Guest;
use crate::support::*;

/// Runs one call of a misbehaving guest between two calls of its neighbours.
fn fault_of(guest: &Guest) -> airlock_policy::Fault {
    fault_under(guest, settings().limits)
}

fn fault_under(guest: &Guest, limits: Limits) -> airlock_policy::Fault {
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
fn loops_for_ever_while_it_starts() {
    // Judged at load: it never serves.
    let guest = Guest {
        start: "(loop $l (br $l))",
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
        extra: r#"(import "airlock:policy/logging@VERSION" "log" (func $log (param i32 i32 i32)))"#,
        ..Guest::default()
    };
    let fault = fault_of(&guest);
    assert_eq!(fault.kind, FaultKind::Flood, "{fault}");
    assert!(fault.message.contains("hostcall_kib"), "{fault}");
}

#[test]
fn returns_a_huge_list() {
    // Findings of 72 zero bytes: 21 MB for the host to copy.
    let guest = Guest {
        pages: 400,
        observe:
            "(i32.store (i32.const 20) (i32.const 65536)) (i32.store (i32.const 24) (i32.const 300000))
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
        // Two findings of zero bytes. An answer is a result: its first word says that it is one.
        "(i32.store (i32.const 20) (i32.const 65536)) (i32.store (i32.const 24) (i32.const 2))
         (return (i32.const 16))",
    );
    let fault = fault_under(&guest, limits);
    assert_eq!(fault.kind, FaultKind::Malformed, "{fault}");
    assert!(fault.message.contains("limits.findings"), "{fault}");
}

#[test]
fn returns_a_list_that_is_not_there() {
    let guest = Guest::observing(
        "(i32.store (i32.const 20) (i32.const -64)) (i32.store (i32.const 24) (i32.const 3)) (return (i32.const 16))",
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
    // Dies once, at the call whose batch has two events, of ten words each.
    let guest = Guest::observing("(if (i32.eq (local.get 9) (i32.const 20)) (then unreachable))");
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
        observe: r"(call $log (i32.const 4) (i32.const 30000) (i32.const 17)) unreachable",
        extra: r#"(import "airlock:policy/logging@VERSION" "log" (func $log (param i32 i32 i32)))
                  (data (i32.const 30000) "index out of rang")"#,
        ..Guest::default()
    };
    let fault = fault_of(&guest);
    assert_eq!(fault.kind, FaultKind::Trap);
    assert!(fault.message.contains("index out of rang"), "{fault}");
}
