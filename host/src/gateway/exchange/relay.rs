//! Moves a stream's bytes from the upstream through the exchange to the client.
//!
//! There is no task and no channel between the two connections: the client's connection asks for the next bytes, and that
//! reads the upstream's. When the client goes away this is dropped, and with it the upstream call, at once.

use std::collections::VecDeque;
use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use super::conduct::{Exchange, Fate};
use super::hold::Ready;
use super::until;
use crate::contract::types::BlockMode;
use crate::gateway::dialect::ClientError;
use crate::gateway::sse::Framer;
use crate::session::event::{FailureKind, Status};
use crate::upstream::Body;

/// A stream on its way.
pub(super) struct Relay {
    exchange: Exchange,
    upstream: Option<Body>,
    framer: Framer,
    out: VecDeque<Bytes>,
    /// The connection is to be cut once `out` is empty.
    abort: bool,
}

impl Relay {
    pub(super) fn new(exchange: Exchange, upstream: Body) -> Relay {
        Relay {
            exchange,
            upstream: Some(upstream),
            framer: Framer::default(),
            out: VecDeque::new(),
            abort: false,
        }
    }

    /// A relay without an upstream, for bytes that Airlock itself made.
    pub(super) fn local(exchange: Exchange, frames: Bytes) -> Relay {
        let mut relay = Relay {
            exchange,
            upstream: None,
            framer: Framer::default(),
            out: VecDeque::new(),
            abort: false,
        };
        relay.take(frames);
        relay
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        futures_util::stream::unfold(self, |mut relay| async move {
            let item = relay.next().await?;
            Some((item, relay))
        })
    }

    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if let Some(bytes) = self.out.pop_front() {
                return Some(Ok(bytes));
            }
            if std::mem::take(&mut self.abort) {
                return Some(Err(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "cut by a policy",
                )));
            }
            let Some(upstream) = &mut self.upstream else {
                if self.exchange.is_over() {
                    return None;
                }
                // Only for a local answer, which arrived whole.
                self.finish().await;
                continue;
            };
            tokio::select! {
                biased;
                chunk = upstream.next() => match chunk {
                    Some(Ok(bytes)) => self.take(bytes),
                    Some(Err(error)) => {
                        self.broke(error.to_string(), error.kind());
                        continue;
                    }
                    None => {
                        self.finish().await;
                        continue;
                    }
                },
                () = until(self.exchange.next_due()) => self.exchange.tick(),
            }
            self.pass().await;
        }
    }

    /// Bytes arrived: every frame that they complete is judged.
    fn take(&mut self, bytes: Bytes) {
        let mut frames = Vec::new();
        let framed = self.framer.push(bytes, &mut frames);
        for frame in frames {
            self.exchange.frame(frame);
            if self.exchange.fate.is_some() {
                return;
            }
        }
        if let Err(error) = framed {
            self.broke(error.to_string(), FailureKind::Upstream);
        }
    }

    /// The upstream said everything: the rest is judged and leaves.
    async fn finish(&mut self) {
        self.upstream = None;
        if let Some(rest) = self.framer.finish() {
            self.exchange.frame(rest);
        }
        if self.exchange.fate.is_none() && !self.exchange.is_whole() && self.exchange.told_error() {
            // The upstream said itself what went wrong, and the client has it.
            self.exchange.finished();
            return self.exchange.end(Status::Failed);
        }
        if self.exchange.fate.is_none() && !self.exchange.is_whole() {
            let message = "the upstream ended the stream before its last frame".to_owned();
            return self.broke(message, FailureKind::Connection);
        }
        if self.exchange.fate.is_none() {
            self.exchange.finished();
        }
        self.pass().await;
        if !self.exchange.is_over() {
            let status = self.exchange.own_status();
            self.exchange.end(status);
        }
    }

    /// Lets go what may leave, as far as the session's budget reaches, and carries out what was decided.
    async fn pass(&mut self) {
        if self.exchange.is_over() {
            return;
        }
        // At the last frame the response is judged without waiting for the connection to end.
        if self.exchange.fate.is_none() && self.exchange.saw_end() {
            self.exchange.finished();
        }
        let blocked = matches!(self.exchange.fate, Some(Fate::Block { .. }));
        let discards = matches!(
            self.exchange.fate,
            Some(Fate::Stop {
                keep_held: false,
                ..
            })
        );
        if !blocked && !discards {
            let mut ready = Vec::new();
            self.exchange.ready(&mut ready);
            self.lease(ready).await;
        }
        if self.exchange.fate.is_some() {
            self.upstream = None;
            let (bytes, abort) = self.exchange.conclude_stream();
            self.out.extend(Some(bytes).filter(|b| !b.is_empty()));
            self.abort = abort;
        }
    }

    /// Takes the tokens of what is ready from the session's ledger; where it ends, the generation ends.
    async fn lease(&mut self, ready: Vec<Ready>) {
        if ready.is_empty() {
            return;
        }
        let wanted: u64 = ready.iter().map(|r| u64::from(r.tokens)).sum();
        let mut granted = match self.exchange.lease(wanted).await {
            Ok(granted) => granted,
            Err(error) => {
                self.exchange.over_budget(&error);
                0
            }
        };
        let enough = granted >= wanted;
        let mut joined = BytesMut::new();
        let single = ready.len() == 1;
        for frame in ready {
            let tokens = u64::from(frame.tokens);
            if tokens > granted {
                break;
            }
            granted -= tokens;
            self.exchange.delivered(&frame);
            if single {
                self.out.push_back(frame.bytes);
            } else {
                joined.extend_from_slice(&frame.bytes);
            }
        }
        if !joined.is_empty() {
            self.out.push_back(joined.freeze());
        }
        if !enough {
            self.exchange.budget_ended();
        }
    }

    /// The upstream's stream cannot go on: the client is told in a frame that its SDK raises at.
    fn broke(&mut self, message: String, kind: FailureKind) {
        self.upstream = None;
        let failure = self.exchange.broke(message, kind);
        if let Some(Fate::Block {
            mode: BlockMode::Abort,
            ..
        }) = self.exchange.fate
        {
            self.abort = true;
        } else {
            let error = ClientError {
                status: 502,
                kind: failure.kind,
                message: failure.message,
                code: "airlock_upstream".to_owned(),
            };
            self.out.push_back(self.exchange.error_frame(&error));
        }
        self.exchange.end(Status::Failed);
    }
}

