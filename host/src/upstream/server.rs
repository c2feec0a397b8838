//! One upstream: a single attempt at a call, and the head of its answer.

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

use super::body::Arriving;
use super::coding::{CodingError, Decoder, forget_body};
use super::connect::{ConnectTimedOut, Connector, Proxies};
use super::error::reason;
use super::gate::{Charge, Pass, Whose};
use super::headers::{credential, to_foreign, to_upstream};
use super::message::{Outgoing, Response};
use super::tls::Wrong;
use crate::upstream::settings::{Credential, KEYS_IN_QUERIES, UpstreamConfig};
use crate::upstream::{Body, UpstreamError};
use airlock_core::dialect::Dialect;
use airlock_core::event::target::{Foreign, Target};

/// One upstream, ready to be called.
pub(super) struct Upstream {
    name: Arc<str>,
    pub(super) config: UpstreamConfig,
    /// The wire APIs that it speaks.
    pub(super) speaks: Vec<&'static dyn Dialect>,
    /// Its base URL is one without a version, as its API's SDKs take it.
    bare: bool,
    /// Airlock's own credential, if it is to be used.
    own: Option<(HeaderName, HeaderValue)>,
    pub(super) whose: Whose,
    connector: Connector,
    client: Client<Connector, Full<Bytes>>,
    /// It answered a call that asked for the usage of its stream.
    pub(super) states_usage: AtomicBool,
    /// It refused one for that.
    pub(super) refuses_usage: AtomicBool,
}

/// Most of a refusal that is read to learn its reason.
const MAX_REFUSAL: usize = 64 * 1024;

/// An answer's head, and when its attempt began.
pub(super) struct Answer {
    response: http::Response<hyper::body::Incoming>,
    decoder: Option<Decoder>,
    started: Instant,
    /// The beginning of the body, where it was looked at.
    read: Vec<Bytes>,
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }
}

impl Upstream {
    pub(super) fn new(
        name: &str,
        config: &UpstreamConfig,
        tls: rustls::ClientConfig,
        environment: &Arc<Matcher>,
    ) -> Result<Self, Wrong> {
        let own = match (config.credential(), &config.key) {
            (Credential::Own, Some(key)) => {
                let secret = key.resolve().map_err(|error| ("key", error.to_string()))?;
                let unusable = |_| ("key", format!("{key} holds no usable key"));
                Some(credential(&config.key_header(), &secret).map_err(unusable)?)
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
            bare: config.speaks().first().is_some_and(|dialect| {
                let path = dialect.outbound().path("m", false);
                let first = path.split('/').nth(1).unwrap_or_default();
                is_version(first) || first == "api"
            }),
            speaks: config.speaks(),
            own,
            connector,
            client,
            states_usage: AtomicBool::new(false),
            refuses_usage: AtomicBool::new(false),
        })
    }

    pub(super) fn backoff(&self) -> Duration {
        Duration::from_millis(self.config.retry_backoff_ms)
    }

    pub(super) async fn attempt(
        &self,
        request: &Outgoing,
        path: &str,
        body: Bytes,
        foreign: Option<Foreign>,
    ) -> Result<Answer, UpstreamError> {
        let upstream = || self.name.to_string();
        let started = Instant::now();
        let mut out = Request::new(Full::new(body));
        *out.method_mut() = request.method.clone();
        // What the client writes for its own vendor is not for another one: no parameters, no key.
        let query = request.query.as_deref().filter(|_| foreign.is_none());
        *out.uri_mut() = self.uri(path, query)?;
        let credential = match (self.config.credential(), foreign) {
            (Credential::Forward, Some(_)) => Credential::None,
            (credential, _) => credential,
        };
        *out.headers_mut() = to_upstream(&request.headers, credential, self.own.as_ref());
        if let Some(foreign) = foreign {
            to_foreign(out.headers_mut(), foreign.headers);
        }
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
    pub(super) async fn refuses_usage(&self, answer: &mut Answer) -> bool {
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
    fn uri(&self, path: &str, asked: Option<&str>) -> Result<Uri, UpstreamError> {
        let base = &self.config.base_url;
        let (path, stated) = path.split_once('?').unwrap_or((path, ""));
        // A path with a version of its own takes the place of the one at the end of the base URL: SDKs of some vendors take it
        // with, of others without.
        let mut prefix = base.path().trim_end_matches('/');
        let first = path.split('/').nth(1).unwrap_or_default();
        let versioned = is_version(first) || first == "api";
        let ends_with_version = prefix.rsplit('/').next().is_some_and(is_version);
        // Where the upstream's API has the version in its paths, one that came under `/v1` has it too.
        let under = match self.bare && !versioned && !ends_with_version {
            true => "/v1",
            false => "",
        };
        if let Some((before, last)) = prefix.rsplit_once('/')
            && is_version(last)
            && versioned
        {
            prefix = before;
        }
        let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
        let own = parameters(base.query().unwrap_or_default()).chain(parameters(stated));
        let own: Vec<&str> = own.collect();
        let forwards = self.config.credential() == Credential::Forward;
        let clients = parameters(asked.unwrap_or_default()).filter(|pair| {
            let name_of = name(pair);
            let secret = KEYS_IN_QUERIES.contains(&name_of.to_ascii_lowercase().as_str());
            // Where the API says in its query how it answers, nobody else does.
            let leads = secret || stated.is_empty();
            leads && !own.iter().any(|own| name(own) == name_of) && (forwards || !secret)
        });
        let query: Vec<&str> = own.iter().copied().chain(clients).collect();
        let mut text = format!(
            "{}://{}{prefix}{under}{path}",
            base.scheme_str().unwrap_or_default(),
            base.authority().map_or("", |authority| authority.as_str()),
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

    pub(super) fn response(
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

/// Whether a part of a path is the version of an API: `v1`, `v1beta`.
fn is_version(part: &str) -> bool {
    let rest = part.strip_prefix('v');
    rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}
