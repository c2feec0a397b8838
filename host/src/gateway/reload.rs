//! Takes another configuration while streams run, whole or not at all.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;
use tokio::sync::Mutex;

use super::app::App;
use crate::config::{AdminConfig, Config, GatewayConfig, locate};

/// Reads the configuration again and puts it in force.
pub struct Reloader {
    app: Arc<App>,
    /// The file that was found at the start; without one, the environment is asked again.
    file: Option<PathBuf>,
    /// One at a time: a person's order and a change of the file may meet.
    turn: Mutex<()>,
}

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Reloaded {
    /// Sections that differ and are in force from now on.
    pub changed: Vec<&'static str>,
    /// Sections that differ and wait for a restart.
    pub restart: Vec<&'static str>,
}

impl Reloader {
    /// A reloader of the configuration that `app` started with.
    pub fn new(app: Arc<App>, file: Option<PathBuf>) -> Self {
        Self {
            app,
            file,
            turn: Mutex::new(()),
        }
    }

    /// The file that is read.
    pub fn file(&self) -> Option<&std::path::Path> {
        self.file.as_deref()
    }

    /// Reads, judges and applies. Calls under way end on what they began with.
    ///
    /// # Errors
    /// Why the new configuration cannot be used; nothing has changed then.
    pub async fn reload(&self) -> anyhow::Result<Reloaded> {
        let _turn = self.turn.lock().await;
        let mut next = locate::load(self.file.as_deref(), &locate::process_variables).await?;
        let now = self.app.settings.load_full();
        let reloaded = difference(&now.config, &next);
        keep_until_restart(&now.config, &mut next);
        // What can fail comes first, so that nothing has changed when it does.
        let specs = next.policy.clone();
        still_guarded(&next)?;
        let settings = now.followed_by(next)?;
        if specs != now.config.policy {
            let policies = self.app.policies.clone();
            tokio::task::spawn_blocking(move || policies.reconfigure(specs))
                .await
                .context("loading the policies was interrupted")?
                .context("the policies' entries cannot be used")?;
        }
        self.app.follow(settings);
        Ok(reloaded)
    }
}

/// The listener stays where it is until a restart, so one that others reach must not lose its keys meanwhile, wherever the new
/// file says that it listens.
fn still_guarded(next: &Config) -> anyhow::Result<()> {
    anyhow::ensure!(
        !next.keys.is_empty() || next.gateway.listen.ip().is_loopback(),
        "without a [[key]] anybody could call at {} until Airlock is restarted: leave a key, or restart it",
        next.gateway.listen
    );
    Ok(())
}

fn difference(now: &Config, next: &Config) -> Reloaded {
    let live = [
        (
            "gateway",
            GatewayConfig {
                listen: now.gateway.listen,
                ..next.gateway.clone()
            } != now.gateway,
        ),
        (
            "admin",
            AdminConfig {
                listen: now.admin.listen,
                ..next.admin.clone()
            } != now.admin,
        ),
        ("key", now.keys != next.keys),
        ("tenant", now.tenants != next.tenants),
        ("upstream", now.upstreams != next.upstreams),
        ("route", now.routes != next.routes),
        ("ask", now.asks != next.asks),
        ("policy", now.policy != next.policy),
        ("on_finding", now.on_finding != next.on_finding),
        ("rule", now.rules != next.rules),
        ("profile", now.profile != next.profile),
        ("webhook", now.webhooks != next.webhooks),
        ("people", now.people != next.people),
        ("session", now.session != next.session),
        ("machine", now.machine != next.machine),
        ("price", now.prices != next.prices),
    ];
    let restart = [
        ("gateway.listen", now.gateway.listen != next.gateway.listen),
        ("admin.listen", now.admin.listen != next.admin.listen),
        ("data", now.data != next.data),
        ("policies", now.policies != next.policies),
        ("limits", now.limits != next.limits),
    ];
    let names = |sections: &[(&'static str, bool)]| {
        sections
            .iter()
            .filter(|(_, differs)| *differs)
            .map(|(name, _)| *name)
            .collect()
    };
    Reloaded {
        changed: names(&live),
        restart: names(&restart),
    }
}

/// What cannot change while Airlock runs stays as it is, so that the next reload still tells the difference.
fn keep_until_restart(now: &Config, next: &mut Config) {
    next.gateway.listen = now.gateway.listen;
    next.admin.listen = now.admin.listen;
    next.data = now.data.clone();
    next.policies = now.policies.clone();
    next.limits = now.limits.clone();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::config::Source;
    use crate::upstream::settings::UpstreamConfig;

    #[test]
    fn each_section_is_told_as_taken_or_as_waiting_for_a_restart() {
        let now = Config::empty(Source::Environment);
        let mut next = now.clone();
        assert_eq!(difference(&now, &next), Reloaded::default());
        next.gateway.listen.set_port(9);
        next.gateway.pass_paths.push("/v1/files".into());
        next.limits.cpu_ms = 1;
        next.upstreams.push((
            "a".into(),
            UpstreamConfig::new("http://a/v1".parse().unwrap()),
        ));
        let told = difference(&now, &next);
        assert_eq!(told.changed, ["gateway", "upstream"]);
        assert_eq!(told.restart, ["gateway.listen", "limits"]);

        keep_until_restart(&now, &mut next);
        assert_eq!(next.gateway.listen, now.gateway.listen);
        assert_eq!(next.gateway.pass_paths.len(), 1);
        assert!(difference(&now, &next).restart.is_empty());
    }

    #[test]
    fn a_listener_that_others_reach_does_not_lose_its_last_key() {
        let mut now = Config::empty(Source::Environment);
        now.gateway.listen = "0.0.0.0:4100".parse().unwrap();
        let mut next = Config::empty(Source::Environment);
        assert!(still_guarded(&next).is_ok());
        keep_until_restart(&now, &mut next);
        let told = still_guarded(&next).unwrap_err().to_string();
        assert!(told.contains("0.0.0.0:4100"), "{told}");
    }
}
