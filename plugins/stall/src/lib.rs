//! Moves a call whose model is silent elsewhere, and ends one that falls silent.
//!
//! Before the first token the call is repeated, on the fallback if there is one: the client has seen nothing, so nothing is
//! lost. After it the client has a part of the answer, which another model would not go on with: the generation is stopped
//! and marked partial.

mod silence;

use airlock_sdk::{export_policy, prelude::*};

use crate::silence::{Clocks, Reading, Settings, Silence};

const FIRST_TOKEN: &str = "stall.first-token";
const GAP: &str = "stall.gap";

struct Stall {
    settings: Settings,
    clocks: Clocks,
}

impl Policy for Stall {
    type Settings = Settings;
    type State = Clocks;

    fn describe() -> Description {
        airlock_sdk::description!()
            .settings_schema(include_str!("../settings.schema.json"))
            .action("retry")
            .action("stop")
            .addresses("owasp-llm:2026/LLM06")
    }

    fn configure(settings: &Settings) -> Result<Subscription, String> {
        settings.check()?;
        Ok(Subscription::new()
            .wake_on(EventKind::Request)
            .wake_every_ms(settings.interval_ms())
            .sees(EventKind::Request)
            .sees(EventKind::Vitals)
            .finding(FIRST_TOKEN)
            .finding(GAP))
    }

    fn start(_: Facts, settings: Settings, clocks: Clocks) -> Result<Self, String> {
        Ok(Self { settings, clocks })
    }

    fn state(&self) -> &Clocks {
        &self.clocks
    }
}

impl Reasoner for Stall {
    fn observe(&mut self, batch: &Batch) -> Result<Assessment, String> {
        for event in batch.events() {
            if let Some(Detail::Request(request)) = event.detail {
                self.clocks.begin(batch.exchange(), request.streamed);
            }
        }
        if batch.checkpoint() == Checkpoint::Request {
            return Ok(Assessment::none());
        }
        let silence = Reading::of(batch)
            .and_then(|reading| self.clocks.look(&self.settings, batch.exchange(), reading));
        let found = match silence {
            None => return Ok(Assessment::none()),
            Some(Silence::BeforeFirst { ms }) => {
                let summary = format!("no token came within {ms} ms");
                Finding::new(FIRST_TOKEN, Severity::Medium, summary)
            }
            Some(Silence::InMidStream { ms }) => {
                let summary =
                    format!("the model has been silent for {ms} ms in the middle of its answer");
                Finding::new(GAP, Severity::High, summary)
            }
        };
        Ok(found.about(Subject::Response).into())
    }
}

impl Actuator for Stall {
    fn decide(&mut self, situation: &Situation) -> Result<Decision, String> {
        if let Some(found) = situation.own_of_kind(GAP).next() {
            let reason = format!("Stalled: {}.", found.finding.summary);
            let stop = Stop::new(reason).confidence(self.settings.confidence);
            return Ok(Decision::none().order(stop));
        }
        let again = situation.own_of_kind(FIRST_TOKEN).map(|_| {
            Retry::new()
                .upstream(&self.settings.fallback_upstream)
                .model(&self.settings.fallback_model)
        });
        Ok(again.collect())
    }
}

export_policy!(Stall);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use airlock_sdk::testing::{self, Session};
    use serde_json::{Value, json};

    use super::Stall;

    #[test]
    fn golden() {
        testing::golden_policy::<Stall>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
    }

    fn tick(ms: u64) -> Value {
        json!({
            "checkpoint": "tick", "time": ms * 1_000,
            "events": [{ "kind": "vitals", "detail": { "vitals": [{ "quantity": 1, "value": ms as f64 * 1_000.0 }] } }],
        })
    }

    #[test]
    fn a_reload_in_the_middle_of_a_silence_goes_on_counting() {
        let request = json!({ "events": [{ "kind": "request", "detail": { "request": { "streamed": true } } }] });
        let mut session = Session::<Stall>::start(&json!({ "first_token_ms": 100 })).unwrap();
        session.observe(&request).unwrap();
        assert!(session.observe(&tick(0)).unwrap().findings.is_empty());
        let mut session = session.restart().unwrap();
        assert_eq!(session.observe(&tick(100)).unwrap().findings.len(), 1);
        let mut session = session.restart().unwrap();
        assert!(session.observe(&tick(200)).unwrap().findings.is_empty());
    }
}
