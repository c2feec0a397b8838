//! Drives an exchange: does what is next, and tells it what came of that. Bytes, clocks and connections are here; what they
//! mean is decided by the exchange.

use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderMap, Method, Response, StatusCode};
use tokio_util::sync::CancellationToken;

use super::admission::{self, Permit};
use super::handoff::{Given, Hand};
use super::reply::json_response;
use super::respond;
use crate::gateway::settings::Settings;
use crate::upstream::{self, Attempt, Draft, Outgoing, UpstreamError, headers};
use airlock_core::dialect::{ClientError, Dialect, Failure};
use airlock_core::event::Micros;
use airlock_core::event::clock::now;
use airlock_core::event::target::Target;
use airlock_core::exchange::{Attempted, Ending, Exchange, Leg, Next, Reply, Take, words};

/// Most of an upstream's error body that is read.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// How long the body of an error is waited for.
const ERROR_PATIENCE: Duration = Duration::from_secs(10);

/// A call that is driven.
pub struct Driver {
    /// What decides.
    pub exchange: Exchange,
    /// Its client.
    pub hand: Hand,
    /// The settings with which it arrived.
    pub settings: Arc<Settings>,
    /// Its places at the gates; given back when the driver is dropped.
    pub permit: Permit,
    /// Its client's headers, and the query, which go along.
    pub head: HeaderMap,
    /// The client's query.
    pub query: Option<String>,
    /// Estimate of what it will use, tokens.
    pub tokens: u64,
    /// Airlock stops.
    pub stopping: CancellationToken,
    /// The head of the answer that is read, or of the error.
    pub answer: Option<(StatusCode, HeaderMap)>,
    /// Why no upstream answered.
    pub unreached: Option<UpstreamError>,
}

type Sent = Result<upstream::Response, UpstreamError>;

/// A leg on its way.
struct Sending {
    sending: Pin<Box<dyn Future<Output = Sent> + Send>>,
    attempts: Arc<Mutex<Vec<Attempt>>>,
}

impl Driver {
    /// Drives the call to its end.
    pub async fn run(mut self) {
        let mut sending: Option<Sending> = None;
        let mut answer: Option<upstream::Body> = None;
        loop {
            let next = self.exchange.next(now());
            if !self.exchange.is_asking() {
                sending = None;
            }
            if !self.exchange.is_reading() {
                answer = None;
            }
            match next {
                Next::Take(take) => self.take(take).await,
                Next::Send(leg) => sending = Some(self.send(leg)),
                Next::Give(bytes) => {
                    self.begin().await;
                    self.hand.give(Given::Bytes(bytes)).await;
                }
                Next::End(ending) => return self.finish(ending).await,
                Next::Read { until } => {
                    let bell = self.exchange.bell();
                    tokio::select! {
                        biased;
                        chunk = chunk_of(&mut answer) => match chunk {
                            Some(Ok(bytes)) => self.exchange.chunk(bytes, now()),
                            Some(Err(error)) => {
                                self.exchange.broke(error.to_string(), error.kind(), now());
                            }
                            None => self.exchange.ended(now()),
                        },
                        () = bell.notified() => self.exchange.woke(now()),
                        () = moment(until) => self.exchange.woke(now()),
                        () = self.stopping.cancelled(), if self.exchange.waits() => {
                            self.exchange.stopping(now());
                        }
                    }
                }
                Next::Wait { until, held } => {
                    if held {
                        self.hand.hold();
                    }
                    let bell = self.exchange.bell();
                    tokio::select! {
                        biased;
                        sent = sent(&mut sending) => {
                            let attempts = sending.take().map(|s| s.attempts);
                            answer = self.arrived(sent, attempts).await;
                        }
                        () = bell.notified() => self.exchange.woke(now()),
                        () = moment(until) => self.exchange.woke(now()),
                        () = self.stopping.cancelled(), if self.exchange.waits() => {
                            self.exchange.stopping(now());
                        }
                    }
                    // It was given up: what failed on the way counts all the same.
                    if self.exchange.is_decided()
                        && let Some(sending) = &sending
                    {
                        self.attempts(&sending.attempts);
                    }
                }
            }
        }
    }

    async fn take(&mut self, take: Take) {
        let session = Arc::clone(&self.exchange.facts().session);
        let number = self.exchange.facts().number;
        let taken = match take {
            Take::Prompt(tokens, prices) => {
                let ledger = &session.ledger;
                ledger.reserve_input(number, tokens, prices).await
            }
            Take::Output(tokens) => session.ledger.lease(number, tokens).await.map(Some),
        };
        self.exchange.took(taken, now());
    }

