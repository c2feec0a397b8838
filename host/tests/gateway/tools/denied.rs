//! Calls that are denied, and what the model is told.

use serde_json::{Value, json};

use super::calls::{assert_one_answer, both, call, calling, calls_of, deny, on_call, usage_of};
use crate::guests::Guest;
use crate::support::*;
use airlock_core::event::{Outcome, Status};

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_call_never_reaches_the_client_and_the_model_goes_on() {
    for (context, request) in both(calling(
        &[call("c1", "rm", json!({"path": "/"}))],
        "I cannot do that.",
    )) {
        let world = world(vec![Policy::new(
            "guard",
            on_call(&[deny("c1", "Not that one.")]),
        )])
        .await;
        let reply = world.call("s", &request).await;
        assert_eq!(reply.status, 200, "{context}: {}", reply.text());
        assert!(
            !reply.text().contains("\"rm\""),
            "{context}: {}",
            reply.text()
        );
        assert_eq!(
            reply.said().at("0/content"),
            "Let me look.I cannot do that.",
            "{context}"
        );
        assert_eq!(reply.finishes(), ["stop"], "{context}");
        assert_one_answer(&reply, context);
        let received = world.received();
        assert_eq!(received.len(), 2, "{context}");
        let messages = received[1]["messages"].as_array().unwrap();
        let [.., step, result] = messages.as_slice() else {
            panic!("{messages:?}")
        };
        assert_eq!(step["tool_calls"][0]["function"]["name"], "rm");
        assert_eq!(step["content"], "Let me look.");
        assert_eq!(
            (&result["role"], &result["tool_call_id"]),
            (&json!("tool"), &json!("c1"))
        );
        assert_eq!(result["content"], "Not that one.");
        assert_eq!(world.statuses("s"), [Status::Complete], "{context}");
        assert_eq!(world.outcome("s", "deny-tool-call").0, Outcome::Applied);
        // Both rounds are paid for.
        let record = world.simulator.record().requests();
        let prompt: u64 = usage_of(&reply)["prompt_tokens"].as_u64().unwrap();
        assert_eq!(record.len(), 2);
        assert!(
            prompt > 40,
            "{context}: usage is that of both rounds, {prompt}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_parallel_calls_the_permitted_ones_go_out_renumbered() {
    let calls = [
        call("c1", "rm", json!({"path": "/"})),
        call("c2", "ls", json!({"path": "/tmp"})),
        call("c3", "rm", json!({"path": "/home"})),
        call("c4", "cat", json!({"path": "x"})),
    ];
    for (context, request) in both(calling(&calls, "done")) {
        let world = world(vec![Policy::new(
            "guard",
            on_call(&[deny("c1", "no"), deny("c3", "no")]),
        )])
        .await;
        let reply = world.call("s", &request).await;
        let got = calls_of(&reply);
        let names: Vec<_> = got
            .iter()
            .map(|(id, name, _)| (id.as_str(), name.as_str()))
            .collect();
        assert_eq!(
            names,
            [("c2", "ls"), ("c4", "cat")],
            "{context}: {}",
            reply.text()
        );
        assert_eq!(got[0].2, r#"{"path":"/tmp"}"#);
        assert_eq!(reply.finishes(), ["tool_calls"], "{context}");
        assert_one_answer(&reply, context);
        assert_eq!(world.received().len(), 1, "{context}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_calls_are_put_back_into_later_requests() {
    let calls = [call("c1", "rm", json!({})), call("c2", "ls", json!({}))];
    let request = streamed(calling(&calls, "done"));
    let world = world(vec![Policy::new("guard", on_call(&[deny("c1", "never")]))]).await;
    let reply = world.call("s", &request).await;
    let mut next = request.clone();
    let messages = next["messages"].as_array_mut().unwrap();
    messages.push(
        json!({"role": "assistant", "content": reply.said().at("0/content"), "tool_calls": [
        {"id": "c2", "type": "function", "function": {"name": "ls", "arguments": "{}"}}]}),
    );
    messages.push(json!({"role": "tool", "tool_call_id": "c2", "content": "a b"}));
    world.call("s", &next).await;
    let received = world.received();
    let messages = received[1]["messages"].as_array().unwrap();
    let turn = messages.iter().find(|m| m["role"] == "assistant").unwrap();
    let ids: Vec<_> = turn["tool_calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["id"].clone())
        .collect();
    assert!(
        ids.contains(&json!("c1")) && ids.contains(&json!("c2")),
        "{ids:?}"
    );
    let results: Vec<_> = messages.iter().filter(|m| m["role"] == "tool").collect();
    assert_eq!(results.len(), 2);
    assert!(
        results
            .iter()
            .any(|r| r["tool_call_id"] == "c1" && r["content"] == "never")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_insists_is_stopped_with_an_explanation() {
    let turn = json!({"tool_calls": [call("c1", "rm", json!({}))]});
    let script = json!({"turns": vec![turn; 12]});
    for (context, request) in both(chat(&script)) {
        let world = world(vec![Policy::new("guard", on_call(&[deny("c1", "never")]))]).await;
        let reply = world.call("s", &request).await;
        assert_eq!(reply.status, 200, "{context}");
        assert!(
            reply
                .said()
                .at("0/content")
                .contains("`rm` was not permitted: never"),
            "{context}: {}",
            reply.text()
        );
        assert_eq!(reply.finishes(), ["stop"], "{context}");
        assert_eq!(world.received().len(), 5, "{context}: four further rounds");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_several_choices_the_turn_ends_with_an_explanation() {
    for (context, mut request) in both(calling(&[call("c1", "rm", json!({}))], "done")) {
        request["n"] = json!(2);
        let world = world(vec![Policy::new("guard", on_call(&[deny("c1", "never")]))]).await;
        let reply = world.call("s", &request).await;
        assert!(
            !reply.text().contains("\"rm\""),
            "{context}: {}",
            reply.text()
        );
        assert!(
            reply.said().at("0/content").contains("not permitted"),
            "{context}: {}",
            reply.text()
        );
        assert_eq!(world.received().len(), 1, "{context}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_policy_that_fails_at_a_call_has_it_denied() {
    let guest = Guest {
        subscription: Some(wakes(json!([{"event": "tool-call"}]))),
        actions: vec!["block"],
        observe: "unreachable",
        ..Guest::default()
    };
    let world = world(vec![
        Policy::new("breaks", guest).on_failure(airlock_policy::OnFailure::Closed),
    ])
    .await;
    let reply = world
        .call(
            "s",
            &streamed(calling(&[call("c1", "rm", json!({}))], "I cannot.")),
        )
        .await;
    assert!(calls_of(&reply).is_empty(), "{}", reply.text());
    assert_eq!(reply.said().at("0/content"), "Let me look.I cannot.");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observing_policy_denies_nothing() {
    let world = world(vec![
        Policy::new("guard", on_call(&[deny("c1", "no")])).observing(),
    ])
    .await;
    let reply = world
        .call("s", &streamed(calling(&[call("c1", "ls", json!({}))], "")))
        .await;
    assert_eq!(calls_of(&reply).len(), 1);
    assert_eq!(world.outcome("s", "deny-tool-call").0, Outcome::WouldApply);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_without_an_id_are_judged_one_by_one() {
    let chunk = |delta: Value, finish: Value| {
        let chunk = json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
        format!("data: {chunk}\n\n")
    };
    let unnamed = |index: u16, name: &str| {
        chunk(
            json!({"tool_calls": [{"index": index, "type": "function", "function": {"name": name, "arguments": "{}"}}]}),
            Value::Null,
        )
    };
    let end = chunk(json!({}), json!("tool_calls"));
    let begin = chunk(json!({"role": "assistant", "content": null}), Value::Null);
    let raw = vec![
        begin.clone(),
        unnamed(0, "rm"),
        unnamed(1, "ls"),
        end,
        "data: [DONE]\n\n".to_owned(),
    ];
    let world = world(vec![Policy::new(
        "guard",
        on_call(&[deny("airlock-0-0", "no")]),
    )])
    .await;
    let reply = world.call("s", &streamed(chat(&json!({"raw": raw})))).await;
    let names: Vec<_> = calls_of(&reply)
        .into_iter()
        .map(|(_, name, _)| name)
        .collect();
    assert_eq!(names, ["ls"], "{}", reply.text());
    // The form before tool calls.
    let old = chunk(
        json!({"function_call": {"name": "rm", "arguments": "{}"}}),
        Value::Null,
    );
    let end = chunk(json!({}), json!("function_call"));
    let raw = vec![begin, old, end, "data: [DONE]\n\n".to_owned()];
    let script = json!({"turns": [{"raw": raw}, {"text": "I cannot."}]});
    let reply = world.call("t", &streamed(chat(&script))).await;
    assert!(!reply.text().contains("\"rm\""), "{}", reply.text());
    assert_eq!(
        reply.said().at("0/content"),
        "I cannot.",
        "{}",
        reply.text()
    );
}
