//! What a rule's condition may ask for: one table.
//!
//! | name | type | unit, values | known |
//! |---|---|---|---|
//! | `vitals.<name>` | number | as in the contract's table of vitals, `-` written as `_` | some only if measured |
//! | `session.tenant`, `.principal`, `.id` | text | as on the timeline | always |
//! | `session.exchanges` | number | model calls so far, this one included | always |
//! | `session.task`, `.subtask`, `.risk` | text | as the request declares it | if declared |
//! | `session.risk_rank` | number | 0 (low) to 3 (critical) | if declared |
//! | `session.deadline_ms` | number | ms | if declared |
//! | `request.model`, `.upstream` | text | as it goes upstream | always |
//! | `request.streamed` | true or false | | always |
//! | `request.tools` | list of texts | names of the tools offered | always |
//! | `request.messages`, `.input_tokens` | number | count, estimate | always |
//! | `findings` | list | those of this checkpoint | always, may be empty |
//! | `tool.name` | text | | at tool-call and tool-result |
//! | `tool.arguments` | JSON | as the model wrote them | at tool-call |
//! | `tool.failed` | true or false | | at tool-result |
//! | `tool.duration_us` | number | us, from the release of the call to its result | at tool-result |
//! | `failure.kind` | text | the contract's `failure-kind` | when a call has failed |
//! | `failure.status` | number | HTTP status, 0 if none | when a call has failed |
//! | `failure.retryable` | true or false | | when a call has failed |
//! | `checkpoint` | text | the contract's word | always |
//!
//! A finding has `policy`, `kind`, `severity`, `summary` (text), `severity_rank` (0 info to 4 critical) and `confidence`
//! (0..1). What is known only sometimes must be asked for with `has(...)`; what belongs to one event makes the rule one
//! that is evaluated for each such event, and only for those. Arguments that are not JSON, that two programs may read
//! differently (`json`), or that are too big to be looked into (256 KiB, 10,000 values), are a failure of the rule, not
//! something unknown: else a model could get round it.

use super::kind::Kind;
use super::points::Points;
use crate::observe::vitals::id;
use airlock_policy::contract::types::Checkpoint;

/// What the value is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the table above")]
pub enum Source {
    Vital(u16),
    Tenant,
    Principal,
    SessionId,
    Exchanges,
    Task,
    Subtask,
    Risk,
    RiskRank,
    DeadlineMs,
    Model,
    Upstream,
    Streamed,
    Tools,
    Messages,
    InputTokens,
    Findings,
    ToolName,
    ToolArguments,
    ToolFailed,
    ToolDuration,
    FailureKind,
    FailureStatus,
    FailureRetryable,
    Checkpoint,
}

/// What a value belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Belongs {
    /// The session: the same in all its exchanges.
    Session,
    /// One exchange.
    Exchange,
    /// The findings of one checkpoint.
    Findings,
    /// One event: a tool call, a tool result, a failure.
    Event,
}

/// One line of the table.
#[derive(Debug)]
pub struct Input {
    /// As it is written in a condition.
    pub name: &'static str,
    /// Where its value comes from.
    pub source: Source,
    /// Type of the value.
    pub kind: fn() -> Kind,
    /// Whether it may be unknown where it is asked for.
    pub maybe: bool,
    /// What it belongs to.
    pub belongs: Belongs,
    /// For what belongs to an event: where it is known. For everything else: where it can have changed.
    pub at: Points,
}

use Belongs::{Event, Exchange, Findings, Session};
use Checkpoint::{Request, Response, Stream, Tick, ToolCall, ToolResult};

const TIME: Points = Points::ALL;
const FLOW: Points = Points::of(&[Request, Stream, Tick, Response]);
const BOOKS: Points = Points::of(&[Request, ToolCall, ToolResult, Response]);
const ASKED: Points = Points::of(&[Request]);
const CALL: Points = Points::of(&[ToolCall]);
const RESULT: Points = Points::of(&[ToolResult]);
const TOOL: Points = Points::of(&[ToolCall, ToolResult]);
const FAILED: Points = Points::of(&[Response]);

