//! One live session.

mod changing;
mod row;
mod seats;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::content::Contents;
use super::ledger::{Ledger, Operator, Spend};
use super::mailbox::Mailbox;
use crate::event::Body;
use crate::event::clock::now;
use crate::event::digest::Digest;
use crate::event::key::{SessionId, SessionKey};
use crate::observe::health::Tracks;
use crate::observe::tokens::{MESSAGE_TOKENS, TokenCounter, estimate};
use crate::observe::vitals::SessionVitals;
use crate::session::timeline::{Recorder, Timeline};
use crate::store::{SavedSession, SessionHead};
use airlock_policy::contract::SMALL;
use airlock_policy::contract::types::Facts;
use airlock_policy::fault::Fault;
use airlock_policy::seat::Seat;

pub use changing::State;

/// Texts up to this length are counted by the tokenizer, longer ones by four bytes a token.
const COUNTED_BYTES: usize = 32 * 1024;

/// How a session was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Who it belongs to.
    pub key: SessionKey,
    /// `explicit`, `derived` or `inferred`.
    pub confidence: &'static str,
    /// The session that started it, if the client says so.
    pub parent: Option<String>,
    /// Further facts for policies by name, such as what the request that opens the session declares.
    pub extra: Vec<(String, String)>,
}

/// One live session. All its parts are behind locks that are held for microseconds.
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// Who it belongs to.
    pub key: SessionKey,
    /// What policies are told of it.
    pub facts: Arc<Facts>,
    /// What happened.
    pub timeline: Timeline,
    /// What may be spent.
    pub ledger: Arc<Ledger>,
    /// How its tools have been doing.
    pub tool_health: Tracks,
    /// Long content of its exchanges.
    pub contents: Arc<Contents>,
    /// Questions of its policies, and the answers.
    pub mailbox: Mailbox,
    recorder: Recorder,
    state: Mutex<State>,
    seats: Mutex<HashMap<Arc<str>, Arc<Mutex<Seat>>>>,
}

impl Session {
    /// A session that is new, or goes on from what the store has of it.
    pub fn open(
        found: Found,
        saved: Option<&SavedSession>,
        operator: Operator,
        recorder: Recorder,
    ) -> Arc<Session> {
        let id = found.key.id();
        let opened = saved.map_or_else(now, |s| s.row.opened);
        let seed = || getrandom::u32().unwrap_or_default() & SMALL;
        let seed = saved.map_or_else(seed, |s| s.seed);
        let parent = found.parent.as_ref().map(|value| {
            SessionKey {
                value: value.clone(),
                ..found.key.clone()
            }
            .id()
        });
        recorder.store.open_session(
            id,
            SessionHead {
                key: found.key.clone(),
                opened,
                parent,
                seed,
                whole: recorder.capture == crate::store::capture::Capture::Full,
            },
        );
        let (ledger, reconciled) = match saved {
            Some(saved) => Ledger::resume(Arc::clone(&recorder.store), operator, saved),
            None => {
                let ledger = Ledger::new(id, Arc::clone(&recorder.store), operator);
                (ledger, Spend::default())
            }
        };
        let mut state = State::new(opened);
        let mailbox = Mailbox::default();
        if let Some(saved) = saved {
            mailbox.resume(state.resume(saved));
        }
        let session = Arc::new(Session {
            id,
            facts: Arc::new(Facts {
                tenant: found.key.tenant.clone(),
                principal: found.key.principal.clone(),
                session: id.to_string(),
                parent: String::new(),
                // Those of sessions that began before contract 0.2 have a bit more.
                seed: seed & SMALL,
                started: opened,
                extra: [
                    ("session.source".to_owned(), found.key.source.clone()),
                    ("session.confidence".to_owned(), found.confidence.to_owned()),
                ]
                .into_iter()
                .chain(found.extra)
                .collect(),
            }),
            timeline: Timeline::new(id, saved.map_or(1, |s| s.next_seq), recorder.clone()),
            ledger,
            tool_health: Tracks::default(),
            contents: Arc::default(),
            mailbox,
            recorder,
            state: Mutex::new(state),
            seats: Mutex::default(),
            key: found.key,
        });
        // A session of which a crash left the ledger alone has no events.
        if saved.is_none_or(|saved| saved.next_seq == 1) {
            session.timeline.append(
                0,
                Body::SessionOpened {
                    tenant: session.key.tenant.clone(),
                    principal: session.key.principal.clone(),
                    source: session.key.source.clone(),
                    confidence: found.confidence.to_owned(),
                    seed,
                },
            );
        }
        if reconciled != Spend::default() {
            session.timeline.append(
                0,
                Body::Annotation {
                    policy: "ledger".to_owned(),
                    name: "reconciled".to_owned(),
                    value: format!(
                        "{} tokens and {} microdollars were leased when the process before this one ended: nobody knows \
                         how much of it was used, so all of it counts",
                        reconciled.tokens, reconciled.cost
                    ),
                },
            );
        }
        session
    }

