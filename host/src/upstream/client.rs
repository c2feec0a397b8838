//! Sends one model call: attempts, repetitions and failover until the first byte of an answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderValue, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use super::attempt::{MAX_WAIT, asked_wait, backoff, should_retry};
use super::coding::{CodingError, Decoder, forget_body};
use super::connect::{ConnectTimedOut, TimedConnector};
use super::error::reason;
use super::gate::{Charge, Gates, Pass, Whose};
use super::headers::{bearer, to_upstream};
use super::{Attempt, Body, Next, Target, UpstreamError};
use crate::config::{Config, Credential, Problem, Problems, Source, UpstreamConfig};

/// All configured upstreams, ready to be called. Cheap to share; replaced as a whole when the configuration changes, and
/// calls under way then end on the old one.
pub struct Upstreams {
    by_name: HashMap<String, Upstream>,
    gates: Arc<Gates>,
}

struct Upstream {
    name: Arc<str>,
    config: UpstreamConfig,
    /// Airlock's own credential, if it is to be used.
    own: Option<HeaderValue>,
    whose: Whose,
    client: Client<TimedConnector, Full<Bytes>>,
}

/// A call as it goes out, but for its body, which names the model and so may differ by target.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Method.
    pub method: Method,
    /// Path under the upstream's base URL, with the query, such as `/chat/completions`.
    pub path: String,
    /// The client's headers; what must not travel is removed here.
    pub headers: HeaderMap,
    /// Estimate of what it will use, input and output, for limits of tokens.
    pub tokens: u64,
}

/// The beginning of an answer.
pub struct Response {
    /// Where it came from.
    pub target: Target,
    /// Number of the attempt that brought it, from 1.
    pub attempt: u32,
    /// When that attempt began.
    pub started: Instant,
    /// Status, which may be an error that no repetition cured.
    pub status: StatusCode,
    /// Headers as they came; see [`super::headers::to_client`].
    pub headers: HeaderMap,
    /// The body as it arrives.
    pub body: Body,
    /// What it counts against the upstream's tokens a minute, to be settled.
    pub charge: Charge,
}

impl Upstreams {
    /// Prepares clients and reads keys. Nothing is called yet.
    ///
    /// # Errors
    /// All keys that cannot be had.
    pub fn new(config: &Config) -> Result<Self, Problems> {
        Self::with_gates(config, Arc::default())
    }

    /// As [`Upstreams::new`], behind gates that know of the calls under way.
    ///
    /// # Errors
    /// As there.
    pub fn with_gates(config: &Config, gates: Arc<Gates>) -> Result<Self, Problems> {
        let mut by_name = HashMap::new();
        let mut problems = Vec::new();
        for (name, upstream) in &config.upstreams {
            match Upstream::new(name, upstream) {
                Ok(ready) => {
                    by_name.insert(name.clone(), ready);
                }
                Err(message) => {
                    problems.push(Problem::global(&format!("upstream.{name}.key"), message))
                }
            }
        }
        if problems.is_empty() {
            return Ok(Self { by_name, gates });
        }
        let file = match &config.source {
            Source::File(path) => Some(path.clone()),
            Source::Environment => None,
        };
        Err(Problems { file, problems })
    }

    /// The gates of everything that has limits of calls.
    pub fn gates(&self) -> &Arc<Gates> {
        &self.gates
    }

