//! The one writer: takes batches from the queue and commits each in one transaction.
//!
//! A batch that fails because of the disk (full, failing, locked) is kept and tried again; whoever waits for its commit is told
//! at once. A batch that fails for another reason would fail for ever: its events are given up, counted, and
//! a gap is recorded in their place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, params};

use super::queue::{Batch, Missed, Next, Queue, SessionBatch};
use super::retention::Retention;
use super::runs;
use super::schema::int;
use super::{Counters, LedgerRow, StoreError};
use crate::event::clock::now;
use crate::event::key::SessionId;
use crate::event::{Body, Event, Outcome};

/// Between two attempts at a failing disk.
const RETRY: Duration = Duration::from_secs(1);
/// Attempts at a failing disk when the process ends.
const LAST_ATTEMPTS: u32 = 2;

/// What the writer tells about itself.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) written: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) failing: AtomicBool,
}

pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) queue: Arc<Queue>,
    pub(super) progress: Arc<Progress>,
    pub(super) retention: Retention,
}

impl Writer {
    /// Runs until the queue is closed and empty.
    pub(super) fn run(mut self) {
        loop {
            match self.queue.next(self.retention.pause(Instant::now())) {
                Next::Write(batch) => self.write(batch),
                Next::Idle => {}
                Next::Closed => return,
            }
            if !self.queue.is_busy()
                && let Err(error) = self.retention.step(&mut self.connection, Instant::now())
            {
                tracing::warn!(%error, "old sessions could not be removed; trying again later");
            }
        }
    }

    fn write(&mut self, mut batch: Batch) {
        let mut waiting = std::mem::take(&mut batch.waiting);
        let mut others = std::mem::take(&mut batch.soon);
        let durable = !waiting.is_empty() || !others.is_empty();
        others.append(&mut batch.along);
        let mut attempts = 0;
        loop {
            let error = match self.commit(&batch, durable || !waiting.is_empty()) {
                Ok(written) => {
                    let marks = batch.sessions.values().map(|session| session.marks.len());
                    self.retention.marked(marks.sum());
                    self.progress.written.fetch_add(written, Ordering::Relaxed);
                    self.progress.failing.store(false, Ordering::Relaxed);
                    waiting
                        .drain(..)
                        .chain(others.drain(..))
                        .for_each(|done| done(Ok(())));
                    return;
                }
                Err(error) => error,
            };
            attempts += 1;
            if !self.progress.failing.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "the database cannot be written; streams go on, events wait and are dropped when there is no more room");
            }
            self.progress.retried.fetch_add(1, Ordering::Relaxed);
            let text = error.to_string();
            tell(&mut waiting, &text);
            tell(&mut others, &text);
            if !may_pass(&error) {
                // Once more with a gap in place of the events; if even that fails, without.
                let lost: usize = batch
                    .sessions
                    .values()
                    .map(|session| session.events.len())
                    .sum();
                self.queue.lost(lost as u64);
                if lost == 0 {
                    tracing::error!(%error, "a batch was given up");
                    return;
                }
                batch.sessions.values_mut().for_each(give_up_events);
                continue;
            }
            let (meanwhile, open) = self.queue.pause(RETRY);
            waiting.extend(meanwhile);
            tell(&mut waiting, &text);
            if !open && attempts >= LAST_ATTEMPTS {
                return;
            }
        }
    }

    /// Writes a batch in one transaction and returns how many events it held.
    fn commit(&mut self, batch: &Batch, durable: bool) -> Result<u64, rusqlite::Error> {
        // NORMAL survives the death of the process, FULL also a power cut, at the price of waiting for the disk.
        self.connection.pragma_update(
            None,
            "synchronous",
            if durable { "FULL" } else { "NORMAL" },
        )?;
        let transaction = self
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut written = 0;
        for (id, session) in &batch.sessions {
            written += write_session(&transaction, *id, session)?;
        }
        transaction.commit()?;
        Ok(written)
    }
}

