//! What a change puts in, told to those who have not judged it.

use super::changes::Changes;
use super::shape::Shape;
use crate::event::{Micros, Role};
use crate::observe::tools::states_failure;
use crate::session::facts::Facts;
use crate::session::overlay::Edit;
use crate::session::record::{Record, Resulted};
use airlock_policy::contract::types::Detail;

/// Tells what a change puts in to all but its cause.
pub(super) fn change(
    changes: &Changes,
    edit: &Edit,
    facts: &Facts,
    record: &mut Record,
    cause: Option<usize>,
    at: Micros,
) {
    let index = position(edit, facts) as u32;
    for message in edit.adds() {
        let known_as = (message.id, message.role, index);
        record.message(known_as, &message.text, cause, at);
    }
    let (message, text, call) = match edit {
        Edit::Rewrite { message, text } => (*message, text, None),
        Edit::Substitute {
            message,
            call,
            text,
        } => (*message, text, Some(call.clone())),
        _ => return,
    };
    let index = facts.ids.iter().position(|id| *id == message);
    let Some((index, view)) = index.and_then(|i| Some((i, facts.view.messages.get(i)?))) else {
        let role = role_of_added(changes, message);
        return record.message((message, role, 0), text, cause, at);
    };
    let result = view.tool_results.first().filter(|_| view.text.is_empty());
    match call.or_else(|| result.map(|result| result.id.clone())) {
        Some(call) => {
            let place = (message, index as u32);
            tell_result(&call, place, text, facts, record, (cause, at));
        }
        None => record.message((message, view.role, index as u32), text, cause, at),
    }
}

/// The result as the model will see it, with the duration of the call if the result arrived in this exchange.
fn tell_result(
    call: &str,
    (message, index): (u64, u32),
    text: &str,
    facts: &Facts,
    record: &mut Record,
    (cause, at): (Option<usize>, Micros),
) {
    let mut told = record.log().since(0).iter();
    let arrived = told.find_map(|item| match item.detail() {
        Some(Detail::ToolResult(r)) if r.call == call && r.message == message => Some(r.duration),
        _ => None,
    });
    let mut calls = facts.view.messages.iter().flat_map(|m| &m.tool_calls);
    let name = calls
        .rfind(|made| made.id == call)
        .map(|made| made.name.clone())
        .unwrap_or_default();
    let result = Resulted {
        id: call,
        name,
        duration: arrived.unwrap_or_default(),
        failed: states_failure(text),
        message,
        index,
        text,
    };
    record.result(result, cause, at);
}

/// Index, among the client's messages, before which a change puts its own.
fn position(edit: &Edit, facts: &Facts) -> usize {
    let shape = Shape::of(&facts.view, &facts.ids);
    match edit {
        Edit::Inject { after, .. } => shape.place_after(&facts.ids, *after),
        Edit::Replace { messages, .. } => {
            let there = messages.iter().filter_map(|id| shape.index_of(*id));
            there.min().unwrap_or_default()
        }
        _ => 0,
    }
}

fn role_of_added(changes: &Changes, message: u64) -> Role {
    let changes = changes.all();
    let mut added = changes.iter().flat_map(|edit| edit.adds());
    added
        .find(|added| added.id == message)
        .map_or(Role::Other, |added| added.role)
}
