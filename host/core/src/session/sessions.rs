//! All live sessions of the process, and how one is found again.
//!
//! A session is named by the client, or recognised by its conversation: see [`recognition`](super::recognition).

mod hibernation;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ledger::{Limits, Operator};
use super::state::{Found, Session};
use crate::event::Body;
use crate::event::clock::now;
use crate::event::digest::{Digest, Hashed};
use crate::event::key::{SessionId, SessionKey};
use crate::event::marks::{Given, KEPT_US, Kept, MAX_MARKS};
use crate::session::recognition::{Evidence, Recognition, kept};
use crate::session::timeline::{Recorder, Timeline};
use crate::store::{SavedSession, StoreError};

/// Locks among which sessions are spread while they are read from the store.
const STRIPES: usize = 64;

/// All live sessions.
pub struct Sessions {
    recorder: Recorder,
    /// For every session, whoever opens it.
    operator: Operator,
    live: Mutex<Live>,
    /// Whoever reads a session from the store keeps others from doing so until it is done: two who go on from what the
    /// store knows would give two events the same number.
    waking: [tokio::sync::Mutex<()>; STRIPES],
    recognition: Mutex<Recognition>,
}

/// The sessions in memory.
#[derive(Default)]
struct Live {
    sessions: HashMap<SessionId, Arc<Session>, Hashed>,
    /// Those of them that may hold instances: every one that is in use or was, since it last hibernated.
    awake: HashSet<SessionId, Hashed>,
}

impl Sessions {
    /// No session yet. `limits` are the operator's, for each of them. What conversations are recognised by is read from the
    /// store: at most [`MAX_MARKS`] rows of the last [`KEPT_US`].
    pub fn new(recorder: Recorder, limits: Limits) -> Sessions {
        let since = now().saturating_sub(KEPT_US);
        let kept = recorder.store.marks(since, MAX_MARKS).unwrap_or_else(|error| {
            tracing::error!(%error, "conversations that name no session cannot be recognised from before this start");
            Vec::new()
        });
        Sessions {
            recorder,
            operator: Operator::new(limits),
            live: Mutex::default(),
            waking: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            recognition: Mutex::new(Recognition::restore(kept)),
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

    /// The session whose conversation a request goes on with.
    pub fn recognise(
        &self,
        tenant: &str,
        principal: &str,
        evidence: &Evidence<'_>,
    ) -> Option<SessionKey> {
        let owner = owner(tenant, principal);
        let (key, touched) = lock(&self.recognition).find(&owner, evidence, now())?;
        self.keep(&key, touched);
        Some((*key).clone())
    }

    /// An exchange of a session is over: by what its client sent and was given, the next one is recognised.
    pub fn remember(
        &self,
        key: &SessionKey,
        request: &[Digest],
        given: &Given,
        weak: Option<Digest>,
    ) {
        let (owner, key) = (owner(&key.tenant, &key.principal), Arc::new(key.clone()));
        let kept = kept(&owner, &key, request, given, weak, now());
        lock(&self.recognition).remember(&kept, now());
        self.keep(&key, kept);
    }

    /// Queued for the disk: nobody waits.
    fn keep(&self, key: &SessionKey, kept: Vec<Kept>) {
        let id = key.id();
        for kept in kept {
            self.recorder.store.keep_mark(id, kept);
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
fn owner(tenant: &str, principal: &str) -> String {
    format!("{tenant}\n{principal}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Maps of whole values: a panic while one was held leaves nothing half written.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
