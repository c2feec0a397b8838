//! Events as the numbers that a batch passes: what an author names, counted.

use serde_json::Value;

/// Words of an event.
pub(crate) const EVENT_WORDS: u32 = 10;

/// Kinds of events, in the order of the contract's `event-kind`: the index of a name is its number.
pub const EVENT_KINDS: [&str; 16] = [
    "session-opened",
    "history-rewritten",
    "message",
    "part",
    "tool-offered",
    "request",
    "text",
    "tool-call",
    "tool-result",
    "response-end",
    "failure",
    "vitals",
    "answer",
    "intervention",
    "finding",
    "other",
];

/// Channels, in the order of the contract's `channel`: the index of a name is its number.
pub const CHANNELS: [&str; 8] = [
    "nowhere",
    "output",
    "reasoning",
    "refusal",
    "tool-arguments",
    "message",
    "tool-result",
    "other",
];

/// Where a text stands: channel, choice, item, part.
pub(crate) type Place = [u32; 4];

/// One event in numbers.
pub(crate) struct Words {
    pub(crate) kind: u32,
    /// 0 for none, else one more than the index of its detail.
    pub(crate) detail: u32,
    pub(crate) text_end: u32,
    pub(crate) after: u32,
    pub(crate) place: Place,
    pub(crate) offset: u32,
    pub(crate) tokens: u32,
}

impl Words {
    /// Appends it to the numbers of a batch.
    pub(crate) fn write(self, events: &mut Vec<Value>) {
        let [channel, choice, item, part] = self.place;
        let words: [u32; EVENT_WORDS as usize] = [
            self.kind,
            self.detail,
            self.text_end,
            self.after,
            channel,
            choice,
            item,
            part,
            self.offset,
            self.tokens,
        ];
        events.extend(words.map(Value::from));
    }
}

pub(crate) fn kind(name: &str) -> Result<u32, String> {
    number("kind of event", &EVENT_KINDS, name)
}

pub(crate) fn channel(name: &str) -> Result<u32, String> {
    number("channel", &CHANNELS, name)
}

/// The channel of an event that states none.
pub(crate) fn channel_of(kind: &str, text: &str) -> &'static str {
    match kind {
        "text" => "output",
        _ if text.is_empty() => "nowhere",
        "message" => "message",
        "tool-call" => "tool-arguments",
        "tool-result" => "tool-result",
        _ => "nowhere",
    }
}

fn number(what: &str, names: &[&str], name: &str) -> Result<u32, String> {
    let number = names.iter().position(|known| *known == name);
    number.map(|number| number as u32).ok_or_else(|| {
        format!(
            "there is no {what} `{name}`; there are {}",
            names.join(", ")
        )
    })
}
