//! An upstream that fails in its answer, with a good status and before the client has read anything: the call failed, and goes
//! where a call goes that fails at once.

use serde_json::{Value, json};

use crate::support::*;
use airlock_core::event::{Body, Status};

fn chunk(delta: Value, finish: Option<&str>) -> String {
    let chunk = json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    format!("data: {chunk}\n\n")
}

fn role() -> String {
    chunk(json!({"role": "assistant", "content": ""}), None)
}

fn good(streamed: bool, id: &str) -> Answer {
    if streamed {
        let frames = [
            chunk(json!({"role": "assistant", "content": "all is "}), None),
            chunk(json!({"content": "well"}), None),
            chunk(json!({}), Some("stop")),
            "data: [DONE]\n\n".to_owned(),
        ];
        return Answer::events(frames.concat().replace("\"x\"", &format!("{id:?}")));
    }
    Answer::json(
        json!({"id": id, "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "all is well"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}}),
    )
}

/// Answers with a good status that are failures, as servers give them.
fn failures(streamed: bool) -> Vec<(&'static str, Answer)> {
    let error = json!({"error": {"message": "overloaded", "code": 503}});
    let bare = json!({"error": {"message": "cannot now"}});
    let others = [
        (
            "vLLM's",
            json!({"object": "error", "message": "overloaded", "type": "InternalServerError", "code": 503}),
        ),
        ("FastAPI's", json!({"detail": "overloaded"})),
        ("a proxy's", json!({"message": "overloaded", "code": 503})),
        (
            "Groq's",
            json!({"id": "x", "choices": [], "x_groq": {"error": "overloaded"}}),
        ),
    ];
    if !streamed {
        let others = others.map(|(of, error)| (of, Answer::json(error)));
        return others
            .into_iter()
            .chain([
                ("an error", Answer::json(error)),
                ("an error without a status", Answer::json(bare)),
            ])
            .collect();
    }
    let data = |value: &Value| format!("data: {value}\n\n");
    let others = others.map(|(of, error)| (of, Answer::events(data(&error) + "data: [DONE]\n\n")));
    let own = vec![
        (
            "an error",
            Answer::events(data(&error) + "data: [DONE]\n\n"),
        ),
        ("an error without a status", Answer::events(data(&bare))),
        (
            "an error after the role",
            Answer::events(role() + &data(&error)),
        ),
        ("nothing", Answer::events("")),
        ("an end without an answer", Answer::events(": ping\n\n")),
        ("broken off after the role", Answer::events(role())),
    ];
    own.into_iter().chain(others).collect()
}

fn ask(streamed_too: bool) -> Value {
    let request = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]});
    if streamed_too {
        streamed(request)
    } else {
        request
    }
}

