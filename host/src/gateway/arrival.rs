//! A model call arrives at a path of the registry. Who calls, what the request declares, whether there is room for it, which
//! session it belongs to; then its exchange begins.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, Request, Response, StatusCode};

use super::admission::{self, Permit};
use super::app::App;
use super::drive::{Driver, moment};
use super::handoff::{self, Client, Hand};
use super::identity::{Caller, identify, unauthorized};
use super::settings::Settings;
use super::surroundings::surroundings;
use super::{declared, intake, metering, query_key, resolve, respond};
use airlock_core::dialect::{Dialect, Inbound, Received};
use airlock_core::event::clock::now;
use airlock_core::event::declared::Declared;
use airlock_core::event::digest::Digest;
use airlock_core::event::{FailureKind, Micros};
use airlock_core::exchange::{self, Exchange, words};
use airlock_core::session::ledger::Limits;

/// How long before a client's own timeout it is answered: a round trip and some scheduling.
const MARGIN_US: u64 = 10_000_000;

/// The timeout of the vendors' SDKs, if the client does not state its own.
const CLIENT_TIMEOUT_US: u64 = 600_000_000;

/// Serves a model call in this wire API.
pub async fn handle(
    app: Arc<App>,
    dialect: &'static dyn Dialect,
    request: Request<Body>,
) -> Response<Body> {
    match take(app, dialect, request).await {
        Ok((driver, every)) => {
            let (hand, label) = (driver.hand.clone(), driver.exchange.label());
            let streamed = driver.exchange.facts().view.streamed;
            let speaker = dialect.inbound();
            let client = Client {
                streamed,
                every,
                speaker,
                label,
            };
            handoff::response(driver.run(), hand, client).await
        }
        Err(refused) => *refused,
    }
}

/// Takes a call in, up to the beginning of its exchange.
async fn take(
    app: Arc<App>,
    dialect: &'static dyn Dialect,
    request: Request<Body>,
) -> Result<(Driver, Duration), Box<Response<Body>>> {
    let settings = app.settings.load_full();
    let speaker = dialect.inbound();
    let refuse = |status, kind, code: &str, message| {
        Box::new(respond::refuse(speaker, status, kind, code, message))
    };
    let (mut head, body) = request.into_parts();
    query_key::take(&mut head);
    let arrival = Arrival::read(&settings, speaker, &mut head.headers)?;
    if let Err(missing) = app.policies.ready() {
        let missing = missing.join(", ");
        return Err(refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            FailureKind::Policy,
            "airlock_not_ready",
            format!("no good generation of required policies: {missing}"),
        ));
    }
    let limit = settings.config.gateway.max_body_bytes;
    let body = intake::read(speaker, &mut head.headers, body, limit).await?;
    let received = Received {
        path: head.uri.path(),
        query: head.uri.query(),
        body: &body,
    };
    let view = speaker.read_request(received).map_err(|error| {
        refuse(
            StatusCode::BAD_REQUEST,
            FailureKind::Other,
            "airlock_undecodable",
            error.to_string(),
        )
    })?;
    if let (Some(what), Some(_)) = (view.unjudgeable, app.enforcing(&settings)) {
        return Err(refuse(
            StatusCode::FORBIDDEN,
            FailureKind::Policy,
            "airlock_undecodable",
            format!("Airlock cannot judge {what}, and an enforcing policy applies: ask without it"),
        ));
    }
    let tokens = admission::estimate(&view);
    let permit = arrival.admit(&settings, speaker, tokens).await?;
    let digests: Vec<Digest> = view.messages.iter().map(|m| m.digest()).collect();
    let headers = &head.headers;
    let mut found = resolve::find(
        &arrival.caller,
        headers,
        (&view, &digests),
        &app.sessions,
        &settings.config.session.correlate,
    );
    found.extra = arrival.declared.facts();
    let session = app.sessions.get(found).await.map_err(|error| {
        refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            FailureKind::Other,
            "airlock_store",
            error.to_string(),
        )
    })?;
    session.ledger.allocate(arrival.allocation());
    if view.later && !session.ledger.limits().is_unlimited() {
        return Err(Box::new(metering::uncounted(head.uri.path())));
    }
    let at = now();
    let arrived = exchange::Arrived {
        session,
        client: dialect,
        digests,
        body,
        weak: resolve::weak(headers, &view),
        view,
        declared: arrival.declared,
        client_retries: resolve::client_retries(headers),
        deadline: arrival.deadline,
        patience: patience(headers, at),
        may_assemble: settings.config.gateway.stream_upstream,
    };
    let driver = Driver {
        exchange: Exchange::begin(surroundings(&app, &settings), arrived, at),
        hand: Hand::default(),
        permit,
        head: head.headers,
        query: head.uri.query().map(str::to_owned),
        tokens,
        stopping: app.stopping.clone(),
        answer: None,
        unreached: None,
        settings,
    };
    let every = Duration::from_millis(driver.settings.config.gateway.keep_alive_ms);
    Ok((driver, every))
}

/// A request of which the headers were read.
struct Arrival {
    /// Who calls.
    caller: Caller,
    /// What the request says about itself.
    declared: Declared,
    /// When it must be over.
    deadline: Option<Micros>,
}

impl Arrival {
    /// Reads the headers, and takes Airlock's own key out of them.
    ///
    /// # Errors
    /// The answer to a caller without a key, or to a declaration that makes no sense.
    fn read(
        settings: &Settings,
        speaker: &dyn Inbound,
        headers: &mut HeaderMap,
    ) -> Result<Self, Box<Response<Body>>> {
        let at = now();
        let caller = identify(&settings.config.keys, headers).map_err(|_| unauthorized(speaker))?;
        let declared = declared::read(headers).map_err(|malformed| {
            respond::refuse(
                speaker,
                StatusCode::BAD_REQUEST,
                FailureKind::Other,
                "airlock_declared",
                malformed.to_string(),
            )
        })?;
        Ok(Self {
            caller,
            deadline: declared.deadline.map(|d| at + d.as_micros() as Micros),
            declared,
        })
    }

    /// Lets the call in, or keeps it waiting as long as the limits and its own deadline allow.
    ///
    /// # Errors
    /// The answer to a call for which there is no room, or no time.
    async fn admit(
        &self,
        settings: &Settings,
        speaker: &dyn Inbound,
        tokens: u64,
    ) -> Result<Permit, Box<Response<Body>>> {
        tokio::select! {
            biased;
            admitted = admission::admit(settings, &self.caller, tokens) => {
                admitted.map_err(|full| Box::new(admission::refused(speaker, &full)))
            }
            () = moment(self.deadline) => Err(Box::new(respond::error(speaker, &words::expired()))),
        }
    }

    /// What the request allows its whole session.
    fn allocation(&self) -> Limits {
        Limits {
            tokens: self.declared.max_tokens,
            cost: None,
        }
    }
}

/// When a client that does not read a stream must have its answer: shortly before its own timeout. Python and JavaScript
/// SDKs state theirs, in seconds, in a header.
fn patience(headers: &HeaderMap, started: Micros) -> Micros {
    let stated = ["x-stainless-read-timeout", "x-stainless-timeout"]
        .iter()
        .filter_map(|name| headers.get(*name)?.to_str().ok()?.parse::<f64>().ok())
        .find(|seconds| *seconds > 0.0 && *seconds < 86_400.0)
        .map_or(CLIENT_TIMEOUT_US, |seconds| (seconds * 1e6) as u64);
    // Of a short timeout a fifth is margin enough.
    started + stated - MARGIN_US.min(stated / 5)
}
