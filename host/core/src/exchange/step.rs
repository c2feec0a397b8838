//! The loop of an exchange: what is next, and what came of it.

use bytes::Bytes;

use super::hearing::Matter as _;
use super::incoming::Incoming;
use super::legs::Stage;
use super::next::{Ending, Next, Take};
use super::words::upstream_failed;
use super::{Exchange, bounds, error_body, turn, usage};
use crate::act::fate::Fate;
use crate::dialect::Closing;
use crate::event::{FailureKind, Micros, Status, Usage};

/// Longest wait before a retry that a policy can order, ms.
const MAX_RETRY_WAIT_MS: u32 = 10_000;

impl Exchange {
    /// What is to be done next.
    pub fn next(&mut self, now: Micros) -> Next {
        self.at(now);
        loop {
            if let Some(bytes) = self.leaving.out.pop_front() {
                match &mut self.leaving.assembly {
                    Some(assembly) => assembly.extend_from_slice(&bytes),
                    None => return Next::Give(bytes),
                }
                continue;
            }
            if let Some(ending) = self.leaving.ending.take() {
                return Next::End(self.assembled(ending));
            }
            if self.is_over() {
                return Next::End(Ending::Done);
            }
            if let Some(next) = self.step(now) {
                return next;
            }
        }
    }

    fn step(&mut self, now: Micros) -> Option<Next> {
        let live = matches!(self.call.legs.stage(), Stage::Reading(_) | Stage::Drained);
        let moved = live && std::mem::take(&mut self.call.legs.moved);
        match self.call.legs.stage() {
            Stage::Opening(not_before, _) if *not_before > now && self.hearing.fate.is_none() => {
                let until = self.until().into_iter().chain([*not_before]).min();
                return Some(Next::Wait { until, held: false });
            }
            // Decided while it waited for its turn: no further attempt is told.
            Stage::Opening(..) if self.hearing.fate.is_some() && self.call.legs.attempt > 0 => {
                self.decided(now);
            }
            Stage::Opening(..) => self.open_leg(now),
            Stage::Judged(..) if self.hearing.fate.is_some() => self.decided(now),
            Stage::Judged(..) if !self.hearing.waiting.is_empty() => return Some(self.hold()),
            Stage::Judged(..) => self.charge(),
            Stage::Charged(targets) => {
                let model = targets.first().map_or("", |t| &*t.model);
                let prices = self.hearing.around.prices.ledger_prices(model);
                // All legs of an answer are one account: their prompts and outputs add up.
                let call = &self.call;
                let prompt = call.prompt.tokens(&call.legs.steps);
                let prompts = u64::from(call.account.prior.input) + u64::from(prompt);
                return Some(Next::Take(Take::Prompt(prompts, prices)));
            }
            Stage::Whole(_, wanted) => {
                let missing = wanted.saturating_sub(self.call.account.leased);
                return Some(Next::Take(Take::Output(missing)));
            }
            Stage::Ready(_) => {
                self.call.prompt.take_in(&self.facts);
                return self.call.legs.send(now).map(Next::Send);
            }
            Stage::Sent | Stage::Failed if self.hearing.fate.is_some() => self.decided(now),
            Stage::Sent => {
                let until = self.until();
                return Some(Next::Wait { until, held: false });
            }
            Stage::Reading(_) | Stage::Drained if moved => {
                return self.pass(now);
            }
            Stage::Reading(_) if !bounds::is_full(&self.hearing, &self.call) => {
                let until = self.until();
                return Some(Next::Read { until });
            }
            Stage::Reading(_) => return Some(self.hold()),
            Stage::Drained if !self.hearing.waiting.is_empty() => return Some(self.hold()),
            Stage::Refusal(_) if self.hearing.fate.is_some() => self.decided(now),
            Stage::Refusal(_) if !self.hearing.waiting.is_empty() => return Some(self.hold()),
            Stage::Refusal(refusal) => {
                let body = error_body::judged(&self.hearing, &self.call, refusal);
                let failure = refusal.failure.clone();
                self.unreached_with(&failure, Some(body), now);
            }
            // Nothing more can come: what is there is all.
            Stage::Drained => {
                turn::finished(&mut self.hearing, &mut self.call, now);
                self.call.release.said_all();
                self.call.legs.moved = true;
            }
            Stage::Failed | Stage::Over => {
                self.leaving.ending = Some(Ending::Done);
                self.end(Status::Failed, now);
            }
        }
        None
    }

