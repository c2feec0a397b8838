//! Turns of thinking models whose calls were denied: they go back to the model as its server wrote them.

use serde_json::{Value, json};

use crate::support::*;

fn denies(id: &str) -> Policy {
    let order = json!({"deny-tool-call": {"call": id, "reason": "never"}});
    let guest = ordering(wakes(json!([{"event": "tool-call"}])), &[order]);
    Policy::new("guard", guest)
}

fn signature(of: &str) -> Value {
    json!({"google": {"thought_signature": format!("CpQB/+{of}==\u{2028}")}})
}

fn call(id: &str) -> Value {
    json!({"id": id, "type": "function", "extra_content": signature(id), "vendor_mark": 7,
        "function": {"name": "rm", "arguments": "{ \"path\":  \"/\" }"}})
}

fn details() -> Value {
    json!([
        {"type": "reasoning.text", "text": "I should look.", "signature": "c2lnbg==", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "gAAAA+/=", "id": "rs_1", "format": "openai-responses-v1", "index": 1}
    ])
}

/// A turn in all that vendors say beside the text, with these calls.
fn thought(calls: &[Value]) -> Value {
    json!({"role": "assistant", "content": "Let me look.", "reasoning_content": "I should look.", "reasoning": "I should look.",
        "reasoning_details": details(), "unheard_of": {"proof": "x"}, "tool_calls": calls})
}

fn body(message: &Value) -> Value {
    json!({"id": "gen", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}})
}

