//! The desk: puts items before people, takes their decisions, and lets deadlines pass.
//!
//! Guarantees. [`Desk::put`] and [`Desk::ring`] never wait. People see an approval only once it is on the disk; [`Desk::decide`]
//! returns once the decision is, and whoever waits hears of it not before. A process that is killed in between begins
//! again with what is on the disk: an approval that waits goes on waiting until its deadline, a decision goes on being remembered.
//! A timeout needs no disk: what would decide it again after a restart decides it the same way.
//!
//! On the timeline stand `held` when people can see the item, and `decided`; the session may sleep meanwhile.

mod look;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::approval::{Approval, ApprovalId, Decision, New, Note, State, Verdict};
use super::book::{Book, Limits};
use super::judge::{DecideError, may_decide};
use super::told::{by_default, decided, held};
use super::{digest, row};
use crate::event::key::SessionId;
use crate::event::{Body, Micros};
use crate::session::sessions::Sessions;
use crate::store::{ApprovalFilter, Store, StoreError};

pub use look::{Filter, FindError};

/// How long a decision waits for the disk before it is refused.
const COMMIT_WAIT: Duration = Duration::from_secs(10);
/// Longest sleep of the background task: a clock that is set forward is noticed so late.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// Before a row that the disk did not take is handed over again.
const SAVE_AGAIN: Micros = 1_000_000;

/// Microseconds since the Unix epoch; a parameter, so that tests need not wait.
type Clock = Box<dyn Fn() -> Micros + Send + Sync>;

/// Everything that waits for people. One for the process.
pub struct Desk {
    sessions: Arc<Sessions>,
    store: Arc<dyn Store>,
    clock: Clock,
    inner: Mutex<Inner>,
    /// Wakes the background task.
    changed: Notify,
    /// One decision at a time: the second person hears what the first one decided.
    deciding: tokio::sync::Mutex<()>,
    /// Held by whoever empties `untold`, so that timelines tell things in their order.
    telling: tokio::sync::Mutex<()>,
}

struct Inner {
    book: Book,
    limits: Limits,
    /// What is still to be put on timelines.
    untold: VecDeque<(SessionId, u32, Body)>,
    /// What people can see since now.
    arrived: Vec<Approval>,
}

impl Desk {
    /// The desk as it was left: what waits and what is remembered comes from the store. Blocking.
    ///
    /// # Errors
    /// The store cannot be read: going on without it would ask people twice, or hold a call that was approved.
    pub fn open(sessions: Arc<Sessions>, limits: Limits) -> Result<Arc<Self>, StoreError> {
        Self::with_clock(sessions, limits, Box::new(crate::event::clock::now))
    }

    fn with_clock(
        sessions: Arc<Sessions>,
        limits: Limits,
        clock: Clock,
    ) -> Result<Arc<Self>, StoreError> {
        let store = Arc::clone(&sessions.recorder().store);
        let live = ApprovalFilter {
            live: true,
            ..ApprovalFilter::default()
        };
        let mut book = Book::default();
        // Oldest first: of two about one item the newer counts.
        for row in store.approvals(&live, usize::MAX)?.iter().rev() {
            if let Some(approval) = row::read(row) {
                book.insert(approval, true);
            }
        }
        Ok(Arc::new(Self {
            sessions,
            store,
            clock,
            inner: Mutex::new(Inner {
                book,
                limits,
                untold: VecDeque::new(),
                arrived: Vec::new(),
            }),
            changed: Notify::new(),
            deciding: tokio::sync::Mutex::default(),
            telling: tokio::sync::Mutex::default(),
        }))
    }

    /// Puts an item before people. One about the same item of the same session that waits, or was decided within `remember`,
    /// is returned instead of a second one: a client's repetition re-attaches. When `max_open` are waiting, the approval
    /// comes back decided: its default counts at once, nobody is asked, and the note says why.
    pub fn put(self: &Arc<Self>, new: New) -> Approval {
        let now = (self.clock)();
        let seq = self
            .sessions
            .live(new.session)
            .map_or(0, |session| session.timeline.next_seq().saturating_sub(1));
        let mut inner = self.lock();
        let limits = inner.limits;
        if let Some(known) = inner.book.known(new.session, new.digest, now, &limits) {
            return known.clone();
        }
        let wait = match Micros::from(new.deadline_ms) * 1000 {
            0 => limits.max_wait,
            wait => wait.min(limits.max_wait),
        };
        let mut approval = Approval {
            id: id_of(&new, now),
            session: new.session,
            exchange: new.exchange,
            seq,
            policy: new.policy,
            subject: new.subject,
            digest: new.digest,
            title: new.title,
            body: new.body,
            context: new.context,
            opened: now,
            deadline: now.saturating_add(wait),
            on_timeout: new.on_timeout,
            notes: Vec::new(),
            state: State::Open,
        };
        if inner.book.open() >= limits.max_open {
            let reason = format!(
                "{} approvals wait already ([people] max_open)",
                limits.max_open
            );
            let decision = by_default(&approval, &reason, now);
            inner.tell(&approval, held(&approval));
            inner.tell(&approval, decided(&approval, &decision));
            approval.state = State::Decided(decision);
            drop(inner);
            self.changed.notify_one();
            return approval;
        }
        inner.book.insert(approval.clone(), false);
        self.save(&inner, &approval);
        drop(inner);
        self.changed.notify_one();
        approval
    }

