//! Requests that go out otherwise than they came: routes, parameters, messages.

use serde_json::{Value, json};

use super::orders::{hello, inject, on_request, route};
use crate::support::*;
use airlock_core::event::Outcome;

#[tokio::test(flavor = "multi_thread")]
async fn a_route_lasts_for_the_exchange_or_for_the_session() {
    for (scope, second) in [("exchange", "sim-echo"), ("session", "sim-fast")] {
        let guest = ordering(
            wakes(json!([{"event": "session-opened"}])),
            &[route("sim-fast", scope)],
        );
        let world = world(vec![Policy::new("router", guest)]).await;
        for _ in 0..2 {
            assert_eq!(world.call("s", &hello()).await.status, 200);
        }
        let models: Vec<Value> = world
            .received()
            .iter()
            .map(|r| r["model"].clone())
            .collect();
        assert_eq!(
            models,
            [json!("sim-fast"), json!(second)],
            "{scope}: {:?}",
            world.interventions("s")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_or_model_that_is_not_there_is_refused() {
    let nowhere = json!({"route": {"upstream": "nowhere", "model": "", "scope": "exchange"}});
    let world = world(vec![Policy::new("router", on_request(&[nowhere]))]).await;
    assert_eq!(world.call("s", &hello()).await.status, 200);
    let (outcome, reason) = world.outcome("s", "route");
    assert!(
        outcome == Outcome::Refused && reason.contains("[upstream.nowhere]"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_set_and_reserved_ones_are_refused() {
    let set = |set: Value| json!({"set-parameters": {"fields": set, "scope": "exchange"}});
    let world = world(vec![
        Policy::new(
            "cool",
            on_request(&[set(json!([["temperature", "0.25"], ["max_tokens", "3"]]))]),
        ),
        Policy::new(
            "sly",
            on_request(&[set(json!([["model", "\"sim-leak\""]]))]),
        ),
    ])
    .await;
    let mut request = hello();
    request["temperature"] = json!(1);
    assert_eq!(world.call("s", &request).await.status, 200);
    let sent = &world.received()[0];
    assert_eq!(
        (&sent["temperature"], &sent["max_tokens"], &sent["model"]),
        (&json!(0.25), &json!(3), &json!("sim-echo"))
    );
    let outcomes: Vec<_> = world
        .interventions("s")
        .into_iter()
        .map(|(_, by, outcome, _)| (by, outcome))
        .collect();
    assert_eq!(
        outcomes,
        [
            ("cool".to_owned(), Outcome::Applied),
            ("sly".to_owned(), Outcome::Refused)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_injected_message_stands_where_and_as_long_as_it_was_ordered() {
    for (position, index) in [("front", 0), ("before-last", 0), ("end", 1)] {
        for scope in ["exchange", "session"] {
            let guest = ordering(
                wakes(json!([{"event": "session-opened"}])),
                &[inject("be kind", position, scope)],
            );
            let world = world(vec![Policy::new("coach", guest)]).await;
            // Written in a way that a rewrite would change.
            let first =
                r#"{"model":"sim-echo",  "messages":[ {"role":"user","content":"h\u00e9llo"} ]}"#;
            let reply = world.call("s", &serde_json::from_str(first).unwrap()).await;
            assert_eq!(reply.status, 200);
            let said = reply.json()["choices"][0]["message"]["content"].clone();
            let second = json!({"model": "sim-echo", "messages": [{"role": "user", "content": "héllo"},
                {"role": "assistant", "content": said}, {"role": "user", "content": "go on"}]});
            assert_eq!(world.call("s", &second).await.status, 200);
            let received = world.received();
            assert_eq!(
                received[0]["messages"][index],
                json!({"role": "system", "content": "be kind"}),
                "{position}"
            );
            let stays = received[1]["messages"]
                .as_array()
                .unwrap()
                .iter()
                .position(|m| m["role"] == "system");
            assert_eq!(
                stays,
                (scope == "session").then_some(index),
                "{position}, {scope}: {}",
                received[1]
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overlay_gives_the_same_bytes_each_time() {
    let guest = ordering(
        wakes(json!([{"event": "session-opened"}])),
        &[inject("be kind", "end", "session")],
    );
    let world = world(vec![Policy::new("coach", guest)]).await;
    let mut messages = vec![json!({"role": "user", "content": "one"})];
    for turn in 0..3 {
        let request = json!({"messages": messages, "model": "sim-echo"});
        let reply = world.call("s", &request).await;
        messages.push(reply.json()["choices"][0]["message"].clone());
        messages.push(json!({"role": "user", "content": format!("turn {turn}")}));
    }
    let bodies: Vec<String> = world
        .simulator
        .record()
        .requests()
        .into_iter()
        .map(|r| r.body)
        .collect();
    for pair in bodies.windows(2) {
        // All but the closing of the list and of the body is a prefix of the next request: provider caches depend on it.
        let end = pair[0].rfind(']').unwrap();
        assert!(
            pair[1].starts_with(&pair[0][..end]),
            "{}\n{}",
            pair[0],
            pair[1]
        );
    }
}
