//! What the client of a stream has read, and what its upstream has said: from these two the writer knows which number a
//! block has for the client, and what is open.
//!
//! An answer may be made of the legs of several upstream calls. The client reads one message: that of the first leg begins it,
//! blocks are numbered through, and only the last leg ends it.

use std::borrow::Cow;

use bytes::Bytes;

use super::course::{Course, Kind};
use super::edit::{self, Meant, Walk, meant, reads_as_meant, said, texts};
use super::fact::{Fact, Form};
use super::frames::{cut, named, reframed};
use super::undecodable::undecodable;
use super::{events, read, say};
use crate::dialect::json::{self, Object, Splices};
use crate::dialect::sse::Frame;
use crate::dialect::{CallEdit, EditError, Edits, Identity, Piece, Undecodable};
use crate::event::{Channel, Place};

/// The two courses.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    /// Of the leg's upstream.
    pub said: Course,
    /// Of what the client reads.
    pub read: Course,
    /// The upstream's open block does not reach the client.
    hidden: bool,
    /// The client's open block is of an earlier leg, which broke off.
    stale: bool,
    /// A call of the leg was left out.
    dropped: bool,
}

/// What becomes of a frame: its bytes, if any are left, and the record behind it.
pub(super) type Written = (Option<Bytes>, Record);

impl Record {
    /// Whether the client reads what the upstream says, number by number.
    pub fn is_even(&self) -> bool {
        self.said == self.read && !self.hidden && !self.stale && !self.dropped
    }

    /// An event with the edits made.
    pub fn write(
        &self,
        frame: &Frame,
        source: &str,
        edits: &Edits<'_>,
    ) -> Result<Written, EditError> {
        let root = Object::parse(source).map_err(|error| undecodable("the event", error))?;
        let name = events::name(&root)?;
        let mut next = *self;
        if &*name == "message_start" {
            // Another leg begins, whether the client saw the end of the one before or not.
            (next.said, next.hidden, next.dropped) = (Course::default(), false, false);
            if edits.identity.is_none() {
                // It is the client's own beginning.
                next.read = Course::default();
            }
            next.stale = next.read.open.is_some();
        }
        let course = next.said;
        let plain = *edits == Edits::default();
        if plain && next.is_even() {
            next.said = events::event(source, course, &mut |_| {})?;
            next.read = next.said;
            return Ok((Some(named(frame, &name, source)), next));
        }
        let walk: Walk<'_> = &|source, tell| events::event(source, course, tell).map(|_| ());
        let before = said(source, false, walk)?;
        next.said = events::event(source, course, &mut |_| {})?;
        let mut event = Event {
            frame,
            name: &name,
            source,
            edits,
            walk,
            before,
        };
        event.write(&mut next)
    }

    /// Walks what was written as its client reads it.
    pub fn reads(&mut self, written: &[u8]) -> Result<Vec<Piece>, Undecodable> {
        let (mut pieces, mut identity) = (Vec::new(), Identity::default());
        for frame in cut(written)? {
            if let Some(source) = read::data(&frame)? {
                self.read = read::event(source, self.read, &mut identity, &mut pieces)?;
            }
        }
        Ok(pieces)
    }
}

/// An event that is written.
struct Event<'e> {
    frame: &'e Frame,
    name: &'e str,
    source: &'e str,
    edits: &'e Edits<'e>,
    walk: Walk<'e>,
    /// What it says.
    before: Vec<Piece>,
}

