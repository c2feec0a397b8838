//! Sends one model call: attempts, repetitions and failover until the first byte of an answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue, IF_NONE_MATCH, LOCATION, PROXY_AUTHORIZATION};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use super::attempt::{MAX_WAIT, asked_wait, backoff, should_retry};
use super::body::Arriving;
use super::coding::{CodingError, Decoder, forget_body};
use super::connect::{ConnectTimedOut, Connector, Proxies};
use super::error::reason;
use super::gate::{Charge, Gates, Pass, Whose};
use super::headers::{credential, to_upstream};
use super::tls::{self, Wrong};
use super::{Attempt, Body, Next, Target, UpstreamError};
use crate::config::{
    Config, Credential, KEYS_IN_QUERIES, Problem, Problems, Source, UpstreamConfig,
};

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
    own: Option<(HeaderName, HeaderValue)>,
    whose: Whose,
    connector: Connector,
    client: Client<Connector, Full<Bytes>>,
    /// It answered a call that asked for the usage of its stream.
    states_usage: AtomicBool,
    /// It refused one for that.
    refuses_usage: AtomicBool,
}

/// Whether an upstream's streams are asked for their usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamUsage {
    /// It is known to take that.
    Ask,
    /// It is not known: a refusal is to be cured by asking without it.
    Try,
    /// It refused once, or the operator says that it does.
    Leave,
}

/// The body of a call to one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What is sent.
    pub body: Bytes,
    /// What is sent if the upstream refuses the call because it was asked for the usage of its stream.
    pub plain: Option<Bytes>,
}

impl From<Bytes> for Draft {
    fn from(body: Bytes) -> Self {
        Self { body, plain: None }
    }
}

