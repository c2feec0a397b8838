//! What stands around the exchanges that begin under one configuration.

use std::sync::Arc;

use super::app::App;
use super::settings::Settings;
use crate::ask;
use airlock_core::act::alert::{Alerts, Notice};
use airlock_core::dialect::Dialect;
use airlock_core::event::target::{StreamUsage, Target};
use airlock_core::exchange::Surroundings;
use airlock_core::exchange::around::{Asks, Destinations};
use airlock_core::session::state::Session;
use airlock_policy::Asker;

/// The surroundings of a call that arrived under these settings.
pub fn surroundings(app: &Arc<App>, settings: &Arc<Settings>) -> Arc<Surroundings> {
    Arc::new(Surroundings {
        policies: Arc::clone(&app.policies),
        plans: Arc::clone(&app.plans),
        rules: Arc::clone(&settings.rules),
        on_finding: Arc::clone(&settings.on_finding),
        desk: Arc::clone(&app.people),
        sessions: Arc::clone(&app.sessions),
        health: Arc::clone(&app.health),
        machine: Arc::clone(&app.machine),
        prices: Arc::clone(&settings.prices),
        alerts: Arc::new(Webhooks {
            app: Arc::clone(app),
            settings: Arc::clone(settings),
        }),
        asks: Arc::new(Questions(Arc::clone(&app.asks))),
        destinations: Arc::clone(settings) as Arc<dyn Destinations>,
    })
}

/// Tells people by the webhooks of one configuration.
struct Webhooks {
    app: Arc<App>,
    settings: Arc<Settings>,
}

impl Alerts for Webhooks {
    fn knows(&self, webhook: &str) -> bool {
        let webhooks = &self.settings.config.webhooks;
        webhooks.iter().any(|(name, _)| name == webhook)
    }

    fn send(&self, notice: &Notice, webhook: &str) -> Result<(), String> {
        let webhooks = &self.settings.config.webhooks;
        self.app.alerts.send(notice, webhook, webhooks)
    }
}

/// Takes policies' questions.
struct Questions(Arc<ask::Asks>);

impl Asks for Questions {
    fn asker(&self, session: &Arc<Session>) -> Arc<dyn Asker> {
        self.0.asker(session)
    }
}

impl Destinations for Settings {
    fn knows(&self, upstream: &str) -> bool {
        self.upstreams.contains(upstream)
    }

    fn of(&self, model: &str) -> Vec<Target> {
        self.routes.resolve(model)
    }

    fn retries(&self, upstream: &str) -> u32 {
        self.upstreams.retries(upstream)
    }

    fn stream_usage(&self, upstream: &str) -> StreamUsage {
        self.upstreams.stream_usage(upstream)
    }

    fn speaks(&self, upstream: &str) -> &[&'static dyn Dialect] {
        self.upstreams.speaks(upstream)
    }
}
