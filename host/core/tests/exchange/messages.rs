//! Exchanges in Anthropic Messages: what a client reads is one well-formed message, whatever became of it on its way.

use std::collections::VecDeque;

use serde_json::Value;

use crate::world::{Asked, Outcome, Play, World, drive};
use airlock_core::dialect::anthropic_messages::AnthropicMessages;
use airlock_core::exchange::{Ending, Reply};

const ASKS: &str = r#"{"model":"claude-x","max_tokens":100,"stream":true,"system":"Be brief.","messages":[{"role":"user","content":"tidy up"}]}"#;
const WHOLE: &str = r#"{"model":"claude-x","max_tokens":100,"system":"Be brief.","messages":[{"role":"user","content":"tidy up"}]}"#;
const NO_RM: &str =
    "[[rule]]\nwhen = \"tool.name == 'rm'\"\ndo = \"deny-tool-call\"\nmessage = \"never\"\n";

const STARTS: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n";
const THINKS: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Hm.\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"EqUDCkYICxgCKkB94vhGG6xKjNnGimHM\"}}\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n";
const SAYS: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"I tidy. \"}}\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n";
const CALLS: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"rm\",\"input\":{}}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"path\\\":\\\"/\\\"}\"}}\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":2}\n\n";
const LISTS: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":3,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_2\",\"name\":\"ls\",\"input\":{}}}\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":3}\n\n";
const ENDS_IN_CALLS: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":20}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const GOES_ON: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_2\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":30,\"output_tokens\":1}}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"I may not.\"}}\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":5}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

async fn run(rules: &str, body: &'static str, plays: Vec<Play>) -> Outcome {
    let world = World::new(rules);
    let asked = Asked {
        path: "/v1/messages",
        ..Asked::default()
    };
    let mut exchange = world.begin(&AnthropicMessages, asked, body).await;
    let (mut plays, mut outcome) = (VecDeque::from(plays), Outcome::default());
    let until = drive(&mut exchange, &mut plays, world.start, &mut outcome).await;
    assert_eq!(until, None, "it ends");
    outcome
}

