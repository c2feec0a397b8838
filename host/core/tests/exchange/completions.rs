//! Exchanges with a client and an upstream that speak completions.

use std::collections::VecDeque;

use serde_json::Value;

use crate::world::{Asked, Outcome, Play, World, drive};
use airlock_core::dialect::openai_completions::OpenAiCompletions;

const ASKS: &str = r#"{"model":"m","prompt":"tidy up","stream":true}"#;
const ANSWER: [&str; 2] = [
    "data: {\"id\":\"c\",\"object\":\"text_completion\",\"created\":1,\"model\":\"m\",\"choices\":[{\"text\":\"my secret\",\"index\":0,\"logprobs\":null,\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c\",\"object\":\"text_completion\",\"created\":1,\"model\":\"m\",\"choices\":[{\"text\":\"\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
];

async fn run(rules: &str) -> Outcome {
    let world = World::new(rules);
    let mut exchange = world
        .begin(&OpenAiCompletions, Asked::default(), ASKS)
        .await;
    let mut plays = VecDeque::from([Play::Answers(ANSWER.to_vec())]);
    let mut outcome = Outcome::default();
    let until = drive(&mut exchange, &mut plays, world.start, &mut outcome).await;
    assert_eq!(until, None, "it ends");
    outcome
}

#[tokio::test]
async fn with_nobody_to_judge_every_byte_passes() {
    let outcome = run("").await;
    assert_eq!(outcome.text(), ANSWER.concat());
    assert_eq!(outcome.legs, [("/completions".to_owned(), ASKS.to_owned())]);
}

#[tokio::test]
async fn an_instruction_stands_before_the_prompt() {
    let rules = "[[rule]]\nwhen = \"request.messages > 0\"\ndo = \"inject\"\nmessage = \"Delete nothing.\"\n";
    let outcome = run(rules).await;
    let body: Value = serde_json::from_str(&outcome.legs[0].1).unwrap();
    assert_eq!(body["prompt"], "Delete nothing.\n\ntidy up");
}

#[tokio::test]
async fn endings_are_spoken_in_the_api() {
    let rule = "[[rule]]\nwhen = \"has(vitals.output_tokens) && vitals.output_tokens > 0\"\ndo = ";
    let told = run(&format!("{rule}\"block\"\n")).await.text();
    assert!(
        told.contains("\"error\"") && !told.contains("[DONE]"),
        "{told}"
    );
    let told = run(&format!("{rule}\"stop\"\n")).await.text();
    assert!(told.contains("\"finish_reason\":\"length\""), "{told}");
    assert!(
        told.contains("\"partial\":true") && told.ends_with("data: [DONE]\n\n"),
        "{told}"
    );
}
