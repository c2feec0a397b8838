//! Who wins, who may what, and whom an outcome wakes.

use serde_json::json;

use super::orders::{hello, on_request, stop};
use crate::support::*;
use airlock_core::event::{Body, Outcome, Status};

#[tokio::test(flavor = "multi_thread")]
async fn in_one_slot_the_strongest_wins_and_losers_are_recorded() {
    let world = world(vec![
        Policy::new(
            "a-answers",
            on_request(&[json!({"answer-locally": "local"})]),
        ),
        Policy::new("b-stops", on_request(&[stop(false)])),
        Policy::new("c-blocks", on_request(&[block("hard")])),
        Policy::new("d-blocks", on_request(&[block("soft")])),
        Policy::new(
            "e-notes",
            on_request(&[json!({"annotate": {"name": "n", "value": "v"}})]),
        ),
    ])
    .await;
    let reply = world.call("s", &hello()).await;
    assert_eq!(
        (reply.status, reply.error_code().as_str()),
        (400, "content_filter")
    );
    let outcomes: Vec<_> = world
        .interventions("s")
        .into_iter()
        .map(|(_, by, outcome, _)| (by, outcome))
        .collect();
    let expected = [
        ("c-blocks", Outcome::Applied),
        ("d-blocks", Outcome::Superseded),
        ("b-stops", Outcome::Superseded),
        ("a-answers", Outcome::Superseded),
        ("e-notes", Outcome::Applied),
    ];
    assert_eq!(
        outcomes,
        expected.map(|(by, outcome)| (by.to_owned(), outcome))
    );
    assert!(world.received().is_empty(), "nothing went upstream");
    assert_eq!(world.app.sessions.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_observes_says_what_it_would_do_and_delays_nothing() {
    let holding = json!({"wakes": [{"event": "text"}, {"event": "request"}],
        "patterns": [{"channels": [], "syntax": "literal", "text": "secret", "ignore-case": false}],
        "release": [{"channel": "output", "mode": "hold-until-judged", "max-hold-ms": 60000}]});
    let world = world(vec![
        Policy::new("watch", ordering(holding, &[block("hard")])).observing(),
    ])
    .await;
    let request = streamed(chat(
        &json!({"chunks": ["my ", "sec", "ret"], "hang_after_chunks": 3}),
    ));
    let response = world.open(&[("x-airlock-session-id", "s")], &request).await;
    // The upstream hangs: what is held would never come.
    let mut body = response.into_body();
    let mut seen = String::new();
    while !seen.contains("\"ret\"") {
        use http_body_util::BodyExt as _;
        let frame = tokio::time::timeout(PATIENCE, body.frame())
            .await
            .expect("delayed")
            .unwrap()
            .unwrap();
        seen += std::str::from_utf8(&frame.into_data().unwrap()).unwrap();
    }
    drop(body);
    assert!(
        world
            .interventions("s")
            .iter()
            .all(|(_, _, outcome, _)| *outcome == Outcome::WouldApply)
    );
    assert!(
        world.interventions("s").len() >= 2,
        "{:?}",
        world.interventions("s")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_of_an_observer_reach_observers_only() {
    let mut finds = ordering(wakes(json!([{"event": "request"}])), &[]);
    finds.subscription.as_mut().unwrap()["findings"] = json!([]);
    let mut acts = ordering(json!({}), &[block("hard")]);
    acts.subscription = Some(json!({"findings": ["test.*"]}));
    let table = "[[on_finding]]\nkind = \"test.*\"\naction = \"block\"\n";
    let world = configured(
        table,
        vec![
            Policy::new("finds", finds).observing(),
            Policy::new("acts", acts.clone()),
            Policy::new("looks", acts).observing(),
        ],
    )
    .await;
    assert_eq!(world.call("s", &hello()).await.status, 200);
    let outcomes: Vec<_> = world
        .interventions("s")
        .into_iter()
        .map(|(_, by, outcome, _)| (by, outcome))
        .collect();
    assert_eq!(
        outcomes,
        [
            ("looks".to_owned(), Outcome::WouldApply),
            ("on_finding".to_owned(), Outcome::WouldApply)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_is_not_granted_is_refused_with_what_to_do() {
    let world = world(vec![
        Policy::new("eager", on_request(&[block("hard")])).granted(&["annotate"]),
    ])
    .await;
    assert_eq!(world.call("s", &hello()).await.status, 200);
    let (outcome, reason) = world.outcome("s", "block");
    assert_eq!(outcome, Outcome::Refused);
    assert!(
        reason.contains("airlock policy grant eager block"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_table_answers_for_a_reasoner_without_actuator() {
    let mut finds = ordering(wakes(json!([{"every-tokens": 1}])), &[]);
    finds.world = "reasoner";
    let table = "[[on_finding]]\nkind = \"test.*\"\nseverity = \"high\"\naction = \"stop\"\nmessage = \"the table says so\"\n";
    let world = configured(table, vec![Policy::new("finds", finds.clone())]).await;
    let reply = world
        .call("s", &streamed(chat(&json!({"chunks": ["a", "b"]}))))
        .await;
    assert!(reply.is_done(), "{}", reply.text());
    assert!(
        reply.text().contains("the table says so"),
        "{}",
        reply.text()
    );
    assert_eq!(world.statuses("s"), [Status::Partial]);
    // Not as severe as the row wants: recorded, and nothing else.
    let world = configured(
        &table.replace("high", "critical"),
        vec![Policy::new("finds", finds)],
    )
    .await;
    let reply = world
        .call("s", &streamed(chat(&json!({"chunks": ["a", "b"]}))))
        .await;
    assert_eq!(reply.bytes, world.sent());
    assert!(
        world
            .timeline("s")
            .iter()
            .any(|e| matches!(e.body, Body::Finding { .. }))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_do_not_wake_their_cause_and_a_cascade_ends() {
    let note = json!({"annotate": {"name": "n", "value": "v"}});
    let guest = || {
        ordering(
            wakes(json!([{"event": "request"}, {"event": "intervention"}])),
            std::slice::from_ref(&note),
        )
    };
    let alone = world(vec![Policy::new("one", guest())]).await;
    assert_eq!(alone.call("s", &hello()).await.status, 200);
    assert_eq!(
        alone.interventions("s").len(),
        1,
        "{:?}",
        alone.interventions("s")
    );
    let pair = world(vec![
        Policy::new("one", guest()),
        Policy::new("two", guest()),
    ])
    .await;
    assert_eq!(pair.call("s", &hello()).await.status, 200);
    let interventions = pair.interventions("s");
    // Two at each depth; each checkpoint of the exchange may have a cascade of its own.
    assert!(
        (4..=24).contains(&interventions.len()),
        "{}",
        interventions.len()
    );
}
