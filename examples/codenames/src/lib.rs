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

/// Where a name stands, on its way from the finding to the action.
#[derive(Serialize, Deserialize)]
struct Place {
    choice: u16,
    block: u16,
    offset: u32,
    len: u32,
}

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

    fn open(_: Facts, _: Settings, _: ()) -> Result<Self, String> {
        Ok(Self)
    }

    fn state(&self) -> &() {
        &()
    }
}

impl Reasoner for Codenames {
    fn observe(&mut self, batch: &Batch) -> Assessment {
        let finding = |found: &PatternMatch| {
            let place = Place { choice: found.choice, block: found.block, offset: found.offset, len: found.len };
            Finding::new(FOUND, Severity::Medium, "a code name in the answer")
                .evidence(batch.find(found).map(|(span, _)| span))
                .data(&place)
        };
        batch.matches().iter().map(finding).collect()
    }
}

impl Actuator for Codenames {
    fn decide(&mut self, situation: &Situation) -> Decision {
        let places = situation.of_kind(FOUND).filter_map(|found| found.finding.read_data::<Place>().ok());
        places
            .map(|place| Replacement {
                channel: Channel::Output,
                choice: place.choice,
                block: place.block,
                offset: place.offset,
                len: place.len,
                text: "█████".into(),
            })
            .collect()
    }
}

export_policy!(Codenames);