    /// Whether a policy or a route may name this upstream.
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Sends a call to the first of `targets` that answers. `body` gives the bytes for a target. `report` is told of every
    /// attempt that failed, at once.
    ///
    /// A target at its limits is passed over for the next one; the last one is waited for, as its limits say.
    ///
    /// An answer with an error status is still an answer: when no repetition is left, it is returned as it came.
    /// Dropping the future or the response cancels the call.
    ///
    /// # Errors
    /// The last attempt's, if no target answered; `Unknown` without any target.
    pub async fn send(
        &self,
        targets: &[Target],
        request: &Outgoing,
        body: &(dyn Fn(&Target) -> Bytes + Send + Sync),
        report: &mut (dyn FnMut(Attempt) + Send),
    ) -> Result<Response, UpstreamError> {
        let mut number = 0;
        let mut last = UpstreamError::Unknown(String::new());
        for (place, target) in targets.iter().enumerate() {
            let more = place + 1 < targets.len();
            let Some(upstream) = self.by_name.get(&*target.upstream) else {
                number += 1;
                last = UpstreamError::Unknown(target.upstream.to_string());
                let next = if more { Next::Failover } else { Next::GiveUp };
                report(Attempt {
                    target: target.clone(),
                    number,
                    error: last.clone(),
                    next,
                });
                continue;
            };
            let bytes = body(target);
            let mut repetition = 0;
            loop {
                number += 1;
                let limits = upstream.config.limits();
                let entering = self
                    .gates
                    .enter(&upstream.whose, limits, request.tokens, !more);
                let mut pass = match entering.await {
                    Ok(pass) => pass,
                    Err(full) => {
                        last = UpstreamError::Full(full);
                        let next = if more { Next::Failover } else { Next::GiveUp };
                        report(Attempt {
                            target: target.clone(),
                            number,
                            error: last.clone(),
                            next,
                        });
                        break;
                    }
                };
                let mut charge = pass.charge();
                let result = upstream.attempt(request, bytes.clone()).await;
                let (error, retry, asked) = match &result {
                    Ok(answer) if answer.status().is_success() => (None, false, None),
                    Ok(answer) => {
                        let (status, headers) = (answer.status(), answer.headers());
                        let error = UpstreamError::Status {
                            upstream: target.upstream.to_string(),
                            status,
                        };
                        (
                            Some(error),
                            should_retry(status, headers),
                            asked_wait(headers),
                        )
                    }
                    Err(error) => (Some(error.clone()), error.retryable(), None),
                };
                let Some(error) = error else {
                    return result
                        .map(|answer| upstream.response(answer, target, number, pass, charge));
                };
                repetition += 1;
                let wait = asked.unwrap_or_else(|| backoff(upstream.backoff(), repetition));
                let again = retry && repetition <= upstream.config.retries && wait <= MAX_WAIT;
                // A silent upstream is not asked again, but another one may be: it cannot have begun to answer this.
                let moves = more && (retry || result.is_err());
                let next = match (again, moves) {
                    (true, _) => Next::Retry(wait),
                    (false, true) => Next::Failover,
                    (false, false) => Next::GiveUp,
                };
                report(Attempt {
                    target: target.clone(),
                    number,
                    error: error.clone(),
                    next,
                });
                match next {
                    Next::Retry(wait) => {
                        // The refused answer's connection is given up before the wait.
                        drop((result, pass));
                        charge.settle(0);
                        tokio::time::sleep(wait).await;
                    }
                    Next::Failover => {
                        charge.settle(0);
                        last = error;
                        break;
                    }
                    Next::GiveUp => {
                        return result
                            .map(|answer| upstream.response(answer, target, number, pass, charge));
                    }
                }
            }
        }
        Err(last)
    }
}

/// An answer's head, and when its attempt began.
struct Answer {
    response: http::Response<hyper::body::Incoming>,
    decoder: Option<Decoder>,
    started: Instant,
}

impl Answer {
    fn status(&self) -> StatusCode {
        self.response.status()
    }

    fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }
}

