//! What waited is heard, and goes its way: at a person's word, at the answer to a question, at its deadline.
//!
//! What a person changed is judged by the policies like what the model wrote.

use serde_json::json;

use super::calls::permit;
use super::hearing::{Hearing, Matter as _};
use super::model_call::ModelCall;
use crate::act::fate::Fate;
use crate::act::people::subject;
use crate::act::{context, tools};
use crate::event::{Micros, OnTimeout, Outcome};
use crate::people;
use crate::people::waiting::{Awaits, Item, Parked, Settled};
use crate::reason::order::By;
use airlock_policy::contract::types::{self as wit, Checkpoint};

/// Hears what was decided or answered meanwhile, and lets what waited go its way.
pub fn hear(hearing: &mut Hearing, call: &mut ModelCall, now: Micros) {
    if call.legs.stage().is_over() {
        return;
    }
    answers(hearing, call, now);
    let desk = &hearing.around.desk;
    let is_due = |parked: &mut Parked| {
        let decided = match parked.awaits {
            Awaits::Person(id) => desk.get(id).is_some_and(|a| !a.is_open()),
            Awaits::Ticket(_) => false,
        };
        decided || parked.until <= now
    };
    let due: Vec<Parked> = hearing.waiting.parked.extract_if(.., is_due).collect();
    for parked in due {
        decided(hearing, call, &parked, now);
    }
}

/// Answers to policies' questions: each is told to the policy that asked, and what waited for it goes on unless that policy
/// says otherwise.
fn answers(hearing: &mut Hearing, call: &mut ModelCall, now: Micros) {
    let mailbox = &hearing.facts.session.mailbox;
    let answers = mailbox.take(&hearing.waiting.bell);
    if answers.is_empty() {
        return;
    }
    let mut answered = Vec::new();
    for answer in answers {
        let mut entries = hearing.panel.plan.entries.iter();
        let Some(entry) = entries.position(|g| *g.name == *answer.policy) else {
            continue;
        };
        let ticket = Awaits::Ticket(answer.ticket);
        let waits = hearing.waiting.parked.iter().find(|p| p.awaits == ticket);
        let subject = waits.map_or(wit::Subject::Session, |p| as_subject(&p.item));
        hearing.record.answer(entry, &answer, subject);
        hearing.panel.wake(entry);
        answered.push(ticket);
    }
    let done: Vec<Parked> = hearing
        .waiting
        .parked
        .extract_if(.., |parked| answered.contains(&parked.awaits))
        .collect();
    hearing.checkpoint(Checkpoint::Answer, call, now);
    for parked in done {
        release(hearing, call, &parked.item, now);
    }
}

/// What waits, in the contract's words.
fn as_subject(item: &Item) -> wit::Subject {
    match item {
        Item::Request => wit::Subject::Request,
        Item::Text => wit::Subject::Response,
        Item::Call(id) => wit::Subject::ToolCall(id.clone()),
        Item::Result(id) => wit::Subject::ToolResult(id.clone()),
    }
}

/// A person's word, or the deadline's.
fn decided(hearing: &mut Hearing, call: &mut ModelCall, parked: &Parked, now: Micros) {
    let approval = match parked.awaits {
        Awaits::Person(id) => hearing.around.desk.get(id),
        Awaits::Ticket(_) => None,
    };
    let outcome = approval.as_ref().and_then(|a| a.outcome());
    let decision = approval.as_ref().and_then(|a| a.decision());
    let said = decision.map_or_else(
        || "nobody answered in time".to_owned(),
        |d| match d.note.as_str() {
            "" => format!("{} by {}", d.verdict.word(), d.by),
            note => format!("{} by {}: {note}", d.verdict.word(), d.by),
        },
    );
    let blocks = match outcome {
        Some(people::Outcome::Block) => true,
        Some(people::Outcome::Change(text)) => {
            edited(hearing, call, &parked.item, text, now);
            false
        }
        Some(people::Outcome::Release | people::Outcome::Answer(_)) => false,
        None => parked.on_timeout == OnTimeout::Block,
    };
    if approval.is_some() {
        hearing.waiting.settled.push(Settled {
            digest: parked.digest,
            blocked: blocks.then(|| said.clone()),
        });
    }
    let action = match parked.awaits {
        Awaits::Person(_) => "hold-for-person",
        Awaits::Ticket(_) => "pending",
    };
    let arguments = json!({ "item": parked.item.name(), "released": !blocks });
    hearing.intervened(action, &parked.policy, &said, arguments, now);
    if blocks {
        block(hearing, call, &parked.item, &said, now);
    } else {
        release(hearing, call, &parked.item, now);
    }
}

