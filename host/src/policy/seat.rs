//! One policy in one session.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::generation::Generation;
use crate::contract::{asking, types};

/// Long content of a session, for ranged reads by its policies. Must return at once.
pub trait ContentSource: Send + Sync {
    /// Bytes from `offset`, at most `len`. `None` if the id is not of this session or no longer kept.
    fn read(&self, id: u64, offset: u64, len: u32) -> Option<Vec<u8>>;
}

/// Takes questions of policies. Must return at once: the answer comes back as an event.
pub trait Asker: Send + Sync {
    /// Sends a question to a target that the policy was granted. Returns the ticket, or why it was not sent.
    fn ask(
        &self,
        policy: &str,
        target: &str,
        question: asking::Question,
        deadline_ms: u32,
    ) -> Result<u64, String>;
}

/// What the host does for the policies of one session.
#[derive(Clone)]
pub struct Services {
    /// Long content of the session.
    pub content: Arc<dyn ContentSource>,
    /// Where questions go.
    pub asks: Arc<dyn Asker>,
}

impl Services {
    /// Services that know no content and take no questions: for rehearsal, and for tests.
    #[must_use]
    pub fn none() -> Self {
        Self {
            content: Arc::new(Nothing),
            asks: Arc::new(Nothing),
        }
    }
}

struct Nothing;

impl ContentSource for Nothing {
    fn read(&self, _: u64, _: u64, _: u32) -> Option<Vec<u8>> {
        None
    }
}

impl Asker for Nothing {
    fn ask(&self, _: &str, target: &str, _: asking::Question, _: u32) -> Result<u64, String> {
        Err(format!("nobody answers for `{target}` here"))
    }
}

/// What went wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The guest trapped: a panic, a bad memory access, an exhausted stack.
    Trap,
    /// It used up its CPU or wall time.
    Timeout,
    /// It was refused memory and gave up.
    Memory,
    /// It passed more data, or more handles, than it may.
    Flood,
    /// Its answer breaks the contract.
    Malformed,
    /// It refused to open, save or restore the session.
    Session,
    /// No room for another instance. Not the policy's fault.
    Pool,
    /// It is in quarantine and was not called.
    Quarantined,
    /// The host failed. Not the policy's fault.
    Host,
}

impl FaultKind {
    /// The kind's name, as on the timeline.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Flood => "flood",
            Self::Malformed => "malformed",
            Self::Session => "session",
            Self::Pool => "pool",
            Self::Quarantined => "quarantined",
            Self::Host => "host",
        }
    }
}

/// A failed call. The instance is gone; the seat goes on from saved state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What went wrong.
    pub kind: FaultKind,
    /// For people: what happened, and the guest's last words if it logged any in this call.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.message)
    }
}

impl std::error::Error for Fault {}

/// A session's memory in one policy: enough to go on in a new instance, another generation or another process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedState {
    /// Number of the format, by the generation that saved.
    pub schema: u32,
    /// What `reasoning.session` saved; empty if it needs no memory.
    pub reasoning: Vec<u8>,
    /// What `acting.session` saved.
    pub acting: Vec<u8>,
    /// The values of the interface `state`.
    pub values: BTreeMap<String, Vec<u8>>,
}

/// What became of a seat that was to move to another generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It went on with its state.
    Migrated,
    /// It went on without its state: the generation it left was withdrawn and the other one could not use what it saved.
    Restarted(String),
    /// It stays where it is, and why.
    Pinned(String),
}

/// One policy in one session.
pub struct Seat {
    generation: Arc<Generation>,
    facts: Arc<types::Facts>,
    services: Services,
    saved: Option<SavedState>,
}

impl Seat {
    /// A seat. Costs nothing: the instance is created at the first call.
    #[must_use]
    pub fn new(generation: Arc<Generation>, facts: Arc<types::Facts>, services: Services) -> Self {
        Self {
            generation,
            facts,
            services,
            saved: None,
        }
    }

    /// Has the policy judge a batch.
    pub fn observe(&mut self, batch: &types::Batch) -> Result<types::Assessment, Fault> {
        let _ = (&self.facts, &self.services, batch);
        todo!()
    }

    /// Has the policy decide what to do about findings.
    pub fn decide(&mut self, situation: &types::Situation) -> Result<types::Decision, Fault> {
        let _ = situation;
        todo!()
    }

    /// Saves the session's memory. Call it after each exchange.
    pub fn settle(&mut self) -> Result<(), Fault> {
        todo!()
    }

    /// Saves, and gives the instance back; the next call makes another one.
    pub fn hibernate(&mut self) -> Result<(), Fault> {
        todo!()
    }

    /// What was saved last.
    #[must_use]
    pub fn saved(&self) -> Option<&SavedState> {
        self.saved.as_ref()
    }

    /// Goes on from a state that was saved earlier, perhaps in another process. Only before the first call.
    pub fn restore_from(&mut self, saved: SavedState) {
        self.saved = Some(saved);
    }

    /// Moves to another generation with what the session remembers.
    pub fn move_to(&mut self, next: Arc<Generation>) -> Moved {
        self.generation = next;
        todo!()
    }

    /// The generation that serves this session.
    #[must_use]
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }
}
