//! Questions to people, and what becomes of questions when the process ends.

use axum::Router;
use axum::routing::post;

use super::world::{PATIENCE, World, answer_of, approve, ask, asked, generate, serve};
use airlock_core::people::{Filter, Verdict};
use airlock_policy::Ask;
use airlock_policy::contract::types::AnswerValue;

#[tokio::test(flavor = "multi_thread")]
async fn people_answer() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new("http://127.0.0.1:9/v1", "", dir.path()).await;
    let session = world.session(None).await;
    let asker = world.asks.asker(&session);
    for (choices, verdict, expected) in [
        (&[][..], Verdict::Approved, AnswerValue::Text("yes".into())),
        (
            &["a", "b"],
            Verdict::Chosen("b".into()),
            AnswerValue::Text("b".into()),
        ),
        (
            &["c"],
            Verdict::Denied,
            AnswerValue::Denied("refused by ann: no".into()),
        ),
    ] {
        let ticket = asker.ask(ask(approve(choices), "oncall")).unwrap();
        decide(&world, verdict).await;
        assert_eq!(answer_of(&session, ticket).await, expected);
    }
    let again = asker.ask(ask(approve(&["c"]), "oncall")).unwrap();
    let remembered = AnswerValue::Denied("refused by ann: no".into());
    assert_eq!(
        answer_of(&session, again).await,
        remembered,
        "nobody is asked twice"
    );
    assert_eq!(session.ledger.spent().tokens, 0);
}

/// Decides what waits, once people can see it.
async fn decide(world: &World, verdict: Verdict) {
    let decided = async {
        loop {
            world.store.flush().unwrap();
            let open = Filter {
                decided: Some(false),
                ..Default::default()
            };
            let waiting = world.desk.list(open, 10).unwrap();
            if let Some(approval) = waiting.first()
                && world
                    .desk
                    .decide(approval.id, verdict.clone(), "ann", "no")
                    .await
                    .is_ok()
            {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, decided)
        .await
        .expect("nothing waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_longer_for_people_than_was_said() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new("http://127.0.0.1:9/v1", "", dir.path()).await;
    let session = world.session(None).await;
    let question = Ask {
        deadline_ms: 30,
        ..ask(approve(&[]), "oncall")
    };
    let value = asked(&world, &session, question).await;
    assert!(
        matches!(&value, AnswerValue::Failed(how) if how.starts_with("no answer")),
        "{value:?}"
    );
}

/// A model's answer is lost with the process; people's is not, whether they decide before or after the new one begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_fails_questions_to_models_and_goes_on_with_those_to_people() {
    let silent = Router::new().fallback(post(std::future::pending::<()>));
    let base = serve(silent).await;
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(&base, "", dir.path()).await;
    let session = world.session(None).await;
    let asker = world.asks.asker(&session);
    let model = asker.ask(ask(generate("x"), "model")).unwrap();
    let early = asker.ask(ask(approve(&["early"]), "oncall")).unwrap();
    // The exchange ends before any answer.
    session.settle(1, 0);
    world.store.flush().unwrap();
    decide(&world, Verdict::Chosen("early".into())).await;
    world.store.flush().unwrap();

    // The process dies: what it would still have written, it does not write. The file is copied as it is then.
    let next = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(&world.dir).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), next.path().join(file.file_name())).unwrap();
    }
    let world = World::new(&base, "", next.path()).await;
    let session = world.session(None).await;
    let _asker = world.asks.asker(&session);
    let why = "Airlock was restarted before the answer came";
    assert_eq!(
        answer_of(&session, model).await,
        AnswerValue::Failed(why.into())
    );
    assert_eq!(
        answer_of(&session, early).await,
        AnswerValue::Text("early".into())
    );
    let late = world
        .asks
        .asker(&session)
        .ask(ask(approve(&["late"]), "oncall"))
        .unwrap();
    assert!(late > early, "tickets do not begin again");
    session.settle(2, 0);
    world.store.flush().unwrap();

    let last = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(&world.dir).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), last.path().join(file.file_name())).unwrap();
    }
    let world = World::new(&base, "", last.path()).await;
    let session = world.session(None).await;
    let _asker = world.asks.asker(&session);
    decide(&world, Verdict::Chosen("late".into())).await;
    assert_eq!(
        answer_of(&session, late).await,
        AnswerValue::Text("late".into())
    );
}
