//! Helps an agent out when its tools keep failing: tells it so, and puts the trace id on the timeline and in the log.
//!
//! The message is told once when the failures pass the maximum, not at each request from then on, because an agent that
//! reads the same advice in every turn learns to ignore it; it is told again after some more failures.

mod counter;

use airlock_sdk::{export_policy, prelude::*};

use crate::counter::{Counter, Settings, Speaker};

const REPEATED: &str = "tool-errors.repeated";

struct ToolErrors {
    settings: Settings,
    session: String,
    counter: Counter,
}

/// What a finding says besides its subject, the last result.
#[derive(Serialize, Deserialize)]
struct Repeated {
    count: u32,
    tool: String,
}

impl Policy for ToolErrors {
    type Settings = Settings;
    type State = Counter;

    fn describe() -> Description {
        airlock_sdk::description!()
            .settings_schema(include_str!("../settings.schema.json"))
            .action("inject")
            .action("annotate")
            .addresses("owasp-llm:2026/LLM06")
    }

    fn configure(settings: &Settings) -> Result<Subscription, String> {
        if settings.message.trim().is_empty() {
            return Err("message is empty: say what the agent is to do".into());
        }
        Ok(Subscription::new()
            .wake_on(EventKind::ToolResult)
            .sees(EventKind::ToolResult)
            .finding(REPEATED))
    }

    fn start(facts: Facts, settings: Settings, counter: Counter) -> Result<Self, String> {
        Ok(Self {
            settings,
            session: facts.session,
            counter,
        })
    }

    fn state(&self) -> &Counter {
        &self.counter
    }
}

impl Reasoner for ToolErrors {
    fn observe(&mut self, batch: &Batch) -> Result<Assessment, String> {
        let results = batch.events().filter_map(|event| match event.detail {
            Some(Detail::ToolResult(result)) => Some((event, result)),
            _ => None,
        });
        let mut last = None;
        for (event, result) in results {
            self.counter.count(self.settings.mode, result.failed);
            if result.failed {
                last = Some((event, result));
            }
        }
        // Several results may arrive at once: they are one reason to tell, whichever of them passed the maximum.
        let Some((event, result)) = last else {
            return Ok(Assessment::none());
        };
        let Some(count) = self.counter.tell(&self.settings) else {
            return Ok(Assessment::none());
        };
        let tool = result.name.clone();
        let summary = format!("{count} tool calls failed, the last one of {tool}");
        let found = Finding::new(REPEATED, Severity::Medium, summary)
            .about(result)
            .evidence(event.whole())
            .data(&Repeated { count, tool });
        Ok(found.into())
    }
}

impl Actuator for ToolErrors {
    fn decide(&mut self, situation: &Situation) -> Result<Decision, String> {
        let Some(found) = situation.own_of_kind(REPEATED).next() else {
            return Ok(Decision::none());
        };
        let Ok(Repeated { count, tool }) = found.finding.read_data() else {
            return Ok(Decision::none());
        };
        let trace = format!("{}/{}", self.session, situation.batch.exchange());
        host::log(
            Level::Warn,
            format!("{}; trace {trace}", found.finding.summary),
        );
        let message = self
            .settings
            .message
            .replace("{count}", &count.to_string())
            .replace("{tool}", &tool);
        let role = match self.settings.role {
            Speaker::System => Role::System,
            Speaker::User => Role::User,
        };
        Ok(Decision::none()
            .order(Injection::new(role, message))
            .order(Annotation::new("tool-errors.trace", trace)))
    }
}

export_policy!(ToolErrors);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use airlock_sdk::{prelude::*, testing};
    use serde_json::json;

    use super::ToolErrors;

    #[test]
    fn golden() {
        testing::golden_policy::<ToolErrors>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
    }

    #[test]
    fn a_restart_goes_on_counting() {
        let failed = json!({
            "checkpoint": "tool-result",
            "events": [{ "kind": "tool-result", "detail": { "tool-result": { "name": "search", "failed": true } } }],
        });
        let mut session =
            testing::Session::<ToolErrors>::start(&json!({ "max_errors": 1 })).unwrap();
        assert!(session.observe(&failed).unwrap().findings.is_empty());
        let mut session = session.restart().unwrap();
        let findings = session.observe(&failed).unwrap().findings;
        assert_eq!(findings.len(), 1);

        let found = ReportedFinding {
            policy: "tool-errors".into(),
            is_own: true,
            session: String::new(),
            exchange: 1,
            finding: findings[0].clone(),
        };
        session.decide(vec![found], &failed).unwrap();
        assert!(
            testing::logged()
                .iter()
                .any(|(level, text)| *level == Level::Warn && text.contains("trace /1"))
        );
    }
}
