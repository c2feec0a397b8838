//! An upstream that misbehaves: the client is told in a way that its SDK notices, and never takes a part for the whole.

use serde_json::json;

use crate::support::*;
use airlock_core::event::{Body, Status};

/// With nobody who judges, with one who listens, and with one who holds.
fn audiences() -> Vec<Vec<Policy>> {
    let all = ["output", "reasoning", "refusal", "tool-arguments"];
    vec![
        vec![],
        vec![Policy::new("ears", listener(&[], false))],
        vec![Policy::new("ears", listener(&all, true))],
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_passes_as_it_came() {
    for policies in audiences() {
        let world = world(policies).await;
        for status in [400, 401, 404, 429, 500, 503] {
            let script = json!({"status": status, "headers": {"retry-after": "7", "x-vendor": "v"},
                "error": {"message": "no, because", "type": "t", "code": "c"}});
            for request in [chat(&script), streamed(chat(&script))] {
                let reply = world.call(&format!("s{status}"), &request).await;
                assert_eq!(reply.status, status);
                assert_eq!(reply.json()["error"]["message"], "no, because");
                assert_eq!(reply.headers["retry-after"], "7");
                assert_eq!(reply.headers["x-vendor"], "v");
            }
            assert_eq!(
                world.statuses(&format!("s{status}")),
                [Status::Failed, Status::Failed]
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_the_upstream_refused_costs_nothing() {
    let world = configured("[session]\nmax_tokens = 40\n", vec![]).await;
    let request =
        json!({"model": "no-such-model", "messages": [{"role": "user", "content": "hello"}]});
    // Were each charged for its prompt, the budget would soon be gone.
    for _ in 0..20 {
        let reply = world.call("s", &request).await;
        assert_eq!(
            (reply.status, reply.error_code().as_str()),
            (404, "model_not_found"),
            "{}",
            reply.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_ends_in_an_error() {
    for policies in audiences() {
        let world = world(policies).await;
        for (session, script) in [
            (
                "dies",
                json!({"chunks": ["one", " two", " three"], "die_after_chunks": 2}),
            ),
            (
                "ends early",
                json!({"raw": ["data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one two\"}}]}\n\n"]}),
            ),
        ] {
            let reply = world.call("s", &streamed(chat(&script))).await;
            assert_eq!(
                reply.error_code(),
                "airlock_upstream",
                "{session}: {}",
                reply.text()
            );
            assert!(
                !reply.is_done() && reply.finishes().is_empty(),
                "{session}: {}",
                reply.text()
            );
            assert!(
                "one two".starts_with(reply.said().at("0/content")),
                "{session}: {}",
                reply.text()
            );
        }
        assert_eq!(world.statuses("s"), [Status::Failed, Status::Failed]);
        assert!(
            world
                .timeline("s")
                .iter()
                .any(|e| matches!(e.body, Body::Failure { .. }))
        );
        let reply = world
            .call(
                "whole",
                &chat(&json!({"text": "one two three", "die_after_chunks": 2})),
            )
            .await;
        assert_eq!(
            (reply.status, reply.error_code().as_str()),
            (502, "airlock_upstream")
        );
        assert_eq!(world.statuses("whole"), [Status::Failed]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_mid_stream_is_told_once() {
    for policies in audiences() {
        let world = world(policies).await;
        let reply = world
            .call(
                "s",
                &streamed(chat(
                    &json!({"chunks": ["one", " two"], "error_after_chunks": 1}),
                )),
            )
            .await;
        let errors = reply
            .frames()
            .iter()
            .filter(|f| f["error"].is_object())
            .count();
        assert_eq!(errors, 1, "{}", reply.text());
        assert!(!reply.is_done(), "{}", reply.text());
        assert_eq!(world.statuses("s"), [Status::Failed]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_its_last_frame_but_with_its_end_is_whole() {
    for policies in audiences() {
        let world = world(policies).await;
        let reply = world
            .call(
                "s",
                &streamed(chat(&json!({"chunks": ["one", " two"], "no_done": true}))),
            )
            .await;
        assert_eq!(reply.bytes, world.sent(), "{}", reply.text());
        assert_eq!(world.statuses("s"), [Status::Complete]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_decoded_does_not_pass_while_a_policy_enforces() {
    for (i, policies) in audiences().into_iter().enumerate() {
        let world = world(policies).await;
        for raw in [
            "data: {\"choices\": [{\"delta\": tru\n\n",
            "data: not json at all\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":7}}]}\n\n",
        ] {
            let script = json!({"raw": ["data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"fine\"}}]}\n\n", raw, "data: [DONE]\n\n"]});
            let reply = world.call("s", &streamed(chat(&script))).await;
            if i == 0 {
                assert_eq!(reply.bytes, world.sent(), "{}", reply.text());
            } else {
                assert_eq!(
                    reply.error_code(),
                    "content_filter",
                    "{raw}: {}",
                    reply.text()
                );
                assert!(
                    !reply.is_done() && !reply.text().contains("not json"),
                    "{}",
                    reply.text()
                );
            }
            assert!(
                world
                    .timeline("s")
                    .iter()
                    .any(|e| matches!(e.body, Body::Unjudged { .. }))
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_falls_silent_is_given_up() {
    let more = "[upstream.sim]\nbase_url = \"SIM\"\nretries = 0\nidle_timeout_ms = 100\n";
    for policies in audiences() {
        let world = configured(more, policies).await;
        let reply = world
            .call(
                "s",
                &streamed(chat(
                    &json!({"chunks": ["one", " two"], "hang_after_chunks": 1}),
                )),
            )
            .await;
        assert_eq!(reply.error_code(), "airlock_upstream", "{}", reply.text());
        assert_eq!(reply.said().at("0/content"), "one");
        assert!(!reply.is_done());
        world
            .eventually("the upstream call is cancelled", |w| {
                w.simulator.record().live().cancelled == 1
            })
            .await;
        let timeout = world.timeline("s").iter().any(|e| {
            matches!(
                e.body,
                Body::Failure {
                    failure: airlock_core::event::FailureKind::Timeout,
                    ..
                }
            )
        });
        assert!(timeout && world.statuses("s") == [Status::Failed]);
    }
}
