//! What the store takes and gives: sessions, seats, ledgers and approvals as they are stored, and how to ask for them.

use serde::{Deserialize, Serialize};

use crate::event::Micros;
use crate::event::key::{SessionId, SessionKey};

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
    /// What [`Store::save_state`](super::Store::save_state) saved last.
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
