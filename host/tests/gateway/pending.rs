//! A policy that asks a question and has something wait for the answer, at every checkpoint.

use serde_json::{Value, json};

use crate::guests::Guest;
use crate::support::*;
use airlock_core::event::{Body, Outcome};
use airlock_core::people::{Filter, Verdict};
use airlock_policy::Grants;

const PEOPLE: &str = "[ask.oncall]\npeople = true\n";

/// Asks the people on call whenever it is woken, and parks this item until they answer; at the answer it does nothing.
fn asking(subscription: Value, item: &Value, deadline_ms: u32, on_timeout: &str) -> Guest {
    Guest {
        subscription: Some(subscription),
        asks: vec!["oncall"],
        actions: vec!["annotate", "block"],
        assessments: vec![json!({"pending": [
            {"ticket": 0, "subject": item, "deadline-ms": deadline_ms, "on-timeout": on_timeout}]})],
        // 6: the answer. The ticket stands 8 bytes into the result, and first in the record of what is pending.
        observe: "(if (i32.ne (local.get 1) (i32.const 6)) (then
            (call $ask (i32.const 40) (i32.const 6) (i32.const 3) (i32.const 40) (i32.const 6) (i32.const 40) (i32.const 6)
              (i32.const 0) (i32.const 0) (i32.const 60000) (i32.const 16))
            (if (i32.load8_u (i32.const 16)) (then unreachable))
            (i64.store (i32.load offset=20 {a0}) (i64.load (i32.const 24)))
            (return {a0})))",
        extra: r#"(import "airlock:policy/asking@VERSION" "ask" (func $ask (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
          (data (i32.const 40) "oncall")"#,
        ..Guest::default()
    }
}

/// Questions to people are granted in the configuration.
fn granted(guest: Guest) -> Policy {
    let mut policy = Policy::new("asks", guest);
    policy.spec.grants = Some(Grants {
        asks: vec!["oncall".to_owned()],
        actions: vec!["annotate".to_owned(), "block".to_owned()],
        ..Grants::directory()
    });
    policy
}

/// What waits, what wakes the policy for it, and a request in which it comes.
fn items() -> Vec<(Value, Value, Value)> {
    let tool = json!({"model": "sim-echo", "messages": [
        {"role": "user", "content": "look it up"},
        {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "the marked result"}]});
    let calls = chat(&json!({"turns": [
        {"tool_calls": [{"id": "c1", "name": "pay", "arguments": {"marked": true}}]}, {"text": "No."}]}));
    let text = json!({"patterns": [{"channels": [], "syntax": "literal", "text": "marked", "ignore-case": false}],
        "sees": ["text"]});
    vec![
        (
            json!("request"),
            wakes(json!([{"event": "request"}])),
            chat(&json!({"text": "marked"})),
        ),
        (
            json!({"tool-result": "c1"}),
            wakes(json!([{"event": "tool-result"}])),
            tool,
        ),
        (
            json!("response"),
            text,
            chat(&json!({"chunks": ["It is ", "marked", "."]})),
        ),
        (
            json!({"tool-call": "c1"}),
            wakes(json!([{"event": "tool-call"}])),
            calls,
        ),
    ]
}

async fn answer(world: &World) {
    let open = Filter {
        decided: Some(false),
        ..Filter::default()
    };
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        assert!(tokio::time::Instant::now() < end, "nobody was asked");
        let waiting = world.app.people.list(open, 10).unwrap();
        if let Some(approval) = waiting.first()
            && world
                .app
                .people
                .decide(approval.id, Verdict::Approved, "ada", "")
                .await
                .is_ok()
        {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_goes_on_when_the_answer_is_there_and_the_policy_hears_it() {
    for (item, subscription, request) in items() {
        for request in [streamed(request.clone()), request] {
            let guest = asking(subscription.clone(), &item, 60_000, "block");
            let world = configured(PEOPLE, vec![granted(guest)]).await;
            let (reply, ()) = tokio::join!(world.call("s", &request), answer(&world));
            assert_eq!(
                reply.bytes,
                world.sent(),
                "{item}: byte for byte: {}",
                reply.text()
            );
            let heard = world.timeline("s").iter().any(|e| {
                matches!(&e.body, Body::PolicyCall { policy, checkpoint, .. } if policy == "asks" && checkpoint == "answer")
            });
            assert!(heard, "{item}: {:#?}", world.timeline("s"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_deadline_the_stated_default_counts() {
    for (item, subscription, request) in items() {
        for on_timeout in ["block", "release"] {
            let guest = asking(subscription.clone(), &item, 30, on_timeout);
            let world = configured(PEOPLE, vec![granted(guest)]).await;
            let reply = world.call("s", &streamed(request.clone())).await;
            let upstream: String = world.received().iter().map(Value::to_string).collect();
            if on_timeout == "release" {
                assert_eq!(reply.bytes, world.sent(), "{item}");
                continue;
            }
            if item == json!("request") {
                assert!(upstream.is_empty(), "{item}: {upstream}");
            } else if item == json!({"tool-result": "c1"}) {
                assert!(!upstream.contains("marked result"), "{item}: {upstream}");
            } else {
                assert!(
                    !reply.said_lossy().contains("marked"),
                    "{item}: {}",
                    reply.text()
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_nobody_gave_is_refused_and_its_default_counts() {
    let subscription = wakes(json!([{"event": "request"}]));
    for (on_timeout, status) in [("block", 400), ("release", 200)] {
        let guest = Guest {
            observe: "(if (i32.ne (local.get 1) (i32.const 6)) (then (return {a0})))",
            extra: "",
            ..asking(subscription.clone(), &json!("request"), 60_000, on_timeout)
        };
        let world = configured(PEOPLE, vec![granted(guest)]).await;
        let reply = world.call("s", &chat(&json!({"text": "hello"}))).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        assert_eq!(world.outcome("s", "pending").0, Outcome::Refused);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_only_orders_cannot_wait_for_an_answer_it_would_never_hear() {
    let finds = ordering(wakes(json!([{"event": "request"}])), &[]);
    for (on_timeout, status) in [("block", 400), ("release", 200)] {
        let orders = Guest {
            world: "actuator",
            subscription: Some(json!({"findings": ["test.*"]})),
            decision: Some(json!({"pending": [
                {"ticket": 1, "subject": "request", "deadline-ms": 60_000, "on-timeout": on_timeout}]})),
            ..Guest::default()
        };
        let policies = vec![
            Policy::new("finds", finds.clone()),
            Policy::new("orders", orders),
        ];
        let world = world(policies).await;
        let reply = world.call("s", &chat(&json!({"text": "hello"}))).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        let (outcome, why) = world.outcome("s", "pending");
        assert_eq!(outcome, Outcome::Refused);
        assert!(why.contains("only orders"), "{why}");
    }
}
