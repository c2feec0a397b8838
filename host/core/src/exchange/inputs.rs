//! What an upstream did, as its driver tells it.

use bytes::Bytes;

use super::incoming::{Incoming, Rest};
use super::legs::Stage;
use super::next::{Attempted, Ending};
use super::words::{self, upstream_failed};
use super::{Exchange, arrive, error_body, measure, turn, unread};
use crate::act::fate::Fate;
use crate::dialect::translation::Translation;
use crate::dialect::{Dialect, Failure};
use crate::event::target::Target;
use crate::event::{FailureKind, Micros, Status};
use crate::session::record::Asked;
use airlock_policy::contract::types::{BlockMode, Checkpoint};

impl Exchange {
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
        let streamed = self.streams();
        let incoming = match self.foreign(target) {
            None => Incoming::new(streamed, self.call.legs.dialect.outbound().wire()),
            Some(upstream) => {
                let (legs, facts) = (&self.call.legs, &self.facts);
                let mut identity = self.call.release.writer.identity().clone();
                // Items of a later leg have ids of their own: some are made of the answer's.
                if legs.number() > 0 {
                    identity.id = format!("{}-{}", identity.id, legs.number());
                }
                let (session, number) = (facts.session.id.short(), facts.number);
                let seed = format!("call_{session}_{number}_{}_", legs.attempt);
                let translation = Translation::new(upstream, facts.client, identity, seed);
                Incoming::foreign(streamed, translation)
            }
        };
        let legs = &mut self.call.legs;
        legs.asked = Some(began);
        legs.begun |= self.facts.view.streamed;
        legs.go(Stage::Reading(incoming));
    }

    /// The wire API in which a target is asked, if it is not the client's own.
    pub(super) fn foreign(&self, target: &Target) -> Option<&'static dyn Dialect> {
        let speaks = self.hearing.around.destinations.speaks(&target.upstream);
        let client = self.facts.client.name();
        match speaks.iter().any(|dialect| dialect.name() == client) {
            true => None,
            false => speaks.first().copied(),
        }
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
        let foreign = self.foreign(target);
        let dialect = foreign.unwrap_or(self.call.legs.dialect);
        let failure = dialect.outbound().read_error(status, &body);
        // An error of another API is stated in the client's.
        let body = match foreign {
            None => body,
            Some(_) => error_body::state(self.facts.client, &failure, failure.message.clone()),
        };
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
        self.call.legs.go(Stage::Failed);
        self.hearing.record.failure(failure, retryable, now);
        let (hearing, call) = (&mut self.hearing, &mut self.call);
        hearing.checkpoint(Checkpoint::Response, call, now);
    }

    /// The client is told that no upstream gave an answer.
    pub(super) fn unreached_with(&mut self, failure: &Failure, body: Option<Bytes>, now: Micros) {
        self.call.legs.go(Stage::Failed);
        let ending = match self.call.legs.begun {
            true => {
                let error = match &body {
                    Some(body) => self.stated_error(failure.status, body),
                    None => words::unreached(failure),
                };
                let bytes = self.call.release.writer.error(&error);
                self.leaving.give(bytes);
                Ending::Done
            }
            false => Ending::Unreached(body),
        };
        self.leaving.ending = Some(ending);
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
                leg: legs.number() + 1,
                cause: "retried",
            });
        }
    }

    /// Bytes of the answer arrived.
    pub fn chunk(&mut self, bytes: Bytes, now: Micros) {
        self.at(now);
        let Stage::Reading(incoming) = self.call.legs.stage_mut() else {
            return;
        };
        let (decoded, framed) = incoming.push(bytes);
        let (whole, left) = (incoming.is_whole(), incoming.left());
        if !whole {
            arrive::stream(&mut self.hearing, &mut self.call, decoded, now);
            self.call.legs.moved = true;
        }
        self.tell_left(left);
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
        let Stage::Reading(incoming) = self.call.legs.stage_mut() else {
            return;
        };
        let (rest, left) = (incoming.finish(), incoming.left());
        self.tell_left(left);
        let rest = match rest {
            Ok(rest) => rest,
            Err(message) => return self.broke(message, FailureKind::Upstream, now),
        };
        self.call.legs.go(Stage::Drained);
        let (hearing, call) = (&mut self.hearing, &mut self.call);
        let mut broken = false;
        match rest {
            Rest::Stream(decoded) => {
                arrive::stream(hearing, call, decoded, now);
                broken = hearing.fate.is_none() && !call.release.is_whole();
            }
            Rest::Whole(answer) => {
                if let Err(error) = arrive::whole(hearing, call, answer, now) {
                    return self.broke(error.to_string(), FailureKind::Connection, now);
                }
            }
        }
        if broken && call.release.told_error() && !call.release.failed_unheard() {
            // The upstream said itself what went wrong, and the client has it.
            turn::finished(hearing, call, now);
            let trailer = self.call.release.writer.trailer();
            self.leaving.give(trailer);
            self.leaving.ending = Some(Ending::Done);
            return self.end(Status::Failed, now);
        }
        if broken && !call.release.failed_unheard() {
            let message = "the upstream ended the stream before its last frame".to_owned();
            return self.broke(message, FailureKind::Connection, now);
        }
        self.call.release.said_all();
        self.call.legs.moved = true;
    }

    /// Something of an answer in another API was left behind.
    fn tell_left(&mut self, left: bool) {
        if left {
            let what = "details that no model wrote were left behind: the client's API has no place for them";
            unread::unread(&mut self.hearing, &mut self.call, what);
        }
    }

    /// The upstream's answer cannot go on. A client that has read nothing is served from elsewhere where that is possible;
    /// else it is told in a way that its SDK raises at.
    pub fn broke(&mut self, message: String, kind: FailureKind, now: Micros) {
        self.at(now);
        if self.is_over() {
            return;
        }
        self.call.legs.go(Stage::Drained);
        let failure = Failure {
            status: 502,
            kind,
            message,
        };
        let (hearing, call) = (&mut self.hearing, &mut self.call);
        arrive::broke(hearing, call, &failure, now);
        // A client of a whole answer has read nothing of it before its end.
        let heard = self.facts.view.streamed || call.assembles;
        let heard = heard && call.release.is_heard();
        let unheard = hearing.fate.is_none() && !heard;
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
}
