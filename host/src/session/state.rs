//! One live session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::circuits::Circuits;
use super::content::Contents;
use super::ledger::{Ledger, Operator, Spend};
use super::mailbox::{Mailbox, SavedMailbox};
use super::overlay::Overlay;
use crate::contract::types::Facts;
use crate::event::clock::now;
use crate::event::digest::Digest;
use crate::event::key::{SessionId, SessionKey};
use crate::event::{Body, Micros};
use crate::observe::health::{Track, Tracks};
use crate::observe::tokens::{TokenCounter, estimate};
use crate::observe::tools::Tools;
use crate::observe::vitals::SessionVitals;
use crate::policy::fault::Fault;
use crate::policy::generation::Generation;
use crate::policy::seat::Seat;
use crate::policy::services::{Asker, SavedState, Services};
use crate::session::conversation::Conversation;
use crate::session::timeline::{Recorder, Timeline};
use crate::store::{self, SavedSession, SessionHead};

/// How long a request can be recognised as a repetition of an earlier one: beyond the longest wait of the vendors' SDKs
/// (120 s) and the time of an attempt.
const RETRY_WINDOW_US: u64 = 15 * 60 * 1_000_000;

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
    pub(super) seats: Mutex<HashMap<Arc<str>, Arc<Mutex<Seat>>>>,
}

/// The changing part.
#[derive(Debug, Default)]
pub struct State {
    /// What the client told.
    pub conversation: Conversation,
    /// Tool calls and results.
    pub tools: Tools,
    /// How the tool has been doing whose result is the newest.
    pub newest_tool: Option<Arc<Track>>,
    /// What policies changed for the rest of the session.
    pub overlay: Overlay,
    /// Tools that are not called for a while.
    pub circuits: Circuits,
    /// Thresholds that were crossed, by policy.
    pub fired: HashMap<Arc<str>, Vec<bool>>,
    /// Exchanges that are under way.
    pub open: u32,
    /// When the last exchange began or ended.
    pub last_seen: Micros,
    opened: Micros,
    exchanges: u32,
    busy: u64,
    retries: u32,
    recent: Vec<Recent>,
    saved_seats: HashMap<String, SavedState>,
    counted: HashMap<Digest, u32>,
}

/// A request that a client may repeat.
#[derive(Clone, Debug)]
struct Recent {
    body: Digest,
    exchange: u32,
    at: Micros,
    /// The client's number of the last repetition that was taken for this exchange.
    retry: u32,
    /// It is under way.
    open: bool,
    /// Its connection was cut by a policy: a repetition is cut too, without another generation.
    cut: bool,
}

/// What outlives the process, opaque to the store.
#[derive(Serialize, Deserialize)]
struct Saved {
    conversation: Conversation,
    tools: Tools,
    overlay: Overlay,
    #[serde(default)]
    fired: HashMap<String, Vec<bool>>,
    #[serde(default)]
    circuits: Circuits,
    opened: Micros,
    busy: u64,
    retries: u32,
    #[serde(default)]
    mailbox: SavedMailbox,
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
        let seed = saved.map_or_else(|| getrandom::u32().unwrap_or_default(), |s| s.seed);
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
        let mut state = State {
            opened,
            last_seen: now(),
            ..State::default()
        };
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
                seed,
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

    /// The seat of a policy, made when it is first needed.
    pub fn seat(&self, generation: &Arc<Generation>, asks: &Arc<dyn Asker>) -> Arc<Mutex<Seat>> {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let seat = seats
            .entry(Arc::clone(&generation.name))
            .or_insert_with(|| {
                let services = Services {
                    content: Arc::clone(&self.contents) as Arc<_>,
                    asks: Arc::clone(asks),
                };
                let mut seat = Seat::new(Arc::clone(generation), Arc::clone(&self.facts), services);
                if let Some(saved) = self.state().saved_seats.remove(&*generation.name) {
                    seat.restore_from(saved);
                }
                Arc::new(Mutex::new(seat))
            });
        Arc::clone(seat)
    }

