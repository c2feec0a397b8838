//! Durable state: sessions, their timelines, saved seats of policies, ledgers.
//!
//! Guarantees. Nothing that is called while a stream runs waits for the disk: [`Store::append`] and the `save_*` calls
//! queue and return. What the disk cannot take is dropped, counted, and said on the timeline. The exceptions are money and
//! people's decisions: [`Store::commit_ledger`] and [`Store::commit_approval`] report when their row would survive a power cut, and
//! [`Store::note_ledger`] has written when it returns, which takes microseconds. After a crash the timeline is whole up to the last committed
//! batch (about 50 ms ago), and state that was saved with those events is there with them.
//!
//! Not guaranteed: that an event is on the disk when `append` returns.

use std::sync::Arc;

use crate::event::key::SessionId;
use crate::event::marks::Kept;
use crate::event::{Event, Micros};

pub mod capture;
mod error;
pub mod notes;
mod queue;
pub mod reader;
pub mod redact;
mod retention;
mod rows;
mod runs;
mod schema;
pub mod sqlite;
mod writer;

pub use error::StoreError;
pub use queue::weight;
pub use rows::{
    ApprovalFilter, ApprovalRow, Counters, LedgerRow, SavedSession, Seat, SessionFilter,
    SessionHead, SessionRow, Stats,
};

/// How the rest of the host reaches durable state. Shared as `Arc<dyn Store>`.
pub trait Store: Send + Sync + 'static {
    /// Announces a session before its first event, and again whenever it is resumed. Queues.
    fn open_session(&self, session: SessionId, head: SessionHead);

    /// Records an event. Queues; when there is no room the event is dropped and counted, and a
    /// [`Dropped`](crate::event::Body::Dropped) event stands on the timeline in the place of the missing ones.
    /// Events of one session must be handed over in the order of their sequence numbers.
    fn append(&self, session: SessionId, event: Arc<Event>);

    /// Saves what a session needs to be resumed, opaque to the store. The newest wins. Queues.
    fn save_state(&self, session: SessionId, state: Vec<u8>);

    /// Saves a policy's seat. The newest of a (session, policy) wins. Queues.
    fn save_seat(&self, session: SessionId, seat: Seat);

    /// Keeps a mark by which a session's conversation is recognised; the newest of a (mark, session) wins. Queues.
    fn keep_mark(&self, _session: SessionId, _mark: Kept) {}

    /// Marks that were kept since then, the newest `limit` of them, oldest first. Blocking.
    ///
    /// # Errors
    /// The database's.
    fn marks(&self, _since: Micros, _limit: usize) -> Result<Vec<Kept>, StoreError> {
        Ok(Vec::new())
    }

    /// Saves a ledger and calls `done` once the row survives a power cut, or with the error. `done` runs on the writer's thread
    /// and must be short. The newest row wins, so rows of one session must be handed over in order.
    fn commit_ledger(&self, session: SessionId, row: LedgerRow, done: Done);

    /// As [`Store::commit_ledger`], with the next batch and not at once: for a row that is noted ([`Store::note_ledger`]). One
    /// commit that survives a power cut then serves all sessions, not one each call.
    fn commit_noted_ledger(&self, session: SessionId, row: LedgerRow, done: Done) {
        self.commit_ledger(session, row, done);
    }

    /// As [`Store::commit_ledger`], in no hurry: for a row that counts less as spent than the one before it. It goes with the
    /// next batch, and survives the death of the process when `done` is called; until it survives a power cut, the row before
    /// it does, which counts too much and not too little.
    fn settle_ledger(&self, session: SessionId, row: LedgerRow, done: Done) {
        self.commit_ledger(session, row, done);
    }

    /// Notes at once what a session may have spent, ahead of [`Store::commit_ledger`]: what is noted outlives the death of the
    /// process, not a power cut. `None` where that cannot be had, or the disk fails: then only the commit counts.
    fn note_ledger(&self, _session: SessionId, _row: &LedgerRow) -> Option<notes::Note> {
        None
    }

    /// Saves an approval and calls `done` once the row survives a power cut, or with the error. `done` runs on the writer's
    /// thread and must be short. The newest row of an id wins, so rows of one id must be handed over in order. A row whose
    /// commit failed is tried again by the store until a newer one replaces it.
    fn commit_approval(&self, row: ApprovalRow, done: Done);

    /// Approvals that are on the disk, newest first. Blocking.
    fn approvals(
        &self,
        filter: &ApprovalFilter,
        limit: usize,
    ) -> Result<Vec<ApprovalRow>, StoreError>;

    /// Everything known about a session, `None` for a new one. Waits for the disk (and for what is queued of this very
    /// session): call it from a blocking thread.
    fn load_session(&self, session: SessionId) -> Result<Option<SavedSession>, StoreError>;

    /// Sessions, last seen first. Blocking.
    fn sessions(&self, filter: &SessionFilter, limit: usize)
    -> Result<Vec<SessionRow>, StoreError>;

    /// Events after `after` (0: from the first) in order. Blocking. What is still queued is not seen.
    fn timeline(
        &self,
        session: SessionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError>;

    /// The session whose id begins with `prefix`, or `last` for the one seen last. Blocking.
    fn resolve(&self, prefix: &str) -> Result<SessionId, StoreError>;

    /// Waits until everything queued before this call is on the disk. Blocking.
    fn flush(&self) -> Result<(), StoreError>;

    /// How the store is doing. Does not wait.
    fn stats(&self) -> Stats;
}

/// Called with the outcome of a commit.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
