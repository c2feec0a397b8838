//! Questions from the import to the mailbox, with a real store, real upstreams, and the simulator or a stub behind them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::*;
use crate::config::parse::parse;
use crate::event::Usage;
use crate::event::key::SessionKey;
use crate::people::Verdict;
use crate::session::feed::Feed;
use crate::session::ledger::Limits;
use crate::session::sessions::Sessions;
use crate::session::state::Found;
use crate::session::timeline::Recorder;
use crate::simulate::Simulator;
use crate::store::Store;
use crate::store::capture::Capture;
use crate::store::sqlite::{Options, SqliteStore};
use airlock_policy::AskQuota;
use airlock_policy::contract::asking::{self, Approval, Classification, Generation};

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    asks: Arc<Asks>,
    desk: Arc<Desk>,
    sessions: Arc<Sessions>,
    store: Arc<dyn Store>,
    dir: PathBuf,
}

/// An address at which every request is answered with this status and body.
async fn stub(status: u16, body: Value) -> String {
    let status = http::StatusCode::from_u16(status).unwrap();
    let answer = move || {
        let body = body.clone();
        async move { (status, axum::Json(body)) }
    };
    serve(Router::new().fallback(post(answer))).await
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn simulator() -> (Simulator, String) {
    let (simulator, listener) = (
        Simulator::new(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    let served = simulator.clone();
    tokio::spawn(async move { served.serve(listener, std::future::pending()).await });
    (simulator, address)
}

fn chat(text: &str) -> Value {
    json!({"model": "m-2026", "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
           "usage": {"prompt_tokens": 40, "completion_tokens": 2}})
}

fn config(base: &str, more: &str) -> crate::config::Config {
    let text = format!(
        "[upstream.up]\nbase_url = {base:?}\ncredential = \"none\"\nretries = 0\n\
         [ask.model]\nupstream = \"up\"\nmodel = \"sim-echo\"\nkinds = [\"classify\", \"generate\", \"embed\"]\n\
         max_tokens = 100\n[ask.oncall]\npeople = true\n\
         [price.\"sim-echo\"]\ninput = 1.0\noutput = 10.0\n[price.\"m-2026\"]\ninput = 1.0\noutput = 10.0\n{more}"
    );
    parse(&text, Path::new("/airlock.toml")).unwrap_or_else(|e| panic!("{e}"))
}

impl World {
    async fn new(base: &str, more: &str, dir: &Path) -> Self {
        let config = config(base, more);
        let options = Options::in_directory(dir, 0);
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).unwrap());
        let sessions = Arc::new(Sessions::new(
            Recorder {
                store: Arc::clone(&store),
                feed: Feed::new(),
                capture: Capture::Full,
            },
            Limits::default(),
        ));
        let desk = Desk::open(Arc::clone(&sessions), config.people.limits()).unwrap();
        let means = Means {
            targets: config.asks.clone(),
            upstreams: Arc::new(Upstreams::new(&config.upstreams, Arc::default()).unwrap()),
            prices: Arc::new(PriceTable::new(&config.prices).unwrap()),
        };
        Self {
            asks: Asks::new(Arc::clone(&desk), means),
            desk,
            sessions,
            store,
            dir: dir.to_owned(),
        }
    }

    async fn session(&self, tokens: Option<u64>) -> Arc<Session> {
        let found = Found {
            key: SessionKey {
                tenant: "default".into(),
                principal: "p".into(),
                source: "test".into(),
                value: "s".into(),
            },
            confidence: "explicit",
            parent: None,
            extra: vec![],
        };
        self.sessions.limit(Limits { tokens, cost: None });
        self.sessions.get(found).await.unwrap()
    }

    /// What was recorded of the session, of one kind.
    fn recorded(&self, session: &Session, kind: &str) -> Vec<Value> {
        self.store.flush().unwrap();
        let events = self.store.timeline(session.id, 0, 1000).unwrap();
        let events = events
            .iter()
            .map(|event| serde_json::to_value(event).unwrap());
        events.filter(|event| event["kind"] == kind).collect()
    }
}

fn ask(question: asking::Question, target: &str) -> Ask<'_> {
    Ask {
        policy: "p",
        quota: AskQuota::default(),
        exchange: 1,
        target,
        question,
        deadline_ms: 0,
    }
}

fn generate(prompt: &str) -> asking::Question {
    asking::Question::Generate(Generation {
        system: "Sum up.".into(),
        prompt: prompt.into(),
        max_tokens: 0,
    })
}

fn classify() -> asking::Question {
    asking::Question::Classify(Classification {
        text: "hello".into(),
        labels: vec!["good".into(), "bad".into()],
    })
}

fn approve(choices: &[&str]) -> asking::Question {
    asking::Question::Approve(Approval {
        title: "Deploy?".into(),
        body: "To production.".into(),
        choices: choices.iter().map(|c| (*c).to_owned()).collect(),
    })
}

/// Waits, as an exchange does, for the answer to a ticket.
async fn answer_of(session: &Session, ticket: u64) -> AnswerValue {
    let bell = Arc::new(Notify::new());
    session.mailbox.claim(&[ticket], &bell);
    let answered = async {
        loop {
            if let Some(answered) = session.mailbox.take(&bell).pop() {
                return answered;
            }
            bell.notified().await;
        }
    };
    let answered = tokio::time::timeout(PATIENCE, answered)
        .await
        .expect("no answer");
    assert_eq!(answered.ticket, ticket);
    answered.value
}

async fn asked(world: &World, session: &Arc<Session>, ask: Ask<'_>) -> AnswerValue {
    let ticket = world.asks.asker(session).ask(ask).unwrap();
    answer_of(session, ticket).await
}

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
    let texts = asking::Question::Embed(vec!["one".into(), "two".into(), "one".into()]);
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
        assert!(why.contains(words), "{why}");
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
    let tickets: Vec<u64> = (0..crate::session::mailbox::UNDER_WAY)
        .map(|_| asker.ask(ask(generate("x"), "model")).unwrap())
        .collect();
    assert!(tickets.is_sorted_by(|a, b| a < b) && tickets.iter().all(|t| *t < 1 << 53));
    let why = asker.ask(ask(generate("x"), "model")).unwrap_err();
    assert!(why.contains("wait for an answer already"), "{why}");

    let _all = Arc::clone(&world.asks.running)
        .acquire_many_owned(u32::try_from(PROCESS - tickets.len()).unwrap())
        .await
        .unwrap();
    let why = asker.ask(ask(generate("x"), "model")).unwrap_err();
    assert!(why.contains("in this process"), "{why}");
}

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
            let open = crate::people::Filter {
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