    /// The approval, as long as it matters to calls: it waits, or its decision is remembered.
    pub fn get(&self, id: ApprovalId) -> Option<Approval> {
        Some(self.lock().book.get(id)?.approval.clone())
    }

    /// Rings `bell` (`notify_one`) when the approval is decided; at once if it is, or is not known any more.
    pub fn ring(&self, id: ApprovalId, bell: Arc<Notify>) {
        let mut inner = self.lock();
        match inner.book.get_mut(id) {
            Some(entry) if entry.approval.is_open() => {
                // Those of clients that left and came back.
                entry.bells.retain(|bell| Arc::strong_count(bell) > 1);
                entry.bells.push(bell);
            }
            _ => bell.notify_one(),
        }
    }

    /// Decides. When this returns, the decision is on the disk, and whoever waits has been told. A caller that stops waiting does
    /// not stop the decision.
    ///
    /// # Errors
    /// Why it does not count.
    pub async fn decide(
        self: &Arc<Self>,
        id: ApprovalId,
        verdict: Verdict,
        by: &str,
        note: &str,
    ) -> Result<Approval, DecideError> {
        let desk = Arc::clone(self);
        let (by, note) = (by.to_owned(), note.to_owned());
        tokio::spawn(async move { desk.decide_in_turn(id, verdict, by, note).await })
            .await
            .unwrap_or_else(|error| Err(StoreError::Commit(error.to_string()).into()))
    }

    async fn decide_in_turn(
        &self,
        id: ApprovalId,
        verdict: Verdict,
        by: String,
        note: String,
    ) -> Result<Approval, DecideError> {
        let _turn = self.deciding.lock().await;
        let at = (self.clock)();
        let decision = Decision {
            verdict,
            by,
            note,
            at,
        };
        self.commit(id, |approval| {
            may_decide(approval, &decision)?;
            approval.state = State::Decided(decision.clone());
            Ok(())
        })
        .await?;
        let approval = {
            let mut inner = self.lock();
            let approval = inner.book.decide(id, decision.clone()).cloned();
            let approval = approval.ok_or(DecideError::Unknown(id))?;
            inner.tell(&approval, decided(&approval, &decision));
            approval
        };
        self.changed.notify_one();
        self.tell().await;
        self.flush().await;
        Ok(approval)
    }

    /// Adds what a person has to say, without a decision. On the disk when it returns.
    ///
    /// # Errors
    /// Not known, or not on the disk.
    pub async fn note(
        self: &Arc<Self>,
        id: ApprovalId,
        by: &str,
        text: &str,
    ) -> Result<Approval, DecideError> {
        let desk = Arc::clone(self);
        let (by, text) = (by.to_owned(), text.to_owned());
        tokio::spawn(async move { desk.note_in_turn(id, by, text).await })
            .await
            .unwrap_or_else(|error| Err(StoreError::Commit(error.to_string()).into()))
    }

    async fn note_in_turn(
        &self,
        id: ApprovalId,
        by: String,
        text: String,
    ) -> Result<Approval, DecideError> {
        let _turn = self.deciding.lock().await;
        let at = (self.clock)();
        let body = Body::Annotation {
            policy: "people".to_owned(),
            name: "note".to_owned(),
            value: format!("{by} on {id}: {text}"),
        };
        let note = Note { by, text, at };
        self.commit(id, |approval| {
            approval.notes.push(note.clone());
            Ok(())
        })
        .await?;
        let approval = {
            let mut inner = self.lock();
            let entry = inner.book.get_mut(id).ok_or(DecideError::Unknown(id))?;
            entry.deciding = false;
            entry.approval.notes.push(note);
            let approval = entry.approval.clone();
            inner.tell(&approval, body);
            approval
        };
        self.changed.notify_one();
        self.tell().await;
        Ok(approval)
    }

    /// Other limits from now on. Deadlines that were given stay.
    pub fn set_limits(&self, limits: Limits) {
        self.lock().limits = limits;
        self.changed.notify_one();
    }

