//! A world in which questions are asked, and the questions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::super::{Asks, Means};
use crate::config::Config;
use crate::config::parse::parse;
use crate::simulate::Simulator;
use crate::upstream::Upstreams;
use airlock_core::event::key::SessionKey;
use airlock_core::observe::prices::PriceTable;
use airlock_core::people::Desk;
use airlock_core::session::feed::Feed;
use airlock_core::session::ledger::Limits;
use airlock_core::session::sessions::Sessions;
use airlock_core::session::state::{Found, Session};
use airlock_core::session::timeline::Recorder;
use airlock_core::store::Store;
use airlock_core::store::capture::Capture;
use airlock_core::store::sqlite::{Options, SqliteStore};
use airlock_policy::contract::asking::{Approval, Classification, Generation, Question};
use airlock_policy::contract::types::AnswerValue;
use airlock_policy::{Ask, AskQuota};

/// Longer than anything here takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct World {
    pub asks: Arc<Asks>,
    pub desk: Arc<Desk>,
    pub sessions: Arc<Sessions>,
    pub store: Arc<dyn Store>,
    pub dir: PathBuf,
}

/// An address at which every request is answered with this status and body.
pub async fn stub(status: u16, body: Value) -> String {
    let status = http::StatusCode::from_u16(status).unwrap();
    let answer = move || {
        let body = body.clone();
        async move { (status, axum::Json(body)) }
    };
    serve(Router::new().fallback(post(answer))).await
}

pub async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

pub async fn simulator() -> (Simulator, String) {
    let (simulator, listener) = (
        Simulator::new(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    let served = simulator.clone();
    tokio::spawn(async move { served.serve(listener, std::future::pending()).await });
    (simulator, address)
}

pub fn chat(text: &str) -> Value {
    json!({"model": "m-2026", "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
           "usage": {"prompt_tokens": 40, "completion_tokens": 2}})
}

fn config(base: &str, more: &str) -> Config {
    let text = format!(
        "[upstream.up]\nbase_url = {base:?}\ncredential = \"none\"\nretries = 0\n\
         [ask.model]\nupstream = \"up\"\nmodel = \"sim-echo\"\nkinds = [\"classify\", \"generate\", \"embed\"]\n\
         max_tokens = 100\n[ask.oncall]\npeople = true\n\
         [price.\"sim-echo\"]\ninput = 1.0\noutput = 10.0\n[price.\"m-2026\"]\ninput = 1.0\noutput = 10.0\n{more}"
    );
    parse(&text, Path::new("/airlock.toml")).unwrap_or_else(|e| panic!("{e}"))
}

impl World {
    pub async fn new(base: &str, more: &str, dir: &Path) -> Self {
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

    pub async fn session(&self, tokens: Option<u64>) -> Arc<Session> {
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
    pub fn recorded(&self, session: &Session, kind: &str) -> Vec<Value> {
        self.store.flush().unwrap();
        let events = self.store.timeline(session.id, 0, 1000).unwrap();
        let events = events
            .iter()
            .map(|event| serde_json::to_value(event).unwrap());
        events.filter(|event| event["kind"] == kind).collect()
    }
}

pub fn ask(question: Question, target: &str) -> Ask<'_> {
    Ask {
        policy: "p",
        quota: AskQuota::default(),
        exchange: 1,
        target,
        question,
        deadline_ms: 0,
    }
}

pub fn generate(prompt: &str) -> Question {
    Question::Generate(Generation {
        system: "Sum up.".into(),
        prompt: prompt.into(),
        max_tokens: 0,
    })
}

pub fn classify() -> Question {
    Question::Classify(Classification {
        text: "hello".into(),
        labels: vec!["good".into(), "bad".into()],
    })
}

pub fn approve(choices: &[&str]) -> Question {
    Question::Approve(Approval {
        title: "Deploy?".into(),
        body: "To production.".into(),
        choices: choices.iter().map(|c| (*c).to_owned()).collect(),
    })
}

/// Waits, as an exchange does, for the answer to a ticket.
pub async fn answer_of(session: &Session, ticket: u64) -> AnswerValue {
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

pub async fn asked(world: &World, session: &Arc<Session>, ask: Ask<'_>) -> AnswerValue {
    let ticket = world.asks.asker(session).ask(ask).unwrap();
    answer_of(session, ticket).await
}
