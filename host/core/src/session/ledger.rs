//! Tokens and money of a session: what is spent, what is reserved, what remains.
//!
//! Guarantees. Exchanges that run at once never pass a limit together: every token is taken from one account, under one
//! lock, before it is let through. While a limit is set, what is taken is remembered first: the store holds a mark up to
//! which everything counts as spent, and the mark is raised ahead of use in steps of [`LEASE`]. Where the mark is not far
//! enough (the first call of a session, a long prompt, a fast stream), a note in a file that outlives the process stands in
//! for it while the disk writes, so that neither a call nor a chunk waits for the disk. Without a limit nothing is written.
//!
//! After a crash, what the mark or a note covers counts as spent:
//!
//! - The process died (`kill -9`, a panic, no memory): nothing is forgotten. What is counted too much is at most, for each
//!   open exchange, its prompt's estimate and [`LEASE`] tokens or a quarter of its answer, whichever is more.
//! - The machine died (a power cut): notes may be lost, and with them what was taken since the disk answered last: some 50
//!   ms, in which the rows of all sessions are gathered for one commit, and at most [`account::ADVANCE`], since past that
//!   whoever takes more waits for the disk.
//!
//! Not guaranteed: tokens that a provider bills and does not show can pass the limit. They are charged when the exchange
//! is settled, and said in [`Settlement::hidden`] and [`Settlement::over`].

mod account;
mod limits;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::event::key::SessionId;
use crate::event::{Body, Usage};
use crate::observe::prices::Prices;
use crate::store::{Done, SavedSession, Store};
pub use account::LEASE;
use account::{Account, Held, Open, Order};
pub use limits::{Limits, Operator, Spend};

/// How long an exchange with a limit waits for its lease to be durable, where no note stands in for it, before it gives up.
const COMMIT_WAIT: Duration = Duration::from_secs(10);

/// How an exchange was charged in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// What it cost.
    pub spent: Spend,
    /// Generated tokens that were billed and never leased: reasoning that is not shown, or a wrong estimate.
    pub hidden: u64,
    /// How far the session now is beyond its limits.
    pub over: Spend,
}

impl Settlement {
    /// What the timeline is told of tokens that were not foreseen; nothing if there were none.
    pub fn overshoot(&self) -> Option<Body> {
        (self.hidden > 0 || self.over != Spend::default()).then(|| Body::Annotation {
            policy: "ledger".to_owned(),
            name: "overshoot".to_owned(),
            value: format!(
                "{} tokens were billed that were not seen; the session is {} tokens and {} microdollars beyond its limits",
                self.hidden, self.over.tokens, self.over.cost
            ),
        })
    }
}

/// Number of the account of a policy's question. Exchanges have numbers below; a question lasts minutes, in which the rest of
/// its ticket does not repeat.
pub fn account_of_question(ticket: u64) -> u32 {
    const QUESTIONS: u32 = 1 << 31;
    QUESTIONS | (ticket % u64::from(QUESTIONS)) as u32
}

/// Number of the account of a call that passes without being decoded, by its number in the process: between the exchanges
/// and the questions.
pub fn account_of_passage(number: u32) -> u32 {
    const PASSAGES: u32 = 1 << 30;
    PASSAGES | (number % PASSAGES)
}

/// Why nothing could be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The prompt alone would pass the limit, or leave no room for an answer.
    #[error(
        "the session's budget is used up: {} of {} spent, and this request needs {}",
        amount(spent, limits),
        limit(limits),
        amount(needed, limits)
    )]
    Exhausted {
        /// Spent and reserved so far.
        spent: Spend,
        /// What the request needs at least.
        needed: Spend,
        /// The limits.
        limits: Limits,
    },
    /// The limit was reached in the middle of an answer.
    #[error("the session's budget is used up")]
    Ended,
    /// The lease could not be made durable. Counts as "no": what is not durable is not used.
    #[error("the session has a budget, and its ledger cannot be written: {0}")]
    NotDurable(String),
}

