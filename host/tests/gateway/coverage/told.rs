//! Every byte is told before the client has it, however the response came about.

use serde_json::{Value, json};

use super::judged::{ALL, every_byte_is_judged_first, told};
use crate::support::*;
use airlock_core::event::Outcome;

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_told_every_byte_before_the_client_has_it() {
    every_byte_is_judged_first(
        || vec![Policy::new("ears", listener(&[], false))],
        "",
        &json!({}),
        true,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_holds_is_told_every_byte_and_the_rest_leaves_unharmed() {
    every_byte_is_judged_first(
        || vec![Policy::new("ears", listener(&ALL, true))],
        "",
        &json!({}),
        true,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_policies_of_different_kinds_leave_no_gap_between_them() {
    let policies = || {
        vec![
            Policy::new("ears", listener(&["output"], true)),
            Policy::new("words", matching("nowhere", &[block("hard")])),
        ]
    };
    every_byte_is_judged_first(policies, "", &json!({}), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_a_policy_ordered_is_judged_like_the_first_attempt() {
    let retry = json!({"retry": {"upstream": "", "model": "sim-reasoning", "after-ms": 0}});
    let world = world(vec![
        Policy::new("ears", listener(&[], false)),
        Policy::new(
            "again",
            ordering(wakes(json!([{"event": "failure"}])), &[retry]),
        ),
    ])
    .await;
    let request = json!({"model": "sim-flaky", "messages": [{"role": "user", "content": "hi"}]});
    for (session, request) in [("s", streamed(request.clone())), ("w", request)] {
        let reply = world.call(session, &request).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.said().at("0/content"), "The answer is 42.");
        assert_eq!(reply.said(), told(&world, session));
        assert_eq!(world.outcome(session, "retry").0, Outcome::Applied);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_judged_like_the_first_upstream() {
    let more = "[upstream.dead]\nbase_url = \"http://127.0.0.1:1/v1\"\nretries = 0\n[upstream.sim]\nbase_url = \"SIM\"\n\
                [[route]]\nmodel = \"*\"\nupstream = \"dead\"\nfallback = [\"sim\"]\n";
    every_byte_is_judged_first(
        || vec![Policy::new("ears", listener(&[], false))],
        more,
        &json!({}),
        true,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_answer_is_judged_like_a_models() {
    let policies = || {
        vec![
            Policy::new("ears", listener(&[], false)),
            Policy::new(
                "host",
                ordering(wakes(json!([{"event": "request"}])), &[answer()]),
            ),
        ]
    };
    fn answer() -> Value {
        json!({"answer-locally": "Grüße from the gateway"})
    }
    every_byte_is_judged_first(policies, "", &json!({"n": 1}), false).await;
    let world = world(vec![
        Policy::new("words", matching("from", &[block("hard")])),
        Policy::new(
            "host",
            ordering(wakes(json!([{"event": "request"}])), &[answer()]),
        ),
    ])
    .await;
    for request in [
        chat(&json!({"text": "x"})),
        streamed(chat(&json!({"text": "x"}))),
    ] {
        let reply = world.call("s", &request).await;
        assert_eq!(reply.error_code(), "content_filter", "{}", reply.text());
        assert!(!reply.text().contains("Grüße from"), "{}", reply.text());
    }
}
