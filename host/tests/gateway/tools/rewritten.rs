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

/// Replaces a range of the arguments of the first call.
fn in_arguments(offset: u32, length: u32, text: &str) -> serde_json::Value {
    let place = json!({"channel": "tool-arguments", "choice": 0, "item": 0, "part": 0});
    json!({"replace-range": {"span": {"place": place, "offset": offset, "length": length}, "text": text}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_replaced_in_the_arguments_of_a_judged_call_is_judged_again() {
    let rule = "[[rule]]\nwhen = \"tool.name == 'rm' && tool.arguments.path == '/etc'\"\ndo = \"deny-tool-call\"\nmessage = \"no\"\n";
    for (context, request) in both(calling(
        &[call("c1", "rm", json!({"path": "/tmp"}))],
        "done",
    )) {
        for (order, goes_out) in [
            // A rule denies what it became.
            (in_arguments(9, 4, "/etc"), None),
            (in_arguments(9, 4, "/var"), Some(r#"{"path":"/var"}"#)),
            // What is no JSON does not go out; the call as it was judged does.
            (in_arguments(0, 15, "rm -rf /"), Some(r#"{"path":"/tmp"}"#)),
        ] {
            let world = configured(
                rule,
                vec![Policy::new("puts", on_call(std::slice::from_ref(&order)))],
            )
            .await;
            let reply = world.call("s", &request).await;
            let arguments: Vec<String> = calls_of(&reply).into_iter().map(|(_, _, a)| a).collect();
            let expected: Vec<String> = goes_out.into_iter().map(str::to_owned).collect();
            assert_eq!(arguments, expected, "{context}: {order}: {}", reply.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ranges_of_one_call_are_replaced_together() {
    for (context, request) in both(calling(
        &[call("c1", "rm", json!({"path": "/tmp"}))],
        "done",
    )) {
        let orders = [in_arguments(9, 4, "/var/log"), in_arguments(2, 4, "file")];
        let world = world(vec![Policy::new("puts", on_call(&orders))]).await;
        let reply = world.call("s", &request).await;
        let arguments: Vec<String> = calls_of(&reply).into_iter().map(|(_, _, a)| a).collect();
        assert_eq!(arguments, [r#"{"file":"/var/log"}"#], "{context}");
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
