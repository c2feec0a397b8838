//! Lets calls in: so many at once, so many a minute, and the rest wait in line for a bounded time.
//!
//! One gate stands before each upstream, and before each key, tenant and the gateway itself. Guarantees: never more calls
//! are inside than the limit; whoever waited longest is let in first; a place is given back when its [`Pass`] is dropped,
//! however the call ended; a gate outlives a reload, so that nobody gets a second minute's worth by it.
//! Not guaranteed: tokens a minute hold for estimates, and what was estimated wrongly is made up for by those who follow.

mod bucket;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::upstream::limits::CallLimits;
use bucket::Bucket;

/// When somebody may be done is not known: SDKs that are told to come back so soon spread themselves besides.
const SOON: Duration = Duration::from_secs(1);

/// Whose limit it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    /// Of all callers together.
    Gateway,
    /// Of a tenant.
    Tenant(String),
    /// Of a key; or of a principal, where there are no keys.
    Key(String),
    /// Of a model server.
    Upstream(String),
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway => f.write_str("this gateway"),
            Self::Tenant(name) => write!(f, "the tenant {name}"),
            Self::Key(name) => write!(f, "the key {name}"),
            Self::Upstream(name) => write!(f, "upstream {name}"),
        }
    }
}

/// There is no room. The text is for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{whose} has reached its limit of {limit}; try again in {} s", .after.as_millis().div_ceil(1000))]
pub struct Full {
    /// Whose limit it is.
    pub whose: Whose,
    /// Which, with its number.
    limit: String,
    /// When it may be worth another try.
    pub after: Duration,
}

/// All gates of the process, by whose limit they keep.
#[derive(Debug, Default)]
pub struct Gates(Mutex<HashMap<Whose, Arc<Gate>>>);

impl Gates {
    /// Lets a call in, or keeps it waiting if it may; `tokens` is the estimate of what it will use. Dropping the future
    /// leaves the line.
    ///
    /// # Errors
    /// There is no room, and there was none while it waited.
    pub async fn enter(
        &self,
        whose: &Whose,
        limits: CallLimits,
        tokens: u64,
        may_wait: bool,
    ) -> Result<Pass, Full> {
        if limits.is_unlimited() {
            return Ok(Pass::default());
        }
        let gate = {
            let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match gates.get(whose) {
                Some(gate) => Arc::clone(gate),
                None => {
                    let gate = Arc::new(Gate::new(whose.clone()));
                    gates.insert(whose.clone(), Arc::clone(&gate));
                    gate
                }
            }
        };
        gate.enter(limits, tokens, may_wait).await
    }
}

#[derive(Debug)]
struct Gate {
    whose: Whose,
    state: Mutex<State>,
    /// Rung when a place was given back, or somebody left the line.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    inside: u32,
    requests: Bucket,
    tokens: Bucket,
    /// Numbers of those who wait, in order.
    line: VecDeque<u64>,
    next: u64,
}

impl Gate {
    fn new(whose: Whose) -> Self {
        let now = Instant::now();
        Self {
            whose,
            state: Mutex::new(State {
                inside: 0,
                requests: Bucket::new(now),
                tokens: Bucket::new(now),
                line: VecDeque::new(),
                next: 0,
            }),
            changed: Notify::new(),
        }
    }

