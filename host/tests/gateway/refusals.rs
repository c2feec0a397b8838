//! What is kept of orders that are not carried out: they cost their policy nothing, and must not cost the host its memory.

use serde_json::json;

use crate::support::*;
use airlock_core::event::{Body, Outcome};

#[tokio::test(flavor = "multi_thread")]
async fn refused_orders_with_big_arguments_are_recorded_within_a_bound() {
    let big = "x".repeat(4 * 1024);
    let mut orders = vec![];
    for n in 0..2 {
        orders.push(json!({"rewrite-tool-call": {"call": format!("none-{n}"), "content": json!(big).to_string()}}));
        // Refused with words that quote what was ordered.
        orders.push(json!({"rewrite-tool-call": {"call": format!("none-{n}"), "content": big}}));
        orders.push(json!({"answer-locally": big}));
    }
    let guest = ordering(wakes(json!([{"every-tokens": 1}])), &orders);
    let world = world(vec![Policy::new("greedy", guest)]).await;
    let reply = world
        .call("s", &streamed(chat(&json!({"text": "one two three"}))))
        .await;
    assert_eq!(reply.said().at("0/content"), "one two three");
    let events = world.timeline("s");
    let refused: Vec<_> = events
        .iter()
        .filter(|event| {
            matches!(
                &event.body,
                Body::Intervention {
                    outcome: Outcome::Refused,
                    ..
                }
            )
        })
        .collect();
    assert!(refused.len() >= 6, "{}", refused.len());
    for event in &refused {
        let bytes = serde_json::to_string(&event.body).unwrap().len();
        assert!(bytes < 1536, "{bytes} bytes: {:?}", event.body);
    }
    // What it was about is still told.
    let first = refused.iter().find_map(|event| match &event.body {
        Body::Intervention {
            action, arguments, ..
        } if action == "rewrite-tool-call" => Some(arguments.clone()),
        _ => None,
    });
    let first = first.unwrap();
    assert_eq!(first["call"], "none-0", "{first}");
    assert!(
        first["content"]["bytes"].as_u64().unwrap() > 4_000,
        "{first}"
    );
}
