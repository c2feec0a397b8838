//! Stops forbidden text before the client sees a byte of it.
//!
//! The host searches: the patterns are part of the subscription, and text that may be the beginning of a match is not
//! released. So this policy is called only when something matched, wherever chunks were cut. What is forbidden never
//! appears in findings, alerts or the log; the name of its pattern does.

mod ranges;
mod settings;

use airlock_sdk::{export_policy, prelude::*};

use crate::{ranges::Range, settings::Settings};

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

    fn open(_: Facts, settings: Settings, (): ()) -> Result<Self, String> {
        Ok(Self { settings })
    }

    fn state(&self) -> &() {
        &()
    }
}

impl Reasoner for Blocklist {
    fn observe(&mut self, batch: &Batch) -> Assessment {
        batch
            .matches()
            .iter()
            .map(|found| {
                let range = Range::of(found);
                let name = self.settings.name(found.pattern);
                let evidence = batch.find(found).map(|(span, _)| span);
                Finding::new(
                    MATCH,
                    Severity::High,
                    format!("forbidden text ({name}) in {}", range.channel),
                )
                .evidence(evidence)
                .data(&range)
            })
            .collect()
    }
}

impl Actuator for Blocklist {
    fn decide(&mut self, situation: &Situation) -> Decision {
        let found: Vec<_> = situation
            .of_kind(MATCH)
            .map(|found| &found.finding)
            .collect();
        let Some(first) = found.first() else {
            return Decision::none();
        };
        let mut decision = match self.settings.block_mode() {
            Some(mode) => {
                let block = Block::new(mode, "The answer contained forbidden text.");
                Decision::none().order(block.fallback(&self.settings.fallback))
            }
            None => ranges::join(found.iter().filter_map(|finding| finding.read_data().ok()))
                .into_iter()
                .map(|range| range.replaced_by(&self.settings.replacement))
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
        decision
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
