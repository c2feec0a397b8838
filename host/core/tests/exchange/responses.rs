//! The Responses API in an exchange: its answers are said several times over, and are judged and written as one.

use std::collections::VecDeque;

use serde_json::Value;

use crate::world::{Asked, Outcome, Play, World, drive};
use airlock_core::dialect::openai_responses::OpenAiResponses;
use airlock_core::exchange::{Ending, Reply};

const STREAM: &str = r#"{"model":"m","stream":true,"instructions":"Be brief.","input":"tidy up"}"#;
const WHOLE: &str = r#"{"model":"m","input":[{"role":"user","content":"tidy up"}]}"#;
const NO_RM: &str =
    "[[rule]]\nwhen = \"tool.name == 'rm'\"\ndo = \"deny-tool-call\"\nmessage = \"never\"\n";

const CALLS: [&str; 9] = [
    "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":1,\"model\":\"m\",\"status\":\"in_progress\",\"output\":[]}}\n\n",
    "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":1,\"output_index\":0,\"item\":{\"id\":\"rs_1\",\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"gAAAAABpPB8iV8e6ZyQ0LAGthckz\"}}\n\n",
    "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"sequence_number\":2,\"output_index\":0,\"item\":{\"id\":\"rs_1\",\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"gAAAAABpPB8iV8e6ZyQ0LAGthckz\"}}\n\n",
    "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":3,\"output_index\":1,\"item\":{\"id\":\"fc_1\",\"type\":\"function_call\",\"status\":\"in_progress\",\"call_id\":\"call_1\",\"name\":\"rm\",\"arguments\":\"\"}}\n\n",
    "event: response.function_call_arguments.delta\ndata: {\"type\":\"response.function_call_arguments.delta\",\"sequence_number\":4,\"output_index\":1,\"item_id\":\"fc_1\",\"delta\":\"{\\\"path\\\":\"}\n\n",
    "event: response.function_call_arguments.delta\ndata: {\"type\":\"response.function_call_arguments.delta\",\"sequence_number\":5,\"output_index\":1,\"item_id\":\"fc_1\",\"delta\":\"\\\"/\\\"}\"}\n\n",
    "event: response.function_call_arguments.done\ndata: {\"type\":\"response.function_call_arguments.done\",\"sequence_number\":6,\"output_index\":1,\"item_id\":\"fc_1\",\"arguments\":\"{\\\"path\\\":\\\"/\\\"}\"}\n\n",
    "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"sequence_number\":7,\"output_index\":1,\"item\":{\"id\":\"fc_1\",\"type\":\"function_call\",\"status\":\"completed\",\"call_id\":\"call_1\",\"name\":\"rm\",\"arguments\":\"{\\\"path\\\":\\\"/\\\"}\"}}\n\n",
    "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":8,\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":1,\"model\":\"m\",\"status\":\"completed\",\"output\":[{\"id\":\"rs_1\",\"type\":\"reasoning\",\"summary\":[]},{\"id\":\"fc_1\",\"type\":\"function_call\",\"status\":\"completed\",\"call_id\":\"call_1\",\"name\":\"rm\",\"arguments\":\"{\\\"path\\\":\\\"/\\\"}\"}],\"usage\":{\"input_tokens\":10,\"output_tokens\":5,\"total_tokens\":15}}}\n\n",
];
const GOES_ON: [&str; 7] = [
    "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_2\",\"object\":\"response\",\"created_at\":2,\"model\":\"m\",\"status\":\"in_progress\",\"output\":[]}}\n\n",
    "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":1,\"output_index\":0,\"item\":{\"id\":\"msg_2\",\"type\":\"message\",\"status\":\"in_progress\",\"role\":\"assistant\",\"content\":[]}}\n\n",
    "event: response.content_part.added\ndata: {\"type\":\"response.content_part.added\",\"sequence_number\":2,\"output_index\":0,\"content_index\":0,\"item_id\":\"msg_2\",\"part\":{\"type\":\"output_text\",\"annotations\":[],\"text\":\"\"}}\n\n",
    "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":3,\"output_index\":0,\"content_index\":0,\"item_id\":\"msg_2\",\"delta\":\"I may not.\"}\n\n",
    "event: response.output_text.done\ndata: {\"type\":\"response.output_text.done\",\"sequence_number\":4,\"output_index\":0,\"content_index\":0,\"item_id\":\"msg_2\",\"text\":\"I may not.\"}\n\nevent: response.content_part.done\ndata: {\"type\":\"response.content_part.done\",\"sequence_number\":5,\"output_index\":0,\"content_index\":0,\"item_id\":\"msg_2\",\"part\":{\"type\":\"output_text\",\"annotations\":[],\"text\":\"I may not.\"}}\n\n",
    "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"sequence_number\":6,\"output_index\":0,\"item\":{\"id\":\"msg_2\",\"type\":\"message\",\"status\":\"completed\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"annotations\":[],\"text\":\"I may not.\"}]}}\n\n",
    "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":7,\"response\":{\"id\":\"resp_2\",\"object\":\"response\",\"created_at\":2,\"model\":\"m\",\"status\":\"completed\",\"output\":[{\"id\":\"msg_2\",\"type\":\"message\",\"status\":\"completed\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"annotations\":[],\"text\":\"I may not.\"}]}],\"usage\":{\"input_tokens\":20,\"output_tokens\":7,\"total_tokens\":27}}}\n\n",
];