const fn number() -> Kind {
    Kind::Double
}
const fn whole() -> Kind {
    Kind::Int
}
const fn text() -> Kind {
    Kind::Text
}
const fn truth() -> Kind {
    Kind::Bool
}
const fn json() -> Kind {
    Kind::Json
}
fn texts() -> Kind {
    Kind::List(Box::new(Kind::Text))
}
fn found() -> Kind {
    Kind::List(Box::new(Kind::Finding))
}

const fn input(
    name: &'static str,
    source: Source,
    kind: fn() -> Kind,
    maybe: bool,
    belongs: Belongs,
    at: Points,
) -> Input {
    Input {
        name,
        source,
        kind,
        maybe,
        belongs,
        at,
    }
}

const fn vital(name: &'static str, id: u16, maybe: bool, belongs: Belongs, at: Points) -> Input {
    input(name, Source::Vital(id), number, maybe, belongs, at)
}

/// The table.
#[rustfmt::skip]
pub static INPUTS: &[Input] = &[
    vital("vitals.elapsed", id::ELAPSED, false, Exchange, TIME),
    vital("vitals.first_token", id::FIRST_TOKEN, true, Exchange, FLOW),
    vital("vitals.token_gap", id::TOKEN_GAP, true, Exchange, FLOW),
    vital("vitals.tokens_per_second", id::TOKENS_PER_SECOND, true, Exchange, FLOW),
    vital("vitals.output_tokens", id::OUTPUT_TOKENS, false, Exchange, FLOW),
    vital("vitals.tokens_exact", id::TOKENS_EXACT, false, Exchange, FLOW),
    vital("vitals.session_elapsed", id::SESSION_ELAPSED, false, Session, TIME),
    vital("vitals.session_busy", id::SESSION_BUSY, false, Session, TIME),
    vital("vitals.session_tokens", id::SESSION_TOKENS, false, Session, FLOW),
    vital("vitals.session_cost", id::SESSION_COST, false, Session, FLOW),
    vital("vitals.session_exchanges", id::SESSION_EXCHANGES, false, Session, ASKED),
    vital("vitals.tool_calls", id::TOOL_CALLS, false, Session, BOOKS),
    vital("vitals.tool_failures", id::TOOL_FAILURES, false, Session, BOOKS),
    vital("vitals.tool_failures_in_a_row", id::TOOL_FAILURES_IN_A_ROW, false, Session, BOOKS),
    vital("vitals.retries", id::RETRIES, false, Session, BOOKS),
    vital("vitals.token_limit", id::TOKEN_LIMIT, true, Session, FLOW),
    vital("vitals.token_used_share", id::TOKEN_USED_SHARE, true, Session, FLOW),
    vital("vitals.context_share", id::CONTEXT_SHARE, true, Exchange, ASKED),
    vital("vitals.host_cpu", id::HOST_CPU, true, Exchange, TIME),
    vital("vitals.host_memory", id::HOST_MEMORY, true, Exchange, TIME),
    vital("vitals.host_io", id::HOST_IO, true, Exchange, TIME),
    vital("vitals.agent_cpu", id::AGENT_CPU, true, Exchange, TIME),
    vital("vitals.agent_memory", id::AGENT_MEMORY, true, Exchange, TIME),
    vital("vitals.agent_io", id::AGENT_IO, true, Exchange, TIME),
    vital("vitals.tool_error_rate", id::TOOL_ERROR_RATE, true, Exchange, BOOKS),
    vital("vitals.tool_p50", id::TOOL_P50, true, Exchange, BOOKS),
    vital("vitals.tool_p99", id::TOOL_P99, true, Exchange, BOOKS),
    vital("vitals.model_error_rate", id::MODEL_ERROR_RATE, true, Exchange, BOOKS),
    vital("vitals.model_p50", id::MODEL_P50, true, Exchange, BOOKS),
    vital("vitals.model_p99", id::MODEL_P99, true, Exchange, BOOKS),
    vital("vitals.upstream_error_rate", id::UPSTREAM_ERROR_RATE, true, Exchange, BOOKS),
    vital("vitals.upstream_p50", id::UPSTREAM_P50, true, Exchange, BOOKS),
    vital("vitals.upstream_p99", id::UPSTREAM_P99, true, Exchange, BOOKS),
    input("session.tenant", Source::Tenant, text, false, Session, ASKED),
    input("session.principal", Source::Principal, text, false, Session, ASKED),
    input("session.id", Source::SessionId, text, false, Session, ASKED),
    input("session.exchanges", Source::Exchanges, whole, false, Session, ASKED),
    input("session.task", Source::Task, text, true, Exchange, ASKED),
    input("session.subtask", Source::Subtask, text, true, Exchange, ASKED),
    input("session.risk", Source::Risk, text, true, Exchange, ASKED),
    input("session.risk_rank", Source::RiskRank, whole, true, Exchange, ASKED),
    input("session.deadline_ms", Source::DeadlineMs, number, true, Exchange, ASKED),
    input("request.model", Source::Model, text, false, Exchange, ASKED),
    input("request.upstream", Source::Upstream, text, false, Exchange, ASKED),
    input("request.streamed", Source::Streamed, truth, false, Exchange, ASKED),
    input("request.tools", Source::Tools, texts, false, Exchange, ASKED),
    input("request.messages", Source::Messages, whole, false, Exchange, ASKED),
    input("request.input_tokens", Source::InputTokens, whole, false, Exchange, ASKED),
    input("findings", Source::Findings, found, false, Findings, Points::ALL),
    input("tool.name", Source::ToolName, text, false, Event, TOOL),
    input("tool.arguments", Source::ToolArguments, json, false, Event, CALL),
    input("tool.failed", Source::ToolFailed, truth, false, Event, RESULT),
    input("tool.duration_us", Source::ToolDuration, number, false, Event, RESULT),
    input("failure.kind", Source::FailureKind, text, false, Event, FAILED),
    input("failure.status", Source::FailureStatus, whole, false, Event, FAILED),
    input("failure.retryable", Source::FailureRetryable, truth, false, Event, FAILED),
    input("checkpoint", Source::Checkpoint, text, false, Exchange, Points::ALL),
];

