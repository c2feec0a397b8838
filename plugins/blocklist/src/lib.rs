//! Stops forbidden text before the client sees a byte of it.
//!
//! The host searches: the patterns are part of the subscription, and text that may be the beginning of a match is not
//! released. So this policy is called only when something matched, wherever chunks were cut. What is forbidden never
//! appears in findings, alerts or the log; the name of its pattern does.

mod ranges;
mod settings;

use airlock_sdk::{export_policy, prelude::*};

use crate::settings::Settings;

const MATCH: &str = "blocklist.match";

struct Blocklist {
    settings: Settings,
}

impl Policy for Blocklist {
    type Settings = Settings;
    type State = ();

    fn describe() -> Description {
        airlock_sdk::description!()
            .settings_schema(include_str!("../settings.schema.json"))
            .action("block")
            .action("replace-range")
            .action("alert")
            .addresses("owasp-llm:2026/LLM02")
    }

    fn configure(settings: &Settings) -> Result<Subscription, String> {
        settings.check()?;
        let subscription = Subscription::new().finding(MATCH);
        Ok(settings
            .patterns()
            .fold(subscription, Subscription::pattern))
    }

    fn start(_: Facts, settings: Settings, (): ()) -> Result<Self, String> {
        Ok(Self { settings })
    }

    fn state(&self) -> &() {
        &()
    }
}

impl Reasoner for Blocklist {
    fn observe(&mut self, batch: &Batch) -> Result<Assessment, String> {
        let finding = |found: &PatternMatch| {
            let name = self.settings.name(found.pattern);
            let channel = found.span.place.channel;
            let summary = format!("forbidden text ({name}) in {channel}");
            Finding::new(MATCH, Severity::High, summary)
                .about(found.span)
                .evidence(found.span)
        };
        Ok(batch.matches().iter().map(finding).collect())
    }
}

impl Actuator for Blocklist {
    fn decide(&mut self, situation: &Situation) -> Result<Decision, String> {
        let found: Vec<_> = situation
            .own_of_kind(MATCH)
            .map(|found| &found.finding)
            .collect();
        let Some(first) = found.first() else {
            return Ok(Decision::none());
        };
        let mut decision = match self.settings.block_mode() {
            Some(mode) => {
                let block = Block::new(mode, "The answer contained forbidden text.");
                Decision::none().order(block.fallback(&self.settings.fallback))
            }
            None => ranges::join(found.iter().flat_map(|finding| &finding.evidence))
                .into_iter()
                .map(|range| Replacement::of(range, &self.settings.replacement))
                .collect(),
        };
        if self.settings.alert {
            let summaries: Vec<_> = found
                .iter()
                .map(|finding| finding.summary.as_str())
                .collect();
            let alert = Alert::new(first.severity, "Forbidden text").body(summaries.join("; "));
            decision = decision.order(alert.webhook(&self.settings.webhook));
        }
        Ok(decision)
    }
}

export_policy!(Blocklist);

#[cfg(test)]
mod tests {
    #[test]
    fn golden() {
        airlock_sdk::testing::golden_policy::<super::Blocklist>(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/golden"
        ));
    }
}
