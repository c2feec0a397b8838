//! How many calls, and how fast: each passes the gates of its key, its tenant and the whole gateway, in this order, and at
//! last that of its upstream (`upstream/gate.rs`).
//!
//! The narrowest comes first: whoever waits at it takes no room from others. A refusal is a 429 that says which limit of
//! whom, and when to come back; the vendors' `x-ratelimit-*` headers are left to the vendors.

use std::time::Duration;

use axum::body::Body;
use http::header::{HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use super::identity::Caller;
use super::respond;
use crate::gateway::settings::Settings;
use crate::upstream::limits::CallLimits;
use crate::upstream::{Charge, Full, Pass, Whose};
use airlock_core::dialect::{Inbound, RequestView};
use airlock_core::event::FailureKind;
use airlock_core::observe::tokens;

/// A call that was let in. Its places are given back when this is dropped.
#[derive(Debug, Default)]
pub struct Permit {
    passes: Vec<Pass>,
    charges: Vec<Charge>,
    upstream: Charge,
}

impl Permit {
    /// The call went to an upstream that counts it too. One that it went to before has generated nothing.
    pub fn sent(&mut self, charge: Charge) {
        self.upstream.settle(0);
        self.upstream = charge;
    }

    /// The call used so many tokens in the end.
    pub fn settle(&mut self, tokens: u64) {
        for charge in self.charges.iter_mut().chain([&mut self.upstream]) {
            charge.settle(tokens);
        }
    }
}

/// Lets a call in, or keeps it waiting as long as the limits say; `tokens` is the estimate of what it will use.
///
/// # Errors
/// One of the limits is reached. Nothing is charged then.
pub async fn admit(settings: &Settings, caller: &Caller, tokens: u64) -> Result<Permit, Full> {
    let everybody = CallLimits {
        max_concurrent: settings.config.gateway.max_concurrent,
        ..CallLimits::default()
    };
    let gates = [
        (Whose::Key(caller.principal.clone()), caller.limits),
        (
            Whose::Tenant(caller.tenant.clone()),
            settings.config.tenant(&caller.tenant),
        ),
        (Whose::Gateway, everybody),
    ];
    let mut permit = Permit::default();
    for (whose, limits) in gates {
        let entering = settings
            .upstreams
            .gates()
            .enter(&whose, limits, tokens, true);
        match entering.await {
            Ok(mut pass) => {
                permit.charges.push(pass.charge());
                permit.passes.push(pass);
            }
            Err(full) => {
                permit.settle(0);
                permit.passes.into_iter().for_each(Pass::cancel);
                return Err(full);
            }
        }
    }
    Ok(permit)
}

/// Tokens that a request will use, as far as it says: its text, four bytes a token, and the answer that it allows. An answer
/// without a stated limit counts when it is known.
pub fn estimate(view: &RequestView) -> u64 {
    let texts = view.messages.iter();
    let text: u64 = texts.map(|m| u64::from(tokens::estimate(&m.text))).sum();
    let answer = u64::from(view.max_output_tokens.unwrap_or_default());
    text + answer.saturating_mul(view.choices.max(1).into())
}

/// The answer when there is no room.
pub fn refused(speaker: &dyn Inbound, full: &Full) -> Response<Body> {
    tracing::info!(%full, "refused a call for want of room");
    let response = respond::refuse(
        speaker,
        StatusCode::TOO_MANY_REQUESTS,
        FailureKind::RateLimit,
        "airlock_rate_limit",
        full.to_string(),
    );
    come_back(response, full.after)
}

/// Says when to try again: `retry-after` in whole seconds for everybody, `retry-after-ms` for the vendors' SDKs.
pub fn come_back(mut response: Response<Body>, after: Duration) -> Response<Body> {
    let ms = after.as_millis().max(1);
    let headers = response.headers_mut();
    headers.insert("x-should-retry", HeaderValue::from_static("true"));
    for (name, value) in [
        (RETRY_AFTER.as_str(), ms.div_ceil(1000)),
        ("retry-after-ms", ms),
    ] {
        if let (Ok(value), Ok(name)) = (
            HeaderValue::from_str(&value.to_string()),
            name.parse::<http::HeaderName>(),
        ) {
            headers.insert(name, value);
        }
    }
    response
}
