//! Tokens and money of a session: what is spent, what is reserved, what remains.
//!
//! Guarantees. Exchanges that run at once never pass a limit together: every token is taken from one account, under one
//! lock, before it is let through. While a limit is set, what is taken is durable first: the store holds a mark up to
//! which everything counts as spent, the mark is raised ahead of use in steps of [`LEASE`], and after a crash all of it
//! counts as spent. Without a limit nothing is written and nothing waits.
//!
//! Not guaranteed: tokens that a provider bills and does not show can pass the limit. They are charged when the exchange
//! is settled, and said in [`Settlement::hidden`] and [`Settlement::over`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::event::Usage;
use super::key::SessionId;
use crate::store::{LedgerRow, SavedSession, Store};

/// Tokens of output that are made durable at a time, for each open exchange, while its answer is short. At 100 tokens a
/// second the next lease is asked for more than a second before it is needed; after a crash at most so many tokens an
/// exchange, or a quarter of its answer if that is more, are charged without having been used.
pub const LEASE: u64 = 256;

/// How long a stream with a limit waits for its lease to be durable before it gives up.
const COMMIT_WAIT: Duration = Duration::from_secs(10);

/// Limits of a session. `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Tokens in all, input and output.
    pub tokens: Option<u64>,
    /// Microdollars in all.
    pub cost: Option<u64>,
}

impl Limits {
    /// The tighter of the two, each by itself.
    pub fn tightest(self, other: Self) -> Self {
        let min = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self {
            tokens: min(self.tokens, other.tokens),
            cost: min(self.cost, other.cost),
        }
    }

    /// Whether there is none.
    pub fn is_unlimited(self) -> bool {
        self.tokens.is_none() && self.cost.is_none()
    }
}

/// What tokens of a model cost: microdollars for a million of them. All zero when the price is not known; a limit of cost
/// cannot hold such a model back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// Prompt tokens.
    pub input: u64,
    /// Generated tokens.
    pub output: u64,
}

/// An amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    /// Tokens, input and output.
    pub tokens: u64,
    /// Microdollars.
    pub cost: u64,
}

impl Spend {
    fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            cost: self.cost.saturating_add(other.cost),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(other.tokens),
            cost: self.cost.saturating_sub(other.cost),
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.max(other.tokens),
            cost: self.cost.max(other.cost),
        }
    }

    fn capped(self, limits: Limits) -> Self {
        Self {
            tokens: self.tokens.min(limits.tokens.unwrap_or(u64::MAX)),
            cost: self.cost.min(limits.cost.unwrap_or(u64::MAX)),
        }
    }

    fn within(self, limits: Limits) -> bool {
        self.capped(limits) == self
    }
}

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

/// Number of the account of a policy's question. Exchanges have numbers below; a question lasts minutes, in which the rest of
/// its ticket does not repeat.
pub fn account_of_question(ticket: u64) -> u32 {
    const QUESTIONS: u32 = 1 << 31;
    QUESTIONS | (ticket % u64::from(QUESTIONS)) as u32
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
    /// Rung when a commit has ended, well or badly.
    committed: Notify,
}

impl Ledger {
    /// The ledger of a new session. `configured` are the operator's limits.
    pub fn new(session: SessionId, store: Arc<dyn Store>, configured: Limits) -> Arc<Self> {
        Self::with(
            session,
            store,
            Account {
                configured,
                ..Account::default()
            },
        )
    }

    /// The ledger of a session that existed before this process. Returns what was leased when the last process died:
    /// it counts as spent from now on, since nobody can say how much of it was.
    pub fn resume(
        store: Arc<dyn Store>,
        configured: Limits,
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
        let account = Account {
            configured,
            allocated: Limits {
                tokens: row.max_tokens,
                cost: row.max_cost,
            },
            settled: reserved,
            used: reserved,
            mark: reserved,
            asked: reserved,
            ..Account::default()
        };
        let ledger = Self::with(saved.row.id, store, account);
        let reconciled = reserved.minus(settled);
        if reconciled != Spend::default() {
            ledger.commit(&mut ledger.lock());
        }
        (ledger, reconciled)
    }

