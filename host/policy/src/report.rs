//! What the registry tells others: how each policy stands, and what changes.

use serde::Serialize;

use super::health::{Counts, State};
use super::spec::{Mode, OnFailure};

/// How one policy stands.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct PolicyStatus {
    /// Name under which it is configured.
    pub name: String,
    /// `builtin`, or the path of the file.
    pub origin: String,
    /// The serving generation; absent if none ever loaded.
    pub generation: Option<u32>,
    /// SHA-256 of the component.
    pub digest: Option<String>,
    /// Version that the policy states.
    pub version: Option<String>,
    /// When the generation was loaded, microseconds since the Unix epoch.
    pub since: Option<u64>,
    /// Where the generation stands; absent if none serves.
    pub state: Option<State>,
    /// `enforce` or `observe`.
    pub mode: Mode,
    /// What a failure means.
    pub on_failure: Option<OnFailure>,
    /// Whether Airlock must not serve without it.
    pub required: bool,
    /// Actions and targets that it asks for and was not granted.
    pub ungranted: Vec<String>,
    /// Why the newest file or settings do not serve, or the newest fault.
    pub last_error: Option<String>,
    /// Calls, faults and latency of the serving generation.
    #[serde(flatten)]
    pub counts: Counts,
}

/// What the registry tells the log, the admin API and the demo.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum PolicyEvent {
    /// A generation serves from now on.
    Loaded {
        /// Policy.
        name: String,
        /// Its new generation.
        generation: u32,
        /// SHA-256 of the component.
        digest: String,
        /// The generation that it replaces.
        replaces: Option<u32>,
        /// What it asks for and was not granted.
        ungranted: Vec<String>,
    },
    /// A file or its settings did not load; what served goes on.
    Refused {
        /// Policy, or the file's name if it can be none.
        name: String,
        /// Step that refused it: `read`, `validate`, `link`, `settings`, ...
        stage: String,
        /// Why, and what to do.
        reason: String,
        /// Generation that goes on serving.
        serving: Option<u32>,
    },
    /// A generation misbehaved in its probation, or the operator asked for it: its predecessor serves again.
    RolledBack {
        /// Policy.
        name: String,
        /// From which generation.
        from: u32,
        /// To which.
        to: u32,
        /// Why.
        reason: String,
    },
    /// A generation failed too often.
    Quarantined {
        /// Policy.
        name: String,
        /// Its generation.
        generation: u32,
        /// The last fault.
        reason: String,
        /// When the next call is let through, milliseconds from now.
        backoff_ms: u64,
        /// What its failure means meanwhile.
        on_failure: OnFailure,
    },
    /// A quarantined generation answered its trial call and serves again.
    Recovered {
        /// Policy.
        name: String,
        /// Its generation.
        generation: u32,
    },
    /// Its file or entry is gone, and so is the policy.
    Retired {
        /// Policy.
        name: String,
        /// Its last generation.
        generation: u32,
    },
    /// Its file is gone, but it is required: it goes on serving.
    Kept {
        /// Policy.
        name: String,
        /// Its generation.
        generation: u32,
    },
}

impl PolicyEvent {
    /// Writes the event to the log. What weakens or stops a policy is a warning.
    pub(super) fn log(&self) {
        match self {
            Self::Loaded {
                name,
                generation,
                digest,
                ungranted,
                ..
            } => {
                tracing::info!(name, generation, digest, "policy loaded");
                if !ungranted.is_empty() {
                    tracing::warn!(
                        name,
                        generation,
                        "the policy runs without what it asks for and was not granted: {}; to grant it: \
                         airlock policy grant {name} --all-requested",
                        ungranted.join(", ")
                    );
                }
            }
            Self::Refused {
                name,
                stage,
                reason,
                serving: Some(serving),
            } => {
                tracing::warn!(
                    name,
                    stage,
                    serving,
                    "policy refused, generation {serving} goes on serving: {reason}"
                );
            }
            Self::Refused {
                name,
                stage,
                reason,
                serving: None,
            } => {
                tracing::warn!(
                    name,
                    stage,
                    "policy refused, none of its generations serves: {reason}"
                );
            }
            Self::RolledBack {
                name,
                from,
                to,
                reason,
            } => {
                tracing::warn!(name, from, to, "policy rolled back: {reason}");
            }
            Self::Quarantined {
                name,
                generation,
                reason,
                backoff_ms,
                on_failure,
            } => {
                let meanwhile = match on_failure {
                    OnFailure::Closed => "what it judges is blocked meanwhile",
                    OnFailure::Open => "traffic passes without it meanwhile",
                };
                tracing::warn!(
                    name,
                    generation,
                    backoff_ms,
                    "policy in quarantine, {meanwhile}: {reason}"
                );
            }
            Self::Recovered { name, generation } => {
                tracing::info!(name, generation, "policy left quarantine")
            }
            Self::Retired { name, generation } => {
                tracing::info!(name, generation, "policy retired")
            }
            Self::Kept { name, generation } => {
                tracing::warn!(
                    name,
                    generation,
                    "the policy's file is gone, but it is required and goes on serving; to remove it, set `enabled = false`"
                );
            }
        }
    }
}