    /// The generation under which this session already uses a policy.
    pub fn seated(&self, name: &str) -> Option<Arc<Generation>> {
        // A seat may be in the middle of a call: whoever waits for it must not keep the others' seats from anybody.
        let seat = {
            let seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(seats.get(name)?)
        };
        let seat = seat.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(seat.generation()))
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

    /// Tokens of a message in a prompt, estimated; counted once per session. 4 for its frame, as OpenAI documents it.
    pub fn prompt_tokens(&self, digest: Digest, text: &str, counter: &TokenCounter) -> u32 {
        if let Some(count) = self.state().counted.get(&digest) {
            return *count;
        }
        // Counting exactly takes about 0.1 us a byte; a request must not wait 10 ms for an estimate.
        let tokens = if text.len() > COUNTED_BYTES {
            estimate(text)
        } else {
            counter.count_text(text)
        };
        self.state().counted.insert(digest, tokens + 4);
        tokens + 4
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
        let seats: Vec<_> = {
            let seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
            seats.values().map(Arc::clone).collect()
        };
        let mut faults = Vec::new();
        for seat in seats {
            let mut seat = seat.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(fault) = seat.settle() {
                faults.push((seat.generation().name.to_string(), fault));
                continue;
            }
            let generation = Arc::clone(seat.generation());
            if let Some(saved) = seat.take_changed() {
                let row = to_row(&generation.name, &generation.digest, saved);
                self.recorder.store.save_seat(self.id, row);
            }
        }
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

impl State {
    /// Begins an exchange: its number, and how often the client sent this same request before. A repetition attaches to
    /// the exchange that it repeats, once that is over, and each number once: an exchange has one account, and a mark that any
    /// client can write must not let twenty calls share it.
    pub fn begin(&mut self, body: Digest, retry_of_client: u32, at: Micros) -> (u32, u32) {
        self.last_seen = at;
        self.open += 1;
        self.recent.retain(|r| r.at + RETRY_WINDOW_US > at);
        let repeated = |r: &&mut Recent| r.body == body && !r.open && r.retry < retry_of_client;
        if let Some(recent) = self.recent.iter_mut().find(repeated) {
            (recent.at, recent.retry, recent.open) = (at, retry_of_client, true);
            self.retries += 1;
            return (recent.exchange, retry_of_client);
        }
        self.exchanges += 1;
        let exchange = self.exchanges;
        self.recent.push(Recent {
            body,
            exchange,
            at,
            retry: retry_of_client,
            open: true,
            cut: false,
        });
        (exchange, 0)
    }

    /// The connection of an exchange was cut. SDKs repeat what ends so.
    pub fn cut(&mut self, exchange: u32) {
        let mut recent = self.recent.iter_mut();
        if let Some(recent) = recent.find(|r| r.exchange == exchange) {
            recent.cut = true;
        }
    }

    /// Whether the connection of an exchange was cut.
    pub fn was_cut(&self, exchange: u32) -> bool {
        self.recent.iter().any(|r| r.exchange == exchange && r.cut)
    }

    /// An exchange is over: a repetition of its request may attach to it.
    fn ended(&mut self, exchange: u32) {
        let mut recent = self.recent.iter_mut();
        if let Some(recent) = recent.find(|r| r.exchange == exchange) {
            recent.open = false;
        }
    }

    /// Airlock itself repeats a call.
    pub fn retried(&mut self) {
        self.retries += 1;
    }

    fn save(&self, mailbox: SavedMailbox) -> Vec<u8> {
        let saved = Saved {
            conversation: self.conversation.clone(),
            tools: self.tools.clone(),
            overlay: self.overlay.clone(),
            fired: self
                .fired
                .iter()
                .map(|(policy, fired)| (policy.to_string(), fired.clone()))
                .collect(),
            circuits: self.circuits.clone(),
            opened: self.opened,
            busy: self.busy,
            retries: self.retries,
            mailbox,
        };
        serde_json::to_vec(&saved).unwrap_or_default()
    }

    fn resume(&mut self, saved: &SavedSession) -> SavedMailbox {
        self.exchanges = saved.row.counters.exchanges;
        self.saved_seats = saved
            .seats
            .iter()
            .filter_map(|seat| Some((seat.policy.clone(), from_row(seat)?)))
            .collect();
        let Some(bytes) = &saved.state else {
            return SavedMailbox::default();
        };
        match serde_json::from_slice::<Saved>(bytes) {
            Ok(state) => {
                self.conversation = state.conversation;
                self.tools = state.tools;
                self.overlay = state.overlay;
                self.fired = state
                    .fired
                    .into_iter()
                    .map(|(policy, fired)| (policy.into(), fired))
                    .collect();
                self.circuits = state.circuits;
                self.busy = state.busy;
                self.retries = state.retries;
                state.mailbox
            }
            Err(error) => {
                tracing::error!(session = %saved.row.id, %error, "saved state is unreadable: the session begins anew");
                SavedMailbox::default()
            }
        }
    }
}

/// Both halves in one: length of the first, first, second.
fn to_row(policy: &str, digest: &str, saved: &SavedState) -> store::Seat {
    let mut state = (saved.reasoning.len() as u32).to_le_bytes().to_vec();
    state.extend_from_slice(&saved.reasoning);
    state.extend_from_slice(&saved.acting);
    store::Seat {
        policy: policy.to_owned(),
        digest: digest.to_owned(),
        schema: saved.schema,
        state,
        kv: saved.values.clone().into_iter().collect(),
    }
}

fn from_row(row: &store::Seat) -> Option<SavedState> {
    let (len, rest) = row.state.split_first_chunk::<4>()?;
    let (reasoning, acting) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    Some(SavedState {
        schema: row.schema,
        reasoning: reasoning.to_vec(),
        acting: acting.to_vec(),
        values: row.kv.iter().cloned().collect(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_clients_retry_attaches_to_its_exchange() {
        let mut state = State::default();
        assert_eq!(state.begin([1; 16], 0, 10), (1, 0));
        assert_eq!(state.begin([2; 16], 0, 20), (2, 0));
        state.ended(1);
        assert_eq!(state.begin([1; 16], 1, 30), (1, 1));
        // The same words without the SDK's mark are a new call.
        assert_eq!(state.begin([1; 16], 0, 40), (3, 0));
        assert_eq!(state.begin([9; 16], 1, 50), (4, 0));
        state.ended(1);
        assert_eq!(state.begin([1; 16], 2, 60), (1, 2));
    }

    #[test]
    fn a_retry_mark_shares_no_account_with_a_call_under_way_nor_twice() {
        let mut state = State::default();
        assert_eq!(state.begin([1; 16], 0, 10), (1, 0));
        // Under way: copies are calls of their own, whatever number they state.
        assert_eq!(state.begin([1; 16], 1, 20), (2, 0));
        assert_eq!(state.begin([1; 16], u32::MAX, 30), (3, 0));
        state.ended(1);
        assert_eq!(state.begin([1; 16], 1, 40), (1, 1));
        assert_eq!(state.begin([1; 16], 1, 50), (4, 0));
        state.ended(1);
        // The number was taken.
        assert_eq!(state.begin([1; 16], 1, 60), (5, 0));
    }

    #[test]
    fn a_seat_survives_the_store() {
        let saved = SavedState {
            schema: 3,
            reasoning: vec![1, 2, 3],
            acting: vec![],
            values: [("k".to_owned(), vec![9])].into_iter().collect(),
        };
        assert_eq!(from_row(&to_row("p", "d", &saved)).unwrap(), saved);
        assert_eq!(
            from_row(&store::Seat {
                state: vec![9, 0, 0, 0, 1],
                ..to_row("p", "d", &saved)
            }),
            None
        );
    }
}
