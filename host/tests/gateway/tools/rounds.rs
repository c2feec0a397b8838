//! Open circuits, and answers that take several rounds.

use serde_json::json;

use super::calls::{both, call, calling, calls_of, deny, on_call};
use crate::support::*;
use airlock_core::event::{Body, Status};

#[tokio::test(flavor = "multi_thread")]
async fn an_open_circuit_answers_in_the_tools_place_until_a_probe_succeeds() {
    let opens = ordering(
        wakes(json!([{"event": "tool-result"}])),
        &[
            json!({"open-circuit": {"tool": "search", "cooldown-ms": 0, "answer": "The search is down."}}),
        ],
    );
    let world = world(vec![Policy::new("breaker", opens)]).await;
    let turn =
        |n: usize| json!({"tool_calls": [call(&format!("c{n}"), "search", json!({"q": n}))]});
    let script = json!({"turns": [turn(1), turn(2), {"text": "done"}]});
    let mut request = streamed(chat(&script));
    let first = world.call("s", &request).await;
    assert_eq!(calls_of(&first).len(), 1, "closed: the call goes out");
    let messages = request["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{\"q\":1}"}}]}));
    messages.push(json!({"role": "tool", "tool_call_id": "c1", "content": "error: timeout"}));
    // The policy opens the circuit at this result; with no cooldown the next call is a probe.
    let second = world.call("s", &request).await;
    assert_eq!(calls_of(&second).len(), 1, "{}", second.text());
    assert!(
        world
            .interventions("s")
            .iter()
            .any(|(_, _, _, reason)| reason.contains("half open")),
        "{:?}",
        world.interventions("s")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_circuit_is_open_the_model_is_given_its_answer() {
    let opens = on_call(&[
        json!({"open-circuit": {"tool": "search", "cooldown-ms": 60_000, "answer": "The search is down."}}),
    ]);
    for (context, request) in both(calling(
        &[call("c1", "search", json!({"q": 1}))],
        "Then without.",
    )) {
        let world = world(vec![Policy::new("breaker", opens.clone())]).await;
        let reply = world.call("s", &request).await;
        assert!(calls_of(&reply).is_empty(), "{context}: {}", reply.text());
        assert_eq!(
            reply.said().at("0/content"),
            "Let me look.Then without.",
            "{context}"
        );
        let received = world.received();
        let messages = received[1]["messages"].as_array().unwrap();
        assert_eq!(messages.last().unwrap()["content"], "The search is down.");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rounds_of_an_answer_share_the_sessions_budget() {
    let request = streamed(calling(
        &[call("c1", "rm", json!({}))],
        &"word ".repeat(400),
    ));
    let world = configured(
        "[session]\nmax_tokens = 1200\n",
        vec![Policy::new("guard", on_call(&[deny("c1", "no")]))],
    )
    .await;
    let reply = world.call("s", &request).await;
    let spent = world
        .timeline("s")
        .iter()
        .find_map(|event| match &event.body {
            Body::ResponseEnd { usage, .. } => Some(*usage),
            _ => None,
        })
        .unwrap();
    // The provider counts prompts its own way; of the output both rounds together get what is left.
    assert!(spent.input > 800 && spent.output <= 300, "{spent:?}");
    assert_eq!(reply.finishes(), ["length"], "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_fails_in_a_later_round_is_an_error_in_the_stream() {
    let script = json!({"turns": [{"tool_calls": [call("c1", "rm", json!({}))]}, {"status": 400}]});
    for (context, request) in both(chat(&script)) {
        let world = world(vec![Policy::new("guard", on_call(&[deny("c1", "no")]))]).await;
        let reply = world.call("s", &request).await;
        assert!(
            reply.text().contains("\"error\""),
            "{context}: {}",
            reply.text()
        );
        assert!(!reply.is_done(), "{context}");
        assert_eq!(world.statuses("s"), [Status::Failed], "{context}");
    }
}
