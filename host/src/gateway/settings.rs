//! One configuration, made ready for use.

use std::sync::Arc;

use crate::ask::Means;
use crate::config::{Config, Problems};
use crate::upstream::{Gates, Routes, Upstreams};
use airlock_core::observe::prices::PriceTable;
use airlock_core::reason::on_finding::OnFinding;
use airlock_core::reason::rules::Rules;

/// One configuration, ready for use. Replaced as a whole.
pub struct Settings {
    /// The configuration.
    pub config: Config,
    /// Its upstreams, with their keys.
    pub upstreams: Arc<Upstreams>,
    /// Its routes.
    pub routes: Routes,
    /// Its rules, compiled.
    pub rules: Arc<Rules>,
    /// The operator's answers to findings.
    pub on_finding: Arc<[OnFinding]>,
    /// What tokens cost.
    pub prices: Arc<PriceTable>,
}

impl Settings {
    /// Makes the configuration ready that follows on this one: limits go on to count the calls under way.
    ///
    /// # Errors
    /// As [`Settings::new`].
    pub fn followed_by(&self, config: Config) -> anyhow::Result<Self> {
        Self::ready(config, Arc::clone(self.upstreams.gates()))
    }

    /// Makes a configuration ready.
    ///
    /// # Errors
    /// All keys that cannot be had.
    pub fn new(config: Config) -> anyhow::Result<Self> {
        Self::ready(config, Arc::default())
    }

    fn ready(config: Config, gates: Arc<Gates>) -> anyhow::Result<Self> {
        let upstreams = Upstreams::new(&config.upstreams, gates)
            .map_err(|unusable| Problems::of_upstreams(&config, unusable))?;
        let first = config.upstreams.first().map(|(name, _)| name.as_str());
        Ok(Self {
            upstreams: Arc::new(upstreams),
            routes: Routes::new(&config.routes, first),
            prices: Arc::new(PriceTable::new(&config.prices)?),
            rules: Arc::new(rules(&config)?),
            on_finding: config.on_finding.as_slice().into(),
            config,
        })
    }

    /// What questions of policies need.
    pub fn means(&self) -> Means {
        Means {
            targets: self.config.asks.clone(),
            upstreams: Arc::clone(&self.upstreams),
            prices: Arc::clone(&self.prices),
        }
    }
}

/// The configuration was judged before: what fails here was never read from a file.
fn rules(config: &Config) -> anyhow::Result<Rules> {
    Rules::compile(&config.rules).map_err(|errors| {
        let told: Vec<_> = errors.into_iter().map(|error| error.message).collect();
        anyhow::anyhow!("the rules do not compile: {}", told.join("; "))
    })
}
