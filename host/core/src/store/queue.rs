//! What waits for the writer: one batch, gathered by session, that the writer takes whole.
//!
//! Guarantees: putting something in never waits for the disk and never fails; events are bounded in number and bytes, and what
//! does not fit is counted by session. Once one event did not fit, none does until the writer takes the batch, so the
//! missing ones of a session are one unbroken run behind all that is kept.
//! State, seats, ledgers and approvals are not bounded by number, because the newest of each replaces the one before.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{ApprovalRow, Done, LedgerRow, Seat, SessionHead};
use crate::event::digest::{Digest, Hashed};
use crate::event::key::SessionId;
use crate::event::marks::Meaning;
use crate::event::size::json_bytes;
use crate::event::{Body, Event, Micros};

/// How long the first event of a batch waits for company. The time that a crash can cost.
pub(super) const GROUP_COMMIT: Duration = Duration::from_millis(50);
/// So many events are written without waiting for more.
const ENOUGH: usize = 1024;

/// Everything new of one session.
#[derive(Debug, Default)]
pub(super) struct SessionBatch {
    pub(super) head: Option<SessionHead>,
    pub(super) events: Vec<Arc<Event>>,
    pub(super) missed: Option<Missed>,
    pub(super) state: Option<Vec<u8>>,
    pub(super) seats: HashMap<String, Seat>,
    pub(super) ledger: Option<LedgerRow>,
    pub(super) approvals: HashMap<String, ApprovalRow>,
    pub(super) marks: HashMap<Digest, Meaning>,
}

/// A run of events that were dropped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Missed {
    pub(super) first: u64,
    pub(super) at: Micros,
    pub(super) count: u64,
}

/// Everything new.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) sessions: HashMap<SessionId, SessionBatch, Hashed>,
    /// Told when the batch is on the disk. With any of them the commit survives a power cut.
    pub(super) waiting: Vec<Done>,
    /// The same, but they do not hurry the writer.
    pub(super) soon: Vec<Done>,
    /// Told when the batch is written, however well; they hurry nobody.
    pub(super) along: Vec<Done>,
    pub(super) events: usize,
    pub(super) bytes: usize,
    full: bool,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.waiting.is_empty()
    }
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

pub(super) struct Queue {
    bounds: Bounds,
    state: Mutex<State>,
    /// Wakes the writer; nobody else waits on it.
    work: Condvar,
}

#[derive(Default)]
struct State {
    batch: Batch,
    /// Sessions of the batch that is being written now.
    writing: HashSet<SessionId, Hashed>,
    dropped: u64,
    closing: bool,
}

