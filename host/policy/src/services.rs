//! What the host does for the policies of one session: long content, questions, and the memory that it keeps for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::spec::AskQuota;
use crate::contract::asking;
use crate::contract::types::{Refusal, RefusalKind};

/// Long content of a session, for ranged reads by its policies. Must return at once.
pub trait ContentSource: Send + Sync {
    /// Bytes from `offset`, at most `len`. `None` if the id is not of this session or no longer kept.
    fn read(&self, id: u64, offset: u64, len: u32) -> Option<Vec<u8>>;
}

/// Takes questions of policies. Must return at once: the answer comes back as an event.
pub trait Asker: Send + Sync {
    /// Sends a question to a target that the policy was granted.
    ///
    /// # Errors
    /// Why it was not sent, for the policy's author.
    fn ask(&self, ask: Ask<'_>) -> Result<u64, Refusal>;
}

/// A question on its way out.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// Policy that asks.
    pub policy: &'a str,
    /// How often it may.
    pub quota: AskQuota,
    /// Number of the exchange that it was told of; 0 for the session itself.
    pub exchange: u32,
    /// Name of the target.
    pub target: &'a str,
    /// The question.
    pub question: asking::Question,
    /// How long the answer may take, in milliseconds; 0: as long as the target allows.
    pub deadline_ms: u32,
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
    fn ask(&self, ask: Ask<'_>) -> Result<u64, Refusal> {
        Err(Refusal {
            kind: RefusalKind::Unknown,
            message: format!("nobody answers for `{}` here", ask.target),
        })
    }
}

/// A session's memory in one policy: enough to go on in a new instance, another generation or another process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedState {
    /// Number of the format, by the generation that saved.
    pub schema: u32,
    /// What the session saved; empty if it needs no memory.
    pub memory: Vec<u8>,
    /// The values of the interface `state`.
    pub values: BTreeMap<String, Vec<u8>>,
}