fn amount(spend: &Spend, limits: &Limits) -> String {
    match (limits.tokens, limits.cost) {
        (Some(_), Some(_)) => format!("{} tokens ({} microdollars)", spend.tokens, spend.cost),
        (None, Some(_)) => format!("{} microdollars", spend.cost),
        _ => format!("{} tokens", spend.tokens),
    }
}

fn limit(limits: &Limits) -> String {
    let spend = Spend {
        tokens: limits.tokens.unwrap_or_default(),
        cost: limits.cost.unwrap_or_default(),
    };
    amount(&spend, limits)
}

/// The account of one session.
pub struct Ledger {
    session: SessionId,
    store: Arc<dyn Store>,
    account: Mutex<Account>,
    held: Held,
    /// Rung when a commit has ended, well or badly.
    committed: Notify,
}

impl Ledger {
    /// The ledger of a new session, under the operator's limits.
    pub fn new(session: SessionId, store: Arc<dyn Store>, operator: Operator) -> Arc<Self> {
        Self::with(session, store, Account::new(operator))
    }

    /// The ledger of a session that existed before this process. Returns what was leased when the last process died:
    /// it counts as spent from now on, since nobody can say how much of it was.
    pub fn resume(
        store: Arc<dyn Store>,
        operator: Operator,
        saved: &SavedSession,
    ) -> (Arc<Self>, Spend) {
        let counters = &saved.row.counters;
        // What was spent while no limit was set is known from the timeline only.
        let counted = Spend {
            tokens: counters.input_tokens + counters.output_tokens,
            cost: counters.cost,
        };
        let row = saved.ledger.unwrap_or_default();
        let settled = counted.max(Spend {
            tokens: row.settled_tokens,
            cost: row.settled_cost,
        });
        let reserved = settled.max(Spend {
            tokens: row.reserved_tokens,
            cost: row.reserved_cost,
        });
        let allocated = Limits {
            tokens: row.max_tokens,
            cost: row.max_cost,
        };
        let account = Account::resumed(operator, allocated, reserved);
        let ledger = Self::with(saved.row.id, store, account);
        let reconciled = reserved.minus(settled);
        if reconciled != Spend::default() {
            ledger.order(&mut ledger.lock(), true);
        }
        (ledger, reconciled)
    }

    fn with(session: SessionId, store: Arc<dyn Store>, account: Account) -> Arc<Self> {
        Arc::new(Self {
            session,
            store,
            held: account.held.clone(),
            account: Mutex::new(account),
            committed: Notify::new(),
        })
    }

    /// Tightens the limits. A limit that is looser than the present one changes nothing. Takes effect at once, for
    /// exchanges that are under way too.
    pub fn allocate(self: &Arc<Self>, limits: Limits) {
        let mut account = self.lock();
        let allocated = account.allocated.tightest(limits);
        if allocated != account.allocated {
            account.allocated = allocated;
            self.order(&mut account, true);
        }
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.lock().limits()
    }

    /// Spent and reserved so far, with exchanges under way.
    pub fn spent(&self) -> Spend {
        self.lock().used
    }

    /// What remains until the limits; `None` where there is none.
    pub fn remaining(&self) -> Limits {
        let account = self.lock();
        let limits = account.limits();
        Limits {
            tokens: limits
                .tokens
                .map(|limit| limit.saturating_sub(account.used.tokens)),
            cost: limits
                .cost
                .map(|limit| limit.saturating_sub(account.used.cost)),
        }
    }

    /// Opens an exchange and reserves its prompt. Returns how many tokens of output remain, to cap the upstream's own
    /// limit with; `None` without a limit. Called again for an open exchange (a retry, another model), the larger
    /// prompt counts, once.
    ///
    /// # Errors
    /// When the prompt does not fit, or nothing would remain for an answer; then nothing is reserved.
    pub async fn reserve_input(
        self: &Arc<Self>,
        exchange: u32,
        tokens: u64,
        prices: Prices,
    ) -> Result<Option<u64>, LedgerError> {
        self.take(|account| {
            let before = account.open.get(&exchange).copied().unwrap_or_default();
            let after = Open {
                input: before.input.max(tokens),
                prices,
                ..before
            };
            let needed = account.used.minus(before.spend()).plus(after.spend());
            let limits = account.limits();
            if account.room(needed, after, limits) == Some(0) || !needed.within(limits) {
                let needed = after.spend().minus(before.spend());
                return Err(LedgerError::Exhausted {
                    spent: account.used,
                    needed,
                    limits,
                });
            }
            if !account.is_covered(needed, limits) {
                return Ok(Take::Raise(account.ahead(needed, after, limits)));
            }
            account.used = needed;
            account.open.insert(exchange, after);
            Ok(Take::Taken(account.room(needed, after, limits)))
        })
        .await
    }

