//! Takes a tool out of service while it fails or is slow: its calls get a stated answer until a pause is over.
//!
//! Measured per tool over a sliding window of this session's results. After the pause the host lets one call try; the first
//! result after the pause decides whether the tool is paused again. People are told once, not at each further pause.

mod window;

use airlock_sdk::{export_policy, prelude::*};

use crate::window::{Outcome, Settings, Tools, Trip};

const TRIPPED: &str = "tool-breaker.tripped";

struct ToolBreaker {
    settings: Settings,
    tools: Tools,
}

impl Policy for ToolBreaker {
    type Settings = Settings;
    type State = Tools;

    fn describe() -> Description {
        airlock_sdk::description!()
            .settings_schema(include_str!("../settings.schema.json"))
            .action("open-circuit")
            .action("alert")
            .addresses("owasp-llm:2026/LLM06")
    }

    fn configure(settings: &Settings) -> Result<Subscription, String> {
        settings.check()?;
        Ok(Subscription::new()
            .wake_on(EventKind::ToolResult)
            .sees(EventKind::ToolResult)
            .finding(TRIPPED))
    }

    fn start(_: Facts, settings: Settings, tools: Tools) -> Result<Self, String> {
        Ok(Self { settings, tools })
    }

    fn state(&self) -> &Tools {
        &self.tools
    }
}

impl Reasoner for ToolBreaker {
    fn observe(&mut self, batch: &Batch) -> Result<Assessment, String> {
        let mut assessment = Assessment::none();
        for event in batch.events() {
            let Some(Detail::ToolResult(result)) = event.detail else {
                continue;
            };
            if !self.settings.watches(&result.name) {
                continue;
            }
            let outcome = Outcome {
                at: event.time,
                duration: result.duration,
                failed: result.failed,
            };
            if let Some(trip) = self.tools.count(&self.settings, &result.name, outcome) {
                let summary = format!("{}: {}", trip.tool, trip.cause);
                assessment = assessment.find(
                    Finding::new(TRIPPED, Severity::High, summary)
                        .about(result)
                        .evidence(event.whole())
                        .data(&trip),
                );
            }
        }
        Ok(assessment)
    }
}

impl Actuator for ToolBreaker {
    fn decide(&mut self, situation: &Situation) -> Result<Decision, String> {
        let mut decision = Decision::none();
        for found in situation.own_of_kind(TRIPPED) {
            let Ok(Trip { tool, cause, again }) = found.finding.read_data() else {
                continue;
            };
            let seconds = self.settings.cooldown_seconds;
            let answer = self
                .settings
                .answer
                .replace("{tool}", &tool)
                .replace("{cause}", &cause)
                .replace("{seconds}", &seconds.to_string());
            decision = decision.order(Circuit::open(&tool, seconds.saturating_mul(1_000), answer));
            if self.settings.alert && !again {
                let title = format!("The tool `{tool}` is out of service for {seconds} s");
                let alert = Alert::new(found.finding.severity, title).body(cause);
                decision = decision.order(alert.webhook(&self.settings.webhook));
            }
        }
        Ok(decision)
    }
}

export_policy!(ToolBreaker);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use airlock_sdk::testing::{self, Session};
    use serde_json::{Value, json};

    use super::ToolBreaker;

    #[test]
    fn golden() {
        testing::golden_policy::<ToolBreaker>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
    }

    fn failed(time: u64) -> Value {
        json!({
            "checkpoint": "tool-result",
            "time": time,
            "events": [{ "kind": "tool-result", "detail": { "tool-result": { "name": "search", "failed": true } } }],
        })
    }

    #[test]
    fn a_restart_goes_on_counting_and_keeps_the_pause() {
        let mut session = Session::<ToolBreaker>::start(&json!({ "min_calls": 2 })).unwrap();
        assert!(
            session
                .observe(&failed(1_000_000))
                .unwrap()
                .findings
                .is_empty()
        );
        let mut session = session.restart().unwrap();
        assert_eq!(
            session.observe(&failed(2_000_000)).unwrap().findings.len(),
            1
        );
        let mut session = session.restart().unwrap();
        assert!(
            session
                .observe(&failed(3_000_000))
                .unwrap()
                .findings
                .is_empty()
        );
        assert_eq!(
            session.observe(&failed(40_000_000)).unwrap().findings.len(),
            1
        );
    }
}
