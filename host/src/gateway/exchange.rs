//! One model call from request to end: `POST /v1/chat/completions`.
//!
//! A body becomes a view, the view finds its session, the session begins an exchange, policies rule on the request, the
//! call goes upstream, and what comes back passes through the exchange on its way to the client.

mod accounts;
mod adopt;
mod apply;
mod arrival;
mod bounds;
mod call;
mod calls;
mod compose;
mod conclude;
mod conduct;
mod deadline;
mod ending;
mod hold;
mod judge;
mod kept;
mod measure;
mod park;
mod prepare;
mod receive;
mod relay;
mod remember;
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
use http::{Request, Response, StatusCode};

use super::app::App;
use super::{admission, intake, resolve};
use crate::dialect::openai_chat::OpenAiChat;
use crate::dialect::{ClientError, Dialect};
use crate::event::FailureKind;
use crate::event::clock::now;
use arrival::Arrival;
use call::Call;
use conclude::{Form, error_response};
use conduct::Exchange;

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
    let limit = settings.config.gateway.max_body_bytes;
    let body = match intake::read(&mut head.headers, body, limit).await {
        Ok(body) => body,
        Err(refused) => return *refused,
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
    if view.audio_output && app.enforcing(&settings).is_some() {
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
    let mut found = resolve::find(
        &arrival.caller,
        &head.headers,
        &view,
        &app.sessions,
        &settings.config.session.correlate,
    );
    found.extra = arrival.declared.facts();
    let session = match app.sessions.get(found).await {
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
        (app, Arc::clone(&settings)),
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
        query: head.uri.query().map(str::to_owned),
        tokens,
        redirect: None,
        retries: 0,
        failed_at: Vec::new(),
    };
    waiting::run(call).await
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
        origin: None,
    }
}

/// The upstream failed, or the connection to it: 502.
fn upstream_failed(kind: FailureKind, message: String) -> ClientError {
    refusal(StatusCode::BAD_GATEWAY, kind, "airlock_upstream", message)
}
