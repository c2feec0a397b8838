//! Durable state: sessions, their timelines, saved seats of policies, ledgers.
//!
//! Guarantees. Nothing that is called while a stream runs waits for the disk: [`Store::append`] and the `save_*` calls
//! queue and return. What the disk cannot take is dropped, counted, and said on the timeline. The exceptions are money and
//! people's decisions: [`Store::commit_ledger`] and [`Store::commit_approval`] report when their row would survive a power cut, and
//! [`Store::note_ledger`] has written when it returns, which takes microseconds. After a crash the timeline is whole up to the last committed
//! batch (about 50 ms ago), and state that was saved with those events is there with them.
//!
//! Not guaranteed: that an event is on the disk when `append` returns.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::key::{SessionId, SessionKey};
use crate::event::marks::Kept;
use crate::event::{Event, Micros};

pub mod capture;
pub mod notes;
mod queue;
pub mod reader;
pub mod redact;
mod retention;
mod schema;
pub mod sqlite;
mod writer;

pub use queue::weight;

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

/// What is written when a session opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionHead {
    /// Who it belongs to.
    pub key: SessionKey,
    /// When it was opened first. Ignored for a session that is already known.
    pub opened: Micros,
    /// The session that started this one, if known.
    pub parent: Option<SessionId>,
    /// Seed told to policies. Ignored for a session that is already known.
    pub seed: u32,
    /// Whether the whole content is recorded; if not, the timeline is marked as not replayable.
    pub whole: bool,
}

/// A policy's saved seat in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Name of the policy.
    pub policy: String,
    /// SHA-256 of the component that saved it, in hexadecimal digits.
    pub digest: String,
    /// Number of the state's schema, as the policy gave it.
    pub schema: u32,
    /// What `save` returned.
    pub state: Vec<u8>,
    /// The policy's key-value state.
    pub kv: Vec<(String, Vec<u8>)>,
}

/// A ledger as it is stored. Tokens, and microdollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerRow {
    /// Limit of tokens, if any.
    pub max_tokens: Option<u64>,
    /// Limit of cost, if any.
    pub max_cost: Option<u64>,
    /// Tokens of settled exchanges.
    pub settled_tokens: u64,
    /// Cost of settled exchanges.
    pub settled_cost: u64,
    /// Tokens that may have been spent when the process died now: settled and leased.
    pub reserved_tokens: u64,
    /// The same for cost.
    pub reserved_cost: u64,
}

/// An approval as it is stored: what the store must know to find it, and the rest as JSON, opaque to the store. It is
/// forgotten with its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalRow {
    /// Its id, 16 hexadecimal digits.
    pub id: String,
    /// Session in which it waits.
    pub session: SessionId,
    /// When it came.
    pub opened: Micros,
    /// Whether it is decided.
    pub decided: bool,
    /// Whether it still matters to calls: it waits, or its decision is remembered for repetitions of the call.
    pub live: bool,
    /// The approval.
    pub value: String,
}

/// Which approvals to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApprovalFilter {
    /// Only of this session.
    pub session: Option<SessionId>,
    /// Only decided ones, or only others.
    pub decided: Option<bool>,
    /// Only those that still matter to calls.
    pub live: bool,
    /// Only those whose id begins with these lower-case hexadecimal digits.
    pub prefix: String,
}

/// Running totals of a session, kept by the store from the events themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SessionCounters)]
pub struct Counters {
    /// Events on the timeline.
    pub events: u64,
    /// Exchanges begun: the highest number.
    pub exchanges: u32,
    /// Prompt tokens, as settled at the end of responses.
    pub input_tokens: u64,
    /// Generated tokens, reasoning included.
    pub output_tokens: u64,
    /// Microdollars.
    pub cost: u64,
    /// Tool calls.
    pub tool_calls: u64,
    /// Tool results that state a failure.
    pub tool_failures: u64,
    /// Findings.
    pub findings: u64,
    /// Interventions that were applied.
    pub applied: u64,
    /// Faults of policies.
    pub faults: u64,
    /// Events that are missing because the store could not keep up.
    pub dropped: u64,
}

/// A session as listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Session)]
pub struct SessionRow {
    /// Its id.
    #[schema(value_type = String)]
    pub id: SessionId,
    /// Who it belongs to.
    #[serde(flatten)]
    pub key: SessionKey,
    /// The session that started this one.
    #[schema(value_type = Option<String>)]
    pub parent: Option<SessionId>,
    /// First event.
    pub opened: Micros,
    /// Last event.
    pub last_seen: Micros,
    /// Model of the last request; empty before the first.
    pub model: String,
    /// Running totals.
    #[serde(flatten)]
    pub counters: Counters,
    /// Whether the timeline holds everything that a repetition needs.
    pub replayable: bool,
}

/// Which sessions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Only of this tenant.
    pub tenant: Option<String>,
    /// Only of this principal.
    pub principal: Option<String>,
    /// Only seen at or after this time.
    pub since: Option<Micros>,
    /// Only those with findings, applied interventions or faults.
    pub notable: bool,
}

/// Everything that is needed to go on with a session.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedSession {
    /// The session as listed.
    pub row: SessionRow,
    /// Seed told to policies.
    pub seed: u32,
    /// Sequence number of the next event.
    pub next_seq: u64,
    /// What [`Store::save_state`] saved last.
    pub state: Option<Vec<u8>>,
    /// Saved seats.
    pub seats: Vec<Seat>,
    /// The ledger, if it was ever saved.
    pub ledger: Option<LedgerRow>,
}

/// How the store is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Events waiting for the writer.
    pub queued: u64,
    /// Bytes of their texts.
    pub queued_bytes: u64,
    /// Events written since the start.
    pub written: u64,
    /// Events dropped since the start.
    pub dropped: u64,
    /// Batches that failed at the disk and were tried again.
    pub retried: u64,
    /// Whether the last batch failed.
    pub failing: bool,
}

/// Why durable state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file could not be created or opened.
    #[error("cannot open the database {path}: {source}")]
    Open {
        /// The database.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Another process writes to it.
    #[error("{path} is in use by another airlock: stop it, or choose another data directory")]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// No database yet.
    #[error("there is no database at {path}: no session has been recorded there yet")]
    Absent {
        /// The database.
        path: PathBuf,
    },
    /// Written by a newer version.
    #[error(
        "{path} was written by a newer airlock (schema {found}, this one knows up to {known}): \
         run that version, or move the file away to begin a new one"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema that this version knows.
        known: i64,
    },
    /// A database of some other program.
    #[error("{path} is not a database of airlock: choose another data directory")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// SQLite refused.
    #[error("the database failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A commit failed, or did not come in time.
    #[error("not on disk: {0}")]
    Commit(String),
    /// No session has this id.
    #[error("no session begins with `{0}`: `airlock sessions` lists them")]
    Unknown(String),
    /// More than one session has ids that begin like this.
    #[error("`{prefix}` fits {count} sessions: give more digits")]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// How many fit.
        count: usize,
    },
}
