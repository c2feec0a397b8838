//! Questions to models: what they answer, what it costs, and what happens when no answer comes.

use axum::Router;
use axum::routing::post;
use serde_json::{Value, json};

use super::world::{World, ask, asked, chat, classify, generate, serve, simulator, stub};
use airlock_core::event::Usage;
use airlock_policy::Ask;
use airlock_policy::contract::asking::Question;
use airlock_policy::contract::types::AnswerValue;

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_asked_and_the_session_pays() {
    let (simulator, base) = simulator().await;
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(&base, "", dir.path()).await;
    let session = world.session(Some(10_000)).await;
    let value = asked(
        &world,
        &session,
        ask(generate("the quick brown fox"), "model"),
    )
    .await;
    let AnswerValue::Text(text) = value else {
        panic!("{value:?}")
    };
    assert!(text.contains("the quick brown fox"), "{text}");

    let request = simulator.record().requests().pop().unwrap();
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body["max_completion_tokens"], 100);
    assert!(
        !body["messages"][0]["content"]
            .as_str()
            .unwrap()
            .contains("Sum up.")
    );

    let asked = world.recorded(&session, "asked").pop().unwrap();
    assert_eq!(
        (&asked["target"], &asked["question"]),
        (&json!("model"), &json!("generate"))
    );
    assert_eq!(asked["exchange"], 1);
    let answer = world.recorded(&session, "answer").pop().unwrap();
    let usage: Usage = serde_json::from_value(answer["usage"].clone()).unwrap();
    assert_eq!(answer["ticket"], asked["ticket"]);
    assert_eq!(
        answer["cost"],
        u64::from(usage.input) + 10 * u64::from(usage.output)
    );
    let spent = session.ledger.spent();
    assert_eq!(
        spent.tokens,
        u64::from(usage.input) + u64::from(usage.output)
    );
    assert_eq!(json!(spent.cost), answer["cost"], "nothing stays reserved");
    // The store counts it too: without a limit, this is what a restart knows.
    let saved = world.store.load_session(session.id).unwrap().unwrap();
    assert_eq!(saved.row.counters.input_tokens, u64::from(usage.input));
    assert_eq!(saved.row.counters.cost, spent.cost);
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_become_vectors() {
    let (_simulator, base) = simulator().await;
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(&base, "", dir.path()).await;
    let session = world.session(None).await;
    let texts = Question::Embed(vec!["one".into(), "two".into(), "one".into()]);
    let value = asked(&world, &session, ask(texts, "model")).await;
    let AnswerValue::Vectors(vectors) = value else {
        panic!("{value:?}")
    };
    assert_eq!(vectors.len(), 3);
    assert!(vectors[0] == vectors[2] && vectors[0] != vectors[1]);
    assert!(session.ledger.spent().tokens > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_verdict_fails_and_is_paid() {
    let dir = tempfile::tempdir().unwrap();
    let base = stub(200, chat("certainly good!")).await;
    let world = World::new(&base, "", dir.path()).await;
    let session = world.session(None).await;
    let value = asked(&world, &session, ask(classify(), "model")).await;
    assert!(
        matches!(&value, AnswerValue::Failed(how) if how.contains("not an object of scores")),
        "{value:?}"
    );
    assert_eq!(
        (session.ledger.spent().tokens, session.ledger.spent().cost),
        (42, 60)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_is_scores_by_label() {
    let dir = tempfile::tempdir().unwrap();
    let base = stub(200, chat("{\"good\": 0.2, \"bad\": 0.8}")).await;
    let world = World::new(&base, "", dir.path()).await;
    let session = world.session(None).await;
    let value = asked(&world, &session, ask(classify(), "model")).await;
    let expected = vec![("bad".to_owned(), 0.8), ("good".to_owned(), 0.2)];
    assert_eq!(value, AnswerValue::Labels(expected));
    let answer = world.recorded(&session, "answer").pop().unwrap();
    assert_eq!(
        answer["value"],
        json!({"labels": [["bad", 0.8], ["good", 0.2]]})
    );
    assert_eq!(answer["model"], "m-2026");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_refuses_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let base = stub(401, json!({"error": {"message": "bad key"}})).await;
    let world = World::new(&base, "", dir.path()).await;
    let session = world.session(Some(1000)).await;
    let value = asked(&world, &session, ask(generate("x"), "model")).await;
    assert!(
        matches!(&value, AnswerValue::Failed(how) if how.contains("401") && how.contains("bad key")),
        "{value:?}"
    );
    assert_eq!(session.ledger.spent().tokens, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_question_goes_beyond_the_budget() {
    let (simulator, base) = simulator().await;
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(&base, "", dir.path()).await;
    let session = world.session(Some(20)).await;
    let value = asked(&world, &session, ask(generate("x"), "model")).await;
    assert!(
        matches!(&value, AnswerValue::Denied(why) if why.contains("budget")),
        "{value:?}"
    );
    assert!(simulator.record().requests().is_empty());
    assert_eq!(session.ledger.spent().tokens, 0);
    assert!(world.recorded(&session, "answer")[0].get("usage").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_fails_and_counts_whole() {
    let silent = Router::new().fallback(post(std::future::pending::<()>));
    let base = serve(silent).await;
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(&base, "", dir.path()).await;
    let session = world.session(None).await;
    let question = Ask {
        deadline_ms: 40,
        ..ask(generate("x"), "model")
    };
    let value = asked(&world, &session, question).await;
    assert_eq!(value, AnswerValue::Failed("no answer within 40 ms".into()));
    assert!(
        session.ledger.spent().tokens > 100,
        "the prompt, and 100 tokens of an answer"
    );
}
