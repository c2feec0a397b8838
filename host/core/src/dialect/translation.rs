//! The answer of an upstream that speaks another API, as the client's own API would have said it, before anybody judges it.
//!
//! Guarantees: what policies judge, what is edited and what the client reads are the same bytes of one API; nothing that the
//! upstream's model wrote is left out in silence: what the client's API has no place for ends the answer.

use bytes::Bytes;

use super::edits::EditError;
use super::framing::{self, Decoded, Whole, Wire};
use super::piece::{CallPart, Finish, Identity, Piece, Slot, Undecodable};
use super::roles::{Dialect, Reader, Writer};
use super::sse::Frame;
use super::tool_call::is_made_up;
use crate::event::{Channel, Usage};

/// One leg's answer on its way from one API to another.
pub struct Translation {
    from: &'static dyn Dialect,
    to: &'static dyn Dialect,
    reader: Box<dyn Reader>,
    voice: Box<dyn Writer>,
    /// Begins the ids of calls that their upstream gives none. Different for each leg.
    seed: String,
    calls: Vec<Known>,
    usage: Option<Usage>,
    finished: bool,
    ended: bool,
    left: bool,
}

/// A call that was begun.
struct Known {
    choice: u16,
    slot: Slot,
    id: String,
    number: u16,
}

impl Translation {
    /// Nothing has come. The client reads these ids unless the upstream states its own.
    pub fn new(
        from: &'static dyn Dialect,
        to: &'static dyn Dialect,
        identity: Identity,
        seed: String,
    ) -> Self {
        Self {
            from,
            to,
            reader: from.reader(),
            voice: to.voice(identity),
            seed,
            calls: Vec::new(),
            usage: None,
            finished: false,
            ended: false,
            left: false,
        }
    }

    /// How the upstream's answer is cut.
    pub fn wire(&self) -> Wire {
        self.from.outbound().wire()
    }

    /// How the answer is cut that comes of it.
    pub fn client_wire(&self) -> Wire {
        self.to.outbound().wire()
    }

    /// Whether something was left behind that no model wrote: sources, details.
    pub fn left(&self) -> bool {
        self.left
    }

    /// A part of the upstream's answer, as frames of the client's API.
    ///
    /// # Errors
    /// It cannot be read, or the client's API has no place for what it says.
    pub fn part(&mut self, part: Decoded) -> Result<Bytes, EditError> {
        let mut pieces = Vec::new();
        match part {
            Decoded::Unit(frame) => self.read(&frame, &mut pieces)?,
            Decoded::Document(body) => {
                let body = framing::document(&body);
                self.reader.body(&body, &mut pieces)?;
            }
            // What lies beside the events says nothing.
            Decoded::Noise(_) => return Ok(Bytes::new()),
        }
        self.say(pieces)
    }

    /// The end of the upstream's stream: what closes the client's, if the upstream said that it was done.
    ///
    /// # Errors
    /// As [`Translation::part`].
    pub fn end(&mut self) -> Result<Bytes, EditError> {
        match self.finished && !self.ended {
            true => self.say(vec![Piece::End]),
            false => Ok(Bytes::new()),
        }
    }

    /// A whole answer, as a body of the client's API.
    ///
    /// # Errors
    /// As [`Translation::part`], or it has no end.
    pub fn whole(&mut self, answer: Whole) -> Result<Bytes, EditError> {
        let mut frames = Vec::new();
        match answer {
            Whole::Document(body) => frames.push(self.part(Decoded::Document(body))?),
            Whole::Stream(units) => {
                for unit in units {
                    frames.push(self.part(Decoded::Unit(unit))?);
                }
            }
        }
        frames.push(self.end()?);
        let wire = self.client_wire();
        let (mut cutter, mut decoded) = (framing::Framing::new(wire), Vec::new());
        for bytes in frames {
            let pushed = cutter.push(bytes, &mut decoded);
            pushed.map_err(|error| Undecodable::at("the answer", error))?;
        }
        cutter.finish(&mut decoded);
        let units: Vec<Frame> = decoded
            .into_iter()
            .filter_map(|part| match part {
                Decoded::Unit(frame) => Some(frame),
                _ => None,
            })
            .collect();
        Ok(self.voice.body_of_stream(&units)?.into())
    }

