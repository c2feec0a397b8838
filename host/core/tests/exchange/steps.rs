//! Answers that take several legs: what was denied, what it costs, and what the client has in the end.

use std::collections::VecDeque;

use airlock_core::dialect::openai_chat::OpenAiChat;
use airlock_core::exchange::{Ending, Reply};
use serde_json::Value;

use crate::world::{Asked, NO_DELETE, Outcome, Play, SECOND, World, drive};

const STREAM: &str = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
const WHOLE: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
const CALL: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"delete_file","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":20,"completion_tokens":10,"total_tokens":30}}"#;
const HELLO: &str = r#"{"id":"d","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":40,"completion_tokens":1,"total_tokens":41}}"#;
const CALLS: &str = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"delete_file\",\"arguments\":\"{}\"}}]},\"finish_reason\":null}]}\n\ndata: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":2000,\"total_tokens\":2100}}\n\ndata: [DONE]\n\n";

async fn run(world: &World, body: &'static str, plays: Vec<Play>) -> (Outcome, u64) {
    let mut exchange = world.begin(&OpenAiChat, Asked::default(), body).await;
    let (mut plays, mut outcome) = (VecDeque::from(plays), Outcome::default());
    let mut now = world.start;
    while drive(&mut exchange, &mut plays, now, &mut outcome)
        .await
        .is_some()
    {
        now += 61 * SECOND;
        exchange.woke(now);
        assert!(now < world.start + 3600 * SECOND, "it never ends");
    }
    let spent = exchange.facts().session.ledger.spent().tokens;
    (outcome, spent)
}

fn body(outcome: &Outcome) -> Value {
    match &outcome.ending {
        Some(Ending::Reply(Reply::Whole(body, _))) => serde_json::from_slice(body).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_whole_answer_after_a_denied_step_says_who_speaks() {
    let plays = vec![Play::Answers(vec![CALL]), Play::Answers(vec![HELLO])];
    let (outcome, _) = run(&World::new(NO_DELETE), WHOLE, plays).await;
    let message = &body(&outcome)["choices"][0]["message"];
    assert_eq!(message["role"], "assistant");
    assert_eq!(message["content"], "hello");
}

#[tokio::test]
async fn a_whole_answer_that_breaks_after_a_denied_step_is_asked_for_again() {
    let plays = vec![
        Play::Answers(vec![CALL]),
        Play::Breaks(vec!["{\"id\":"]),
        Play::Answers(vec![HELLO]),
    ];
    let (outcome, _) = run(&World::new(NO_DELETE), WHOLE, plays).await;
    assert_eq!(outcome.legs.len(), 3);
    assert_eq!(body(&outcome)["choices"][0]["message"]["content"], "hello");
}

#[tokio::test]
async fn what_a_leg_did_not_use_of_its_lease_is_there_for_the_next() {
    let world = World::with_budget(NO_DELETE, Some(3_000));
    let plays = vec![Play::Answers(vec![CALL]), Play::Answers(vec![HELLO])];
    let (outcome, spent) = run(&world, WHOLE, plays).await;
    assert_eq!(body(&outcome)["choices"][0]["message"]["content"], "hello");
    assert_eq!(spent, 71);
}

#[tokio::test]
async fn denied_steps_of_a_stream_count_before_the_next_is_asked_for() {
    let world = World::with_budget(NO_DELETE, Some(5_000));
    let plays = (0..5).map(|_| Play::Answers(vec![CALLS])).collect();
    let (outcome, _) = run(&world, STREAM, plays).await;
    // The third is told what is left, and does not keep to it: the fourth has no room.
    assert_eq!(outcome.legs.len(), 3);
    let third: Value = serde_json::from_str(&outcome.legs[2].1).unwrap();
    assert!(
        third["max_completion_tokens"].as_u64().unwrap() < 800,
        "{third}"
    );
    assert!(
        outcome.text().contains("airlock_budget"),
        "{}",
        outcome.text()
    );
}

#[tokio::test]
async fn a_call_that_a_person_denied_is_denied_when_the_model_repeats_it() {
    let hold = "[[rule]]\nwhen = \"tool.name == 'delete_file'\"\ndo = \"hold-for-person\"\ndeadline_ms = 60000\non_timeout = \"block\"\n";
    for asks in [STREAM, WHOLE] {
        let (calls, after) = match asks == STREAM {
            true => (
                CALLS,
                "data: {\"id\":\"y\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"as you like\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
            ),
            false => (CALL, HELLO),
        };
        let plays = vec![
            Play::Answers(vec![calls]),
            Play::Answers(vec![calls]),
            Play::Answers(vec![after]),
        ];
        let (outcome, _) = run(&World::new(hold), asks, plays).await;
        assert_eq!(outcome.legs.len(), 3);
        let told = match asks == STREAM {
            true => outcome.text(),
            false => body(&outcome).to_string(),
        };
        assert!(!told.contains("delete_file"), "{told}");
    }
}