/// A whole body, bounded.
///
/// # Errors
/// What broke, or that it is too long.
pub(super) async fn collect(mut body: Body, limit: usize) -> Result<Bytes, String> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await {
        append(&mut bytes, &chunk.map_err(|e| e.to_string())?, limit)?;
    }
    Ok(bytes.freeze())
}

/// As [`collect`], with an eye on the clock: `None` when a policy decided meanwhile that nobody waits for it.
pub(super) async fn collect_ticking(
    exchange: &mut Exchange,
    mut body: Body,
    limit: usize,
) -> Result<Option<Bytes>, String> {
    let mut bytes = BytesMut::new();
    loop {
        tokio::select! {
            biased;
            chunk = body.next() => match chunk {
                Some(chunk) => append(&mut bytes, &chunk.map_err(|e| e.to_string())?, limit)?,
                None => return Ok(Some(bytes.freeze())),
            },
            () = until(exchange.next_due()) => {
                exchange.tick();
                if exchange.fate.is_some() {
                    return Ok(None);
                }
            }
        }
    }
}

fn append(bytes: &mut BytesMut, chunk: &Bytes, limit: usize) -> Result<(), String> {
    if bytes.len() + chunk.len() > limit {
        return Err(format!(
            "the upstream's answer is longer than {limit} bytes"
        ));
    }
    bytes.extend_from_slice(chunk);
    Ok(())
}