    /// Sends a leg.
    fn send(&self, leg: Leg) -> Sending {
        let request = Outgoing {
            method: Method::POST,
            path: String::new(),
            query: self.query.clone(),
            headers: self.head.clone(),
            tokens: self.tokens,
        };
        let attempts = Arc::new(Mutex::new(Vec::new()));
        let (settings, reported) = (Arc::clone(&self.settings), Arc::clone(&attempts));
        let sending = Box::pin(async move {
            let targets: Vec<Target> = leg.targets.iter().map(|(t, _)| t.clone()).collect();
            let body_of = |target: &Target| {
                let body = leg.targets.iter().find(|(t, _)| t == target);
                body.map_or_else(
                    || Bytes::new().into(),
                    |(_, body)| Draft {
                        path: Some(body.path.clone()),
                        body: body.bytes.clone(),
                        plain: body.plain.clone(),
                        foreign: body.foreign,
                    },
                )
            };
            let mut report = |attempt| lock(&reported).push(attempt);
            settings
                .upstreams
                .send(&targets, &request, &body_of, &mut report)
                .await
        });
        Sending { sending, attempts }
    }

    /// A leg came to an answer, or to none. Gives the body that is to be read.
    async fn arrived(
        &mut self,
        sent: Sent,
        attempts: Option<Arc<Mutex<Vec<Attempt>>>>,
    ) -> Option<upstream::Body> {
        if let Some(attempts) = attempts {
            self.attempts(&attempts);
        }
        let mut answer = match sent {
            Ok(answer) => answer,
            Err(error) => {
                let failure = failure_of(&error);
                let retryable = error.retryable();
                self.unreached = Some(error);
                self.exchange.unreached(&failure, retryable, now());
                return None;
            }
        };
        self.permit.sent(std::mem::take(&mut answer.charge));
        let (target, attempt) = (&answer.target, answer.attempt);
        let status = answer.status;
        self.answer = Some((status, answer.headers));
        if status.is_success() {
            let waited = u64::try_from(answer.started.elapsed().as_micros()).unwrap_or(u64::MAX);
            let now = now();
            let began = now.saturating_sub(waited);
            self.exchange.answered(target, attempt, began, now);
            if self.exchange.facts().view.streamed {
                self.begin().await;
            }
            return Some(answer.body);
        }
        let body = tokio::select! {
            biased;
            body = collect(answer.body) => body,
            // A client is not kept waiting for the words of an error.
            () = moment(self.exchange.deadline()) => {
                self.exchange.woke(now());
                Bytes::new()
            }
            () = tokio::time::sleep(ERROR_PATIENCE) => Bytes::new(),
        };
        if self.exchange.is_decided() {
            return None;
        }
        let refused = (status.as_u16(), body);
        self.exchange.refused(target, attempt, refused, now());
        None
    }

    /// Tells of attempts that failed. The last failure is told by whoever deals with the result; those before it were cured on
    /// the way.
    fn attempts(&mut self, attempts: &Mutex<Vec<Attempt>>) {
        let attempts = std::mem::take(&mut *lock(attempts));
        let cured = attempts
            .iter()
            .filter(|attempt| attempt.next != upstream::Next::GiveUp)
            .count();
        let attempted: Vec<Attempted> = attempts
            .into_iter()
            .map(|attempt| Attempted {
                failure: failure_of(&attempt.error),
                is_its_own: attempt.error.is_its_own(),
                target: attempt.target,
            })
            .collect();
        self.exchange.attempts(&attempted, cured, now());
    }

    /// Gives the head of a stream, once.
    async fn begin(&mut self) {
        if self.hand.has_begun() {
            return;
        }
        let label = self.exchange.label();
        let head = match &self.answer {
            Some((status, upstream)) if status.is_success() => {
                let mut head = Response::new(());
                *head.status_mut() = *status;
                *head.headers_mut() = headers::to_client(upstream, &label);
                let kind = self.exchange.facts().client.inbound().stream_type();
                headers::mark_stream(head.headers_mut(), kind);
                head
            }
            _ => respond::stream_head(self.exchange.facts().client.inbound(), &label),
        };
        self.hand.give(Given::Head(head)).await;
    }

