//! Limits the tokens and the cost of a session, and warns before the limit.
//!
//! The host's ledger enforces, in mid-stream and at the token, also between calls that run at once; a policy could only
//! look on. So this one sets the ledger's limits before the first request goes upstream, and warns.

mod limits;

use airlock_sdk::{export_policy, prelude::*};

use crate::limits::{Limits, Settings};

const LIMITS: &str = "token-budget.limits";
const NEAR: &str = "token-budget.near";

struct TokenBudget {
    settings: Settings,
    state: State,
}

/// What has been done in this session.
#[derive(Default, Serialize, Deserialize)]
struct State {
    /// Limits that were set. Other settings set other ones.
    set: Limits,
    /// Limits (`tokens`, `cost`) that were warned of.
    warned: Vec<String>,
}

impl Policy for TokenBudget {
    type Settings = Settings;
    type State = State;

    fn describe() -> Description {
        airlock_sdk::description!()
            .settings_schema(include_str!("../settings.schema.json"))
            .action("allocate")
            .action("annotate")
            .action("alert")
            .addresses("owasp-llm:2026/LLM06")
    }

    fn configure(settings: &Settings) -> Result<Subscription, String> {
        settings.check()?;
        let Limits {
            tokens,
            microdollars,
        } = settings.limits();
        let mut subscription = Subscription::new()
            .wake_on(EventKind::Request)
            .sees(EventKind::Request)
            .sees(EventKind::Vitals)
            .finding(LIMITS)
            .finding(NEAR);
        for (vital, limit) in [
            (vital::SESSION_TOKENS, tokens),
            (vital::SESSION_COST, microdollars),
        ] {
            if limit > 0 {
                subscription = subscription.wake_above(vital, limit as f64 * settings.warn_at);
            }
        }
        Ok(subscription)
    }

    fn start(_: Facts, settings: Settings, state: State) -> Result<Self, String> {
        Ok(Self { settings, state })
    }

    fn state(&self) -> &State {
        &self.state
    }
}

impl Reasoner for TokenBudget {
    fn observe(&mut self, batch: &Batch) -> Result<Assessment, String> {
        let limits = self.settings.limits();
        let mut assessment = Assessment::none();
        if batch.checkpoint() == Checkpoint::Request && self.state.set != limits {
            if self.state.set != Limits::default() {
                // A new limit is a new budget, and deserves a warning of its own.
                self.state.warned.clear();
            }
            self.state.set = limits;
            assessment = assessment.find(
                Finding::new(LIMITS, Severity::Info, "the session has a budget").data(&limits),
            );
        }
        for (what, share) in limits.used(batch) {
            if share >= self.settings.warn_at
                && !self.state.warned.iter().any(|warned| warned == what)
            {
                self.state.warned.push(what.into());
                let summary = format!("{:.0} % of the session's {what} are used", share * 100.0);
                assessment = assessment.find(Finding::new(NEAR, Severity::Medium, summary));
            }
        }
        Ok(assessment)
    }
}

impl Actuator for TokenBudget {
    fn decide(&mut self, situation: &Situation) -> Result<Decision, String> {
        let mut decision = Decision::none();
        if situation.own_of_kind(LIMITS).next().is_some() {
            decision = decision.order(self.settings.limits().allocation());
        }
        for found in situation.own_of_kind(NEAR) {
            let summary = &found.finding.summary;
            decision = decision.order(Annotation::new(NEAR, summary));
            if self.settings.alert {
                let alert =
                    Alert::new(found.finding.severity, "Budget nearly used up").body(summary);
                decision = decision.order(alert.webhook(&self.settings.webhook));
            }
        }
        Ok(decision)
    }
}

export_policy!(TokenBudget);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use airlock_sdk::testing::Session;
    use serde_json::json;

    use super::TokenBudget;

    #[test]
    fn golden() {
        airlock_sdk::testing::golden_policy::<TokenBudget>(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/golden"
        ));
    }

    #[test]
    fn a_restart_sets_and_warns_once_only() {
        let request = json!({
            "checkpoint": "request",
            "events": [
                { "kind": "request" },
                { "kind": "vitals", "detail": { "vitals": [{ "quantity": 12, "value": 900.0 }] } },
            ],
        });
        let mut session = Session::<TokenBudget>::start(&json!({ "max_tokens": 1000 })).unwrap();
        assert_eq!(session.observe(&request).unwrap().findings.len(), 2);
        let mut session = session.restart().unwrap();
        assert!(session.observe(&request).unwrap().findings.is_empty());
    }
}