fn assert_one_answer(reply: &Reply, context: &str) {
    assert_eq!(
        reply.said().at("0/content"),
        "all is well",
        "{context}: {}",
        reply.text()
    );
    if !reply.text().contains("data: ") {
        return;
    }
    assert!(reply.is_done(), "{context}: {}", reply.text());
    let frames: Vec<Value> = reply
        .frames()
        .into_iter()
        .filter(Value::is_object)
        .collect();
    let ids: std::collections::BTreeSet<&str> =
        frames.iter().filter_map(|f| f["id"].as_str()).collect();
    assert_eq!(ids.len(), 1, "{context}: {}", reply.text());
    let roles = frames
        .iter()
        .filter(|f| f["choices"][0]["delta"]["role"].is_string());
    assert!(roles.count() <= 1, "{context}: {}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_a_good_answer_goes_to_the_next_upstream_of_the_route() {
    for streamed in [true, false] {
        for (context, failure) in failures(streamed) {
            let first = Scripted::start(vec![failure]).await;
            let second = Scripted::start(vec![good(streamed, "y")]).await;
            let config = format!(
                "{}{}[[route]]\nmodel = \"*\"\nupstream = \"a\"\nfallback = [\"b\"]\n",
                first.table("a"),
                second.table("b")
            );
            for policies in [
                vec![],
                vec![Policy::new(
                    "words",
                    matching("swordfish", &[block("hard")]),
                )],
            ] {
                let (guarded, before) = (policies.len(), second.asked().len());
                let world = configured(&config, policies).await;
                let reply = world.call("s", &ask(streamed)).await;
                assert_one_answer(&reply, &format!("{context}, guarded: {guarded}"));
                assert_eq!(second.asked().len(), before + 1);
                assert_eq!(world.statuses("s"), [Status::Complete], "{context}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_and_text_of_a_failed_attempt_do_not_let_the_next_one_out_unjudged() {
    // It holds all text and hears of it when there is more than the first attempt says: it is told of the second alone.
    let mut listens = listener(&["output"], true);
    listens.subscription.as_mut().unwrap()["wakes"] = json!([{"every-tokens": 10_000}]);
    let first = role()
        + &chunk(
            json!({"content": "a long beginning that came to nothing"}),
            None,
        );
    let first = Scripted::start(vec![Answer::events(first)]).await;
    let second = Scripted::start(vec![good(true, "y")]).await;
    let config = format!(
        "{}{}[[route]]\nmodel = \"*\"\nupstream = \"a\"\nfallback = [\"b\"]\n",
        first.table("a"),
        second.table("b")
    );
    let world = configured(&config, vec![Policy::new("ears", listens)]).await;
    let reply = world.call("s", &ask(true)).await;
    assert_one_answer(&reply, "held");
    let told: String = world
        .timeline("s")
        .iter()
        .filter_map(|event| match &event.body {
            Body::Finding { summary, .. } => Some(summary.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(told, "all is well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_a_good_answer_is_repeated_as_often_as_a_failed_call() {
    for streamed in [true, false] {
        for (context, failure) in failures(streamed) {
            let upstream = Scripted::start(vec![failure.clone(), good(streamed, "y")]).await;
            let config = upstream.table("a").replace("retries = 0", "retries = 1");
            let world = configured(&config, vec![]).await;
            assert_one_answer(&world.call("s", &ask(streamed)).await, context);
            // And no more often.
            upstream.say(vec![failure]);
            let before = upstream.asked().len();
            let reply = world.call("t", &ask(streamed)).await;
            assert_eq!(upstream.asked().len(), before + 2, "{context}");
            assert_eq!(
                world.statuses("t"),
                [Status::Failed],
                "{context}: {}",
                reply.text()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_can_repeat_a_call_that_failed_in_a_good_answer() {
    let rule = "[[rule]]\nwhen = \"failure.retryable\"\ndo = \"retry\"\nmodel = \"other\"\n";
    for streamed in [true, false] {
        for (context, failure) in failures(streamed) {
            let upstream = Scripted::start(vec![failure, good(streamed, "y")]).await;
            let world = configured(&format!("{}{rule}", upstream.table("a")), vec![]).await;
            let reply = world.call("s", &ask(streamed)).await;
            assert_one_answer(&reply, context);
            let models: Vec<Value> = upstream
                .asked()
                .iter()
                .map(|a| a.json()["model"].clone())
                .collect();
            assert_eq!(models, [json!("m"), json!("other")], "{context}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_a_good_answer_is_no_complete_one_and_has_a_status() {
    for (context, failure) in failures(false) {
        let upstream = Scripted::start(vec![failure]).await;
        let world = configured(&upstream.table("a"), vec![]).await;
        let reply = world.call("s", &ask(false)).await;
        assert!(
            [502, 503].contains(&reply.status),
            "{context}: {} {}",
            reply.status,
            reply.text()
        );
        assert_eq!(world.statuses("s"), [Status::Failed], "{context}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_the_client_has_read_something_is_told_and_not_hidden() {
    let second = Scripted::start(vec![good(true, "y")]).await;
    for failing in [
        json!({"error_after_chunks": 1}),
        json!({"die_after_chunks": 1}),
    ] {
        let mut script = json!({"chunks": ["half ", "an", " answer"], "delay_ms": 50});
        script
            .as_object_mut()
            .unwrap()
            .extend(failing.as_object().unwrap().clone());
        let config = format!(
            "[upstream.sim]\nbase_url = \"SIM\"\nretries = 1\n{}[[route]]\nmodel = \"*\"\nupstream = \"sim\"\nfallback = [\"b\"]\n",
            second.table("b")
        );
        let world = configured(&config, vec![]).await;
        let reply = world.call("s", &streamed(chat(&script))).await;
        assert!(
            reply.text().contains("half ") && reply.text().contains("\"error\""),
            "{}",
            reply.text()
        );
        assert!(!reply.is_done() && second.asked().is_empty());
        assert_eq!(world.statuses("s"), [Status::Failed]);
    }
}
