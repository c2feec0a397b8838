#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use airlock_golden::{Case, run};
use serde_json::{Value, json};

use super::{Native, Session, decide, observe};
use crate::prelude::*;

/// Counts texts, says how many there were in the next exchange too, and has a fault at the third.
struct Counting {
    texts: u32,
}

impl Policy for Counting {
    type Settings = Value;
    type State = u32;

    fn describe() -> Description {
        crate::description!().action("annotate")
    }

    fn configure(_: &Value) -> Result<Subscription, String> {
        Ok(Subscription::new()
            .wake_on(EventKind::Text)
            .finding("counting.*"))
    }

    fn start(_: Facts, _: Value, texts: u32) -> Result<Self, String> {
        Ok(Self { texts })
    }

    fn state(&self) -> &u32 {
        &self.texts
    }
}

impl Reasoner for Counting {
    fn observe(&mut self, batch: &Batch) -> Result<Assessment, String> {
        self.texts += batch.events().count() as u32;
        if self.texts > 2 {
            return Err("two are enough".into());
        }
        Ok(Finding::new("counting.text", Severity::Info, "").into())
    }
}

impl Actuator for Counting {
    fn decide(&mut self, situation: &Situation) -> Result<Decision, String> {
        let note = |found: &ReportedFinding| {
            Annotation::new("texts", format!("{} in {}", self.texts, found.exchange))
        };
        Ok(situation.own().fold(Decision::none(), |decision, found| {
            decision
                .order(note(found))
                .order_in(found.exchange + 1, note(found))
        }))
    }
}

fn judge(case: Value) -> Result<(), String> {
    let case: Case = serde_json::from_value(case).unwrap();
    let mut native = Native::<Counting> {
        policy: None,
        observe: Some(observe),
        decide: Some(decide),
    };
    run(&case, &mut native).map_err(|failure| failure.to_string())
}

#[test]
fn a_policy_that_is_both_has_one_memory() {
    let text = json!([{ "kind": "text", "text": "hi" }]);
    let note = |value| json!({ "annotate": { "name": "texts", "value": value } });
    let first = json!({ "exchange": 4, "events": text, "expect": {
        "findings": [{ "kind": "counting.text", "subject": "session" }],
        "actions": [note("1 in 4")],
        "elsewhere": [{ "session": "", "exchange": 5, "action": note("1 in 4") }],
    } });
    judge(json!({ "name": "one memory", "calls": [first] })).unwrap();

    let mut session = Session::<Counting>::start(&json!({})).unwrap();
    session.observe(&json!({ "events": text })).unwrap();
    let mut session = session.restart().unwrap();
    session.observe(&json!({ "events": text })).unwrap();
    assert_eq!(session.policy().texts, 2);
}

#[test]
fn a_fault_has_the_words_of_the_policy() {
    let texts = json!([{ "kind": "text" }, { "kind": "text" }, { "kind": "text" }]);
    let error = judge(json!({ "name": "too many", "calls": [{ "events": texts }] })).unwrap_err();
    assert_eq!(error, "golden case \"too many\", call 0: two are enough");
    let mut session = Session::<Counting>::start(&json!({})).unwrap();
    let error = session.observe(&json!({ "events": texts })).unwrap_err();
    assert_eq!(error, "two are enough");
}
