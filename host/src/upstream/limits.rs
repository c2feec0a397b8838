//! `[tenant.<name>]`, and the same keys in `[[key]]` and `[upstream.<name>]`: how many calls, how fast, and who waits.
//! Not `[limits]`, which bounds policies.

use std::time::Duration;

use serde::Deserialize;

/// Limits of whoever calls, or of what is called. 0 means: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallLimits {
    /// Calls in a minute. A whole minute's worth may come at once; after that they are let in evenly.
    pub requests_per_minute: u32,
    /// Tokens in a minute, input and output. The estimate counts when a call is let in, what was used when it ends.
    pub tokens_per_minute: u64,
    /// Calls under way, to the last byte of their answers.
    pub max_concurrent: u32,
    /// Calls that may wait until there is room; 0: none waits.
    pub max_queued: u32,
    /// Longest wait, in milliseconds, 1 to 60000.
    pub queue_ms: u64,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            requests_per_minute: 0,
            tokens_per_minute: 0,
            max_concurrent: 0,
            max_queued: 0,
            // Longer than a burst takes to drain, shorter than a person takes to doubt.
            queue_ms: 2_000,
        }
    }
}

impl CallLimits {
    /// Whether nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        self.requests_per_minute == 0 && self.tokens_per_minute == 0 && self.max_concurrent == 0
    }

    /// Longest wait; none where nothing may wait.
    pub fn longest_wait(&self) -> Duration {
        match self.max_queued {
            0 => Duration::ZERO,
            _ => Duration::from_millis(self.queue_ms),
        }
    }
}

/// Default of `queue_ms`, for the sections that have these keys among others.
pub(crate) fn queue_ms() -> u64 {
    CallLimits::default().queue_ms
}
