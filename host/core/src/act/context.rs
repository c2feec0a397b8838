//! The family "context": what policies change in the conversation before the model sees it.
//!
//! Whatever is put in is judged by the other policies like any message: at once while the request has not gone upstream,
//! else at the next request. A change for the session is kept when the request it was judged with goes upstream; one that
//! was ordered for a request which then was blocked is kept too, and judged again with the next one.

use std::collections::BTreeSet;

use super::scene::{Done, Scene, done, refused};
use crate::dialect::MessageView;
use crate::event::Outcome;
use crate::event::phase::Phase;
use crate::prompt::Prompt;
use crate::prompt::changes::{Ordered, index_of};
use crate::prompt::shape::Shape;
use crate::session::facts::Facts;
use crate::session::overlay::{Added, Edit, Full};
use airlock_policy::contract::types::{self as wit, Scope};

pub fn inject(scene: &mut Scene<'_>, prompt: &mut Prompt, injection: &wit::Injection) -> Done {
    let message = match added(scene.facts, injection.role, &injection.text) {
        Ok(message) => message,
        Err(refusal) => return refusal,
    };
    let index = index_of(injection.position, scene.facts.ids.len());
    let before = index.checked_sub(1).and_then(|i| scene.facts.ids.get(i));
    let after = before.copied().unwrap_or(0);
    change(
        scene,
        prompt,
        injection.scope,
        Edit::Inject { after, message },
    )
}

pub fn edit_message(scene: &mut Scene<'_>, prompt: &mut Prompt, edit: &wit::MessageEdit) -> Done {
    if let Err(refusal) = standing(scene.facts, prompt, edit.message) {
        return refusal;
    }
    let rewrite = Edit::Rewrite {
        message: edit.message,
        text: edit.text.clone(),
    };
    change(scene, prompt, edit.scope, rewrite)
}

pub fn evict_message(
    scene: &mut Scene<'_>,
    prompt: &mut Prompt,
    eviction: &wit::MessageEviction,
) -> Done {
    let index = match standing(scene.facts, prompt, eviction.message) {
        Ok(Target::Theirs(index)) => index,
        Ok(Target::Added(message)) if message.is_instruction() => {
            return refused(format!(
                "message {} has to stay: it is an instruction to the model",
                message.id
            ));
        }
        Ok(Target::Added(message)) => {
            let messages = vec![message.id];
            return change(scene, prompt, eviction.scope, Edit::Evict { messages });
        }
        Err(refusal) => return refusal,
    };
    let shape = Shape::of(&scene.facts.view, &scene.facts.ids);
    let whole = shape.whole(&BTreeSet::from([index]));
    if let Some(refusal) = must_stay(scene.facts, &shape, &whole) {
        return refusal;
    }
    let messages = ids_of(scene.facts, &whole);
    let note = (messages.len() > 1).then(|| together(&messages));
    noted(
        change(scene, prompt, eviction.scope, Edit::Evict { messages }),
        note,
    )
}

pub fn replace_messages(
    scene: &mut Scene<'_>,
    prompt: &mut Prompt,
    order: &wit::MessageReplacement,
) -> Done {
    let shape = Shape::of(&scene.facts.view, &scene.facts.ids);
    let (first, last) = match (shape.index_of(order.first), shape.index_of(order.last)) {
        (Some(first), Some(last)) => (first, last),
        (None, _) => return unknown(order.first),
        (_, None) => return unknown(order.last),
    };
    if first > last {
        return refused(format!(
            "message {} stands after message {}: a range goes from its first message to its last",
            order.first, order.last
        ));
    }
    let range = shape.whole_range(first..last + 1);
    let widened = range != (first..last + 1);
    let covered: BTreeSet<usize> = range.collect();
    if let Some(refusal) = must_stay(scene.facts, &shape, &covered) {
        return refusal;
    }
    let mut messages = ids_of(scene.facts, &covered);
    let note = widened.then(|| together(&messages));
    for earlier in prompt.changes.all() {
        let Edit::Replace { messages: of, .. } = earlier else {
            continue;
        };
        let there: BTreeSet<usize> = of.iter().filter_map(|id| shape.index_of(*id)).collect();
        if there.is_disjoint(&covered) || !shape.may_leave(&there) {
            continue;
        }
        if !there.is_subset(&covered) {
            return refused(format!(
                "others stand in the place of messages {} already: name a range that has all of them or none",
                list(of)
            ));
        }
        // Those that the client dropped too: the earlier range must not come back beside this one.
        let more = of.iter().filter(|id| !messages.contains(id)).copied();
        messages.extend(more.collect::<Vec<_>>());
    }
    let mut with = Vec::with_capacity(order.messages.len());
    for (role, text) in &order.messages {
        match added(scene.facts, *role, text) {
            Ok(message) => with.push(message),
            Err(refusal) => return refusal,
        }
    }
    noted(
        change(scene, prompt, order.scope, Edit::Replace { messages, with }),
        note,
    )
}

