//! What a golden case says. Deserialised from JSON; unknown fields are errors, because a misspelt expectation would
//! otherwise hold for ever.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::words::{self, Place, Words};

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

/// One call of the policy: a record `batch`, written for people (events are objects that have their text and detail, and
/// offsets are counted), and what the policy must answer.
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
    /// Findings of other policies, records `reported-finding`; of this session and exchange, if one does not say otherwise.
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
    /// A `channel`; if left out: `output` for a `text`; for a `message`, a `tool-call` or a `tool-result` that has text,
    /// its own (`message`, `tool-arguments`, `tool-result`); else `nowhere`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Index of the choice.
    #[serde(default)]
    pub choice: u32,
    /// Index of the item; if left out, that of the message for a `message` whose detail states one, else 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
    /// Index of the part in the item.
    #[serde(default)]
    pub part: u32,
    /// Microseconds after the time of the batch.
    #[serde(default)]
    pub after: u32,
    /// Offset of its text in its place; if left out, a `text` goes on from the one before in the same place and exchange,
    /// any other begins at 0.
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

impl EventCase {
    fn place(&self) -> Result<Place, String> {
        let channel = match &self.channel {
            Some(name) => words::channel(name)?,
            None => words::channel(words::channel_of(&self.kind, &self.text))?,
        };
        let index = || self.detail.as_ref()?.pointer("/message/index")?.as_u64();
        let item = self.item.or_else(|| index()?.try_into().ok());
        Ok([channel, self.choice, item.unwrap_or(0), self.part])
    }
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
    pub marks: Vec<Value>,
    /// Cases of `action`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Value>,
    /// Records `remote-action`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<Value>,
    /// Records `pending`, of the reasoner and then of the actuator.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Value>,
}

/// Counts what an author need not: sequence numbers, and offsets by exchange and place.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    seq: u64,
    offsets: BTreeMap<(u32, Place), u32>,
}

impl Call {
    /// The record `batch` in the form of [`crate::wit_json`], for a batch that stands alone.
    ///
    /// # Errors
    /// A kind or a channel that the contract does not have.
    pub fn to_value(&self) -> Result<Value, String> {
        self.counted(&mut Counters::default())
    }

    pub(crate) fn counted(&self, counters: &mut Counters) -> Result<Value, String> {
        let first_seq = self.first_seq.unwrap_or(counters.seq.saturating_add(1));
        let further = (self.events.len() as u64).saturating_sub(1);
        counters.seq = first_seq.saturating_add(further);
        let (mut text, mut events, mut details) = (String::new(), Vec::new(), Vec::new());
        for (index, event) in self.events.iter().enumerate() {
            let wrong = |why| format!("event {index}: {why}");
            let kind = words::kind(&event.kind).map_err(wrong)?;
            let place = event.place().map_err(wrong)?;
            text.push_str(&event.text);
            details.extend(&event.detail);
            let mut offset = event.offset.unwrap_or(0);
            if event.kind == "text" {
                let next = counters.offsets.entry((self.exchange, place)).or_default();
                offset = event.offset.unwrap_or(*next);
                *next = offset.saturating_add(length(&event.text));
            }
            let words = Words {
                kind,
                detail: event.detail.as_ref().map_or(0, |_| details.len() as u32),
                text_end: length(&text),
                after: event.after,
                place,
                offset,
                tokens: event.tokens,
            };
            words.write(&mut events);
        }
        let attached = (!details.is_empty() || !self.matches.is_empty())
            .then(|| json!({ "details": details, "matches": self.matches }));
        Ok(json!({
            "checkpoint": self.checkpoint, "exchange": self.exchange, "first-seq": first_seq, "time": self.time,
            "text": text, "event-words": words::EVENT_WORDS, "events": events, "attached": attached,
        }))
    }
}

