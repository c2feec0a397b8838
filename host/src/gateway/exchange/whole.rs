//! Answers that are not streamed: collected, judged as if they had been, and sent at once.

use axum::body::Body;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::call::{Call, Reached};
use super::conclude::{Form, blocked, cut, error_response, shaped};
use super::conduct::{Exchange, Fate};
use super::round::Turn;
use super::{DIALECT, MAX_ANSWER_BYTES, relay, upstream_failed};
use crate::contract::types::BlockMode;
use crate::gateway::dialect::{Ending, Partial};
use crate::session::event::{FailureKind, Status};

impl Call {
    /// Takes in an answer, and those of further rounds, and gives what the client gets.
    pub(super) async fn whole(mut self, answer: crate::upstream::Response) -> Response<Body> {
        let mut answer = answer;
        loop {
            let collected =
                relay::collect_ticking(&mut self.exchange, answer.body, MAX_ANSWER_BYTES).await;
            let received = collected.and_then(|answer| match answer {
                Some(answer) => self
                    .exchange
                    .receive_whole(answer)
                    .map(Some)
                    .map_err(|error| error.to_string()),
                None => Ok(None),
            });
            match received {
                Ok(Some(())) => {}
                // Decided before the answer was there.
                Ok(None) if !matches!(self.exchange.fate, Some(Fate::Retry { .. })) => {
                    return self.conclude_unsent().await;
                }
                Ok(None) => {}
                Err(message) => {
                    let failure = self.exchange.broke(message, FailureKind::Connection);
                    self.exchange.end(Status::Failed);
                    let error = upstream_failed(failure.kind, failure.message);
                    return error_response(&DIALECT, &error, Form::Error);
                }
            }
            match self.turn().await {
                Turn::Again => self.exchange.next_round(),
                Turn::Ended | Turn::Waits => {
                    let Some(Fate::Retry {
                        upstream,
                        model,
                        after_ms,
                    }) = self.exchange.fate.clone()
                    else {
                        return self.exchange.conclude_whole(answer.status).await;
                    };
                    self.exchange.fate = None;
                    self.exchange.start_over();
                    if !self.may_retry() {
                        self.exchange.end(Status::Failed);
                        return error_response(&DIALECT, &self.too_many_retries(), Form::Error);
                    }
                    self.again(upstream, model, after_ms).await;
                }
            }
            answer = match self.reach().await {
                Reached::Answer(next) => *next,
                Reached::Decided => return self.exchange.conclude_whole(answer.status).await,
                Reached::Failed(failed) => return self.failed(failed),
            };
        }
    }

    /// Judges the answer, with every answer that is waited for.
    async fn turn(&mut self) -> Turn {
        loop {
            match self.exchange.turn() {
                Turn::Again => return Turn::Again,
                Turn::Waits => self.exchange.wait_for_answers().await,
                Turn::Ended => {
                    if self.exchange.fate.is_none() {
                        self.exchange.finished();
                    }
                    if self.exchange.fate.is_some() || self.exchange.parked.is_empty() {
                        return Turn::Ended;
                    }
                    self.exchange.wait_for_answers().await;
                }
            }
        }
    }
}

impl Exchange {
    /// Gives what the client gets of an answer that was judged whole.
    pub(super) async fn conclude_whole(mut self, status: StatusCode) -> Response<Body> {
        let mut ready = Vec::new();
        if !matches!(self.fate, Some(Fate::Block { .. } | Fate::Unanswered(_))) {
            self.ready(&mut ready);
        }
        let out: Vec<u8> = ready.iter().flat_map(|r| r.bytes.iter().copied()).collect();
        let wanted: u64 = ready.iter().map(|r| u64::from(r.tokens)).sum();
        // With a limit it was leased before the call; more only if the provider did not keep to what it was told.
        let missing = (wanted + u64::from(self.prior.output)).saturating_sub(self.leased);
        match self.lease(missing).await {
            Ok(granted) if granted < missing => self.budget_ended(),
            Ok(_) => {}
            Err(error) => self.over_budget(&error),
        }
        // The account holds the lease: without the provider's numbers, what arrived counts and not all of that.
        let usage = self.usage_so_far();
        self.usage = Some(self.round_usage());
        let (body, ended) = match self.fate.clone() {
            None => (out, Status::Complete),
            Some(Fate::Block {
                mode: BlockMode::Abort,
                ..
            }) => {
                self.end(Status::Blocked);
                return cut(status);
            }
            Some(Fate::Block {
                mode: BlockMode::Soft,
                fallback,
                ..
            }) => {
                let body =
                    self.dialect
                        .answer_body(&self.identity, &fallback, &Ending::Refused, usage);
                self.given = Some(fallback);
                (body, Status::Blocked)
            }
            Some(Fate::Block { reason, .. }) => {
                self.end(Status::Blocked);
                return error_response(self.dialect, &blocked(reason), Form::Error);
            }
            Some(Fate::Unanswered(message)) => {
                self.end(Status::Blocked);
                return super::conclude::unanswered(self.dialect, message);
            }
            Some(Fate::Stop {
                reason,
                confidence,
                keep_held,
                by,
            }) => {
                let ending = Ending::Partial(Partial {
                    reason,
                    confidence,
                    policy: by,
                });
                let kept = if keep_held && !out.is_empty() {
                    self.dialect.end_body(&out, &ending).ok()
                } else {
                    None
                };
                if kept.is_none() {
                    self.given = Some(String::new());
                }
                let body = kept.unwrap_or_else(|| {
                    self.dialect.answer_body(&self.identity, "", &ending, usage)
                });
                (body, Status::Partial)
            }
            Some(Fate::Explain(text)) => {
                let text = self.explained(&text);
                let whole = format!("{}{text}", self.said());
                let body =
                    self.dialect
                        .answer_body(&self.identity, &whole, &Ending::Complete, usage);
                (body, Status::Complete)
            }
            Some(Fate::Answer(text)) => {
                let body =
                    self.dialect
                        .answer_body(&self.identity, &text, &Ending::Complete, usage);
                self.given = Some(text);
                (body, Status::Complete)
            }
            Some(Fate::Retry { .. }) => {
                self.end(Status::Failed);
                let error =
                    upstream_failed(FailureKind::Upstream, "the upstream failed".to_owned());
                return error_response(self.dialect, &error, Form::Error);
            }
        };
        self.end(ended);
        let mut response = shaped(Response::new(Body::from(Bytes::from(body))), Form::Body);
        *response.status_mut() = status;
        response
    }
}
