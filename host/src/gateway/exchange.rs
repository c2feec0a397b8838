//! One model call from request to end: `POST /v1/chat/completions`.
//!
//! A body becomes a view, the view finds its session, the session begins an exchange, policies rule on the request, the
//! call goes upstream, and what comes back passes through the exchange on its way to the client.

mod accounts;
mod adopt;
mod apply;
mod arrival;
mod compose;
mod conclude;
mod conduct;
mod deadline;
mod hold;
mod judge;
mod kept;
mod measure;
mod park;
mod prepare;
mod relay;
mod round;
mod rule;
mod shape;
mod stream;
mod tools;
mod waiting;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};

use super::admission;
use super::app::{App, Settings};
use super::dialect::openai_chat::OpenAiChat;
use super::dialect::{ClientError, Dialect, Failure};
use super::passthrough::too_large;
use super::resolve;
use crate::session::event::{FailureKind, Status};
use crate::session::ledger::Limits;
use crate::session::timeline::now;
use crate::upstream::{Attempt, Full, Outgoing, Target, UpstreamError, headers};
use arrival::Arrival;
use conclude::{Form, error_response};
use conduct::{Exchange, Fate};

/// Retries that policies can order in one exchange, besides those of the upstream's configuration.
const MAX_ORDERED_RETRIES: u32 = 2;

/// Most of an upstream's error body that is read.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// The longest whole (not streamed) answer.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

static DIALECT: OpenAiChat = OpenAiChat;

/// Serves `POST /v1/chat/completions`.
pub async fn handle(State(app): State<Arc<App>>, request: Request<Body>) -> Response<Body> {
    let settings = app.settings.load_full();
    let (mut head, body) = request.into_parts();
    let arrival = match Arrival::read(&settings, &mut head.headers) {
        Ok(arrival) => arrival,
        Err(refused) => return *refused,
    };
    if let Err(missing) = app.policies.ready() {
        let message = format!(
            "no good generation of required policies: {}",
            missing.join(", ")
        );
        return refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            FailureKind::Policy,
            "airlock_not_ready",
            message,
        );
    }
    let Ok(body) = axum::body::to_bytes(body, settings.config.gateway.max_body_bytes).await else {
        return too_large(settings.config.gateway.max_body_bytes);
    };
    let dialect: &'static dyn Dialect = &DIALECT;
    let view = match dialect.read_request(&body) {
        Ok(view) => view,
        Err(error) => {
            return refuse(
                StatusCode::BAD_REQUEST,
                FailureKind::Other,
                "airlock_undecodable",
                error.to_string(),
            );
        }
    };
    if view.audio_output && app.enforcing().is_some() {
        let message =
            "Airlock cannot judge speech, and an enforcing policy applies: ask for text only"
                .to_owned();
        return refuse(
            StatusCode::FORBIDDEN,
            FailureKind::Policy,
            "airlock_undecodable",
            message,
        );
    }
    let permit = match arrival.admit(&settings, &view).await {
        Ok(permit) => permit,
        Err(refused) => return *refused,
    };
    let mut found = resolve::find(&arrival.caller, &head.headers, &view, &app.sessions);
    found.extra = arrival.declared.facts();
    let limits = session_limits(&settings);
    let session = match app.sessions.get(found, limits).await {
        Ok(session) => session,
        Err(error) => {
            return refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                FailureKind::Other,
                "airlock_store",
                error.to_string(),
            );
        }
    };
    session.ledger.allocate(arrival.allocation());
    let digest = resolve::body_digest(&body);
    let tokens = admission::estimate(&view);
    let mut exchange = Exchange::begin(
        app,
        session,
        dialect,
        view,
        digest,
        &head.headers,
        arrival.declared,
    );
    exchange.admitted(permit, arrival.deadline);
    let call = Call {
        exchange,
        settings,
        body,
        head: head.headers,
        tokens,
        redirect: None,
        retries: 0,
    };
    waiting::run(call).await
}

/// A call on its way.
struct Call {
    exchange: Exchange,
    settings: Arc<Settings>,
    body: Bytes,
    head: HeaderMap,
    /// Estimate of what it will use.
    tokens: u64,
    /// Upstream and model to which a retry was ordered.
    redirect: Option<(String, String)>,
    /// Retries that policies ordered so far.
    retries: u32,
}

/// What became of asking an upstream.
enum Reached {
    /// A good answer begins.
    Answer(Box<crate::upstream::Response>),
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
    /// Policies decided otherwise: see the exchange's fate.
    Decided,
}

/// What waiting for an upstream brought.
enum Arrived {
    Answer(Box<crate::upstream::Response>),
    Error(UpstreamError),
    /// A policy decided otherwise meanwhile.
    Decided,
}

