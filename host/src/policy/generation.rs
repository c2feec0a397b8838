//! One loaded version of a policy, and the set of those that serve.

use std::sync::Arc;

use super::health::State;
use super::limits::Limits;
use super::spec::{Grants, Mode, Move, OnFailure};
use crate::contract::types;

/// The policies that serve, in the configured order (order, then name). Immutable: a change publishes a new set.
#[derive(Debug, Default)]
pub struct PolicySet {
    /// Counts the sets published since start.
    pub version: u64,
    /// The policies.
    pub entries: Vec<Arc<Generation>>,
}

impl PolicySet {
    /// The serving generation of a policy.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Generation>> {
        self.entries.iter().find(|g| &*g.name == name)
    }
}

/// One loaded version of a policy: a component, its settings and its grants.
#[derive(Debug)]
pub struct Generation {
    /// Name under which it is configured.
    pub name: Arc<str>,
    /// Counts this policy's generations since start, from 1.
    pub number: u32,
    /// SHA-256 of the component, hexadecimal.
    pub digest: String,
    /// When it was loaded, microseconds since the Unix epoch.
    pub since: u64,
    /// What it says of itself.
    pub description: types::Description,
    /// What it wants under its settings.
    pub subscription: types::Subscription,
    /// Whether its word is law.
    pub mode: Mode,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// What sessions on an earlier generation do.
    pub on_reload: Move,
    /// Place among the policies.
    pub order: i32,
    /// Whether Airlock must not serve without it.
    pub required: bool,
    /// What it may see and order.
    pub grants: Grants,
    /// Actions and targets that it asks for and was not granted.
    pub ungranted: Vec<String>,
    /// Its settings, JSON.
    pub settings: Arc<str>,
    /// SHA-256 of the settings, first 16 hexadecimal digits.
    pub settings_digest: String,
    /// Whether it exports `reasoning`.
    pub reasons: bool,
    /// Whether it exports `acting`.
    pub acts: bool,
    /// What one of its instances may use up.
    pub limits: Limits,
}

impl Generation {
    /// Whether it may order this action. What it may not order is refused, and recorded, by the caller.
    #[must_use]
    pub fn may(&self, action: &str) -> bool {
        self.grants.actions.iter().any(|a| a == action)
    }

    /// Whether it may be told events of this kind.
    #[must_use]
    pub fn sees(&self, kind: types::EventKind) -> bool {
        self.grants.sees(kind)
    }

    /// Whether its word is law: its release marks hold text, its actions are applied.
    #[must_use]
    pub fn enforces(&self) -> bool {
        self.mode == Mode::Enforce
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        State::Active
    }
}
