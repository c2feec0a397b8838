//! What is ordered for a request, and the edits of its body that it comes to.

use super::compose::{Composed, compose};
use crate::dialect::{RequestEdits, RequestView};
use crate::session::overlay::{Edit, Kept, Overlay};
use airlock_policy::contract::types::Position;

/// What policies ordered for the request of one exchange.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Upstream to go to; empty: by the routes.
    pub upstream: String,
    /// Model to ask for; empty: as requested.
    pub model: String,
    /// Parameters: name, and value as JSON.
    pub parameters: Vec<(String, String)>,
    /// Changes to the conversation that the session kept when the exchange began.
    pub kept: Vec<Kept>,
    /// Those of `kept`, by number, that the policies judge in this exchange for the first time.
    pub told: Vec<u64>,
    /// Changes to the conversation that were ordered in this exchange.
    pub edits: Vec<Ordered>,
}

/// A change to the conversation that was ordered in this exchange.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// The change.
    pub edit: Edit,
    /// Who ordered it.
    pub by: String,
    /// Whether the session has still to keep it.
    pub stays: bool,
}

impl Changes {
    /// All changes to the conversation, in the order in which they were made.
    pub fn all(&self) -> Vec<&Edit> {
        let kept = self.kept.iter().map(|kept| &kept.edit);
        kept.chain(self.edits.iter().map(|ordered| &ordered.edit))
            .collect()
    }

    /// What they make of a request.
    pub fn compose(&self, view: &RequestView, ids: &[u64]) -> Composed {
        compose(view, ids, &self.all())
    }
}

/// Parameters that other actions set.
pub const RESERVED: [&str; 18] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "tools",
    "n",
    // The same in other APIs than chat completions, and what names a conversation that a server keeps.
    "system",
    "input",
    "instructions",
    "prompt",
    "contents",
    "systemInstruction",
    "system_instruction",
    "candidateCount",
    "previous_response_id",
    "conversation",
    "background",
    "context",
];

/// The edits that turn the client's body into what goes upstream: what the session keeps first, then the exchange's own.
pub fn edits(
    view: &RequestView,
    ids: &[u64],
    overlay: &Overlay,
    changes: &Changes,
) -> RequestEdits {
    let mut parameters = overlay.parameters.clone();
    for (name, value) in &changes.parameters {
        parameters.retain(|(known, _)| known != name);
        parameters.push((name.clone(), value.clone()));
    }
    RequestEdits {
        model: None,
        parameters,
        messages: changes.compose(view, ids).edits,
        follows: view.follows().and_then(|known| overlay.own_id(&known.id)),
        include_usage: view.streamed,
        streamed: false,
        max_output_tokens: None,
    }
}

/// Index before which a message at this position stands.
pub fn index_of(position: Position, messages: usize) -> usize {
    match position {
        Position::Front => 0,
        Position::BeforeLast => messages.saturating_sub(1),
        Position::End => messages,
    }
}
