//! From a request body to events, and from policies' orders back to a request body.

use super::compose::{Composed, compose};
use crate::contract::types::{self as wit, Detail, EventKind, Position};
use crate::dialect::{RequestEdits, RequestView};
use crate::event::{Body, Micros};
use crate::observe::log::{Log, inline};
use crate::observe::tools::states_failure;
use crate::session::circuits::Change;
use crate::session::conversation::Told;
use crate::session::overlay::{Edit, Kept, Overlay};
use crate::session::state::Session;

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
pub const RESERVED: [&str; 6] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "tools",
    "n",
];

/// Tells what is new in a request: to the timeline, and to the log for policies. Returns whether tool results came.
pub fn tell(
    session: &Session,
    exchange: u32,
    view: &RequestView,
    told: &Told,
    log: &mut Log,
    at: Micros,
) -> bool {
    if let Some((at_index, known)) = told.rewritten {
        let seq = session.timeline.append(
            exchange,
            Body::HistoryRewritten {
                at: at_index,
                known,
            },
        );
        let detail = Detail::History(wit::History {
            at: at_index,
            known,
        });
        log.push(seq, at, EventKind::HistoryRewritten, "", Some(detail), None);
    }
    let mut results = false;
    for index in &told.new {
        let (Some(message), Some(id)) = (view.messages.get(*index), told.ids.get(*index)) else {
            continue;
        };
        if message.tool_results.is_empty() || !message.text.is_empty() {
            let content = session.contents.keep(exchange, &message.text);
            let seq = session.timeline.append(
                exchange,
                Body::Message {
                    id: *id,
                    role: message.role,
                    index: *index as u32,
                    text: message.text.clone(),
                    bytes: message.text.len() as u64,
                },
            );
            let detail = Detail::Message(wit::Message {
                id: *id,
                role: message.role.into(),
                index: *index as u32,
                content,
            });
            log.push(
                seq,
                at,
                EventKind::Message,
                inline(&message.text),
                Some(detail),
                None,
            );
        }
        for result in &message.tool_results {
            results = true;
            let failed = result
                .failed
                .unwrap_or_else(|| states_failure(&result.text));
            let (name, duration) = session.state().tools.result(&result.id, failed, at);
            tell_circuit(session, exchange, &result.id, failed, &result.text, at);
            let content = session.contents.keep(exchange, &result.text);
            let seq = session.timeline.append(
                exchange,
                Body::ToolResult {
                    id: result.id.clone(),
                    name: name.clone(),
                    duration_us: duration,
                    failed,
                    message: *id,
                    text: result.text.clone(),
                    bytes: result.text.len() as u64,
                },
            );
            let detail = Detail::ToolResult(wit::ToolResult {
                id: result.id.clone(),
                name,
                duration,
                failed,
                message: *id,
                content,
            });
            log.push(
                seq,
                at,
                EventKind::ToolResult,
                inline(&result.text),
                Some(detail),
                None,
            );
        }
    }
    results
}

/// Ids of the calls whose results are new in a request.
pub fn results(view: &RequestView, told: &Told) -> Vec<String> {
    told.new
        .iter()
        .filter_map(|index| view.messages.get(*index))
        .flat_map(|message| message.tool_results.iter().map(|result| result.id.clone()))
        .collect()
}

/// A result may close the circuit of its tool, or open it again.
fn tell_circuit(
    session: &Session,
    exchange: u32,
    call: &str,
    failed: bool,
    text: &str,
    at: Micros,
) {
    let change = session.state().circuits.result(call, failed, text, at);
    let Some((tool, change)) = change else { return };
    let value = match change {
        Change::Closed => format!("closed: the call of `{tool}` that probed it succeeded"),
        Change::Reopened => format!("open again: the call of `{tool}` that probed it failed"),
    };
    session.timeline.append(
        exchange,
        Body::Annotation {
            policy: "circuit".to_owned(),
            name: tool,
            value,
        },
    );
}

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
        include_usage: view.streamed,
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
