//! Sends one model call: attempts, repetitions and failover until the first byte of an answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;

use super::attempt::{MAX_WAIT, asked_wait, backoff, should_retry};
use super::gate::Gates;
use super::message::{Draft, Outgoing, Response};
use super::server::Upstream;
use super::settings::UpstreamConfig;
use crate::upstream::{Attempt, Next, UpstreamError, tls};
use airlock_core::dialect::Dialect;
use airlock_core::event::target::{StreamUsage, Target};

/// All configured upstreams, ready to be called. Cheap to share; replaced as a whole when the configuration changes, and
/// calls under way then end on the old one.
pub struct Upstreams {
    by_name: HashMap<String, Upstream>,
    gates: Arc<Gates>,
}

/// Why an upstream cannot be called as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The key of the configuration that is wrong, such as `upstream.main.key`.
    pub key: String,
    /// What is wrong with it, and what to do.
    pub message: String,
}

impl Upstreams {
    /// Prepares clients and reads keys, behind gates that may know of calls under way. Nothing is called yet.
    ///
    /// # Errors
    /// All keys and certificates that cannot be had.
    pub fn new(
        upstreams: &[(String, UpstreamConfig)],
        gates: Arc<Gates>,
    ) -> Result<Self, Vec<Unusable>> {
        let mut by_name = HashMap::new();
        let mut unusable = Vec::new();
        let (roots, proxies) = (tls::authorities(), Arc::new(Matcher::from_env()));
        for (name, upstream) in upstreams {
            let tls = tls::client(roots.clone(), upstream);
            match tls.and_then(|tls| Upstream::new(name, upstream, tls, &proxies)) {
                Ok(ready) => {
                    by_name.insert(name.clone(), ready);
                }
                Err((key, message)) => unusable.push(Unusable {
                    key: format!("upstream.{name}.{key}"),
                    message,
                }),
            }
        }
        if unusable.is_empty() {
            Ok(Self { by_name, gates })
        } else {
            Err(unusable)
        }
    }

    /// The gates of everything that has limits of calls.
    pub fn gates(&self) -> &Arc<Gates> {
        &self.gates
    }

    /// Whether a policy or a route may name this upstream.
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// How often a failed call to an upstream is repeated.
    pub fn retries(&self, name: &str) -> u32 {
        self.by_name
            .get(name)
            .map_or(0, |upstream| upstream.config.retries)
    }

    /// The wire APIs that an upstream speaks; none: whichever it is asked in.
    pub fn speaks(&self, name: &str) -> &[&'static dyn Dialect] {
        let upstream = self.by_name.get(name);
        upstream.map_or(&[], |upstream| &upstream.speaks)
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
                path,
                body: mut bytes,
                mut plain,
                foreign,
            } = body(target);
            let path = path.as_deref().unwrap_or(&request.path);
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
                let mut result = upstream
                    .attempt(request, path, bytes.clone(), foreign)
                    .await;
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
