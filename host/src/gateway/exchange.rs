//! One model call from request to end: `POST /v1/chat/completions`.
//!
//! A body becomes a view, the view finds its session, the session begins an exchange, policies rule on the request, the
//! call goes upstream, and what comes back passes through the exchange on its way to the client.

mod adopt;
mod apply;
mod arrival;
mod compose;
mod conclude;
mod conduct;
mod deadline;
mod hold;
mod kept;
mod measure;
mod prepare;
mod relay;
mod rule;
mod shape;
mod stream;

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
use crate::upstream::{Attempt, Outgoing, Target, UpstreamError, headers};
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
    let retries = resolve::client_retries(&head.headers);
    let digest = resolve::body_digest(&body);
    let tokens = admission::estimate(&view);
    let mut exchange = Exchange::begin(
        app,
        session,
        dialect,
        view,
        digest,
        retries,
        arrival.declared,
    );
    exchange.admitted(permit, arrival.deadline);
    Call {
        exchange,
        settings,
        body,
        head: head.headers,
        tokens,
    }
    .run()
    .await
}

/// A call on its way.
struct Call {
    exchange: Exchange,
    settings: Arc<Settings>,
    body: Bytes,
    head: HeaderMap,
    /// Estimate of what it will use.
    tokens: u64,
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
        let mut redirect: Option<(String, String)> = None;
        for _ in 0..=MAX_ORDERED_RETRIES {
            let ordered = redirect.take();
            let targets = match self.targets(ordered.clone()) {
                Ok(targets) => targets,
                Err(message) => {
                    self.exchange.end(Status::Failed);
                    return refuse(
                        StatusCode::NOT_FOUND,
                        FailureKind::Other,
                        "airlock_no_route",
                        message,
                    );
                }
            };
            if let Some(first) = targets.first() {
                self.exchange.requested(&first.upstream, &first.model);
            }
            if self.exchange.fate.is_some() {
                return self.exchange.conclude_unsent().await;
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
                    return self.exchange.conclude_unsent().await;
                }
            };
            match self.send(&targets, room).await {
                Arrived::Decided => return self.exchange.conclude_unsent().await,
                Arrived::Answer(answer) if answer.status.is_success() => {
                    return self.answered(*answer).await;
                }
                Arrived::Answer(answer) => {
                    let (status, upstream_headers) = (answer.status, answer.headers.clone());
                    let bytes = relay::collect(answer.body, MAX_ERROR_BYTES)
                        .await
                        .unwrap_or_default();
                    let failure = self.exchange.read_error(status.as_u16(), &bytes);
                    let retryable = status.as_u16() == 429 || status.is_server_error();
                    self.exchange.failed(&failure, retryable);
                    if self.exchange.fate.is_none() {
                        self.exchange.end(Status::Failed);
                        let mut response = Response::new(Body::from(bytes));
                        *response.status_mut() = status;
                        *response.headers_mut() = self.headers(&upstream_headers);
                        return response;
                    }
                }
                Arrived::Error(error) => {
                    let failure = Failure {
                        status: error.status().as_u16(),
                        kind: error.kind(),
                        message: error.to_string(),
                    };
                    self.exchange.failed(&failure, error.retryable());
                    if self.exchange.fate.is_none() {
                        self.exchange.end(Status::Failed);
                        if let UpstreamError::Full(full) = &error {
                            return admission::refused(full);
                        }
                        return refuse(
                            error.status(),
                            error.kind(),
                            "airlock_upstream",
                            error.to_string(),
                        );
                    }
                }
            }
            match self.exchange.fate.take() {
                Some(Fate::Retry {
                    upstream,
                    model,
                    after_ms,
                }) => {
                    tokio::time::sleep(Duration::from_millis(after_ms.min(10_000).into())).await;
                    self.exchange.retrying();
                    redirect = Some((upstream, model));
                }
                fate => {
                    self.exchange.fate = fate;
                    return self.exchange.conclude_unsent().await;
                }
            }
        }
        self.exchange.end(Status::Failed);
        let message = format!(
            "the call failed {} times, each retry ordered by a policy",
            MAX_ORDERED_RETRIES + 1
        );
        refuse(
            StatusCode::BAD_GATEWAY,
            FailureKind::Upstream,
            "airlock_upstream",
            message,
        )
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
                    () = until(self.exchange.next_due()) => {
                        self.exchange.tick();
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

    async fn answered(mut self, answer: crate::upstream::Response) -> Response<Body> {
        self.exchange.answered();
        let mut out = self.headers(&answer.headers);
        let is_stream = answer
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .is_some_and(|v| v.trim_start().starts_with("text/event-stream"));
        if is_stream {
            let stream = relay::Relay::new(self.exchange, answer.body);
            let mut response = Response::new(Body::from_stream(stream.into_stream()));
            *response.status_mut() = answer.status;
            *response.headers_mut() = out;
            return response;
        }
        let collected =
            relay::collect_ticking(&mut self.exchange, answer.body, MAX_ANSWER_BYTES).await;
        match collected {
            Ok(Some(body)) => {
                let (status, body) = self.exchange.conclude_body(body, answer.status).await;
                if status != answer.status {
                    out.remove(header::CONTENT_TYPE);
                    out.insert(
                        header::CONTENT_TYPE,
                        HeaderValue::from_static("application/json"),
                    );
                }
                let mut response = Response::new(body);
                *response.status_mut() = status;
                *response.headers_mut() = out;
                response
            }
            Ok(None) => self.exchange.conclude_unsent().await,
            Err(message) => {
                let failure = self.exchange.broke(message, FailureKind::Connection);
                self.exchange.end(Status::Failed);
                refuse(
                    StatusCode::BAD_GATEWAY,
                    failure.kind,
                    "airlock_upstream",
                    failure.message,
                )
            }
        }
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
    error_response(
        &DIALECT,
        &ClientError {
            status: status.as_u16(),
            kind,
            message,
            code: code.to_owned(),
        },
        Form::Error,
    )
}

fn session_limits(settings: &Settings) -> Limits {
    let session = &settings.config.session;
    Limits {
        tokens: (session.max_tokens > 0).then_some(session.max_tokens),
        cost: (session.max_cost_usd > 0.0).then_some((session.max_cost_usd * 1e6) as u64),
    }
}
