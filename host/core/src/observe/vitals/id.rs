//! Ids of the contract's table `vital-id`.

#![allow(missing_docs, reason = "documented in wit/types.wit")]

pub const ELAPSED: u16 = 1;
pub const FIRST_TOKEN: u16 = 2;
pub const TOKEN_GAP: u16 = 3;
pub const TOKENS_PER_SECOND: u16 = 4;
pub const OUTPUT_TOKENS: u16 = 5;
pub const TOKENS_EXACT: u16 = 6;
pub const SESSION_ELAPSED: u16 = 10;
pub const SESSION_BUSY: u16 = 11;
pub const SESSION_TOKENS: u16 = 12;
pub const SESSION_COST: u16 = 13;
pub const SESSION_EXCHANGES: u16 = 14;
pub const TOOL_CALLS: u16 = 15;
pub const TOOL_FAILURES: u16 = 16;
pub const TOOL_FAILURES_IN_A_ROW: u16 = 17;
pub const RETRIES: u16 = 18;
pub const TOKEN_LIMIT: u16 = 20;
pub const TOKEN_USED_SHARE: u16 = 21;
pub const CONTEXT_SHARE: u16 = 22;
pub const HOST_CPU: u16 = 30;
pub const HOST_MEMORY: u16 = 31;
pub const HOST_IO: u16 = 32;
pub const AGENT_CPU: u16 = 33;
pub const AGENT_MEMORY: u16 = 34;
pub const AGENT_IO: u16 = 35;
pub const TOOL_ERROR_RATE: u16 = 40;
pub const TOOL_P50: u16 = 41;
pub const TOOL_P99: u16 = 42;
pub const MODEL_ERROR_RATE: u16 = 43;
pub const MODEL_P50: u16 = 44;
pub const MODEL_P99: u16 = 45;
pub const UPSTREAM_ERROR_RATE: u16 = 46;
pub const UPSTREAM_P50: u16 = 47;
pub const UPSTREAM_P99: u16 = 48;
