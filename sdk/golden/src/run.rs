//! Runs a case against a policy, native or Wasm, and says what differs.
//!
//! Per call: the reasoner observes the batch; its findings, and those that the case brings, reach the actuator if it
//! subscribed to their kinds. Guarantees nothing about release marks or slots: those are the host's.

use std::{collections::BTreeMap, fmt};

use serde_json::{Value, json};

use crate::case::{Call, Case, Counters, Expect};

/// A policy that can be asked, in the JSON form of [`crate::wit_json`]. Errors are traps and the policy's own words.
pub trait Subject {
    /// The policy's name: its findings are reported under it.
    fn name(&self) -> String;
    /// Judges settings; returns `subscription.findings`.
    fn configure(&mut self, settings: &str) -> Result<Vec<String>, String>;
    /// Begins the session, of reasoner and actuator in one: a record `facts`, the settings, and what `content.read` finds.
    fn open(
        &mut self,
        facts: &Value,
        settings: &str,
        content: &BTreeMap<u64, String>,
    ) -> Result<(), String>;
    /// Calls the reasoner with a `batch`; returns its `assessment`, or nothing if the policy has no reasoner.
    fn observe(&mut self, batch: &Value) -> Result<Option<Value>, String>;
    /// Calls the actuator with a `situation`; returns its `decision`, or nothing if the policy has no actuator.
    fn decide(&mut self, situation: &Value) -> Result<Option<Value>, String>;
}

