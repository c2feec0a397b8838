//! What is new in a request, as facts.

use crate::dialect::RequestView;
use crate::event::{Body, Micros};
use crate::observe::tools::states_failure;
use crate::session::circuits::Change;
use crate::session::conversation::Told;
use crate::session::facts::Facts;
use crate::session::record::{Record, Resulted};

/// Tells what is new in a request. Gives the ids of the calls whose results are new.
pub fn tell(facts: &Facts, told: &Told, record: &mut Record, at: Micros) -> Vec<String> {
    if let Some((at_index, known)) = told.rewritten {
        record.history_rewritten(at_index, known, at);
    }
    let view: &RequestView = &facts.view;
    let mut results = Vec::new();
    for index in &told.new {
        let (Some(message), Some(id)) = (view.messages.get(*index), told.ids.get(*index)) else {
            continue;
        };
        if message.tool_results.is_empty() || !message.text.is_empty() {
            let known_as = (*id, message.role, *index as u32);
            record.message(known_as, &message.text, None, at);
        }
        for part in &message.media {
            record.part((*id, *index as u32), part, at);
        }
        for result in &message.tool_results {
            let failed = result
                .failed
                .unwrap_or_else(|| states_failure(&result.text));
            let mut state = facts.session.state();
            let (name, duration) = state.tools.result(&result.id, failed, at);
            drop(state);
            tell_circuit(facts, record, &result.id, failed, &result.text, at);
            let told = Resulted {
                id: &result.id,
                name,
                duration,
                failed,
                message: *id,
                index: *index as u32,
                text: &result.text,
            };
            record.result(told, None, at);
            results.push(result.id.clone());
        }
    }
    results
}

/// A result may close the circuit of its tool, or open it again.
fn tell_circuit(facts: &Facts, record: &Record, call: &str, failed: bool, text: &str, at: Micros) {
    let change = facts
        .session
        .state()
        .circuits
        .result(call, failed, text, at);
    let Some((tool, change)) = change else { return };
    let value = match change {
        Change::Closed => format!("closed: the call of `{tool}` that probed it succeeded"),
        Change::Reopened => format!("open again: the call of `{tool}` that probed it failed"),
    };
    record.note(Body::Annotation {
        policy: "circuit".to_owned(),
        name: tool,
        value,
    });
}
