//! Text that is replaced on its way.

use serde_json::{Value, json};

use super::orders::{both, replace};
use crate::support::*;
use airlock_core::event::Outcome;

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_replaced_wherever_its_frames_end() {
    let text = "the key is secret, keep it";
    let world = world(vec![Policy::new(
        "mask",
        matching("secret", &[replace(11, 6, "[gone]")]),
    )])
    .await;
    for at in 11..=17 {
        for (form, request) in both(chat(&json!({"chunks": cut(text, &[at])}))) {
            let reply = world.call(form, &request).await;
            assert_eq!(
                reply.said().at("0/content"),
                "the key is [gone], keep it",
                "cut at {at}, {form}: {}",
                reply.text()
            );
            assert_eq!(reply.status, 200);
        }
    }
    let reply = world
        .call(
            "s",
            &streamed(chat(
                &json!({"chunks": cut(text, &[11, 12, 13, 14, 15, 16, 17])}),
            )),
        )
        .await;
    assert_eq!(
        reply.said().at("0/content"),
        "the key is [gone], keep it",
        "{}",
        reply.text()
    );
    assert!(reply.is_done());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_in_is_judged_by_the_others_patterns() {
    let world = world(vec![
        Policy::new("mask", matching("secret", &[replace(11, 6, "forbidden")])),
        Policy::new("words", matching("forbidden", &[block("hard")])),
    ])
    .await;
    let reply = world
        .call(
            "s",
            &streamed(chat(&json!({"chunks": ["the key is ", "sec", "ret", "."]}))),
        )
        .await;
    assert!(
        !reply.text().contains("forbidden") && !reply.text().contains("secret"),
        "{}",
        reply.text()
    );
    assert_eq!(world.outcome("s", "replace-range").0, Outcome::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_in_by_pieces_is_judged_as_it_is_joined() {
    let sword = |orders: &[Value]| {
        // It hears of nobody's findings but its own.
        let mut words = matching("swordfish", &[block("hard")]);
        words.assessments[0]["findings"][0]["kind"] = json!("words.found");
        words.subscription.as_mut().unwrap()["findings"] = json!(["words.*"]);
        vec![
            Policy::new("puts", matching("hello", orders)),
            Policy::new("words", words),
        ]
    };
    for (text, orders) in [
        (
            "hello there",
            vec![replace(0, 0, "sword"), replace(0, 0, "fish ")],
        ),
        (
            "hello there",
            vec![replace(0, 3, "sword"), replace(3, 2, "fish")],
        ),
        ("hello abcfish", vec![replace(6, 3, "sword")]),
        ("hello swordabc", vec![replace(11, 3, "fish")]),
    ] {
        let world = world(sword(&orders)).await;
        for (form, request) in both(chat(&json!({"chunks": [text]}))) {
            let reply = world.call(form, &request).await;
            let said = reply.said().at("0/content").to_owned();
            assert!(!said.contains("swordfish"), "{form}: {text} became {said}");
            let failed = |(action, _, outcome, _): &(String, String, Outcome, String)| {
                action == "replace-range" && *outcome == Outcome::Failed
            };
            let ordered = world.interventions(form);
            assert!(ordered.iter().any(failed), "{text}: {ordered:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_of_what_left_is_too_late() {
    let world = world(vec![Policy::new(
        "mask",
        matching("world", &[replace(0, 5, "HELLO")]),
    )])
    .await;
    let reply = world
        .call(
            "s",
            &streamed(chat(
                &json!({"chunks": ["hello ", "world"], "delay_ms": 20}),
            )),
        )
        .await;
    assert_eq!(reply.said().at("0/content"), "hello world");
    assert_eq!(world.outcome("s", "replace-range").0, Outcome::TooLate);
}