/// The message that a client puts together, which demands what the vendor's own does: a line that names each event, one
/// beginning, blocks one after another under running numbers, one end.
fn message(stream: &str) -> Value {
    let mut message = Value::Null;
    let (mut open, mut ended) = (None, false);
    for event in stream.split("\n\n").filter(|event| !event.is_empty()) {
        let (line, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(line, format!("event: {}", data["type"].as_str().unwrap()));
        assert!(!ended, "{event} after the end");
        match data["type"].as_str().unwrap() {
            "message_start" => {
                assert!(message.is_null(), "a second message: {stream}");
                message = data["message"].clone();
            }
            "content_block_start" => {
                assert_eq!(open, None, "{stream}");
                let blocks = message["content"].as_array_mut().unwrap();
                assert_eq!(data["index"], blocks.len(), "{stream}");
                blocks.push(data["content_block"].clone());
                open = data["index"].as_u64();
            }
            "content_block_delta" => {
                assert_eq!(open, data["index"].as_u64(), "{stream}");
                let block = &mut message["content"][open.unwrap() as usize];
                let delta = &data["delta"];
                let (key, from) = match delta["type"].as_str().unwrap() {
                    "text_delta" => ("text", "text"),
                    "thinking_delta" => ("thinking", "thinking"),
                    "signature_delta" => ("signature", "signature"),
                    _ => ("json", "partial_json"),
                };
                let known = block[key].as_str().unwrap_or_default().to_owned();
                block[key] = (known + delta[from].as_str().unwrap()).into();
            }
            "content_block_stop" => {
                assert_eq!(open.take(), data["index"].as_u64(), "{stream}");
            }
            "message_delta" => {
                message["stop_reason"] = data["delta"]["stop_reason"].clone();
                message["usage"] = data["usage"].clone();
                message["airlock"] = data["airlock"].clone();
            }
            "message_stop" => ended = true,
            "error" => {
                message["error"] = data["error"].clone();
                ended = true;
            }
            other => assert_eq!(other, "ping"),
        }
    }
    assert!(ended, "no end: {stream}");
    assert!(open.is_none() || message["error"].is_object(), "{stream}");
    message
}

fn said(message: &Value) -> String {
    let blocks = message["content"].as_array().unwrap().iter();
    blocks.filter_map(|block| block["text"].as_str()).collect()
}

#[tokio::test]
async fn with_nobody_to_judge_every_byte_passes() {
    let chunks = vec![STARTS, THINKS, SAYS, CALLS, ENDS_IN_CALLS];
    let outcome = run("", ASKS, vec![Play::Answers(chunks.clone())]).await;
    assert_eq!(outcome.text(), chunks.concat());
    assert_eq!(
        outcome.legs[0],
        ("/v1/messages".to_owned(), ASKS.to_owned())
    );
}

#[tokio::test]
async fn a_denied_call_goes_back_with_the_turn_as_it_was_signed() {
    let plays = vec![
        Play::Answers(vec![STARTS, THINKS, SAYS, CALLS, ENDS_IN_CALLS]),
        Play::Answers(vec![GOES_ON]),
    ];
    let outcome = run(NO_RM, ASKS, plays).await;
    let text = outcome.text();
    assert!(
        !text.contains("toolu_1") && !text.contains("msg_2"),
        "{text}"
    );
    let message = message(&text);
    assert_eq!(said(&message), "I tidy. I may not.");
    assert_eq!(message["id"], "msg_1");
    assert_eq!(message["stop_reason"], "end_turn");
    assert_eq!(message["content"].as_array().unwrap().len(), 3);
    assert_eq!(message["usage"]["input_tokens"], 39);
    assert_eq!(message["usage"]["output_tokens"], 25);
    let again: Value = serde_json::from_str(&outcome.legs[1].1).unwrap();
    let turns = again["messages"].as_array().unwrap();
    assert_eq!(turns.len(), 3);
    let thought = &turns[1]["content"][0];
    assert_eq!(thought["thinking"], "Hm.");
    assert_eq!(thought["signature"], "EqUDCkYICxgCKkB94vhGG6xKjNnGimHM");
    assert_eq!(turns[1]["content"][2]["input"]["path"], "/");
    assert_eq!(turns[2]["content"][0]["tool_use_id"], "toolu_1");
    assert_eq!(turns[2]["content"][0]["content"], "never");
    assert!(outcome.legs[1].1.starts_with(&ASKS[..ASKS.len() - 2]));
}

#[tokio::test]
async fn of_several_calls_the_others_reach_the_client_under_their_new_numbers() {
    let chunks = vec![STARTS, THINKS, SAYS, CALLS, LISTS, ENDS_IN_CALLS];
    let outcome = run(NO_RM, ASKS, vec![Play::Answers(chunks)]).await;
    assert_eq!(outcome.legs.len(), 1);
    let message = message(&outcome.text());
    assert_eq!(message["content"][2]["id"], "toolu_2");
    assert_eq!(message["content"].as_array().unwrap().len(), 3);
    assert_eq!(message["stop_reason"], "tool_use");
}

#[tokio::test]
async fn a_whole_answer_is_judged_as_a_stream_is() {
    let calls = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"I tidy. "},{"type":"tool_use","id":"toolu_1","name":"rm","input":{"path":"/"}}],"stop_reason":"tool_use","usage":{"input_tokens":9,"output_tokens":20}}"#;
    let goes_on = r#"{"id":"msg_2","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"I may not."}],"stop_reason":"end_turn","usage":{"input_tokens":30,"output_tokens":5}}"#;
    for second in [goes_on, GOES_ON] {
        let plays = vec![Play::Answers(vec![calls]), Play::Answers(vec![second])];
        let outcome = run(NO_RM, WHOLE, plays).await;
        let Some(Ending::Reply(Reply::Whole(body, None))) = &outcome.ending else {
            panic!("{:?}", outcome.ending);
        };
        let body: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(said(&body), "I tidy. I may not.");
        assert_eq!(body["id"], "msg_1");
        assert_eq!(body["usage"]["input_tokens"], 39);
        assert!(outcome.legs[1].1.contains("never"));
    }
}

