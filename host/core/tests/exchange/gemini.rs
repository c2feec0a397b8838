//! Gemini in an exchange: a stream that nothing but its end ends, calls that have no ids, turns that are signed.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::world::{Asked, Outcome, Play, World, drive};
use airlock_core::dialect::Dialect;
use airlock_core::dialect::gemini::{Gemini, Version};
use airlock_core::exchange::{Ending, Reply};

const ASKS: &str = r#"{"system_instruction":{"parts":{"text":"Be brief."}},"contents":[{"role":"user","parts":[{"text":"tidy up"}]}]}"#;
const NO_RM: &str =
    "[[rule]]\nwhen = \"tool.name == 'rm'\"\ndo = \"deny-tool-call\"\nmessage = \"never\"\n";
const STREAM: &str = "/v1beta/models/gemini-3:streamGenerateContent";
const WHOLE: &str = "/v1beta/models/gemini-3:generateContent";

const CALLS: [&str; 4] = [
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"I tidy. \"}],\"role\":\"model\"},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":9,\"totalTokenCount\":9},\"modelVersion\":\"g\",\"responseId\":\"r1\"}\r\n\r\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"rm\",\"args\":{\"path\":\"/\"}},\"thoughtSignature\":\"c2lnbmVkIGJ5IHRoZSBtb2RlbCBpdHNlbGY=\"}],",
    "\"role\":\"model\"},\"index\":0}],\"responseId\":\"r1\"}\r\n\r\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":5,\"totalTokenCount\":14},\"responseId\":\"r1\"}\r\n\r\n",
];
const GOES_ON: [&str; 2] = [
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"I may not.\"}],\"role\":\"model\"},\"index\":0}],\"responseId\":\"r2\"}\r\n\r\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}],\"role\":\"model\"},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":20,\"candidatesTokenCount\":3,\"totalTokenCount\":23},\"responseId\":\"r2\"}\r\n\r\n",
];

