//! Exchanges with a client and an upstream that speak Ollama's own API.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::world::{Asked, Outcome, Play, World, drive};
use airlock_core::dialect::Dialect;
use airlock_core::dialect::ollama::{OllamaChat, OllamaGenerate};
use airlock_core::exchange::{Ending, Reply};

const ASKS: &str = r#"{"model":"m","messages":[{"role":"user","content":"tidy up"}]}"#;
const WHOLE: &str =
    r#"{"model":"m","messages":[{"role":"user","content":"tidy up"}],"stream":false}"#;
const PROMPT: &str = r#"{"model":"m","prompt":"tidy up"}"#;
const NO_RM: &str =
    "[[rule]]\nwhen = \"tool.name == 'rm'\"\ndo = \"deny-tool-call\"\nmessage = \"never\"\n";
/// As the server writes it: a thought, a text, a call, an end.
const CALLS: [&str; 4] = [
    "{\"model\":\"m\",\"created_at\":\"t\",\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"Hm.\"},\"done\":false}\n",
    "{\"model\":\"m\",\"created_at\":\"t\",\"message\":{\"role\":\"assistant\",\"content\":\"I tidy. \"},\"done\":false}\n{\"model\":\"m\",\"created_at\":\"t\",\"mess",
    "age\":{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"rm\",\"arguments\":{\"path\":\"/\"}}}]},\"done\":false}\n",
    "{\"model\":\"m\",\"created_at\":\"t\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":10,\"eval_count\":5}\n",
];
const GOES_ON: [&str; 2] = [
    "{\"model\":\"n\",\"created_at\":\"t\",\"message\":{\"role\":\"assistant\",\"content\":\"I may not.\"},\"done\":false}\n",
    "{\"model\":\"n\",\"created_at\":\"t\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":20,\"eval_count\":3}",
];

async fn run(
    rules: &str,
    dialect: &'static dyn Dialect,
    asks: &'static str,
    plays: Vec<Play>,
) -> Outcome {
    let world = World::new(rules);
    let mut exchange = world.begin(dialect, Asked::default(), asks).await;
    let (mut plays, mut outcome) = (VecDeque::from(plays), Outcome::default());
    let until = drive(&mut exchange, &mut plays, world.start, &mut outcome).await;
    assert_eq!(until, None, "it ends");
    outcome
}

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn said(told: &[Value]) -> String {
    let texts = told
        .iter()
        .filter_map(|line| line["message"]["content"].as_str());
    texts.collect()
}

fn whole(outcome: &Outcome) -> Value {
    match &outcome.ending {
        Some(Ending::Reply(Reply::Whole(body, None))) => serde_json::from_slice(body).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn with_nobody_to_judge_every_byte_passes() {
    let outcome = run("", &OllamaChat, ASKS, vec![Play::Answers(CALLS.to_vec())]).await;
    assert_eq!(outcome.text(), CALLS.concat());
    assert_eq!(outcome.legs, [("/api/chat".to_owned(), ASKS.to_owned())]);
}

#[tokio::test]
async fn a_denied_call_is_told_the_model_and_two_legs_are_one_stream() {
    let plays = vec![
        Play::Answers(CALLS.to_vec()),
        Play::Answers(GOES_ON.to_vec()),
    ];
    let outcome = run(NO_RM, &OllamaChat, ASKS, plays).await;
    let told = lines(&outcome.text());
    assert_eq!(said(&told), "I tidy. I may not.");
    assert!(!outcome.text().contains("rm"), "{}", outcome.text());
    let ends: Vec<&Value> = told.iter().filter(|line| line["done"] == true).collect();
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0]["prompt_eval_count"], 30);
    assert_eq!(ends[0]["eval_count"], 8);
    assert!(told.iter().all(|line| line["model"] == "m"), "{told:?}");
    let again: Value = serde_json::from_str(&outcome.legs[1].1).unwrap();
    let call = json!({"function": {"name": "rm", "arguments": {"path": "/"}}});
    assert_eq!(
        again["messages"][1],
        json!({"role": "assistant", "content": "I tidy. ", "thinking": "Hm.", "tool_calls": [call]})
    );
    assert_eq!(
        again["messages"][2],
        json!({"role": "tool", "tool_name": "rm", "content": "never"})
    );
}

#[tokio::test]
async fn a_whole_answer_is_judged_as_a_stream_is() {
    let calls = r#"{"model":"m","message":{"role":"assistant","content":"I tidy. ","tool_calls":[{"function":{"name":"rm","arguments":{}}}]},"done":true,"done_reason":"stop","prompt_eval_count":10,"eval_count":5}"#;
    let goes_on = r#"{"model":"n","message":{"role":"assistant","content":"I may not."},"done":true,"done_reason":"stop","prompt_eval_count":20,"eval_count":3}"#;
    let plays = vec![Play::Answers(vec![calls]), Play::Answers(vec![goes_on])];
    let outcome = run(NO_RM, &OllamaChat, WHOLE, plays).await;
    let body = whole(&outcome);
    assert_eq!(body["message"]["content"], "I tidy. I may not.");
    assert_eq!(
        (&body["prompt_eval_count"], &body["model"]),
        (&json!(30), &json!("m"))
    );
    // A server that streams all the same.
    let plays = vec![
        Play::Answers(CALLS.to_vec()),
        Play::Answers(GOES_ON.to_vec()),
    ];
    let outcome = run(NO_RM, &OllamaChat, WHOLE, plays).await;
    assert_eq!(whole(&outcome)["message"]["content"], "I tidy. I may not.");
}

