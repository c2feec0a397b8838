//! What the client gets when a policy fails: for each misbehaviour, each checkpoint, closed and open, streamed and not.
//! Whatever happens, the neighbour policy and the neighbour session do not notice, and the timeline tells the truth.

use serde_json::{Value, json};

use crate::guests::Guest;
use crate::support::*;
use airlock_core::event::{Body, Outcome, Status};
use airlock_policy::OnFailure;

/// Guests misbehave when what they are told has an exclamation mark in it.
const BANG: &str = r#"
  (func $bang (param $at i32) (param $len i32) (result i32)
    (block $no (loop $next
      (br_if $no (i32.eqz (local.get $len)))
      (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 33)) (then (return (i32.const 1))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (local.set $len (i32.sub (local.get $len) (i32.const 1)))
      (br $next)))
    (i32.const 0))"#;

struct Misbehaviour {
    name: &'static str,
    does: &'static str,
    extra: &'static str,
    pages: u32,
    fault: &'static str,
}

const LOG: &str =
    r#"(import "airlock:policy/logging@VERSION" "log" (func $log (param i32 i32 i32)))"#;

const MISBEHAVIOURS: [Misbehaviour; 9] = [
    Misbehaviour {
        name: "loops for ever",
        does: "(loop $l (br $l))",
        extra: "",
        pages: 2,
        fault: "timeout",
    },
    Misbehaviour {
        name: "grows memory",
        does: "(loop $l (br_if $l (i32.ne (i32.const -1) (memory.grow (i32.const 16))))) unreachable",
        extra: "",
        pages: 2,
        fault: "memory",
    },
    Misbehaviour {
        name: "recurses",
        does: "(drop (call $down (i32.const 0)))",
        extra: "(func $down (param i32) (result i32) (i32.add (i32.const 1) (call $down (local.get 0))))",
        pages: 2,
        fault: "trap",
    },
    Misbehaviour {
        name: "floods the host with strings",
        does: "(call $log (i32.const 2) (i32.const 0) (i32.const 4000000))",
        extra: LOG,
        pages: 64,
        fault: "flood",
    },
    Misbehaviour {
        name: "returns a huge list",
        does: "(i32.store (i32.const 20) (i32.const 64)) (i32.store (i32.const 24) (i32.const 300000)) (return (i32.const 16))",
        extra: "",
        pages: 400,
        fault: "flood",
    },
    Misbehaviour {
        name: "traps at first call",
        does: "unreachable",
        extra: "",
        pages: 2,
        fault: "trap",
    },
    Misbehaviour {
        name: "traps at third call",
        does: "(if (i32.ge_u (global.get $count) (i32.const 3)) (then unreachable))",
        extra: "",
        pages: 2,
        fault: "trap",
    },
    Misbehaviour {
        name: "panics",
        does: "(call $log (i32.const 4) (i32.const 0) (i32.const 17)) unreachable",
        extra: LOG,
        pages: 2,
        fault: "trap",
    },
    Misbehaviour {
        name: "answers with a list that is not there",
        does: "(i32.store (i32.const 20) (i32.const -64)) (i32.store (i32.const 24) (i32.const 3)) (return (i32.const 16))",
        extra: "",
        pages: 2,
        fault: "malformed",
    },
];

struct At {
    name: &'static str,
    subscription: fn() -> Value,
    /// A request; its argument is what the guest will look at.
    request: fn(&str) -> Value,
}

