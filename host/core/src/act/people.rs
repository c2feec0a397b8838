//! The family "people": items wait for a person's word, or for the answer to a policy's question.
//!
//! Guarantees: a parked item does not move on before its answer, its deadline or the end of the exchange; after the
//! deadline its stated default counts, and is recorded; other items go on.

use std::sync::Arc;

use serde_json::json;

use super::fate::Fate;
use super::scene::{Done, Scene, refused};
use super::slots::who;
use super::tools;
use crate::event::digest::Digest;
use crate::event::phase::Phase;
use crate::event::{Channel, Outcome};
use crate::people::waiting::{Awaits, Item, Parked, Waiting};
use crate::people::{Desk, New, Subject, digest};
use crate::reason::order::By;
use crate::release::Hold;
use crate::session::facts::Facts;
use airlock_policy::contract::types as wit;

/// Puts an item before people. `model` is the one that is asked.
pub fn hold_for_person(
    scene: &Scene<'_>,
    (hold, waiting, fate): (&mut Hold, &mut Waiting, &mut Option<Fate>),
    desk: &Arc<Desk>,
    model: &str,
    order: &wit::Hold,
) -> Done {
    let facts = scene.facts;
    let item = match item(scene, hold, &order.subject) {
        Ok(item) => item,
        Err(refusal) => return refusal,
    };
    let (subject, digest) = subject(facts, hold, &item);
    // An item that comes again, as a model repeats a call that was denied, has the same answer.
    let settled = waiting.settled.iter().find(|s| s.digest == digest);
    if let Some(settled) = settled {
        let Some(said) = &settled.blocked else {
            let why = "a person has decided about this very item".to_owned();
            return (Outcome::Superseded, why);
        };
        match &item {
            Item::Call(id) => {
                let denial = wit::ToolDenial {
                    call: id.clone(),
                    reason: format!("The call was not permitted ({said})."),
                };
                tools::deny(hold, &denial);
            }
            Item::Request | Item::Text => {
                *fate = Some(Fate::refusal(format!("held for a person: {said}")));
            }
            // It was withheld, which is for good.
            Item::Result(_) => {
                let why = "a person has decided about this very item".to_owned();
                return (Outcome::Superseded, why);
            }
        }
        let why = format!("decided about this very item before: {said}");
        return (Outcome::Applied, why);
    }
    let policy = scene.who();
    let approval = desk.put(New {
        session: facts.session.id,
        exchange: facts.number,
        policy: policy.clone(),
        subject,
        digest,
        title: order.title.clone(),
        body: order.body.clone(),
        context: json!({ "model": model, "task": facts.view.end_user }),
        deadline_ms: order.deadline_ms,
        on_timeout: order.on_timeout.into(),
    });
    let id = approval.id;
    let parked = Parked {
        item,
        policy,
        awaits: Awaits::Person(id),
        until: approval.deadline,
        on_timeout: approval.on_timeout,
        digest,
    };
    park(hold, waiting, parked);
    desk.ring(id, waiting.bell.clone());
    (
        Outcome::Applied,
        format!("waits for a person: approval {id}"),
    )
}

/// Parks an item until a question of its policy, `entry` in the plan, is answered.
pub fn pending(
    scene: &Scene<'_>,
    hold: &mut Hold,
    waiting: &mut Waiting,
    entry: usize,
    pending: &wit::Pending,
) -> Done {
    let policy = who(By::Policy(entry), &scene.panel.plan);
    let hears = scene.panel.plan.entries.get(entry);
    if !hears.is_some_and(|generation| generation.reasons) {
        return refused(format!(
            "`{policy}` only orders: answers are told to `reasoning`, and it has none"
        ));
    }
    if !scene.facts.session.mailbox.knows(&policy, pending.ticket) {
        return refused(format!("`{policy}` holds no ticket {}", pending.ticket));
    }
    let item = match item(scene, hold, &pending.subject) {
        Ok(item) => item,
        Err(refusal) => return refusal,
    };
    let parked = Parked {
        item,
        policy,
        awaits: Awaits::Ticket(pending.ticket),
        until: scene.now + u64::from(pending.deadline_ms) * 1_000,
        on_timeout: pending.on_timeout.into(),
        digest: Digest::default(),
    };
    park(hold, waiting, parked);
    (Outcome::Applied, String::new())
}