impl Call {
    async fn run(mut self) -> Response<Body> {
        match self.reach().await {
            Reached::Answer(answer) => self.answered(*answer).await,
            Reached::Error {
                status,
                headers,
                bytes,
            } => {
                self.exchange.end(Status::Failed);
                let mut response = Response::new(Body::from(bytes));
                *response.status_mut() = status;
                *response.headers_mut() = self.headers(&headers);
                response
            }
            Reached::Full(full) => {
                self.exchange.end(Status::Failed);
                admission::refused(&full)
            }
            Reached::Refused(error) => {
                self.exchange.end(Status::Failed);
                error_response(&DIALECT, &error, Form::Error)
            }
            Reached::Decided => self.conclude_unsent().await,
        }
    }

    /// Asks an upstream for the present round, and again as often as policies order it.
    async fn reach(&mut self) -> Reached {
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
                return Reached::Refused(self.too_many_retries());
            }
            self.again(upstream, model, after_ms).await;
        }
    }

    /// Whether policies may order another retry of this call.
    fn may_retry(&self) -> bool {
        self.retries < MAX_ORDERED_RETRIES
    }

    fn too_many_retries(&self) -> ClientError {
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
    async fn again(&mut self, upstream: String, model: String, after_ms: u32) {
        tokio::time::sleep(Duration::from_millis(after_ms.min(10_000).into())).await;
        self.retries += 1;
        self.exchange.retrying();
        self.redirect = Some((upstream, model));
    }

    async fn try_once(&mut self) -> Reached {
        let ordered = self.redirect.take();
        let targets = match self.targets(ordered.clone()) {
            Ok(targets) => targets,
            Err(message) => {
                return Reached::Refused(refusal(
                    StatusCode::NOT_FOUND,
                    FailureKind::Other,
                    "airlock_no_route",
                    message,
                ));
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
                Reached::Error {
                    status,
                    headers,
                    bytes,
                }
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
                match error {
                    UpstreamError::Full(full) => Reached::Full(full),
                    error => Reached::Refused(refusal(
                        error.status(),
                        error.kind(),
                        "airlock_upstream",
                        message,
                    )),
                }
            }
        }
    }

    /// Asks for the next round of an answer that has begun. `None` where that is not how it goes on: what the client is
    /// told then is in the exchange's fate, or is the error.
    async fn go_on(&mut self) -> Result<Option<crate::upstream::Body>, ClientError> {
        match self.reach().await {
            Reached::Answer(answer) => Ok(Some(answer.body)),
            Reached::Decided => Ok(None),
            Reached::Refused(error) => Err(error),
            Reached::Full(full) => Err(refusal(
                StatusCode::TOO_MANY_REQUESTS,
                FailureKind::RateLimit,
                "airlock_rate_limit",
                full.to_string(),
            )),
            Reached::Error { status, bytes, .. } => {
                let failure = self.exchange.read_error(status.as_u16(), &bytes);
                Err(ClientError {
                    status: status.as_u16(),
                    kind: failure.kind,
                    message: failure.message,
                    code: "airlock_upstream".to_owned(),
                })
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

    /// Sends the call, and looks at the clock while it waits.
    async fn send(&mut self, targets: &[Target], room: Option<u64>) -> Arrived {
        let bodies: Result<Vec<(Target, Bytes)>, _> = targets
            .iter()
            .map(|target| {
                Ok((
                    target.clone(),
                    self.exchange.outgoing(&self.body, &target.model, room)?,
                ))
            })
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
            path: "/chat/completions".to_owned(),
            headers: self.head.clone(),
            tokens: self.tokens,
        };
        let settings = Arc::clone(&self.settings);
        let body_of = move |target: &Target| {
            bodies
                .iter()
                .find(|(t, _)| t == target)
                .map(|(_, bytes)| bytes.clone())
                .unwrap_or_default()
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

    async fn answered(self, answer: crate::upstream::Response) -> Response<Body> {
        let mut out = self.headers(&answer.headers);
        let is_stream = answer
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .is_some_and(|v| v.trim_start().starts_with("text/event-stream"));
        if is_stream {
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

    fn headers(&self, upstream: &HeaderMap) -> HeaderMap {
        headers::to_client(upstream, &self.exchange.label())
    }
}

/// Until a moment; for ever without one.
async fn until(due: Option<u64>) {
    match due {
        Some(due) => tokio::time::sleep(Duration::from_micros(due.saturating_sub(now()))).await,
        None => std::future::pending().await,
    }
}

fn refuse(status: StatusCode, kind: FailureKind, code: &str, message: String) -> Response<Body> {
    error_response(&DIALECT, &refusal(status, kind, code, message), Form::Error)
}

fn refusal(status: StatusCode, kind: FailureKind, code: &str, message: String) -> ClientError {
    ClientError {
        status: status.as_u16(),
        kind,
        message,
        code: code.to_owned(),
    }
}

fn session_limits(settings: &Settings) -> Limits {
    let session = &settings.config.session;
    Limits {
        tokens: (session.max_tokens > 0).then_some(session.max_tokens),
        cost: (session.max_cost_usd > 0.0).then_some((session.max_cost_usd * 1e6) as u64),
    }
}
