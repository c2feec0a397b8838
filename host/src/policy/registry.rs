//! The registry of policies: what serves, what failed to, and why.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::broadcast;

use super::generation::PolicySet;
use super::health::State;
use super::limits::Limits;
use super::spec::{Grants, Mode, OnFailure, PolicySpec};
use crate::contract::types;

/// What the registry is started with.
#[derive(Clone)]
pub struct PolicySettings {
    /// Directory whose `*.wasm` files are policies; created if missing. `None`: built-in policies and entries only.
    pub dir: Option<PathBuf>,
    /// Grants of files in the directory for which nothing else is stated.
    pub default_grants: Grants,
    /// The operator's entries, by name.
    pub specs: BTreeMap<String, PolicySpec>,
    /// Limits of all policies.
    pub limits: Limits,
    /// Where compiled code is cached between runs; private to the user. `None`: no cache.
    pub cache_dir: Option<PathBuf>,
    /// Refuses a generation whose subscription the caller cannot serve (a pattern that does not compile), with the reason.
    pub check: fn(&types::Subscription) -> Result<(), String>,
}

/// How one policy stands.
#[derive(Clone, Debug, Serialize)]
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
    /// Calls of the serving generation.
    pub calls: u64,
    /// Failed calls.
    pub faults: u64,
    /// Those of them that were traps.
    pub traps: u64,
    /// Median time of a call, microseconds.
    pub p50_us: f64,
    /// 99th percentile, microseconds.
    pub p99_us: f64,
}

/// What the registry tells the log, the admin API and the demo.
#[derive(Clone, Debug, PartialEq, Serialize)]
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

/// The registry of policies.
pub struct Policies {
    events: broadcast::Sender<PolicyEvent>,
}

impl Policies {
    /// Builds the engine, loads what there is, and watches for changes. A policy that does not load is reported, not an
    /// error here; see [`Policies::ready`].
    pub fn start(settings: PolicySettings) -> anyhow::Result<Arc<Self>> {
        let _ = settings;
        todo!()
    }

    /// The policies that serve now.
    #[must_use]
    pub fn current(&self) -> Arc<PolicySet> {
        todo!()
    }

    /// How every policy stands, by name.
    #[must_use]
    pub fn status(&self) -> Vec<PolicyStatus> {
        todo!()
    }

    /// What changes from now on. A slow reader misses the oldest.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<PolicyEvent> {
        self.events.subscribe()
    }

    /// Looks at the directory now; returns when what changed was loaded or refused. Blocks: never on an async thread.
    pub fn rescan(&self) {
        todo!()
    }

    /// Takes other entries, whole or not at all: if one of the changed ones does not load, nothing changes. Blocks.
    pub fn reconfigure(&self, specs: BTreeMap<String, PolicySpec>) -> anyhow::Result<()> {
        let _ = specs;
        todo!()
    }

    /// Whether every required policy has a good generation; if not, what is missing.
    pub fn ready(&self) -> Result<(), Vec<String>> {
        todo!()
    }

    /// Brings a policy's last good generation back. Returns its number.
    pub fn rollback(&self, name: &str) -> anyhow::Result<u32> {
        let _ = name;
        todo!()
    }
}
