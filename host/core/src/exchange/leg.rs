//! How a leg begins: where it goes, what of the session's budget it takes, and its body for each target.

use super::account::LEDGER;
use super::legs::Stage;
use super::next::Body;
use super::{Exchange, measure, words};
use crate::act::fate::Fate;
use bytes::Bytes;

use crate::dialect::{Dialect, EditError, NotPortable, Received, RequestEdits};
use crate::event::Micros;
use crate::event::target::{Foreign, StreamUsage, Target};
use crate::prompt::outgoing::Bounds;
use crate::session::ledger::{LedgerError, Spend};
use crate::session::record::Asked;
use airlock_policy::contract::types::Checkpoint;

/// Tokens that an answer gets, at least, that is neither streamed nor limited by its request, while the session has a
/// budget. 4,096 was the vendors' own bound for years; more than an eighth of the rest would starve calls beside it.
const UNSTATED_ANSWER: u64 = 4096;

/// Why a target cannot be asked.
#[derive(Debug, thiserror::Error)]
enum Unsendable {
    /// What was ordered cannot be written.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// Its API has no place for what the client asks.
    #[error(transparent)]
    NotPortable(#[from] NotPortable),
}

impl Exchange {
    /// A leg begins: where it goes is looked up, and its request is told and judged.
    pub(super) fn open_leg(&mut self, now: Micros) {
        let Stage::Opening(_, ordered) = self.call.legs.stage_mut() else {
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
            let cause = legs.cause();
            let asked = Asked {
                upstream: &legs.upstream,
                model: &legs.model,
                input_tokens: call.prompt.input_tokens,
                attempt: legs.attempt,
                leg: legs.number() + 1,
                cause,
            };
            hearing.record.request(&asked, now);
            hearing.checkpoint(Checkpoint::Request, call, now);
        }
        self.call.legs.go(Stage::Judged(targets, ordered));
    }

