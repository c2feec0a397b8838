//! What questions need of the configuration in force.

use std::sync::Arc;

use crate::ask::settings::AskConfig;
use crate::upstream::Upstreams;
use airlock_core::observe::prices::PriceTable;

/// What questions need of the configuration in force.
pub struct Means {
    /// Targets by name.
    pub targets: Vec<(String, AskConfig)>,
    /// Model servers.
    pub upstreams: Arc<Upstreams>,
    /// What tokens cost.
    pub prices: Arc<PriceTable>,
}
