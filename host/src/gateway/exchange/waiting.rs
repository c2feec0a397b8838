//! A client that waits while a person decides.
//!
//! Proxies and clients give up on a silent connection. A client that asked for a stream is therefore told that the answer
//! has begun as soon as its request is held for longer than a moment, and reads comments until it really does: every SDK
//! of this dialect skips them (measured with `openai` 3.52). What then turns out to be an error is told in the stream.
//! A client that did not ask for a stream cannot be told anything: see [`Exchange::patience`].

use std::io;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::call::Call;
use super::conclude::{Form, shaped};
use super::conduct::Exchange;
use super::{DIALECT, MAX_ERROR_BYTES, until};
use crate::dialect::{ClientError, Dialect as _};
use crate::event::Micros;
use crate::event::clock::now;
use crate::upstream::headers;

/// What a client reads while it waits.
pub(super) const COMMENT: Bytes = Bytes::from_static(b": airlock keeps the connection\n\n");

/// How long before a client's own timeout it is answered: a round trip and some scheduling.
const MARGIN_US: u64 = 10_000_000;

/// The timeout of the vendors' SDKs, if the client does not state its own.
const CLIENT_TIMEOUT_US: u64 = 600_000_000;

/// Runs a call, and keeps its client's connection alive while it is held.
pub(super) async fn run(call: Call) -> Response<Body> {
    if !call.exchange.view.streamed {
        return call.run().await;
    }
    let held = call.exchange.held.clone();
    let label = call.exchange.label();
    let every = Duration::from_millis(call.settings.config.gateway.keep_alive_ms);
    let mut running: Pin<Box<dyn Future<Output = Response<Body>> + Send>> = Box::pin(call.run());
    tokio::select! {
        biased;
        response = &mut running => return response,
        () = held.notified() => {}
    }
    tokio::select! {
        biased;
        response = &mut running => return response,
        () = tokio::time::sleep(every) => {}
    }
    let stream = futures_util::stream::unfold(Held::Waiting(running), move |mut held| async move {
        let item = held.next(every).await?;
        Some((item, held))
    });
    let first = futures_util::stream::once(async { Ok(COMMENT) });
    let mut response = shaped(
        Response::new(Body::from_stream(first.chain(stream))),
        Form::Stream,
    );
    if let Ok(label) = HeaderValue::from_str(&label) {
        response.headers_mut().insert(headers::EXCHANGE_ID, label);
    }
    response
}

enum Held {
    Waiting(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
    Answering(BodyDataStream),
    Done,
}

impl Held {
    async fn next(&mut self, every: Duration) -> Option<io::Result<Bytes>> {
        loop {
            match self {
                Held::Done => return None,
                Held::Answering(body) => {
                    return body
                        .next()
                        .await
                        .map(|chunk| chunk.map_err(io::Error::other));
                }
                Held::Waiting(running) => {
                    let response = tokio::select! {
                        biased;
                        response = running => response,
                        () = tokio::time::sleep(every) => return Some(Ok(COMMENT)),
                    };
                    if is_stream(response.headers()) {
                        *self = Held::Answering(response.into_body().into_data_stream());
                        continue;
                    }
                    *self = Held::Done;
                    return Some(told_in_stream(response).await);
                }
            }
        }
    }
}

fn is_stream(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.trim_start().starts_with("text/event-stream"))
}

/// A response that is no stream, to a client that reads one: its error as a frame. A connection that was to be cut is cut.
async fn told_in_stream(response: Response<Body>) -> io::Result<Bytes> {
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), MAX_ERROR_BYTES)
        .await
        .map_err(|error| io::Error::new(io::ErrorKind::ConnectionAborted, error))?;
    let failure = DIALECT.read_error(status.as_u16(), &body);
    // What Airlock says itself it says in full.
    if status != StatusCode::OK
        && let Ok(error) = serde_json::from_slice::<serde_json::Value>(&body)
        && error["error"]["airlock"].is_object()
    {
        return Ok(format!("data: {error}\n\n").into());
    }
    let code = serde_json::from_slice::<serde_json::Value>(&body)
        .ok()
        .and_then(|v| v["error"]["code"].as_str().map(str::to_owned))
        .unwrap_or_else(|| "airlock_upstream".to_owned());
    Ok(DIALECT.error_frame(&ClientError {
        status: if status == StatusCode::OK {
            502
        } else {
            status.as_u16()
        },
        kind: failure.kind,
        message: failure.message,
        code,
        origin: None,
    }))
}

impl Exchange {
    /// When a client that does not read a stream must have its answer: shortly before its own timeout. Python and
    /// JavaScript SDKs state theirs, in seconds, in a header.
    pub(super) fn patience(headers: &HeaderMap, started: Micros) -> Micros {
        let stated = ["x-stainless-read-timeout", "x-stainless-timeout"]
            .iter()
            .filter_map(|name| headers.get(*name)?.to_str().ok()?.parse::<f64>().ok())
            .find(|seconds| *seconds > 0.0 && *seconds < 86_400.0)
            .map_or(CLIENT_TIMEOUT_US, |seconds| (seconds * 1e6) as u64);
        // Of a short timeout a fifth is margin enough.
        started + stated - MARGIN_US.min(stated / 5)
    }

    /// Waits until something is to be done though no byte came, and does it: a clock, a threshold, an answer, a deadline.
    pub(super) async fn stir(&mut self) {
        let bell = self.bell.clone();
        let stopping = self.app.stopping.clone();
        let waits = !self.parked.is_empty() && self.fate.is_none();
        tokio::select! {
            () = bell.notified() => {}
            // People may take longer than Airlock goes on: the client is told, not cut, and its repetition waits elsewhere.
            () = stopping.cancelled(), if waits => return self.unanswered("Airlock stops"),
            () = until(self.next_due()) => {}
        }
        self.hear();
        self.tick();
    }

    /// Waits while anything is parked and nothing was decided.
    pub(super) async fn wait_for_answers(&mut self) {
        while !self.parked.is_empty() && self.fate.is_none() {
            self.held.notify_one();
            if !self.view.streamed && now() >= self.patience {
                return self.unanswered("the client's own timeout");
            }
            let patience = (!self.view.streamed).then_some(self.patience);
            tokio::select! {
                biased;
                () = self.stir() => {}
                () = until(patience) => {}
            }
        }
    }
}
