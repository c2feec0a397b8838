//! Nothing in an exchange is a matter of chat completions: an API that does everything otherwise is judged alike.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::Value;

use crate::parley::Parley;
use crate::world::{Asked, Outcome, Play, World, drive};
use airlock_core::dialect::openai_chat::OpenAiChat;
use airlock_core::exchange::{Ending, Reply};

const ASKS: &str = r#"{"charter":"Be brief.","entries":[{"by":"human","say":"tidy up"}]}"#;
const NO_RM: &str =
    "[[rule]]\nwhen = \"tool.name == 'rm'\"\ndo = \"deny-tool-call\"\nmessage = \"never\"\n";
const CALLS: [&str; 5] = [
    "{\"no\":0,\"open\":\"p1\"}\n",
    "{\"no\":1,\"seal\":\"s1gned\"}\n{\"no\":2,\"say\":\"I tidy. \"}\n",
    "{\"no\":3,\"act\":{\"ref\":\"a1\",\"tool\":\"rm\",\"with\":{\"path\"",
    ":\"/\"}}}\n",
    "{\"no\":4,\"close\":\"acts\"}\n",
];
const GOES_ON: [&str; 2] = [
    "{\"no\":0,\"open\":\"p2\"}\n{\"no\":1,\"say\":\"I may not.\"}\n",
    "{\"no\":2,\"close\":\"done\"}\n",
];

async fn run(rules: &str, verb: &'static str, plays: Vec<Play>) -> Outcome {
    let world = World::new(rules);
    let path = match verb {
        "stream" => "/parley/oracle-1/stream",
        _ => "/parley/oracle-1/ask",
    };
    let asked = Asked {
        path,
        ..Asked::default()
    };
    let mut exchange = world.begin(&Parley, asked, ASKS).await;
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

/// Each line has the number of its place.
fn numbered(lines: &[Value]) {
    for (n, line) in lines.iter().enumerate() {
        assert_eq!(line["no"], n, "{lines:?}");
    }
}

#[tokio::test]
async fn with_nobody_to_judge_every_byte_passes() {
    let outcome = run("", "stream", vec![Play::Answers(CALLS.to_vec())]).await;
    assert_eq!(outcome.text(), CALLS.concat());
    let (path, body) = &outcome.legs[0];
    assert_eq!(path, "/parley/oracle-1/stream");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["charter"], "Be brief.");
}

#[tokio::test]
async fn a_denied_call_goes_back_with_the_turn_as_its_server_signed_it() {
    let plays = vec![
        Play::Answers(CALLS.to_vec()),
        Play::Answers(GOES_ON.to_vec()),
    ];
    let outcome = run(NO_RM, "stream", plays).await;
    let text = outcome.text();
    let told = lines(&text);
    numbered(&told);
    assert!(!text.contains("rm") && !text.contains("a1"), "{text}");
    let said: String = told
        .iter()
        .filter_map(|line| line["say"].as_str())
        .collect();
    assert_eq!(said, "I tidy. I may not.");
    assert_eq!(told.last().unwrap()["close"], "done");
    let again: Value = serde_json::from_str(&outcome.legs[1].1).unwrap();
    let entries = again["entries"].as_array().unwrap();
    assert_eq!(entries[1]["seal"], "s1gned");
    assert_eq!(entries[1]["acts"][0]["ref"], "a1");
    assert_eq!(entries[2]["out"], "never");
}

#[tokio::test]
async fn a_whole_answer_is_judged_as_a_stream_is() {
    let calls = r#"{"open":"p1","seal":"s1gned","say":"I tidy. ","acts":[{"ref":"a1","tool":"rm","with":{}}],"close":"acts"}"#;
    let goes_on = r#"{"open":"p2","say":"I may not.","close":"done"}"#;
    let plays = vec![Play::Answers(vec![calls]), Play::Answers(vec![goes_on])];
    let outcome = run(NO_RM, "ask", plays).await;
    let Some(Ending::Reply(Reply::Whole(body, None))) = &outcome.ending else {
        panic!("{:?}", outcome.ending);
    };
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(body["say"], "I tidy. I may not.");
    assert_eq!(outcome.legs[1].0, "/parley/oracle-1/ask");
    assert!(outcome.legs[1].1.contains("s1gned"));
}

#[tokio::test]
async fn an_instruction_that_is_put_in_stands_where_the_api_has_it() {
    let rules = "[[rule]]\nwhen = \"request.messages > 0\"\ndo = \"inject\"\nmessage = \"Delete nothing.\"\n";
    let outcome = run(rules, "stream", vec![Play::Answers(GOES_ON.to_vec())]).await;
    let body: Value = serde_json::from_str(&outcome.legs[0].1).unwrap();
    assert_eq!(body["charter"], "Be brief.\nDelete nothing.");
    assert_eq!(body["entries"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn endings_are_spoken_in_the_api() {
    let block = "[[rule]]\nwhen = \"has(vitals.output_tokens) && vitals.output_tokens > 0\"\ndo = \"block\"\n";
    let outcome = run(block, "stream", vec![Play::Answers(GOES_ON.to_vec())]).await;
    let told = lines(&outcome.text());
    numbered(&told);
    assert_eq!(told.last().unwrap()["fault"], "content_filter");
    let stop = block.replace("block", "stop");
    let outcome = run(&stop, "stream", vec![Play::Answers(GOES_ON.to_vec())]).await;
    let told = lines(&outcome.text());
    numbered(&told);
    assert_eq!(told.last().unwrap()["close"], "partial");
    let answer = "[[rule]]\nwhen = \"request.messages > 0\"\ndo = \"answer-locally\"\nmessage = \"Not today.\"\n";
    let outcome = run(answer, "stream", Vec::new()).await;
    let told = lines(&outcome.text());
    numbered(&told);
    assert_eq!(told[1]["say"], "Not today.");
    let error = Bytes::from(outcome.given.clone());
    assert!(!error.is_empty());
}

#[tokio::test]
async fn what_is_no_line_of_the_api_never_leaves_where_somebody_judges() {
    let garbled = vec!["{\"no\":0,\"open\":\"p1\"}\n", "{\"no\":1,\"say\"\n"];
    let outcome = run(NO_RM, "stream", vec![Play::Answers(garbled)]).await;
    let told = lines(&outcome.text());
    numbered(&told);
    assert_eq!(told.last().unwrap()["fault"], "content_filter");
}

#[tokio::test]
async fn with_nobody_to_judge_an_answer_that_cannot_be_read_passes_and_is_asked_for_once() {
    for body in ["<html>a proxy speaks</html>", "{\"choices\": 7}"] {
        let world = World::new("");
        let whole = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
        let mut exchange = world.begin(&OpenAiChat, Asked::default(), whole).await;
        let mut plays = VecDeque::from([Play::Answers(vec![body])]);
        let mut outcome = Outcome::default();
        drive(&mut exchange, &mut plays, world.start, &mut outcome).await;
        assert_eq!(outcome.legs.len(), 1);
        let Some(Ending::Reply(Reply::Whole(given, None))) = &outcome.ending else {
            panic!("{:?}", outcome.ending);
        };
        assert_eq!(given, body);
    }
}
