//! Whether an attempt is repeated, and when.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::error::{UpstreamError, retryable};
use airlock_core::event::target::Target;

/// Longest wait that an upstream can ask for before a repetition. The client waits meanwhile; past this it is better
/// served by the answer itself, whose `retry-after` its SDK honours.
pub const MAX_WAIT: Duration = Duration::from_secs(10);

/// One attempt that failed, and what happens next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Where it went.
    pub target: Target,
    /// Its number in this exchange, from 1, over all targets.
    pub number: u32,
    /// Why it failed.
    pub error: UpstreamError,
    /// What happens next.
    pub next: Next,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The same target, after a wait.
    Retry(Duration),
    /// The next target, at once.
    Failover,
    /// Nothing: the answer or the error goes to the client.
    GiveUp,
}

/// Whether an answer is worth a repetition. `x-should-retry` is the vendors' own verdict and goes before the status.
pub(super) fn should_retry(status: StatusCode, headers: &HeaderMap) -> bool {
    match headers
        .get("x-should-retry")
        .map(http::HeaderValue::as_bytes)
    {
        Some(b"true") => true,
        Some(b"false") => false,
        _ => retryable(status),
    }
}

/// The wait that an answer asks for: `retry-after-ms`, else `retry-after` in seconds. Its other form, a date, is not
/// read: model servers send seconds, and a wrong clock would make it worse than the backoff.
pub(super) fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds = number("retry-after-ms")
        .map(|ms| ms / 1000.0)
        .or_else(|| number("retry-after"))?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The wait before repetition `n` (from 1): doubled each time, then taken between half and whole, so that clients that
/// failed together do not return together.
pub(super) fn backoff(base: Duration, n: u32) -> Duration {
    let whole = base
        .saturating_mul(2u32.saturating_pow(n.saturating_sub(1)))
        .min(MAX_WAIT);
    // Without randomness of the system the wait is the whole one: correct, only less spread.
    let share = getrandom::u32().map_or(1.0, |n| 0.5 + f64::from(n) / f64::from(u32::MAX) / 2.0);
    whole.mul_f64(share)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_vendors_verdict_goes_before_the_status() {
        for (status, header, expected) in [
            (429, None, true),
            (408, None, true),
            (500, None, true),
            (529, None, true),
            (400, None, false),
            (409, None, false),
            (401, None, false),
            (429, Some("false"), false),
            (400, Some("true"), true),
            (503, Some("perhaps"), true),
        ] {
            let headers = header.map_or_else(HeaderMap::new, |v| headers(&[("x-should-retry", v)]));
            assert_eq!(
                should_retry(StatusCode::from_u16(status).unwrap(), &headers),
                expected,
                "{status} {header:?}"
            );
        }
    }

    #[test]
    fn the_asked_wait_is_read_in_both_units_and_nonsense_is_ignored() {
        let wait = |pairs: &[(&'static str, &'static str)]| asked_wait(&headers(pairs));
        assert_eq!(wait(&[("retry-after", "2")]), Some(Duration::from_secs(2)));
        assert_eq!(
            wait(&[("retry-after", "2"), ("retry-after-ms", "150")]),
            Some(Duration::from_millis(150))
        );
        assert_eq!(wait(&[("retry-after", "-1")]), None);
        assert_eq!(wait(&[("retry-after", "NaN")]), None);
        assert_eq!(
            wait(&[("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")]),
            None
        );
        assert_eq!(wait(&[]), None);
    }

    #[test]
    fn the_backoff_grows_and_stays_bounded() {
        let base = Duration::from_millis(100);
        for (n, whole) in [(1, 100), (2, 200), (3, 400), (40, 10_000)] {
            let wait = backoff(base, n).as_millis();
            assert!((whole / 2..=whole).contains(&wait), "{n}: {wait}");
        }
        assert_eq!(backoff(Duration::ZERO, 3), Duration::ZERO);
    }
}
