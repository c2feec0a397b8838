//! What may be asked, how much at once, and how long an answer is waited for.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::post;

use super::super::{PROCESS, QUESTION_BYTES, within};
use super::world::{World, approve, ask, generate, serve};
use airlock_core::session::mailbox::UNDER_WAY;
use airlock_policy::{Ask, AskQuota};

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_refused_at_once_and_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new("http://127.0.0.1:9/v1", "", dir.path()).await;
    let session = world.session(None).await;
    let asker = world.asks.asker(&session);
    let once = Ask {
        quota: AskQuota {
            per_minute: 0,
            per_session: 9,
        },
        ..ask(generate("x"), "model")
    };
    for (question, words) in [
        (ask(generate("x"), "nobody"), "[ask.nobody]"),
        (ask(approve(&[]), "model"), "people = true"),
        (ask(generate("x"), "oncall"), "people answer `approve` only"),
        (ask(generate(&"x".repeat(QUESTION_BYTES)), "model"), "bytes"),
        (once, "ask_quota.per_minute"),
    ] {
        let why = asker.ask(question).unwrap_err();
        assert!(why.message.contains(words), "{why:?}");
    }
    assert!(world.recorded(&session, "asked").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_questions_run_at_once() {
    let silent = Router::new().fallback(post(std::future::pending::<()>));
    let base = serve(silent).await;
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(&base, "", dir.path()).await;
    let session = world.session(None).await;
    let asker = world.asks.asker(&session);
    let tickets: Vec<u64> = (0..UNDER_WAY)
        .map(|_| asker.ask(ask(generate("x"), "model")).unwrap())
        .collect();
    assert!(tickets.is_sorted_by(|a, b| a < b) && tickets.iter().all(|t| *t < 1 << 53));
    let why = asker.ask(ask(generate("x"), "model")).unwrap_err();
    assert!(
        why.message.contains("wait for an answer already"),
        "{why:?}"
    );

    let _all = Arc::clone(&world.asks.running)
        .acquire_many_owned(u32::try_from(PROCESS - tickets.len()).unwrap())
        .await
        .unwrap();
    let why = asker.ask(ask(generate("x"), "model")).unwrap_err();
    assert!(why.message.contains("in this process"), "{why:?}");
}

#[test]
fn the_deadline_is_the_policys_and_no_later_than_the_targets() {
    let s = Duration::from_secs;
    for (most, stated, expected) in [
        (Some(s(30)), 0, Some(s(30))),
        (Some(s(30)), 5_000, Some(s(5))),
        (Some(s(30)), 90_000, Some(s(30))),
        (None, 90_000, Some(s(90))),
        (None, 0, None),
    ] {
        assert_eq!(within(most, stated), expected);
    }
}