impl Upstream {
    fn new(name: &str, config: &UpstreamConfig) -> Result<Self, String> {
        let own = match (config.credential(), &config.key) {
            (Credential::Own, Some(key)) => {
                let secret = key.resolve().map_err(|error| error.to_string())?;
                Some(bearer(&secret).map_err(|_| format!("{key} holds no usable key"))?)
            }
            _ => None,
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(TimedConnector::new(config.connect_timeout()));
        Ok(Self {
            name: name.into(),
            whose: Whose::Upstream(name.to_owned()),
            config: config.clone(),
            own,
            client,
        })
    }

    fn backoff(&self) -> Duration {
        Duration::from_millis(self.config.retry_backoff_ms)
    }

    async fn attempt(&self, request: &Outgoing, body: Bytes) -> Result<Answer, UpstreamError> {
        let upstream = || self.name.to_string();
        let started = Instant::now();
        let mut out = Request::new(Full::new(body));
        *out.method_mut() = request.method.clone();
        *out.uri_mut() = self.uri(&request.path)?;
        *out.headers_mut() = to_upstream(
            &request.headers,
            self.config.credential(),
            self.own.as_ref(),
        );

        let limit = self.config.idle_timeout().min(self.config.total_timeout());
        match tokio::time::timeout(limit, self.client.request(out)).await {
            Ok(Ok(response)) => self.received(response, request, started),
            Ok(Err(error)) if timed_out(&error) => Err(UpstreamError::ConnectTimeout {
                upstream: upstream(),
                after: self.config.connect_timeout(),
            }),
            Ok(Err(error)) if error.is_connect() => Err(UpstreamError::Connect {
                upstream: upstream(),
                reason: reason(&error),
            }),
            Ok(Err(error)) => Err(UpstreamError::Broken {
                upstream: upstream(),
                reason: reason(&error),
            }),
            Err(_) if limit < self.config.total_timeout() => Err(UpstreamError::Idle {
                upstream: upstream(),
                after: limit,
            }),
            Err(_) => Err(UpstreamError::Total {
                upstream: upstream(),
                after: limit,
            }),
        }
    }

    /// Looks at the head of an answer: the one place through which every answer of an upstream comes, to the first call
    /// of an exchange, to a repetition, to a further round, to a passage and to a policy's question.
    fn received(
        &self,
        mut response: http::Response<hyper::body::Incoming>,
        request: &Outgoing,
        started: Instant,
    ) -> Result<Answer, UpstreamError> {
        let status = response.status();
        let unchanged =
            status == StatusCode::NOT_MODIFIED && request.headers.contains_key(IF_NONE_MATCH);
        if status.is_redirection() && !unchanged {
            let location = response.headers().get(LOCATION);
            tracing::warn!(upstream = &*self.name, %status, ?location, "an upstream's redirect is not followed");
            return Err(UpstreamError::Redirect {
                upstream: self.name.to_string(),
                status,
            });
        }
        let decoder = Decoder::of(response.headers()).map_err(|error| UpstreamError::Coding {
            upstream: self.name.to_string(),
            coding: match error {
                CodingError::Unknown(name) => format!("the content coding {name:?}"),
                broken => broken.to_string(),
            },
        })?;
        if decoder.is_some() {
            forget_body(response.headers_mut());
        }
        Ok(Answer {
            response,
            decoder,
            started,
        })
    }

    fn uri(&self, path: &str) -> Result<Uri, UpstreamError> {
        format!(
            "{}{path}",
            self.config.base_url.to_string().trim_end_matches('/')
        )
        .parse()
        .map_err(|_| UpstreamError::Broken {
            upstream: self.name.to_string(),
            reason: format!("{path} is no path"),
        })
    }

    fn response(
        &self,
        answer: Answer,
        target: &Target,
        attempt: u32,
        pass: Pass,
        charge: Charge,
    ) -> Response {
        let (head, incoming) = answer.response.into_parts();
        let (idle, total) = (self.config.idle_timeout(), self.config.total_timeout());
        Response {
            target: target.clone(),
            attempt,
            started: answer.started,
            status: head.status,
            headers: head.headers,
            body: Body::new(
                incoming,
                answer.decoder,
                self.name.clone(),
                idle,
                total,
                answer.started,
                pass,
            ),
            charge,
        }
    }
}

fn timed_out(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        if cause.is::<ConnectTimedOut>() {
            return true;
        }
        next = cause.source();
    }
    false
}