/// What the writer is to do.
pub(super) enum Next {
    Write(Batch),
    /// Nothing came in the given time.
    Idle,
    /// Nothing is left, and nothing more will come.
    Closed,
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            state: Mutex::default(),
            work: Condvar::new(),
        }
    }

    pub(super) fn event(&self, session: SessionId, event: Arc<Event>) {
        let bytes = weight(&event.body);
        let mut state = self.lock();
        let State { batch, dropped, .. } = &mut *state;
        let wake = batch.is_empty() || batch.events + 1 == ENOUGH;
        let entry = batch.sessions.entry(session).or_default();
        batch.full |= batch.events >= self.bounds.events || batch.bytes + bytes > self.bounds.bytes;
        if batch.full {
            *dropped += 1;
            let missed = entry.missed.get_or_insert(Missed {
                first: event.seq,
                at: event.at,
                count: 0,
            });
            missed.count += 1;
        } else {
            batch.events += 1;
            batch.bytes += bytes;
            entry.events.push(event);
        }
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }

    /// Puts in what is not an event.
    pub(super) fn put(&self, session: SessionId, change: impl FnOnce(&mut SessionBatch)) {
        let mut state = self.lock();
        let wake = state.batch.is_empty();
        change(state.batch.sessions.entry(session).or_default());
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }

    /// Puts something in, and asks for a commit of it at once.
    pub(super) fn urgent(
        &self,
        session: SessionId,
        done: Done,
        change: impl FnOnce(&mut SessionBatch),
    ) {
        let mut state = self.lock();
        change(state.batch.sessions.entry(session).or_default());
        state.batch.waiting.push(done);
        drop(state);
        self.work.notify_one();
    }

    /// Puts something in, and asks for a commit of it that survives a power cut, with whatever goes next.
    pub(super) fn soon(
        &self,
        session: SessionId,
        done: Done,
        change: impl FnOnce(&mut SessionBatch),
    ) {
        self.unhurried(session, change, |batch| batch.soon.push(done));
    }

    /// Puts something in that goes with whatever goes next.
    pub(super) fn along(
        &self,
        session: SessionId,
        done: Done,
        change: impl FnOnce(&mut SessionBatch),
    ) {
        self.unhurried(session, change, |batch| batch.along.push(done));
    }

    fn unhurried(
        &self,
        session: SessionId,
        change: impl FnOnce(&mut SessionBatch),
        listen: impl FnOnce(&mut Batch),
    ) {
        let mut state = self.lock();
        let wake = state.batch.is_empty();
        change(state.batch.sessions.entry(session).or_default());
        listen(&mut state.batch);
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }

    /// Asks for a commit of what is in at once.
    pub(super) fn flush(&self, done: Done) {
        let mut state = self.lock();
        state.batch.waiting.push(done);
        drop(state);
        self.work.notify_one();
    }

    /// Whether something of this session is not on the disk yet.
    pub(super) fn concerns(&self, session: SessionId) -> bool {
        let state = self.lock();
        state.writing.contains(&session) || state.batch.sessions.contains_key(&session)
    }

    /// The next batch. The one before counts as written from here on.
    pub(super) fn next(&self, idle: Duration) -> Next {
        let mut state = self.lock();
        state.writing.clear();
        let mut deadline = Instant::now() + idle;
        let mut lingering = false;
        loop {
            let batch = &state.batch;
            if !batch.is_empty() && !lingering {
                lingering = true;
                deadline = Instant::now() + GROUP_COMMIT;
            }
            let now = Instant::now();
            let pressing =
                !batch.waiting.is_empty() || batch.events >= ENOUGH || batch.full || state.closing;
            if !batch.is_empty() && (pressing || now >= deadline) {
                let batch = std::mem::take(&mut state.batch);
                state.writing.extend(batch.sessions.keys().copied());
                return Next::Write(batch);
            }
            if batch.is_empty() && state.closing {
                return Next::Closed;
            }
            if now >= deadline {
                return Next::Idle;
            }
            state = self.wait(state, deadline - now);
        }
    }

    /// Waits before a failed batch is tried again, and hands out whoever asked for a commit meanwhile, so that they hear of
    /// the failure. `false`: the store is closing, do not try for long.
    pub(super) fn pause(&self, time: Duration) -> (Vec<Done>, bool) {
        let deadline = Instant::now() + time;
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if state.closing || now >= deadline || !state.batch.waiting.is_empty() {
                return (std::mem::take(&mut state.batch.waiting), !state.closing);
            }
            state = self.wait(state, deadline - now);
        }
    }

    /// Counts events that were lost behind the queue.
    pub(super) fn lost(&self, count: u64) {
        self.lock().dropped += count;
    }

    /// Events and bytes that wait, and events dropped so far.
    pub(super) fn levels(&self) -> (usize, usize, u64) {
        let state = self.lock();
        (state.batch.events, state.batch.bytes, state.dropped)
    }

    /// Whether at least a quarter of the room is taken: no time for housekeeping.
    pub(super) fn is_busy(&self) -> bool {
        let (events, bytes, _) = self.levels();
        events > self.bounds.events / 4 || bytes > self.bounds.bytes / 4
    }

    /// What is in is still written, then the writer ends.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_one();
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        self.work
            .wait_timeout(state, time)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Roughly the bytes that an event holds in memory.
pub fn weight(body: &Body) -> usize {
    const RECORD: usize = 256;
    RECORD
        + match body {
            Body::Message { text, .. }
            | Body::Part { text, .. }
            | Body::ToolResult { text, .. }
            | Body::Text { text, .. }
            | Body::Failure { text, .. }
            | Body::PolicyFault { text, .. } => text.len(),
            Body::ToolCall { arguments, .. } => arguments.len(),
            Body::Finding { summary, data, .. } => summary.len() + data.len(),
            Body::Annotation { value, .. } => value.len(),
            Body::Held { title, .. } => title.len(),
            Body::Decided { note, .. } => note.len(),
            Body::Asked { text, .. } => text.len(),
            Body::Intervention {
                reason, arguments, ..
            } => reason.len() + json_bytes(arguments),
            Body::Answer { value, .. } => json_bytes(value),
            Body::Request { tools, .. } => tools.iter().map(|tool| tool.len() + 24).sum(),
            Body::Passage { path, model, .. } => path.len() + model.len(),
            Body::Unjudged { path, reason } => path.len() + reason.len(),
            _ => 0,
        }
}
