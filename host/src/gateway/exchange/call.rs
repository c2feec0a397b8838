//! A call on its way: which upstream it is sent to, and what came of asking; again for each retry that policies order, and for
//! each round of an answer that takes several.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use super::conclude::{Form, error_response};
use super::conduct::{Exchange, Fate};
use super::{DIALECT, MAX_ERROR_BYTES, refusal, relay};
use crate::dialect::{ClientError, EditError, Failure};
use crate::event::target::Target;
use crate::event::{FailureKind, Status};
use crate::gateway::admission;
use crate::gateway::settings::Settings;
use crate::upstream::{Attempt, Draft, Full, Outgoing, StreamUsage, UpstreamError, headers};

/// Retries that policies can order in one exchange, besides those of the upstream's configuration.
const MAX_ORDERED_RETRIES: u32 = 2;

/// A call on its way.
pub(super) struct Call {
    pub(super) exchange: Exchange,
    pub(super) settings: Arc<Settings>,
    pub(super) body: Bytes,
    pub(super) head: HeaderMap,
    /// The client's query, which goes along.
    pub(super) query: Option<String>,
    /// Estimate of what it will use.
    pub(super) tokens: u64,
    /// Upstream and model to which a retry was ordered.
    pub(super) redirect: Option<(String, String)>,
    /// Retries that policies ordered so far.
    pub(super) retries: u32,
    /// Targets that failed after their answer had begun, once for each time.
    pub(super) failed_at: Vec<Target>,
}

/// What became of asking an upstream.
pub(super) enum Reached {
    /// A good answer begins.
    Answer(Box<crate::upstream::Response>),
    /// There is none.
    Failed(Failed),
    /// Policies decided otherwise: see the exchange's fate.
    Decided,
}

/// Why there is no answer.
pub(super) enum Failed {
    /// The upstream's own error.
    Error {
        status: StatusCode,
        headers: HeaderMap,
        bytes: Bytes,
    },
    /// No upstream has room for it.
    Full(Full),
    /// Airlock has no answer.
    Refused(ClientError),
}

/// What waiting for an upstream brought.
enum Arrived {
    Answer(Box<crate::upstream::Response>),
    Error(UpstreamError),
    /// A policy decided otherwise meanwhile.
    Decided,
}

impl Call {
    pub(super) async fn run(mut self) -> Response<Body> {
        match self.reach().await {
            Reached::Answer(answer) => self.answered(*answer).await,
            Reached::Decided => self.conclude_unsent().await,
            Reached::Failed(failed) => self.failed(failed),
        }
    }

    /// Ends the exchange with what the client is told when no upstream gave an answer.
    pub(super) fn failed(mut self, failed: Failed) -> Response<Body> {
        self.exchange.end(Status::Failed);
        match failed {
            Failed::Error {
                status,
                headers,
                bytes,
            } => {
                let mut response = Response::new(Body::from(bytes));
                *response.status_mut() = status;
                *response.headers_mut() = self.headers(&headers);
                response
            }
            Failed::Full(full) => admission::refused(&full),
            Failed::Refused(error) => error_response(&DIALECT, &error, Form::Error),
        }
    }

    /// Asks an upstream for the present round, and again as often as policies order it.
    pub(super) async fn reach(&mut self) -> Reached {
        loop {
            let reached = self.try_once().await;
            let Some(Fate::Retry {
                upstream,
                model,
                after_ms,
            }) = self.exchange.fate.clone()
            else {
                return reached;
            };
            self.exchange.fate = None;
            if !self.may_retry() {
                return Reached::Failed(Failed::Refused(self.too_many_retries()));
            }
            self.again(upstream, model, after_ms).await;
        }
    }

    /// Whether policies may order another retry of this call.
    pub(super) fn may_retry(&self) -> bool {
        self.retries < MAX_ORDERED_RETRIES
    }

    pub(super) fn too_many_retries(&self) -> ClientError {
        let message = format!(
            "the call failed {} times, each retry ordered by a policy",
            self.retries + 1
        );
        refusal(
            StatusCode::BAD_GATEWAY,
            FailureKind::Upstream,
            "airlock_upstream",
            message,
        )
    }

    /// A retry that a policy ordered.
    pub(super) async fn again(&mut self, upstream: String, model: String, after_ms: u32) {
        tokio::time::sleep(Duration::from_millis(after_ms.min(10_000).into())).await;
        self.retries += 1;
        self.exchange.retrying();
        self.redirect = Some((upstream, model));
    }