#[tokio::test]
async fn endings_are_spoken_in_the_api() {
    let block = "[[rule]]\nwhen = \"has(vitals.output_tokens) && vitals.output_tokens > 0\"\ndo = \"block\"\n";
    let outcome = run(
        block,
        &OllamaChat,
        ASKS,
        vec![Play::Answers(GOES_ON.to_vec())],
    )
    .await;
    let told = lines(&outcome.text());
    assert!(told.last().unwrap()["error"].is_string(), "{told:?}");
    assert!(
        told.last().unwrap()["airlock"]["policy"].is_string(),
        "{told:?}"
    );
    let stop = block.replace("block", "stop");
    let outcome = run(
        &stop,
        &OllamaChat,
        ASKS,
        vec![Play::Answers(GOES_ON.to_vec())],
    )
    .await;
    let end = lines(&outcome.text()).pop().unwrap();
    assert_eq!(
        (&end["done"], &end["done_reason"]),
        (&json!(true), &json!("length"))
    );
    assert_eq!(end["airlock"]["partial"], true);
    let answer = "[[rule]]\nwhen = \"request.messages > 0\"\ndo = \"answer-locally\"\nmessage = \"Not today.\"\n";
    let outcome = run(answer, &OllamaChat, ASKS, Vec::new()).await;
    let Some(Ending::Reply(Reply::Stream(bytes))) = &outcome.ending else {
        let told = lines(&outcome.text());
        assert_eq!(said(&told), "Not today.");
        assert_eq!(told.last().unwrap()["done"], true);
        return;
    };
    let told = lines(std::str::from_utf8(bytes).unwrap());
    assert_eq!(said(&told), "Not today.");
    assert_eq!(told.last().unwrap()["done"], true);
}

#[tokio::test]
async fn what_is_no_line_of_the_api_never_leaves_where_somebody_judges() {
    for garbled in [
        "{\"Message\":{\"content\":\"hidden\"},\"done\":false}\n",
        "{\"message\":{\"content\":\"a\",\"content\":\"hidden\"},\"done\":false}\n",
        "hidden\n",
    ] {
        let plays = vec![Play::Answers(vec![garbled, GOES_ON[1]])];
        let outcome = run(NO_RM, &OllamaChat, ASKS, plays).await;
        let text = outcome.text();
        assert!(!text.contains("hidden"), "{text}");
    }
}

#[tokio::test]
async fn a_line_of_a_model_that_breaks_off_is_followed_by_an_error() {
    let plays = vec![Play::Breaks(vec![
        CALLS[0],
        "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"I\"},\"done\":false}",
    ])];
    let outcome = run("", &OllamaChat, ASKS, plays).await;
    let told = lines(&outcome.text());
    assert!(told.last().unwrap()["error"].is_string(), "{told:?}");
}

#[tokio::test]
async fn a_prompt_is_judged_and_instructed() {
    let lines_of = [
        "{\"model\":\"m\",\"response\":\"done\",\"done\":false}\n",
        "{\"model\":\"m\",\"response\":\"\",\"done\":true,\"context\":[1]}\n",
    ];
    let inject = "[[rule]]\nwhen = \"request.messages > 0\"\ndo = \"inject\"\nmessage = \"Delete nothing.\"\n";
    let outcome = run(
        inject,
        &OllamaGenerate,
        PROMPT,
        vec![Play::Answers(lines_of.to_vec())],
    )
    .await;
    let (path, body) = &outcome.legs[0];
    assert_eq!(path, "/api/generate");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["system"], "Delete nothing.");
    assert_eq!(outcome.text(), lines_of.concat());
}

/// `Hold::next_leg` leaves out a frame that ends its leg even if it bears text.
#[tokio::test]
async fn what_stands_in_the_last_line_of_a_leg_that_goes_on_is_kept() {
    let calls = "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"I tidy. \",\"tool_calls\":[{\"function\":{\"name\":\"rm\",\"arguments\":{}}}]},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":10,\"eval_count\":5}\n";
    let plays = vec![Play::Answers(vec![calls]), Play::Answers(GOES_ON.to_vec())];
    let outcome = run(NO_RM, &OllamaChat, ASKS, plays).await;
    let told = lines(&outcome.text());
    assert_eq!(said(&told), "I tidy. I may not.");
    assert_eq!(told.iter().filter(|line| line["done"] == true).count(), 1);
    assert_eq!(told.last().unwrap()["eval_count"], 8);
}
