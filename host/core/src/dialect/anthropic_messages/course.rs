//! How far a stream has come: what it takes to know which event may follow, and what belongs to what.

use super::undecodable::undecodable;
use crate::dialect::Undecodable;

/// The place in one stream: an upstream's, or the one that a client reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Course {
    /// The message has begun.
    pub begun: bool,
    /// It has ended.
    pub ended: bool,
    /// Blocks that have begun.
    pub blocks: u32,
    /// The one that is open.
    pub open: Option<Open>,
    /// Calls of the client's tools among them.
    pub calls: u16,
}

/// A block that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Open {
    /// Its number in the message.
    pub index: u32,
    /// What it is.
    pub kind: Kind,
    /// Of a call, its number among the calls.
    pub call: u16,
    /// It began with its input, to which no delta may add: clients differ on whether the two join.
    pub filled: bool,
    /// Text came in it.
    pub said: bool,
}

/// What a block is, as far as it decides which deltas it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Thinking,
    /// A call of a tool that the client runs.
    Call,
    /// A call of a tool that the server runs.
    ServerCall,
    Compaction,
    Other,
}

impl Course {
    /// The message is under way.
    pub fn under_way(&self, event: &str) -> Result<(), Undecodable> {
        match (self.begun, self.ended) {
            (true, false) => Ok(()),
            (false, _) => Err(undecodable(event, "no message has begun")),
            (true, true) => Err(undecodable(event, "the message has ended")),
        }
    }

    /// The open block, which must be the one of this number.
    pub fn open(&self, event: &str, index: u32) -> Result<Open, Undecodable> {
        self.under_way(event)?;
        self.open
            .filter(|open| open.index == index)
            .ok_or_else(|| undecodable(event, format!("no block {index} is open")))
    }

    /// A block of this number may begin. Clients put blocks one after another, and write what comes to the one of the
    /// number, or to the last that began: so the number is the place, and one is open at a time.
    pub fn may_open(&self, event: &str, index: u32) -> Result<(), Undecodable> {
        self.under_way(event)?;
        let what = match self.open {
            Some(open) => format!("block {} is still open", open.index),
            None if index != self.blocks => format!("the next block is {}", self.blocks),
            None => return Ok(()),
        };
        Err(undecodable(
            event,
            format!("block {index} begins, and {what}"),
        ))
    }
}
