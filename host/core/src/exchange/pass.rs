//! What an answer comes to, each time that something of it has moved: what may leave leaves, as far as the session's budget
//! reaches; a generation that has said everything is judged, or goes on; and what was decided is carried out.

use super::hearing::Hearing;
use super::legs::Stage;
use super::model_call::ModelCall;
use super::next::{Next, Take};
use super::turn::{self, After};
use super::{Exchange, account, measure};
use crate::act::fate::Fate;
use crate::event::target::Target;
use crate::event::{Channel, Micros};
use crate::people::waiting::Item;
use crate::release::frame::{Ready, joined};
use crate::release::stretch::Stretch;

impl Exchange {
    /// Something moved.
    pub(super) fn pass(&mut self, now: Micros) -> Option<Next> {
        let (hearing, call) = (&mut self.hearing, &mut self.call);
        let fails = call.release.failed_unheard() && !call.release.is_judged();
        if hearing.fate.is_none() && fails {
            call.legs.go(Stage::Drained);
            if self.fall_back(now) {
                return None;
            }
            // What policies make of the failure comes before the client is told of it.
            turn::finished(&mut self.hearing, &mut self.call, now);
        }
        let (hearing, call) = (&mut self.hearing, &mut self.call);
        // At the last frame the response is judged without waiting for the connection to end.
        if call.release.is_said() {
            match turn::turn(hearing, call, now) {
                After::Ended if hearing.fate.is_none() => turn::finished(hearing, call, now),
                After::Ended | After::Waits => {}
                After::Again => turn::next_leg(hearing, call),
            }
        }
        let streamed = self.streams();
        if !streamed && !self.is_at_its_end() {
            return None;
        }
        let keeps = match &self.hearing.fate {
            None => true,
            Some(Fate::Explain(_)) => streamed,
            Some(Fate::Stop { keep_held, .. }) => *keep_held,
            Some(_) => false,
        };
        let ready = match keeps {
            true => ready(&mut self.hearing, &mut self.call),
            false => Vec::new(),
        };
        if streamed && ready.is_empty() {
            self.settle(now);
            return None;
        }
        if !streamed && matches!(self.hearing.fate, Some(Fate::Retry { .. })) {
            self.settle(now);
            return None;
        }
        let mut wanted: u64 = ready.iter().map(|r| u64::from(r.tokens)).sum();
        if !streamed {
            // With a limit it was leased before the call; more only if the provider did not keep to what it was told.
            let account = &self.call.account;
            wanted = (wanted + u64::from(account.prior.output)).saturating_sub(account.leased);
        }
        self.leaving.taking = Some((ready, wanted));
        Some(Next::Take(Take::Output(wanted)))
    }

    /// Whether a whole answer has come to its end: it was judged, and nothing of it waits.
    fn is_at_its_end(&self) -> bool {
        let heard = self.call.release.is_judged() && self.hearing.waiting.is_empty();
        self.hearing.fate.is_some() || (heard && !self.call.legs.stage().is_opening())
    }

    /// The ledger gave so many of the tokens that were wanted.
    pub(super) fn taken(&mut self, granted: u64, now: Micros) {
        let Some((ready, wanted)) = self.leaving.taking.take() else {
            return;
        };
        let enough = granted >= wanted;
        if !self.streams() {
            if !enough {
                self.budget_ended(now);
            }
            return self.conclude_whole(&ready, now);
        }
        let affordable = match self.call.release.writer.rewinds() {
            true => affordable(&ready, granted),
            false => ready.len(),
        };
        let leaving = ready.get(..affordable).unwrap_or_default();
        let unsent = ready.len() - leaving.len();
        self.call.release.writer.sent(unsent);
        self.deliver(leaving);
        self.leaving.give(joined(leaving));
        if !enough {
            self.budget_ended(now);
        }
        self.settle(now);
    }