    /// Takes up to `wanted` tokens of output and returns how many may be let through. Fewer than `wanted` means that
    /// the limit is reached: let through exactly so many, and stop. Returns at once, unless the disk is silent or fails.
    ///
    /// # Errors
    /// When the lease could not be made durable. Nothing is taken; the stream must stop.
    pub async fn lease(self: &Arc<Self>, exchange: u32, wanted: u64) -> Result<u64, LedgerError> {
        self.take(|account| {
            let before = account.open.get(&exchange).copied().unwrap_or_default();
            let limits = account.limits();
            let room = account
                .room(account.used, before, limits)
                .unwrap_or(u64::MAX);
            let granted = wanted.min(room);
            if granted == 0 && wanted > 0 {
                return Ok(Take::Taken(0));
            }
            let after = Open {
                output: before.output.saturating_add(granted),
                ..before
            };
            let needed = account.used.minus(before.spend()).plus(after.spend());
            // Asked of an answer that was leased before it came, too: if the disk failed meanwhile, it does not leave.
            if !account.is_covered(needed, limits) {
                return Ok(Take::Raise(account.ahead(needed, after, limits)));
            }
            if granted == 0 {
                return Ok(Take::Taken(0));
            }
            account.used = needed;
            account.open.insert(exchange, after);
            // Half used: ask for more now, so that the stream runs behind the disk and not ahead of it.
            let mark = account.ahead(needed, after, limits);
            if mark != account.mark && account.runs_low(needed, after, limits) {
                return Ok(Take::TakenAndRaise(granted, mark));
            }
            Ok(Take::Taken(granted))
        })
        .await
    }

    /// Gives back what an exchange that goes on with another call has taken beyond `output` tokens: of a call that has said
    /// everything that counts, and not what it might have said. Returns what it has taken now.
    pub fn give_back(&self, exchange: u32, output: u64) -> u64 {
        let mut account = self.lock();
        let Some(before) = account.open.get(&exchange).copied() else {
            return 0;
        };
        let after = Open {
            output: before.output.min(output),
            ..before
        };
        account.used = account.used.minus(before.spend()).plus(after.spend());
        account.open.insert(exchange, after);
        after.output
    }

    /// Closes an exchange at what the provider billed. `cost` in microdollars; `None`: by the prices it was opened with.
    pub fn settle(self: &Arc<Self>, exchange: u32, usage: Usage, cost: Option<u64>) -> Settlement {
        self.close(exchange, |open| {
            let billed = Open {
                input: usage.input.into(),
                output: usage.output.into(),
                prices: open.prices,
            };
            let spent = billed.spend();
            (
                Spend {
                    cost: cost.unwrap_or(spent.cost),
                    ..spent
                },
                billed.output.saturating_sub(open.output),
            )
        })
    }

    /// Closes an exchange whose usage will never be known (the client left, the upstream broke off): what was reserved
    /// and leased counts as spent, and what was `generated`, in tokens, also where nobody was given it.
    pub fn abandon(self: &Arc<Self>, exchange: u32, generated: u64) -> Settlement {
        self.close(exchange, |open| {
            let output = open.output.max(generated);
            (Open { output, ..open }.spend(), 0)
        })
    }

    /// Closes an exchange that never reached a model: nothing was spent.
    pub fn release(self: &Arc<Self>, exchange: u32) {
        self.close(exchange, |_| (Spend::default(), 0));
    }

