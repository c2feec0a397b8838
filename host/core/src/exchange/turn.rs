//! The end of a generation: it is judged as a whole; or, when every tool call of it was denied, Airlock completes that step
//! itself. The calls and the reasons go upstream as if a client had answered them, and what the model says next is spliced into the
//! same answer.

use super::arrive::hear_out;
use super::hearing::Hearing;
use super::legs::{MAX_STEPS, Stage};
use super::model_call::ModelCall;
use super::unread::unreadable;
use super::{bounds, calls, usage};
use crate::act::fate::Fate;
use crate::dialect::Finish;
use crate::event::Micros;
use crate::people::waiting::Item;
use airlock_policy::contract::types::{self as wit, Checkpoint};
use airlock_policy::contract::{SMALL, large};

/// How it goes on after a generation has said its last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// This was the answer.
    Ended,
    /// Something of it waits for an answer.
    Waits,
    /// The model is told what was denied, and goes on.
    Again,
}

/// What comes after a generation that has said everything. Where the turn cannot go on rightly, it ends with a text that
/// explains what was denied: the fate says so.
pub fn turn(hearing: &mut Hearing, call: &mut ModelCall, now: Micros) -> After {
    if hearing.fate.is_some() {
        return After::Ended;
    }
    if !hearing.waiting.is_empty() {
        return After::Waits;
    }
    let leg = call.legs.number();
    let denied = call.release.denied(leg);
    let choices = hearing.facts.choices();
    if denied.is_empty() || (call.release.has_call(leg) && choices <= 1) {
        return After::Ended;
    }
    // A response that was judged as a whole is not added to; a choice that the client saw finish neither.
    let over = call.release.is_judged() || !call.release.hold.finished.is_empty();
    if !over && choices <= 1 && call.legs.steps.len() < MAX_STEPS {
        return After::Again;
    }
    let told = denied.iter().map(|(call, reason)| {
        let name = &call.name;
        format!("The call of the tool `{name}` was not permitted: {reason}")
    });
    let text = told.collect::<Vec<_>>().join("\n");
    // What the model said before goes out too: it is judged like any response.
    finished(hearing, call, now);
    if hearing.fate.is_none() && !hearing.waiting.is_empty() {
        return After::Waits;
    }
    if hearing.fate.is_none() {
        hearing.fate = Some(Fate::Explain(text));
    }
    After::Ended
}

/// No more comes. The response is judged; what policies make of it is in the hearing's fate.
pub fn finished(hearing: &mut Hearing, call: &mut ModelCall, now: Micros) {
    if !call.release.judge() {
        return;
    }
    calls::seal(hearing, call, |_| true, now);
    if call.release.hold.is_all_beside() {
        let what = "all that came is in fields of the other form: `message` in a stream, or `delta` in a body";
        unreadable(hearing, call, "choices", what.to_owned());
    }
    hear_out(hearing, call);
    usage::count_unstated(call, &hearing.facts, &mut hearing.vitals);
    let usage = usage::usage(call, &hearing.vitals);
    let cost = usage::cost(call, &hearing.vitals, &hearing.around.prices);
    let whole = call.release.is_whole() && call.release.error_status.is_none();
    let status = if whole { "complete" } else { "failed" };
    let response = wit::Response {
        finish: call.release.finish.clone().unwrap_or_default(),
        model: call.release.writer.identity().model.clone(),
        input_tokens: usage.input.min(SMALL),
        output_tokens: usage.output.min(SMALL),
        cached_tokens: usage.cached.min(SMALL),
        reasoning_tokens: usage.reasoning.min(SMALL),
        exact: usage.exact,
        cost: large(cost.unwrap_or_default()),
        status: status.to_owned(),
        extra: Vec::new(),
    };
    hearing.record.response(response, now);
    hearing.checkpoint(Checkpoint::Response, call, now);
    if hearing.fate.is_none() && ran_out_unsaid(hearing, call) {
        let error = super::words::used_up(&hearing.facts, "the session's budget is used up");
        hearing.fate = Some(Fate::Refused(error));
    }
    if hearing.fate.is_none() {
        bounds::unreleased_at_end(hearing, call);
    }
}

/// Whether the answer ended before a word of it, at the limit that the session's budget set: frameworks take that for a
/// limit of their own, and advise to raise it.
fn ran_out_unsaid(hearing: &Hearing, call: &ModelCall) -> bool {
    let view = &hearing.facts.view;
    let own = view.max_output_tokens.map(u64::from);
    let choices = u64::from(hearing.facts.choices());
    let less = |room: u64| own.is_none_or(|own| room / choices < own);
    let mut stretches = call.release.hold.stretches.iter();
    let unsaid = stretches.all(|s| s.text.is_empty() && s.call.is_none());
    let dialect = call.legs.dialect.outbound();
    let finish = call.release.finish.as_deref();
    let at_limit = finish.is_some_and(|reason| dialect.meaning(reason) == Finish::Length);
    call.account.room.is_some_and(less) && unsaid && at_limit
}

/// Ends the leg, so that the next one can be asked for.
pub fn next_leg(hearing: &mut Hearing, call: &mut ModelCall) {
    hearing.record.flush();
    let step = call.release.step(call.legs.number());
    let stated = call.release.usage.is_some();
    usage::close_leg(call, &hearing.vitals, &hearing.around.prices, stated);
    let facts = &hearing.facts;
    let used = u64::from(call.account.prior.output);
    call.account.leased = facts.session.ledger.give_back(facts.number, used);
    call.release.next_leg(call.legs.dialect.reader());
    call.legs.steps.push(step);
    call.legs.go(Stage::Opening(0, None));
}

/// Another attempt at the present leg: nothing that was said in it has reached the client.
pub fn start_over(hearing: &mut Hearing, call: &mut ModelCall) {
    hearing.record.flush();
    usage::close_leg(call, &hearing.vitals, &hearing.around.prices, false);
    forget(hearing, call);
}

/// What the present leg said counts no longer, and what of it waited for an answer waits for none.
pub fn forget(hearing: &mut Hearing, call: &mut ModelCall) {
    call.release.start_over(call.legs.dialect.reader());
    hearing.record.start_over();
    hearing.panel.start_over();
    let of_request = |item: &Item| matches!(item, Item::Request | Item::Result(_));
    hearing.waiting.parked.retain(|p| of_request(&p.item));
}
