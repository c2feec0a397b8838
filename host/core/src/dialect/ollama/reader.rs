//! Reads the answer of one leg.

use serde_json::{Map, Value};

use crate::dialect::json::{self, Raw};
use crate::dialect::ollama::fact::Fact;
use crate::dialect::ollama::shape::Shape;
use crate::dialect::ollama::{failure, fields, own};
use crate::dialect::own::OwnTurn;
use crate::dialect::sse::Frame;
use crate::dialect::{CallKind, CallPart, Identity, Piece, Reader, Slot, Undecodable, usage};
use crate::event::Usage;

/// What one leg's answer has said of itself, and of the model's turn.
#[derive(Debug)]
pub struct OllamaReader {
    shape: &'static Shape,
    identity: Identity,
    own: OwnTurn,
    /// Calls that came so far.
    calls: usize,
}

impl OllamaReader {
    pub(super) fn new(shape: &'static Shape) -> Self {
        Self {
            shape,
            identity: Identity::default(),
            own: OwnTurn::default(),
            calls: 0,
        }
    }

    /// What a line or body says.
    fn pieces(
        &mut self,
        source: &str,
        whole: bool,
        out: &mut Vec<Piece>,
    ) -> Result<(), Undecodable> {
        let mut too_many = false;
        let (identity, calls) = (&mut self.identity, &mut self.calls);
        let (mut done, mut failed) = (false, false);
        fields::walk(self.shape, source, &mut |fact| match fact {
            // The moment is that of the line, not of the answer.
            Fact::Model(value) => {
                let said = json::string(value).filter(|said| !said.is_empty());
                if let Some(said) = said.filter(|said| *said != identity.model.as_str()) {
                    identity.model = said.into_owned();
                }
            }
            Fact::Text {
                place,
                text,
                generated,
                ..
            } => out.push(Piece::Text {
                place,
                text: text.into_owned(),
                generated,
            }),
            Fact::Call(call) => {
                let number = u16::try_from(*calls);
                too_many |= number.is_err();
                *calls += 1;
                let slot = match whole {
                    true => Slot::Whole,
                    false => Slot::Index(number.unwrap_or(u16::MAX)),
                };
                out.push(Piece::Call(CallPart {
                    choice: 0,
                    slot,
                    kind: CallKind::Function,
                    id: None,
                    name: call.name.map(|name| name.into_owned()),
                    arguments: call.arguments.into_owned(),
                }));
            }
            Fact::Tokens(_) | Fact::Context(_) => {}
            Fact::Usage(counts) => out.extend(counted(&counts).map(Piece::Usage)),
            Fact::Error(value) => {
                failed = true;
                out.push(Piece::Error(failure::of_value(0, value)));
            }
            Fact::Done { reason, .. } => {
                done = true;
                out.push(Piece::Finish {
                    choice: 0,
                    reason: reason.into_owned(),
                });
            }
        })?;
        if too_many {
            return Err(Undecodable::at("tool_calls", "there are too many of them"));
        }
        if whole && !done && !failed {
            return Err(Undecodable::at("done", "the answer is not complete"));
        }
        if done || whole {
            out.push(Piece::End);
        }
        Ok(())
    }
}

/// The usage that these fields state.
pub(super) fn counted(counts: &[(&'static str, Raw<'_>)]) -> Option<Usage> {
    let stated = |(name, value): &(&str, Raw<'_>)| {
        let value: Value = serde_json::from_str(value.get()).ok()?;
        Some(((*name).to_owned(), value))
    };
    let counts: Map<String, Value> = counts.iter().filter_map(stated).collect();
    usage::read(&Value::Object(counts))
}

/// A line or body as text.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Undecodable> {
    std::str::from_utf8(bytes).map_err(|error| Undecodable::at("the response", error))
}

impl Reader for OllamaReader {
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Piece>) -> Result<(), Undecodable> {
        let Some(data) = &frame.data else {
            return Ok(());
        };
        let read = utf8(data).and_then(|source| self.pieces(source, false, out));
        read.map_err(|error| error.of(self.shape.name))
    }

    fn body(&mut self, body: &[u8], out: &mut Vec<Piece>) -> Result<(), Undecodable> {
        let read = utf8(body).and_then(|source| self.pieces(source, true, out));
        read.map_err(|error| error.of(self.shape.name))
    }

    /// Usage comes with the last word.
    fn is_usage_only(&self, _: &Frame) -> bool {
        false
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn gather(&mut self, payload: &[u8]) {
        own::gather(self.shape, payload, &mut self.own);
    }

    fn give_up(&mut self) {
        self.own.give_up();
    }

    fn own_message(&self) -> Option<String> {
        self.own.message()
    }

    /// A call is known by its name and its arguments: nothing else of it goes back.
    fn own_call(&self, _: &str) -> Option<String> {
        None
    }
}
