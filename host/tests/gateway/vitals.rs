//! What policies learn of the machine, the model, the upstream and the tools, and that it wakes them.

use http_body_util::BodyExt as _;
use serde_json::json;

use crate::support::*;
use airlock_core::event::clock::now;
use airlock_core::event::{Body, Outcome};
use airlock_core::observe::machine::Sample;
use airlock_core::observe::vitals::id;

/// A policy that annotates whenever a vital is above a value.
fn watching(vital: u16, above: f64) -> Policy {
    let subscription = wakes(json!([{"vital-above": {"quantity": vital, "above": above}}]));
    Policy::new(
        "watching",
        ordering(
            subscription,
            &[json!({"annotate": {"name": "seen", "value": "above"}})],
        ),
    )
}

/// The newest vitals that were told in a session, by id.
fn told(world: &World, session: &str, vital: u16) -> Option<f64> {
    world
        .timeline(session)
        .iter()
        .rev()
        .find_map(|event| match &event.body {
            Body::Vitals { values } => Some(values.clone()),
            _ => None,
        })?
        .iter()
        .find_map(|(id, value)| (*id == vital).then_some(*value))
}

fn annotations(world: &World, session: &str) -> usize {
    let all = world.interventions(session);
    all.iter()
        .filter(|(action, _, outcome, _)| action == "annotate" && *outcome == Outcome::Applied)
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_under_pressure_wakes_a_policy_while_nothing_else_happens() {
    let world = world(vec![watching(id::HOST_MEMORY, 0.5)]).await;
    // Nothing arrives for longer than any test waits: only the machine changes.
    let request = streamed(chat(&json!({"first_delay_ms": 600_000, "text": "late"})));
    let read = async {
        let call = world.open(&[("x-airlock-session-id", "s")], &request);
        call.await.into_body().collect().await
    };
    let watch = async {
        world
            .eventually("the call is under way", |w| w.received().len() == 1)
            .await;
        assert_eq!(annotations(&world, "s"), 0);
        world.app.machine.take(&Sample {
            host_memory: Some(0.9),
            ..Sample::default()
        });
        world
            .eventually("the policy is woken", |w| annotations(w, "s") == 1)
            .await;
        assert_eq!(told(&world, "s", id::HOST_MEMORY), Some(0.9));
        assert_eq!(told(&world, "s", id::HOST_CPU), None, "not measured");
    };
    tokio::select! {
        _ = read => panic!("the upstream was not to say anything"),
        () = watch => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_fails_shows_in_its_error_rate() {
    let world = world(vec![watching(id::TOOL_ERROR_RATE, 0.4)]).await;
    let mut messages = vec![json!({"role": "user", "content": json!({"turns": [
        {"tool_calls": [{"name": "search", "id": "c1"}]},
        {"tool_calls": [{"name": "search", "id": "c2"}]},
        {"text": "done"},
    ]}).to_string()})];
    for (id, result, woken) in [("c1", "found it", 0), ("c2", "Error: no route to host", 1)] {
        let request = json!({"model": "sim-echo", "messages": messages});
        assert_eq!(world.call("s", &request).await.status, 200);
        messages.push(json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": id, "type": "function", "function": {"name": "search", "arguments": "null"}}]}));
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": result}));
        let request = json!({"model": "sim-echo", "messages": messages});
        assert_eq!(world.call("s", &request).await.status, 200);
        assert_eq!(annotations(&world, "s"), woken, "after {result}");
    }
    assert_eq!(told(&world, "s", id::TOOL_ERROR_RATE), Some(0.5));
    assert!(told(&world, "s", id::TOOL_P99).is_some());
    let search = world.app.health.tools.summary("search", now()).unwrap();
    assert_eq!((search.calls, search.failed), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_fails_shows_to_everybody_who_asks_it() {
    let world = world(vec![watching(id::UPSTREAM_ERROR_RATE, 0.5)]).await;
    let good = chat(&json!({"text": "hello"}));
    world.call("a", &good).await;
    for status in [400, 404, 422] {
        world.call("a", &chat(&json!({"status": status}))).await;
    }
    let standing = world.app.health.upstreams.summary("sim", now()).unwrap();
    assert_eq!(
        (standing.calls, standing.failed),
        (1, 0),
        "bad requests say nothing"
    );
    assert!(standing.p50.is_some());
    for status in [429, 503] {
        world.call("a", &chat(&json!({"status": status}))).await;
    }
    world.call("b", &good).await;
    assert_eq!(annotations(&world, "b"), 1);
    assert_eq!(told(&world, "b", id::UPSTREAM_ERROR_RATE), Some(2.0 / 3.0));
    assert_eq!(told(&world, "b", id::MODEL_ERROR_RATE), Some(2.0 / 3.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_is_one_call_that_failed() {
    let world = world(vec![]).await;
    let broken = json!({"chunks": ["one ", "two ", "three"], "die_after_chunks": 2});
    world.call("s", &streamed(chat(&broken))).await;
    let standing = world.app.health.upstreams.summary("sim", now()).unwrap();
    assert_eq!((standing.calls, standing.failed), (1, 1));
    assert!(standing.p50.is_some(), "its first token came");
}
