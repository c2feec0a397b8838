//! Everything that stands around an exchange, on a real store, and a driver that does no I/O.

use std::collections::VecDeque;
use std::sync::Arc;

use airlock_policy::contract::types::{Refusal, RefusalKind};
use airlock_policy::{Asker, Policies, PolicySettings};
use bytes::Bytes;
use serde::Deserialize;

use airlock_core::act::alert::{Alerts, Notice};
use airlock_core::dialect::{Dialect, Failure, Received};
use airlock_core::event::clock::now;
use airlock_core::event::declared::Declared;
use airlock_core::event::key::SessionKey;
use airlock_core::event::target::{StreamUsage, Target};
use airlock_core::event::{FailureKind, Micros};
use airlock_core::exchange::around::{Asks, Destinations};
use airlock_core::exchange::{Arrived, Ending, Exchange, Leg, Next, Reply, Surroundings, Take};
use airlock_core::observe::prices::PriceTable;
use airlock_core::people::{Desk, Limits};
use airlock_core::reason::plan;
use airlock_core::reason::rules::Rules;
use airlock_core::reason::rules::row::RuleConfig;
use airlock_core::session::feed::Feed;
use airlock_core::session::ledger;
use airlock_core::session::sessions::Sessions;
use airlock_core::session::state::{Found, Session};
use airlock_core::session::timeline::Recorder;
use airlock_core::store::capture::Capture;
use airlock_core::store::sqlite::{Options, SqliteStore};

/// A rule that denies one tool.
pub const NO_DELETE: &str =
    "[[rule]]\nwhen = \"tool.name == 'delete_file'\"\ndo = \"deny-tool-call\"\nmessage = \"no\"\n";

/// A second, us.
pub const SECOND: Micros = 1_000_000;