    fn read(&mut self, frame: &Frame, pieces: &mut Vec<Piece>) -> Result<(), EditError> {
        Ok(self.reader.frame(frame, pieces)?)
    }

    fn say(&mut self, pieces: Vec<Piece>) -> Result<Bytes, EditError> {
        self.voice.meet(self.reader.identity());
        let mut out = Vec::new();
        let fails = pieces.iter().any(|p| matches!(p, Piece::Error(_)));
        for piece in pieces {
            if self.ended {
                break;
            }
            let finish = match &piece {
                Piece::Finish { choice, reason } => self.meaning(*choice, reason),
                _ => Finish::Other,
            };
            let piece = match piece {
                Piece::Text {
                    place, generated, ..
                } if place.channel == Channel::Other && !generated => {
                    // The message of an error is said with it.
                    self.left |= !fails;
                    continue;
                }
                Piece::Call(part) => Piece::Call(self.numbered(part)),
                Piece::Usage(usage) => {
                    let usage = self.usage.map_or(usage, |known| known.with(usage));
                    self.usage = Some(usage);
                    Piece::Usage(usage)
                }
                // What stands beside is read by no client of either API.
                Piece::Beside => continue,
                other => other,
            };
            self.finished |= matches!(piece, Piece::Finish { .. });
            self.ended = matches!(piece, Piece::End | Piece::Error(_));
            out.extend_from_slice(&self.voice.say(&piece, finish)?);
        }
        Ok(out.into())
    }

    /// What a finish reason means. Some APIs have no word of their own for an answer that calls tools.
    fn meaning(&self, choice: u16, reason: &str) -> Finish {
        let calls = self.calls.iter().any(|call| call.choice == choice);
        match self.from.outbound().meaning(reason) {
            Finish::Stop if calls => Finish::ToolCalls,
            meaning => meaning,
        }
    }

    /// The part with the number that its call has among those of its choice, and an id if it is the call's first.
    fn numbered(&mut self, mut part: CallPart) -> CallPart {
        // One that Airlock made up is the same in every turn: a client of this API goes by it.
        part.id = part.id.filter(|id| !is_made_up(id));
        let of_choice = |known: &&Known| known.choice == part.choice;
        let id = part.id.as_deref().unwrap_or_default();
        let joins = |known: &&Known| id.is_empty() || known.id == id;
        let known = match part.slot {
            Slot::Whole => None,
            Slot::Index(_) | Slot::Single => {
                let mut known = self.calls.iter().rev().filter(of_choice);
                known.find(|known| known.slot == part.slot).filter(joins)
            }
            Slot::Unnumbered => {
                let last = self.calls.iter().rev().find(of_choice).filter(joins);
                last.filter(|_| !id.is_empty() || part.name.is_none())
            }
        };
        if let Some(known) = known {
            return CallPart {
                slot: Slot::Index(known.number),
                id: None,
                name: None,
                ..part
            };
        }
        let number = self.calls.iter().filter(of_choice).count() as u16;
        let own = part
            .id
            .clone()
            .unwrap_or_else(|| format!("{}{}", self.seed, self.calls.len()));
        self.calls.push(Known {
            choice: part.choice,
            slot: part.slot,
            id: own.clone(),
            number,
        });
        CallPart {
            slot: Slot::Index(number),
            id: Some(own),
            ..part
        }
    }
}

impl std::fmt::Debug for Translation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (from, to) = (self.from.name(), self.to.name());
        write!(f, "Translation({from} to {to})")
    }
}

#[cfg(test)]
mod tests;
