//! The two halves of a policy that concludes and orders are one session.

use airlock_policy::contract::types;
use airlock_policy::{Seat, Services};
use serde_json::json;

use crate::guests::Guest;
use crate::support::*;

/// Notes how often both halves were called, and logs what is done with its session.
fn noting() -> Guest {
    Guest {
        start: "(call $log (i32.const 2) (i32.const 30000) (i32.const 5))",
        restore: "(call $log (i32.const 2) (i32.const 30005) (i32.const 7))",
        save: "(call $log (i32.const 2) (i32.const 30012) (i32.const 4))",
        extra: r#"(import "airlock:policy/logging@VERSION" "log" (func $log (param i32 i32 i32)))
                  (data (i32.const 30000) "startrestoresave")"#,
        // The length of the first action's value.
        decide: "(i32.store offset=20 (i32.load offset=4 {decision}) (global.get $count))",
        decision: Some(
            json!({ "actions": [{ "annotate": { "name": "calls", "value": "xxxxxxxxxx" } }] }),
        ),
        ..Guest::default()
    }
}

/// How many calls its decision tells of.
fn noted(seat: &mut Seat) -> usize {
    match &seat.decide(&situation()).unwrap().actions[..] {
        [types::Action::Annotate(note)] => note.value.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_one_half_sees_the_other_half_knows() {
    let policies = with_policies(&[("noting", &noting(), trusting())]);
    let mut first = seat(&policies, "noting");
    let ((), log) = logged(|| {
        assert_eq!(observe(&mut first).unwrap(), 1);
        assert_eq!(observe(&mut first).unwrap(), 2);
        assert_eq!(noted(&mut first), 3);
        assert_eq!(observe(&mut first).unwrap(), 4);
    });
    assert_eq!(log, ["INFO start"], "begun once for both");
    assert_eq!(policies.instances().0, 1);
    let ((), log) = logged(|| first.settle().unwrap());
    assert_eq!(log, ["INFO save"], "saved once for both");
    let saved = first.saved().unwrap().clone();
    assert_eq!(saved.memory, 4_u32.to_le_bytes());

    let mut second = Seat::new(serving(&policies, "noting"), facts("s1"), Services::none());
    second.restore_from(saved);
    let ((), log) = logged(|| {
        assert_eq!(noted(&mut second), 5);
        assert_eq!(observe(&mut second).unwrap(), 6);
    });
    assert_eq!(log, ["INFO restore"], "restored once for both");
}

#[test]
fn a_policy_of_one_half_is_not_asked_for_the_other() {
    let of = |world| Guest { world, ..noting() };
    let policies = with_policies(&[
        ("reasoner", &of("reasoner"), trusting()),
        ("actuator", &of("actuator"), trusting()),
    ]);
    let (reasoner, actuator) = (
        serving(&policies, "reasoner"),
        serving(&policies, "actuator"),
    );
    assert!(reasoner.reasons && !reasoner.acts);
    assert!(!actuator.reasons && actuator.acts);
    assert_eq!(observe(&mut seat(&policies, "reasoner")).unwrap(), 1);
    assert_eq!(noted(&mut seat(&policies, "actuator")), 1);
}

#[test]
fn a_policy_that_imports_nothing_is_one_too() {
    let pure = Guest {
        world: "pure-policy",
        ..Guest::default()
    };
    let policies = with_policies(&[("pure", &pure, granting_nothing())]);
    assert_eq!(observe(&mut seat(&policies, "pure")).unwrap(), 1);
}
