//! A conversation that names no session is one session, whatever becomes of its calls and however its client sends the turns
//! back; and two conversations are two, whatever they have in common.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::*;

/// Sends a conversation on, turn by turn, as a client does that keeps what it was given; `back` is how it keeps a turn.
/// Returns how many sessions that made.
async fn converse(
    world: &World,
    streamed: bool,
    turns: &[Value],
    back: impl Fn(String) -> Option<Value>,
) -> usize {
    let before = world.app.sessions.len();
    let mut messages = Vec::new();
    for turn in turns {
        messages.push(json!({"role": "user", "content": turn.to_string()}));
        let body = json!({"model": "sim-echo", "messages": messages, "stream": streamed});
        let reply = world.call_with(&[], &body).await;
        // Of what was cut, a client that asked for a whole answer has nothing, and one that streams perhaps as little.
        let text = match reply.cut && (!streamed || reply.bytes.is_empty()) {
            true => String::new(),
            false => reply.said_lossy(),
        };
        messages.extend(back(text));
    }
    world.app.sessions.len() - before
}

fn session_of(reply: &Reply) -> String {
    let label = reply.headers["x-airlock-exchange"].to_str().unwrap();
    label.split('/').next().unwrap().to_owned()
}

fn says(text: &str) -> Value {
    json!({"text": text})
}

fn assistant(text: String) -> Option<Value> {
    (!text.is_empty()).then(|| json!({"role": "assistant", "content": text}))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intervention_does_not_lose_the_session() {
    let orders = [
        block("hard"),
        block("soft"),
        block("abort"),
        json!({"stop": {"reason": "enough", "confidence": 0.25, "keep-held": false}}),
    ];
    for order in orders {
        for streamed in [false, true] {
            let world = world(vec![Policy::new(
                "guard",
                matching("swordfish", std::slice::from_ref(&order)),
            )])
            .await;
            for at in 0..4 {
                let turns: Vec<Value> = (0..4)
                    .map(|n| match n == at {
                        true => says(&format!("a word before the swordfish of turn {n}")),
                        false => says(&format!(
                            "answer number {n} of a conversation that is about {at}"
                        )),
                    })
                    .collect();
                let sessions = converse(&world, streamed, &turns, assistant).await;
                assert_eq!(sessions, 1, "{order} at {at}, streamed: {streamed}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_goes_on_however_its_client_keeps_a_turn() {
    let world = world(vec![]).await;
    type Back = fn(String) -> Option<Value>;
    let ways: [(&str, Back); 6] = [
        ("with a name", |text| {
            Some(json!({"role": "assistant", "name": "agent", "content": text}))
        }),
        ("in parts", |text| {
            Some(json!({"role": "assistant", "content": [{"type": "text", "text": text}]}))
        }),
        ("trimmed", |text| assistant(text.trim().to_owned())),
        ("wrapped", |text| assistant(text.replace(' ', "\n"))),
        ("cut", |text| assistant(text.chars().take(30).collect())),
        ("with its reasoning", |text| {
            Some(json!({"role": "assistant", "content": text, "reasoning_content": "because"}))
        }),
    ];
    for (way, back) in ways {
        for streamed in [false, true] {
            let turns: Vec<Value> = (0..4)
                .map(|n| {
                    says(&format!(
                        " answer {n} to a client that keeps it {way} {streamed} "
                    ))
                })
                .collect();
            assert_eq!(
                converse(&world, streamed, &turns, back).await,
                1,
                "{way}, streamed: {streamed}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_does_not_lose_the_session() {
    let world = world(vec![]).await;
    for streamed in [false, true] {
        for at in 0..3 {
            let turns: Vec<Value> = (0..4)
                .map(|n| match n == at {
                    true => json!({"status": 500, "text": format!("turn {n}")}),
                    false => says(&format!(
                        "an answer of some length, number {n}, with the failure at {at} {streamed}"
                    )),
                })
                .collect();
            let sessions = converse(&world, streamed, &turns, assistant).await;
            assert_eq!(sessions, 1, "failed at {at}, streamed: {streamed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_call_that_is_tried_again_is_one_session() {
    let world = world(vec![]).await;
    let body = chat(&json!({"status": 503, "fail_times": 3, "text": "fine"}));
    let mut sessions = BTreeSet::new();
    for _ in 0..4 {
        sessions.insert(session_of(&world.call_with(&[], &body).await));
    }
    assert_eq!(sessions.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_key_of_a_whole_application_joins_nobody() {
    let world = world(vec![]).await;
    let ask = async |headers: &[(&str, &str)], who: &str| {
        let mut body = chat(&says(who));
        body["prompt_cache_key"] = json!("the-application");
        session_of(&world.call_with(headers, &body).await)
    };
    assert_ne!(ask(&[], "ann").await, ask(&[], "ben").await);
    // Codex means a conversation by it.
    let codex = [("user-agent", "codex_cli_rs/1.0")];
    assert_eq!(ask(&codex, "ann").await, ask(&codex, "ben").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_for_each_turn_splits_no_conversation() {
    let world = world(vec![]).await;
    let mut messages = Vec::new();
    let mut sessions = BTreeSet::new();
    for n in 1..4 {
        let trace = format!("00-{n:032x}-00000000000000{n:02x}-01");
        messages.push(json!({"role": "user", "content": says(&format!("answer {n} in its own trace")).to_string()}));
        let body = json!({"model": "sim-echo", "messages": messages});
        let reply = world.call_with(&[("traceparent", &trace)], &body).await;
        sessions.insert(session_of(&reply));
        messages.extend(assistant(reply.said_lossy()));
    }
    assert_eq!(sessions.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_says_names_a_session_does() {
    let world = configured(
        "[session]\ncorrelate = [\"prompt_cache_key\", \"traceparent\"]\n",
        vec![],
    )
    .await;
    let ask = async |headers: &[(&str, &str)], key: Option<&str>, text: &str| {
        let mut body = chat(&says(text));
        body["prompt_cache_key"] = json!(key);
        session_of(&world.call_with(headers, &body).await)
    };
    assert_eq!(
        ask(&[], Some("one"), "a").await,
        ask(&[], Some("one"), "b").await
    );
    let trace = [(
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )];
    assert_eq!(ask(&trace, None, "a").await, ask(&trace, None, "b").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_messages_than_are_read_are_refused_by_number() {
    let world = configured("[gateway]\nmax_body_bytes = 33554432\n", vec![]).await;
    let messages: Vec<Value> = (0..65_537)
        .map(|_| json!({"role": "user", "content": "x"}))
        .collect();
    let reply = world
        .call("s", &json!({"model": "sim-echo", "messages": messages}))
        .await;
    assert_eq!(reply.status, 400);
    let text = String::from_utf8_lossy(&reply.bytes);
    assert!(text.contains("65537 messages, and at most 65536"), "{text}");
}