    async fn enter(
        self: Arc<Self>,
        limits: CallLimits,
        tokens: u64,
        may_wait: bool,
    ) -> Result<Pass, Full> {
        let patience = match may_wait {
            true => limits.longest_wait(),
            false => Duration::ZERO,
        };
        let until = Instant::now() + patience;
        let mut place: Option<Place> = None;
        loop {
            // Created before the look at the state: a change in between is not missed.
            let changed = self.changed.notified();
            let pause = {
                let mut state = self.lock();
                let now = Instant::now();
                let first = match &place {
                    Some(place) => state.line.front() == Some(&place.number),
                    None => state.line.is_empty(),
                };
                let full = state.room(&self.whose, limits, tokens, now);
                let Some(full) = full.or_else(|| {
                    (!first).then(|| Full::concurrent(&self.whose, limits.max_concurrent))
                }) else {
                    state.inside += 1;
                    state.requests.take(1.0);
                    state.tokens.take(tokens as f64);
                    break;
                };
                let left = until.saturating_duration_since(now);
                let crowded = place.is_none() && state.line.len() >= limits.max_queued as usize;
                // A rate says when there is room: nobody waits for what will come too late.
                let too_late = full.rate && full.full.after > left;
                if left.is_zero() || crowded || too_late {
                    return Err(full.full);
                }
                if place.is_none() {
                    place = Some(Place {
                        gate: Arc::clone(&self),
                        number: state.stand(),
                    });
                }
                if full.rate {
                    full.full.after.min(left)
                } else {
                    left
                }
            };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        drop(place);
        Ok(Pass {
            charge: Charge {
                gate: Some(Arc::clone(&self)),
                tokens,
            },
            gate: Some(self),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Numbers, each changed by itself: a panic while it was held leaves nothing half made.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no room, and whether it is the rate, which tells when there will be.
struct NoRoom {
    full: Full,
    rate: bool,
}

impl Full {
    fn concurrent(whose: &Whose, most: u32) -> NoRoom {
        let full = Self {
            whose: whose.clone(),
            limit: format!("{most} calls at once (max_concurrent)"),
            after: SOON,
        };
        NoRoom { full, rate: false }
    }

    fn rate(whose: &Whose, limit: String, after: Duration) -> NoRoom {
        let full = Self {
            whose: whose.clone(),
            limit,
            after,
        };
        NoRoom { full, rate: true }
    }
}

impl State {
    /// Why a call finds no room now, if it finds none.
    fn room(
        &mut self,
        whose: &Whose,
        limits: CallLimits,
        tokens: u64,
        now: Instant,
    ) -> Option<NoRoom> {
        let requests = self
            .requests
            .wait(1.0, f64::from(limits.requests_per_minute), now);
        let by_tokens = self
            .tokens
            .wait(tokens as f64, limits.tokens_per_minute as f64, now);
        if requests.max(by_tokens) > Duration::ZERO {
            let limit = if requests >= by_tokens {
                format!(
                    "{} calls a minute (requests_per_minute)",
                    limits.requests_per_minute
                )
            } else {
                format!(
                    "{} tokens a minute (tokens_per_minute)",
                    limits.tokens_per_minute
                )
            };
            return Some(Full::rate(whose, limit, requests.max(by_tokens)));
        }
        (limits.max_concurrent > 0 && self.inside >= limits.max_concurrent)
            .then(|| Full::concurrent(whose, limits.max_concurrent))
    }

    fn stand(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        self.line.push_back(number);
        number
    }
}

/// A place in the line.
struct Place {
    gate: Arc<Gate>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate
            .lock()
            .line
            .retain(|number| *number != self.number);
        self.gate.changed.notify_waiters();
    }
}

/// A call that is inside. Dropping it gives the place back.
#[derive(Debug, Default)]
pub struct Pass {
    gate: Option<Arc<Gate>>,
    charge: Charge,
}

impl Pass {
    /// What the call is charged, to be corrected when it ends. Outlives the pass.
    pub fn charge(&mut self) -> Charge {
        std::mem::take(&mut self.charge)
    }

    /// Gives everything back: the call did not take place.
    pub fn cancel(mut self) {
        if let Some(gate) = &self.gate {
            gate.lock().requests.take(-1.0);
        }
        self.charge.settle(0);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            let mut state = gate.lock();
            state.inside = state.inside.saturating_sub(1);
            drop(state);
            gate.changed.notify_waiters();
        }
    }
}

/// What a call counts against tokens a minute: its estimate, until it is settled.
#[derive(Debug, Default)]
pub struct Charge {
    gate: Option<Arc<Gate>>,
    tokens: u64,
}

impl Charge {
    /// The call used `tokens` in the end. Without this, the estimate stays. Again, it is corrected again.
    pub fn settle(&mut self, tokens: u64) {
        if let Some(gate) = &self.gate {
            gate.lock().tokens.take(tokens as f64 - self.tokens as f64);
            gate.changed.notify_waiters();
        }
        self.tokens = tokens;
    }
}

#[cfg(test)]
mod tests;