    /// What may leave has left: what was decided is carried out, and an answer that is at its end ends.
    fn settle(&mut self, now: Micros) {
        if self.hearing.fate.is_some() {
            return self.decided(now);
        }
        let drained = matches!(self.call.legs.stage(), Stage::Drained);
        if drained && self.call.release.is_judged() && self.hearing.waiting.is_empty() {
            let trailer = self.call.release.writer.trailer();
            self.leaving.give(trailer);
            self.leaving.ending = Some(super::Ending::Done);
            self.end(self.own_status(), now);
        }
    }

    /// The answer failed after it had begun, and the client has read nothing of it: whether the call goes to another target of
    /// its route, or to the same again, as the configuration has it for a call that fails at once.
    pub(super) fn fall_back(&mut self, now: Micros) -> bool {
        let legs = &mut self.call.legs;
        legs.failed_at.push(Target {
            upstream: legs.upstream.as_str().into(),
            model: legs.model.as_str().into(),
        });
        // Where a policy sent it is the policy's affair.
        let targets = self.targets(None).unwrap_or_default();
        if self.call.legs.ordered_retries > 0 || self.left_of(targets).is_empty() {
            return false;
        }
        turn::start_over(&mut self.hearing, &mut self.call);
        self.again(None, 0, now);
        true
    }

    /// Another attempt, where a policy ordered it to go if one did.
    pub(super) fn again(
        &mut self,
        ordered: Option<(String, String)>,
        not_before: Micros,
        now: Micros,
    ) {
        measure::abandoned(&self.hearing, &mut self.call.legs, now);
        self.facts.session.state().retried();
        self.call.legs.go(Stage::Opening(not_before, ordered));
    }

    /// The session's budget ended in the middle of the generation.
    fn budget_ended(&mut self, now: Micros) {
        let leased = self.call.account.leased;
        self.call.account.cut_at = Some(u32::try_from(leased).unwrap_or(u32::MAX));
        let reason = "the session's budget is used up";
        let by = account::LEDGER;
        let hearing = &mut self.hearing;
        hearing.intervened("stop", by, reason, serde_json::Value::Null, now);
        if hearing.fate.is_none() {
            hearing.fate = Some(Fate::Stop {
                reason: reason.to_owned(),
                confidence: None,
                keep_held: false,
                by: by.to_owned(),
            });
        }
    }
}

/// Everything that may leave now.
fn ready(hearing: &mut Hearing, call: &mut ModelCall) -> Vec<Ready> {
    let holds = call.holds_tool_calls(hearing);
    let text_waits = hearing.waiting.has(&Item::Text);
    let heard = call.release.is_judged() && hearing.waiting.is_empty();
    // A generation that is stopped gets another end than its own.
    let finished = heard && hearing.fate.is_none();
    let panel = &hearing.panel;
    let limit = |s: &Stretch| {
        match &s.call {
            Some(call) if call.is_out() => return u32::MAX,
            Some(call) if call.is_parked() => return 0,
            Some(call) if holds && !call.is_judged() => return 0,
            _ => {}
        }
        if text_waits && s.place.channel != Channel::ToolArguments {
            return s.released;
        }
        panel.limit(s.place, s.safe())
    };
    let mut out = Vec::new();
    let hold = &mut call.release.hold;
    if let Err(error) = hold.release(&mut *call.release.writer, limit, finished, &mut out) {
        tracing::error!(%error, session = %hearing.facts.session.id, "a replacement could not be written: the exchange ends");
        let why = "a policy's replacement could not be written into the response";
        hearing.fate = Some(Fate::refusal(why));
    }
    // A part that looks like the whole must not be the client's last word.
    if finished && hearing.fate.is_none() && hold.bytes() > 0 {
        let why = "a part of the response was held and never released";
        hearing.fate = Some(Fate::refusal(why));
    }
    out
}

/// How many frames the granted tokens reach for. A tool call goes whole or not at all: agents mend one that was cut.
fn affordable(ready: &[Ready], mut granted: u64) -> usize {
    let mut whole = 0;
    for (at, frame) in ready.iter().enumerate() {
        let tokens = u64::from(frame.tokens);
        if tokens > granted {
            return whole;
        }
        granted -= tokens;
        if !frame.in_a_call {
            whole = at + 1;
        }
    }
    // What follows of a call that is not all here comes with tokens of its own.
    ready.len()
}
