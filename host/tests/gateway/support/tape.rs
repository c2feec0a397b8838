//! A store that a test can read at once.

use std::sync::{Arc, Mutex};

use airlock::session::event::Event;
use airlock::session::key::SessionId;
use airlock::store::{
    ApprovalFilter, ApprovalRow, Done, LedgerRow, SavedSession, Seat, SessionFilter, SessionHead,
    SessionRow, Stats, Store, StoreError,
};

/// Keeps every event in memory, where a test sees it as soon as it was recorded.
#[derive(Default)]
pub struct Tape(Mutex<Vec<(SessionId, Arc<Event>)>>, Mutex<Vec<ApprovalRow>>);

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
    fn open_session(&self, _: SessionId, _: SessionHead) {}
    fn append(&self, session: SessionId, event: Arc<Event>) {
        self.0.lock().unwrap().push((session, event));
    }
    fn save_state(&self, _: SessionId, _: Vec<u8>) {}
    fn save_seat(&self, _: SessionId, _: Seat) {}
    fn commit_ledger(&self, _: SessionId, _: LedgerRow, done: Done) {
        // On another thread, as the store's writer does.
        std::thread::spawn(move || done(Ok(())));
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
    fn load_session(&self, _: SessionId) -> Result<Option<SavedSession>, StoreError> {
        Ok(None)
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
        Stats::default()
    }
}
