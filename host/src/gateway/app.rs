//! What every call needs: the settings that are in force, the policies, and who keeps the record.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::ask::{Asks, Means};
use crate::config::Config;
use crate::observe::health::Health;
use crate::observe::machine::Machine;
use crate::observe::prices::PriceTable;
use crate::people::{Approval, Desk};
use crate::policy::{Mode, Policies};
use crate::reason::plans::Plans;
use crate::reason::rules::Rules;
use crate::session::sessions::Sessions;
use crate::upstream::webhook::{Alerts, Notice};
use crate::upstream::{Gates, Routes, Upstreams};

/// Shared by all calls, for as long as the process runs.
pub struct App {
    /// What the operator decided. Load it once at the start of a call and keep it: a reload then never changes a call
    /// that is under way.
    pub settings: ArcSwap<Settings>,
    /// The registry of policies.
    pub policies: Arc<Policies>,
    /// All live sessions.
    pub sessions: Arc<Sessions>,
    /// What waits for people.
    pub people: Arc<Desk>,
    /// Policies' wants, compiled.
    pub plans: Plans,
    /// Vitals of the machine and the agent.
    pub machine: Arc<Machine>,
    /// How tools, models and upstreams have been doing.
    pub health: Health,
    /// Alerts to people.
    pub alerts: Alerts,
    /// Takes policies' questions.
    pub asks: Arc<Asks>,
    /// A signal to stop has come: not ready any more, though calls are still taken.
    pub draining: CancellationToken,
    /// The listeners close: calls under way end, and those that are held are told.
    pub stopping: CancellationToken,
}

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
        Ok(Self {
            upstreams: Arc::new(Upstreams::with_gates(&config, gates)?),
            routes: Routes::new(&config),
            prices: Arc::new(PriceTable::new(&config.prices)?),
            rules: Arc::new(rules(&config)?),
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

impl App {
    /// An application on these settings.
    pub fn new(
        settings: Settings,
        policies: Arc<Policies>,
        sessions: Arc<Sessions>,
        people: Arc<Desk>,
    ) -> Self {
        let relief = Arc::downgrade(&sessions);
        policies.relieve_by(relief);
        Self {
            asks: Asks::new(Arc::clone(&people), settings.means()),
            settings: ArcSwap::from_pointee(settings),
            policies,
            sessions,
            people,
            plans: Plans::default(),
            machine: Arc::default(),
            health: Health::default(),
            alerts: Alerts::start(),
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
        }
    }

    /// Tells people that an item waits for them: the log, and the webhook that `[people]` names.
    pub fn announce(&self, approval: &Approval) {
        let settings = self.settings.load();
        let id = approval.id;
        let notice = Notice {
            policy: approval.policy.clone(),
            severity: "high".to_owned(),
            title: approval.title.clone(),
            body: format!(
                "{}\n\nApproval {id} waits: `airlock approvals show {id}`, then `airlock approvals approve {id}` or \
                 `airlock approvals deny {id}`",
                approval.body
            ),
            session: approval.session.to_string(),
            exchange: approval.exchange,
            at: approval.opened,
            approval: Some(id.to_string()),
        };
        let config = &settings.config;
        if let Err(error) = self
            .alerts
            .send(&notice, &config.people.webhook, &config.webhooks)
        {
            tracing::warn!(approval = %id, "people are not told: {error}");
        }
    }

    /// Puts other settings in force, for all that depends on them. Calls under way end on those that they began with, but
    /// for the limits of their sessions, which hold from now on.
    pub fn follow(&self, settings: Settings) {
        self.asks.set(settings.means());
        self.people.set_limits(settings.config.people.limits());
        self.sessions.limit(settings.config.session.limits());
        self.settings.store(Arc::new(settings));
    }

    /// Name of a policy or rule whose word is law, if there is one: what Airlock cannot decode must then not pass unnoticed.
    /// `settings` are those of the call.
    pub fn enforcing(&self, settings: &Settings) -> Option<String> {
        let set = self.policies.current();
        set.entries
            .iter()
            .find(|policy| policy.mode == Mode::Enforce)
            .map(|policy| policy.name.to_string())
            .or_else(|| settings.rules.enforcing().map(str::to_owned))
    }
}
