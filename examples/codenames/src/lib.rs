//! Replaces code names in what a model says. The stream goes on; the client never sees a byte of the name.
//!
//! A whole policy in one file, with its rule as a constant: change it, build it, drop the file into the policy directory, and
//! it takes over without a restart. `make demo` does just that while a stream is running.

use airlock_sdk::{export_policy, prelude::*};

/// The names.
const NAMES: &[&str] = &["tulip"];

const FOUND: &str = "codenames.found";

struct Codenames;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {}

impl Policy for Codenames {
    type Settings = Settings;
    type State = ();

    fn describe() -> Description {
        airlock_sdk::description!().action("replace-range")
    }

    fn configure(_: &Settings) -> Result<Subscription, String> {
        let name = |name: &&str| Pattern::literal(*name).channels([Channel::Output]).ignore_case(true);
        Ok(NAMES.iter().map(name).fold(Subscription::new().finding(FOUND), Subscription::pattern))
    }

    fn start(_: Facts, _: Settings, _: ()) -> Result<Self, String> {
        Ok(Self)
    }

    fn state(&self) -> &() {
        &()
    }
}

impl Reasoner for Codenames {
    fn observe(&mut self, batch: &Batch) -> Result<Assessment, String> {
        let finding = |found: &PatternMatch| {
            Finding::new(FOUND, Severity::Medium, "a code name in the answer").about(found.span).evidence(found.span)
        };
        Ok(batch.matches().iter().map(finding).collect())
    }
}

impl Actuator for Codenames {
    fn decide(&mut self, situation: &Situation) -> Result<Decision, String> {
        let names = situation.own_of_kind(FOUND).flat_map(|found| &found.finding.evidence);
        Ok(names.map(|name| Replacement::of(*name, "█████")).collect())
    }
}

export_policy!(Codenames);
