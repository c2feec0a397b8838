//! Any number of sessions on a bounded number of instances, and none of them forgets.

use std::sync::Arc;

use serde_json::json;

use crate::guests::Guest;
use crate::support::*;
use airlock_core::event::key::SessionKey;
use airlock_core::event::{Body, Status};
use airlock_core::session::state::Found;
use airlock_policy::contract::EVENT_WORDS;
use airlock_policy::contract::types::{Batch, Checkpoint};

/// Instances that the gateway of these tests has room for.
const ROOM: u32 = 64;

/// A policy that counts the messages that it is told of, and from the second call on finds something.
fn counting(name: &'static str) -> Policy {
    let guest = Guest {
        subscription: Some(wakes(json!([{"event": "message"}]))),
        assessments: vec![
            json!({"findings": [{"kind": "test.again", "severity": "low", "confidence": 1.0, "subject": "session",
            "summary": "called before", "data": ""}]}),
        ],
        observe: "(if (i32.ge_u (global.get $count) (i32.const 2)) (then (return {a0})))",
        ..Guest::default()
    };
    Policy::new(name, guest)
}

const EIGHT: [&str; 8] = ["p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8"];

fn findings(world: &World, session: &str) -> usize {
    let timeline = world.timeline(session);
    timeline
        .iter()
        .filter(
            |event| matches!(&event.body, Body::Finding { finding, .. } if finding == "test.again"),
        )
        .count()
}

fn hello(text: &str) -> serde_json::Value {
    json!({"model": "sim-echo", "messages": [{"role": "user", "content": text}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_wakes_with_its_policies_memory() {
    let world = world(vec![counting("memory")]).await;
    world.call("s", &hello("one")).await;
    assert_eq!(findings(&world, "s"), 0);
    world
        .eventually("the exchange is over and its seat sleeps", |w| {
            w.app.sessions.hibernate(0);
            w.app.policies.instances().0 == 0
        })
        .await;
    assert_eq!(world.app.sessions.len(), 1, "the session itself stays");
    world.call("s", &hello("two")).await;
    assert_eq!(
        findings(&world, "s"),
        1,
        "it knows that it was called before"
    );
    assert_eq!(world.app.policies.instances().0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sleeps_before_the_time() {
    let world = world(vec![counting("memory")]).await;
    world.call("s", &hello("one")).await;
    assert_eq!(world.app.sessions.hibernate(3_600_000_000), 0);
    assert_eq!(world.app.policies.instances().0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_the_middle_of_a_call_does_not_hibernate_by_the_clock() {
    let world = world(vec![counting("memory")]).await;
    let request = streamed(chat(&json!({"first_delay_ms": 600_000, "text": "late"})));
    let call = async {
        let open = world.open(&[("x-airlock-session-id", "s")], &request).await;
        http_body_util::BodyExt::collect(open.into_body()).await
    };
    let watch = async {
        world
            .eventually("the call is under way", |w| w.received().len() == 1)
            .await;
        assert_eq!(world.app.sessions.hibernate(0), 0);
        assert_eq!(world.app.policies.instances().0, 1);
    };
    tokio::select! {
        _ = call => panic!("the upstream was not to say anything"),
        () = watch => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_sessions_than_places_are_served_and_remembered() {
    let world = world(EIGHT.into_iter().map(counting).collect()).await;
    let names: Vec<String> = (0..40).map(|n| format!("s{n}")).collect();
    for round in ["one", "two"] {
        for session in &names {
            assert_eq!(world.call(session, &hello(round)).await.status, 200);
        }
    }
    for session in &names {
        assert_eq!(findings(&world, session), EIGHT.len(), "{session}");
        assert_eq!(
            world.statuses(session),
            [Status::Complete, Status::Complete]
        );
    }
    let (live, room) = world.app.policies.instances();
    assert!(room == ROOM && live <= room, "{live} of {room}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_at_once_than_places_are_served() {
    let world = world(EIGHT.into_iter().map(counting).collect()).await;
    let calls = (0..40).map(|n| {
        let world = &world;
        async move {
            let session = format!("s{n}");
            let script = json!({"chunks": ["a ", "b ", "c"], "delay_ms": 20});
            world.call(&session, &streamed(chat(&script))).await;
            world.statuses(&session)
        }
    });
    for statuses in futures_util::future::join_all(calls).await {
        assert_eq!(statuses, [Status::Complete]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_sessions_with_eight_policies_do_not_exhaust_the_pool() {
    let world = world(EIGHT.into_iter().map(counting).collect()).await;
    let entries = world.app.policies.current();
    for n in 0..10_000 {
        let found = Found {
            key: SessionKey {
                tenant: "default".to_owned(),
                principal: "anonymous".to_owned(),
                source: "x-airlock-session-id".to_owned(),
                value: format!("s{n}"),
            },
            confidence: "explicit",
            parent: None,
            extra: Vec::new(),
        };
        let session = world.app.sessions.get(found).await.unwrap();
        for generation in &entries.entries {
            let seat = session.seat(generation, &world.app.asks.asker(&session));
            let answer = seat.lock().unwrap().observe(&Arc::new(nothing()));
            answer.unwrap_or_else(|fault| panic!("session {n}: {fault}"));
        }
    }
    assert_eq!(world.app.sessions.len(), 10_000);
    assert!(world.app.policies.instances().0 <= ROOM);
}

fn nothing() -> Batch {
    Batch {
        checkpoint: Checkpoint::Tick,
        exchange: 1,
        first_seq: 1,
        time: 0,
        text: String::new(),
        event_words: EVENT_WORDS,
        events: vec![],
        attached: None,
    }
}