fn park(hold: &mut Hold, waiting: &mut Waiting, parked: Parked) {
    if let Item::Call(id) = &parked.item
        && let Some(call) = hold.call(id).and_then(|s| s.call.as_mut())
    {
        call.park();
    }
    waiting.parked.push(parked);
}

/// What waits of the subject that a policy names, if it can wait now.
fn item(scene: &Scene<'_>, hold: &mut Hold, subject: &wit::Subject) -> Result<Item, Done> {
    let too_late = |why: &str| Err((Outcome::TooLate, why.to_owned()));
    match subject {
        wit::Subject::Request if scene.phase != Phase::Request => {
            too_late("the request has already gone upstream")
        }
        wit::Subject::Request => Ok(Item::Request),
        wit::Subject::ToolResult(_) if scene.phase != Phase::Request => {
            too_late("the result has already gone upstream")
        }
        wit::Subject::ToolResult(id) if result_text(scene.facts, id).is_none() => {
            Err(refused("this request brings no result of that call"))
        }
        wit::Subject::ToolResult(id) => Ok(Item::Result(id.clone())),
        wit::Subject::Response | wit::Subject::Text(_) if scene.phase != Phase::Generating => {
            Err(refused("there is no generated text to hold"))
        }
        wit::Subject::Response | wit::Subject::Text(_) => Ok(Item::Text),
        wit::Subject::ToolCall(id) => match hold.call(id).and_then(|s| s.call.as_ref()) {
            None => Err(refused("there is no such tool call in this generation")),
            Some(call) if call.left => too_late("the client has a part of the call"),
            Some(call) if call.denial().is_some() => {
                Err((Outcome::Superseded, "the call was denied".to_owned()))
            }
            Some(call) if call.is_open() => Err(refused(
                "the call is not complete: hold it at the tool-call checkpoint",
            )),
            Some(_) => Ok(Item::Call(id.clone())),
        },
        wit::Subject::Session | wit::Subject::Message(_) => Err(refused(
            "only a request, a response, a tool call or the result of one can wait",
        )),
        wit::Subject::Other((name, _)) => Err(refused(format!(
            "`{name}` is not a subject of contract {}",
            airlock_policy::contract::VERSION
        ))),
    }
}

/// An item as people see it, and its digest.
pub fn subject(facts: &Facts, hold: &mut Hold, item: &Item) -> (Subject, Digest) {
    match item {
        Item::Request => (Subject::Request, facts.body),
        Item::Text => {
            let text: String = hold
                .stretches
                .iter()
                .filter(|s| s.place.channel != Channel::ToolArguments)
                .map(|s| s.seen_from(s.released))
                .collect();
            let digest = digest::of_text(&text);
            (Subject::Text { text }, digest)
        }
        Item::Call(id) => {
            let stretch = hold.call(id);
            let arguments = stretch.as_ref().map(|s| s.seen()).unwrap_or_default();
            let name = stretch
                .and_then(|s| s.call.as_ref())
                .map(|call| call.name.clone())
                .unwrap_or_default();
            let digest = digest::of_tool_call(&name, &arguments);
            (Subject::ToolCall { name, arguments }, digest)
        }
        Item::Result(id) => {
            let (name, text) = result_text(facts, id).unwrap_or_default();
            let digest = digest::of_tool_result(&name, &text);
            (Subject::ToolResult { name, text }, digest)
        }
    }
}

/// Name and text of a tool's result in this request.
fn result_text(facts: &Facts, id: &str) -> Option<(String, String)> {
    let results = facts.view.messages.iter().flat_map(|m| &m.tool_results);
    let text = results.rev().find(|r| r.id == id)?.text.clone();
    let calls = facts.view.messages.iter().flat_map(|m| &m.tool_calls);
    let name = calls.rev().find(|c| c.id == id).map(|c| c.name.clone());
    Some((name.unwrap_or_default(), text))
}
