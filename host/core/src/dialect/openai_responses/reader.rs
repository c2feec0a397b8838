//! Reads one leg's answer of Responses: facts as pieces.

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::openai_responses::error;
use crate::dialect::openai_responses::event::Kind;
use crate::dialect::openai_responses::fact::{Event, Fact};
use crate::dialect::openai_responses::own::Own;
use crate::dialect::openai_responses::record::Record;
use crate::dialect::openai_responses::undecodable::undecodable;
use crate::dialect::openai_responses::{response, walk};
use crate::dialect::sse::Frame;
use crate::dialect::{CallPart, Identity, Piece, Reader, Slot, Undecodable, usage};

/// What ends the stream of some servers.
const TERMINATOR: &str = "[DONE]";

/// What one leg's answer has said.
#[derive(Debug, Default)]
pub(super) struct ResponsesReader {
    record: Record,
    identity: Identity,
    own: Own,
}

/// The data of a frame as an event's JSON; `None` for comments, blank frames and the terminator.
pub(super) fn source(frame: &Frame) -> Result<Option<&str>, Undecodable> {
    let Some(data) = &frame.data else {
        return Ok(None);
    };
    let data = utf8(data)?.trim_ascii();
    Ok((!data.is_empty() && data != TERMINATOR).then_some(data))
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Undecodable> {
    std::str::from_utf8(bytes).map_err(|error| undecodable("the response", error))
}

/// A whole body as the last event of a stream. An error object is none, and is read as an event of its own.
pub(super) fn whole<'a>(record: &mut Record, source: &'a str) -> Result<Event<'a>, Undecodable> {
    let root = Object::parse(source).map_err(|error| undecodable("the response", error))?;
    let answers =
        root.get("output").is_some() || root.string("object").as_deref() == Some("response");
    if !answers {
        return walk::event(record, source);
    }
    let value = Raw::of(source).map_err(|error| undecodable("the response", error))?;
    let mut event = Event {
        kind: Kind::Ends,
        ..Event::default()
    };
    response::response(record, value, true, &mut event)?;
    Ok(event)
}

/// What facts say. In a body each call stands for itself.
pub(super) fn pieces(event: &Event<'_>, body: bool, out: &mut Vec<Piece>) {
    // What ends an answer is taken out of one that goes on; items that it is the first to say must not go with it.
    let bears = |fact: &Fact<'_>| match fact {
        Fact::Text(said) => said.item.is_some() && !said.news().is_empty(),
        Fact::Call(part) => part.says,
        _ => false,
    };
    let bears = !body && event.facts.iter().any(bears);
    for fact in &event.facts {
        match fact {
            Fact::Text(said) if !said.news().is_empty() => out.push(Piece::Text {
                place: said.place,
                text: said.news().to_owned(),
                generated: said.generated,
            }),
            Fact::Call(part) if part.says => out.push(Piece::Call(CallPart {
                choice: 0,
                slot: match body {
                    true => Slot::Whole,
                    false => Slot::Index(part.number),
                },
                kind: part.kind,
                id: part.id.clone(),
                name: part.name.clone(),
                arguments: part.news().to_owned(),
            })),
            Fact::Usage(value) => out.extend(stated(*value).map(Piece::Usage)),
            Fact::Error(value) => out.push(Piece::Error(error::failure(0, *value))),
            Fact::Finish(reason) => out.push(Piece::Finish {
                choice: 0,
                reason: reason.clone(),
            }),
            Fact::End if !bears => out.push(Piece::End),
            _ => {}
        }
    }
}

fn stated(value: Raw<'_>) -> Option<crate::event::Usage> {
    usage::read(&serde_json::from_str(value.get()).ok()?)
}

impl ResponsesReader {
    fn learn(&mut self, event: &Event<'_>) {
        let mut stated = Identity::default();
        for fact in &event.facts {
            match fact {
                Fact::Id(value) => {
                    stated.id = json::string(*value).unwrap_or_default().into_owned()
                }
                Fact::Model(value) => {
                    stated.model = json::string(*value).unwrap_or_default().into_owned();
                }
                Fact::Created(value) => {
                    let seconds = json::integer(*value).or_else(|| {
                        let seconds: Option<f64> = value.get().parse().ok();
                        seconds.map(|seconds| seconds as i64)
                    });
                    stated.created = seconds.and_then(|at| u64::try_from(at).ok()).unwrap_or(0);
                }
                _ => {}
            }
        }
        self.identity.meet(&stated);
    }
}

impl Reader for ResponsesReader {
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Piece>) -> Result<(), Undecodable> {
        let Some(source) = source(frame)? else {
            let ends = frame.says() && !self.record.ended;
            out.extend(ends.then_some(Piece::End));
            return Ok(());
        };
        let event = walk::event(&mut self.record, source)?;
        self.learn(&event);
        pieces(&event, false, out);
        Ok(())
    }

    fn body(&mut self, body: &[u8], out: &mut Vec<Piece>) -> Result<(), Undecodable> {
        let event = whole(&mut self.record, utf8(body)?)?;
        self.learn(&event);
        pieces(&event, true, out);
        if !out.contains(&Piece::End) {
            out.push(Piece::End);
        }
        Ok(())
    }

    fn is_usage_only(&self, _: &Frame) -> bool {
        false
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn gather(&mut self, payload: &[u8]) {
        self.own.gather(payload);
    }

    fn give_up(&mut self) {
        self.own.give_up();
    }

    fn own_message(&self) -> Option<String> {
        self.own.message()
    }

    fn own_call(&self, id: &str) -> Option<String> {
        self.own.call(id)
    }
}
