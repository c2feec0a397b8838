//! The body of an answer as it arrives, under its timeouts.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::UpstreamError;
use super::coding::{CodingError, Decoder};
use super::error::reason;
use super::gate::Pass;

/// Bytes of an answer, as they were read, without any content coding. Dropping it ends the call: over HTTP/1 the
/// connection is closed, over HTTP/2 the stream is reset. After an error it ends.
pub struct Body {
    incoming: Option<Incoming>,
    /// Undoes a coding that the upstream put on.
    decoder: Option<Decoder>,
    /// Bytes that were read and not yet taken.
    ready: VecDeque<Bytes>,
    upstream: Arc<str>,
    idle: Duration,
    total: Duration,
    silence: Pin<Box<Sleep>>,
    /// Whether `silence` runs. It counts the upstream's silence alone: not the time in which nobody asked for more.
    waiting: bool,
    end: Pin<Box<Sleep>>,
    /// The call's place at the upstream; given back with the last byte.
    pass: Option<Pass>,
}

/// A body of which the head was read.
pub(super) struct Arriving {
    /// What has not been read.
    pub incoming: Incoming,
    /// Undoes its coding.
    pub decoder: Option<Decoder>,
    /// What has, and bears no coding.
    pub read: Vec<Bytes>,
}

impl Body {
    /// `started` is the beginning of the attempt, from which `total` counts.
    pub(super) fn new(
        arriving: Arriving,
        upstream: Arc<str>,
        idle: Duration,
        total: Duration,
        started: Instant,
        pass: Pass,
    ) -> Self {
        Self {
            incoming: Some(arriving.incoming),
            decoder: arriving.decoder,
            ready: arriving
                .read
                .into_iter()
                .filter(|bytes| !bytes.is_empty())
                .collect(),
            upstream,
            idle,
            total,
            silence: Box::pin(tokio::time::sleep(idle)),
            waiting: false,
            end: Box::pin(tokio::time::sleep_until(started + total)),
            pass: Some(pass),
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UpstreamError>>> {
        if let Some(bytes) = self.ready.pop_front() {
            return Poll::Ready(Some(Ok(bytes)));
        }
        if self.incoming.is_some()
            && let Some(undone) = self.undone()
        {
            return Poll::Ready(Some(undone));
        }
        if self.end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(UpstreamError::Total {
                upstream: self.upstream.to_string(),
                after: self.total,
            })));
        }
        loop {
            let Some(incoming) = &mut self.incoming else {
                return Poll::Ready(None);
            };
            match Pin::new(incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.waiting = false;
                    // Trailers say nothing in any dialect.
                    let bytes = frame.into_data().unwrap_or_default();
                    match &mut self.decoder {
                        Some(decoder) => {
                            decoder.push(bytes);
                            if let Some(undone) = self.undone() {
                                return Poll::Ready(Some(undone));
                            }
                        }
                        None if bytes.is_empty() => {}
                        None => return Poll::Ready(Some(Ok(bytes))),
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(UpstreamError::Broken {
                        upstream: self.upstream.to_string(),
                        reason: reason(&error),
                    })));
                }
                Poll::Ready(None) => {
                    let end = self.decoder.take().map(|mut decoder| decoder.finish());
                    return Poll::Ready(match end {
                        Some(Err(error)) => Some(Err(self.undecodable(&error))),
                        _ => None,
                    });
                }
                Poll::Pending => break,
            }
        }
        if !self.waiting {
            self.waiting = true;
            self.silence.as_mut().reset(Instant::now() + self.idle);
        }
        self.silence.as_mut().poll(cx).map(|()| {
            Some(Err(UpstreamError::Idle {
                upstream: self.upstream.to_string(),
                after: self.idle,
            }))
        })
    }
}

impl Body {
    /// More of what arrived, without its coding; `None` if there is none.
    fn undone(&mut self) -> Option<Result<Bytes, UpstreamError>> {
        let next = self.decoder.as_mut()?.pull();
        next.map_err(|error| self.undecodable(&error)).transpose()
    }

    fn undecodable(&self, error: &CodingError) -> UpstreamError {
        UpstreamError::Broken {
            upstream: self.upstream.to_string(),
            reason: error.to_string(),
        }
    }
}

impl Stream for Body {
    type Item = Result<Bytes, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.poll_bytes(cx);
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            self.incoming = None;
            self.pass = None;
        }
        next
    }
}
