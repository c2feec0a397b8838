//! How fast: a token bucket, told as what is used and drains, so that a changed limit takes effect by itself.

use std::time::Duration;

use tokio::time::Instant;

/// Less than this is nothing: rounding must not make anybody wait for a billionth of a token.
const EPSILON: f64 = 1e-6;

/// What was used of a rate and has not drained yet. Holds a minute's worth; may be in debt beyond that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    used: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(now: Instant) -> Self {
        Self { used: 0.0, at: now }
    }

    /// How long until `amount` fits under `per_minute`; zero if it does, or if there is no limit (0). What is more than a
    /// whole minute's worth fits into an empty bucket: it must be possible to do it at all, and the debt makes others wait.
    pub(super) fn wait(&mut self, amount: f64, per_minute: f64, now: Instant) -> Duration {
        self.drain(per_minute, now);
        if per_minute == 0.0 {
            return Duration::ZERO;
        }
        let missing = self.used + amount.min(per_minute) - per_minute;
        if missing <= EPSILON {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(missing * 60.0 / per_minute).unwrap_or(Duration::MAX)
    }

    /// Uses `amount`; a negative one gives back.
    pub(super) fn take(&mut self, amount: f64) {
        self.used = (self.used + amount).max(0.0);
    }

    /// Without a limit nothing is remembered: one that is set later begins empty.
    fn drain(&mut self, per_minute: f64, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now.max(self.at);
        self.used = match per_minute {
            0.0 => 0.0,
            _ => (self.used - passed * per_minute / 60.0).max(0.0),
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn take(bucket: &mut Bucket, amount: f64, per_minute: f64, now: Instant) -> Duration {
        let wait = bucket.wait(amount, per_minute, now);
        if wait.is_zero() {
            bucket.take(amount);
        }
        wait
    }

    #[test]
    fn a_minutes_worth_comes_at_once_and_the_rest_evenly() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        for _ in 0..6 {
            assert_eq!(take(&mut bucket, 1.0, 6.0, start), Duration::ZERO);
        }
        let wait = take(&mut bucket, 1.0, 6.0, start);
        assert!(
            wait > Duration::from_millis(9_999) && wait < Duration::from_millis(10_001),
            "{wait:?}"
        );
        assert_eq!(take(&mut bucket, 1.0, 6.0, start + wait), Duration::ZERO);
        assert!(!take(&mut bucket, 1.0, 6.0, start + wait).is_zero());
        // However long nothing came, no more than a minute's worth is saved up.
        let later = start + 100 * MINUTE;
        let at_once = (0..20)
            .filter(|_| take(&mut bucket, 1.0, 6.0, later).is_zero())
            .count();
        assert_eq!(at_once, 6);
    }

    #[test]
    fn debts_are_worked_off_and_refunds_come_back() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        assert_eq!(
            take(&mut bucket, 250.0, 100.0, start),
            Duration::ZERO,
            "more than ever fits"
        );
        let wait = bucket.wait(100.0, 100.0, start);
        assert!(
            wait > 2 * MINUTE && wait < 3 * MINUTE,
            "250 of 100 are used: {wait:?}"
        );
        bucket.take(-250.0);
        assert_eq!(bucket.wait(100.0, 100.0, start), Duration::ZERO);
        bucket.take(-1e9);
        bucket.take(100.0);
        assert!(
            !bucket.wait(1.0, 100.0, start).is_zero(),
            "nobody gains by a refund"
        );
    }

    #[test]
    fn a_clock_that_stands_still_or_jumps_gives_nothing_away() {
        let start = Instant::now() + MINUTE;
        let mut bucket = Bucket::new(start);
        bucket.take(10.0);
        assert!(!bucket.wait(1.0, 10.0, start - MINUTE).is_zero());
        assert!(!bucket.wait(1.0, 10.0, start).is_zero());
    }

    #[test]
    fn a_changed_limit_counts_at_once_and_no_limit_holds_nothing_back() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        bucket.take(50.0);
        assert!(!bucket.wait(1.0, 10.0, start).is_zero());
        assert!(bucket.wait(1.0, 100.0, start).is_zero());
        assert!(bucket.wait(1e12, 0.0, start).is_zero());
    }
}