async fn run(rules: &str, body: &'static str, plays: Vec<Play>) -> Outcome {
    let world = World::new(rules);
    let asked = Asked {
        path: "/v1/responses",
        ..Asked::default()
    };
    let mut exchange = world.begin(&OpenAiResponses, asked, body).await;
    let (mut plays, mut outcome) = (VecDeque::from(plays), Outcome::default());
    let until = drive(&mut exchange, &mut plays, world.start, &mut outcome).await;
    assert_eq!(until, None, "it ends");
    outcome
}

/// The events that the client was given, in a stream or as the whole of one. Each has its name, and the number of its place.
fn events(outcome: &Outcome) -> Vec<Value> {
    let text = match &outcome.ending {
        Some(Ending::Reply(Reply::Stream(bytes))) => String::from_utf8(bytes.to_vec()).unwrap(),
        _ => outcome.text(),
    };
    let frames = text.split("\n\n").filter(|frame| !frame.is_empty());
    let events = frames.enumerate().map(|(n, frame)| {
        let (name, data) = frame.split_once('\n').unwrap();
        let event: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name, format!("event: {}", event["type"].as_str().unwrap()));
        assert_eq!(event["sequence_number"], n, "{text}");
        event
    });
    events.collect()
}

#[tokio::test]
async fn with_nobody_to_judge_every_byte_passes() {
    let outcome = run("", STREAM, vec![Play::Answers(CALLS.to_vec())]).await;
    assert_eq!(outcome.text(), CALLS.concat());
    assert_eq!(
        outcome.legs[0],
        ("/responses".to_owned(), STREAM.to_owned())
    );
}

#[tokio::test]
async fn a_denied_call_goes_back_behind_the_thought_that_led_to_it() {
    let plays = vec![
        Play::Answers(CALLS.to_vec()),
        Play::Answers(GOES_ON.to_vec()),
    ];
    let outcome = run(NO_RM, STREAM, plays).await;
    let told = events(&outcome);
    let text = outcome.text();
    assert!(
        !text.contains("call_1") && !text.contains("resp_2"),
        "{text}"
    );
    let names: Vec<&str> = told
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        names
            .iter()
            .filter(|name| **name == "response.created")
            .count(),
        1
    );
    let last = told.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    let output = last["response"]["output"].as_array().unwrap();
    assert_eq!(
        (&output[0]["type"], &output[1]["type"], output.len()),
        (&"reasoning".into(), &"message".into(), 2)
    );
    assert_eq!(last["response"]["usage"]["input_tokens"], 30);
    let again: Value = serde_json::from_str(&outcome.legs[1].1).unwrap();
    let input = again["input"].as_array().unwrap();
    let kinds: Vec<&str> = input
        .iter()
        .map(|item| item["type"].as_str().unwrap_or("message"))
        .collect();
    assert_eq!(
        kinds,
        [
            "message",
            "reasoning",
            "function_call",
            "function_call_output"
        ]
    );
    assert_eq!(
        input[1]["encrypted_content"],
        "gAAAAABpPB8iV8e6ZyQ0LAGthckz"
    );
    assert_eq!(
        (&input[2]["id"], &input[3]["output"]),
        (&"fc_1".into(), &"never".into())
    );
}

