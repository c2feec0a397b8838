//! The desk as people and processes break it: decided twice, too late, killed in between, without a disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod decisions;
mod disk;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::event::Event;
use crate::event::key::SessionKey;
use crate::people::{OnTimeout, Subject};
use crate::session::feed::Feed;
use crate::session::ledger;
use crate::session::state::Found;
use crate::session::timeline::Recorder;
use crate::store::capture::Capture;
use crate::store::sqlite::{Options, SqliteStore};

const MINUTE: Micros = 60_000_000;
const PATIENCE: Duration = Duration::from_secs(20);

const LIMITS: Limits = Limits {
    remember: 60 * MINUTE,
    max_wait: 60 * MINUTE,
    max_open: 3,
};

fn key() -> SessionKey {
    SessionKey {
        tenant: "default".into(),
        principal: "local".into(),
        source: "test".into(),
        value: "v".into(),
    }
}

/// A desk on a real store, with a clock of its own.
struct Office {
    desk: Arc<Desk>,
    sessions: Arc<Sessions>,
    store: Arc<SqliteStore>,
    now: Arc<AtomicU64>,
}

impl Office {
    fn open(dir: &Path, at: Micros, capture: Capture) -> Self {
        let store = Arc::new(SqliteStore::open(Options::in_directory(dir, 0)).unwrap());
        let (desk, sessions, now) = desk(store.clone(), at, capture);
        Self {
            desk,
            sessions,
            store,
            now,
        }
    }

    async fn session(&self) -> SessionId {
        open_session(&self.sessions).await
    }

    /// Lets time pass, and what is due happen.
    async fn pass(&self, time: Micros) {
        self.now.fetch_add(time, Ordering::Relaxed);
        self.desk.settle();
        self.desk.tell().await;
    }

    async fn put(&self, arguments: &str) -> Approval {
        let approval = self.desk.put(call(arguments));
        self.shown(approval.id).await;
        approval
    }

    async fn shown(&self, id: ApprovalId) {
        until(|| {
            let inner = self.desk.lock();
            inner.book.get(id).unwrap().shown
        })
        .await;
    }

    fn events(&self) -> Vec<Event> {
        self.store.flush().unwrap();
        self.store.timeline(key().id(), 0, 1000).unwrap()
    }

    /// Kinds of the events about an approval, with verdict and author.
    fn told(&self, id: ApprovalId) -> Vec<String> {
        told(&self.events(), id)
    }
}

fn told(events: &[Event], id: ApprovalId) -> Vec<String> {
    let mut told = Vec::new();
    for event in events {
        match &event.body {
            Body::Held { approval, .. } if *approval == id.to_string() => told.push("held".into()),
            Body::Decided {
                approval,
                verdict,
                by,
                ..
            } if *approval == id.to_string() => told.push(format!("{verdict} by {by}")),
            _ => {}
        }
    }
    told
}

fn desk(
    store: Arc<dyn Store>,
    at: Micros,
    capture: Capture,
) -> (Arc<Desk>, Arc<Sessions>, Arc<AtomicU64>) {
    let sessions = Arc::new(Sessions::new(
        Recorder {
            store,
            feed: Feed::new(),
            capture,
        },
        ledger::Limits::default(),
    ));
    let now = Arc::new(AtomicU64::new(at));
    let clock = Arc::clone(&now);
    let desk = Desk::with_clock(
        sessions.clone(),
        LIMITS,
        Box::new(move || clock.load(Ordering::Relaxed)),
    );
    (desk.unwrap(), sessions, now)
}

async fn open_session(sessions: &Sessions) -> SessionId {
    let found = Found {
        key: key(),
        confidence: "explicit",
        parent: None,
        extra: Vec::new(),
    };
    sessions.get(found).await.unwrap().id
}

async fn until(mut holds: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < end, "waited in vain");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn call(arguments: &str) -> New {
    item(
        Subject::ToolCall {
            name: "pay".into(),
            arguments: arguments.into(),
        },
        digest::of_tool_call("pay", arguments),
    )
}

fn item(subject: Subject, digest: crate::event::digest::Digest) -> New {
    New {
        session: key().id(),
        exchange: 1,
        policy: "tool-guard".into(),
        subject,
        digest,
        title: "pay jane@example.com?".into(),
        body: "to jane@example.com".into(),
        context: serde_json::Value::Null,
        deadline_ms: 0,
        on_timeout: OnTimeout::Block,
    }
}