    fn close(
        self: &Arc<Self>,
        exchange: u32,
        charge: impl FnOnce(Open) -> (Spend, u64),
    ) -> Settlement {
        let mut account = self.lock();
        let Some(open) = account.open.remove(&exchange) else {
            return Settlement::default();
        };
        let (spent, hidden) = charge(open);
        let more = account.close(open, spent);
        let limits = account.limits();
        let over = account.used.minus(account.used.capped(limits));
        if !limits.is_unlimited() && more {
            self.order(&mut account, true);
        } else if !limits.is_unlimited() || account.held.is_some() {
            // The row before this one counts at least as much: nothing is lost if this one comes late.
            let order = account.order_calmly();
            let done = self.answers(order);
            self.store.settle_ledger(self.session, account.row(), done);
        }
        Settlement {
            spent,
            hidden,
            over,
        }
    }

    /// Tries until `attempt` has taken what it wants, raising the mark where it asks for that.
    async fn take<T>(
        self: &Arc<Self>,
        attempt: impl Fn(&mut Account) -> Result<Take<T>, LedgerError>,
    ) -> Result<T, LedgerError> {
        let mut failures = None;
        loop {
            // Created before the look at the account: a commit that ends in between is not missed.
            let committed = self.committed.notified();
            {
                let mut account = self.lock();
                match attempt(&mut account)? {
                    Take::Taken(value) => return Ok(value),
                    Take::TakenAndRaise(value, mark) => {
                        account.asked = account.asked.max(mark);
                        self.order(&mut account, false);
                        return Ok(value);
                    }
                    Take::Raise(mark) => {
                        account.asked = account.asked.max(mark);
                        if self.note(&mut account) {
                            continue;
                        }
                        if let Some(error) = &account.failing
                            && failures.is_some_and(|seen| seen != account.failures)
                        {
                            return Err(LedgerError::NotDurable(error.clone()));
                        }
                        failures = Some(account.failures);
                        if !account.is_asking() {
                            self.order(&mut account, true);
                        }
                    }
                }
            }
            if tokio::time::timeout(COMMIT_WAIT, committed).await.is_err() {
                return Err(LedgerError::NotDurable(format!(
                    "no answer from the disk in {COMMIT_WAIT:?}"
                )));
            }
        }
    }

    /// Notes what is asked for, and orders it from the disk, which need not be waited for then. `false`: it has to be.
    fn note(self: &Arc<Self>, account: &mut Account) -> bool {
        if !account.may_advance(Instant::now()) {
            return false;
        }
        let row = account.row();
        let noted = match account.held.take() {
            Some(note) => note.rewrite(&row).then_some(note),
            None => self.store.note_ledger(self.session, &row),
        };
        let Some(note) = noted else {
            return false;
        };
        account.hold(note);
        self.order(account, false);
        true
    }

    /// Asks the store to write the present row; what it covers may be used once that is durable. `at_once`: somebody waits
    /// for it, or nothing stands in for it meanwhile.
    fn order(self: &Arc<Self>, account: &mut Account, at_once: bool) {
        let order = account.order(Instant::now());
        let (row, done) = (account.row(), self.answers(order));
        match at_once {
            true => self.store.commit_ledger(self.session, row, done),
            false => self.store.commit_noted_ledger(self.session, row, done),
        }
    }

    /// Hears what the store says to an order, even when nobody else needs the ledger any more: a note that is not cleared
    /// would count as spent after the next start.
    fn answers(self: &Arc<Self>, order: Order) -> Done {
        // Not the ledger itself: it holds the store, and the writer must not be the last to do so.
        let (ledger, held) = (Arc::downgrade(self), self.held.clone());
        Box::new(move |result| {
            let Some(ledger) = ledger.upgrade() else {
                if result.is_ok() {
                    held.written(order.number);
                }
                return;
            };
            ledger.lock().answered(&order, result, Instant::now());
            ledger.committed.notify_waiters();
        })
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        // Every change of the account is a plain assignment; a panic cannot leave it half made in a way that loosens it.
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Take<T> {
    Taken(T),
    TakenAndRaise(T, Spend),
    Raise(Spend),
}

#[cfg(test)]
mod tests;
