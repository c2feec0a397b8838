//! Sessions whose policy is replaced under them, and generations that are rolled back.

use super::*;

#[test]
fn a_session_moves_with_its_memory() {
    let (dir, policies) = guarded();
    let mut seat = seat(&policies, "guard");
    for n in 1..=3 {
        assert_eq!(observe(&mut seat).unwrap(), n);
    }
    put(dir.path(), "guard.wasm", version("2.0.0"));
    eventually("2.0.0 serves", || serves(&policies) == "2.0.0");
    assert_eq!(
        observe(&mut seat).unwrap(),
        4,
        "until it moves, it goes on where it is"
    );
    assert_eq!(seat.move_to(serving(&policies, "guard")), Moved::Migrated);
    assert_eq!(seat.generation().number, 2);
    assert_eq!(observe(&mut seat).unwrap(), 5);
    // Into another process.
    seat.settle().unwrap();
    let saved = serde_json::to_string(seat.saved().unwrap()).unwrap();
    let mut elsewhere = Seat::new(serving(&policies, "guard"), facts("s1"), Services::none());
    elsewhere.restore_from(serde_json::from_str(&saved).unwrap());
    assert_eq!(observe(&mut elsewhere).unwrap(), 6);
}

#[test]
fn a_session_stays_where_its_memory_is_understood() {
    let (dir, policies) = guarded();
    let mut seat = seat(&policies, "guard");
    observe(&mut seat).unwrap();
    put(
        dir.path(),
        "guard.wasm",
        Guest {
            version: "2.0.0",
            restore: "unreachable",
            ..Guest::default()
        }
        .build(),
    );
    eventually("2.0.0 serves", || serves(&policies) == "2.0.0");
    let moved = seat.move_to(serving(&policies, "guard"));
    assert!(
        matches!(&moved, Moved::Pinned(why) if why.contains("trap")),
        "{moved:?}"
    );
    assert_eq!(seat.generation().number, 1);
    assert_eq!(observe(&mut seat).unwrap(), 2);
}

#[test]
fn a_pinned_session_stays() {
    let (dir, policies) = guarded();
    let mut seat = seat(&policies, "guard");
    observe(&mut seat).unwrap();
    put(dir.path(), "guard.toml", "on_reload = \"pin\"\n");
    eventually("the spec took", || {
        serving(&policies, "guard").on_reload == Move::Pin
    });
    assert!(matches!(
        seat.move_to(serving(&policies, "guard")),
        Moved::Pinned(_)
    ));
    assert_eq!(observe(&mut seat).unwrap(), 2);
}

#[test]
fn a_generation_that_misbehaves_in_probation_is_rolled_back() {
    let (dir, policies) = guarded();
    let mut events = policies.events();
    let mut old = seat(&policies, "guard");
    observe(&mut old).unwrap();
    // Passes its rehearsal and dies at the fifth call.
    let bad = Guest {
        version: "2.0.0",
        ..Guest::observing("(if (i32.eq (global.get $count) (i32.const 5)) (then unreachable))")
    };
    put(dir.path(), "guard.wasm", bad.build());
    eventually("2.0.0 serves", || serves(&policies) == "2.0.0");
    let mut seat = seat(&policies, "guard");
    assert_eq!(old.move_to(serving(&policies, "guard")), Moved::Migrated);
    for n in 1..=4 {
        assert_eq!(observe(&mut seat).unwrap(), n);
    }
    assert_eq!(observe(&mut seat).unwrap_err().kind, FaultKind::Trap);
    assert_eq!(serves(&policies), "1.0.0", "at once, not at the next look");
    assert!(last_error(&policies, "guard").contains("rolled back"));
    assert_eq!(seat.generation().state(), State::Retired);
    assert!(
        told(&mut events).iter().any(|e| matches!(e, PolicyEvent::RolledBack { from: 2, to: 1, reason, .. } if reason.contains("trap"))),
    );
    assert_eq!(seat.move_to(serving(&policies, "guard")), Moved::Migrated);
    assert_eq!(
        observe(&mut seat).unwrap(),
        5,
        "the killing call did not count, the others did"
    );
    assert_eq!(old.move_to(serving(&policies, "guard")), Moved::Migrated);
    assert_eq!(observe(&mut old).unwrap(), 2);
    // The same content stays refused; another one is tried.
    policies.rescan();
    put(dir.path(), "guard.wasm", bad.build());
    policies.rescan();
    assert_eq!(serves(&policies), "1.0.0");
    put(dir.path(), "guard.wasm", version("3.0.0"));
    eventually("3.0.0 serves", || serves(&policies) == "3.0.0");
    assert_eq!(serving(&policies, "guard").number, 3);
}

#[test]
fn the_operator_can_roll_back() {
    let (dir, policies) = guarded();
    assert!(
        policies
            .rollback("guard")
            .unwrap_err()
            .to_string()
            .contains("no predecessor")
    );
    put(dir.path(), "guard.wasm", version("2.0.0"));
    eventually("2.0.0 serves", || serves(&policies) == "2.0.0");
    assert_eq!(policies.rollback("guard").unwrap(), 1);
    policies.rescan();
    assert_eq!(serves(&policies), "1.0.0");
    assert!(policies.rollback("nobody").is_err());
}
