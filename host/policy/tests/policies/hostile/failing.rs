//! Guests that say themselves that they fail.

use super::*;

const WORDS: &str = "the list `words` is empty: name one";

/// Which of its functions fail.
type Change = fn(&mut Guest);

fn failing(change: Change, words: &str) -> Guest {
    let mut guest = Guest {
        error: words.to_owned(),
        ..Guest::default()
    };
    change(&mut guest);
    guest
}

/// What is said of a guest that never serves.
fn refusal_of(change: Change, words: &str) -> String {
    let policies = with_policies(&[("bad", &failing(change, words), trusting())]);
    assert!(policies.current().get("bad").is_none());
    last_error(&policies, "bad")
}

/// Where a guest that is being loaded can fail, and how a refusal there begins.
const AT_LOAD: [(Change, &str); 4] = [
    (|g| g.describe = "(return {error})", "describe: failed: "),
    (|g| g.configure = "(return {error})", "settings: "),
    (
        |g| g.start = "(return {error})",
        "rehearse: session: the policy refused to open the session: ",
    ),
    (
        |g| g.save = "(return {error})",
        "rehearse: it refused to save a new session: ",
    ),
];

#[test]
fn says_why_it_does_not_load() {
    for (change, begins) in AT_LOAD {
        assert_eq!(refusal_of(change, WORDS), format!("{begins}{WORDS}"));
    }
}

#[test]
fn says_nothing_of_why_it_does_not_load() {
    for (change, begins) in AT_LOAD {
        assert_eq!(
            refusal_of(change, ""),
            format!("{begins}it does not say why")
        );
    }
}

#[test]
fn says_too_much_of_why_it_does_not_load() {
    for (change, begins) in AT_LOAD {
        let why = refusal_of(change, &"ä".repeat(10_000));
        assert_eq!(why, format!("{begins}{}", "ä".repeat(1024)));
    }
}

/// The fault of a call of both halves.
fn faults(words: &str) -> [airlock_policy::Fault; 2] {
    let observing = failing(|g| g.observe = "(return {error})", words);
    let deciding = failing(|g| g.decide = "(return {error})", words);
    let policies = with_policies(&[("decides", &deciding, trusting())]);
    let fault = seat(&policies, "decides").decide(&situation()).unwrap_err();
    let shown = last_error(&policies, "decides");
    assert_eq!(shown, fault.to_string(), "the operator is shown the same");
    [fault_of(&observing), fault]
}

#[test]
fn says_why_it_fails() {
    for fault in faults(WORDS) {
        assert_eq!((fault.kind, &*fault.message), (FaultKind::Failed, WORDS));
    }
}

#[test]
fn says_nothing_of_why_it_fails() {
    for fault in faults("") {
        assert_eq!(
            (fault.kind, &*fault.message),
            (FaultKind::Failed, "it does not say why")
        );
    }
}

#[test]
fn says_too_much_of_why_it_fails() {
    for fault in faults(&"ä".repeat(10_000)) {
        assert_eq!(fault.kind, FaultKind::Failed);
        assert_eq!(fault.message, "ä".repeat(1024));
    }
}

#[test]
fn a_failure_costs_no_memory_of_the_session() {
    // Fails once, at the call whose batch has two events, after it has changed its count.
    let guest = failing(
        |g| g.observe = "(if (i32.eq (local.get 9) (i32.const 20)) (then (return {error})))",
        WORDS,
    );
    let policies = with_policies(&[("bad", &guest, trusting())]);
    let mut seat = seat(&policies, "bad");
    assert_eq!(observe(&mut seat).unwrap(), 1);
    seat.settle().unwrap();
    assert_eq!(observe(&mut seat).unwrap(), 2);
    let fault = seat.observe(&batch(2)).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Failed);
    assert!(!seat.is_awake());
    assert_eq!(
        policies.instances().0,
        0,
        "what it changed before it gave up is not known"
    );
    assert_eq!(
        observe(&mut seat).unwrap(),
        3,
        "one saved, one told again, this one; not the one that failed"
    );
    let counts = serving(&policies, "bad").counts();
    assert_eq!((counts.calls, counts.faults, counts.traps), (4, 1, 0));
}

#[test]
fn fails_until_nobody_asks_it_any_more() {
    let guest = failing(|g| g.observe = "(return {error})", WORDS);
    let policies = with_policies(&[("bad", &guest, trusting())]);
    let mut seat = seat(&policies, "bad");
    for _ in 0..3 {
        assert_eq!(observe(&mut seat).unwrap_err().kind, FaultKind::Failed);
    }
    let fault = observe(&mut seat).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Quarantined, "{fault}");
    assert!(fault.message.contains(WORDS), "it says why: {fault}");
}

#[test]
fn refuses_what_it_saved_itself() {
    let guest = failing(|g| g.restore = "(return {error})", WORDS);
    let policies = with_policies(&[("bad", &guest, trusting())]);
    let mut seat = seat(&policies, "bad");
    assert_eq!(observe(&mut seat).unwrap(), 1);
    seat.hibernate().unwrap();
    let fault = observe(&mut seat).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Session, "{fault}");
    assert!(fault.message.ends_with(WORDS), "{fault}");
    assert_eq!(observe(&mut seat).unwrap(), 1, "it goes on from nothing");
}

#[test]
fn refuses_to_save_what_it_knows() {
    let guest = failing(
        |g| g.save = "(if (i32.eq (global.get $count) (i32.const 2)) (then (return {error})))",
        WORDS,
    );
    let policies = with_policies(&[("bad", &guest, trusting())]);
    let mut seat = seat(&policies, "bad");
    assert_eq!(observe(&mut seat).unwrap(), 1);
    seat.settle().unwrap();
    assert_eq!(observe(&mut seat).unwrap(), 2);
    let fault = seat.settle().unwrap_err();
    assert_eq!(fault.kind, FaultKind::Session, "{fault}");
    assert!(fault.message.ends_with(WORDS), "{fault}");
    assert_eq!(
        observe(&mut seat).unwrap(),
        2,
        "it goes on from what was saved before"
    );
}
