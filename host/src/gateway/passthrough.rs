//! Calls that Airlock passes on without decoding them: embeddings, the list of models, and what the operator lists.
//!
//! Guarantees: each one is recorded; while an enforcing policy applies, a path that is neither known nor listed is
//! refused by name, and one that is listed is recorded as unjudged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, Method, Request, Response, StatusCode};

use super::admission::{self, Permit};
use super::app::{App, Settings};
use super::identity::{Caller, identify, unauthorized};
use super::named::Named;
use super::{intake, models, reply};
use crate::config::GatewayConfig;
use crate::upstream::{Attempt, Outgoing, Target, UpstreamError, headers};

/// One call that passed.
#[derive(Debug)]
pub struct Passage<'a> {
    /// Method and path, without the query, which may hold content.
    pub path: &'a str,
    /// Who called.
    pub caller: &'a Caller,
    /// The client's headers, by which the session is found. Never recorded.
    pub headers: &'a HeaderMap,
    /// Model that it names, if it does.
    pub model: Option<&'a str>,
    /// Name of the upstream that answered or was asked last.
    pub upstream: &'a str,
    /// Status that the client got.
    pub status: u16,
    /// Until the headers of the answer.
    pub elapsed: Duration,
    /// Attempts that failed on the way.
    pub failures: &'a [Attempt],
    /// Why nobody judged it, if enforcing policies apply or would have applied.
    pub unjudged: Option<&'a str>,
}

/// Keeps the record of what passes.
pub trait Recorder: Send + Sync {
    /// A call passed. Must not block.
    fn passage(&self, passage: &Passage<'_>);
}

/// What becomes of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// It passes; it bears no generated text.
    Pass,
    /// It passes, and nobody judges it.
    Unjudged(String),
    /// It is refused.
    Refuse(String),
}

/// Rules on a path that has no exchange. `enforcing` is the name of a policy whose word is law.
pub(super) fn rule(
    config: &GatewayConfig,
    enforcing: Option<&str>,
    method: &Method,
    path: &str,
) -> Ruling {
    if !is_plain(path) {
        return Ruling::Refuse(format!(
            "{path} is not a plain path: leave out empty, `.` and `..` parts"
        ));
    }
    let known = match path.strip_prefix("/v1/") {
        Some("embeddings") => method == Method::POST,
        Some("models") => method == Method::GET,
        Some(rest) => method == Method::GET && rest.starts_with("models/"),
        None => false,
    };
    if known {
        return Ruling::Pass;
    }
    let listed = config
        .pass_paths
        .iter()
        .any(|listed| match listed.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == listed,
        });
    match enforcing {
        _ if listed => Ruling::Unjudged("the operator lists this path in `pass_paths`".to_owned()),
        None => Ruling::Unjudged("no enforcing policy applies".to_owned()),
        Some(policy) => Ruling::Refuse(format!(
            "Airlock cannot decode {method} {path}, and the policy {policy} must see everything: use \
             /v1/chat/completions, or let the operator add \"{path}\" to `pass_paths` in [gateway]"
        )),
    }
}

/// Whether a path means the same to Airlock and to any server behind it. One that an upstream would normalise
/// (`/v1/files/../chat/completions`) could reach what policies judge under the name of what they do not.
fn is_plain(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let hidden = ["%2e", "%2f", "%5c", "\\"]
        .iter()
        .any(|code| lower.contains(code));
    let mut parts = path.split('/').skip(1);
    !hidden && parts.all(|part| !matches!(part, "" | "." | ".."))
}

/// Serves every path under `/v1` that has no exchange.
pub async fn handle(State(app): State<Arc<App>>, request: Request<Body>) -> Response<Body> {
    let settings = app.settings.load_full();
    let enforcing = app.enforcing(&settings);
    let (mut head, body) = request.into_parts();
    let Ok(caller) = identify(&settings.config.keys, &mut head.headers) else {
        return unauthorized();
    };
    let ruling = rule(
        &settings.config.gateway,
        enforcing.as_deref(),
        &head.method,
        head.uri.path(),
    );
    let unjudged = match ruling {
        Ruling::Refuse(reason) => {
            return reply::error(
                StatusCode::FORBIDDEN,
                "invalid_request_error",
                "airlock_undecodable_path",
                &reason,
            );
        }
        Ruling::Pass => None,
        Ruling::Unjudged(reason) => Some(reason),
    };
    let limit = settings.config.gateway.max_body_bytes;
    let body = match intake::read(&mut head.headers, body, limit).await {
        Ok(body) => body,
        Err(refused) => return *refused,
    };
    // Four bytes a token; what an answer costs is not known here.
    let tokens = body.len() as u64 / 4;
    match admission::admit(&settings, &caller, tokens).await {
        Ok(permit) => {
            let call = PassedCall {
                head: &head,
                caller: &caller,
                tokens,
                unjudged: unjudged.as_deref(),
            };
            pass(&app, &settings, call, body, permit).await
        }
        Err(full) => admission::refused(&full),
    }
}

/// A call that may pass.
struct PassedCall<'a> {
    head: &'a http::request::Parts,
    caller: &'a Caller,
    tokens: u64,
    unjudged: Option<&'a str>,
}

