//! Asked at every token; reads the text and finds nothing: what being asked costs, for `make bench`.

use airlock_sdk::{export_reasoner, prelude::*};

struct Asked;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {}

impl Policy for Asked {
    type Settings = Settings;
    type State = ();

    fn describe() -> Description {
        airlock_sdk::description!()
    }

    fn configure(_: &Settings) -> Result<Subscription, String> {
        Ok(Subscription::new()
            .wake_every_tokens(1)
            .sees(EventKind::Text))
    }

    fn start(_: Facts, _: Settings, (): ()) -> Result<Self, String> {
        Ok(Self)
    }

    fn state(&self) -> &() {
        &()
    }
}

impl Reasoner for Asked {
    fn observe(&mut self, batch: &Batch) -> Result<Assessment, String> {
        // Something that an optimiser cannot leave out, and that is false for any text of a model.
        if batch.text().bytes().any(|byte| byte == 0) {
            let zero = Finding::new("asked.zero", Severity::Info, "a zero");
            return Ok(zero.about(Subject::Response).into());
        }
        Ok(Assessment::none())
    }
}

export_reasoner!(Asked);
