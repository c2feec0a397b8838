//! Whether a generation may be called: counters, latency, and the breaker that quarantines what keeps failing.
//!
//! A breaker is shut by consecutive faults, opens after a backoff for exactly one trial call, and opens fully if that call
//! succeeds. Without the backoff a request that kills a policy would kill it as fast as clients can repeat it.
//! A generation that replaced another one begins in probation: its first fault brings the other one back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::fault::{Fault, FaultKind};

/// Consecutive faults that quarantine a generation, if they fall within the window.
const STRIKES: u32 = 3;
const WINDOW: Duration = Duration::from_secs(60);
/// Quarantine after the first time; doubled each time.
const BACKOFF: Duration = Duration::from_secs(1);
const BACKOFF_MOST: Duration = Duration::from_secs(300);
/// Good calls that end a probation. Calls, not time: a generation that nobody called has proven nothing.
const PROBATION_CALLS: u32 = 50;
/// Longest latency told apart, ns. Calls are cut long before.
const SLOWEST_NS: u64 = 60_000_000_000;

/// Where a generation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = PolicyState)]
pub enum State {
    /// New: the first fault brings its predecessor back.
    Probation,
    /// Serving.
    Active,
    /// Failed too often. Calls are answered with a fault until the backoff ends, then one is let through.
    Quarantined,
    /// Replaced, removed or rolled back. Sessions that still hold it may end on it.
    Retired,
}

/// What a fault or a good call changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing that others need to know.
    None,
    /// It failed in its probation: its predecessor must serve again.
    Misbehaved,
    /// It is in quarantine, for so long.
    Quarantined(Duration),
    /// It left quarantine.
    Recovered,
}

/// Counters of one generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = PolicyCounts)]
pub struct Counts {
    /// Calls that reached the guest.
    pub calls: u64,
    /// Those that failed.
    pub faults: u64,
    /// Those of them that were traps.
    pub traps: u64,
    /// Median time of a good call, microseconds.
    pub p50_us: f64,
    /// 99th percentile, microseconds.
    pub p99_us: f64,
}

pub(super) struct Health {
    /// Whether calls need the breaker's leave. Kept apart so that a healthy policy's calls take no lock to be admitted.
    shut: AtomicBool,
    faults: AtomicU64,
    traps: AtomicU64,
    inner: Mutex<Inner>,
}

struct Inner {
    latency: Option<Histogram<u64>>,
    phase: Phase,
    strikes: u32,
    first_strike: Option<Instant>,
    backoff: Duration,
    last_fault: Option<String>,
    withdrawn: bool,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Probation { left: u32 },
    Active,
    Quarantined { until: Instant, trial: bool },
}

impl Health {
    /// `probation`: whether there is a predecessor to go back to.
    pub(super) fn new(probation: bool) -> Self {
        Self {
            shut: AtomicBool::new(false),
            faults: AtomicU64::new(0),
            traps: AtomicU64::new(0),
            inner: Mutex::new(Inner {
                latency: Histogram::new_with_bounds(1, SLOWEST_NS, 2).ok(),
                phase: if probation {
                    Phase::Probation {
                        left: PROBATION_CALLS,
                    }
                } else {
                    Phase::Active
                },
                strikes: 0,
                first_strike: None,
                backoff: BACKOFF,
                last_fault: None,
                withdrawn: false,
            }),
        }
    }

    /// Whether a call may be made now; if not, why.
    pub(super) fn admit(&self, now: Instant) -> Result<(), Fault> {
        if !self.shut.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut inner = self.lock();
        let Phase::Quarantined { until, trial } = &mut inner.phase else {
            return Ok(());
        };
        if now >= *until && !*trial {
            *trial = true;
            return Ok(());
        }
        let wait = until.saturating_duration_since(now);
        let last = inner.last_fault.as_deref().unwrap_or("unknown");
        Err(Fault::new(
            FaultKind::Quarantined,
            format!("in quarantine for another {wait:.1?} after: {last}"),
        ))
    }

