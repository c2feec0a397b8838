//! What every call needs: the settings that are in force, the policies, and who keeps the record.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::ask::Asks;
use crate::gateway::settings::Settings;
use crate::upstream::webhook::Alerts;
use airlock_core::act::alert::Notice;
use airlock_core::observe::health::Health;
use airlock_core::observe::machine::Machine;
use airlock_core::people::{Approval, Desk};
use airlock_core::reason::plans::Plans;
use airlock_core::session::sessions::Sessions;
use airlock_policy::{Mode, Policies};

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
    pub plans: Arc<Plans>,
    /// Vitals of the machine and the agent.
    pub machine: Arc<Machine>,
    /// How tools, models and upstreams have been doing.
    pub health: Arc<Health>,
    /// Alerts to people.
    pub alerts: Alerts,
    /// Takes policies' questions.
    pub asks: Arc<Asks>,
    /// A signal to stop has come: not ready any more, though calls are still taken.
    pub draining: CancellationToken,
    /// The listeners close: calls under way end, and those that are held are told.
    pub stopping: CancellationToken,
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
            plans: Arc::default(),
            machine: Arc::default(),
            health: Arc::default(),
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
            // Airlock's own words first: what a policy says comes behind them, and cannot stand for them.
            body: format!(
                "Approval {id} waits: `airlock approvals show {id}`, then `airlock approvals approve {id}` or \
                 `airlock approvals deny {id}`. The policy says:\n\n{}",
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
