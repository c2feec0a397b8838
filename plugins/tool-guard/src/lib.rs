//! Rules over tool calls: which are let through, which are denied, and which wait for a person.
//!
//! Every call is judged by its name and its whole arguments before the client sees it. Guarantees: the first rule that fits
//! decides; a call whose arguments cannot be read (not JSON, a key twice, too long) is denied; a call for which nobody
//! decides in time is denied.

mod condition;
mod json;
mod rules;

use airlock_sdk::{export_policy, prelude::*};

use crate::rules::{Settings, Verdict};

const DENIED: &str = "tool-guard.denied";
const HELD: &str = "tool-guard.held";

/// Longest arguments that are judged, in bytes. Some 60,000 tokens, more than models write in one call.
const MAX_ARGUMENTS: u32 = 262_144;

/// Bytes of the arguments that a person is shown.
const SHOWN: usize = 2_000;

struct ToolGuard {
    settings: Settings,
}

/// What a finding says of a call that must not just pass, besides which one it is about.
#[derive(Serialize, Deserialize)]
struct Judged {
    tool: String,
    reason: String,
    /// The beginning of the arguments, for the person.
    arguments: String,
}

impl Policy for ToolGuard {
    type Settings = Settings;
    type State = ();

    fn describe() -> Description {
        airlock_sdk::description!()
            .settings_schema(include_str!("../settings.schema.json"))
            .action("deny-tool-call")
            .action("hold-for-person")
            .addresses("owasp-llm:2026/LLM06")
    }

    fn configure(settings: &Settings) -> Result<Subscription, String> {
        settings.check()?;
        Ok(Subscription::new()
            .wake_on(EventKind::ToolCall)
            .sees(EventKind::ToolCall)
            .finding(DENIED)
            .finding(HELD))
    }

    fn start(_: Facts, settings: Settings, (): ()) -> Result<Self, String> {
        Ok(Self { settings })
    }

    fn state(&self) -> &() {
        &()
    }
}

impl Reasoner for ToolGuard {
    fn observe(&mut self, batch: &Batch) -> Result<Assessment, String> {
        let findings = batch.events().filter_map(|event| match event.detail {
            Some(Detail::ToolCall(call)) => self.judge(&event, call),
            _ => None,
        });
        Ok(findings.collect())
    }
}

impl ToolGuard {
    fn judge(&self, event: &Event<'_>, call: &ToolCall) -> Option<Finding> {
        let arguments = host::read_whole(&call.content, event.text, MAX_ARGUMENTS)
            .map_err(String::from)
            .and_then(|arguments| json::parse(&arguments));
        let (kind, severity, reason, verb) = match self.settings.judge(&call.name, &arguments) {
            Verdict::Allow => return None,
            Verdict::Deny(reason) => (DENIED, Severity::High, reason, "may not be called"),
            Verdict::Ask(reason) => (HELD, Severity::Medium, reason, "waits for a person"),
        };
        let shown = event.text.floor_char_boundary(SHOWN);
        let judged = Judged {
            tool: call.name.clone(),
            reason,
            arguments: event.text[..shown].into(),
        };
        let summary = format!("{} {verb}: {}", call.name, judged.reason);
        Some(
            Finding::new(kind, severity, summary)
                .about(call)
                .evidence(event.whole())
                .data(&judged),
        )
    }
}

impl Actuator for ToolGuard {
    fn decide(&mut self, situation: &Situation) -> Result<Decision, String> {
        let mut decision = Decision::none();
        for found in situation.own() {
            let Finding { kind, subject, .. } = &found.finding;
            let (Subject::ToolCall(call), Ok(judged)) =
                (subject, found.finding.read_data::<Judged>())
            else {
                continue;
            };
            decision = if kind == HELD {
                let title = format!("Call the tool `{}`?", judged.tool);
                let body = format!("{}\n\nArguments: {}", judged.reason, judged.arguments);
                let wait_ms = self.settings.wait_seconds.saturating_mul(1_000);
                decision.order(Hold::new(subject.clone(), title, wait_ms).body(body))
            } else {
                decision.order(ToolDenial::new(call, judged.reason))
            };
        }
        Ok(decision)
    }
}

export_policy!(ToolGuard);

#[cfg(test)]
mod tests {
    #[test]
    fn golden() {
        airlock_sdk::testing::golden_policy::<super::ToolGuard>(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/golden"
        ));
    }
}