pub fn substitute_result(
    scene: &mut Scene<'_>,
    prompt: &mut Prompt,
    order: &wit::ResultSubstitution,
) -> Done {
    let carries = |message: &MessageView| message.tool_results.iter().any(|r| r.id == order.call);
    // Some servers count their ids from 0 in each answer: the newest result is meant.
    let index = scene.facts.view.messages.iter().rposition(carries);
    let Some(message) = index.and_then(|index| scene.facts.ids.get(index)).copied() else {
        return refused(format!(
            "this request has no result of a tool call `{}`",
            order.call
        ));
    };
    if let Err(refusal) = standing(scene.facts, prompt, message) {
        return refusal;
    }
    let substitute = Edit::Substitute {
        message,
        call: order.call.clone(),
        text: order.text.clone(),
    };
    change(scene, prompt, order.scope, substitute)
}

/// Makes a change.
fn change(scene: &mut Scene<'_>, prompt: &mut Prompt, scope: Scope, edit: Edit) -> Done {
    let stays = scope == Scope::Session;
    let (facts, by, cause) = (scene.facts, scene.who(), scene.cause());
    if scene.phase != Phase::Request {
        let mut state = facts.session.state();
        let kept = state.overlay.keep(edit, Some(by), &facts.ids);
        return kept.map_or_else(|full| refused(full.to_string()), |()| done());
    }
    if stays && !facts.session.state().overlay.has_room(&edit, &facts.ids) {
        return refused(Full.to_string());
    }
    let ordered = Ordered { edit, by, stays };
    let told = (cause, scene.now);
    prompt.order(ordered, facts, scene.record, scene.vitals, told);
    done()
}

/// A message that a policy adds.
fn added(facts: &Facts, role: wit::Role, text: &str) -> Result<Added, Done> {
    if matches!(role, wit::Role::Tool | wit::Role::Other) {
        return Err(refused(
            "only system, developer, user and assistant messages can be put in".to_owned(),
        ));
    }
    Ok(Added {
        id: facts.session.state().conversation.identify(),
        role: role.into(),
        text: text.to_owned(),
    })
}

/// The message with this identity, if it would go upstream now.
fn standing(facts: &Facts, prompt: &Prompt, message: u64) -> Result<Target, Done> {
    let composed = prompt.changes.compose(&facts.view, &facts.ids);
    let added = composed.added.into_iter().find(|added| added.id == message);
    if let Some(added) = added {
        return Ok(Target::Added(added));
    }
    match facts.ids.iter().position(|id| *id == message) {
        None => Err(unknown(message)),
        Some(index) if composed.gone.contains(&index) => {
            Err(refused(format!("message {message} is left out already")))
        }
        Some(index) => Ok(Target::Theirs(index)),
    }
}

fn must_stay(facts: &Facts, shape: &Shape<'_>, messages: &BTreeSet<usize>) -> Option<Done> {
    let (index, why) = shape.objection(messages)?;
    let id = facts.ids.get(index).copied().unwrap_or_default();
    Some(refused(format!("message {id} has to stay: it is {why}")))
}

fn ids_of(facts: &Facts, messages: &BTreeSet<usize>) -> Vec<u64> {
    let ids = messages.iter().filter_map(|index| facts.ids.get(*index));
    ids.copied().collect()
}

/// What an action names.
enum Target {
    /// The client's message at this index.
    Theirs(usize),
    /// A message that a policy added.
    Added(Added),
}

fn unknown(message: u64) -> Done {
    refused(format!("this request has no message {message}"))
}

fn together(messages: &[u64]) -> String {
    format!(
        "a tool call and its results leave together: messages {}",
        list(messages)
    )
}

/// A note on what was done beside what was ordered.
fn noted(done: Done, note: Option<String>) -> Done {
    match (done, note) {
        ((Outcome::Applied, _), Some(note)) => (Outcome::Applied, note),
        (done, _) => done,
    }
}

fn list(ids: &[u64]) -> String {
    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
    ids.join(", ")
}