impl Event<'_> {
    fn write(&mut self, next: &mut Record) -> Result<Written, EditError> {
        match self.name {
            // The client has the beginning of a message, and reads one.
            "message_start" if next.read.begun => {
                if next.said.blocks > 0 {
                    return Err(impossible(
                        "message_start",
                        "a further leg begins with blocks, and the client reads one message",
                    ));
                }
                Ok((None, *next))
            }
            // What would end a leg that goes on. Its usage is in that of the last one.
            "message_delta" | "message_stop" if self.edits.goes_on => Ok((None, *next)),
            "content_block_start" if self.edits.calls.first() == Some(&CallEdit::Drop) => {
                (next.hidden, next.dropped) = (true, true);
                Ok((None, *next))
            }
            "content_block_start" if next.stale && self.goes_on_in(next) => {
                next.stale = false;
                Ok((None, *next))
            }
            "content_block_delta" | "content_block_stop" if next.hidden => {
                let kept = |edit: &CallEdit| *edit != CallEdit::Drop;
                let texts = self.before.iter().any(|p| matches!(p, Piece::Text { .. }));
                let calls = self.before.iter().any(|p| matches!(p, Piece::Call(_)));
                let unsaid = calls && self.edits.calls.is_empty();
                if texts || unsaid || self.edits.calls.iter().any(kept) {
                    let what = "its block was left out, and the client cannot read more of it";
                    return Err(impossible(self.name, what));
                }
                next.hidden = self.name == "content_block_delta";
                Ok((None, *next))
            }
            _ => self.rewrite(next),
        }
    }

    /// Whether a text begins where an earlier leg has begun one and said nothing: clients would keep the empty one, and be
    /// refused when they send it back.
    fn goes_on_in(&self, next: &Record) -> bool {
        let open = next.read.open;
        let unsaid = open.is_some_and(|open| open.kind == Kind::Text && !open.said);
        let text = next.said.open.is_some_and(|open| open.kind == Kind::Text);
        unsaid && text && self.before.is_empty() && self.edits.texts.is_empty()
    }

    fn rewrite(&mut self, next: &mut Record) -> Result<Written, EditError> {
        let mut before = String::new();
        let is_content = matches!(
            self.name,
            "content_block_start" | "message_delta" | "message_stop"
        );
        if let Some(open) = next.read.open.filter(|_| next.stale && is_content) {
            before = say::stop(open.index);
            next.stale = false;
        }
        let written = texts(self.source, self.walk, &self.edits.texts)?;
        let lonely = next.dropped && next.read.calls == 0;
        let mut after = String::new();
        let written = match self.name {
            "message_start" => self.start(written)?,
            "content_block_start" => {
                let index = next.read.blocks;
                numbered(self.call(written, index, &mut after)?, index)?
            }
            "content_block_delta" | "content_block_stop" => {
                let open = next.read.open.filter(|_| !next.stale);
                let open = open
                    .ok_or_else(|| impossible(self.name, "the block is not open for the client"))?;
                numbered(self.call(written, open.index, &mut after)?, open.index)?
            }
            "message_delta" => self.end(written, lonely)?,
            _ => written,
        };
        let bytes: Bytes = match (&written, before.is_empty() && after.is_empty()) {
            (Cow::Borrowed(_), true) => named(self.frame, self.name, self.source),
            _ => {
                let frame = reframed(self.frame, self.name, self.source, &written);
                format!("{before}{frame}{after}").into()
            }
        };
        let read = next.reads(&bytes)?;
        let meant = meant(
            std::mem::take(&mut self.before),
            self.edits,
            Meant::Event { lonely },
        )?;
        let ends = self.name == "message_stop";
        let meant: Vec<Piece> = meant
            .into_iter()
            .chain(ends.then_some(Piece::End))
            .collect();
        reads_as_meant(&meant, read)?;
        Ok((Some(bytes), *next))
    }

    /// What begins the message, under the ids that the client reads.
    fn start<'s>(&self, written: Cow<'s, str>) -> Result<Cow<'s, str>, EditError> {
        let root = Object::parse(&written).map_err(|error| undecodable("the event", error))?;
        let Some(value) = root.get("message") else {
            return Ok(written);
        };
        let message = edit::message(value.get(), self.edits)?;
        match message == value.get() {
            true => Ok(written),
            false => Ok(Cow::Owned(json::set(
                &written,
                &root,
                &[("message", message)],
            ))),
        }
    }

    /// A part of a call with other arguments. Those of its beginning come as a delta `after` it: clients that put a call
    /// together from deltas do not read what it begins with.
    fn call<'s>(
        &self,
        written: Cow<'s, str>,
        index: u32,
        after: &mut String,
    ) -> Result<Cow<'s, str>, EditError> {
        let Some(CallEdit::Change {
            arguments: Some(arguments),
            ..
        }) = self.edits.calls.first()
        else {
            return Ok(written);
        };
        let mut part = None;
        (self.walk)(&written, &mut |fact| {
            if let Fact::Call(said) = fact {
                part = Some((said.form, json::span(&written, said.value)));
            }
        })?;
        let Some((form, span)) = part else {
            let place = Place::new(Channel::ToolArguments, 0, 0);
            return Err(EditError::at(place, "there is no call"));
        };
        let own = written.get(span.clone()).unwrap_or_default();
        let with = match form {
            Form::Delta => json::quote(arguments),
            Form::Start | Form::Whole => {
                if !arguments.is_empty() {
                    *after = say::input(index, arguments);
                }
                let block =
                    Object::parse(own).map_err(|error| undecodable("content_block", error))?;
                json::set(own, &block, &[("input", "{}".to_owned())])
            }
        };
        let mut splices = Splices::default();
        splices.replace(span, with);
        Ok(Cow::Owned(splices.apply(&written)))
    }

    /// What ends the message, with the usage of all legs.
    fn end<'s>(&self, written: Cow<'s, str>, lonely: bool) -> Result<Cow<'s, str>, EditError> {
        let mut splices = Splices::default();
        let mut changed = false;
        let usage = self.edits.usage.map(edit::usage);
        (self.walk)(&written, &mut |fact| {
            let (value, with) = match (fact, &usage) {
                (Fact::Usage(value), Some(usage)) => (value, usage.to_string()),
                // No call is left of those for whose sake it ended.
                (Fact::Finish { reason, value }, _) if lonely && reason == say::TOOL_USE => {
                    (value, json::quote(say::END_TURN))
                }
                _ => return,
            };
            splices.replace(json::span(&written, value), with);
            changed = true;
        })?;
        Ok(match changed {
            true => Cow::Owned(splices.apply(&written)),
            false => written,
        })
    }
}

/// The event under another number of its block.
fn numbered(written: Cow<'_, str>, index: u32) -> Result<Cow<'_, str>, EditError> {
    let root = Object::parse(&written).map_err(|error| undecodable("the event", error))?;
    let stated = root.get("index").and_then(json::integer);
    match stated == Some(i64::from(index)) {
        true => Ok(written),
        false => Ok(Cow::Owned(json::set(
            &written,
            &root,
            &[("index", index.to_string())],
        ))),
    }
}

fn impossible(place: &str, what: &str) -> EditError {
    EditError::Impossible {
        place: place.to_owned(),
        what: what.to_owned(),
    }
}