    /// The background task: lets deadlines pass, and calls `arrived` for each approval that people can see since then. Never
    /// ends by itself.
    pub async fn run(self: Arc<Self>, arrived: impl Fn(&Approval)) {
        loop {
            let sleep = self.settle();
            self.tell().await;
            for approval in std::mem::take(&mut self.lock().arrived) {
                arrived(&approval);
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Does what is due, and returns how long nothing will be.
    fn settle(self: &Arc<Self>) -> Duration {
        let now = (self.clock)();
        let mut inner = self.lock();
        let limits = inner.limits;
        for id in inner.book.due(now) {
            let Some(entry) = inner.book.get_mut(id) else {
                continue;
            };
            // People never saw it; the timeline says all the same that it waited.
            let untold = !std::mem::replace(&mut entry.shown, true);
            let decision = by_default(&entry.approval, "nobody decided in time", now);
            if let Some(approval) = inner.book.decide(id, decision.clone()).cloned() {
                if untold {
                    inner.tell(&approval, held(&approval));
                }
                inner.tell(&approval, decided(&approval, &decision));
                self.save(&inner, &approval);
            }
        }
        for approval in inner.book.unsaved(now) {
            self.save(&inner, &approval);
        }
        let capture = self.sessions.recorder().capture;
        for approval in inner.book.forget(now, &limits) {
            self.store
                .commit_approval(row::past(&approval, capture), Box::new(|_| ()));
        }
        inner.book.next(&limits).map_or(LONGEST_SLEEP, |at| {
            Duration::from_micros(at.saturating_sub(now)).min(LONGEST_SLEEP)
        })
    }

    /// Hands the row of an approval to the store; once it is on the disk, people may see it. Under the lock, as all rows are
    /// handed over, so that the newest goes last.
    fn save(self: &Arc<Self>, _inner: &MutexGuard<'_, Inner>, approval: &Approval) {
        let (desk, id) = (Arc::downgrade(self), approval.id);
        self.store.commit_approval(
            row::live(approval),
            Box::new(move |result| {
                if let Some(desk) = desk.upgrade() {
                    desk.saved(id, result);
                }
            }),
        );
    }

    fn saved(&self, id: ApprovalId, result: Result<(), StoreError>) {
        let mut inner = self.lock();
        let Some(entry) = inner.book.get_mut(id) else {
            return;
        };
        if let Err(error) = result {
            tracing::warn!(approval = %id, %error, "an approval is not on the disk yet; until it is, people are not asked");
            entry.save_at = Some((self.clock)().saturating_add(SAVE_AGAIN));
        } else if !std::mem::replace(&mut entry.shown, true) {
            let approval = entry.approval.clone();
            inner.tell(&approval, held(&approval));
            inner.arrived.push(approval);
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// Puts an approval on the disk as `change` makes it; in memory it stays as it was, and time does not decide it until the
    /// caller has. When the disk fails, nothing has changed.
    async fn commit(
        &self,
        id: ApprovalId,
        change: impl FnOnce(&mut Approval) -> Result<(), DecideError>,
    ) -> Result<(), DecideError> {
        let (done, committed) = oneshot::channel();
        {
            let mut inner = self.lock();
            let entry = inner.book.get_mut(id).filter(|entry| entry.shown);
            let entry = entry.ok_or(DecideError::Unknown(id))?;
            let mut changed = entry.approval.clone();
            change(&mut changed)?;
            entry.deciding = true;
            self.store.commit_approval(
                row::live(&changed),
                Box::new(move |result| {
                    // Nobody listens any more when the wait below was too long.
                    let _ = done.send(result);
                }),
            );
        }
        let error = match tokio::time::timeout(COMMIT_WAIT, committed).await {
            Ok(Ok(Ok(()))) => return Ok(()),
            Ok(Ok(Err(error))) => error,
            _ => StoreError::Commit(format!("no answer from the disk in {COMMIT_WAIT:?}")),
        };
        if let Some(entry) = self.lock().book.get_mut(id) {
            entry.deciding = false;
            // The store may still get the refused row through: the present one goes behind it.
            entry.save_at = Some((self.clock)());
        }
        self.changed.notify_one();
        Err(error.into())
    }

    /// Puts on timelines what is to be told, in order.
    async fn tell(&self) {
        let _turn = self.telling.lock().await;
        loop {
            let next = self.lock().untold.pop_front();
            let Some((session, exchange, body)) = next else {
                return;
            };
            if let Err(error) = self.sessions.append(session, exchange, body).await {
                tracing::error!(%session, %error, "what people decided is not on the timeline");
            }
        }
    }

    /// What was told is on the disk, as far as the disk works: the decision itself is there already.
    async fn flush(&self) {
        let store = Arc::clone(&self.store);
        let flushed = tokio::task::spawn_blocking(move || store.flush()).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "a decision is on the disk, its event on the timeline is not yet");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each change is whole before the next statement that could panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn tell(&mut self, approval: &Approval, body: Body) {
        self.untold
            .push_back((approval.session, approval.exchange, body));
    }
}

/// Two approvals at the same microsecond are about different items, or the second would have been the first.
fn id_of(new: &New, now: Micros) -> ApprovalId {
    let item = format!("{:032x}", u128::from_be_bytes(new.digest));
    let hash = digest::of(&[&new.session.to_string(), &item, &now.to_string()]);
    let mut number = [0; 8];
    number.copy_from_slice(&hash[..8]);
    ApprovalId::new(u64::from_be_bytes(number))
}

#[cfg(test)]
mod tests;