/// The response of the last event of a stream.
fn whole(stream: &[&'static str]) -> &'static str {
    let data = stream
        .last()
        .unwrap()
        .split_once("\"response\":")
        .unwrap()
        .1;
    data.trim_end().strip_suffix('}').unwrap()
}

#[tokio::test]
async fn a_whole_answer_is_judged_as_a_stream_is() {
    let plays = vec![
        Play::Answers(vec![whole(&CALLS)]),
        Play::Answers(vec![whole(&GOES_ON)]),
    ];
    let outcome = run(NO_RM, WHOLE, plays).await;
    let Some(Ending::Reply(Reply::Whole(body, None))) = &outcome.ending else {
        panic!("{:?}", outcome.ending);
    };
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(body["id"], "resp_1");
    assert_eq!(body["output"][0]["content"][0]["text"], "I may not.");
    assert_eq!(body["usage"]["total_tokens"], 42);
    assert!(outcome.legs[1].1.contains("fc_1"));
}

#[tokio::test]
async fn a_document_is_given_as_a_stream_and_the_reverse() {
    let outcome = run(NO_RM, STREAM, vec![Play::Answers(vec![whole(&GOES_ON)])]).await;
    let told = events(&outcome);
    assert_eq!(
        told.last().unwrap()["response"]["output"][0]["content"][0]["text"],
        "I may not."
    );
    let outcome = run(NO_RM, WHOLE, vec![Play::Answers(GOES_ON.to_vec())]).await;
    let Some(Ending::Reply(Reply::Whole(body, None))) = &outcome.ending else {
        panic!("{:?}", outcome.ending);
    };
    assert_eq!(body, whole(&GOES_ON));
}

#[tokio::test]
async fn an_instruction_that_is_put_in_stands_in_the_instructions() {
    let rules = "[[rule]]\nwhen = \"request.messages > 0\"\ndo = \"inject\"\nmessage = \"Delete nothing.\"\n";
    let outcome = run(rules, STREAM, vec![Play::Answers(GOES_ON.to_vec())]).await;
    let body: Value = serde_json::from_str(&outcome.legs[0].1).unwrap();
    let text = body.to_string();
    assert!(
        text.contains("Delete nothing.") && text.contains("Be brief."),
        "{text}"
    );
}

#[tokio::test]
async fn endings_are_spoken_in_the_api() {
    let block = "[[rule]]\nwhen = \"has(vitals.output_tokens) && vitals.output_tokens > 0\"\ndo = \"block\"\n";
    let outcome = run(block, STREAM, vec![Play::Answers(GOES_ON.to_vec())]).await;
    let told = events(&outcome);
    let [.., error, failed] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(
        (&error["type"], &error["error"]["code"]),
        (&"error".into(), &"content_filter".into())
    );
    assert_eq!(failed["type"], "response.failed");
    let stop = block.replace("block", "stop");
    let outcome = run(&stop, STREAM, vec![Play::Answers(GOES_ON.to_vec())]).await;
    let told = events(&outcome);
    let last = told.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["airlock"]["partial"], true);
    let output = last["response"]["output"].as_array().unwrap();
    let done = told
        .iter()
        .filter(|event| event["type"] == "response.output_item.done")
        .count();
    assert_eq!(output.len(), done);
    let answer = "[[rule]]\nwhen = \"request.messages > 0\"\ndo = \"answer-locally\"\nmessage = \"Not today.\"\n";
    let outcome = run(answer, STREAM, Vec::new()).await;
    let told = events(&outcome);
    assert_eq!(told[0]["type"], "response.created");
    assert_eq!(
        told.last().unwrap()["response"]["output"][0]["content"][0]["text"],
        "Not today."
    );
}

#[tokio::test]
async fn an_answer_that_contradicts_itself_never_leaves_where_somebody_judges() {
    let mut lies = GOES_ON.to_vec();
    lies[5] = "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"sequence_number\":6,\"output_index\":0,\"item\":{\"id\":\"msg_2\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"Send money.\"}]}}\n\n";
    let outcome = run(NO_RM, STREAM, vec![Play::Answers(lies.clone())]).await;
    assert!(!outcome.text().contains("Send money."));
    assert_eq!(events(&outcome).last().unwrap()["type"], "response.failed");
    let outcome = run("", STREAM, vec![Play::Answers(lies.clone())]).await;
    assert_eq!(
        outcome.text(),
        lies.concat(),
        "with nobody to judge it passes"
    );
}

#[tokio::test]
async fn an_attempt_that_breaks_is_made_again_in_the_same_stream() {
    let plays = vec![
        Play::Breaks(CALLS[..2].to_vec()),
        Play::Answers(GOES_ON.to_vec()),
    ];
    let outcome = run(NO_RM, STREAM, plays).await;
    let told = events(&outcome);
    assert_eq!(outcome.legs.len(), 2);
    assert!(!outcome.text().contains("resp_2"));
    let last = told.last().unwrap();
    assert_eq!(
        (&last["type"], &last["response"]["id"]),
        (&"response.completed".into(), &"resp_1".into())
    );
    // The thought had begun, and ends before the next attempt.
    let of = |name: &str| told.iter().filter(|event| event["type"] == name).count();
    let items = last["response"]["output"].as_array().unwrap().len();
    assert_eq!(
        (
            of("response.output_item.added"),
            of("response.output_item.done"),
            items
        ),
        (2, 2, 2)
    );
}

#[tokio::test]
async fn a_server_that_says_everything_at_the_end_is_judged_too() {
    let plays = vec![
        Play::Answers(vec![CALLS[0], CALLS[8]]),
        Play::Answers(vec![GOES_ON[0], GOES_ON[6]]),
    ];
    let outcome = run(NO_RM, STREAM, plays).await;
    let told = events(&outcome);
    assert!(!outcome.text().contains("call_1"), "{}", outcome.text());
    assert_eq!(outcome.legs.len(), 2);
    let last = told.last().unwrap();
    let output = last["response"]["output"].as_array().unwrap();
    assert_eq!(output.last().unwrap()["content"][0]["text"], "I may not.");
    let begun = told
        .iter()
        .filter(|event| event["type"] == "response.created")
        .count();
    assert_eq!((begun, &last["response"]["id"]), (1, &"resp_1".into()));
}
