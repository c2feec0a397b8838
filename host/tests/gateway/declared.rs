//! What a request declares about itself: policies and the timeline are told, deadlines and budgets hold, and nothing of it
//! goes upstream.

use serde_json::{Value, json};

use crate::support::*;
use airlock_core::event::{Body, Outcome, Status};

fn declared(world: &World, session: &str) -> Vec<Value> {
    world
        .timeline(session)
        .iter()
        .filter_map(|event| match &event.body {
            Body::Annotation {
                policy,
                name,
                value,
            } if policy == "client" && name == "declared" => {
                Some(serde_json::from_str(value).unwrap())
            }
            _ => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_declared_is_told_and_goes_no_further() {
    let world = world(vec![]).await;
    let headers = [
        ("x-airlock-session-id", "s"),
        ("x-airlock-task", "mend the build"),
        ("x-airlock-subtask", "read-logs"),
        ("x-airlock-risk", "high"),
        ("x-airlock-deadline-ms", "60000"),
        ("x-airlock-max-tokens", "5000"),
    ];
    let reply = world
        .call_with(&headers, &chat(&json!({"text": "done"})))
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let expected = json!({"task": "mend the build", "subtask": "read-logs", "risk": "high",
        "deadline_ms": "60000", "max_tokens": "5000"});
    assert_eq!(declared(&world, "s"), [expected]);
    let request = world.simulator.record().requests().pop().unwrap();
    assert!(
        !request
            .headers
            .iter()
            .any(|(name, _)| name.starts_with("x-airlock")),
        "{:?}",
        request.headers
    );
    world.call("s", &chat(&json!({"text": "undeclared"}))).await;
    assert_eq!(
        declared(&world, "s").len(),
        1,
        "each request speaks for itself"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declaration_that_makes_no_sense_is_refused_by_name() {
    let world = world(vec![]).await;
    for (name, value) in [
        ("x-airlock-risk", "none"),
        ("x-airlock-deadline-ms", "soon"),
        ("x-airlock-max-tokens", "-1"),
    ] {
        let reply = world
            .call_with(&[(name, value)], &chat(&json!({"text": "x"})))
            .await;
        assert_eq!(
            (reply.status, reply.error_code().as_str()),
            (400, "airlock_declared")
        );
        assert!(reply.text().contains(name), "{}", reply.text());
    }
    assert!(world.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_before_the_first_byte_is_an_error_that_no_sdk_repeats() {
    for policies in [vec![], vec![Policy::new("ears", listener(&[], false))]] {
        let world = world(policies).await;
        for (n, request) in [
            chat(&json!({"text": "late", "first_delay_ms": 600_000})),
            chat(&json!({"text": "late", "hang_after_chunks": 0})),
        ]
        .iter()
        .enumerate()
        {
            let name = format!("s{n}");
            let headers = [
                ("x-airlock-session-id", name.as_str()),
                ("x-airlock-deadline-ms", "60"),
            ];
            let reply = world.call_with(&headers, request).await;
            assert_eq!(
                (reply.status, reply.error_code().as_str()),
                (504, "airlock_deadline"),
                "{}",
                reply.text()
            );
            assert_eq!(reply.headers["x-should-retry"], "false");
            assert_eq!(world.statuses(&name), [Status::Failed]);
            assert_eq!(world.outcome(&name, "stop").0, Outcome::Applied);
        }
        world
            .eventually("the calls are cancelled", |w| {
                w.simulator.record().live().open == 0
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_in_mid_stream_is_a_partial_end_however_fast_the_stream() {
    let world = world(vec![Policy::new("ears", listener(&[], false))]).await;
    for (n, delay) in [0, 5, 600_000].into_iter().enumerate() {
        let name = format!("s{n}");
        let headers = [
            ("x-airlock-session-id", name.as_str()),
            ("x-airlock-deadline-ms", "400"),
        ];
        let script = json!({"chunks": ["on", " and"], "endless": true, "delay_ms": delay});
        let reply = world.call_with(&headers, &streamed(chat(&script))).await;
        assert_eq!(reply.status, 200);
        assert!(
            reply.is_done(),
            "a correct end: {}",
            &reply.text()[reply.text().len().saturating_sub(500)..]
        );
        assert_eq!(reply.finishes().len(), 1);
        assert!(
            reply.text().contains("x-airlock-deadline-ms"),
            "it says why"
        );
        assert_eq!(world.statuses(&name), [Status::Partial]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_counts_in_the_line_too() {
    let more = "[upstream.sim]\nbase_url = \"SIM\"\n[tenant.default]\nmax_concurrent = 1\nmax_queued = 5\nqueue_ms = 60000\n";
    let world = configured(more, vec![]).await;
    let hangs = streamed(chat(
        &json!({"chunks": ["one", " two"], "hang_after_chunks": 1}),
    ));
    let _stream = world.open(&[], &hangs).await;
    let reply = world
        .call_with(
            &[("x-airlock-deadline-ms", "50")],
            &chat(&json!({"text": "x"})),
        )
        .await;
    assert_eq!(
        (reply.status, reply.error_code().as_str()),
        (504, "airlock_deadline"),
        "{}",
        reply.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_budget_only_tightens() {
    let world = configured("[session]\nmax_tokens = 1000\n", vec![]).await;
    let call = async |budget: &str| {
        let headers = [
            ("x-airlock-session-id", "s"),
            ("x-airlock-max-tokens", budget),
        ];
        world
            .call_with(&headers, &chat(&json!({"chunks": vec!["w"; 20]})))
            .await
            .status
    };
    assert_eq!(call("999999").await, 200);
    assert_eq!(call("10").await, 402, "spent already");
    assert_eq!(call("999999").await, 402, "and it stays so");
}