/// The same as a stream: texts in two halves, blocks and calls each in frames of their own.
fn stream(message: &Value) -> String {
    let mut deltas = vec![json!({"role": "assistant", "content": ""})];
    for field in ["reasoning_content", "reasoning"] {
        if let Some(text) = message[field].as_str() {
            let (a, b) = text.split_at(text.len() / 2);
            deltas.extend([json!({field: a}), json!({field: b})]);
        }
    }
    for detail in message["reasoning_details"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let mut detail = detail.clone();
        if let Some(text) = detail["text"].as_str().map(str::to_owned) {
            let kind = json!({"type": detail["type"], "text": text, "index": detail["index"]});
            deltas.push(json!({"reasoning_details": [kind]}));
            detail["text"] = json!("");
        }
        deltas.push(json!({"reasoning_details": [detail]}));
    }
    if message["unheard_of"].is_object() {
        deltas.push(json!({"unheard_of": message["unheard_of"]}));
    }
    let said = message["content"].as_str().unwrap_or_default();
    deltas.push(json!({"content": said}));
    for (index, call) in message["tool_calls"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let mut begins = call.clone();
        begins["index"] = json!(index);
        begins["function"]["arguments"] = json!("");
        deltas.push(json!({"tool_calls": [begins]}));
        let arguments = &call["function"]["arguments"];
        deltas
            .push(json!({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}));
    }
    let mut text = String::new();
    let mut frame = |delta: Value, finish: Value| {
        let frame = json!({"id": "gen", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
        text.push_str(&format!("data: {frame}\n\n"));
    };
    for delta in deltas {
        frame(delta, Value::Null);
    }
    frame(json!({}), json!("tool_calls"));
    text + "data: [DONE]\n\n"
}

fn answer(streamed: bool, message: &Value) -> Answer {
    match streamed {
        true => Answer::events(stream(message)),
        false => Answer::json(body(message)),
    }
}

fn request(streamed: bool, more: &[Value]) -> Value {
    let mut messages = vec![json!({"role": "user", "content": "clean up"})];
    messages.extend(more.iter().cloned());
    json!({"model": "m", "stream": streamed, "messages": messages})
}

fn messages(asked: &Asked) -> Vec<Value> {
    asked.json()["messages"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_turn_goes_back_with_its_thoughts_and_signatures_now_and_later() {
    for streamed in [false, true] {
        let turn = thought(&[call("c1")]);
        let end = json!({"role": "assistant", "content": " I may not."});
        let upstream = Scripted::start(vec![answer(streamed, &turn), answer(streamed, &end)]).await;
        let world = configured(&upstream.table("own"), vec![denies("c1")]).await;
        let reply = world.call("s", &request(streamed, &[])).await;
        assert_eq!(
            reply.said().at("0/content"),
            "Let me look. I may not.",
            "{}",
            reply.text()
        );
        let asked = upstream.asked();
        assert_eq!(asked.len(), 2, "{}", reply.text());
        let sent = messages(&asked[1]);
        assert_eq!(sent[1], turn, "streamed: {streamed}");
        assert_eq!(
            sent[2],
            json!({"role": "tool", "tool_call_id": "c1", "content": "never"})
        );
        // The client, which knows nothing of the step, goes on: it is there again, byte for byte.
        let said = json!({"role": "assistant", "content": reply.said().at("0/content")});
        let next = request(
            streamed,
            &[said, json!({"role": "user", "content": "then?"})],
        );
        world.call("s", &next).await;
        let asked = upstream.asked();
        let (second, third) = (asked[1].body.clone(), asked[2].body.clone());
        let step = sent[1].to_string();
        let text = |body: &[u8]| String::from_utf8(body.to_vec()).unwrap();
        assert!(
            text(&second).contains(&step) && text(&third).contains(&step),
            "{}",
            text(&third)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_parallel_calls_the_denied_one_is_put_back_signed_and_in_its_place() {
    for streamed in [false, true] {
        let turn = thought(&[call("c1"), call("c2"), call("c3")]);
        let end = json!({"role": "assistant", "content": "Done."});
        let upstream = Scripted::start(vec![answer(streamed, &turn), answer(streamed, &end)]).await;
        let world = configured(&upstream.table("own"), vec![denies("c1")]).await;
        let reply = world.call("s", &request(streamed, &[])).await;
        assert!(!reply.text().contains("\"c1\""), "{}", reply.text());
        // As a client sends it back that keeps only what it knows.
        let known = |id: &str| json!({"id": id, "type": "function", "function": {"name": "rm", "arguments": "{ \"path\":  \"/\" }"}});
        let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "ok"});
        let said = json!({"role": "assistant", "content": "Let me look.", "tool_calls": [known("c2"), known("c3")]});
        let next = request(streamed, &[said, result("c2"), result("c3")]);
        world.call("s", &next).await;
        let sent = messages(upstream.asked().last().unwrap());
        let calls = &sent[1]["tool_calls"];
        assert_eq!(calls[0], call("c1"), "streamed: {streamed}");
        assert_eq!((&calls[1], &calls[2]), (&known("c2"), &known("c3")));
        let results = sent.iter().filter(|m| m["role"] == "tool");
        assert_eq!(results.count(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thought_that_a_policy_changed_does_not_go_back_as_it_was() {
    for streamed in [false, true] {
        let turn = thought(&[call("c1")]);
        let end = json!({"role": "assistant", "content": " I may not."});
        let upstream = Scripted::start(vec![answer(streamed, &turn), answer(streamed, &end)]).await;
        let replaced = json!({"replace-range": {"span": {"place": {"channel": "reasoning", "choice": 0, "item": 0, "part": 0}, "offset": 0, "length": 8}, "text": "[gone]"}});
        let redacts = ordering(wakes(json!([{"event": "tool-call"}])), &[replaced]);
        // What is replaced must be held until the order comes.
        let mut redacts = redacts;
        redacts.subscription.as_mut().unwrap()["release"] =
            json!([{"channel": "reasoning", "mode": "hold-until-judged", "max-hold-ms": 0}]);
        let policies = vec![Policy::new("redacts", redacts), denies("c1")];
        let world = configured(&upstream.table("own"), policies).await;
        world.call("s", &request(streamed, &[])).await;
        let asked = upstream.asked();
        let second = &asked[1];
        assert!(
            !messages(second)[1].to_string().contains("I should"),
            "{}",
            messages(second)[1]
        );
    }
}