async fn run(
    rules: &str,
    (path, query): (&'static str, Option<&str>),
    plays: Vec<Play>,
) -> Outcome {
    let world = World::new(rules);
    let asked = Asked {
        path,
        ..Asked::default()
    };
    let client: &'static dyn Dialect = Gemini::asked(Version::V1Beta, query);
    let mut exchange = world.begin(client, asked, ASKS).await;
    let (mut plays, mut outcome) = (VecDeque::from(plays), Outcome::default());
    let until = drive(&mut exchange, &mut plays, world.start, &mut outcome).await;
    assert_eq!(until, None, "it ends");
    outcome
}

/// What a client of events, or of an array, reads.
fn told(outcome: &Outcome, array: bool) -> Vec<Value> {
    let text = match &outcome.ending {
        Some(Ending::Reply(Reply::Stream(bytes))) => String::from_utf8(bytes.to_vec()).unwrap(),
        _ => outcome.text(),
    };
    if array {
        // A stream that ends well is ended by its driver.
        let end = if text.ends_with(']') { "" } else { "]" };
        return serde_json::from_str(&format!("{text}{end}")).unwrap();
    }
    let events = text
        .split("\n\n")
        .flat_map(|event| event.split("\r\n\r\n"))
        .filter(|event| !event.is_empty());
    events
        .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
        .collect()
}

fn said(told: &[Value]) -> String {
    let texts = told
        .iter()
        .filter_map(|frame| frame["candidates"][0]["content"]["parts"][0]["text"].as_str());
    texts.collect()
}

const FORMS: [(bool, Option<&str>); 2] = [(false, Some("alt=sse")), (true, None)];

#[tokio::test]
async fn with_nobody_to_judge_every_byte_passes() {
    let plays = vec![Play::Answers(CALLS.to_vec())];
    let outcome = run("", (STREAM, Some("alt=sse")), plays).await;
    assert_eq!(outcome.text(), CALLS.concat());
    assert_eq!(outcome.ending, Some(Ending::Done));
    let (path, body) = &outcome.legs[0];
    assert_eq!(
        (path.as_str(), body.as_str()),
        (
            "/v1beta/models/gemini-3:streamGenerateContent?alt=sse",
            ASKS
        )
    );
}

#[tokio::test]
async fn a_stream_is_complete_at_its_finish_and_broken_without() {
    let whole = run(
        NO_RM,
        (STREAM, Some("alt=sse")),
        vec![Play::Answers(GOES_ON.to_vec())],
    )
    .await;
    let frames = told(&whole, false);
    assert_eq!(said(&frames), "I may not.");
    assert_eq!(frames[1]["usageMetadata"]["totalTokenCount"], 23);
    let cut = vec![Play::Answers(GOES_ON[..1].to_vec()), Play::Fails];
    let cut = run(NO_RM, (STREAM, Some("alt=sse")), cut).await;
    let frames = told(&cut, false);
    assert_eq!(
        frames.last().unwrap()["error"]["status"],
        "UNAVAILABLE",
        "{frames:?}"
    );
}

#[tokio::test]
async fn what_follows_the_finish_is_judged_too() {
    let late = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"rm\",\"args\":{}}}]}}]}\r\n\r\n";
    let plays = vec![Play::Answers([&GOES_ON[..], &[late][..]].concat())];
    let outcome = run(NO_RM, (STREAM, Some("alt=sse")), plays).await;
    let frames = told(&outcome, false);
    assert_eq!(said(&frames), "I may not.");
    assert_eq!(frames[1]["candidates"][0]["finishReason"], "STOP");
    assert!(!outcome.text().contains("rm"), "{frames:?}");
    let late = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"ls\",\"args\":{}}}]}}]}\r\n\r\n";
    let plays = vec![Play::Answers([&GOES_ON[..], &[late][..]].concat())];
    let outcome = run(NO_RM, (STREAM, Some("alt=sse")), plays).await;
    assert_eq!(told(&outcome, false).len(), 3, "what is permitted leaves");
}

#[tokio::test]
async fn a_denied_call_goes_back_with_the_turn_as_its_server_signed_it() {
    for (array, query) in FORMS {
        let plays = vec![
            Play::Answers(CALLS.to_vec()),
            Play::Answers(GOES_ON.to_vec()),
        ];
        let outcome = run(NO_RM, (STREAM, query), plays).await;
        let frames = told(&outcome, array);
        assert!(!outcome.text().contains("functionCall"), "{frames:?}");
        assert_eq!(said(&frames), "I tidy. I may not.");
        assert!(
            frames.iter().all(|frame| frame["responseId"] == "r1"),
            "{frames:?}"
        );
        let ends = |frame: &&Value| frame["candidates"][0]["finishReason"] == "STOP";
        assert_eq!(frames.iter().filter(ends).count(), 1);
        let usage = &frames.last().unwrap()["usageMetadata"];
        assert_eq!(
            (&usage["promptTokenCount"], &usage["candidatesTokenCount"]),
            (&json!(29), &json!(8)),
            "of both legs"
        );
        let again: Value = serde_json::from_str(&outcome.legs[1].1).unwrap();
        assert_eq!(
            again["contents"].as_array().unwrap()[1..],
            [
                json!({"parts": [{"text": "I tidy. "}, {"functionCall": {"name": "rm", "args": {"path": "/"}},
                    "thoughtSignature": "c2lnbmVkIGJ5IHRoZSBtb2RlbCBpdHNlbGY="}], "role": "model"}),
                json!({"parts": [{"functionResponse": {"name": "rm", "response": {"output": "never"}}}], "role": "user"}),
            ]
        );
    }
}

#[tokio::test]
async fn a_whole_answer_is_judged_as_a_stream_is() {
    let calls = r#"{"candidates":[{"content":{"parts":[{"text":"I tidy. ","thoughtSignature":"c2lnbmVkIGJ5IHRoZSBtb2RlbCBpdHNlbGY="},{"functionCall":{"name":"rm","args":{}}}],"role":"model"},"finishReason":"STOP"}],"responseId":"r1"}"#;
    let goes_on = r#"{"candidates":[{"content":{"parts":[{"text":"I may not."}],"role":"model"},"finishReason":"STOP"}],"responseId":"r2"}"#;
    let plays = vec![Play::Answers(vec![calls]), Play::Answers(vec![goes_on])];
    let outcome = run(NO_RM, (WHOLE, None), plays).await;
    let Some(Ending::Reply(Reply::Whole(body, None))) = &outcome.ending else {
        panic!("{:?}", outcome.ending);
    };
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(
        body["candidates"][0]["content"]["parts"],
        json!([{"text": "I tidy. "}, {"text": "I may not."}])
    );
    assert_eq!(outcome.legs[1].0, "/v1beta/models/gemini-3:generateContent");
    assert!(outcome.legs[1].1.contains("thoughtSignature"));
}

#[tokio::test]
async fn endings_are_spoken_in_the_api_and_in_the_form_of_the_client() {
    let block = "[[rule]]\nwhen = \"has(vitals.output_tokens) && vitals.output_tokens > 0\"\ndo = \"block\"\n";
    for (array, query) in FORMS {
        let answers = || vec![Play::Answers(GOES_ON.to_vec())];
        let outcome = run(block, (STREAM, query), answers()).await;
        let frames = told(&outcome, array);
        assert_eq!(
            frames.last().unwrap()["error"]["status"],
            "INVALID_ARGUMENT"
        );
        let outcome = run(&block.replace("block", "stop"), (STREAM, query), answers()).await;
        let frames = told(&outcome, array);
        assert_eq!(
            frames.last().unwrap()["candidates"][0]["finishReason"],
            "MAX_TOKENS"
        );
        assert_eq!(frames.last().unwrap()["airlock"]["partial"], true);
        let answer = "[[rule]]\nwhen = \"request.messages > 0\"\ndo = \"answer-locally\"\nmessage = \"Not today.\"\n";
        let outcome = run(answer, (STREAM, query), Vec::new()).await;
        let frames = told(&outcome, array);
        assert_eq!(said(&frames), "Not today.", "{frames:?}");
        assert_eq!(
            frames.last().unwrap()["candidates"][0]["finishReason"],
            "STOP"
        );
    }
    let answer = "[[rule]]\nwhen = \"request.messages > 0\"\ndo = \"answer-locally\"\nmessage = \"Not today.\"\n";
    let outcome = run(answer, (WHOLE, None), Vec::new()).await;
    let Some(Ending::Reply(Reply::Whole(body, None))) = &outcome.ending else {
        panic!("{:?}", outcome.ending);
    };
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(said(&[body]), "Not today.");
}

#[tokio::test]
async fn an_instruction_that_is_put_in_stands_where_the_api_has_it() {
    let rules = "[[rule]]\nwhen = \"request.messages > 0\"\ndo = \"inject\"\nmessage = \"Delete nothing.\"\n";
    let plays = vec![Play::Answers(GOES_ON.to_vec())];
    let outcome = run(rules, (STREAM, Some("alt=sse")), plays).await;
    let body: Value = serde_json::from_str(&outcome.legs[0].1).unwrap();
    assert_eq!(
        body["system_instruction"]["parts"],
        json!([{"text": "Be brief."}, {"text": "Delete nothing."}])
    );
    assert_eq!(body["contents"].as_array().unwrap().len(), 1);
}