    /// The answer failed after it had begun, and the client has read nothing of it: whether the call goes to another target of its
    /// route, or to the same again, as the configuration has it for a call that fails at once.
    pub(super) fn fall_back(&mut self) -> bool {
        self.failed_at.push(Target {
            upstream: self.exchange.upstream.as_str().into(),
            model: self.exchange.model.as_str().into(),
        });
        // Where a policy sent it is the policy's affair.
        let targets = self.targets(None).unwrap_or_default();
        if self.retries > 0 || self.left_of(targets).is_empty() {
            return false;
        }
        self.exchange.start_over();
        self.exchange.retrying();
        true
    }

    /// Targets that may be asked, the failures in the middle of answers counted.
    fn left_of(&self, targets: Vec<Target>) -> Vec<Target> {
        let failed = |target: &Target| self.failed_at.iter().filter(|t| *t == target).count();
        let may = |target: &Target| {
            let retries = self.settings.upstreams.retries(&target.upstream);
            failed(target) <= retries as usize
        };
        targets.into_iter().filter(may).collect()
    }

    async fn try_once(&mut self) -> Reached {
        let ordered = self.redirect.take();
        let targets = match self.targets(ordered.clone()) {
            Ok(targets) if ordered.is_none() && !self.failed_at.is_empty() => self.left_of(targets),
            Ok(targets) => targets,
            Err(message) => {
                return Reached::Failed(Failed::Refused(refusal(
                    StatusCode::NOT_FOUND,
                    FailureKind::Other,
                    "airlock_no_route",
                    message,
                )));
            }
        };
        if let Some(first) = targets.first() {
            self.exchange.requested(&first.upstream, &first.model);
        }
        self.exchange.wait_for_answers().await;
        if self.exchange.fate.is_some() {
            return Reached::Decided;
        }
        // The checkpoint may have ordered another route. Where a retry was sent stays: retry is stronger than route.
        let targets = match self.targets(ordered) {
            Ok(ordered) if self.exchange.changes_route() => ordered,
            _ => targets,
        };
        let room = match self.reserve(&targets).await {
            Ok(room) => room,
            Err(error) => {
                self.exchange.over_budget(&error);
                return Reached::Decided;
            }
        };
        match self.send(&targets, room).await {
            Arrived::Decided => Reached::Decided,
            Arrived::Answer(answer) if answer.status.is_success() => {
                self.exchange.answered();
                Reached::Answer(answer)
            }
            Arrived::Answer(answer) => {
                let (status, headers) = (answer.status, answer.headers.clone());
                let bytes = relay::collect(answer.body, MAX_ERROR_BYTES)
                    .await
                    .unwrap_or_default();
                let failure = self.exchange.read_error(status.as_u16(), &bytes);
                let retryable = status.as_u16() == 429 || status.is_server_error();
                self.exchange.failed(&failure, retryable);
                if self.exchange.fate.is_some() {
                    return Reached::Decided;
                }
                let Some(bytes) = self.exchange.judge_error(&failure, bytes).await else {
                    return Reached::Decided;
                };
                Reached::Failed(Failed::Error {
                    status,
                    headers,
                    bytes,
                })
            }
            Arrived::Error(error) => {
                let failure = Failure {
                    status: error.status().as_u16(),
                    kind: error.kind(),
                    message: error.to_string(),
                };
                self.exchange.failed(&failure, error.retryable());
                if self.exchange.fate.is_some() {
                    return Reached::Decided;
                }
                let message = error.to_string();
                Reached::Failed(match error {
                    UpstreamError::Full(full) => Failed::Full(full),
                    error => Failed::Refused(refusal(
                        error.status(),
                        error.kind(),
                        "airlock_upstream",
                        message,
                    )),
                })
            }
        }
    }

    /// Asks for the next round of an answer that has begun. `None` where that is not how it goes on: what the client is
    /// told then is in the exchange's fate, or is the error.
    pub(super) async fn go_on(&mut self) -> Result<Option<crate::upstream::Body>, ClientError> {
        match self.reach().await {
            Reached::Answer(answer) => Ok(Some(answer.body)),
            Reached::Decided => Ok(None),
            Reached::Failed(Failed::Refused(error)) => Err(error),
            Reached::Failed(Failed::Full(full)) => Err(refusal(
                StatusCode::TOO_MANY_REQUESTS,
                FailureKind::RateLimit,
                "airlock_rate_limit",
                full.to_string(),
            )),
            Reached::Failed(Failed::Error { status, bytes, .. }) => {
                let failure = self.exchange.read_error(status.as_u16(), &bytes);
                Err(refusal(
                    status,
                    failure.kind,
                    "airlock_upstream",
                    failure.message,
                ))
            }
        }
    }

    /// Where the call goes: what was ordered for it or its session, else by the routes.
    fn targets(&self, redirect: Option<(String, String)>) -> Result<Vec<Target>, String> {
        let (upstream, model) = self.exchange.destination(redirect);
        let mut targets = self.settings.routes.resolve(&model);
        if !upstream.is_empty() {
            targets = vec![Target {
                upstream: upstream.as_str().into(),
                model: model.as_str().into(),
            }];
        }
        if targets.is_empty() {
            return Err(format!(
                "no route serves the model `{model}`: add a [[route]] for it, or one with model = \"*\""
            ));
        }
        Ok(targets)
    }

