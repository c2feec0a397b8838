//! `[session]` and `[price."<model>"]`: limits that the host's ledger enforces, and what tokens cost.

use serde::Deserialize;

use airlock_core::session::ledger::Limits;

/// Limits of one session. 0 means: no limit.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionConfig {
    /// Tokens in all, input and output.
    pub max_tokens: u64,
    /// US dollars in all.
    pub max_cost_usd: f64,
    /// Seconds without an exchange after which a session's policies hibernate: their instances are given back, and the
    /// next call makes them again from what they saved.
    pub hibernate_seconds: u32,
    /// What names a session though it only correlates calls, since every client here means one conversation by it.
    pub correlate: Vec<Correlator>,
    /// Minutes without an exchange after which the session itself leaves memory: its next request reads it from the disk.
    pub idle_minutes: u32,
}

/// What correlates calls, and may name a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Correlator {
    /// The field `prompt_cache_key` of the body.
    #[serde(rename = "prompt_cache_key")]
    PromptCacheKey,
    /// The trace id of the header `traceparent`.
    Traceparent,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            max_tokens: 0,
            max_cost_usd: 0.0,
            hibernate_seconds: 60,
            correlate: Vec::new(),
            idle_minutes: 5,
        }
    }
}

impl SessionConfig {
    /// The limits of the ledger.
    pub fn limits(&self) -> Limits {
        Limits {
            tokens: (self.max_tokens > 0).then_some(self.max_tokens),
            cost: (self.max_cost_usd > 0.0).then_some((self.max_cost_usd * 1e6) as u64),
        }
    }
}