/// A field of a finding: its name and type.
type Field = (&'static str, fn() -> Kind);

/// What a finding has.
pub static FINDING: &[Field] = &[
    ("policy", text),
    ("kind", text),
    ("severity", text),
    ("severity_rank", whole),
    ("confidence", number),
    ("summary", text),
];

/// The groups, in the order of the table.
pub const GROUPS: [&str; 5] = ["vitals", "session", "request", "tool", "failure"];

/// Index of a name in the table.
pub fn index_of(name: &str) -> Option<usize> {
    INPUTS.iter().position(|input| input.name == name)
}

/// Whether its value changes with time alone, though nothing happens.
pub fn follows_the_clock(input: &Input) -> bool {
    matches!(
        input.source,
        Source::Vital(id::ELAPSED | id::SESSION_ELAPSED | id::SESSION_BUSY)
            | Source::Vital(id::HOST_CPU..=id::AGENT_IO)
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    /// Ids and names in the contract's own table.
    fn contract() -> Vec<(u16, String)> {
        include_str!("../../../../../wit/events.wit")
            .lines()
            .skip_while(|line| !line.contains("| id | name |"))
            .filter_map(|line| {
                let mut cells = line.trim().strip_prefix("/// |")?.split('|').map(str::trim);
                Some((cells.next()?.parse().ok()?, cells.next()?.to_owned()))
            })
            .collect()
    }

    #[test]
    fn every_vital_of_the_contract_can_be_asked_for_by_its_name() {
        let written: Vec<(u16, String)> = INPUTS
            .iter()
            .filter_map(|input| match input.source {
                Source::Vital(id) => Some((
                    id,
                    input.name.trim_start_matches("vitals.").replace('_', "-"),
                )),
                _ => None,
            })
            .collect();
        assert_eq!(written, contract());
    }

    #[test]
    fn every_name_is_told_once_and_in_a_known_group() {
        for (n, input) in INPUTS.iter().enumerate() {
            assert_eq!(index_of(input.name), Some(n), "{}", input.name);
            if let Some((group, _)) = input.name.split_once('.') {
                assert!(GROUPS.contains(&group), "{}", input.name);
            }
        }
    }
}
