//! The account of one session, without I/O: what is open, what is spent, and what of it would survive a crash.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::observe::prices::Prices;
use crate::session::ledger::limits::{Limits, Operator, Spend};
use crate::store::notes::Note;
use crate::store::{LedgerRow, StoreError};

/// Tokens of output that are made durable at a time, for each open exchange, while its answer is short. At 100 tokens a
/// second the next lease is asked for more than a second before it is needed; after a crash at most so many tokens an
/// exchange, or a quarter of its answer if that is more, are charged without having been used.
pub const LEASE: u64 = 256;

/// How long a note stands in for a disk that does not answer. A commit takes milliseconds; past this, whoever takes more
/// waits for it. A power cut, which notes do not survive, forgets what was taken since then and no more.
pub(super) const ADVANCE: Duration = Duration::from_millis(250);

/// One exchange under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Open {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) prices: Prices,
}

impl Open {
    pub(super) fn spend(&self) -> Spend {
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

/// A session's note, and the order whose row makes it superfluous. Whoever hears that the row is written clears it, the
/// ledger or, when that is gone, the store's answer itself: a note that stays would count as spent after the next start.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Arc<Mutex<Option<(Note, u64)>>>);

impl Held {
    fn hold(&self, note: Note, until: u64) {
        *self.lock() = Some((note, until));
    }

    /// A later order makes it superfluous.
    fn until(&self, order: u64) {
        if let Some((_, until)) = &mut *self.lock() {
            *until = order;
        }
    }

    /// Whether there is one.
    pub(super) fn is_some(&self) -> bool {
        self.lock().is_some()
    }

    /// Takes it out, to write another one in its place.
    pub(super) fn take(&self) -> Option<Note> {
        self.lock().take().map(|(note, _)| note)
    }

    /// The row of an order is written. Whether the note is cleared for that.
    pub(super) fn written(&self, order: u64) -> bool {
        let mut held = self.lock();
        let done = held.take_if(|(_, until)| *until <= order);
        done.inspect(|(note, _)| note.clear()).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Note, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A row that the store was asked to write.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) number: u64,
    round: u64,
    mark: Spend,
    /// The disk is to answer at once.
    urgent: bool,
}

#[derive(Debug, Default)]
pub(super) struct Account {
    /// The operator's limits, as they are now.
    operator: Operator,
    /// What policies and clients ordered; saved.
    pub(super) allocated: Limits,
    settled: Spend,
    pub(super) open: HashMap<u32, Open>,
    /// `settled` and all of `open`.
    pub(super) used: Spend,
    /// On the disk: up to here everything counts as spent after any crash.
    pub(super) mark: Spend,
    /// Noted: the same after the death of the process. Nothing while no note is held.
    noted: Spend,
    /// The note, if there is one.
    pub(super) held: Held,
    /// The highest mark that the store was asked to hold. What is written never goes below it while a commit is under way.
    pub(super) asked: Spend,
    /// Orders given so far.
    orders: u64,
    /// Urgent orders without an answer, and since when the disk owes the first of them, or has said nothing since an earlier one.
    pending: u64,
    owed_since: Option<Instant>,
    /// Counts how often the mark was lowered; an order from before does not raise it again.
    round: u64,
    /// Orders that failed so far, and why, if that is the disk's last word.
    pub(super) failures: u64,
    pub(super) failing: Option<String>,
}

impl Account {
    pub(super) fn new(operator: Operator) -> Self {
        Self {
            operator,
            ..Self::default()
        }
    }

    /// The account as the disk has it: `settled` is known to be spent, and all that was `reserved` counts as spent, since
    /// nobody can say how much of it was.
    pub(super) fn resumed(operator: Operator, allocated: Limits, reserved: Spend) -> Self {
        Self {
            operator,
            allocated,
            settled: reserved,
            used: reserved,
            mark: reserved,
            asked: reserved,
            ..Self::default()
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.operator.limits().tightest(self.allocated)
    }

    /// Tokens of output that `open` can still take when `used` is spent in all; `None` without a limit.
    pub(super) fn room(&self, used: Spend, open: Open, limits: Limits) -> Option<u64> {
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
        match (by_tokens, by_cost) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Whether the death of the process would not forget that `needed` was spent. Only what is limited has to be
    /// remembered. While the disk fails a note is no excuse: nobody knows when it will be one row of many again.
    pub(super) fn is_covered(&self, needed: Spend, limits: Limits) -> bool {
        let mark = match self.failing {
            None => self.mark.max(self.noted),
            Some(_) => self.mark,
        };
        within(needed, mark, limits)
    }

    /// The mark to ask for when `needed` is about to be used: a lease more for every open exchange, at the price of this one.
    pub(super) fn ahead(&self, needed: Spend, open: Open, limits: Limits) -> Spend {
        let mark = needed.plus(self.leases(open.lease(), open)).capped(limits);
        mark.max(needed).max(self.mark)
    }

    /// Whether half of what is leased on the disk is used when `needed` is, and nothing was ordered that will change it.
    pub(super) fn runs_low(&self, needed: Spend, open: Open, limits: Limits) -> bool {
        let soon = needed.plus(self.leases(open.lease() / 2, open));
        self.pending == 0 && !within(soon, self.mark, limits)
    }

    fn leases(&self, tokens: u64, open: Open) -> Spend {
        let tokens = tokens.saturating_mul(self.open.len().max(1) as u64);
        Spend {
            tokens,
            cost: micros(u128::from(tokens) * u128::from(open.prices.output)),
        }
    }

    /// Closes an exchange at what it cost. Whether more is spent now than any row says, as when hidden tokens are billed.
    pub(super) fn close(&mut self, open: Open, spent: Spend) -> bool {
        self.used = self.used.minus(open.spend()).plus(spent);
        self.settled = self.settled.plus(spent);
        let more = self.used.max(self.asked) != self.asked;
        if self.open.is_empty() {
            self.lower();
        }
        more
    }

    /// Nothing is under way: what is leased and not used is given back, with the next order.
    fn lower(&mut self) {
        self.mark = self.mark.min(self.used);
        self.noted = self.noted.min(self.used);
        self.asked = self.used;
        self.round += 1;
        self.held.until(self.orders + 1);
    }

    /// Whether the disk has something to answer.
    pub(super) fn is_asking(&self) -> bool {
        self.pending > 0
    }

    /// Whether a note may stand in for the disk.
    pub(super) fn may_advance(&self, now: Instant) -> bool {
        let silent = self.owed_since.map(|since| now.duration_since(since));
        self.failing.is_none() && silent.is_none_or(|silent| silent < ADVANCE)
    }

    /// What was asked for is noted. The next order makes the note superfluous.
    pub(super) fn hold(&mut self, note: Note) {
        self.noted = self.asked;
        self.held.hold(note, self.orders + 1);
    }

    /// The present row goes to the store, which is to answer at once.
    pub(super) fn order(&mut self, now: Instant) -> Order {
        self.pending += 1;
        self.owed_since.get_or_insert(now);
        Order {
            urgent: true,
            ..self.order_calmly()
        }
    }

    /// The present row goes to the store.
    pub(super) fn order_calmly(&mut self) -> Order {
        self.asked = self.asked.max(self.used);
        self.orders += 1;
        Order {
            number: self.orders,
            round: self.round,
            mark: self.asked,
            urgent: false,
        }
    }

    /// The store's answer to an order.
    pub(super) fn answered(&mut self, order: &Order, result: Result<(), StoreError>, now: Instant) {
        self.pending = self.pending.saturating_sub(order.urgent.into());
        match result {
            Ok(()) => {
                self.failing = None;
                self.owed_since = (self.pending > 0).then_some(now);
                if order.round == self.round {
                    self.mark = self.mark.max(order.mark);
                }
                if self.held.written(order.number) {
                    self.noted = Spend::default();
                }
            }
            Err(error) => {
                self.failures += 1;
                self.failing = Some(error.to_string());
                self.owed_since = self.owed_since.filter(|_| self.pending > 0);
            }
        }
    }

    pub(super) fn row(&self) -> LedgerRow {
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

fn within(needed: Spend, mark: Spend, limits: Limits) -> bool {
    (limits.tokens.is_none() || needed.tokens <= mark.tokens)
        && (limits.cost.is_none() || needed.cost <= mark.cost)
}