/// An item goes on, unless somebody else holds it too.
fn release(hearing: &mut Hearing, call: &mut ModelCall, item: &Item, now: Micros) {
    if hearing.waiting.has(item) {
        return;
    }
    let Item::Call(id) = item else { return };
    let hold = &mut call.release.hold;
    let is_it = |call: &crate::release::call::Call| call.id == *id;
    let mut stretches = hold.stretches.iter();
    let Some(index) = stretches.rposition(|s| s.call.as_ref().is_some_and(is_it)) else {
        return;
    };
    if let Some(call) = hold.call(id).and_then(|s| s.call.as_mut()) {
        call.resume();
    }
    permit(hearing, hold, index, now);
}

fn block(hearing: &mut Hearing, call: &mut ModelCall, item: &Item, said: &str, now: Micros) {
    match item {
        Item::Request | Item::Text => {
            if hearing.fate.is_none() {
                hearing.fate = Some(Fate::refusal(format!("held for a person: {said}")));
            }
        }
        Item::Call(id) => {
            let denial = wit::ToolDenial {
                call: id.clone(),
                reason: format!("The call was not permitted ({said})."),
            };
            tools::deny(&mut call.release.hold, &denial);
        }
        Item::Result(id) => {
            let text = format!("The result was withheld ({said}).");
            withhold(hearing, call, id, &text, now);
        }
    }
}

/// What a person wrote in place of an item. The policies judge it.
fn edited(hearing: &mut Hearing, call: &mut ModelCall, item: &Item, text: &str, now: Micros) {
    match item {
        Item::Call(id) => {
            let phase = call.phase();
            let hold = &mut call.release.hold;
            if let Some(call) = hold.call(id).and_then(|s| s.call.as_mut()) {
                call.resume();
            }
            let rewrite = wit::ToolRewrite {
                call: id.clone(),
                content: text.to_owned(),
            };
            let by = By::Operator { observed: false };
            let (mut scene, waiting) = hearing.scene(by, phase, now);
            tools::rewrite(&mut scene, hold, &rewrite);
            // Who wrote it is not asked about it again; the policies may still deny it.
            let (_, written) = subject(scene.facts, hold, item);
            waiting.settled.push(Settled {
                digest: written,
                blocked: None,
            });
            hearing.checkpoint(Checkpoint::ToolCall, call, now);
        }
        Item::Result(id) => withhold(hearing, call, id, text, now),
        Item::Request | Item::Text => {}
    }
}

/// Gives the model another text as a tool's result, for good.
fn withhold(hearing: &mut Hearing, call: &mut ModelCall, id: &str, text: &str, now: Micros) {
    let order = wit::ResultSubstitution {
        call: id.to_owned(),
        text: text.to_owned(),
        scope: wit::Scope::Session,
    };
    let by = By::Operator { observed: false };
    let (mut scene, _) = hearing.scene(by, call.phase(), now);
    let (outcome, reason) = context::substitute_result(&mut scene, &mut call.prompt, &order);
    if outcome != Outcome::Applied && hearing.fate.is_none() {
        let why = format!("a tool's result could not be withheld: {reason}");
        hearing.fate = Some(Fate::refusal(why));
    }
}

/// The client cannot wait any longer. The approval stays: a repetition of the request waits for the same word.
pub fn unanswered(hearing: &mut Hearing, call: &mut ModelCall, why: &str) {
    let parked = std::mem::take(&mut hearing.waiting.parked);
    let waiting: Vec<String> = parked
        .iter()
        .map(|p| match p.awaits {
            Awaits::Person(id) => format!("approval {id}"),
            Awaits::Ticket(ticket) => format!("the answer {ticket} to `{}`", p.policy),
        })
        .collect();
    let or = match hearing.facts.view.streamed {
        true => "",
        false => ", or ask for a stream",
    };
    call.legs.moved = true;
    hearing.fate = Some(Fate::Unanswered(format!(
        "held, and not decided before {why}: {}. Send the request again to go on waiting{or}",
        waiting.join(", "),
    )));
}