    /// The changing part, locked. Never held across a policy call or an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        // Every change is a plain assignment of a whole part: a panic leaves nothing half done that matters.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether a condition of this name holds; whether it did not before.
    pub fn rises(&self, name: &Arc<str>, holds: bool) -> bool {
        let mut state = self.state();
        let before = state.fired.insert(Arc::clone(name), vec![holds]);
        holds && before != Some(vec![true])
    }

    /// Which thresholds of a policy are crossed, as its last exchange left them.
    pub fn fired(&self, policy: &str, thresholds: usize) -> Vec<bool> {
        let mut fired = self.state().fired.get(policy).cloned().unwrap_or_default();
        fired.resize(thresholds, false);
        fired
    }

    /// Tokens of each message in a prompt, estimated; counted once per session. `text` gives what the model reads of the message
    /// at an index.
    pub fn prompt_tokens<'t>(
        &self,
        digests: &[Digest],
        text: impl Fn(usize) -> Cow<'t, str>,
        counter: &TokenCounter,
    ) -> Vec<u32> {
        if counter.is_rough() {
            let estimate = |index| estimate(&text(index)) + MESSAGE_TOKENS;
            return (0..digests.len()).map(estimate).collect();
        }
        let known: Vec<Option<u32>> = {
            let state = self.state();
            let known = |digest| state.counted.get(digest).copied();
            digests.iter().map(known).collect()
        };
        let count = |index: usize| {
            let text = text(index);
            // Counting exactly takes about 0.1 us a byte; a request must not wait 10 ms for an estimate.
            let tokens = match text.len() > COUNTED_BYTES {
                true => estimate(&text),
                false => counter.count_text(&text),
            };
            tokens + MESSAGE_TOKENS
        };
        let counts: Vec<u32> = (known.iter().enumerate())
            .map(|(index, known)| known.unwrap_or_else(|| count(index)))
            .collect();
        let new = known.iter().zip(digests.iter().zip(&counts));
        let mut state = self.state();
        for (_, (digest, tokens)) in new.filter(|(known, _)| known.is_none()) {
            state.counted.insert(*digest, *tokens);
        }
        counts
    }

    /// The model's own turn will be sent back as a message: so many tokens were counted in it.
    pub fn counted(&self, digest: Digest, tokens: u32) {
        self.state().counted.insert(digest, tokens + MESSAGE_TOKENS);
    }

    /// Measured state for an exchange that looks at it now.
    pub fn vitals(&self) -> SessionVitals {
        let (spent, limits) = (self.ledger.spent(), self.ledger.limits());
        let state = self.state();
        SessionVitals {
            opened: state.opened,
            busy: state.busy,
            tokens: spent.tokens,
            cost: spent.cost,
            exchanges: state.exchanges,
            tools: (
                state.tools.calls,
                state.tools.failures,
                state.tools.failures_in_a_row,
            ),
            retries: state.retries,
            token_limit: limits.tokens,
        }
    }

    /// An exchange ended after `elapsed` us: everything that a later one needs is saved. Seats that fail to save keep what
    /// they saved before; the fault is returned with the policy's name.
    pub fn settle(&self, exchange: u32, elapsed: u64) -> Vec<(String, Fault)> {
        self.contents.forget(exchange);
        let faults = self.save_seats();
        let mut state = self.state();
        state.ended(exchange);
        state.busy += elapsed;
        state.open = state.open.saturating_sub(1);
        state.last_seen = now();
        self.save(state);
        faults
    }

    /// An answer came. While an exchange is open, its end saves that; else it is saved now.
    pub fn answered(&self) {
        let state = self.state();
        if state.open == 0 {
            self.save(state);
        }
    }

    #[allow(clippy::needless_pass_by_value, reason = "the lock is held to the end")]
    fn save(&self, state: MutexGuard<'_, State>) {
        // Handed over while the lock is held: of two that save at once, the later one is the newer one.
        let bytes = state.save(self.mailbox.save());
        self.recorder.store.save_state(self.id, bytes);
    }
}