/// What the process before this one noted and did not live to commit counts as spent. Durable when it returns.
///
/// # Errors
/// The database's.
pub(super) fn restore(
    connection: &mut Connection,
    noted: &[(SessionId, LedgerRow)],
) -> Result<(), rusqlite::Error> {
    if noted.is_empty() {
        return Ok(());
    }
    tracing::info!(
        sessions = noted.len(),
        "the process before this one ended in the middle of calls: what they may have spent counts as spent"
    );
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = connection.transaction()?;
    for (id, row) in noted {
        let (n, _) = session_row(&transaction, *id, &SessionBatch::default())?;
        transaction
            .prepare_cached(
                "INSERT INTO ledgers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (session) DO UPDATE SET
                     max_tokens = ifnull(min(max_tokens, excluded.max_tokens), ifnull(max_tokens, excluded.max_tokens)),
                     max_cost = ifnull(min(max_cost, excluded.max_cost), ifnull(max_cost, excluded.max_cost)),
                     settled_tokens = max(settled_tokens, excluded.settled_tokens),
                     settled_cost = max(settled_cost, excluded.settled_cost),
                     reserved_tokens = max(reserved_tokens, excluded.reserved_tokens),
                     reserved_cost = max(reserved_cost, excluded.reserved_cost)",
            )?
            .execute(ledger_params(n, row))?;
    }
    transaction.commit()
}

/// The columns of a ledger's row.
fn ledger_params(n: i64, row: &LedgerRow) -> impl rusqlite::Params {
    (
        n,
        row.max_tokens.map(int),
        row.max_cost.map(int),
        int(row.settled_tokens),
        int(row.settled_cost),
        int(row.reserved_tokens),
        int(row.reserved_cost),
    )
}

fn tell(waiting: &mut Vec<super::Done>, error: &str) {
    waiting
        .drain(..)
        .for_each(|done| done(Err(StoreError::Commit(error.into()))));
}

/// Whether the same batch may succeed later.
fn may_pass(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::OutOfMemory
        )
    )
}

fn give_up_events(session: &mut SessionBatch) {
    if let Some(first) = session.events.first() {
        let dropped = session.missed.map_or(0, |missed| missed.count);
        session.missed = Some(Missed {
            first: first.seq,
            at: first.at,
            count: session.events.len() as u64 + dropped,
        });
        session.events.clear();
    }
}

fn write_session(
    transaction: &Transaction<'_>,
    id: SessionId,
    session: &SessionBatch,
) -> Result<u64, rusqlite::Error> {
    let (n, next) = session_row(transaction, id, session)?;
    let mut totals = Totals::default();
    let mut insert = transaction.prepare_cached(
        "INSERT INTO events (session, seq, last, at, run) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let gap = session.missed.map(|missed| Event {
        seq: missed.first,
        at: missed.at,
        exchange: 0,
        body: Body::Dropped {
            count: missed.count,
        },
    });
    let known = session.events.partition_point(|event| event.seq < next);
    if known > 0 {
        tracing::error!(session = %id, events = known, "events have numbers that others have; they are not recorded");
    }
    let events = session.events.get(known..).unwrap_or_default();
    let gap = gap.map(Arc::new);
    for run in runs::cut(events).chain(gap.as_slice().chunks(1)) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            continue;
        };
        let text = runs::write(run)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        insert.execute(params![
            n,
            int(first.seq),
            int(last.seq),
            int(last.at),
            text
        ])?;
        run.iter().for_each(|event| totals.add(event));
    }
    totals.write(transaction, n)?;
    if let Some(state) = &session.state {
        transaction
            .prepare_cached("UPDATE sessions SET state = ?2 WHERE n = ?1")?
            .execute(params![n, state])?;
    }
    for seat in session.seats.values() {
        let kv = serde_json::to_string(&seat.kv)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        transaction
            .prepare_cached("INSERT OR REPLACE INTO seats (session, policy, digest, schema, state, kv) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![n, seat.policy, seat.digest, seat.schema, seat.state, kv])?;
    }
    if let Some(row) = &session.ledger {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO ledgers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
            .execute(ledger_params(n, row))?;
    }
    let mut marks: Vec<_> = session.marks.iter().collect();
    marks.sort_unstable_by_key(|(_, meaning)| meaning.at);
    for (mark, meaning) in marks {
        let stored = serde_json::to_string(&(&meaning.given, meaning.weak, meaning.continued))
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        transaction
            .prepare_cached(
                "INSERT INTO marks (session, at, mark, meaning) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![id.to_string(), int(meaning.at), mark, stored])?;
    }
    for row in session.approvals.values() {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO approvals (id, session, opened, decided, live, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                row.id,
                n,
                int(row.opened),
                row.decided,
                row.live,
                row.value
            ])?;
    }
    Ok(session.events.len() as u64)
}