/// Why a case does not hold.
#[derive(Debug)]
pub struct Failure {
    /// Name of the case.
    pub case: String,
    /// Index of the call, from 0; nothing if the settings or the beginning failed.
    pub call: Option<usize>,
    /// What differs.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "golden case \"{}\"", self.case)?;
        if let Some(call) = self.call {
            write!(f, ", call {call}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl std::error::Error for Failure {}

/// Runs one case.
///
/// # Errors
/// The first thing that differs from what the case expects.
pub fn run(case: &Case, subject: &mut dyn Subject) -> Result<(), Failure> {
    let failure = |call, reason| Failure {
        case: case.name.clone(),
        call,
        reason,
    };
    let settings = case.settings.to_string();
    let kinds = match (subject.configure(&settings), &case.error) {
        (Ok(kinds), None) => kinds,
        (Err(error), Some(expected)) if error.contains(expected.as_str()) => return Ok(()),
        (Err(error), Some(expected)) => {
            return Err(failure(
                None,
                format!(
                    "settings were refused with \"{error}\", which does not say \"{expected}\""
                ),
            ));
        }
        (Err(error), None) => return Err(failure(None, format!("settings were refused: {error}"))),
        (Ok(_), Some(expected)) => {
            return Err(failure(
                None,
                format!("settings were accepted, although \"{expected}\" was expected"),
            ));
        }
    };
    subject
        .open(&case.facts, &settings, &case.content)
        .map_err(|error| failure(None, format!("the session could not be begun: {error}")))?;
    let session = case.facts.get("session").and_then(Value::as_str);
    let session = session.unwrap_or_default();
    let mut counters = Counters::default();
    for (index, call) in case.calls.iter().enumerate() {
        call.counted(&mut counters)
            .and_then(|batch| answer(subject, &kinds, session, batch, call))
            .and_then(|got| compare(&call.expect, &got))
            .map_err(|reason| failure(Some(index), reason))?;
    }
    Ok(())
}

fn answer(
    subject: &mut dyn Subject,
    kinds: &[String],
    session: &str,
    batch: Value,
    call: &Call,
) -> Result<Expect, String> {
    let mut got = Expect::default();
    if let Some(assessment) = subject.observe(&batch)? {
        got.findings = list(&assessment, "findings");
        got.marks = list(&assessment, "marks");
        got.pending = list(&assessment, "pending");
    }
    let here = |mut reported: Value| {
        if let Some(record) = reported.as_object_mut() {
            record.entry("session").or_insert_with(|| session.into());
            let exchange = record.entry("exchange");
            exchange.or_insert_with(|| call.exchange.into());
        }
        reported
    };
    let name = subject.name();
    let own = got
        .findings
        .iter()
        .map(|finding| json!({ "policy": name, "is-own": true, "finding": finding }));
    let wanted: Vec<Value> = call
        .found
        .iter()
        .cloned()
        .chain(own)
        .map(here)
        .filter(|reported| subscribed(kinds, reported))
        .collect();
    if !wanted.is_empty()
        && let Some(decision) = subject.decide(&json!({ "findings": wanted, "batch": batch }))?
    {
        got.actions = list(&decision, "actions");
        got.elsewhere = list(&decision, "elsewhere");
        got.pending.extend(list(&decision, "pending"));
    }
    Ok(got)
}

fn list(record: &Value, field: &str) -> Vec<Value> {
    record
        .get(field)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

/// Whether one of the subscribed kinds, perhaps with a trailing `*`, is that of the finding.
fn subscribed(kinds: &[String], reported: &Value) -> bool {
    let Some(kind) = reported.pointer("/finding/kind").and_then(Value::as_str) else {
        return false;
    };
    kinds.iter().any(|wanted| match wanted.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix),
        None => kind == wanted,
    })
}

fn compare(expected: &Expect, got: &Expect) -> Result<(), String> {
    for (what, expected, got) in [
        ("findings", &expected.findings, &got.findings),
        ("marks", &expected.marks, &got.marks),
        ("actions", &expected.actions, &got.actions),
        ("elsewhere", &expected.elsewhere, &got.elsewhere),
        ("pending", &expected.pending, &got.pending),
    ] {
        if expected.len() != got.len()
            || !expected
                .iter()
                .zip(got)
                .all(|(expected, got)| agrees(expected, got))
        {
            let (expected, got) = (json!(expected), json!(got));
            return Err(format!(
                "{what} differ\n  expected {expected}\n  got      {got}"
            ));
        }
    }
    Ok(())
}

/// Whether `got` has at least what `expected` says. Numbers agree within 10^-6, because confidences are 32-bit floats.
fn agrees(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => expected
            .iter()
            .all(|(key, expected)| got.get(key).is_some_and(|got| agrees(expected, got))),
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len()
                && expected
                    .iter()
                    .zip(got)
                    .all(|(expected, got)| agrees(expected, got))
        }
        (Value::Number(expected), Value::Number(got)) => match (expected.as_f64(), got.as_f64()) {
            (Some(expected), Some(got)) => (expected - got).abs() <= 1e-6 * expected.abs().max(1.0),
            _ => expected == got,
        },
        _ => expected == got,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    /// Finds one thing in each text, and orders one annotation for each finding.
    struct Echo;

    impl Subject for Echo {
        fn name(&self) -> String {
            "echo".into()
        }

        fn configure(&mut self, settings: &str) -> Result<Vec<String>, String> {
            if settings == "{}" {
                Ok(vec!["echo.*".into()])
            } else {
                Err("no settings, please".into())
            }
        }

        fn open(&mut self, _: &Value, _: &str, _: &BTreeMap<u64, String>) -> Result<(), String> {
            Ok(())
        }

        fn observe(&mut self, batch: &Value) -> Result<Option<Value>, String> {
            let text = batch["text"].as_str().unwrap();
            Ok(Some(
                json!({ "findings": [{ "kind": "echo.text", "summary": text, "confidence": 0.9 }] }),
            ))
        }

        fn decide(&mut self, situation: &Value) -> Result<Option<Value>, String> {
            let actions: Vec<_> = situation["findings"]
                .as_array()
                .unwrap()
                .iter()
                .map(|found| {
                    let from = format!("{}/{}", found["session"].as_str().unwrap(), found["exchange"]);
                    json!({ "annotate": { "name": found["policy"], "value": found["finding"]["kind"], "from": from } })
                })
                .collect();
            Ok(Some(json!({ "actions": actions })))
        }
    }

    fn judge(case: Value) -> Result<(), String> {
        let case: Case = serde_json::from_value(case).map_err(|error| error.to_string())?;
        run(&case, &mut Echo).map_err(|failure| failure.to_string())
    }

    #[test]
    fn findings_flow_to_the_actuator_that_subscribed() {
        judge(json!({ "name": "flow", "calls": [{
            "events": [{ "kind": "text", "text": "hi" }],
            "found": [
                { "policy": "other", "finding": { "kind": "echo.too" } },
                { "policy": "other", "finding": { "kind": "unwanted" } },
            ],
            "expect": {
                "findings": [{ "summary": "hi", "confidence": 0.9 }],
                "actions": [
                    { "annotate": { "name": "other", "value": "echo.too" } },
                    { "annotate": { "name": "echo" } },
                ],
            },
        }] }))
        .unwrap();
    }

    #[test]
    fn findings_are_of_this_session_and_exchange_if_they_do_not_say_otherwise() {
        let found = json!({ "policy": "other", "finding": { "kind": "echo.too" } });
        let mut elsewhere = found.clone();
        elsewhere["session"] = "t".into();
        elsewhere["exchange"] = 3.into();
        let calls = |own: &str| {
            let from = |from: &str| json!({ "annotate": { "from": from } });
            json!([{
                "exchange": 2,
                "found": [found, elsewhere],
                "expect": { "findings": [{}], "actions": [from(own), from("t/3"), from(own)] },
            }])
        };
        judge(json!({ "name": "here", "facts": { "session": "s" }, "calls": calls("s/2") }))
            .unwrap();
        judge(json!({ "name": "no session", "calls": calls("/2") })).unwrap();
    }

    #[test]
    fn what_is_not_expected_is_a_failure() {
        let error =
            judge(json!({ "name": "silent", "calls": [{ "events": [{ "kind": "text" }] }] }))
                .unwrap_err();
        assert!(
            error.contains("golden case \"silent\", call 0: findings differ"),
            "{error}"
        );
    }

    #[test]
    fn refused_settings_can_be_what_is_expected() {
        judge(json!({ "name": "bad", "settings": { "a": 1 }, "error": "no settings" })).unwrap();
        judge(json!({ "name": "bad", "settings": { "a": 1 }, "error": "other words" }))
            .unwrap_err();
        judge(json!({ "name": "bad", "settings": {}, "error": "no settings" })).unwrap_err();
    }

    #[test]
    fn a_misspelt_expectation_is_an_error() {
        let case = json!({ "name": "x", "calls": [{ "expect": { "actoins": [] } }] });
        assert!(judge(case).unwrap_err().contains("actoins"));
    }
}