async fn pass(
    app: &App,
    settings: &Settings,
    call: PassedCall<'_>,
    body: Bytes,
    permit: Permit,
) -> Response<Body> {
    let head = call.head;
    let begun = Instant::now();
    let path = format!("{} {}", head.method, head.uri.path());
    let named = Named::of(head, &body);
    let model = named.model();
    let targets = match model {
        Some(model) => settings.routes.resolve(model),
        None => default_target(settings),
    };
    let Some(first) = targets.first() else {
        let message = format!(
            "no route serves the model {}: add a [[route]]",
            model.unwrap_or_default()
        );
        return reply::error(
            StatusCode::NOT_FOUND,
            "invalid_request_error",
            "model_not_found",
            &message,
        );
    };
    let request = Outgoing {
        method: head.method.clone(),
        path: named.path(&head.uri, first),
        headers: head.headers.clone(),
        tokens: call.tokens,
    };
    if head.method == Method::GET
        && head.uri.path() == "/v1/models"
        && !settings.routes.upstreams().is_empty()
    {
        let listed = models::list(settings, &request).await;
        app.recorder.passage(&Passage {
            path: &path,
            caller: call.caller,
            headers: &head.headers,
            model: None,
            upstream: &listed.upstreams,
            status: listed.response.status().as_u16(),
            elapsed: begun.elapsed(),
            failures: &listed.failures,
            unjudged: call.unjudged,
        });
        return listed.response;
    }
    let mut failures = Vec::new();
    let result = settings
        .upstreams
        .send(
            &targets,
            &request,
            &|target| named.body(&body, target).into(),
            &mut |attempt| {
                failures.push(attempt);
            },
        )
        .await;
    let (response, upstream) = match result {
        Ok(answer) => {
            // The call is under way until its last byte: the stream keeps the permit.
            let body = answer.body.inspect(move |_| _ = &permit);
            let mut response = Response::new(Body::from_stream(body));
            *response.status_mut() = answer.status;
            *response.headers_mut() = headers::of_passage(&answer.headers);
            (response, answer.target.upstream.to_string())
        }
        Err(error) => {
            let upstream = failures
                .last()
                .map(|f: &Attempt| f.target.upstream.to_string())
                .unwrap_or_default();
            let response = match &error {
                UpstreamError::Full(full) => admission::refused(full),
                error => reply::error(
                    error.status(),
                    "api_error",
                    "airlock_upstream",
                    &error.to_string(),
                ),
            };
            (response, upstream)
        }
    };
    app.recorder.passage(&Passage {
        path: &path,
        caller: call.caller,
        headers: &head.headers,
        model,
        upstream: &upstream,
        status: response.status().as_u16(),
        elapsed: begun.elapsed(),
        failures: &failures,
        unjudged: call.unjudged,
    });
    response
}

/// Where calls go that name no model.
fn default_target(settings: &Settings) -> Vec<Target> {
    let first = settings.config.upstreams.first();
    first
        .map(|(name, _)| Target {
            upstream: name.as_str().into(),
            model: "".into(),
        })
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn ruling(enforcing: Option<&str>, method: Method, path: &str) -> Ruling {
        let pass_paths = vec!["/v1/audio/speech".to_owned(), "/v1/files*".to_owned()];
        rule(
            &GatewayConfig {
                pass_paths,
                ..GatewayConfig::default()
            },
            enforcing,
            &method,
            path,
        )
    }

    #[test]
    fn embeddings_and_models_pass_whatever_applies() {
        for (method, path) in [
            (Method::POST, "/v1/embeddings"),
            (Method::GET, "/v1/models"),
            (Method::GET, "/v1/models/gpt-4o"),
        ] {
            assert_eq!(
                ruling(Some("blocklist"), method, path),
                Ruling::Pass,
                "{path}"
            );
        }
    }

    #[test]
    fn an_unknown_path_is_refused_by_name_while_a_policy_enforces() {
        for (method, path) in [
            (Method::POST, "/v1/completions"),
            (Method::POST, "/v1/responses"),
            (Method::DELETE, "/v1/models/mine"),
            (Method::POST, "/v1/audio/speech/more"),
        ] {
            let Ruling::Refuse(reason) = ruling(Some("blocklist"), method, path) else {
                panic!("{path} passed")
            };
            assert!(
                reason.contains(path)
                    && reason.contains("blocklist")
                    && reason.contains("pass_paths"),
                "{reason}"
            );
        }
    }

    #[test]
    fn no_other_spelling_of_a_path_gets_around_the_policies() {
        for path in [
            "/v1/files/../chat/completions",
            "/v1/files/%2e%2e/chat/completions",
            "/v1/files/..%2Fchat/completions",
            "/v1/files/./x",
            "/v1/files//x",
            "/v1/files\\..\\chat",
            "/v1/embeddings/",
        ] {
            assert!(
                matches!(
                    ruling(Some("blocklist"), Method::POST, path),
                    Ruling::Refuse(_)
                ),
                "{path} passed"
            );
            assert!(
                matches!(ruling(None, Method::POST, path), Ruling::Refuse(_)),
                "{path} passed"
            );
        }
    }

    #[test]
    fn what_passes_undecoded_says_why() {
        for (enforcing, path) in [
            (Some("blocklist"), "/v1/audio/speech"),
            (Some("blocklist"), "/v1/files/7"),
            (None, "/v1/completions"),
        ] {
            assert!(
                matches!(ruling(enforcing, Method::POST, path), Ruling::Unjudged(_)),
                "{path}"
            );
        }
    }
}
