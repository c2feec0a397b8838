//! Facts of an event or body as pieces.

use super::course::Course;
use super::fact::Fact;
use super::failure::utf8;
use super::undecodable::undecodable;
use super::{events, failure};
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::sse::Frame;
use crate::dialect::{CallKind, CallPart, Finish, Identity, Piece, Slot, Undecodable, usage};
use crate::event::Usage;

/// What some proxies send behind the last event, as another API has it. No client of this one reads it.
const TERMINATOR: &str = "[DONE]";

/// The data of a frame as an event's JSON; `None` for comments, blank frames and what other APIs end with.
pub(super) fn data(frame: &Frame) -> Result<Option<&str>, Undecodable> {
    let Some(data) = &frame.data else {
        return Ok(None);
    };
    let data = utf8(data)?.trim_ascii();
    Ok((!data.is_empty() && data != TERMINATOR).then_some(data))
}

/// Reads an event that stands in a stream behind `before`.
pub(super) fn event(
    source: &str,
    before: Course,
    identity: &mut Identity,
    out: &mut Vec<Piece>,
) -> Result<Course, Undecodable> {
    let after = events::event(source, before, &mut |fact| {
        piece(fact, false, identity, out)
    })?;
    if after.ended && !before.ended {
        out.push(Piece::End);
    }
    Ok(after)
}

/// Clients go by the name in the line, others by the one in the data: an event has one.
pub(super) fn is_named_alike(frame: &Frame, source: &str) -> Result<(), Undecodable> {
    let Some(line) = &frame.event else {
        return Ok(());
    };
    let root = Object::parse(source).map_err(|error| undecodable("the event", error))?;
    let name = events::name(&root)?;
    match line.as_ref() == name.as_bytes() {
        true => Ok(()),
        false => {
            let line = String::from_utf8_lossy(line);
            let what = format!("it is `{name}` in the data, and `{line}` in the line before");
            Err(undecodable("event", what))
        }
    }
}

pub(super) fn body(
    body: &[u8],
    identity: &mut Identity,
    out: &mut Vec<Piece>,
) -> Result<(), Undecodable> {
    events::body(utf8(body)?, &mut |fact| piece(fact, true, identity, out))?;
    out.push(Piece::End);
    Ok(())
}

/// A fact as a piece, if it is one. In a body, calls stand in a list.
pub(super) fn piece(fact: Fact<'_>, whole: bool, identity: &mut Identity, out: &mut Vec<Piece>) {
    out.extend(match fact {
        Fact::Id(value) => return learn(&mut identity.id, value),
        Fact::Model(value) => return learn(&mut identity.model, value),
        Fact::Text {
            place,
            text,
            generated,
            ..
        } => Some(Piece::Text {
            place,
            text: text.into_owned(),
            generated,
        }),
        Fact::Call(part) => Some(Piece::Call(CallPart {
            choice: 0,
            slot: match whole {
                true => Slot::Whole,
                false => Slot::Index(part.number),
            },
            kind: CallKind::Function,
            id: part.id.map(|id| id.into_owned()),
            name: part.name.map(|name| name.into_owned()),
            arguments: part.arguments.into_owned(),
        })),
        Fact::Finish { reason, .. } => Some(Piece::Finish {
            choice: 0,
            reason: reason.into_owned(),
        }),
        Fact::Usage(value) => counted(value).map(Piece::Usage),
        Fact::Error(value) => Some(Piece::Error(failure::of(0, value))),
    });
}

fn learn(known: &mut String, value: Raw<'_>) {
    if let Some(said) = json::string(value).filter(|said| !said.is_empty()) {
        *known = said.into_owned();
    }
}

fn counted(value: Raw<'_>) -> Option<Usage> {
    usage::read(&serde_json::from_str(value.get()).ok()?)
}

/// What a stop reason means.
pub(super) fn meaning(reason: &str) -> Finish {
    match reason {
        "end_turn" | "stop_sequence" => Finish::Stop,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "refusal" => Finish::Filtered,
        _ => Finish::Other,
    }
}
