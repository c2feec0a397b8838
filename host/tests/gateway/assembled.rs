//! Whole answers that are judged while they are generated: their upstream is asked for a stream.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};

use crate::support::*;

const STREAMED: &str = "[gateway]\nstream_upstream = true\n";

fn whole() -> Value {
    chat(&json!({"chunks": ["One ", "word ", "swordfish ", "more."]}))
}

async fn judged(pattern: &str, order: Value) -> (World, Reply, Value) {
    let policy = Policy::new("guard", matching(pattern, &[order]));
    let world = configured(STREAMED, vec![policy]).await;
    let reply = world.call("s", &whole()).await;
    let body = serde_json::from_slice(&reply.bytes).unwrap_or_default();
    let received = world.received().pop().unwrap();
    assert_eq!(received["stream"], true, "{received}");
    (world, reply, body)
}

fn block(mode: &str) -> Value {
    json!({"block": {"mode": mode, "reason": "no", "fallback": "Let us talk of something else."}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_answer_is_what_its_stream_says() {
    let (_world, reply, body) = judged("nowhere", block("hard")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(body["object"], "chat.completion");
    let choice = &body["choices"][0];
    assert_eq!(choice["message"]["content"], "One word swordfish more.");
    assert_eq!(choice["message"]["role"], "assistant");
    assert_eq!(choice["finish_reason"], "stop");
    assert!(
        body["usage"]["completion_tokens"].as_u64() > Some(0),
        "{body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_says_nothing_of_what_came_before() {
    let (_world, reply, body) = judged("swordfish", block("soft")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let choice = &body["choices"][0];
    assert_eq!(
        choice["message"]["content"],
        "Let us talk of something else."
    );
    assert_eq!(choice["finish_reason"], "content_filter");
    let (_world, reply, body) = judged("swordfish", block("hard")).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(body["error"]["code"], "content_filter");
    assert!(!reply.text().contains("word sw"), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_gives_the_part_that_was_let_go() {
    let stop = json!({"stop": {"reason": "enough", "confidence": 0.5, "keep-held": false}});
    let (_world, reply, body) = judged("swordfish", stop).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let choice = &body["choices"][0];
    let said = choice["message"]["content"].as_str().unwrap_or_default();
    assert!(said.starts_with("One word"), "{body}");
    assert!(!said.contains("swordfish"), "{body}");
    assert_eq!(choice["finish_reason"], "length");
    assert_eq!(body["airlock"]["partial"], true, "{body}");
}
