//! Calls that Airlock passes on without decoding them: embeddings, the list of models, and what the operator lists.
//!
//! Guarantees: each one is recorded, and draws on the budget of its session ([`metering`]); while an enforcing policy applies, a path that is neither known nor listed is
//! refused by name, and one that is listed is recorded as unjudged.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, Method, Request, Response, StatusCode};

use super::admission::{self, Permit};
use super::identity::{identify, unauthorized};
use super::known::known;
use super::metering::{self, Estimate, Meter, Spends};
use super::named::{Named, under_v1};
use super::passages::{self, Passage};
use super::{declared, intake, models, query_key, respond};
use crate::config::GatewayConfig;
use crate::gateway::app::App;
use crate::gateway::settings::Settings;
use crate::upstream::{self, Draft, Outgoing, UpstreamError, headers};
use airlock_core::dialect::registry;
use airlock_core::event::FailureKind;
use airlock_core::event::target::Target;
use airlock_core::session::ledger::Limits;
use airlock_core::session::state::Found;

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
    // A model's name may have slashes here, as those of servers at home do.
    let of_model = method == Method::GET && path.starts_with("/v1/models/");
    if of_model || known(method, path).is_some() {
        return Ruling::Pass;
    }
    match enforcing {
        _ if is_listed(config, path) => {
            Ruling::Unjudged("the operator lists this path in `pass_paths`".to_owned())
        }
        None => Ruling::Unjudged("no enforcing policy applies".to_owned()),
        Some(policy) => Ruling::Refuse(format!(
            "Airlock cannot decode {method} {path}, and the policy {policy} must see everything: use a path of a model \
             call, or let the operator add \"{path}\" to `pass_paths` in [gateway]"
        )),
    }
}

/// Whether the operator lets the path pass by name.
fn is_listed(config: &GatewayConfig, path: &str) -> bool {
    let mut listed = config.pass_paths.iter();
    listed.any(|listed| match listed.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => path == listed,
    })
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

/// Serves every path of a model server that has no exchange.
pub async fn handle(State(app): State<Arc<App>>, request: Request<Body>) -> Response<Body> {
    let settings = app.settings.load_full();
    let enforcing = app.enforcing(&settings);
    let (mut head, body) = request.into_parts();
    query_key::take(&mut head);
    let speaker = registry::speaker(head.uri.path());
    let Ok(caller) = identify(&settings.config.keys, &mut head.headers) else {
        return unauthorized(speaker);
    };
    let ruling = rule(
        &settings.config.gateway,
        enforcing.as_deref(),
        &head.method,
        head.uri.path(),
    );
    let unjudged = match ruling {
        Ruling::Refuse(reason) => {
            return respond::refuse(
                speaker,
                StatusCode::FORBIDDEN,
                FailureKind::Other,
                "airlock_undecodable_path",
                reason,
            );
        }
        Ruling::Pass => None,
        Ruling::Unjudged(reason) => Some(reason),
    };
    let limit = settings.config.gateway.max_body_bytes;
    let body = match intake::read(speaker, &mut head.headers, body, limit).await {
        Ok(body) => body,
        Err(refused) => return *refused,
    };
    let path = head.uri.path();
    let known = known(&head.method, path);
    let spends = known.map_or_else(
        || metering::spends(&head.method, path, &body),
        |known| known.spends,
    );
    let estimate = match spends {
        Spends::Nothing => Estimate::default(),
        Spends::Now | Spends::Later => Estimate::of(path, &head.headers, &body),
    };
    let permit = match admission::admit(&settings, &caller, estimate.input).await {
        Ok(permit) => permit,
        Err(full) => return admission::refused(speaker, &full),
    };
    let passage = Passage {
        path: format!("{} {path}", head.method),
        model: Named::of(&head, &body)
            .model()
            .unwrap_or_default()
            .to_owned(),
        unjudged,
        ..Passage::default()
    };
    let found = passages::session_of(&caller, &head.headers);
    if spends == Spends::Nothing {
        return free(&app, &settings, &head, body, permit, passage, found).await;
    }
    let session = match app.sessions.get(found).await {
        Ok(session) => session,
        Err(error) => {
            return respond::refuse(
                speaker,
                StatusCode::SERVICE_UNAVAILABLE,
                FailureKind::Other,
                "airlock_store",
                error.to_string(),
            );
        }
    };
    match declared::read(&head.headers) {
        Ok(declared) => session.ledger.allocate(Limits {
            tokens: declared.max_tokens,
            cost: None,
        }),
        Err(malformed) => {
            return respond::refuse(
                speaker,
                StatusCode::BAD_REQUEST,
                FailureKind::Other,
                "airlock_declared",
                malformed.to_string(),
            );
        }
    }
    let limited = !session.ledger.limits().is_unlimited();
    if spends == Spends::Later && limited && !is_listed(&settings.config.gateway, path) {
        return metering::uncounted(&passage.path);
    }
    let model = passage.model.clone();
    let settings_of_call = Arc::clone(&settings);
    let meter = Meter::open(session, settings_of_call, &model, estimate, permit, passage).await;
    match meter {
        Ok(meter) => spending(&settings, &head, body, meter, estimate.input).await,
        Err(error) => metering::refused(&error),
    }
}

