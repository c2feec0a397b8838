//! A stream that says what the upstream of another API said, piece by piece.
//!
//! Texts and thoughts go out as they come, each in a block of its kind. Calls wait until the end: other APIs send parts of
//! several in turn, and here one block is open at a time.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::course::{Course, Kind};
use super::say;
use crate::dialect::{CallKind, CallPart, EditError, Finish, Slot};
use crate::event::{Channel, Place, Usage};

/// What waits for the end of the stream.
#[derive(Debug, Default)]
pub(super) struct Voice {
    /// By number.
    calls: BTreeMap<u16, CallPart>,
    /// Why it ended, in this API's word.
    reason: Option<String>,
    refused: bool,
    failed: bool,
    usage: Usage,
}

impl Voice {
    /// Text at a place, behind what the client has read.
    pub fn text(&mut self, read: &Course, place: Place, text: &str) -> Result<String, EditError> {
        let (kind, block, delta) = match place.channel {
            _ if place.choice > 0 => {
                return Err(EditError::at(place, "an answer of this API has one choice"));
            }
            Channel::Output | Channel::Refusal => (
                Kind::Text,
                json!({ "type": "text", "text": "" }),
                json!({ "type": "text_delta", "text": text }),
            ),
            Channel::Reasoning => (
                Kind::Thinking,
                json!({ "type": "thinking", "thinking": "", "signature": "" }),
                json!({ "type": "thinking_delta", "thinking": text }),
            ),
            _ => {
                let what = "no one field bears the text of this channel";
                return Err(EditError::at(place, what));
            }
        };
        self.refused |= place.channel == Channel::Refusal;
        Ok(match read.open {
            Some(open) if open.kind == kind => say::add(open.index, delta),
            open => {
                let closed = open.map(|open| say::stop(open.index)).unwrap_or_default();
                closed + &say::begin(read.blocks, block) + &say::add(read.blocks, delta)
            }
        })
    }

    /// A part of a call.
    pub fn call(&mut self, part: &CallPart) -> Result<(), EditError> {
        let place = Place::new(Channel::ToolArguments, part.choice, 0);
        let number = match part.slot {
            _ if part.choice > 0 => {
                return Err(EditError::at(place, "an answer of this API has one choice"));
            }
            _ if part.kind == CallKind::Custom => {
                let what = "the input of a call is JSON, and not text";
                return Err(EditError::at(place, what));
            }
            Slot::Index(number) => number,
            _ => return Err(EditError::at(place, "the call has no number")),
        };
        let call = self.calls.entry(number).or_default();
        call.id = call.id.take().or_else(|| part.id.clone());
        call.name = call.name.take().or_else(|| part.name.clone());
        call.arguments.push_str(&part.arguments);
        Ok(())
    }

    /// The answer ended: what is open is closed, and the calls are said.
    pub fn finish(&mut self, read: &Course, reason: &str, finish: Finish) -> String {
        let calls = read.calls > 0 || !self.calls.is_empty();
        let reason = match finish {
            // Some servers stop so with calls. Clients of this API run none then.
            Finish::Stop | Finish::ToolCalls if calls => say::TOOL_USE,
            Finish::Stop if self.refused => say::REFUSAL,
            Finish::Stop | Finish::ToolCalls => say::END_TURN,
            Finish::Length => say::MAX_TOKENS,
            Finish::Filtered => say::REFUSAL,
            Finish::Other => reason,
        };
        self.reason = Some(reason.to_owned());
        self.close(read)
    }

    fn close(&mut self, read: &Course) -> String {
        let closed = read.open.map(|open| say::stop(open.index));
        let mut out = closed.unwrap_or_default();
        let calls = std::mem::take(&mut self.calls);
        for (index, (number, call)) in (read.blocks..).zip(calls) {
            out.push_str(&say::begin(index, begun(number, &call)));
            if !call.arguments.is_empty() {
                out.push_str(&say::input(index, &call.arguments));
            }
            out.push_str(&say::stop(index));
        }
        out
    }

    /// Tokens so far.
    pub fn count(&mut self, usage: Usage) {
        self.usage = self.usage.with(usage);
    }

    /// The upstream failed.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    /// The end of the stream.
    pub fn end(&mut self, read: &Course) -> String {
        if self.failed {
            return String::new();
        }
        let closed = self.close(read);
        let reason = self.reason.take();
        let reason = reason.as_deref().unwrap_or(match read.calls {
            0 => say::END_TURN,
            _ => say::TOOL_USE,
        });
        closed + &say::end(reason, None, self.usage, None) + &say::message_stop()
    }
}

/// A call that its server gave no id has the one by which Airlock knows it.
fn begun(number: u16, call: &CallPart) -> Value {
    let id = call
        .id
        .clone()
        .unwrap_or_else(|| format!("airlock-0-{number}"));
    let name = call.name.as_deref().unwrap_or_default();
    json!({ "type": "tool_use", "id": id, "name": name, "input": {} })
}