    async fn reserve(
        &mut self,
        targets: &[Target],
    ) -> Result<Option<u64>, crate::session::ledger::LedgerError> {
        let model = targets.first().map_or("", |t| &*t.model);
        let prices = self.settings.prices.ledger_prices(model);
        self.exchange.reserve(prices).await
    }

    /// The body for a target; where it is not known whether the upstream takes it, also one without a question for usage.
    fn draft(&self, target: &Target, room: Option<u64>) -> Result<Draft, EditError> {
        let view = &self.exchange.view;
        let usage = match view.streamed && !view.include_usage {
            true => self.settings.upstreams.stream_usage(&target.upstream),
            false => StreamUsage::Leave,
        };
        let with = |asks| {
            self.exchange
                .outgoing(&self.body, &target.model, room, asks)
        };
        let body = with(usage != StreamUsage::Leave)?;
        let plain = match usage {
            StreamUsage::Try => Some(with(false)?).filter(|plain| *plain != body),
            _ => None,
        };
        Ok(Draft { body, plain })
    }

    /// Sends the call, and looks at the clock while it waits.
    async fn send(&mut self, targets: &[Target], room: Option<u64>) -> Arrived {
        let bodies: Result<Vec<(Target, Draft)>, _> = targets
            .iter()
            .map(|target| Ok((target.clone(), self.draft(target, room)?)))
            .collect();
        let bodies = match bodies {
            Ok(bodies) => bodies,
            Err(error) => {
                self.exchange.uneditable(&error);
                return Arrived::Decided;
            }
        };
        let request = Outgoing {
            method: http::Method::POST,
            path: match &self.query {
                Some(query) => format!("/chat/completions?{query}"),
                None => "/chat/completions".to_owned(),
            },
            headers: self.head.clone(),
            tokens: self.tokens,
        };
        let settings = Arc::clone(&self.settings);
        let body_of = move |target: &Target| {
            bodies
                .iter()
                .find(|(t, _)| t == target)
                .map_or_else(|| Bytes::new().into(), |(_, draft)| draft.clone())
        };
        self.exchange.sent();
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut arrived = {
            let mut report = |attempt: Attempt| attempts.push(attempt);
            let sending = settings
                .upstreams
                .send(targets, &request, &body_of, &mut report);
            tokio::pin!(sending);
            loop {
                tokio::select! {
                    biased;
                    result = &mut sending => break match result {
                        Ok(answer) => Arrived::Answer(Box::new(answer)),
                        Err(error) => Arrived::Error(error),
                    },
                    () = self.exchange.stir() => {
                        if self.exchange.fate.is_some() {
                            break Arrived::Decided;
                        }
                    }
                }
            }
        };
        self.exchange.measure_attempts(&attempts);
        // The last failure is told by whoever deals with the result; those before it were cured on the way.
        let last_is_final = matches!(arrived, Arrived::Error(_))
            || matches!(&arrived, Arrived::Answer(answer) if !answer.status.is_success());
        let cured = attempts.len() - usize::from(last_is_final && !attempts.is_empty());
        for attempt in attempts.iter().take(cured) {
            self.exchange.attempt_failed(attempt);
        }
        if let Arrived::Answer(answer) = &mut arrived {
            self.exchange
                .permit
                .sent(std::mem::take(&mut answer.charge));
            self.exchange.went_to(&answer.target, answer.attempt);
            if answer.status.is_success() {
                self.exchange.measure_answer(answer.started);
            }
        }
        arrived
    }

    pub(super) async fn answered(self, answer: crate::upstream::Response) -> Response<Body> {
        let mut out = self.headers(&answer.headers);
        // What the client asked for decides what it gets, and the bytes decide what came.
        if self.exchange.view.streamed {
            headers::mark_stream(&mut out);
            let stream = relay::Relay::new(self, answer.body);
            let mut response = Response::new(Body::from_stream(stream.into_stream()));
            *response.status_mut() = answer.status;
            *response.headers_mut() = out;
            return response;
        }
        let upstream_status = answer.status;
        let mut response = self.whole(answer).await;
        if response.status() != upstream_status {
            out.remove(header::CONTENT_TYPE);
            out.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
        }
        for (name, value) in response.headers() {
            out.insert(name, value.clone());
        }
        *response.headers_mut() = out;
        response
    }

    pub(super) fn headers(&self, upstream: &HeaderMap) -> HeaderMap {
        headers::to_client(upstream, &self.exchange.label())
    }
}