    /// When it has to be woken though nothing comes.
    fn until(&self) -> Option<Micros> {
        let generating = self.call.phase() != crate::event::phase::Phase::Request;
        let hearing = &self.hearing;
        hearing
            .panel
            .due(&hearing.vitals, generating)
            .into_iter()
            .chain(self.call.clock.deadline)
            .chain(hearing.waiting.until())
            .min()
    }

    /// It is held for somebody's answer.
    fn hold(&self) -> Next {
        let reads = self.facts.view.streamed || self.call.legs.stage().is_reading();
        let patience = (!reads).then_some(self.call.clock.patience);
        let until = self.until().into_iter().chain(patience).min();
        Next::Wait { until, held: true }
    }

    /// Carries out what was decided.
    pub(super) fn decided(&mut self, now: Micros) {
        let Some(fate) = self.hearing.fate.clone() else {
            return;
        };
        match fate {
            Fate::Retry {
                upstream,
                model,
                after_ms,
            } => {
                if !self.call.legs.may_retry() {
                    let retries = self.call.legs.ordered_retries + 1;
                    let message =
                        format!("the call failed {retries} times, each retry ordered by a policy");
                    return self.refuse(upstream_failed(FailureKind::Upstream, message), now);
                }
                self.hearing.fate = None;
                // Of a leg that nobody answered nothing is charged.
                match self.call.legs.stage() {
                    Stage::Reading(_) | Stage::Drained => {
                        turn::start_over(&mut self.hearing, &mut self.call);
                    }
                    _ => turn::forget(&mut self.hearing, &mut self.call),
                }
                self.call.legs.ordered_retries += 1;
                let wait = u64::from(after_ms.min(MAX_RETRY_WAIT_MS)) * 1_000;
                self.again(Some((upstream, model)), now + wait, now);
            }
            Fate::Answer(text) if !self.call.release.hold.told_anything() => {
                self.answer_locally(&text, now);
            }
            fate if self.streams() => self.conclude(fate, now),
            _ => self.conclude_whole(&[], now),
        }
    }

    /// An answer in the model's place goes the way of any other: the other policies judge it.
    fn answer_locally(&mut self, text: &str, now: Micros) {
        self.hearing.fate = None;
        self.call.prompt.take_in(&self.facts);
        // No model generates what follows.
        self.call.account.stated_at = u32::MAX;
        self.call.release.usage = Some(Usage {
            exact: true,
            ..Usage::default()
        });
        let ending = crate::dialect::Ending::Complete;
        // It is said as an upstream would, and then written to the client like anything that arrives.
        let identity = self.call.release.writer.identity().clone();
        let mut voice = self.call.legs.dialect.voice(identity);
        let streamed = self.streams();
        self.call.legs.begun |= self.facts.view.streamed;
        let bytes: Bytes = match streamed {
            true => {
                let choices: Vec<u16> = (0..self.facts.choices()).collect();
                let usage = usage::usage(&self.call, &self.hearing.vitals);
                let closing = Closing {
                    open: &choices,
                    begun: self.call.release.hold.opened,
                    text,
                    refusal: false,
                    ending: &ending,
                    usage: (self.facts.view.include_usage || self.call.assembles).then_some(usage),
                };
                voice.close(&closing)
            }
            false => {
                let body = voice.answer(text, false, &ending, Usage::default());
                body.into()
            }
        };
        self.call.legs.go(Stage::Reading(Incoming::new(
            streamed,
            self.call.legs.dialect.outbound().wire(),
        )));
        self.chunk(bytes, now);
        self.ended(now);
    }
}