    /// Its request may go: the session's account is asked for it.
    pub(super) fn charge(&mut self) {
        let Stage::Judged(targets, ordered) = self.call.legs.stage_mut() else {
            return;
        };
        let (mut targets, ordered) = (std::mem::take(targets), ordered.take());
        // The checkpoint may have ordered another route. Where a retry was sent stays: retry is stronger than route.
        if self.call.prompt.changes_route()
            && let Ok(rerouted) = self.targets(ordered)
        {
            targets = rerouted;
        }
        self.call.legs.go(Stage::Charged(targets));
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
        match self.call.legs.stage_mut() {
            Stage::Charged(targets) => {
                let targets = std::mem::take(targets);
                self.call.account.room = taken;
                match taken.filter(|_| !self.streams()) {
                    // An answer that is not streamed is taken whole, and beforehand: nobody can end it in the middle, so calls
                    // that run at once would otherwise be told the same remainder and pass the budget together.
                    Some(room) => {
                        let wanted = self.wanted(room);
                        self.call.legs.go(Stage::Whole(targets, wanted));
                    }
                    // What a denied step generated was not taken when it left, since it did not leave.
                    None => {
                        let prior = u64::from(self.call.account.prior.output);
                        match taken.is_some() && prior > self.call.account.leased {
                            true => self.call.legs.go(Stage::Whole(targets, prior)),
                            false => self.make_ready(targets, now),
                        }
                    }
                }
            }
            Stage::Whole(targets, _) => {
                let targets = std::mem::take(targets);
                let (streamed, granted) = (self.streams(), taken.unwrap_or_default());
                let account = &mut self.call.account;
                let prior = u64::from(account.prior.output);
                account.leased = account.leased.saturating_add(granted);
                // Of a stream the earlier legs are taken here, and what comes as it leaves.
                let own = match account.leased.checked_sub(prior) {
                    None => 0,
                    Some(_) if streamed => account.room.unwrap_or_default().saturating_sub(granted),
                    Some(own) => own,
                };
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
        if self.streams() && self.leaving.taking.is_some() {
            return self.taken(0, now);
        }
        match self.leaving.taking.take() {
            Some((ready, _)) => self.conclude_whole(&ready, now),
            None => self.decided(now),
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
        let mut bodies = Vec::with_capacity(targets.len());
        let mut unportable = None;
        for target in targets {
            match self.body_for(&target, room) {
                Ok(body) => bodies.push((target, body)),
                // Another target may take it.
                Err(Unsendable::NotPortable(error)) => {
                    unportable.get_or_insert(error);
                }
                // What policies ordered cannot be written into the request.
                Err(Unsendable::Edit(error)) => {
                    let why = format!(
                        "the request could not be changed as the policies ordered: {error}"
                    );
                    self.hearing.fate = Some(Fate::refusal(why));
                    return self.decided(now);
                }
            }
        }
        match unportable {
            Some(error) if bodies.is_empty() => {
                self.hearing.fate = Some(Fate::Refused(words::not_portable(&error)));
                self.decided(now);
            }
            _ => {
                self.tell_carried(&bodies, unportable.as_ref());
                self.call.legs.go(Stage::Ready(bodies));
            }
        }
    }

    /// What is not carried to upstreams of another API is told.
    fn tell_carried(&self, bodies: &[(Target, Body)], unportable: Option<&NotPortable>) {
        let note = |name: &str, value: String| {
            self.hearing.record.note(crate::event::Body::Annotation {
                policy: "route".to_owned(),
                name: name.to_owned(),
                value,
            });
        };
        let first = bodies.first().filter(|(_, body)| !body.left.is_empty());
        if let Some((target, body)) = first {
            let left = body.left.join(", ");
            note(
                &target.upstream,
                format!("left behind on the way to another API: {left}"),
            );
        }
        if let Some(error) = unportable {
            note("passed over", error.to_string());
        }
    }

    /// The body for a target; where it is not known whether the upstream takes it, also one without a question for usage.
    fn body_for(&self, target: &Target, room: Option<u64>) -> Result<Body, Unsendable> {
        let view = &self.facts.view;
        let foreign = self.foreign(target);
        let usage = match self.streams() && (foreign.is_some() || !view.include_usage) {
            true => {
                let destinations = &self.hearing.around.destinations;
                destinations.stream_usage(&target.upstream)
            }
            false => StreamUsage::Leave,
        };
        let legs = &self.call.legs;
        let mut left = Vec::new();
        let mut with = |asks_usage| -> Result<Bytes, Unsendable> {
            let bounds = Bounds {
                streams: self.call.assembles,
                model: &target.model,
                room,
                asks_usage,
            };
            let prompt = &self.call.prompt;
            let upstream = legs.dialect.outbound();
            let body = prompt.outgoing(&self.facts, upstream, &legs.steps, &legs.body, bounds)?;
            match foreign {
                None => Ok(body),
                Some(foreign) => {
                    let (carried, behind) = self.carried(&body, target, foreign, asks_usage)?;
                    left = behind;
                    Ok(carried)
                }
            }
        };
        let bytes = with(usage != StreamUsage::Leave)?;
        let plain = match usage {
            StreamUsage::Try => Some(with(false)?).filter(|plain| *plain != bytes),
            _ => None,
        };
        let outbound = foreign.unwrap_or(legs.dialect).outbound();
        let path = outbound.path(&target.model, self.streams());
        let foreign = foreign.map(|foreign| Foreign {
            headers: foreign.outbound().headers(),
        });
        Ok(Body {
            path,
            bytes,
            plain,
            foreign,
            left,
        })
    }

    /// A body of the client's API in that of its upstream.
    fn carried(
        &self,
        body: &Bytes,
        target: &Target,
        foreign: &'static dyn Dialect,
        asks_usage: bool,
    ) -> Result<(Bytes, Vec<String>), Unsendable> {
        let client = self.facts.client;
        let path = client.outbound().path(&target.model, self.streams());
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&*path, None),
        };
        let received = Received { path, query, body };
        let mut portable = client.inbound().to_portable(received)?;
        portable.model = target.model.to_string();
        portable.streamed = self.streams();
        portable.name_results();
        let outbound = foreign.outbound();
        portable.leave(outbound.lacks());
        let carried = outbound.of_portable(&portable)?;
        if !asks_usage {
            return Ok((carried.into(), portable.left));
        }
        let edits = RequestEdits {
            include_usage: true,
            ..RequestEdits::default()
        };
        let carried = outbound.edit_request(&carried, &edits)?;
        Ok((carried.into(), portable.left))
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