    fn with(session: SessionId, store: Arc<dyn Store>, account: Account) -> Arc<Self> {
        Arc::new(Self {
            session,
            store,
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
            self.commit(&mut account);
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
            if !account.is_durable(needed) {
                return Ok(Take::Raise(account.ahead(needed, after)));
            }
            account.used = needed;
            account.open.insert(exchange, after);
            Ok(Take::Taken(account.room(needed, after, limits)))
        })
        .await
    }

    /// Takes up to `wanted` tokens of output and returns how many may be let through. Fewer than `wanted` means that
    /// the limit is reached: let through exactly so many, and stop. Usually returns at once; waits only when the
    /// disk is slower than the stream.
    ///
    /// # Errors
    /// When the lease could not be made durable. Nothing is taken; the stream must stop.
    pub async fn lease(self: &Arc<Self>, exchange: u32, wanted: u64) -> Result<u64, LedgerError> {
        self.take(|account| {
            let before = account.open.get(&exchange).copied().unwrap_or_default();
            let room = account
                .room(account.used, before, account.limits())
                .unwrap_or(u64::MAX);
            let granted = wanted.min(room);
            if granted == 0 {
                return Ok(Take::Taken(0));
            }
            let after = Open {
                output: before.output.saturating_add(granted),
                ..before
            };
            let needed = account.used.minus(before.spend()).plus(after.spend());
            if !account.is_durable(needed) {
                return Ok(Take::Raise(account.ahead(needed, after)));
            }
            account.used = needed;
            account.open.insert(exchange, after);
            // Half used: ask for more now, so that the stream never waits for the disk.
            let mark = account.ahead(needed, after);
            if !account.asking && mark != account.mark && account.runs_low(needed, after) {
                return Ok(Take::TakenAndRaise(granted, mark));
            }
            Ok(Take::Taken(granted))
        })
        .await
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
    /// and leased counts as spent.
    pub fn abandon(self: &Arc<Self>, exchange: u32) -> Settlement {
        self.close(exchange, |open| (open.spend(), 0))
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
        account.used = account.used.minus(open.spend()).plus(spent);
        account.settled = account.settled.plus(spent);
        let limits = account.limits();
        let over = account.used.minus(account.used.capped(limits));
        if !limits.is_unlimited() {
            if account.open.is_empty() {
                account.lower();
            }
            self.commit(&mut account);
        }
        Settlement {
            spent,
            hidden,
            over,
        }
    }

    /// Tries until `attempt` has taken what it wants, raising the durable mark where it asks for that.
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
                        self.raise(&mut account, mark);
                        return Ok(value);
                    }
                    Take::Raise(mark) => {
                        if failures.is_some_and(|seen| seen != account.failures) {
                            return Err(LedgerError::NotDurable(account.error.clone()));
                        }
                        failures = Some(account.failures);
                        if !account.asking {
                            self.raise(&mut account, mark);
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

    /// Asks the store to hold `mark` as spent; what it covers may be used once that is durable.
    fn raise(self: &Arc<Self>, account: &mut Account, mark: Spend) {
        account.asked = account.asked.max(mark);
        account.asking = true;
        let (mark, round, ledger) = (account.asked, account.round, Arc::downgrade(self));
        self.store.commit_ledger(
            self.session,
            account.row(),
            Box::new(move |result| {
                let Some(ledger) = ledger.upgrade() else {
                    return;
                };
                let mut account = ledger.lock();
                if account.round == round {
                    account.asking = false;
                    match result {
                        Ok(()) => account.mark = account.mark.max(mark),
                        Err(error) => {
                            account.failures += 1;
                            account.error = error.to_string();
                        }
                    }
                }
                drop(account);
                ledger.committed.notify_waiters();
            }),
        );
    }

    /// Tells the store the present row. Nobody waits for it: it takes nothing, and the next lease is ordered after it.
    fn commit(&self, account: &mut Account) {
        account.asked = account.asked.max(account.used);
        self.store
            .commit_ledger(self.session, account.row(), Box::new(|_| ()));
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

/// One exchange under way.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    input: u64,
    output: u64,
    prices: Prices,
}

impl Open {
    fn spend(&self) -> Spend {
        Spend {
            tokens: self.input.saturating_add(self.output),
            cost: micros(self.picos()),
        }
    }

    /// Tokens that it leases next. They grow with the answer, so that a long one asks the disk ever more rarely: 10,000
    /// tokens some 30 times, not 80, and never with less time left for it.
    fn lease(&self) -> u64 {
        LEASE.max(self.output / 4)
    }

    /// Cost in millionths of microdollars, so that cheap tokens are not rounded one by one.
    fn picos(&self) -> u128 {
        u128::from(self.input) * u128::from(self.prices.input)
            + u128::from(self.output) * u128::from(self.prices.output)
    }
}

fn micros(picos: u128) -> u64 {
    u64::try_from(picos.div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[derive(Debug, Default)]
struct Account {
    /// The operator's limits; read anew at every start.
    configured: Limits,
    /// What policies ordered; saved.
    allocated: Limits,
    settled: Spend,
    open: HashMap<u32, Open>,
    /// `settled` and all of `open`.
    used: Spend,
    /// Durable: up to here everything counts as spent after a crash.
    mark: Spend,
    /// The highest mark that the store was asked to hold. What is written never goes below it while a commit is under way.
    asked: Spend,
    asking: bool,
    /// Counts how often the mark was lowered; a commit from before does not raise it again.
    round: u64,
    failures: u64,
    error: String,
}

impl Account {
    fn limits(&self) -> Limits {
        self.configured.tightest(self.allocated)
    }

    /// Tokens of output that `open` can still take when `used` is spent in all; `None` without a limit.
    fn room(&self, used: Spend, open: Open, limits: Limits) -> Option<u64> {
        let by_tokens = limits.tokens.map(|limit| limit.saturating_sub(used.tokens));
        let by_cost = limits.cost.filter(|_| open.prices.output > 0).map(|limit| {
            let own = u128::from(limit.saturating_sub(used.cost)) + u128::from(open.spend().cost);
            let picos = (own * 1_000_000).saturating_sub(open.picos());
            let tokens = if used.cost > limit {
                0
            } else {
                picos / u128::from(open.prices.output)
            };
            u64::try_from(tokens).unwrap_or(u64::MAX)
        });
        Limits {
            tokens: by_tokens,
            cost: None,
        }
        .tightest(Limits {
            tokens: by_cost,
            cost: None,
        })
        .tokens
    }

    /// Whether a crash would not forget that `needed` was spent. Only what is limited has to be remembered.
    fn is_durable(&self, needed: Spend) -> bool {
        let limits = self.limits();
        (limits.tokens.is_none() || needed.tokens <= self.mark.tokens)
            && (limits.cost.is_none() || needed.cost <= self.mark.cost)
    }

    /// The mark to ask for when `needed` is about to be used: a lease more for every open exchange, at the price of this one.
    fn ahead(&self, needed: Spend, open: Open) -> Spend {
        let mark = needed
            .plus(self.leases(open.lease(), open))
            .capped(self.limits());
        mark.max(needed).max(self.mark)
    }

    /// Whether half of what is leased is used when `needed` is.
    fn runs_low(&self, needed: Spend, open: Open) -> bool {
        !self.is_durable(needed.plus(self.leases(open.lease() / 2, open)))
    }

    fn leases(&self, tokens: u64, open: Open) -> Spend {
        let tokens = tokens.saturating_mul(self.open.len().max(1) as u64);
        Spend {
            tokens,
            cost: micros(u128::from(tokens) * u128::from(open.prices.output)),
        }
    }

    /// Nothing is under way: what is leased and not used is given back.
    fn lower(&mut self) {
        self.mark = self.used;
        self.asked = self.used;
        self.asking = false;
        self.round += 1;
    }

    fn row(&self) -> LedgerRow {
        LedgerRow {
            max_tokens: self.allocated.tokens,
            max_cost: self.allocated.cost,
            settled_tokens: self.settled.tokens,
            settled_cost: self.settled.cost,
            reserved_tokens: self.asked.tokens,
            reserved_cost: self.asked.cost,
        }
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
