//! Whether a generation may be called: counters, latency, and the breaker that quarantines what keeps failing.

use serde::Serialize;

/// Where a generation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
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
