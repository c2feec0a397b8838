//! `[people]`: how long items wait for a person's word, and how people hear of them.

use serde::Deserialize;

use airlock_core::people::Limits;

/// What waits for people.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PeopleConfig {
    /// Webhook that is told of each arrival; empty: all of them.
    pub webhook: String,
    /// Longest wait for a decision, whatever a policy asks for: 1 to 1,440 minutes.
    pub max_wait_minutes: u32,
    /// How long a decision counts for repetitions of the same item in the same session: 1 to 1,440 minutes.
    pub remember_minutes: u32,
    /// Items that may wait at once, from 1. What comes beyond goes the way it would go after its deadline.
    pub max_open: u32,
}

impl Default for PeopleConfig {
    fn default() -> Self {
        Self {
            webhook: String::new(),
            max_wait_minutes: 60,
            remember_minutes: 60,
            max_open: 1000,
        }
    }
}

impl PeopleConfig {
    /// What the desk is to keep to.
    pub fn limits(&self) -> Limits {
        const MINUTE: u64 = 60_000_000;
        Limits {
            remember: u64::from(self.remember_minutes) * MINUTE,
            max_wait: u64::from(self.max_wait_minutes) * MINUTE,
            max_open: self.max_open as usize,
        }
    }
}
