//! Calls that go out otherwise than the model made them.

use serde_json::json;

use super::calls::{both, call, calling, calls_of, on_call, rewrite};
use crate::guests::Guest;
use crate::support::*;
use airlock_core::event::{Body, Outcome};

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
