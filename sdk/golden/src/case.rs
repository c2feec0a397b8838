//! What a golden case says. Deserialised from JSON; unknown fields are errors, because a misspelt expectation would
//! otherwise hold for ever.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// One case: a session under given settings, and the calls that the host makes in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Case {
    /// What the case shows, for people.
    pub name: String,
    /// Settings of the policy.
    #[serde(default = "empty_object")]
    pub settings: Value,
    /// Facts of the session, a record `facts`.
    #[serde(default = "empty_object")]
    pub facts: Value,
    /// Content that `content.read` finds, by id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub content: BTreeMap<u64, String>,
    /// The settings must be refused with an error that contains this. Such a case has no calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The calls, in order.
    #[serde(default)]
    pub calls: Vec<Call>,
}

/// One call of the policy: a record `batch`, written for people (text and detail stand in their event, and offsets are
/// counted), and what the policy must answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Call {
    /// Why the policy is called.
    #[serde(default = "request")]
    pub checkpoint: String,
    /// Number of the exchange.
    #[serde(default = "one")]
    pub exchange: u32,
    /// Sequence number of the first event; if left out, it goes on from the call before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seq: Option<u64>,
    /// Time of the first event, microseconds since the Unix epoch.
    #[serde(default)]
    pub time: u64,
    /// The events.
    #[serde(default)]
    pub events: Vec<EventCase>,
    /// Matches of the policy's patterns, records `pattern-match`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Value>,
    /// Findings of other policies, records `reported-finding`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Value>,
    /// What must come out.
    #[serde(default)]
    pub expect: Expect,
}

/// One event with its text and its detail.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EventCase {
    /// An `event-kind`.
    pub kind: String,
    /// A `channel`.
    #[serde(default = "none")]
    pub channel: String,
    /// Index of the choice.
    #[serde(default)]
    pub choice: u16,
    /// Index of the block.
    #[serde(default)]
    pub block: u16,
    /// Microseconds after the time of the batch.
    #[serde(default)]
    pub after: u32,
    /// Offset in the channel; if left out, it goes on from the event before in the same channel, choice, block and exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u32>,
    /// Tokens in the text.
    #[serde(default)]
    pub tokens: u32,
    /// The text.
    #[serde(default)]
    pub text: String,
    /// A `detail`, as `{"tool-result": {"name": "search", "failed": true}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Value>,
}

/// What must come out of a call. A list must have exactly these members, each of them with at least these fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Expect {
    /// Records `finding`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Value>,
    /// Records `release-mark`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub release: Vec<Value>,
    /// Cases of `action`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Value>,
    /// Records `pending`, of the reasoner and then of the actuator.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Value>,
}

/// Counts what an author need not: sequence numbers, and offsets by place.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    seq: u64,
    offsets: BTreeMap<(u32, String, u16, u16), u32>,
}

impl Call {
    /// The record `batch` in the form of [`crate::wit_json`], for a batch that stands alone.
    pub fn to_value(&self) -> Value {
        self.counted(&mut Counters::default())
    }

    pub(crate) fn counted(&self, counters: &mut Counters) -> Value {
        let first_seq = self.first_seq.unwrap_or(counters.seq + 1);
        counters.seq = first_seq + (self.events.len() as u64).saturating_sub(1);
        let mut text = String::new();
        let mut details = Vec::new();
        let mut events = Vec::new();
        for (index, event) in self.events.iter().enumerate() {
            text.push_str(&event.text);
            let place = (
                self.exchange,
                event.channel.clone(),
                event.choice,
                event.block,
            );
            let next = counters.offsets.entry(place).or_default();
            let offset = event.offset.unwrap_or(*next);
            if event.kind == "text" {
                *next = offset + event.text.len() as u32;
            }
            events.push(json!({
                "kind": event.kind, "channel": event.channel, "choice": event.choice, "block": event.block,
                "after": event.after, "text-end": text.len(), "offset": offset, "tokens": event.tokens,
            }));
            if let Some(detail) = &event.detail {
                details.push(json!([index, detail]));
            }
        }
        json!({
            "checkpoint": self.checkpoint, "exchange": self.exchange, "first-seq": first_seq, "time": self.time,
            "text-bytes": text.len(), "text": text, "events": events, "details": details, "matches": self.matches,
        })
    }
}

fn empty_object() -> Value {
    Value::Object(Map::new())
}

fn request() -> String {
    "request".into()
}

fn none() -> String {
    "none".into()
}

fn one() -> u32 {
    1
}
