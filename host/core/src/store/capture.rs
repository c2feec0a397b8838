//! How much of what was said is recorded.
//!
//! Applied before an event is queued or shown, so what is not to be kept never reaches the disk or the live feed.
//! Sizes, counts, names of tools and models, kinds of findings and outcomes of interventions are always kept: they say
//! what happened without saying what was said. Headers are no part of any event.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::redact;
use crate::event::{Body, Place};

/// How much content is recorded.
///
/// Full by default: the timeline is what explains an intervention, only a full one can be replayed, and it lies in a file
/// that only its owner reads and that forgets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capture {
    /// All of it.
    #[default]
    Full,
    /// With what looks like personal data or credentials masked; best effort, see [`redact`]. Not replayable.
    Redacted,
    /// Sizes only. Not replayable.
    None,
}

/// Reduces the events of one session.
#[derive(Debug)]
pub struct Reducer {
    capture: Capture,
    /// Ends of texts that are held back, because what follows may make them part of something to mask.
    held: HashMap<(u32, Place), Held>,
}

#[derive(Debug, Default)]
struct Held {
    text: String,
    /// Where the held text begins in its channel.
    offset: u32,
}

impl Reducer {
    /// For a new or resumed session.
    pub fn new(capture: Capture) -> Self {
        Self {
            capture,
            held: HashMap::new(),
        }
    }

    /// Texts held back that must be recorded before `body` is: a generation's last words, before its end. They carry no
    /// bytes and tokens of their own, since those were told when they arrived.
    pub fn before(&mut self, exchange: u32, body: &Body) -> Vec<Body> {
        if self.held.is_empty() || !matches!(body, Body::ToolCall { .. } | Body::ResponseEnd { .. })
        {
            return Vec::new();
        }
        let mut places: Vec<_> = self
            .held
            .keys()
            .filter(|(owner, _)| *owner == exchange)
            .copied()
            .collect();
        places.sort_unstable();
        places
            .iter()
            .filter_map(|key| self.held.remove_entry(key))
            .filter(|(_, held)| !held.text.is_empty())
            .map(|((_, place), held)| Body::Text {
                place,
                offset: held.offset,
                text: redact::mask(&held.text).into_owned(),
                bytes: 0,
                tokens: 0,
            })
            .collect()
    }

    /// The event as it may be recorded.
    pub fn reduce(&mut self, exchange: u32, mut body: Body) -> Body {
        match self.capture {
            Capture::Full => {}
            Capture::None => each_content(&mut body, &mut |content| content.clear()),
            Capture::Redacted => {
                if let Body::Text {
                    place,
                    offset,
                    text,
                    ..
                } = &mut body
                {
                    self.reduce_text(exchange, *place, offset, text);
                } else {
                    each_content(&mut body, &mut |content| content.mask());
                }
            }
        }
        body
    }

    fn reduce_text(&mut self, exchange: u32, place: Place, offset: &mut u32, text: &mut String) {
        let held = self.held.entry((exchange, place)).or_default();
        if held.text.is_empty() {
            held.offset = *offset;
        }
        held.text.push_str(text);
        *offset = held.offset;
        let settled = redact::settled(&held.text);
        let rest = held.text.split_off(settled);
        *text = redact::mask(&held.text).into_owned();
        held.offset += settled as u32;
        held.text = redact::shorten(rest);
    }
}

/// A part of an event that may quote what somebody said.
enum Content<'a> {
    Text(&'a mut String),
    Json(&'a mut Value),
}

impl Content<'_> {
    fn clear(&mut self) {
        match self {
            Self::Text(text) => text.clear(),
            Self::Json(value) => **value = Value::Null,
        }
    }

    fn mask(&mut self) {
        match self {
            Self::Text(text) => mask_text(text),
            Self::Json(value) => mask_json(value),
        }
    }
}

/// A text as it may be kept for good.
pub fn reduce_text(capture: Capture, text: &mut String) {
    reduce_content(capture, &mut Content::Text(text));
}

/// A JSON value as it may be kept for good.
pub fn reduce_json(capture: Capture, value: &mut Value) {
    reduce_content(capture, &mut Content::Json(value));
}

fn reduce_content(capture: Capture, content: &mut Content<'_>) {
    match capture {
        Capture::Full => {}
        Capture::Redacted => content.mask(),
        Capture::None => content.clear(),
    }
}

fn mask_text(text: &mut String) {
    if let Cow::Owned(masked) = redact::mask(text) {
        *text = masked;
    }
}

fn mask_json(value: &mut Value) {
    match value {
        Value::String(text) => mask_text(text),
        Value::Array(items) => items.iter_mut().for_each(mask_json),
        Value::Object(fields) => fields.values_mut().for_each(mask_json),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Every field of content, of every kind of event. A new kind does not compile until it is decided here.
fn each_content(body: &mut Body, f: &mut impl FnMut(&mut Content<'_>)) {
    let mut text = |text| f(&mut Content::Text(text));
    match body {
        Body::Message { text: t, .. }
        | Body::Part { text: t, .. }
        | Body::ToolResult { text: t, .. }
        | Body::Text { text: t, .. }
        | Body::Failure { text: t, .. }
        | Body::PolicyFault { text: t, .. } => text(t),
        Body::ToolCall { arguments, .. } => text(arguments),
        Body::Finding { summary, data, .. } => {
            text(summary);
            text(data);
        }
        Body::Annotation { value, .. } => text(value),
        Body::Held { title, .. } => text(title),
        Body::Decided { note, .. } => text(note),
        Body::Asked { text: t, .. } => text(t),
        Body::Answer { value, .. } => f(&mut Content::Json(value)),
        Body::Intervention {
            reason, arguments, ..
        } => {
            text(reason);
            f(&mut Content::Json(arguments));
        }
        Body::SessionOpened { .. }
        | Body::HistoryRewritten { .. }
        | Body::Request { .. }
        | Body::FirstToken { .. }
        | Body::ResponseEnd { .. }
        | Body::Vitals { .. }
        | Body::PolicyCall { .. }
        | Body::PolicySeated { .. }
        | Body::PolicyMoved { .. }
        | Body::Passage { .. }
        | Body::Unjudged { .. }
        | Body::Dropped { .. } => {}
    }
}
