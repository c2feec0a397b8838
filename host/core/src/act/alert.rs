//! The family "alerts": what people are told.

use serde::Serialize;

use super::scene::{Done, Scene, done, refused};
use crate::event::{Micros, Outcome};
use crate::reason::order::severity_name;
use airlock_policy::contract::types as wit;

/// One alert, as webhooks get it in JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Notice {
    /// Who raised it.
    pub policy: String,
    /// `info` to `critical`.
    pub severity: String,
    /// One line.
    pub title: String,
    /// More.
    pub body: String,
    /// Id of the session.
    pub session: String,
    /// Number of the exchange.
    pub exchange: u32,
    /// When, microseconds since the Unix epoch.
    pub at: Micros,
    /// Id of the approval that waits, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
}

/// Who tells people.
pub trait Alerts: Send + Sync {
    /// Whether there is a webhook of this name.
    fn knows(&self, webhook: &str) -> bool;

    /// Tells people; `webhook` is the name of one, or empty for all. Does not wait.
    ///
    /// # Errors
    /// Why it will not be told, as far as that is known at once.
    fn send(&self, notice: &Notice, webhook: &str) -> Result<(), String>;
}

/// Tells people.
pub fn alert(scene: &Scene<'_>, alerts: &dyn Alerts, alert: &wit::Alert) -> Done {
    if !alert.webhook.is_empty() && !alerts.knows(&alert.webhook) {
        return refused(format!(
            "there is no webhook named `{}`: add [webhook.{0}]",
            alert.webhook
        ));
    }
    let notice = Notice {
        policy: scene.who(),
        severity: severity_name(alert.severity).to_owned(),
        title: alert.title.clone(),
        body: alert.body.clone(),
        session: scene.facts.session.id.to_string(),
        exchange: scene.facts.number,
        at: scene.now,
        approval: None,
    };
    match alerts.send(&notice, &alert.webhook) {
        Ok(()) => done(),
        Err(reason) => (Outcome::Failed, reason),
    }
}