/// What an upstream does with a leg.
pub enum Play {
    /// It answers with these chunks.
    Answers(Vec<&'static str>),
    /// It answers with these chunks, and breaks.
    Breaks(Vec<&'static str>),
    /// It is silent.
    Silent,
    /// It cannot be had.
    Fails,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    rule: Vec<RuleConfig>,
}

struct Nobody;

impl Alerts for Nobody {
    fn knows(&self, _: &str) -> bool {
        false
    }

    fn send(&self, _: &Notice, _: &str) -> Result<(), String> {
        Err("nobody is told".to_owned())
    }
}

impl Asker for Nobody {
    fn ask(&self, _: airlock_policy::Ask<'_>) -> Result<u64, Refusal> {
        Err(Refusal {
            kind: RefusalKind::Unknown,
            message: "nobody is asked".to_owned(),
        })
    }
}

impl Asks for Nobody {
    fn asker(&self, _: &Arc<Session>) -> Arc<dyn Asker> {
        Arc::new(Nobody)
    }
}

impl Destinations for Nobody {
    fn knows(&self, upstream: &str) -> bool {
        upstream == "main"
    }

    fn of(&self, model: &str) -> Vec<Target> {
        vec![Target {
            upstream: "main".into(),
            model: model.into(),
        }]
    }

    fn retries(&self, _: &str) -> u32 {
        1
    }

    fn stream_usage(&self, _: &str) -> StreamUsage {
        StreamUsage::Leave
    }
}

/// A world with these rules and nobody else who judges.
pub struct World {
    around: Arc<Surroundings>,
    _dir: tempfile::TempDir,
    /// When the tests begin.
    pub start: Micros,
}

/// What a request asks for, besides its body.
#[derive(Default)]
pub struct Asked {
    pub path: &'static str,
    pub deadline: Option<Micros>,
    pub patience: Option<Micros>,
}

/// What came of an exchange.
#[derive(Default)]
pub struct Outcome {
    /// What the client was given as a stream.
    pub given: Vec<u8>,
    pub ending: Option<Ending>,
    /// Path and body of each leg.
    pub legs: Vec<(String, String)>,
}

impl Outcome {
    pub fn text(&self) -> String {
        String::from_utf8(self.given.clone()).unwrap()
    }

    /// The error with which a client that has nothing is answered.
    pub fn refused(&self) -> (u16, String) {
        match &self.ending {
            Some(Ending::Reply(Reply::Error(error))) => (error.status, error.code.clone()),
            other => panic!("{other:?}, given {}", self.text()),
        }
    }
}

impl World {
    pub fn new(rules: &str) -> Self {
        Self::with_budget(rules, None)
    }

    /// One in which a session may use so many tokens.
    pub fn with_budget(rules: &str, tokens: Option<u64>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(Options::in_directory(dir.path(), 0)).unwrap());
        let recorder = Recorder {
            store,
            feed: Feed::new(),
            capture: Capture::Full,
        };
        let sessions = Arc::new(Sessions::new(
            recorder,
            ledger::Limits { tokens, cost: None },
        ));
        let limits = Limits {
            remember: 3600 * SECOND,
            max_wait: 3600 * SECOND,
            max_open: 9,
        };
        let mut rows = toml::from_str::<File>(rules).unwrap().rule;
        for (n, row) in rows.iter_mut().enumerate() {
            row.number(n + 1);
        }
        let settings = PolicySettings {
            check: plan::check,
            ..PolicySettings::default()
        };
        let around = Surroundings {
            policies: Policies::start(settings).unwrap(),
            plans: Arc::default(),
            rules: Arc::new(Rules::compile(&rows).unwrap()),
            on_finding: Arc::new([]),
            desk: Desk::open(Arc::clone(&sessions), limits).unwrap(),
            sessions,
            health: Arc::default(),
            machine: Arc::default(),
            prices: Arc::new(PriceTable::new(&[]).unwrap()),
            alerts: Arc::new(Nobody),
            asks: Arc::new(Nobody),
            destinations: Arc::new(Nobody),
        };
        Self {
            around: Arc::new(around),
            _dir: dir,
            start: now(),
        }
    }

    /// An exchange that begins with this request.
    pub async fn begin(
        &self,
        client: &'static dyn Dialect,
        asked: Asked,
        body: &'static str,
    ) -> Exchange {
        let key = SessionKey {
            tenant: "default".into(),
            principal: "local".into(),
            source: "test".into(),
            value: "v".into(),
        };
        let found = Found {
            key,
            confidence: "explicit",
            parent: None,
            extra: Vec::new(),
        };
        let received = Received {
            path: asked.path,
            query: None,
            body: body.as_bytes(),
        };
        let view = client.inbound().read_request(received).unwrap();
        let arrived = Arrived {
            session: self.around.sessions.get(found).await.unwrap(),
            client,
            digests: view.messages.iter().map(|m| m.digest()).collect(),
            view,
            body: Bytes::from_static(body.as_bytes()),
            declared: Declared::default(),
            weak: None,
            client_retries: 0,
            deadline: asked.deadline,
            patience: asked.patience.unwrap_or(Micros::MAX),
            may_assemble: true,
        };
        Exchange::begin(Arc::clone(&self.around), arrived, self.start)
    }
}

/// Drives an exchange at the moment `now` until it ends, or waits for time to pass: then it says until when.
pub async fn drive(
    exchange: &mut Exchange,
    plays: &mut VecDeque<Play>,
    now: Micros,
    outcome: &mut Outcome,
) -> Option<Micros> {
    let mut chunks: VecDeque<&'static str> = VecDeque::new();
    let (mut silent, mut breaks) = (false, false);
    loop {
        match exchange.next(now) {
            Next::Take(take) => {
                let facts = Arc::clone(exchange.facts());
                let ledger = &facts.session.ledger;
                let taken = match take {
                    Take::Prompt(tokens, prices) => {
                        ledger.reserve_input(facts.number, tokens, prices).await
                    }
                    Take::Output(tokens) => ledger.lease(facts.number, tokens).await.map(Some),
                };
                exchange.took(taken, now);
            }
            Next::Send(Leg { targets }) => {
                let (target, body) = &targets[0];
                let sent = String::from_utf8(body.bytes.to_vec()).unwrap();
                outcome.legs.push((body.path.clone(), sent));
                breaks = false;
                match plays.pop_front().unwrap_or(Play::Silent) {
                    Play::Answers(all) => {
                        chunks = all.into();
                        exchange.answered(target, 1, now, now);
                    }
                    Play::Breaks(all) => {
                        chunks = all.into();
                        breaks = true;
                        exchange.answered(target, 1, now, now);
                    }
                    Play::Silent => silent = true,
                    Play::Fails => {
                        let failure = Failure {
                            status: 503,
                            kind: FailureKind::Overloaded,
                            message: "full".to_owned(),
                        };
                        exchange.unreached(&failure, true, now);
                    }
                }
            }
            Next::Give(bytes) => outcome.given.extend_from_slice(&bytes),
            Next::End(ending) => {
                outcome.ending = Some(ending);
                return None;
            }
            Next::Read { until } => match chunks.pop_front() {
                Some("") => return Some(until.unwrap_or(Micros::MAX)),
                Some(chunk) => exchange.chunk(Bytes::from_static(chunk.as_bytes()), now),
                None if breaks => {
                    exchange.broke("cut".to_owned(), FailureKind::Connection, now);
                }
                None => exchange.ended(now),
            },
            Next::Wait { until, held } => {
                assert!(silent || held || until.is_some(), "it waits for nothing");
                return Some(until.unwrap_or(Micros::MAX));
            }
        }
    }
}