    /// Ends it.
    async fn finish(&mut self, ending: Ending) {
        let dialect = self.exchange.facts().client;
        let label = self.exchange.label();
        let given = match ending {
            Ending::Done => return,
            Ending::Cut => Given::Cut,
            Ending::Reply(Reply::Error(error)) => self.error(dialect, &error),
            Ending::Reply(Reply::Stream(bytes)) => {
                self.begin().await;
                Given::Bytes(bytes)
            }
            Ending::Reply(Reply::Whole(bytes, stated)) => {
                let stated = stated.and_then(|status| StatusCode::from_u16(status).ok());
                let own = self.answer.as_ref().map(|(status, _)| *status);
                let own = own.filter(StatusCode::is_success);
                let status = stated.or(own).unwrap_or(StatusCode::OK);
                Given::Response(self.over_upstreams(json_response(status, bytes)))
            }
            Ending::Unreached(body) => self.unreached(dialect, body),
        };
        let given = match given {
            Given::Response(response) => Given::Response(respond::labelled(response, &label)),
            given => given,
        };
        self.hand.give(given).await;
    }

    /// A response of Airlock's own under the headers of the answer in whose place it stands.
    fn over_upstreams(&self, response: Response<Body>) -> Response<Body> {
        let Some((status, upstream)) = &self.answer else {
            return response;
        };
        if !status.is_success() {
            return response;
        }
        let (mut parts, body) = response.into_parts();
        let mut headers = headers::to_client(upstream, &self.exchange.label());
        for (name, value) in &parts.headers {
            headers.insert(name, value.clone());
        }
        parts.headers = headers;
        Response::from_parts(parts, body)
    }

    /// An error, in the form that the client can still read.
    fn error(&mut self, dialect: &dyn Dialect, error: &ClientError) -> Given {
        match self.hand.has_begun() {
            true => Given::Bytes(self.exchange.error_bytes(error)),
            false => {
                let response = respond::error(dialect.inbound(), error);
                Given::Response(self.over_upstreams(response))
            }
        }
    }

    /// Why no upstream gave an answer.
    fn unreached(&mut self, dialect: &dyn Dialect, body: Option<Bytes>) -> Given {
        if let (Some((status, upstream)), Some(body)) = (&self.answer, body) {
            if self.hand.has_begun() {
                let error = self.exchange.stated_error(status.as_u16(), &body);
                return Given::Bytes(self.exchange.error_bytes(&error));
            }
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = *status;
            *response.headers_mut() = headers::to_client(upstream, &self.exchange.label());
            return Given::Response(response);
        }
        let Some(error) = self.unreached.take() else {
            return Given::Cut;
        };
        if let (UpstreamError::Full(full), false) = (&error, self.hand.has_begun()) {
            return Given::Response(admission::refused(dialect.inbound(), full));
        }
        let told = words::unreached(&failure_of(&error));
        self.error(dialect, &told)
    }
}

impl Drop for Driver {
    /// Whoever drops a call that has not ended has lost its client.
    fn drop(&mut self) {
        self.exchange.lost(now());
        self.permit.settle(self.exchange.tokens_used());
    }
}

/// The next bytes of an answer that is read.
async fn chunk_of(answer: &mut Option<upstream::Body>) -> Option<Result<Bytes, UpstreamError>> {
    match answer {
        Some(answer) => answer.next().await,
        None => None,
    }
}

/// What came of a leg that is on its way.
async fn sent(sending: &mut Option<Sending>) -> Sent {
    match sending {
        Some(sending) => sending.sending.as_mut().await,
        None => pending().await,
    }
}

/// Until a moment; for ever without one.
pub async fn moment(due: Option<Micros>) {
    match due {
        Some(due) => tokio::time::sleep(Duration::from_micros(due.saturating_sub(now()))).await,
        None => pending().await,
    }
}

/// The body of an error, as far as it is read.
async fn collect(mut body: upstream::Body) -> Bytes {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await {
        match chunk {
            Ok(chunk) if bytes.len() + chunk.len() <= MAX_ERROR_BYTES => {
                bytes.extend_from_slice(&chunk);
            }
            // A part of an error reads like another one.
            _ => return Bytes::new(),
        }
    }
    bytes.freeze()
}

fn failure_of(error: &UpstreamError) -> Failure {
    Failure {
        status: error.status().as_u16(),
        kind: error.kind(),
        message: error.to_string(),
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