/// A call that costs nothing.
async fn free(
    app: &App,
    settings: &Settings,
    head: &http::request::Parts,
    body: Bytes,
    mut permit: Permit,
    mut passage: Passage,
    found: Found,
) -> Response<Body> {
    let lists = head.method == Method::GET && head.uri.path() == "/v1/models";
    let response = if lists && !settings.routes.upstreams().is_empty() {
        list(settings, head, &mut passage).await
    } else {
        match pass(settings, head, body, 0, &mut passage).await {
            Ok(answer) => {
                permit.settle(0);
                // The call is under way until its last byte: the stream keeps the permit.
                let body = answer.body.inspect(move |_| _ = &permit);
                response(answer.status, &answer.headers, Body::from_stream(body))
            }
            Err(refused) => refused,
        }
    };
    passage.status = response.status().as_u16();
    passages::record_later(Arc::clone(&app.sessions), found, passage);
    response
}

/// The models of every upstream.
async fn list(
    settings: &Settings,
    head: &http::request::Parts,
    passage: &mut Passage,
) -> Response<Body> {
    let begun = Instant::now();
    let request = Outgoing {
        method: head.method.clone(),
        path: under_v1(&head.uri),
        query: head.uri.query().map(str::to_owned),
        headers: head.headers.clone(),
        tokens: 0,
    };
    let listed = models::list(settings, &request).await;
    passage.elapsed = begun.elapsed();
    passage.upstream = listed.upstreams;
    passage.failures = listed.failures;
    listed.response
}

/// A call that its session pays for.
async fn spending(
    settings: &Settings,
    head: &http::request::Parts,
    body: Bytes,
    mut meter: Meter,
    tokens: u64,
) -> Response<Body> {
    match pass(settings, head, body, tokens, meter.passage()).await {
        Ok(answer) => {
            meter.passage().status = answer.status.as_u16();
            let body = if answer.status.is_success() {
                let counted = meter.relay(answer.body, &answer.headers, answer.charge);
                Body::from_stream(counted)
            } else {
                // Kept until the last byte, and then released.
                Body::from_stream(answer.body.inspect(move |_| _ = &meter))
            };
            response(answer.status, &answer.headers, body)
        }
        Err(refused) => {
            meter.passage().status = refused.status().as_u16();
            refused
        }
    }
}

fn response(status: StatusCode, upstream: &HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers::of_passage(upstream);
    response
}

/// Sends a call on, and notes in `passage` how it went.
///
/// # Errors
/// The answer when there is none.
async fn pass(
    settings: &Settings,
    head: &http::request::Parts,
    body: Bytes,
    tokens: u64,
    passage: &mut Passage,
) -> Result<upstream::Response, Response<Body>> {
    let begun = Instant::now();
    let speaker = registry::speaker(head.uri.path());
    let named = Named::of(head, &body);
    let model = named.model();
    let targets = match model {
        Some(model) => settings.routes.resolve(model),
        None => default_target(settings, head),
    };
    let known = known(&head.method, head.uri.path());
    let (mut targets, asked) = (targets, model.unwrap_or_default());
    if let Some(known) = known {
        let had = !targets.is_empty();
        targets.retain(|target| known.is_of(settings, &target.upstream));
        if had && targets.is_empty() {
            let message = format!(
                "the route of the model {asked} leads to an upstream of another API, which has no {}",
                head.uri.path()
            );
            return Err(respond::refuse(
                speaker,
                StatusCode::NOT_FOUND,
                FailureKind::Other,
                "airlock_not_portable",
                message,
            ));
        }
    }
    let Some(first) = targets.first() else {
        let message = format!("no route serves the model {}: add a [[route]]", asked);
        return Err(respond::refuse(
            speaker,
            StatusCode::NOT_FOUND,
            FailureKind::Other,
            "model_not_found",
            message,
        ));
    };
    let request = Outgoing {
        method: head.method.clone(),
        path: named.path(&head.uri, first),
        query: head.uri.query().map(str::to_owned),
        headers: head.headers.clone(),
        tokens,
    };
    let result = settings
        .upstreams
        .send(
            &targets,
            &request,
            &|target| Draft {
                path: Some(named.path(&head.uri, target)),
                body: named.body(&body, target),
                plain: None,
                foreign: known
                    .and_then(|known| known.foreign(settings, &target.upstream, &head.headers)),
            },
            &mut |attempt| passage.failures.push(attempt),
        )
        .await;
    passage.elapsed = begun.elapsed();
    match result {
        Ok(answer) => {
            passage.upstream = answer.target.upstream.to_string();
            Ok(answer)
        }
        Err(error) => {
            let last = passage.failures.last();
            passage.upstream = last.map_or_else(String::new, |f| f.target.upstream.to_string());
            Err(match &error {
                UpstreamError::Full(full) => admission::refused(speaker, full),
                error => respond::refuse(
                    speaker,
                    error.status(),
                    error.kind(),
                    "airlock_upstream",
                    error.to_string(),
                ),
            })
        }
    }
}

/// Where calls go that name no model.
fn default_target(settings: &Settings, head: &http::request::Parts) -> Vec<Target> {
    if let Some(known) = known(&head.method, head.uri.path()) {
        return known.target(settings).into_iter().collect();
    }
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
            (Method::POST, "/v1/images/generations"),
            (Method::GET, "/v1/responses/r"),
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
            (None, "/v1/images/generations"),
        ] {
            assert!(
                matches!(ruling(enforcing, Method::POST, path), Ruling::Unjudged(_)),
                "{path}"
            );
        }
    }
}