const CHECKPOINTS: [At; 5] = [
    At {
        name: "request",
        subscription: || json!({"wakes": [{"event": "message"}]}),
        request: |mark| chat(&json!({"text": format!("said {mark}")})),
    },
    At {
        name: "stream",
        subscription: || json!({"wakes": [{"every-tokens": 1}]}),
        request: |mark| chat(&json!({"chunks": ["one", " two", " three", mark, " five"]})),
    },
    At {
        name: "tool-call",
        subscription: || json!({"wakes": [{"event": "tool-call"}]}),
        request: |mark| {
            chat(
                &json!({"text": "I ask.", "tool_calls": [{"name": "f", "chunks": ["{\"q\":\"", mark, "\"}"]}]}),
            )
        },
    },
    At {
        name: "tool-result",
        subscription: || json!({"wakes": [{"event": "tool-result"}]}),
        request: |mark| {
            json!({"model": "sim-echo", "messages": [
                {"role": "user", "content": "look it up"},
                {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c1", "content": format!("it is {mark}")}]})
        },
    },
    At {
        name: "response",
        subscription: || json!({"wakes": [{"event": "response-end"}], "sees": ["text", "response-end"]}),
        request: |mark| chat(&json!({"chunks": ["one", " two", mark]})),
    },
];

fn guest(bad: &Misbehaviour, at: &At) -> Guest {
    let body = format!(
        "(if (call $bang (local.get 5) (local.get 6)) (then {}))",
        bad.does
    );
    Guest {
        pages: bad.pages,
        subscription: Some((at.subscription)()),
        observe: body.leak(),
        extra: format!(
            "{}{BANG}",
            if bad.extra.is_empty() {
                String::new()
            } else {
                format!("{}\n", bad.extra)
            }
        )
        .leak(),
        ..Guest::default()
    }
}

async fn misbehaves(bad: &Misbehaviour, at: &At, on_failure: OnFailure, stream: bool) {
    let context = format!(
        "{} at {}, {on_failure:?}, streamed: {stream}",
        bad.name, at.name
    );
    let world = world(vec![
        Policy::new("bad", guest(bad, at)).on_failure(on_failure),
        Policy::new("good", listener(&[], false)),
    ])
    .await;
    let request = |mark: &str| {
        let request = (at.request)(mark);
        if stream { streamed(request) } else { request }
    };
    for mark in ["fine", "fine too"] {
        let reply = world.call("s", &request(mark)).await;
        assert_eq!(
            reply.bytes,
            world.sent(),
            "{context}: good calls pass: {}",
            reply.text()
        );
    }
    let before = world.timeline("s").len();
    let reply = world.call("s", &request("bang!")).await;
    if on_failure == OnFailure::Open {
        assert_eq!(
            reply.bytes,
            world.sent(),
            "{context}: unharmed, byte for byte"
        );
    } else if at.name == "tool-call" {
        // The call is denied, and the model told so.
        let calls = reply
            .said()
            .0
            .keys()
            .any(|place| place.contains("tool_calls"));
        assert!(!calls, "{context}: {}", reply.text());
        assert_eq!(reply.finishes(), ["stop"], "{context}");
        let told = world.received().pop().unwrap().to_string();
        assert!(told.contains("could not be judged"), "{context}: {told}");
    } else if at.name == "tool-result" {
        // The result is withheld, and the model told so.
        assert_eq!(reply.status, 200, "{context}: {}", reply.text());
        let received = world.received().pop().unwrap().to_string();
        assert!(!received.contains("bang!"), "{context}: {received}");
        assert!(received.contains("withheld"), "{context}: {received}");
    } else {
        assert_eq!(
            reply.error_code(),
            "content_filter",
            "{context}: {}",
            reply.text()
        );
        assert!(
            !reply.is_done() && !reply.cut,
            "{context}: {}",
            reply.text()
        );
        // Who asks for the end only, judges the end only: the text had left before.
        let judges_text = !(stream && at.name == "response");
        assert!(
            !judges_text || !reply.said_lossy().contains('!'),
            "{context}: it left: {}",
            reply.text()
        );
        assert!(
            reply.finishes_lossy().is_empty(),
            "{context}: {}",
            reply.text()
        );
        let begins = stream && at.name != "request";
        assert_eq!(reply.status, if begins { 200 } else { 400 }, "{context}");
        if begins && at.name == "stream" {
            assert_eq!(reply.said().at("0/content"), "one two three", "{context}");
        }
        if at.name == "request" {
            assert!(
                !world
                    .received()
                    .iter()
                    .any(|r| r.to_string().contains("bang!")),
                "{context}: it went upstream"
            );
        }
    }
    let timeline = &world.timeline("s")[before..];
    let faults: Vec<(&str, &str, &str)> = timeline
        .iter()
        .filter_map(|e| match &e.body {
            Body::PolicyFault {
                policy,
                fault,
                on_failure,
                ..
            } => Some((policy.as_str(), fault.as_str(), on_failure.as_str())),
            _ => None,
        })
        .collect();
    let stated = if on_failure == OnFailure::Open {
        "open"
    } else {
        "closed"
    };
    assert_eq!(
        faults.first(),
        Some(&("bad", bad.fault, stated)),
        "{context}: {faults:?}"
    );
    assert!(
        faults.iter().all(|(policy, ..)| *policy == "bad"),
        "{context}: {faults:?}"
    );
    let applied: Vec<_> = timeline
        .iter()
        .filter_map(|e| match &e.body {
            Body::Intervention {
                action,
                policy,
                outcome: Outcome::Applied,
                ..
            } => Some((action.as_str(), policy.as_str())),
            _ => None,
        })
        .collect();
    let (status, done): (_, &[_]) = match (on_failure, at.name) {
        (OnFailure::Open, _) => (Status::Complete, &[]),
        (OnFailure::Closed, "tool-call") => (Status::Complete, &[("deny-tool-call", "bad")]),
        (OnFailure::Closed, "tool-result") => {
            (Status::Complete, &[("substitute-tool-result", "bad")])
        }
        (OnFailure::Closed, _) => (Status::Blocked, &[("block", "bad")]),
    };
    // The model may ask for the same again: each time it is denied.
    let mut different = applied.clone();
    different.dedup();
    assert_eq!(different, done, "{context}");
    world
        .eventually("it ended", |w| w.statuses("s").len() == 3)
        .await;
    assert_eq!(world.statuses("s")[2], status, "{context}");
    // The neighbours: another session, and the other policy in both.
    let reply = world.call("other", &request("fine")).await;
    assert_eq!(
        reply.bytes,
        world.sent(),
        "{context}: the other session: {}",
        reply.text()
    );
    for session in ["s", "other"] {
        let told = world.timeline(session).iter().any(|e| {
            matches!(&e.body, Body::Finding { policy, finding, .. } if policy == "good" && finding == "guest.told")
        });
        assert!(
            told,
            "{context}: the neighbour policy was not asked in {session}"
        );
    }
}

async fn misbehaves_everywhere(on_failure: OnFailure) {
    for bad in &MISBEHAVIOURS {
        for at in &CHECKPOINTS {
            for stream in [true, false] {
                misbehaves(bad, at, on_failure, stream).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_closed_policy_could_not_judge_does_not_pass() {
    misbehaves_everywhere(OnFailure::Closed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_open_policy_could_not_judge_passes_unharmed() {
    misbehaves_everywhere(OnFailure::Open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_action_is_refused_by_name_and_changes_nothing() {
    let mut guest = ordering(wakes(json!([{"event": "request"}])), &[]);
    guest.decision = Some(
        json!({"actions": [{"other": ["levitate", "{}"]}, {"steer": {"instruction": "x", "keep-held": false}}]}),
    );
    guest.actions = vec!["steer"];
    let world = world(vec![Policy::new("odd", guest)]).await;
    let reply = world
        .call("s", &streamed(chat(&json!({"text": "hello"}))))
        .await;
    assert_eq!(reply.bytes, world.sent());
    let refused = world.interventions("s");
    assert_eq!(refused.len(), 2, "{refused:?}");
    for (action, _, outcome, reason) in refused {
        assert_eq!(outcome, Outcome::Refused);
        assert!(
            reason.contains(&action) || reason.contains("not an action"),
            "{action}: {reason}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_closed_policy_goes_on_blocking() {
    let at = &CHECKPOINTS[0];
    let world = world(vec![
        Policy::new("bad", guest(&MISBEHAVIOURS[5], at)).on_failure(OnFailure::Closed),
    ])
    .await;
    for _ in 0..3 {
        assert_eq!(world.call("s", &(at.request)("bang!")).await.status, 400);
    }
    // It would let this one pass, but it is not asked.
    let reply = world.call("s", &(at.request)("fine")).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    let last = world
        .timeline("s")
        .iter()
        .rev()
        .find_map(|e| match &e.body {
            Body::PolicyFault { fault, .. } => Some(fault.clone()),
            _ => None,
        });
    assert_eq!(last.as_deref(), Some("quarantined"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actuator_or_a_clock_that_fails_is_a_failure_too() {
    let decides = Guest {
        decide: "unreachable",
        ..matching("bang", &[block("hard")])
    };
    let ticks = Guest {
        subscription: Some(json!({"wakes": [{"every-ms": 10}]})),
        observe: "unreachable",
        ..Guest::default()
    };
    for guest in [decides, ticks] {
        for on_failure in [OnFailure::Closed, OnFailure::Open] {
            let world = world(vec![
                Policy::new("bad", guest.clone()).on_failure(on_failure),
            ])
            .await;
            let script = json!({"chunks": ["one ", "bang", " two"], "delay_ms": 25});
            let reply = world.call("s", &streamed(chat(&script))).await;
            if on_failure == OnFailure::Open {
                assert_eq!(reply.bytes, world.sent(), "{}", reply.text());
            } else {
                assert_eq!(reply.error_code(), "content_filter", "{}", reply.text());
                assert!(
                    !reply.said().at("0/content").contains("bang") && !reply.is_done(),
                    "{}",
                    reply.text()
                );
            }
        }
    }
}
