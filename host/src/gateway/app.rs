//! What every call needs: the settings that are in force, the policies, and who keeps the record.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::passthrough::Recorder;
use crate::config::{Config, Problems};
use crate::policy::{Mode, Policies};
use crate::upstream::{Routes, Upstreams};

/// Shared by all calls, for as long as the process runs.
pub struct App {
    /// What the operator decided. Load it once at the start of a call and keep it: a reload then never changes a call
    /// that is under way.
    pub settings: ArcSwap<Settings>,
    /// The registry of policies.
    pub policies: Arc<Policies>,
    /// Keeps what passes without being decoded.
    pub recorder: Arc<dyn Recorder>,
}

/// One configuration, ready for use. Replaced as a whole.
pub struct Settings {
    /// The configuration.
    pub config: Config,
    /// Its upstreams, with their keys.
    pub upstreams: Upstreams,
    /// Its routes.
    pub routes: Routes,
}

impl Settings {
    /// Makes a configuration ready.
    ///
    /// # Errors
    /// All keys that cannot be had.
    pub fn new(config: Config) -> Result<Self, Problems> {
        Ok(Self {
            upstreams: Upstreams::new(&config)?,
            routes: Routes::new(&config),
            config,
        })
    }
}

impl App {
    /// An application on these settings.
    pub fn new(settings: Settings, policies: Arc<Policies>, recorder: Arc<dyn Recorder>) -> Self {
        Self {
            settings: ArcSwap::from_pointee(settings),
            policies,
            recorder,
        }
    }

    /// Name of a policy whose word is law, if there is one: what Airlock cannot decode must then not pass unnoticed.
    pub fn enforcing(&self) -> Option<String> {
        let set = self.policies.current();
        set.entries
            .iter()
            .find(|policy| policy.mode == Mode::Enforce)
            .map(|policy| policy.name.to_string())
    }
}
