//! Answers that are not streamed: collected, judged as if they had been, and sent at once.

use axum::body::Body;
use http::Response;

use super::call::{Call, Reached};
use super::conclude::{Form, error_response};
use super::conduct::Fate;
use super::round::Turn;
use super::{DIALECT, MAX_ANSWER_BYTES, relay, upstream_failed};
use crate::event::{FailureKind, Status};

impl Call {
    /// Takes in an answer, and those of further rounds, and gives what the client gets.
    pub(super) async fn whole(mut self, answer: crate::upstream::Response) -> Response<Body> {
        let mut answer = answer;
        loop {
            let collected =
                relay::collect_ticking(&mut self.exchange, answer.body, MAX_ANSWER_BYTES).await;
            let mut failed = false;
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
                    failed = true;
                    if !(self.exchange.fate.is_none() && self.fall_back()) {
                        self.exchange.finished();
                        if !matches!(self.exchange.fate, Some(Fate::Retry { .. })) {
                            self.exchange.end(Status::Failed);
                            let error = upstream_failed(failure.kind, failure.message);
                            return error_response(&DIALECT, &error, Form::Error);
                        }
                    }
                }
            }
            failed |=
                self.exchange.fate.is_none() && self.exchange.failed_unheard() && self.fall_back();
            match self.exchange.fate {
                None if failed => {}
                _ => match self.turn().await {
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
                },
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