#[tokio::test]
async fn a_whole_answer_becomes_the_stream_that_was_asked_for() {
    let whole = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"Done."}],"stop_reason":"end_turn","usage":{"input_tokens":9,"output_tokens":20}}"#;
    for rules in ["", NO_RM] {
        let outcome = run(rules, ASKS, vec![Play::Answers(vec![whole])]).await;
        let message = message(&outcome.text());
        assert_eq!(said(&message), "Done.");
        assert_eq!(message["stop_reason"], "end_turn");
    }
}

#[tokio::test]
async fn an_instruction_that_is_put_in_stands_in_system() {
    let rules = "[[rule]]\nwhen = \"request.messages > 0\"\ndo = \"inject\"\nmessage = \"Delete nothing.\"\n";
    let outcome = run(rules, ASKS, vec![Play::Answers(vec![GOES_ON])]).await;
    let body: Value = serde_json::from_str(&outcome.legs[0].1).unwrap();
    assert_eq!(body["system"], "Be brief.\n\nDelete nothing.");
    assert_eq!(body["messages"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn endings_are_spoken_in_the_api() {
    let block = "[[rule]]\nwhen = \"has(vitals.output_tokens) && vitals.output_tokens > 0\"\ndo = \"block\"\n";
    let play = || {
        vec![Play::Answers(vec![
            STARTS,
            THINKS,
            SAYS,
            CALLS,
            ENDS_IN_CALLS,
        ])]
    };
    let blocked = message(&run(block, ASKS, play()).await.text());
    assert_eq!(blocked["error"]["details"]["error_code"], "content_filter");
    let stopped = message(
        &run(&block.replace("block", "stop"), ASKS, play())
            .await
            .text(),
    );
    assert_eq!(stopped["stop_reason"], "max_tokens");
    assert_eq!(stopped["airlock"]["partial"], true);
    let answer = "[[rule]]\nwhen = \"request.messages > 0\"\ndo = \"answer-locally\"\nmessage = \"Not today.\"\n";
    let answered = message(&run(answer, ASKS, Vec::new()).await.text());
    assert_eq!(said(&answered), "Not today.");
    assert_eq!(answered["stop_reason"], "end_turn");
}

#[tokio::test]
async fn what_is_no_event_of_the_api_never_leaves_where_somebody_judges() {
    let hidden = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":7,\"delta\":{\"type\":\"text_delta\",\"text\":\"hidden\"}}\n\n";
    let chunks = vec![STARTS, THINKS, hidden, SAYS, ENDS_IN_CALLS];
    let outcome = run(NO_RM, ASKS, vec![Play::Answers(chunks)]).await;
    let text = outcome.text();
    assert!(!text.contains("hidden"), "{text}");
    assert_eq!(
        message(&text)["error"]["details"]["error_code"],
        "content_filter"
    );
}

#[tokio::test]
async fn an_upstream_that_fails_after_its_beginning_is_asked_again() {
    let overloaded = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    let plays = vec![
        Play::Answers(vec![STARTS, overloaded]),
        Play::Answers(vec![GOES_ON]),
    ];
    let outcome = run("", ASKS, plays).await;
    let message = message(&outcome.text());
    assert_eq!(said(&message), "I may not.");
    assert_eq!(message["id"], "msg_1");
}

#[tokio::test]
async fn where_the_budget_ends_is_the_end_of_a_well_formed_message() {
    for tokens in 18..60 {
        let world = World::with_budget("", Some(tokens));
        let asked = Asked {
            path: "/v1/messages",
            ..Asked::default()
        };
        let mut exchange = world.begin(&AnthropicMessages, asked, ASKS).await;
        let all: &'static str =
            Box::leak([STARTS, THINKS, SAYS, CALLS, ENDS_IN_CALLS].concat().into());
        let mut plays = VecDeque::from([Play::Answers(vec![all])]);
        let mut outcome = Outcome::default();
        drive(&mut exchange, &mut plays, world.start, &mut outcome).await;
        if !outcome.given.is_empty() {
            message(&outcome.text());
        }
    }
}
