//! Tool calls before the client sees them: denied and spliced, rewritten, answered by an open circuit; and results before the
//! model sees them.

use serde_json::{Value, json};

use crate::guests::Guest;
use crate::support::*;
use airlock_core::event::{Body, Outcome, Status};

/// A policy that orders this whenever a tool call is complete.
fn on_call(actions: &[Value]) -> Guest {
    ordering(wakes(json!([{"event": "tool-call"}])), actions)
}

fn deny(id: &str, reason: &str) -> Value {
    json!({"deny-tool-call": {"id": id, "reason": reason}})
}

fn rewrite(id: &str, arguments: &str) -> Value {
    json!({"rewrite-tool-call": {"id": id, "arguments": arguments}})
}

fn call(id: &str, name: &str, arguments: Value) -> Value {
    json!({"id": id, "name": name, "arguments": arguments})
}

/// A conversation in which the model makes these calls, and says something after their results.
fn calling(calls: &[Value], after: &str) -> Value {
    chat(&json!({"turns": [{"text": "Let me look.", "tool_calls": calls}, {"text": after}]}))
}

fn both(request: Value) -> [(&'static str, Value); 2] {
    [("streamed", streamed(request.clone())), ("whole", request)]
}

/// Tool calls as the client has them: id, name, arguments, by index.
fn calls_of(reply: &Reply) -> Vec<(String, String, String)> {
    let mut calls: Vec<(String, String, String)> = Vec::new();
    let values = if reply.text().contains("data: ") {
        reply.frames()
    } else {
        vec![reply.json()]
    };
    for value in values {
        let choice = &value["choices"][0];
        let said = if choice["delta"].is_object() {
            &choice["delta"]
        } else {
            &choice["message"]
        };
        for (at, part) in said["tool_calls"]
            .as_array()
            .unwrap_or(&vec![])
            .iter()
            .enumerate()
        {
            let index = part["index"].as_u64().map_or(at, |n| n as usize);
            if calls.len() <= index {
                calls.resize(index + 1, Default::default());
            }
            let known = &mut calls[index];
            known.0 += part["id"].as_str().unwrap_or_default();
            known.1 += part["function"]["name"].as_str().unwrap_or_default();
            known.2 += part["function"]["arguments"].as_str().unwrap_or_default();
        }
    }
    calls
}

/// One set of ids, one role, one usage: what several rounds must look like.
fn assert_one_answer(reply: &Reply, context: &str) {
    if !reply.text().contains("data: ") {
        return;
    }
    let frames: Vec<Value> = reply
        .frames()
        .into_iter()
        .filter(Value::is_object)
        .collect();
    let ids: std::collections::BTreeSet<String> =
        frames.iter().map(|f| f["id"].to_string()).collect();
    assert_eq!(ids.len(), 1, "{context}: {ids:?}");
    let roles = frames
        .iter()
        .filter(|f| f["choices"][0]["delta"]["role"].is_string());
    assert_eq!(roles.count(), 1, "{context}: {}", reply.text());
    let usages = frames.iter().filter(|f| f["usage"].is_object());
    assert_eq!(usages.count(), 1, "{context}: {}", reply.text());
    assert!(reply.is_done(), "{context}: {}", reply.text());
}

fn usage_of(reply: &Reply) -> Value {
    let values = if reply.text().contains("data: ") {
        reply.frames()
    } else {
        vec![reply.json()]
    };
    let usage = values.iter().rev().find(|v| v["usage"].is_object());
    usage.unwrap()["usage"].clone()
}

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
async fn a_rewritten_call_goes_out_rewritten_and_is_judged_again() {
    for (context, request) in both(calling(&[call("c1", "rm", json!({"path": "/"}))], "done")) {
        let world = world(vec![
            Policy::new(
                "rewrites",
                on_call(&[rewrite("c1", r#"{"path":"/tmp/scratch"}"#)]),
            ),
            Policy::new("watches", listener_of_calls()),
        ])
        .await;
        let reply = world.call("s", &request).await;
        assert_eq!(
            calls_of(&reply),
            [(
                "c1".to_owned(),
                "rm".to_owned(),
                r#"{"path":"/tmp/scratch"}"#.to_owned()
            )],
            "{context}"
        );
        let told: Vec<String> = world
            .timeline("s")
            .iter()
            .filter_map(|event| match &event.body {
                Body::ToolCall { arguments, .. } => Some(arguments.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(
            told,
            [r#"{"path":"/"}"#, r#"{"path":"/tmp/scratch"}"#],
            "{context}"
        );
        let judged = world.timeline("s").iter().filter(|event| {
            matches!(&event.body, Body::PolicyCall { policy, role, .. } if policy == "watches" && role == "observe")
        }).count();
        assert_eq!(judged, 2, "{context}: the other policy judged both");
    }
}

fn listener_of_calls() -> Guest {
    Guest {
        subscription: Some(wakes(json!([{"event": "tool-call"}]))),
        ..Guest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_that_rewrite_in_turns_for_ever_get_the_call_denied() {
    let world = world(vec![
        Policy::new("a", on_call(&[rewrite("c1", r#"{"by":"a"}"#)])),
        Policy::new("b", on_call(&[rewrite("c1", r#"{"by":"b"}"#)])),
    ])
    .await;
    let reply = world
        .call(
            "s",
            &streamed(calling(&[call("c1", "rm", json!({}))], "Well.")),
        )
        .await;
    assert!(calls_of(&reply).is_empty(), "{}", reply.text());
    assert_eq!(reply.said().at("0/content"), "Let me look.Well.");
    assert!(
        world
            .interventions("s")
            .iter()
            .any(|(action, _, outcome, reason)| {
                action == "rewrite-tool-call"
                    && *outcome == Outcome::Failed
                    && reason.contains("2 times")
            })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_are_not_json_are_refused() {
    let world = world(vec![Policy::new("a", on_call(&[rewrite("c1", "{oops")]))]).await;
    let reply = world
        .call("s", &streamed(calling(&[call("c1", "ls", json!({}))], "")))
        .await;
    assert_eq!(calls_of(&reply).len(), 1);
    assert!(
        world
            .outcome("s", "rewrite-tool-call")
            .1
            .contains("not JSON")
    );
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
async fn an_open_circuit_answers_in_the_tools_place_until_a_probe_succeeds() {
    let opens = ordering(
        wakes(json!([{"event": "tool-result"}])),
        &[
            json!({"open-circuit": {"tool": "search", "cooldown-ms": 0, "answer": "The search is down."}}),
        ],
    );
    let world = world(vec![Policy::new("breaker", opens)]).await;
    let turn =
        |n: usize| json!({"tool_calls": [call(&format!("c{n}"), "search", json!({"q": n}))]});
    let script = json!({"turns": [turn(1), turn(2), {"text": "done"}]});
    let mut request = streamed(chat(&script));
    let first = world.call("s", &request).await;
    assert_eq!(calls_of(&first).len(), 1, "closed: the call goes out");
    let messages = request["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{\"q\":1}"}}]}));
    messages.push(json!({"role": "tool", "tool_call_id": "c1", "content": "error: timeout"}));
    // The policy opens the circuit at this result; with no cooldown the next call is a probe.
    let second = world.call("s", &request).await;
    assert_eq!(calls_of(&second).len(), 1, "{}", second.text());
    assert!(
        world
            .interventions("s")
            .iter()
            .any(|(_, _, _, reason)| reason.contains("half open")),
        "{:?}",
        world.interventions("s")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_circuit_is_open_the_model_is_given_its_answer() {
    let opens = on_call(&[
        json!({"open-circuit": {"tool": "search", "cooldown-ms": 60_000, "answer": "The search is down."}}),
    ]);
    for (context, request) in both(calling(
        &[call("c1", "search", json!({"q": 1}))],
        "Then without.",
    )) {
        let world = world(vec![Policy::new("breaker", opens.clone())]).await;
        let reply = world.call("s", &request).await;
        assert!(calls_of(&reply).is_empty(), "{context}: {}", reply.text());
        assert_eq!(
            reply.said().at("0/content"),
            "Let me look.Then without.",
            "{context}"
        );
        let received = world.received();
        let messages = received[1]["messages"].as_array().unwrap();
        assert_eq!(messages.last().unwrap()["content"], "The search is down.");
    }
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
async fn the_rounds_of_an_answer_share_the_sessions_budget() {
    let request = streamed(calling(
        &[call("c1", "rm", json!({}))],
        &"word ".repeat(400),
    ));
    let world = configured(
        "[session]\nmax_tokens = 1200\n",
        vec![Policy::new("guard", on_call(&[deny("c1", "no")]))],
    )
    .await;
    let reply = world.call("s", &request).await;
    let spent = world
        .timeline("s")
        .iter()
        .find_map(|event| match &event.body {
            Body::ResponseEnd { usage, .. } => Some(*usage),
            _ => None,
        })
        .unwrap();
    // The provider counts prompts its own way; of the output both rounds together get what is left.
    assert!(spent.input > 800 && spent.output <= 300, "{spent:?}");
    assert_eq!(reply.finishes(), ["length"], "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_fails_in_a_later_round_is_an_error_in_the_stream() {
    let script = json!({"turns": [{"tool_calls": [call("c1", "rm", json!({}))]}, {"status": 400}]});
    for (context, request) in both(chat(&script)) {
        let world = world(vec![Policy::new("guard", on_call(&[deny("c1", "no")]))]).await;
        let reply = world.call("s", &request).await;
        assert!(
            reply.text().contains("\"error\""),
            "{context}: {}",
            reply.text()
        );
        assert!(!reply.is_done(), "{context}");
        assert_eq!(world.statuses("s"), [Status::Failed], "{context}");
    }
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
