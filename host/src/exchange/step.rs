//! The loop of an exchange: what is next, and what came of it.

use bytes::Bytes;

use super::account::LEDGER;
use super::arrive;
use super::hearing::Matter as _;
use super::incoming::{Incoming, Rest};
use super::legs::Stage;
use super::next::{Attempted, Body, Ending, Next, Take};
use super::turn;
use super::words::{self, upstream_failed};
use super::{Exchange, account, bounds, error_body, measure};
use crate::act::fate::Fate;
use crate::contract::types::{BlockMode, Checkpoint};
use crate::dialect::{Closing, EditError, Failure};
use crate::event::target::{StreamUsage, Target};
use crate::event::{FailureKind, Micros, Status, Usage};
use crate::prompt::outgoing::Bounds;
use crate::session::ledger::{LedgerError, Spend};
use crate::session::record::Asked;

/// Tokens that an answer gets, at least, that is neither streamed nor limited by its request, while the session has a
/// budget. 4,096 was the vendors' own bound for years; more than an eighth of the rest would starve calls beside it.
const UNSTATED_ANSWER: u64 = 4096;

/// Longest wait before a retry that a policy can order, ms.
const MAX_RETRY_WAIT_MS: u32 = 10_000;

impl Exchange {
    /// What is to be done next.
    pub fn next(&mut self, now: Micros) -> Next {
        self.at(now);
        loop {
            if let Some(bytes) = self.out.pop_front() {
                return Next::Give(bytes);
            }
            if let Some(ending) = self.ending.take() {
                return Next::End(ending);
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
        match &self.call.legs.stage {
            Stage::Opening(not_before, _) if *not_before > now && self.hearing.fate.is_none() => {
                let until = self.until().into_iter().chain([*not_before]).min();
                return Some(Next::Wait { until, held: false });
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
            Stage::Whole(_, _, wanted) => {
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
            Stage::Reading(_) | Stage::Drained if std::mem::take(&mut self.call.legs.moved) => {
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
                self.ending = Some(Ending::Done);
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
        let reads = self.facts.view.streamed || self.call.legs.stage.is_reading();
        let patience = (!reads).then_some(self.call.clock.patience);
        let until = self.until().into_iter().chain(patience).min();
        Next::Wait { until, held: true }
    }

    /// A leg begins: where it goes is looked up, and its request is told and judged.
    fn open_leg(&mut self, now: Micros) {
        let Stage::Opening(_, ordered) = &mut self.call.legs.stage else {
            return;
        };
        let ordered = ordered.take();
        let targets = match self.targets(ordered.clone()) {
            Ok(targets) if ordered.is_none() => self.left_of(targets),
            Ok(targets) => targets,
            Err(model) => return self.refuse(words::no_route(&model), now),
        };
        let (hearing, call) = (&mut self.hearing, &mut self.call);
        if let Some(first) = targets.first() {
            let legs = &mut call.legs;
            legs.attempt += 1;
            (legs.upstream, legs.model) = (first.upstream.to_string(), first.model.to_string());
            measure::look_around(hearing, legs, now);
            let asked = Asked {
                upstream: &legs.upstream,
                model: &legs.model,
                input_tokens: call.prompt.input_tokens,
                attempt: legs.attempt,
            };
            hearing.record.request(&asked, now);
            hearing.checkpoint(Checkpoint::Request, call, now);
        }
        self.call.legs.stage = Stage::Judged(targets, ordered);
    }

    /// Its request may go: the session's account is asked for it.
    fn charge(&mut self) {
        let Stage::Judged(targets, ordered) = &mut self.call.legs.stage else {
            return;
        };
        let (mut targets, ordered) = (std::mem::take(targets), ordered.take());
        // The checkpoint may have ordered another route. Where a retry was sent stays: retry is stronger than route.
        if self.call.prompt.changes_route()
            && let Ok(rerouted) = self.targets(ordered)
        {
            targets = rerouted;
        }
        self.call.legs.stage = Stage::Charged(targets);
    }

    /// The ledger gave what was asked for: of a prompt the room that is left for the answer, if the session has a limit; of
    /// output the tokens.
    pub fn took(&mut self, taken: Result<Option<u64>, LedgerError>, now: Micros) {
        self.at(now);
        if self.is_over() {
            return;
        }
        let taken = match taken {
            Ok(taken) => taken,
            Err(error) => {
                self.over_budget(&error, now);
                return self.after_failed_take(now);
            }
        };
        match &mut self.call.legs.stage {
            Stage::Charged(targets) => {
                let targets = std::mem::take(targets);
                self.call.account.room = taken;
                match taken.filter(|_| !self.facts.view.streamed) {
                    // An answer that is not streamed is taken whole, and beforehand: nobody can end it in the middle, so calls
                    // that run at once would otherwise be told the same remainder and pass the budget together.
                    Some(room) => {
                        let wanted = self.wanted(room);
                        self.call.legs.stage = Stage::Whole(targets, room, wanted);
                    }
                    None => self.make_ready(targets, now),
                }
            }
            Stage::Whole(targets, _, _) => {
                let targets = std::mem::take(targets);
                let account = &mut self.call.account;
                account.leased = account.leased.saturating_add(taken.unwrap_or_default());
                let own = account.leased.saturating_sub(account.prior.output.into());
                account.room = Some(own);
                let choices = u64::from(self.facts.choices());
                if own < choices {
                    let ledger = &self.facts.session.ledger;
                    let error = LedgerError::Exhausted {
                        spent: ledger.spent(),
                        needed: Spend {
                            tokens: choices,
                            cost: 0,
                        },
                        limits: ledger.limits(),
                    };
                    self.over_budget(&error, now);
                    return self.after_failed_take(now);
                }
                self.make_ready(targets, now);
            }
            _ => {
                let granted = taken.unwrap_or_default();
                let account = &mut self.call.account;
                account.leased = account.leased.saturating_add(granted);
                self.taken(granted, now);
            }
        }
    }

    /// Nothing was taken: what is ready does not leave.
    fn after_failed_take(&mut self, now: Micros) {
        match self.taking.is_some() {
            true => self.taken(0, now),
            false => self.decided(now),
        }
    }

    /// Tokens of output that a whole answer may want of this room.
    fn wanted(&self, room: u64) -> u64 {
        let choices = u64::from(self.facts.choices());
        let stated = self.facts.view.max_output_tokens;
        let stated = stated.map(|n| u64::from(n) * choices);
        stated
            .unwrap_or((room / 8).max(UNSTATED_ANSWER))
            .saturating_add(self.call.account.prior.output.into())
            .min(self.call.account.leased + room)
    }

    /// It is paid for: its body is made for each target.
    fn make_ready(&mut self, targets: Vec<Target>, now: Micros) {
        let room = self.call.account.room;
        let bodies = targets.into_iter().map(|target| {
            let body = self.body_for(&target, room)?;
            Ok((target, body))
        });
        match bodies.collect::<Result<Vec<_>, EditError>>() {
            Ok(bodies) => self.call.legs.stage = Stage::Ready(bodies),
            // What policies ordered cannot be written into the request.
            Err(error) => {
                let why =
                    format!("the request could not be changed as the policies ordered: {error}");
                self.hearing.fate = Some(Fate::refusal(why));
                self.decided(now);
            }
        }
    }

    /// The body for a target; where it is not known whether the upstream takes it, also one without a question for usage.
    fn body_for(&self, target: &Target, room: Option<u64>) -> Result<Body, EditError> {
        let view = &self.facts.view;
        let usage = match view.streamed && !view.include_usage {
            true => {
                let destinations = &self.hearing.around.destinations;
                destinations.stream_usage(&target.upstream)
            }
            false => StreamUsage::Leave,
        };
        let legs = &self.call.legs;
        let with = |asks_usage| {
            let bounds = Bounds {
                model: &target.model,
                room,
                asks_usage,
            };
            let prompt = &self.call.prompt;
            prompt.outgoing(&self.facts, &legs.steps, &legs.body, bounds)
        };
        let bytes = with(usage != StreamUsage::Leave)?;
        let plain = match usage {
            StreamUsage::Try => Some(with(false)?).filter(|plain| *plain != bytes),
            _ => None,
        };
        Ok(Body { bytes, plain })
    }

    /// Where the call goes: what was ordered for it or its session, else by the routes.
    ///
    /// # Errors
    /// The model that no route serves.
    pub(super) fn targets(&self, ordered: Option<(String, String)>) -> Result<Vec<Target>, String> {
        let (upstream, model) = self.call.prompt.destination(&self.facts, ordered);
        if !upstream.is_empty() {
            return Ok(vec![Target {
                upstream: upstream.as_str().into(),
                model: model.as_str().into(),
            }]);
        }
        let targets = self.hearing.around.destinations.of(&model);
        match targets.is_empty() {
            true => Err(model),
            false => Ok(targets),
        }
    }

    /// Targets that may be asked, the failures in the middle of answers counted.
    pub(super) fn left_of(&self, targets: Vec<Target>) -> Vec<Target> {
        let failed_at = &self.call.legs.failed_at;
        if failed_at.is_empty() {
            return targets;
        }
        let failed = |target: &Target| failed_at.iter().filter(|t| *t == target).count();
        let destinations = &self.hearing.around.destinations;
        let may =
            |target: &Target| failed(target) <= destinations.retries(&target.upstream) as usize;
        targets.into_iter().filter(may).collect()
    }

    /// Attempts at the present leg failed; the first `cured` of them were cured by a repetition or another upstream.
    pub fn attempts(&mut self, attempts: &[Attempted], cured: usize, now: Micros) {
        self.at(now);
        measure::attempts(&self.hearing, &mut self.call.legs, attempts, now);
        for attempt in attempts.iter().take(cured) {
            self.hearing.record.failure(&attempt.failure, true, now);
            self.facts.session.state().retried();
        }
    }

    /// A good answer begins at the target, which was asked at `began`.
    pub fn answered(&mut self, target: &Target, attempt: u32, began: Micros, now: Micros) {
        self.at(now);
        self.went_to(target, attempt, now);
        let streamed = self.facts.view.streamed;
        let legs = &mut self.call.legs;
        legs.asked = Some(began);
        legs.begun |= streamed;
        legs.stage = Stage::Reading(Incoming::new(streamed));
    }

    /// The target answered with an error.
    pub fn refused(
        &mut self,
        target: &Target,
        attempt: u32,
        (status, body): (u16, Bytes),
        now: Micros,
    ) {
        self.at(now);
        self.went_to(target, attempt, now);
        let failure = self.facts.client.read_error(status, &body);
        let retryable = status == 429 || status >= 500;
        self.failed(&failure, retryable, now);
        if self.hearing.fate.is_some() {
            return;
        }
        if self.hearing.panel.guards() {
            error_body::judge(&mut self.hearing, &mut self.call, failure, &body, now);
        } else {
            self.unreached_with(&failure, Some(body), now);
        }
    }

    /// No target answered.
    pub fn unreached(&mut self, failure: &Failure, retryable: bool, now: Micros) {
        self.at(now);
        self.failed(failure, retryable, now);
        if self.hearing.fate.is_none() {
            self.unreached_with(failure, None, now);
        }
    }

    /// The upstream failed before it generated anything, and policies are asked.
    fn failed(&mut self, failure: &Failure, retryable: bool, now: Micros) {
        self.call.legs.stage = Stage::Failed;
        self.hearing.record.failure(failure, retryable, now);
        let (hearing, call) = (&mut self.hearing, &mut self.call);
        hearing.checkpoint(Checkpoint::Response, call, now);
    }

    /// The client is told that no upstream gave an answer.
    fn unreached_with(&mut self, failure: &Failure, body: Option<Bytes>, now: Micros) {
        self.call.legs.stage = Stage::Failed;
        let ending = match self.call.legs.begun {
            true => {
                let message = match &body {
                    Some(body) => self.facts.client.read_error(failure.status, body).message,
                    None => failure.message.clone(),
                };
                let code = match failure.kind {
                    FailureKind::RateLimit if body.is_none() => "airlock_rate_limit",
                    _ => "airlock_upstream",
                };
                let error = words::plain(failure.status, failure.kind, code, message);
                self.out.push_back(self.facts.client.error_frame(&error));
                Ending::Done
            }
            false => Ending::Unreached(body),
        };
        self.ending = Some(ending);
        self.end(Status::Failed, now);
    }

    /// The call was answered there. If that is not where the request was told to go, it is told again.
    fn went_to(&mut self, target: &Target, attempt: u32, now: Micros) {
        let legs = &mut self.call.legs;
        legs.attempt = legs.attempt.max(attempt);
        if (&*legs.upstream, &*legs.model) != (&*target.upstream, &*target.model) {
            (legs.upstream, legs.model) = (target.upstream.to_string(), target.model.to_string());
            measure::look_around(&mut self.hearing, legs, now);
            self.hearing.record.request_again(&Asked {
                upstream: &legs.upstream,
                model: &legs.model,
                input_tokens: self.call.prompt.input_tokens,
                attempt: legs.attempt,
            });
        }
    }

    /// Bytes of the answer arrived.
    pub fn chunk(&mut self, bytes: Bytes, now: Micros) {
        self.at(now);
        let Stage::Reading(incoming) = &mut self.call.legs.stage else {
            return;
        };
        let (decoded, framed) = incoming.push(bytes);
        let whole = matches!(incoming, Incoming::Whole(_));
        if !whole {
            arrive::stream(&mut self.hearing, &mut self.call, decoded, now);
            self.call.legs.moved = true;
        }
        if let (None, Err(message)) = (&self.hearing.fate, framed) {
            let kind = match whole {
                true => FailureKind::Connection,
                false => FailureKind::Upstream,
            };
            self.broke(message, kind, now);
        }
    }

    /// The upstream said everything: the rest is judged and leaves.
    pub fn ended(&mut self, now: Micros) {
        self.at(now);
        let Stage::Reading(incoming) = &mut self.call.legs.stage else {
            return;
        };
        let rest = incoming.finish();
        self.call.legs.stage = Stage::Drained;
        let (hearing, call) = (&mut self.hearing, &mut self.call);
        match rest {
            Rest::Stream(decoded) => arrive::stream(hearing, call, decoded, now),
            Rest::Whole(answer) => {
                if let Err(error) = arrive::whole(hearing, call, answer, now) {
                    return self.broke(error.to_string(), FailureKind::Connection, now);
                }
            }
        }
        let broken = hearing.fate.is_none() && !call.release.is_whole();
        if broken && call.release.told_error() && !call.release.failed_unheard() {
            // The upstream said itself what went wrong, and the client has it.
            turn::finished(hearing, call, now);
            self.ending = Some(Ending::Done);
            return self.end(Status::Failed, now);
        }
        if broken && !call.release.failed_unheard() {
            let message = "the upstream ended the stream before its last frame".to_owned();
            return self.broke(message, FailureKind::Connection, now);
        }
        self.call.release.said_all();
        self.call.legs.moved = true;
    }

    /// The upstream's answer cannot go on. A client that has read nothing is served from elsewhere where that is possible;
    /// else it is told in a way that its SDK raises at.
    pub fn broke(&mut self, message: String, kind: FailureKind, now: Micros) {
        self.at(now);
        if self.is_over() {
            return;
        }
        self.call.legs.stage = Stage::Drained;
        let failure = Failure {
            status: 502,
            kind,
            message,
        };
        let (hearing, call) = (&mut self.hearing, &mut self.call);
        arrive::broke(hearing, call, &failure, now);
        let unheard = hearing.fate.is_none() && !call.release.is_heard();
        if unheard && self.fall_back(now) {
            return;
        }
        turn::finished(&mut self.hearing, &mut self.call, now);
        match self.hearing.fate {
            Some(Fate::Retry { .. }) if unheard => self.decided(now),
            Some(Fate::Block {
                mode: BlockMode::Abort,
                ..
            }) => self.cut(now),
            _ => self.refuse(upstream_failed(failure.kind, failure.message), now),
        }
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
                if matches!(self.call.legs.stage, Stage::Reading(_) | Stage::Drained) {
                    turn::start_over(&mut self.hearing, &mut self.call);
                }
                self.call.legs.ordered_retries += 1;
                let wait = u64::from(after_ms.min(MAX_RETRY_WAIT_MS)) * 1_000;
                self.again(Some((upstream, model)), now + wait, now);
            }
            Fate::Answer(text) if !self.call.release.hold.told_anything() => {
                self.answer_locally(&text, now);
            }
            fate if self.facts.view.streamed => self.conclude(fate, now),
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
        let client = self.facts.client;
        let identity = self.call.release.identity.clone();
        let ending = crate::dialect::Ending::Complete;
        let streamed = self.facts.view.streamed;
        self.call.legs.begun |= streamed;
        let bytes: Bytes = match streamed {
            true => {
                let choices: Vec<u16> = (0..self.facts.choices()).collect();
                let usage = account::usage(&self.call, &self.hearing.vitals);
                let closing = Closing {
                    open: &choices,
                    begun: self.call.release.hold.opened,
                    text,
                    refusal: false,
                    ending: &ending,
                    usage: self.facts.view.include_usage.then_some(usage),
                };
                client.close_stream(&identity, &closing)
            }
            false => client
                .answer_body(&identity, text, false, &ending, Usage::default())
                .into(),
        };
        self.call.legs.stage = Stage::Reading(Incoming::new(streamed));
        self.chunk(bytes, now);
        self.ended(now);
    }

    /// The session's budget does not reach for this call, or cannot be kept.
    fn over_budget(&mut self, error: &LedgerError, now: Micros) {
        let why = error.to_string();
        let hearing = &mut self.hearing;
        hearing.intervened("block", LEDGER, &why, serde_json::Value::Null, now);
        let facts = &self.facts;
        hearing.fate = Some(Fate::Refused(match error {
            LedgerError::NotDurable(_) => words::unkept(facts, error),
            LedgerError::Exhausted { .. } | LedgerError::Ended => words::used_up(facts, &why),
        }));
    }
}
