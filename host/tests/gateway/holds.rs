//! Items that wait for a person: the request, a tool call, a tool's result, held text; approved, denied, edited, timed out;
//! with clients that wait, leave and come back.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::guests::Guest;
use crate::support::*;
use airlock_core::event::{Body, Outcome, Status};
use airlock_core::people::{Approval, ApprovalId, Filter, Subject, Verdict};

fn hold(item: Value, deadline_ms: u32, on_timeout: &str) -> Value {
    json!({"hold-for-person": {"subject": item, "title": "May it?", "body": "It is dangerous.",
        "deadline-ms": deadline_ms, "on-timeout": on_timeout}})
}

fn on(event: &str, actions: &[Value]) -> Guest {
    ordering(wakes(json!([{"event": event}])), actions)
}

fn calling() -> Value {
    chat(&json!({"turns": [
        {"text": "Let me.", "tool_calls": [{"id": "c1", "name": "pay", "arguments": {"amount": 7}}]},
        {"text": "Paid nothing."}]}))
}

fn both(request: Value) -> [(&'static str, Value); 2] {
    [("streamed", streamed(request.clone())), ("whole", request)]
}

/// The approval that waits.
async fn arrived(world: &World) -> Approval {
    let open = Filter {
        decided: Some(false),
        ..Filter::default()
    };
    world
        .eventually("an approval waits", |w| {
            !w.app.people.list(open, 10).unwrap().is_empty()
        })
        .await;
    world.app.people.list(open, 10).unwrap().remove(0)
}

/// Decides, once the approval is on the disk: before that nobody was shown it.
async fn decide(world: &World, id: ApprovalId, verdict: Verdict, by: &str, note: &str) -> Approval {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let decided = world.app.people.decide(id, verdict.clone(), by, note).await;
        match decided {
            Ok(approval) => return approval,
            Err(error) => assert!(tokio::time::Instant::now() < end, "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

/// Calls, and has the approval that comes of it decided meanwhile.
async fn decided(world: &World, request: &Value, verdict: Verdict) -> (Reply, Approval) {
    let decide = async {
        let approval = arrived(world).await;
        decide(world, approval.id, verdict, "ada", "because").await
    };
    tokio::join!(world.call("s", request), decide)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_stream_whose_upstream_answers_with_a_body_is_a_stream() {
    let body = json!({"id": "x", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "all is well"}, "finish_reason": "stop"}]});
    let upstream = Scripted::start(vec![Answer::json(body)]).await;
    let config = format!("[gateway]\nkeep_alive_ms = 5\n{}", upstream.table("x"));
    let guard = on("request", &[hold(json!("request"), 60_000, "block")]);
    let world = configured(&config, vec![Policy::new("guard", guard)]).await;
    let request =
        streamed(json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]}));
    // The client is told that the answer has begun, before there is one.
    let response = world.open(&[("x-airlock-session-id", "s")], &request).await;
    let approval = arrived(&world).await;
    decide(&world, approval.id, Verdict::Approved, "ada", "").await;
    let reply = collect(response).await;
    assert!(
        reply.text().starts_with(": airlock keeps the connection"),
        "{}",
        reply.text()
    );
    assert_eq!(
        reply.said().at("0/content"),
        "all is well",
        "{}",
        reply.text()
    );
    assert!(reply.is_done(), "{}", reply.text());
    assert_eq!(world.statuses("s"), [Status::Complete]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_call_goes_out_as_it_is() {
    for (context, request) in both(calling()) {
        let guard = on(
            "tool-call",
            &[hold(json!({"tool-call": "c1"}), 60_000, "block")],
        );
        let world = world(vec![Policy::new("guard", guard)]).await;
        let (reply, approval) = decided(&world, &request, Verdict::Approved).await;
        assert_eq!(
            approval.subject,
            Subject::ToolCall {
                name: "pay".into(),
                arguments: r#"{"amount":7}"#.into()
            }
        );
        assert_eq!(reply.bytes, world.sent(), "{context}: byte for byte");
        let said = world.interventions("s");
        assert!(
            said.iter()
                .any(|(action, by, outcome, reason)| action == "hold-for-person"
                    && by == "guard"
                    && *outcome == Outcome::Applied
                    && reason == "approved by ada: because"),
            "{context}: {said:?}"
        );
        let kinds: Vec<bool> = world
            .timeline("s")
            .iter()
            .filter_map(|e| match e.body {
                Body::Held { .. } => Some(false),
                Body::Decided { .. } => Some(true),
                _ => None,
            })
            .collect();
        assert_eq!(kinds, [false, true], "{context}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_call_is_told_to_the_model_with_the_note() {
    for (context, request) in both(calling()) {
        let guard = on(
            "tool-call",
            &[hold(json!({"tool-call": "c1"}), 60_000, "release")],
        );
        let world = world(vec![Policy::new("guard", guard)]).await;
        let (reply, _) = decided(&world, &request, Verdict::Denied).await;
        assert!(
            !reply.text().contains("\"pay\""),
            "{context}: {}",
            reply.text()
        );
        assert_eq!(
            reply.said().at("0/content"),
            "Let me.Paid nothing.",
            "{context}"
        );
        let told = world.received().pop().unwrap().to_string();
        assert!(told.contains("denied by ada: because"), "{context}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_call_goes_out_edited_and_the_policies_judge_it() {
    let edited = r#"{"amount":1}"#;
    for (context, request) in both(calling()) {
        let guard = on(
            "tool-call",
            &[hold(json!({"tool-call": "c1"}), 60_000, "block")],
        );
        let watches = Guest {
            subscription: Some(wakes(json!([{"event": "tool-call"}]))),
            ..Guest::default()
        };
        let world = world(vec![
            Policy::new("guard", guard),
            Policy::new("watches", watches),
        ])
        .await;
        let decide = async {
            let approval = arrived(&world).await;
            let verdict = Verdict::Edited(edited.to_owned());
            decide(&world, approval.id, verdict, "ada", "").await;
        };
        let (reply, ()) = tokio::join!(world.call("s", &request), decide);
        assert!(
            reply.text().contains(r#"{\"amount\":1}"#),
            "{context}: {}",
            reply.text()
        );
        assert!(
            !reply.text().contains(r#"{\"amount\":7}"#),
            "{context}: {}",
            reply.text()
        );
        let judged = world.timeline("s").iter().filter(|e| {
            matches!(&e.body, Body::PolicyCall { policy, role, .. } if policy == "watches" && role == "observe")
        }).count();
        assert_eq!(judged, 2, "{context}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_wrote_can_still_be_denied() {
    for (context, request) in both(calling()) {
        // The guard holds each call that it is told of; a rule denies what is too much, whoever wrote it.
        let guard = on(
            "tool-call",
            &[hold(json!({"tool-call": "c1"}), 60_000, "block")],
        );
        let rules = "[[rule]]\nname = \"limit\"\nwhen = \"has(tool.arguments) && tool.arguments.amount > 1000\"\ndo = \"deny-tool-call\"\nmessage = \"too much\"\n";
        let world = configured(rules, vec![Policy::new("guard", guard)]).await;
        let verdict = Verdict::Edited(r#"{"amount":5000}"#.to_owned());
        let (reply, _) = decided(&world, &request, verdict).await;
        assert!(
            !reply.text().contains("\"pay\""),
            "{context}: {}",
            reply.text()
        );
        assert_eq!(world.outcome("s", "deny-tool-call").0, Outcome::Applied);
        let asked = world.app.people.list(Filter::default(), 10).unwrap();
        assert_eq!(asked.len(), 1, "{context}: nobody is asked twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_deadline_the_default_counts() {
    for (on_timeout, goes_out) in [("block", false), ("release", true)] {
        for (context, request) in both(calling()) {
            let guard = on(
                "tool-call",
                &[hold(json!({"tool-call": "c1"}), 30, on_timeout)],
            );
            let world = world(vec![Policy::new("guard", guard)]).await;
            let reply = world.call("s", &request).await;
            assert_eq!(
                reply.text().contains("\"pay\""),
                goes_out,
                "{context}, {on_timeout}: {}",
                reply.text()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_request_goes_upstream_only_when_it_was_approved() {
    for (context, request) in both(chat(&json!({"text": "Hello."}))) {
        let guard = on("request", &[hold(json!("request"), 60_000, "block")]);
        let world = world(vec![Policy::new("guard", guard)]).await;
        let decide = async {
            let approval = arrived(&world).await;
            assert!(
                world.received().is_empty(),
                "{context}: nothing went upstream"
            );
            decide(&world, approval.id, Verdict::Approved, "ada", "").await;
        };
        let (reply, ()) = tokio::join!(world.call("s", &request), decide);
        assert_eq!(reply.bytes, world.sent(), "{context}");
        let (reply, _) =
            decided(&world, &chat(&json!({"text": "Another."})), Verdict::Denied).await;
        assert_eq!(reply.error_code(), "content_filter", "{context}");
        assert_eq!(world.received().len(), 1, "{context}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_result_is_withheld_when_it_was_denied() {
    let guard = on(
        "tool-result",
        &[hold(json!({"tool-result": "c1"}), 60_000, "block")],
    );
    let world = world(vec![Policy::new("guard", guard)]).await;
    let request = json!({"model": "sim-echo", "messages": [
        {"role": "user", "content": "look it up"},
        {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "the password is hunter2"}]});
    let (reply, approval) = decided(&world, &request, Verdict::Denied).await;
    assert_eq!(approval.subject.name(), "read");
    assert_eq!(reply.status, 200, "{}", reply.text());
    let received = world.received().pop().unwrap().to_string();
    assert!(
        !received.contains("hunter2") && received.contains("withheld"),
        "{received}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn held_text_leaves_when_it_was_approved() {
    for verdict in [Verdict::Approved, Verdict::Denied] {
        let approved = verdict == Verdict::Approved;
        for (context, request) in both(chat(&json!({"chunks": ["The ", "secret ", "is out."]}))) {
            let world = world(vec![Policy::new(
                "guard",
                matching("secret", &[hold(json!("response"), 60_000, "block")]),
            )])
            .await;
            let (reply, _) = decided(&world, &request, verdict.clone()).await;
            if approved {
                assert_eq!(reply.bytes, world.sent(), "{context}");
            } else {
                assert!(
                    !reply.text().contains("secret"),
                    "{context}: {}",
                    reply.text()
                );
                assert_eq!(reply.error_code(), "content_filter", "{context}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_left_and_comes_back_finds_the_decision() {
    let guard = on(
        "tool-call",
        &[hold(json!({"tool-call": "c1"}), 60_000, "block")],
    );
    let world = Arc::new(world(vec![Policy::new("guard", guard)]).await);
    let request = streamed(calling());
    let (first, body) = (world.clone(), request.clone());
    let waiting = tokio::spawn(async move { first.call("s", &body).await });
    let approval = arrived(&world).await;
    waiting.abort();
    world
        .eventually("it was noticed", |w| {
            w.statuses("s") == [Status::Disconnected]
        })
        .await;
    decide(&world, approval.id, Verdict::Approved, "ada", "").await;
    // Nobody is asked a second time.
    let reply = world.call("s", &request).await;
    assert!(reply.text().contains("\"pay\""), "{}", reply.text());
    let all = world.app.people.list(Filter::default(), 10).unwrap();
    assert_eq!(all.len(), 1);
    // In another session it is another call.
    let other = async { world.call("t", &request).await };
    let decide = async {
        let approval = arrived(&world).await;
        decide(&world, approval.id, Verdict::Denied, "ada", "").await;
    };
    let (reply, ()) = tokio::join!(other, decide);
    assert!(!reply.text().contains("\"pay\""), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_a_stream_reads_comments() {
    let more = "[gateway]\nkeep_alive_ms = 100\n";
    for event in ["request", "tool-call"] {
        let item = if event == "request" {
            json!("request")
        } else {
            json!({"tool-call": "c1"})
        };
        let guard = on(event, &[hold(item, 60_000, "block")]);
        let world = configured(more, vec![Policy::new("guard", guard)]).await;
        let request = streamed(calling());
        let mut response = world.open(&[("x-airlock-session-id", "s")], &request).await;
        assert_eq!(response.status(), 200);
        assert!(response.headers().contains_key("x-airlock-exchange"));
        let mut text = String::new();
        use http_body_util::BodyExt as _;
        while !text.contains(": airlock keeps the connection\n\n: airlock keeps the connection\n\n")
        {
            let frame = response.body_mut().frame().await.unwrap().unwrap();
            text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        }
        let approval = arrived(&world).await;
        decide(&world, approval.id, Verdict::Approved, "ada", "").await;
        while let Some(frame) = response.body_mut().frame().await {
            text.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
        }
        assert!(text.ends_with("data: [DONE]\n\n"), "{event}: {text}");
        let rest = text.replace(": airlock keeps the connection\n\n", "");
        assert_eq!(rest.as_bytes(), world.sent(), "{event}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_after_a_wait_is_told_in_the_stream() {
    let guard = on("request", &[hold(json!("request"), 60_000, "block")]);
    let world = configured(
        "[gateway]\nkeep_alive_ms = 100\n",
        vec![Policy::new("guard", guard)],
    )
    .await;
    let request = streamed(chat(&json!({"status": 400})));
    let mut response = world.open(&[("x-airlock-session-id", "s")], &request).await;
    let approval = arrived(&world).await;
    decide(&world, approval.id, Verdict::Approved, "ada", "").await;
    let mut text = String::new();
    use http_body_util::BodyExt as _;
    while let Some(frame) = response.body_mut().frame().await {
        text.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
    }
    assert!(text.contains("data: {\"error\""), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_cannot_be_told_to_wait_is_told_to_come_again() {
    let guard = on("request", &[hold(json!("request"), 60_000, "release")]);
    let world = world(vec![Policy::new("guard", guard)]).await;
    let request = chat(&json!({"text": "Hello."}));
    let headers = [
        ("x-airlock-session-id", "s"),
        ("x-stainless-read-timeout", "0.5"),
    ];
    let reply = world.call_with(&headers, &request).await;
    assert_eq!(
        (reply.status, reply.error_code().as_str()),
        (503, "airlock_held"),
        "{}",
        reply.text()
    );
    assert_eq!(reply.headers["x-should-retry"], "true");
    assert!(
        world.received().is_empty(),
        "a release that the deadline has not reached is none"
    );
    let approval = arrived(&world).await;
    decide(&world, approval.id, Verdict::Approved, "ada", "").await;
    let reply = world.call_with(&headers, &request).await;
    assert_eq!(reply.bytes, world.sent());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observing_policy_holds_nothing() {
    let guard = on(
        "tool-call",
        &[hold(json!({"tool-call": "c1"}), 60_000, "block")],
    );
    let world = world(vec![Policy::new("guard", guard).observing()]).await;
    let reply = world.call("s", &streamed(calling())).await;
    assert!(reply.text().contains("\"pay\""));
    assert!(
        world
            .app
            .people
            .list(Filter::default(), 10)
            .unwrap()
            .is_empty()
    );
}
