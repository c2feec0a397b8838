//! A store that a test can read at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use airlock_core::event::Event;
use airlock_core::event::key::SessionId;
use airlock_core::store::{
    ApprovalFilter, ApprovalRow, Done, LedgerRow, SavedSession, Seat, SessionFilter, SessionHead,
    SessionRow, Stats, Store, StoreError,
};

/// Keeps every event in memory, where a test sees it as soon as it was recorded.
#[derive(Default)]
pub struct Tape(
    Mutex<Vec<(SessionId, Arc<Event>)>>,
    Mutex<Vec<ApprovalRow>>,
    Mutex<HashMap<SessionId, SavedSession>>,
    /// The disk is full.
    pub AtomicBool,
);

impl Tape {
    /// The events of all sessions so far.
    pub fn all(&self) -> Vec<Arc<Event>> {
        let tape = self.0.lock().unwrap();
        tape.iter().map(|(_, event)| Arc::clone(event)).collect()
    }

    /// The events of a session so far.
    pub fn of(&self, session: SessionId) -> Vec<Arc<Event>> {
        let tape = self.0.lock().unwrap();
        tape.iter()
            .filter(|(id, _)| *id == session)
            .map(|(_, event)| Arc::clone(event))
            .collect()
    }
}

impl Store for Tape {
    fn open_session(&self, session: SessionId, head: SessionHead) {
        let row = SessionRow {
            id: session,
            key: head.key,
            parent: head.parent,
            opened: head.opened,
            last_seen: head.opened,
            model: String::new(),
            counters: Default::default(),
            replayable: head.whole,
        };
        let saved = SavedSession {
            row,
            seed: head.seed,
            next_seq: 1,
            state: None,
            seats: vec![],
            ledger: None,
        };
        self.2.lock().unwrap().entry(session).or_insert(saved);
    }
    fn append(&self, session: SessionId, event: Arc<Event>) {
        if let Some(saved) = self.2.lock().unwrap().get_mut(&session) {
            saved.next_seq = event.seq + 1;
            saved.row.counters.exchanges = saved.row.counters.exchanges.max(event.exchange);
        }
        self.0.lock().unwrap().push((session, event));
    }
    fn save_state(&self, session: SessionId, state: Vec<u8>) {
        if let Some(saved) = self.2.lock().unwrap().get_mut(&session) {
            saved.state = Some(state);
        }
    }
    fn save_seat(&self, session: SessionId, seat: Seat) {
        if let Some(saved) = self.2.lock().unwrap().get_mut(&session) {
            saved.seats.retain(|known| known.policy != seat.policy);
            saved.seats.push(seat);
        }
    }
    fn commit_ledger(&self, _: SessionId, _: LedgerRow, done: Done) {
        let full = self.3.load(Ordering::Relaxed);
        let result = match full {
            true => Err(StoreError::Commit("database or disk is full".to_owned())),
            false => Ok(()),
        };
        // On another thread, as the store's writer does.
        std::thread::spawn(move || done(result));
    }
    fn commit_approval(&self, row: ApprovalRow, done: Done) {
        let mut rows = self.1.lock().unwrap();
        rows.retain(|known| known.id != row.id);
        rows.push(row);
        std::thread::spawn(move || done(Ok(())));
    }
    fn approvals(
        &self,
        filter: &ApprovalFilter,
        limit: usize,
    ) -> Result<Vec<ApprovalRow>, StoreError> {
        let rows = self.1.lock().unwrap();
        let fits = |row: &&ApprovalRow| {
            filter.session.is_none_or(|session| row.session == session)
                && filter.decided.is_none_or(|decided| row.decided == decided)
                && (row.live || !filter.live)
                && row.id.starts_with(&filter.prefix)
        };
        Ok(rows
            .iter()
            .rev()
            .filter(fits)
            .take(limit)
            .cloned()
            .collect())
    }
    fn load_session(&self, session: SessionId) -> Result<Option<SavedSession>, StoreError> {
        let saved = self.2.lock().unwrap();
        Ok(saved.get(&session).filter(|s| s.state.is_some()).cloned())
    }
    fn sessions(&self, _: &SessionFilter, _: usize) -> Result<Vec<SessionRow>, StoreError> {
        Ok(vec![])
    }
    fn timeline(&self, _: SessionId, _: u64, _: usize) -> Result<Vec<Event>, StoreError> {
        Ok(vec![])
    }
    fn resolve(&self, prefix: &str) -> Result<SessionId, StoreError> {
        Err(StoreError::Unknown(prefix.to_owned()))
    }
    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
    fn stats(&self) -> Stats {
        Stats {
            failing: self.3.load(Ordering::Relaxed),
            ..Stats::default()
        }
    }
}
