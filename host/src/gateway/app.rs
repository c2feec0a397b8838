//! What every call needs: the settings that are in force, the policies, and who keeps the record.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::passages::SessionRecorder;
use super::passthrough::Recorder;
use crate::config::Config;
use crate::contract::asking::Question;
use crate::observe::health::Health;
use crate::observe::machine::Machine;
use crate::observe::prices::PriceTable;
use crate::people::{Approval, Desk};
use crate::policy::{Asker, Mode, Policies};
use crate::reason::plans::Plans;
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
    pub asks: Arc<dyn Asker>,
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
    /// What tokens cost.
    pub prices: PriceTable,
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
            upstreams: Upstreams::with_gates(&config, gates)?,
            routes: Routes::new(&config),
            prices: PriceTable::new(&config.prices)?,
            config,
        })
    }
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
            settings: ArcSwap::from_pointee(settings),
            policies,
            recorder: Arc::new(SessionRecorder {
                sessions: sessions.clone(),
            }),
            sessions,
            people,
            plans: Plans::default(),
            machine: Arc::default(),
            health: Health::default(),
            alerts: Alerts::start(),
            asks: Arc::new(NobodyAnswers),
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

    /// Name of a policy whose word is law, if there is one: what Airlock cannot decode must then not pass unnoticed.
    pub fn enforcing(&self) -> Option<String> {
        let set = self.policies.current();
        set.entries
            .iter()
            .find(|policy| policy.mode == Mode::Enforce)
            .map(|policy| policy.name.to_string())
    }
}

/// Questions are a part of the contract whose targets this version does not have: each is refused by name.
struct NobodyAnswers;

impl Asker for NobodyAnswers {
    fn ask(&self, policy: &str, target: &str, _: Question, _: u32) -> Result<u64, String> {
        Err(format!(
            "`{policy}` asks `{target}`: no target can be asked in this version of Airlock"
        ))
    }
}
