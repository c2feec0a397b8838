//! Guests that fail again and again, take all room, or are called from many threads at once.

use super::*;

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
        airlock_policy::for_replay("guard", guest.build(), trusting(), &limits).unwrap();
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

#[derive(Default)]
struct Desk(Mutex<Vec<String>>);

impl Asker for Desk {
    fn ask(&self, ask: Ask<'_>) -> Result<u64, types::Refusal> {
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
        observe: r"(call $ask (i32.const 30000) (i32.const 5) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)
                     (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 10) (i32.const 16))
                   (if (i32.eq (local.get 9) (i32.const 20)) (then unreachable))",
        extra: r#"(import "airlock:policy/asking@VERSION" "ask" (func $ask (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
                  (data (i32.const 30000) "judge")"#,
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
