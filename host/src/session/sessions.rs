//! All live sessions of the process, and how one is found again.
//!
//! A session is named by the client, or recognised by how its conversation begins: the digest of a conversation is
//! remembered after each turn that the model made, and a request that begins with a remembered one goes on with that
//! session. Two sessions that said the same so far cannot be told apart, and neither is continued.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::conversation::{Digest, roll};
use super::event::{Body, Micros};
use super::key::{SessionId, SessionKey};
use super::ledger::{Limits, Operator};
use super::state::{Found, Session};
use super::timeline::{Recorder, Timeline, now};
use crate::store::{SavedSession, StoreError};

/// How long a conversation's beginning is remembered after it was last continued.
const REMEMBERED_US: u64 = 24 * 3600 * 1_000_000;

/// Beginnings remembered at most; the oldest half goes when there are more. About 10 MB.
const MAX_REMEMBERED: usize = 65_536;

/// Locks among which sessions are spread while they are read from the store.
const STRIPES: usize = 64;

/// All live sessions.
pub struct Sessions {
    recorder: Recorder,
    /// For every session, whoever opens it.
    operator: Operator,
    pub(super) live: Mutex<Live>,
    /// Whoever reads a session from the store keeps others from doing so until it is done: two who go on from what the
    /// store knows would give two events the same number.
    waking: [tokio::sync::Mutex<()>; STRIPES],
    /// By whose they are, see [`owner`].
    beginnings: Mutex<HashMap<(Arc<str>, Digest), Beginning>>,
}

/// The sessions in memory.
#[derive(Default)]
pub(super) struct Live {
    pub(super) sessions: HashMap<SessionId, Arc<Session>>,
    /// Those of them that may hold instances: every one that is in use or was, since it last hibernated.
    pub(super) awake: HashSet<SessionId>,
}

#[derive(Clone)]
struct Beginning {
    /// `None` once two sessions have it.
    key: Option<SessionKey>,
    at: Micros,
}

impl Sessions {
    /// No session yet. `limits` are the operator's, for each of them.
    pub fn new(recorder: Recorder, limits: Limits) -> Sessions {
        Sessions {
            recorder,
            operator: Operator::new(limits),
            live: Mutex::default(),
            waking: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            beginnings: Mutex::default(),
        }
    }

    /// Where everything is recorded.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Other limits for every session from now on, lower or higher: for live ones at once, in the middle of a call too.
    pub fn limit(&self, limits: Limits) {
        self.operator.set(limits);
    }

    /// The session, live, from the store, or new.
    ///
    /// # Errors
    /// The store cannot be read: going on as if the session were new would forget its budget.
    pub async fn get(&self, found: Found) -> Result<Arc<Session>, StoreError> {
        let id = found.key.id();
        if let Some(session) = self.live(id) {
            return Ok(session);
        }
        // Two requests of a new session may arrive at once: whoever is first opens it.
        let _waking = self.waking[stripe(id)].lock().await;
        if let Some(session) = self.live(id) {
            return Ok(session);
        }
        let saved = self.load(id).await?;
        let operator = self.operator.clone();
        let session = Session::open(found, saved.as_ref(), operator, self.recorder.clone());
        let mut live = lock(&self.live);
        live.sessions.insert(id, Arc::clone(&session));
        live.awake.insert(id);
        drop(live);
        Ok(session)
    }

    /// The session, if it is live.
    pub fn live(&self, id: SessionId) -> Option<Arc<Session>> {
        let mut live = lock(&self.live);
        let session = live.sessions.get(&id).map(Arc::clone)?;
        live.awake.insert(id);
        Some(session)
    }

    /// Records a fact of a session that may sleep, without waking it. Of a session that is not known, nothing is recorded.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn append(&self, id: SessionId, exchange: u32, body: Body) -> Result<(), StoreError> {
        if let Some(session) = self.live(id) {
            session.timeline.append(exchange, body);
            return Ok(());
        }
        let _waking = self.waking[stripe(id)].lock().await;
        if let Some(session) = self.live(id) {
            session.timeline.append(exchange, body);
        } else if let Some(saved) = self.load(id).await? {
            Timeline::new(id, saved.next_seq, self.recorder.clone()).append(exchange, body);
        }
        Ok(())
    }

    async fn load(&self, id: SessionId) -> Result<Option<SavedSession>, StoreError> {
        let store = Arc::clone(&self.recorder.store);
        tokio::task::spawn_blocking(move || store.load_session(id))
            .await
            .map_err(|error| StoreError::Commit(error.to_string()))?
    }

    /// The session that said the longest known beginning of these messages. `model_turn` says whether a message is a turn
    /// that the model made: only past one of those does a beginning count.
    pub fn recognise(
        &self,
        tenant: &str,
        principal: &str,
        messages: &[(Digest, bool)],
    ) -> Option<SessionKey> {
        let owner = owner(tenant, principal);
        let mut prefix = Digest::default();
        let mut longest = None;
        let beginnings = lock(&self.beginnings);
        for (digest, model_turn) in messages {
            prefix = roll(prefix, *digest);
            if *model_turn && let Some(known) = beginnings.get(&(Arc::clone(&owner), prefix)) {
                longest = Some(known.clone());
            }
        }
        longest?.key
    }

    /// A model's turn ended a conversation of these messages.
    pub fn remember(&self, key: &SessionKey, messages: impl Iterator<Item = Digest>) {
        let prefix = messages.fold(Digest::default(), roll);
        let at = now();
        let mut beginnings = lock(&self.beginnings);
        if beginnings.len() >= MAX_REMEMBERED {
            forget(&mut beginnings, at);
        }
        let known = beginnings
            .entry((owner(&key.tenant, &key.principal), prefix))
            .or_insert_with(|| Beginning {
                key: Some(key.clone()),
                at,
            });
        known.at = at;
        if known.key.as_ref() != Some(key) {
            known.key = None;
        }
    }

    /// Lets go of sessions that are idle since `idle_us`: all that they need is saved after each exchange, and they wake
    /// with their next request. Returns how many.
    pub fn sweep(&self, idle_us: u64) -> usize {
        let before = now().saturating_sub(idle_us);
        let mut live = lock(&self.live);
        let Live { sessions, awake } = &mut *live;
        let count = sessions.len();
        sessions.retain(|id, session| {
            let state = session.state();
            let stays =
                state.open > 0 || state.last_seen > before || Arc::strong_count(session) > 1;
            if !stays {
                awake.remove(id);
            }
            stays
        });
        count - sessions.len()
    }

    /// How many are live.
    pub fn len(&self) -> usize {
        lock(&self.live).sessions.len()
    }

    /// Whether none is live.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn stripe(id: SessionId) -> usize {
    id.spread() % STRIPES
}

/// Tenant and principal in one. A name of a principal may move to another tenant; its conversations do not. No name has
/// a line break in it.
fn owner(tenant: &str, principal: &str) -> Arc<str> {
    format!("{tenant}\n{principal}").into()
}

fn forget(beginnings: &mut HashMap<(Arc<str>, Digest), Beginning>, at: Micros) {
    beginnings.retain(|_, known| known.at + REMEMBERED_US > at);
    if beginnings.len() >= MAX_REMEMBERED {
        let mut ages: Vec<Micros> = beginnings.values().map(|known| known.at).collect();
        let (_, median, _) = ages.select_nth_unstable(MAX_REMEMBERED / 2);
        let median = *median;
        beginnings.retain(|_, known| known.at > median);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Maps of whole values: a panic while one was held leaves nothing half written.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