    /// A call succeeded.
    pub(super) fn good(&self, took: Duration) -> Change {
        let mut inner = self.lock();
        if let Some(latency) = &mut inner.latency {
            latency.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(SLOWEST_NS).max(1));
        }
        inner.strikes = 0;
        match inner.phase {
            Phase::Active => Change::None,
            Phase::Probation { left: 0 | 1 } => {
                inner.phase = Phase::Active;
                Change::None
            }
            Phase::Probation { left } => {
                inner.phase = Phase::Probation { left: left - 1 };
                Change::None
            }
            // Only the trial call counts: one that began before the quarantine proves nothing.
            Phase::Quarantined { trial: false, .. } => Change::None,
            Phase::Quarantined { trial: true, .. } => {
                inner.phase = Phase::Active;
                inner.backoff = BACKOFF;
                self.shut.store(false, Ordering::Release);
                Change::Recovered
            }
        }
    }

    /// A call failed.
    pub(super) fn bad(&self, now: Instant, fault: &Fault) -> Change {
        self.faults.fetch_add(1, Ordering::Relaxed);
        if fault.kind == FaultKind::Trap {
            self.traps.fetch_add(1, Ordering::Relaxed);
        }
        let mut inner = self.lock();
        inner.last_fault = Some(fault.to_string());
        if !fault.kind.is_the_guests() {
            // The trial did not take place.
            if let Phase::Quarantined { trial, .. } = &mut inner.phase {
                *trial = false;
            }
            return Change::None;
        }
        match inner.phase {
            Phase::Probation { .. } => {
                inner.phase = Phase::Active;
                Change::Misbehaved
            }
            Phase::Quarantined { trial: false, .. } => Change::None,
            Phase::Quarantined { trial: true, .. } => self.quarantine(&mut inner, now),
            Phase::Active => {
                if inner
                    .first_strike
                    .is_none_or(|first| now.duration_since(first) > WINDOW)
                    || inner.strikes == 0
                {
                    inner.first_strike = Some(now);
                    inner.strikes = 0;
                }
                inner.strikes += 1;
                if inner.strikes < STRIKES {
                    Change::None
                } else {
                    self.quarantine(&mut inner, now)
                }
            }
        }
    }

    fn quarantine(&self, inner: &mut Inner, now: Instant) -> Change {
        let backoff = inner.backoff;
        inner.phase = Phase::Quarantined {
            until: now + backoff,
            trial: false,
        };
        inner.backoff = (backoff * 2).min(BACKOFF_MOST);
        inner.strikes = 0;
        self.shut.store(true, Ordering::Release);
        Change::Quarantined(backoff)
    }

    /// Sessions must leave this generation.
    pub(super) fn withdraw(&self) {
        self.lock().withdrawn = true;
    }

    /// It serves again after it was replaced or withdrawn.
    pub(super) fn reinstate(&self) {
        let mut inner = self.lock();
        inner.withdrawn = false;
        inner.strikes = 0;
        inner.phase = Phase::Active;
        self.shut.store(false, Ordering::Release);
    }

    pub(super) fn withdrawn(&self) -> bool {
        self.lock().withdrawn
    }

    pub(super) fn last_fault(&self) -> Option<String> {
        self.lock().last_fault.clone()
    }

    pub(super) fn state(&self) -> State {
        match self.lock().phase {
            Phase::Probation { .. } => State::Probation,
            Phase::Active => State::Active,
            Phase::Quarantined { .. } => State::Quarantined,
        }
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "nanoseconds of one call, far below 2^53"
    )]
    pub(super) fn counts(&self) -> Counts {
        let inner = self.lock();
        let us = |h: &Histogram<u64>, q| {
            if h.is_empty() {
                0.0
            } else {
                h.value_at_quantile(q) as f64 / 1e3
            }
        };
        let (good, p50_us, p99_us) = inner
            .latency
            .as_ref()
            .map_or((0, 0.0, 0.0), |h| (h.len(), us(h, 0.5), us(h, 0.99)));
        let faults = self.faults.load(Ordering::Relaxed);
        Counts {
            calls: good + faults,
            faults,
            traps: self.traps.load(Ordering::Relaxed),
            p50_us,
            p99_us,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn trap() -> Fault {
        Fault::new(FaultKind::Trap, "unreachable")
    }

    #[test]
    fn three_faults_in_a_row_quarantine_with_growing_backoff() {
        let (health, t) = (Health::new(false), Instant::now());
        assert_eq!(health.bad(t, &trap()), Change::None);
        assert_eq!(health.bad(t, &trap()), Change::None);
        assert_eq!(health.bad(t, &trap()), Change::Quarantined(BACKOFF));
        assert_eq!(health.admit(t).unwrap_err().kind, FaultKind::Quarantined);
        let later = t + BACKOFF;
        assert!(health.admit(later).is_ok());
        assert!(health.admit(later).is_err(), "exactly one trial call");
        assert_eq!(health.bad(later, &trap()), Change::Quarantined(BACKOFF * 2));
        let later = later + BACKOFF * 2;
        assert!(health.admit(later).is_ok());
        assert_eq!(health.good(Duration::from_micros(5)), Change::Recovered);
        assert!(health.admit(later).is_ok() && health.state() == State::Active);
        assert_eq!(health.counts().faults, 4);
    }

    #[test]
    fn faults_with_good_calls_between_them_do_not_quarantine() {
        let (health, t) = (Health::new(false), Instant::now());
        for _ in 0..10 {
            assert_eq!(health.bad(t, &trap()), Change::None);
            assert_eq!(health.good(Duration::ZERO), Change::None);
        }
    }

    #[test]
    fn faults_far_apart_do_not_quarantine() {
        let (health, t) = (Health::new(false), Instant::now());
        for n in 0..10 {
            assert_eq!(
                health.bad(t + (WINDOW + Duration::from_secs(1)) * n, &trap()),
                Change::None
            );
        }
    }

    #[test]
    fn the_host_s_failures_are_not_the_guest_s() {
        let (health, t) = (Health::new(true), Instant::now());
        for _ in 0..10 {
            assert_eq!(
                health.bad(t, &Fault::new(FaultKind::Pool, "full")),
                Change::None
            );
        }
        assert_eq!(health.state(), State::Probation);
        assert_eq!(health.bad(t, &trap()), Change::Misbehaved);
    }

    #[test]
    fn probation_ends_with_good_calls() {
        let (health, t) = (Health::new(true), Instant::now());
        for _ in 0..PROBATION_CALLS {
            assert_eq!(health.state(), State::Probation);
            health.good(Duration::ZERO);
        }
        assert_eq!(health.state(), State::Active);
        assert_eq!(health.bad(t, &trap()), Change::None);
    }
}
