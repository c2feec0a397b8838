//! Moves a slow session to a fast model, and stops it when its time is used up.
//!
//! Time is what the host measured: the wall time of model calls, not that of tools or people. In a session whose budget is
//! used up, each further request is blocked before it goes upstream.

mod budget;

use airlock_sdk::{export_policy, prelude::*};

use crate::budget::{Level, Per, Settings, Told};

const NEAR: &str = "latency-budget.near";
const EXCEEDED: &str = "latency-budget.exceeded";

struct LatencyBudget {
    settings: Settings,
    told: Told,
}

impl Policy for LatencyBudget {
    type Settings = Settings;
    type State = Told;

    fn describe() -> Description {
        airlock_sdk::description!()
            .settings_schema(include_str!("../settings.schema.json"))
            .action("route")
            .action("stop")
            .action("block")
            .action("annotate")
            .addresses("owasp-llm:2026/LLM06")
    }

    fn configure(settings: &Settings) -> Result<Subscription, String> {
        settings.check()?;
        let subscription = Subscription::new()
            .wake_above(
                settings.vital(),
                settings.microseconds(settings.downgrade_at),
            )
            .wake_above(settings.vital(), settings.microseconds(settings.stop_at))
            .sees(EventKind::Vitals)
            .finding(NEAR)
            .finding(EXCEEDED);
        Ok(match settings.per {
            Per::Session => subscription
                .wake_on(EventKind::Request)
                .sees(EventKind::Request),
            Per::Exchange => subscription,
        })
    }

    fn start(_: Facts, settings: Settings, told: Told) -> Result<Self, String> {
        Ok(Self { settings, told })
    }

    fn state(&self) -> &Told {
        &self.told
    }
}

impl Reasoner for LatencyBudget {
    fn observe(&mut self, batch: &Batch) -> Result<Assessment, String> {
        let Some(used) = batch.vital(self.settings.vital()) else {
            return Ok(Assessment::none());
        };
        let level = self.settings.level(used);
        let (exchange, of, subject) = match self.settings.per {
            Per::Session => (0, "session", Subject::Session),
            Per::Exchange => (batch.exchange(), "exchange", Subject::Response),
        };
        let is_news = self.told.is_news(exchange, level);
        // A session that has no time left is told so at each request.
        let is_refused = level == Level::Exceeded && batch.checkpoint() == Checkpoint::Request;
        if !is_news && !is_refused {
            return Ok(Assessment::none());
        }
        let (kind, severity) = if level == Level::Exceeded {
            (EXCEEDED, Severity::High)
        } else {
            (NEAR, Severity::Medium)
        };
        let share = used / self.settings.microseconds(1.0) * 100.0;
        let summary = format!(
            "{share:.0} % of the {of}'s {} ms are used",
            self.settings.budget_ms
        );
        Ok(Finding::new(kind, severity, summary).about(subject).into())
    }
}

impl Actuator for LatencyBudget {
    fn decide(&mut self, situation: &Situation) -> Result<Decision, String> {
        if let Some(found) = situation.own_of_kind(EXCEEDED).next() {
            let reason = format!("Time budget used up: {}.", found.finding.summary);
            return Ok(if situation.batch.checkpoint() == Checkpoint::Request {
                Decision::none().order(Block::new(BlockMode::Hard, reason))
            } else {
                Decision::none().order(Stop::new(reason).confidence(self.settings.confidence))
            });
        }
        let Some(found) = situation.own_of_kind(NEAR).next() else {
            return Ok(Decision::none());
        };
        let note = Decision::none().order(Annotation::new(NEAR, &found.finding.summary));
        let Settings {
            fast_model,
            fast_upstream,
            ..
        } = &self.settings;
        if fast_model.is_empty() && fast_upstream.is_empty() {
            return Ok(note);
        }
        let route = Route::model(fast_model).upstream(fast_upstream);
        Ok(note.order(route.for_session()))
    }
}

export_policy!(LatencyBudget);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use airlock_sdk::testing::Session;
    use serde_json::json;

    use super::LatencyBudget;

    #[test]
    fn golden() {
        airlock_sdk::testing::golden_policy::<LatencyBudget>(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/golden"
        ));
    }

    #[test]
    fn a_restart_does_not_repeat_what_was_said() {
        let near = json!({
            "checkpoint": "tick",
            "events": [{ "kind": "vitals", "detail": { "vitals": [{ "quantity": 11, "value": 50_000_000.0 }] } }],
        });
        let mut session = Session::<LatencyBudget>::start(&json!({})).unwrap();
        assert_eq!(session.observe(&near).unwrap().findings.len(), 1);
        let mut session = session.restart().unwrap();
        assert!(session.observe(&near).unwrap().findings.is_empty());
    }
}