/// Bytes of a text.
fn length(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

fn empty_object() -> Value {
    Value::Object(Map::new())
}

fn request() -> String {
    "request".into()
}

fn one() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn call(call: Value) -> Call {
        serde_json::from_value(call).unwrap()
    }

    #[test]
    fn events_become_numbers() {
        let written = call(json!({
            "checkpoint": "stream", "exchange": 2, "first-seq": 7, "time": 5,
            "events": [
                { "kind": "text", "text": "ab", "tokens": 3 },
                { "kind": "vitals", "after": 9, "detail": { "vitals": [] } },
                { "kind": "text", "channel": "reasoning", "choice": 1, "item": 2, "part": 3, "offset": 40, "text": "c" },
                { "kind": "text", "text": "d" },
                { "kind": "message", "text": "hi", "detail": { "message": { "index": 6 } } },
                { "kind": "tool-call", "item": 1, "text": "{}" },
                { "kind": "tool-result" },
            ],
            "matches": [{ "pattern": 0, "span": { "place": { "channel": "output" }, "offset": 1, "length": 2 } }],
        }));
        assert_eq!(
            written.to_value().unwrap(),
            json!({
                "checkpoint": "stream", "exchange": 2, "first-seq": 7, "time": 5, "text": "abcdhi{}", "event-words": 10,
                "events": [
                    6, 0, 2, 0, 1, 0, 0, 0, 0, 3,
                    11, 1, 2, 9, 0, 0, 0, 0, 0, 0,
                    6, 0, 3, 0, 2, 1, 2, 3, 40, 0,
                    6, 0, 4, 0, 1, 0, 0, 0, 2, 0,
                    2, 2, 6, 0, 5, 0, 6, 0, 0, 0,
                    7, 0, 8, 0, 4, 0, 1, 0, 0, 0,
                    8, 0, 8, 0, 0, 0, 0, 0, 0, 0,
                ],
                "attached": {
                    "details": [{ "vitals": [] }, { "message": { "index": 6 } }],
                    "matches": [
                        { "pattern": 0, "span": { "place": { "channel": "output" }, "offset": 1, "length": 2 } },
                    ],
                },
            })
        );
    }

    #[test]
    fn a_text_goes_on_in_its_place_and_exchange_only() {
        let mut counters = Counters::default();
        let mut offset = |exchange: u32, channel: &str| {
            let written = call(json!({
                "exchange": exchange, "events": [{ "kind": "text", "channel": channel, "text": "1234" }],
            }));
            let batch = written.counted(&mut counters).unwrap();
            (batch["first-seq"].clone(), batch["events"][8].clone())
        };
        assert_eq!(offset(1, "output"), (json!(1), json!(0)));
        assert_eq!(offset(1, "output"), (json!(2), json!(4)));
        assert_eq!(offset(1, "refusal"), (json!(3), json!(0)));
        assert_eq!(offset(2, "output"), (json!(4), json!(0)));
        assert_eq!(offset(1, "output"), (json!(5), json!(8)));
    }

    #[test]
    fn numbers_that_are_too_large_stay_at_the_largest() {
        let mut counters = Counters::default();
        let last = call(json!({
            "first-seq": u64::MAX,
            "events": [{ "kind": "text", "offset": u32::MAX, "text": "ab" }, { "kind": "text", "text": "cd" }],
        }));
        let batch = last.counted(&mut counters).unwrap();
        assert_eq!(batch["events"][18], json!(u32::MAX));
        let next = call(json!({})).counted(&mut counters).unwrap();
        assert_eq!(next["first-seq"], json!(u64::MAX));
    }

    #[test]
    fn a_batch_of_plain_text_has_nothing_attached() {
        let plain = call(json!({ "events": [{ "kind": "text", "text": "hi" }] }));
        assert_eq!(plain.to_value().unwrap()["attached"], Value::Null);
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
        let wrong =
            |event: Value| call(json!({ "events": [{ "kind": "text" }, event] })).to_value();
        let error = wrong(json!({ "kind": "tool_call" })).unwrap_err();
        assert!(
            error.contains("event 1: there is no kind of event `tool_call`")
                && error.contains("tool-call, "),
            "{error}"
        );
        let error = wrong(json!({ "kind": "text", "channel": "toolarguments" })).unwrap_err();
        assert!(
            error.contains("no channel `toolarguments`") && error.contains("tool-arguments"),
            "{error}"
        );
    }
}