/// Most of a refusal that is read to learn its reason.
const MAX_REFUSAL: usize = 64 * 1024;

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
    /// All keys and certificates that cannot be had.
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
        let (roots, proxies) = (tls::authorities(), Arc::new(Matcher::from_env()));
        for (name, upstream) in &config.upstreams {
            let tls = tls::client(roots.clone(), upstream);
            match tls.and_then(|tls| Upstream::new(name, upstream, tls, &proxies)) {
                Ok(ready) => {
                    by_name.insert(name.clone(), ready);
                }
                Err((key, message)) => {
                    problems.push(Problem::global(&format!("upstream.{name}.{key}"), message))
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

    /// Whether a stream of this upstream is to be asked for its usage.
    pub fn stream_usage(&self, name: &str) -> StreamUsage {
        match self.by_name.get(name) {
            Some(upstream) if !upstream.config.stream_options => StreamUsage::Leave,
            Some(upstream) if upstream.refuses_usage.load(Ordering::Relaxed) => StreamUsage::Leave,
            Some(upstream) if upstream.states_usage.load(Ordering::Relaxed) => StreamUsage::Ask,
            _ => StreamUsage::Try,
        }
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
        body: &(dyn Fn(&Target) -> Draft + Send + Sync),
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
            let Draft {
                body: mut bytes,
                mut plain,
            } = body(target);
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
                let mut result = upstream.attempt(request, bytes.clone()).await;
                if let (Ok(answer), Some(without)) = (&mut result, &plain)
                    && upstream.refuses_usage(answer).await
                {
                    report(Attempt {
                        target: target.clone(),
                        number,
                        error: UpstreamError::Status {
                            upstream: target.upstream.to_string(),
                            status: answer.status(),
                        },
                        next: Next::Retry(Duration::ZERO),
                    });
                    bytes = without.clone();
                    plain = None;
                    drop((result, pass));
                    charge.settle(0);
                    continue;
                }
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
    /// The beginning of the body, where it was looked at.
    read: Vec<Bytes>,
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
    fn new(
        name: &str,
        config: &UpstreamConfig,
        tls: rustls::ClientConfig,
        environment: &Arc<Matcher>,
    ) -> Result<Self, Wrong> {
        let own = match (config.credential(), &config.key) {
            (Credential::Own, Some(key)) => {
                let secret = key.resolve().map_err(|error| ("key", error.to_string()))?;
                let unusable = |_| ("key", format!("{key} holds no usable key"));
                Some(credential(&config.header, &secret).map_err(unusable)?)
            }
            _ => None,
        };
        let proxies = Proxies::of(&config.proxy, environment);
        let connector = Connector::new(config.connect_timeout(), tls, proxies);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(connector.clone());
        Ok(Self {
            name: name.into(),
            whose: Whose::Upstream(name.to_owned()),
            config: config.clone(),
            own,
            connector,
            client,
            states_usage: AtomicBool::new(false),
            refuses_usage: AtomicBool::new(false),
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
        if let Some(credential) = self.connector.proxy_credential(out.uri()) {
            out.headers_mut().insert(PROXY_AUTHORIZATION, credential);
        }

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
        let unchanged = status == StatusCode::NOT_MODIFIED
            && request.method == Method::GET
            && request.headers.contains_key(IF_NONE_MATCH);
        if status.is_informational() || status.as_u16() >= 600 {
            return Err(UpstreamError::Broken {
                upstream: self.name.to_string(),
                reason: format!(
                    "its answer has the status {}, which is none",
                    status.as_u16()
                ),
            });
        }
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
            read: Vec::new(),
        })
    }

    /// Whether the upstream refuses a call because its stream was asked for usage. What was read of the answer stays in
    /// it. Remembered either way.
    async fn refuses_usage(&self, answer: &mut Answer) -> bool {
        if answer.status().is_success() {
            self.states_usage.store(true, Ordering::Relaxed);
        }
        // What is compressed although nobody asked for that is left to the client's eyes.
        if !matches!(answer.status().as_u16(), 400 | 422) || answer.decoder.is_some() {
            return false;
        }
        let mut length = 0;
        let body = answer.response.body_mut();
        while length <= MAX_REFUSAL {
            let next = tokio::time::timeout(self.config.idle_timeout(), body.frame()).await;
            let Ok(Some(Ok(frame))) = next else { break };
            let bytes = frame.into_data().unwrap_or_default();
            answer.read.push(bytes);
            length = answer.read.iter().map(Bytes::len).sum();
        }
        let text = String::from_utf8_lossy(&answer.read.concat()).to_ascii_lowercase();
        let names = ["stream_options", "include_usage"];
        let refuses = names.iter().any(|name| text.contains(name));
        if refuses {
            self.refuses_usage.store(true, Ordering::Relaxed);
            tracing::info!(
                upstream = &*self.name,
                "it refuses `stream_options`: its streams are no longer asked for their usage"
            );
        }
        refuses
    }

    /// Where a call goes. The query of the configured address goes along, and before the client's: what the operator
    /// names counts. A key in the client's query is its credential, and travels only as that.
    fn uri(&self, path: &str) -> Result<Uri, UpstreamError> {
        let base = &self.config.base_url;
        let (path, asked) = path.split_once('?').unwrap_or((path, ""));
        let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
        let own: Vec<&str> = parameters(base.query().unwrap_or_default()).collect();
        let forwards = self.config.credential() == Credential::Forward;
        let clients = parameters(asked).filter(|pair| {
            let name_of = name(pair);
            let secret = KEYS_IN_QUERIES.contains(&name_of.to_ascii_lowercase().as_str());
            !own.iter().any(|own| name(own) == name_of) && (forwards || !secret)
        });
        let query: Vec<&str> = own.iter().copied().chain(clients).collect();
        let mut text = format!(
            "{}://{}{}{path}",
            base.scheme_str().unwrap_or_default(),
            base.authority().map_or("", |authority| authority.as_str()),
            base.path().trim_end_matches('/'),
        );
        if !query.is_empty() {
            text.push('?');
            text.push_str(&query.join("&"));
        }
        text.parse().map_err(|_| UpstreamError::Broken {
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
                Arriving {
                    incoming,
                    decoder: answer.decoder,
                    read: answer.read,
                },
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

/// The parts of a query.
fn parameters(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter(|pair| !pair.is_empty())
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