/// Number of the session's row, which is created if need be, and of the event that is to follow.
fn session_row(
    transaction: &Transaction<'_>,
    id: SessionId,
    session: &SessionBatch,
) -> Result<(i64, u64), rusqlite::Error> {
    let name = id.to_string();
    if let Some(head) = &session.head {
        transaction
            .prepare_cached(
                "INSERT INTO sessions (id, tenant, principal, source, value, parent, seed, opened, last_seen, oldest, replayable)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?8, ?9)
                 ON CONFLICT (id) DO UPDATE SET replayable = min(replayable, excluded.replayable), parent = ifnull(parent, excluded.parent),
                     tenant = excluded.tenant, principal = excluded.principal, source = excluded.source, value = excluded.value",
            )?
            .execute(params![
                name,
                head.key.tenant,
                head.key.principal,
                head.key.source,
                head.key.value,
                head.parent.map(|parent| parent.to_string()),
                head.seed,
                int(head.opened),
                head.whole
            ])?;
    }
    let mut find = transaction.prepare_cached("SELECT n, next_seq FROM sessions WHERE id = ?1")?;
    let found = find.query_row([&name], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)));
    if let Some((n, next)) = found.optional()? {
        return Ok((n, next.max(0) as u64));
    }
    // Retention removed the session while it slept, or a crash left a note of it and nothing else. What comes now is kept.
    let at = session.events.first().map_or_else(now, |event| event.at);
    transaction.execute(
        "INSERT INTO sessions (id, tenant, principal, source, value, seed, opened, last_seen, oldest, replayable)
         VALUES (?1, '', '', '', '', 0, ?2, ?2, ?2, 0)",
        params![name, int(at)],
    )?;
    Ok((transaction.last_insert_rowid(), 0))
}

/// What a batch adds to a session's row.
#[derive(Default)]
struct Totals {
    counters: Counters,
    last_seen: u64,
    next_seq: u64,
    model: Option<String>,
}

impl Totals {
    fn add(&mut self, event: &Event) {
        let counters = &mut self.counters;
        self.last_seen = self.last_seen.max(event.at);
        self.next_seq = self.next_seq.max(event.seq + 1);
        counters.events += 1;
        counters.exchanges = counters.exchanges.max(event.exchange);
        match &event.body {
            Body::Request { model, .. } => self.model = Some(model.clone()),
            Body::ResponseEnd { usage, cost, .. } => {
                counters.input_tokens += u64::from(usage.input);
                counters.output_tokens += u64::from(usage.output);
                counters.cost += cost.unwrap_or_default();
            }
            // What policies' questions and undecoded calls cost is the session's too.
            Body::Answer {
                usage: Some(usage),
                cost,
                ..
            }
            | Body::Passage {
                usage: Some(usage),
                cost,
                ..
            } => {
                counters.input_tokens += u64::from(usage.input);
                counters.output_tokens += u64::from(usage.output);
                counters.cost += cost.unwrap_or_default();
            }
            Body::ToolCall { .. } => counters.tool_calls += 1,
            Body::ToolResult { failed: true, .. } => counters.tool_failures += 1,
            Body::Finding { .. } => counters.findings += 1,
            Body::Intervention {
                outcome: Outcome::Applied,
                ..
            } => counters.applied += 1,
            Body::PolicyFault { .. } => counters.faults += 1,
            Body::Dropped { count } => {
                counters.dropped += count;
                self.next_seq = self.next_seq.max(event.seq + count);
            }
            _ => {}
        }
    }

    fn write(&self, transaction: &Transaction<'_>, n: i64) -> Result<(), rusqlite::Error> {
        let counters = &self.counters;
        if counters.events == 0 {
            return Ok(());
        }
        transaction
            .prepare_cached(
                "UPDATE sessions SET
                    last_seen = max(last_seen, ?2), next_seq = max(next_seq, ?3), model = ifnull(?4, model),
                    events = events + ?5, exchanges = max(exchanges, ?6),
                    input_tokens = input_tokens + ?7, output_tokens = output_tokens + ?8, cost = cost + ?9,
                    tool_calls = tool_calls + ?10, tool_failures = tool_failures + ?11,
                    findings = findings + ?12, applied = applied + ?13, faults = faults + ?14,
                    dropped = dropped + ?15, replayable = replayable AND ?15 = 0
                 WHERE n = ?1",
            )?
            .execute(params![
                n,
                int(self.last_seen),
                int(self.next_seq),
                self.model,
                int(counters.events),
                counters.exchanges,
                int(counters.input_tokens),
                int(counters.output_tokens),
                int(counters.cost),
                int(counters.tool_calls),
                int(counters.tool_failures),
                int(counters.findings),
                int(counters.applied),
                int(counters.faults),
                int(counters.dropped),
            ])?;
        Ok(())
    }
}
