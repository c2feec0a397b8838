//! Repeats on the timeline whatever it is told of an answer: what a policy knew, and when. For `make conformance`.
//!
//! Each finding carries its texts with their places, so that a test can compare them with what a client read, byte for byte.

use airlock_sdk::{export_reasoner, prelude::*};
use serde_json::{Value, json};

const HEARD: &str = "canary.heard";

struct Canary;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {}

impl Policy for Canary {
    type Settings = Settings;
    type State = ();

    fn describe() -> Description {
        airlock_sdk::description!()
    }

    fn configure(_: &Settings) -> Result<Subscription, String> {
        Ok(Subscription::new()
            .wake_every_tokens(1)
            .wake_on(EventKind::ToolCall)
            .wake_on(EventKind::ToolResult)
            .wake_on(EventKind::ResponseEnd)
            .sees(EventKind::Text)
            .sees(EventKind::ToolCall)
            .sees(EventKind::ToolResult)
            .finding(HEARD))
    }

    fn start(_: Facts, _: Settings, (): ()) -> Result<Self, String> {
        Ok(Self)
    }

    fn state(&self) -> &() {
        &()
    }
}

/// An event as a test reads it; nothing of one that has no text of an answer or of a tool.
fn heard(event: &Event<'_>) -> Option<Value> {
    let place = event.place;
    match (&event.kind, event.detail) {
        (EventKind::Text, _) => Some(json!({
            "text": event.text,
            "channel": place.channel.to_string(),
            "choice": place.choice,
            "item": place.item,
            "offset": event.offset,
        })),
        (_, Some(Detail::ToolCall(call))) => {
            Some(json!({ "call": call.name, "id": call.call, "arguments": event.text }))
        }
        (_, Some(Detail::ToolResult(result))) => {
            Some(json!({ "result": result.name, "id": result.call, "said": event.text }))
        }
        _ => None,
    }
}

impl Reasoner for Canary {
    fn observe(&mut self, batch: &Batch) -> Result<Assessment, String> {
        let all: Vec<Value> = batch.events().filter_map(|event| heard(&event)).collect();
        if all.is_empty() {
            return Ok(Assessment::none());
        }
        let finding = Finding::new(HEARD, Severity::Info, "heard");
        Ok(finding.about(Subject::Response).data(&all).into())
    }
}

export_reasoner!(Canary);
