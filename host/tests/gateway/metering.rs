//! Calls that pass without being decoded draw on their session's budget, and on their key's tokens a minute.

use serde_json::{Value, json};

use crate::support::*;
use airlock::config::KeyHash;
use airlock_core::event::{Body, Usage};

const SESSION: &str = "x-airlock-session-id";

/// A gateway before an upstream that says this, with more configuration.
async fn before(answers: Vec<Answer>, more: &str) -> World {
    let upstream = Scripted::start(answers).await;
    configured(&format!("{more}{}", upstream.table("other")), vec![]).await
}

/// What undecoded calls of a session were charged.
fn charged(world: &World, session: &str) -> Vec<Usage> {
    let events = world.timeline(session).into_iter();
    events
        .filter_map(|event| match &event.body {
            Body::Passage { usage, .. } => *usage,
            _ => None,
        })
        .collect()
}

fn spent(world: &World, session: &str) -> u64 {
    let session = world.app.sessions.live(id_of(session)).unwrap();
    session.ledger.spent().tokens
}

fn events(frames: &[Value]) -> Answer {
    let frames: String = frames.iter().map(|f| format!("data: {f}\n\n")).collect();
    Answer::events(format!("{frames}data: [DONE]\n\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_path_ends_where_the_sessions_budget_ends() {
    let openai = json!({"prompt_tokens": 100, "completion_tokens": 200, "total_tokens": 300});
    let own = json!({"input_tokens": 100, "output_tokens": 200, "total_tokens": 300});
    let paths = [
        (
            "/fim/completions",
            Answer::json(json!({"choices": [{"text": "x"}], "usage": openai})),
        ),
        (
            "/fim/completions",
            events(&[
                json!({"choices": [{"text": "x"}]}),
                json!({"choices": [], "usage": openai}),
            ]),
        ),
        (
            "/rerankers",
            Answer::json(json!({"output": [], "usage": own})),
        ),
        (
            "/rerankers",
            events(&[json!({"type": "response.completed", "response": {"usage": own}})]),
        ),
        (
            "/agents/completions",
            Answer::json(json!({"content": [], "usage": own})),
        ),
        (
            "/audio/transcriptions",
            Answer::json(json!({"text": "x", "usage": own})),
        ),
        (
            "/embeddings",
            Answer::json(json!({"data": [], "usage": {"prompt_tokens": 300, "total_tokens": 300}})),
        ),
        (
            "/images/generations",
            Answer::json(json!({"data": [], "usage": own})),
        ),
    ];
    for (path, answer) in paths {
        let world = before(vec![answer], "[session]\nmax_tokens = 1000\n").await;
        let headers = [(SESSION, "s")];
        let body = json!({"model": "m", "input": "x", "prompt": "x"});
        for call in 1..=3 {
            let reply = world.post(path, &headers, &body).await;
            assert_eq!(reply.status, 200, "{path}, call {call}: {}", reply.text());
        }
        assert_eq!(spent(&world, "s"), 900, "{path}");
        let last = world.post(path, &headers, &body).await;
        assert_eq!(last.status, 200, "{path}: 100 are left");
        let refused = world.post(path, &headers, &body).await;
        assert_eq!(refused.status, 402, "{path}");
        assert_eq!(refused.error_code(), "airlock_budget", "{}", refused.text());
        let told = charged(&world, "s");
        assert_eq!(
            told.iter().map(|usage| usage.total()).sum::<u64>(),
            1200,
            "{path}"
        );
        assert!(told.iter().all(|usage| usage.exact), "{path}");
        // A chat of the same session has nothing left either.
        assert_ne!(
            world.call("s", &chat(&json!({"text": "x"}))).await.status,
            200
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_states_no_usage_is_estimated_and_the_timeline_says_so() {
    let world = before(
        vec![Answer::json(
            json!({"choices": [{"text": "word ".repeat(80)}]}),
        )],
        "",
    )
    .await;
    let body = json!({"model": "m", "prompt": "x".repeat(400)});
    assert_eq!(
        world
            .post("/fim/completions", &[(SESSION, "s")], &body)
            .await
            .status,
        200
    );
    let [usage] = charged(&world, "s")[..] else {
        panic!("not one charge");
    };
    assert!(!usage.exact);
    assert_eq!((usage.input, usage.output), (101, 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_answer_is_cut_where_the_budget_ends() {
    let frames: Vec<Value> = (0..50)
        .map(|_| json!({"choices": [{"text": "x".repeat(400)}]}))
        .collect();
    let world = before(vec![events(&frames)], "[session]\nmax_tokens = 1000\n").await;
    let body = json!({"model": "m", "prompt": "x", "max_tokens": 100, "stream": true});
    let reply = world
        .post("/fim/completions", &[(SESSION, "s")], &body)
        .await;
    assert!(reply.cut, "{}", reply.text());
    assert!(
        reply.frames().len() < 11,
        "{} frames of 100 tokens",
        reply.frames().len()
    );
    world
        .eventually("it is settled", |w| !charged(w, "s").is_empty())
        .await;
    assert!(spent(&world, "s") >= 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_or_generates_nothing_costs_nothing() {
    let failing = Answer::new(429, "application/json", r#"{"error":{"message":"x"}}"#);
    let world = before(vec![failing], "[session]\nmax_tokens = 1000\n").await;
    let body = json!({"model": "m", "prompt": "x".repeat(2000)});
    for _ in 0..5 {
        assert_eq!(
            world
                .post("/fim/completions", &[(SESSION, "s")], &body)
                .await
                .status,
            429
        );
        assert_eq!(
            world.post("/files", &[(SESSION, "s")], &body).await.status,
            429
        );
        assert_eq!(world.get("/models", &[(SESSION, "s")]).await.status, 429);
    }
    assert_eq!(spent(&world, "s"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_spends_out_of_sight_is_refused_by_name_under_a_budget() {
    let answer = || vec![Answer::json(json!({"id": "batch_1"}))];
    let limited = "[session]\nmax_tokens = 1000\n";
    let listed = "[gateway]\npass_paths = [\"/v1/batches\"]\n[session]\nmax_tokens = 1000\n";
    for (more, passes) in [(limited, false), ("", true), (listed, true)] {
        let world = before(answer(), more).await;
        let reply = world
            .post(
                "/batches",
                &[(SESSION, "s")],
                &json!({"input_file_id": "f"}),
            )
            .await;
        assert_eq!(reply.status == 200, passes, "{more}: {}", reply.text());
        if !passes {
            assert!(reply.text().contains("/v1/batches"), "{}", reply.text());
            let body = json!({"model": "m", "input": "x", "background": true});
            assert_ne!(
                world
                    .post("/responses", &[(SESSION, "s")], &body)
                    .await
                    .status,
                200
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_name_no_session_share_their_principals_budget_of_the_day() {
    let usage = json!({"prompt_tokens": 300, "completion_tokens": 300, "total_tokens": 600});
    let answer = Answer::json(json!({"choices": [], "usage": usage}));
    let world = before(vec![answer], "[session]\nmax_tokens = 1000\n").await;
    let body = json!({"model": "m", "prompt": "x"});
    let call = async |key: &str| {
        world
            .post("/fim/completions", &[("authorization", key)], &body)
            .await
            .status
    };
    assert_eq!(call("Bearer a").await, 200);
    assert_eq!(call("Bearer a").await, 200);
    assert_ne!(call("Bearer a").await, 200);
    assert_eq!(call("Bearer b").await, 200, "another principal");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_other_paths_count_for_the_keys_minute() {
    const KEY: &str = "alk-CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC";
    let usage = json!({"prompt_tokens": 500, "completion_tokens": 700, "total_tokens": 1200});
    for answer in [
        Answer::json(json!({"choices": [], "usage": usage})),
        events(&[json!({"choices": [], "usage": usage})]),
    ] {
        let key = format!(
            "[[key]]\nname = \"ci\"\nhash = \"{}\"\ntokens_per_minute = 1000\n",
            KeyHash::of(KEY)
        );
        let upstream = Scripted::start(vec![answer]).await;
        let more = format!("{}credential = \"none\"\n{key}", upstream.table("other"));
        let world = configured(&more, vec![]).await;
        let body = json!({"model": "m", "prompt": "x"});
        let call = async || {
            world
                .post("/fim/completions", &[("x-api-key", KEY)], &body)
                .await
        };
        assert_eq!(call().await.status, 200);
        let refused = call().await;
        assert_eq!(refused.status, 429, "{}", refused.text());
        assert!(
            refused.text().contains("tokens_per_minute"),
            "{}",
            refused.text()
        );
    }
}
