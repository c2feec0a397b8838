//! Policies made for one purpose.

use airlock_policy::{Mode, OnFailure, PolicySpec};
use serde_json::{Value, json};

use crate::guests::Guest;

/// A policy with its entry.
pub struct Policy {
    pub name: &'static str,
    pub guest: Guest,
    pub spec: PolicySpec,
}

impl Policy {
    /// An enforcing policy under this name, which is granted what it asks for.
    pub fn new(name: &'static str, guest: Guest) -> Self {
        Self {
            name,
            guest,
            spec: PolicySpec::default(),
        }
    }

    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.spec.on_failure = Some(on_failure);
        self
    }

    pub fn observing(mut self) -> Self {
        self.spec.mode = Mode::Observe;
        self
    }

    pub fn granted(mut self, actions: &[&str]) -> Self {
        self.spec.grants = Some(airlock_policy::Grants {
            actions: actions.iter().map(|a| (*a).to_owned()).collect(),
            ..airlock_policy::Grants::directory()
        });
        self
    }
}

/// A subscription with these conditions; everything else as the host has it.
pub fn wakes(wakes: Value) -> Value {
    json!({"wakes": wakes})
}

fn finding(kind: &str) -> Value {
    json!({"kind": kind, "severity": "high", "confidence": 1.0, "subject": "session", "summary": "found by a test", "data": ""})
}

/// A policy that finds something whenever it is called, and orders these actions.
pub fn ordering(mut subscription: Value, actions: &[Value]) -> Guest {
    subscription["findings"] = json!(["test.*"]);
    Guest {
        actions: actions.iter().map(name_of).collect(),
        subscription: Some(subscription),
        assessments: vec![json!({"findings": [finding("test.found")]})],
        observe: "(return {a0})",
        decision: Some(json!({"actions": actions})),
        ..Guest::default()
    }
}

/// A policy that finds something when one of its patterns matches, and orders these actions.
pub fn matching(pattern: &str, actions: &[Value]) -> Guest {
    let subscription = json!({"patterns": [{"channels": [], "syntax": "literal", "text": pattern, "ignore-case": false}]});
    Guest {
        observe: "(if (local.get 14) (then (return {a0})))",
        ..ordering(subscription, actions)
    }
}

fn name_of(action: &Value) -> &'static str {
    let name = action.as_object().unwrap().keys().next().unwrap();
    airlock_policy::spec::ACTIONS
        .into_iter()
        .find(|a| a == name)
        .unwrap()
}

pub fn block(mode: &str) -> Value {
    json!({"block": {"mode": mode, "reason": "not here", "fallback": "let us talk of something else"}})
}

/// Reports every text event that it is told as a finding `guest.told` with the text as its summary, and with `mark` a
/// release mark at the end of each.
pub fn listener(release: &[&str], mark: bool) -> Guest {
    let release: Vec<Value> = release
        .iter()
        .map(|channel| json!({"channel": channel, "mode": "hold-until-judged", "max-hold-ms": 0}))
        .collect();
    Guest {
        pages: 8,
        subscription: Some(
            json!({"wakes": [{"every-tokens": 1}], "release": release, "sees": ["text"]}),
        ),
        observe: if mark {
            "(return (call $echo (local.get 5) (local.get 8) (local.get 9) (i32.const 1)))"
        } else {
            "(return (call $echo (local.get 5) (local.get 8) (local.get 9) (i32.const 0)))"
        },
        // Findings (72 bytes each) from 262144, their spans (24) from 327680, marks (20) from 393216.
        extra: r#"(data (i32.const 48) "guest.told")
  (func $echo (param $text i32) (param $events i32) (param $n i32) (param $mark i32) (result i32)
    (local $e i32) (local $out i32) (local $start i32) (local $end i32) (local $f i32) (local $s i32) (local $m i32) (local $last i32)
    (local.set $e (local.get $events))
    (local.set $last (i32.add (local.get $events) (i32.mul (local.get $n) (i32.const 4))))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $e) (local.get $last)))
      (local.set $end (i32.load offset=8 (local.get $e)))
      (if (i32.eq (i32.load (local.get $e)) (i32.const 6)) (then
        (local.set $f (i32.add (i32.const 262144) (i32.mul (local.get $out) (i32.const 72))))
        (local.set $s (i32.add (i32.const 327680) (i32.mul (local.get $out) (i32.const 24))))
        (local.set $m (i32.add (i32.const 393216) (i32.mul (local.get $out) (i32.const 20))))
        (i32.store (local.get $f) (i32.const 48))
        (i32.store offset=4 (local.get $f) (i32.const 10))
        (i32.store8 offset=8 (local.get $f) (i32.const 0))
        (f32.store offset=12 (local.get $f) (f32.const 1))
        (i32.store8 offset=16 (local.get $f) (i32.const 0))
        (i32.store offset=48 (local.get $f) (i32.add (local.get $text) (local.get $start)))
        (i32.store offset=52 (local.get $f) (i32.sub (local.get $end) (local.get $start)))
        (i32.store offset=56 (local.get $f) (local.get $s))
        (i32.store offset=60 (local.get $f) (i32.const 1))
        (i32.store offset=64 (local.get $f) (i32.const 0))
        (i32.store offset=68 (local.get $f) (i32.const 0))
        (call $place (local.get $s) (local.get $e))
        (i32.store offset=16 (local.get $s) (i32.load offset=32 (local.get $e)))
        (i32.store offset=20 (local.get $s) (i32.sub (local.get $end) (local.get $start)))
        (call $place (local.get $m) (local.get $e))
        (i32.store offset=16 (local.get $m) (i32.add (i32.load offset=32 (local.get $e)) (i32.sub (local.get $end) (local.get $start))))
        (local.set $out (i32.add (local.get $out) (i32.const 1)))))
      (local.set $start (local.get $end))
      (local.set $e (i32.add (local.get $e) (i32.const 40)))
      (br $next)))
    (i32.store (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (i32.const 262144))
    (i32.store (i32.const 24) (local.get $out))
    (i32.store (i32.const 28) (i32.const 393216))
    (i32.store (i32.const 32) (select (local.get $out) (i32.const 0) (local.get $mark)))
    (i32.store (i32.const 36) (i32.const 0))
    (i32.store (i32.const 40) (i32.const 0))
    (i32.const 16))
  (func $place (param $to i32) (param $event i32)
    (i32.store8 (local.get $to) (i32.load offset=16 (local.get $event)))
    (i32.store offset=4 (local.get $to) (i32.load offset=20 (local.get $event)))
    (i32.store offset=8 (local.get $to) (i32.load offset=24 (local.get $event)))
    (i32.store offset=12 (local.get $to) (i32.load offset=28 (local.get $event))))"#,
        ..Guest::default()
    }
}
