//! Ids of measured quantities (`vital-id` in the contract). The list only grows.

/// An id as it stands in [`Vital`](crate::types::Vital) and [`Threshold`](crate::types::Threshold).
pub type Id = u16;

/// This exchange since the request arrived, in microseconds.
pub const ELAPSED: Id = 1;
/// This exchange until its first token, in microseconds; absent before it.
pub const FIRST_TOKEN: Id = 2;
/// Mean gap between the tokens of this generation, in microseconds.
pub const TOKEN_GAP: Id = 3;
/// Tokens a second of this generation, since its first one.
pub const TOKENS_PER_SECOND: Id = 4;
/// Tokens of this generation so far.
pub const OUTPUT_TOKENS: Id = 5;
/// 1 if the counts of this exchange are the provider's, 0 if Airlock's.
pub const TOKENS_EXACT: Id = 6;
/// The session since it was opened, in microseconds.
pub const SESSION_ELAPSED: Id = 10;
/// Sum of the durations of the session's model calls, in microseconds.
pub const SESSION_BUSY: Id = 11;
/// Input and output tokens of the session, reserved ones included.
pub const SESSION_TOKENS: Id = 12;
/// Cost of the session, in microdollars.
pub const SESSION_COST: Id = 13;
/// Model calls of the session.
pub const SESSION_EXCHANGES: Id = 14;
/// Tool calls of the session.
pub const TOOL_CALLS: Id = 15;
/// Failed tool calls of the session.
pub const TOOL_FAILURES: Id = 16;
/// Tool calls that failed since the last one that did not.
pub const TOOL_FAILURES_IN_A_ROW: Id = 17;
/// Retries of the session.
pub const RETRIES: Id = 18;
/// The session's limit of tokens in the ledger; absent if it has none.
pub const TOKEN_LIMIT: Id = 20;
/// `SESSION_TOKENS` / `TOKEN_LIMIT`, 0..1.
pub const TOKEN_USED_SHARE: Id = 21;
/// Prompt tokens / the model's window, 0..1; absent if the window is not known.
pub const CONTEXT_SHARE: Id = 22;
/// The machine: share of its processors in use, 0..1.
pub const HOST_CPU: Id = 30;
/// Memory of the machine in use, 0..1.
pub const HOST_MEMORY: Id = 31;
/// The machine: share of time in which some task waited for a disk, 0..1.
pub const HOST_IO: Id = 32;
/// Processors that the agent's process or cgroup uses.
pub const AGENT_CPU: Id = 33;
/// Bytes of memory that it uses.
pub const AGENT_MEMORY: Id = 34;
/// Bytes that it reads and writes a second.
pub const AGENT_IO: Id = 35;
/// Share of failures among the results of the last 5 minutes in this session of the tool whose result is the newest, 0..1.
pub const TOOL_ERROR_RATE: Id = 40;
/// The same, median of the durations, in microseconds.
pub const TOOL_P50: Id = 41;
/// The same, 99th percentile of the durations, in microseconds.
pub const TOOL_P99: Id = 42;
/// Share of failures among the last 5 minutes' calls of the model that is asked, by anyone, 0..1.
pub const MODEL_ERROR_RATE: Id = 43;
/// The same, median time to the first token, in microseconds.
pub const MODEL_P50: Id = 44;
/// The same, 99th percentile of the time to the first token, in microseconds.
pub const MODEL_P99: Id = 45;
/// Share of failures among the last 5 minutes' calls of the upstream that is asked, by anyone, 0..1.
pub const UPSTREAM_ERROR_RATE: Id = 46;
/// The same, median time to the first token, in microseconds.
pub const UPSTREAM_P50: Id = 47;
/// The same, 99th percentile of the time to the first token, in microseconds.
pub const UPSTREAM_P99: Id = 48;
