//! Retries, waits, and what time alone brings.

use serde_json::{Value, json};

use super::orders::{hello, on_request, route, stop};
use crate::guests::Guest;
use crate::support::*;
use airlock_core::event::{Outcome, Status};

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_ordered_after_a_failure_and_bounded() {
    let retry = json!({"retry": {"upstream": "", "model": "", "after-ms": 0}});
    let world = world(vec![Policy::new(
        "again",
        ordering(wakes(json!([{"event": "failure"}])), &[retry]),
    )])
    .await;
    let reply = world
        .call(
            "s",
            &chat(&json!({"status": 500, "fail_times": 1, "text": "fine now"})),
        )
        .await;
    assert_eq!(
        (reply.status, reply.said().at("0/content")),
        (200, "fine now")
    );
    let reply = world.call("t", &chat(&json!({"status": 500}))).await;
    assert!(reply.status >= 500, "{}", reply.text());
    let tries = world.received().len();
    assert_eq!(tries, 2 + 3, "the first and two more");
    assert_eq!(world.statuses("t"), [Status::Failed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_goes_where_it_was_sent_though_the_call_was_routed_before() {
    let retry = json!({"retry": {"upstream": "", "model": "sim-fast", "after-ms": 0}});
    let world = world(vec![
        Policy::new(
            "router",
            ordering(
                wakes(json!([{"event": "session-opened"}])),
                &[route("sim-flaky", "exchange")],
            ),
        ),
        Policy::new(
            "again",
            ordering(wakes(json!([{"event": "failure"}])), &[retry]),
        ),
    ])
    .await;
    let reply = world.call("s", &hello()).await;
    let models: Vec<Value> = world
        .received()
        .iter()
        .map(|r| r["model"].clone())
        .collect();
    assert_eq!(
        models,
        [json!("sim-flaky"), json!("sim-fast")],
        "{}",
        reply.text()
    );
    assert_eq!(reply.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_waits_for_nobody_goes_its_stated_way() {
    for (on_timeout, status) in [("block", 400), ("release", 200)] {
        let pending = json!({"pending": [{"ticket": 1, "subject": "request", "deadline-ms": 10, "on-timeout": on_timeout}]});
        let guest = Guest {
            assessments: vec![pending],
            ..on_request(&[])
        };
        let world = world(vec![Policy::new("asks", guest)]).await;
        assert_eq!(world.call("s", &hello()).await.status, status);
        assert_eq!(world.outcome("s", "pending").0, Outcome::Refused);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn time_alone_wakes_a_policy() {
    let slow = json!({"wakes": [{"vital-above": {"quantity": 1, "above": 200_000.0}}]});
    let world = world(vec![Policy::new("clock", ordering(slow, &[stop(false)]))]).await;
    // Silent before the first token and after it.
    for (session, script) in [
        ("first", json!({"text": "x", "first_delay_ms": 600_000})),
        (
            "later",
            json!({"chunks": ["one", "two"], "hang_after_chunks": 1}),
        ),
    ] {
        let reply = world.call(session, &streamed(chat(&script))).await;
        let said = reply.said();
        let said = said.at("0/content");
        match session {
            "later" => assert_eq!(said, "one"),
            // An empty answer would pass for a success.
            _ => assert!(
                said.starts_with("Airlock stopped this answer (policy clock, "),
                "{said}"
            ),
        }
        assert!(
            reply.is_done() && reply.text().contains("\"enough\""),
            "{}",
            reply.text()
        );
        assert_eq!(world.statuses(session), [Status::Partial]);
    }
    let reply = world
        .call(
            "whole",
            &chat(&json!({"text": "x", "first_delay_ms": 600_000})),
        )
        .await;
    assert_eq!(reply.json()["airlock"]["reason"], "enough");
    world
        .eventually("the upstream calls are cancelled", |w| {
            w.simulator.record().live().cancelled == 3
        })
        .await;
}
