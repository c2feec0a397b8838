//! What waits for an answer in one exchange: the request, held text, a tool call, a tool's result; for a person's word or
//! for the answer to a policy's question.

use std::sync::Arc;

use tokio::sync::Notify;

use super::ApprovalId;
use crate::event::digest::Digest;
use crate::event::{Micros, OnTimeout};

/// An item that waits.
#[derive(Clone, Debug)]
pub struct Parked {
    /// What waits.
    pub item: Item,
    /// Who holds it.
    pub policy: String,
    /// For what.
    pub awaits: Awaits,
    /// Until when.
    pub until: Micros,
    /// What happens then.
    pub on_timeout: OnTimeout,
    /// Of the exact item, for a person's word.
    pub digest: Digest,
}

/// What can wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The request.
    Request,
    /// Generated text that has not left.
    Text,
    /// The call with this id.
    Call(String),
    /// The result of the call with this id.
    Result(String),
}

/// What an item waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaits {
    /// The answer to this question.
    Ticket(u64),
    /// A person's decision.
    Person(ApprovalId),
}

/// An item about which people decided.
#[derive(Clone, Debug)]
pub struct Settled {
    /// Of the exact item.
    pub digest: Digest,
    /// Why it does not go on; `None`: it does.
    pub blocked: Option<String>,
}

/// All that waits in an exchange.
#[derive(Debug, Default)]
pub struct Waiting {
    /// What waits.
    pub parked: Vec<Parked>,
    /// Items about which people decided in this exchange: they are not asked about them again.
    pub settled: Vec<Settled>,
    /// Rung when an answer is there.
    pub bell: Arc<Notify>,
}

impl Waiting {
    /// Whether anything waits.
    pub fn is_empty(&self) -> bool {
        self.parked.is_empty()
    }

    /// Whether this item waits.
    pub fn has(&self, item: &Item) -> bool {
        self.parked.iter().any(|p| p.item == *item)
    }

    /// When the first of the parked items has waited long enough.
    pub fn until(&self) -> Option<Micros> {
        self.parked.iter().map(|p| p.until).min()
    }
}

impl Item {
    /// Its name on the timeline.
    pub fn name(&self) -> String {
        match self {
            Item::Request => "request".to_owned(),
            Item::Text => "text".to_owned(),
            Item::Call(id) => format!("tool-call {id}"),
            Item::Result(id) => format!("tool-result {id}"),
        }
    }
}
