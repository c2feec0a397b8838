//! What stands around every exchange: the policies, the people, the measures, and three doors to what does I/O.

use std::sync::Arc;

use crate::act::alert::Alerts;
use crate::dialect::Dialect;
use crate::event::target::{StreamUsage, Target};
use crate::observe::health::Health;
use crate::observe::machine::Machine;
use crate::observe::prices::PriceTable;
use crate::people::Desk;
use crate::reason::on_finding::OnFinding;
use crate::reason::plans::Plans;
use crate::reason::rules::Rules;
use crate::session::sessions::Sessions;
use crate::session::state::Session;
use airlock_policy::{Asker, Policies};

/// What an exchange needs besides itself. An exchange keeps what it began with.
pub struct Surroundings {
    /// The registry of policies.
    pub policies: Arc<Policies>,
    /// Policies' wants, compiled.
    pub plans: Arc<Plans>,
    /// The operator's rules.
    pub rules: Arc<Rules>,
    /// The operator's answers to findings.
    pub on_finding: Arc<[OnFinding]>,
    /// What waits for people.
    pub desk: Arc<Desk>,
    /// All live sessions.
    pub sessions: Arc<Sessions>,
    /// How tools, models and upstreams have been doing.
    pub health: Arc<Health>,
    /// Vitals of the machine and the agent.
    pub machine: Arc<Machine>,
    /// What tokens cost.
    pub prices: Arc<PriceTable>,
    /// Tells people.
    pub alerts: Arc<dyn Alerts>,
    /// Takes policies' questions.
    pub asks: Arc<dyn Asks>,
    /// Where calls may go.
    pub destinations: Arc<dyn Destinations>,
}

/// Takes policies' questions.
pub trait Asks: Send + Sync {
    /// Who takes the questions of this session.
    fn asker(&self, session: &Arc<Session>) -> Arc<dyn Asker>;
}

/// Where calls may go.
pub trait Destinations: Send + Sync {
    /// Whether there is an upstream of this name.
    fn knows(&self, upstream: &str) -> bool;

    /// Where a call for a model goes, the best first; empty if no route serves it.
    fn of(&self, model: &str) -> Vec<Target>;

    /// How often a failed call to an upstream is repeated.
    fn retries(&self, upstream: &str) -> u32;

    /// Whether a stream of this upstream is to be asked for its usage.
    fn stream_usage(&self, upstream: &str) -> StreamUsage;

    /// The wire APIs that an upstream speaks, the best first; none: whichever it is asked in.
    fn speaks(&self, _upstream: &str) -> &[&'static dyn Dialect] {
        &[]
    }
}
