//! Moves a stream's bytes from the upstream through the exchange to the client.
//!
//! There is no task and no channel between the two connections: the client's connection asks for the next bytes, and that
//! reads the upstream's. When the client goes away this is dropped, and with it the upstream call, at once.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use super::call::Call;
use super::conduct::{Exchange, Fate};
use super::hold::Ready;
use super::round::Turn;
use super::waiting::COMMENT;
use super::{until, upstream_failed};
use crate::contract::types::BlockMode;
use crate::dialect::ClientError;
use crate::dialect::framing::Framing;
use crate::event::clock::now;
use crate::event::{FailureKind, Micros, Status};
use crate::upstream::Body;

/// A stream on its way.
pub(super) struct Relay {
    call: Call,
    upstream: Option<Body>,
    framing: Framing,
    out: VecDeque<Bytes>,
    /// An upstream is to be asked for what comes next.
    asks: bool,
    /// The connection is to be cut once `out` is empty.
    abort: bool,
    /// What was decided is to be carried out.
    decided: bool,
    /// When the client last read something.
    quiet_since: Micros,
}

/// What is next for a client.
enum Step {
    Give(Bytes),
    /// The connection ends without a word.
    Cut,
    /// Nothing before an upstream was asked.
    Ask,
}

/// A relay between two reads of its client.
enum State {
    Relaying(Box<Relay>),
    /// Asks an upstream for the next part of the answer, which may take as long as a first call.
    Asking {
        asking: Pin<Box<dyn Future<Output = Box<Relay>> + Send>>,
        /// When its client is given a comment, and how long after that the next, us.
        comment: Micros,
        every: Micros,
    },
    Cut,
}

impl State {
    async fn next(mut self) -> Option<(io::Result<Bytes>, State)> {
        loop {
            self = match self {
                State::Relaying(mut relay) => match relay.next().await? {
                    Step::Give(bytes) => return Some((Ok(bytes), State::Relaying(relay))),
                    Step::Cut => {
                        let cut =
                            io::Error::new(io::ErrorKind::ConnectionAborted, "cut by a policy");
                        return Some((Err(cut), State::Cut));
                    }
                    Step::Ask => {
                        let (comment, every) = (relay.comment_due(), relay.keep_alive());
                        let asking = Box::pin(async move {
                            relay.ask().await;
                            relay
                        });
                        State::Asking {
                            asking,
                            comment,
                            every,
                        }
                    }
                },
                State::Asking {
                    mut asking,
                    comment,
                    every,
                } => tokio::select! {
                    biased;
                    mut relay = &mut asking => {
                        relay.quiet_since = now();
                        State::Relaying(relay)
                    }
                    () = until(Some(comment)) => {
                        let comment = now() + every;
                        return Some((Ok(COMMENT), State::Asking { asking, comment, every }));
                    }
                },
                State::Cut => return None,
            };
        }
    }
}

impl Relay {
    pub(super) fn new(call: Call, upstream: Body) -> Relay {
        Relay::with(call, Some(upstream))
    }

    fn with(call: Call, upstream: Option<Body>) -> Relay {
        Relay {
            call,
            upstream,
            framing: Framing::default(),
            out: VecDeque::new(),
            asks: false,
            abort: false,
            decided: false,
            quiet_since: now(),
        }
    }

    /// A relay without an upstream, for bytes that Airlock itself made.
    pub(super) fn local(call: Call, frames: Bytes) -> Relay {
        let mut relay = Relay::with(call, None);
        relay.take(frames);
        relay
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        futures_util::stream::unfold(State::Relaying(Box::new(self)), State::next)
    }

    async fn next(&mut self) -> Option<Step> {
        loop {
            if let Some(bytes) = self.out.pop_front() {
                self.quiet_since = now();
                return Some(Step::Give(bytes));
            }
            if std::mem::take(&mut self.abort) {
                return Some(Step::Cut);
            }
            if std::mem::take(&mut self.decided) {
                self.conclude().await;
                continue;
            }
            if std::mem::take(&mut self.asks) {
                return Some(Step::Ask);
            }
            let waits = self.call.exchange.waits();
            let comment = self.comment_due();
            let Some(upstream) = &mut self.upstream else {
                if self.call.exchange.is_over() {
                    return None;
                }
                if waits {
                    tokio::select! {
                        biased;
                        () = self.call.exchange.stir() => {}
                        () = until(Some(comment)) => {
                            self.out.push_back(COMMENT);
                            continue;
                        }
                    }
                    self.pass().await;
                } else {
                    self.finish().await;
                }
                continue;
            };
            tokio::select! {
                biased;
                chunk = upstream.next(), if !self.call.exchange.is_full() => match chunk {
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
                () = self.call.exchange.stir() => {}
                () = until(Some(comment)) => {
                    self.out.push_back(COMMENT);
                    continue;
                }
            }
            self.pass().await;
        }
    }

    /// When a client that has read nothing is given a comment, whatever keeps it waiting: a model that thinks, a call whose
    /// arguments are held, a person. What is given is whole frames, so a comment stands between two.
    fn comment_due(&self) -> Micros {
        self.quiet_since + self.keep_alive()
    }

    /// How long a client reads nothing at most, us.
    fn keep_alive(&self) -> Micros {
        self.call.settings.config.gateway.keep_alive_ms * 1_000
    }

    /// Bytes arrived: every frame that they complete is judged.
    fn take(&mut self, bytes: Bytes) {
        let mut decoded = Vec::new();
        let framed = self.framing.push(bytes, &mut decoded);
        self.call.exchange.receive(decoded);
        if self.call.exchange.fate.is_some() {
            return;
        }
        if let Err(error) = framed {
            self.broke(error.to_string(), FailureKind::Upstream);
        }
    }

    /// The upstream said everything: the rest is judged and leaves.
    async fn finish(&mut self) {
        self.upstream = None;
        let mut rest = Vec::new();
        self.framing.finish(&mut rest);
        self.call.exchange.receive(rest);
        let exchange = &mut self.call.exchange;
        if exchange.fate.is_none() && !exchange.is_whole() && exchange.told_error() {
            // The upstream said itself what went wrong, and the client has it.
            exchange.finished();
            return exchange.end(Status::Failed);
        }
        if exchange.fate.is_none() && !exchange.is_whole() {
            let message = "the upstream ended the stream before its last frame".to_owned();
            return self.broke(message, FailureKind::Connection);
        }
        exchange.saw_end = true;
        self.pass().await;
    }

    /// Lets go what may leave, as far as the session's budget reaches, and carries out what was decided.
    async fn pass(&mut self) {
        let exchange = &mut self.call.exchange;
        if exchange.is_over() {
            return;
        }
        if exchange.fate.is_none() && exchange.failed_unheard() {
            self.upstream = None;
            if self.call.fall_back() {
                self.asks = true;
                return;
            }
            // What policies make of the failure comes before the client is told of it.
            self.call.exchange.finished();
        }
        let exchange = &mut self.call.exchange;
        // At the last frame the response is judged without waiting for the connection to end.
        if exchange.saw_end {
            match exchange.turn() {
                Turn::Ended if exchange.fate.is_none() => exchange.finished(),
                Turn::Ended | Turn::Waits => {}
                Turn::Again => {
                    exchange.next_round();
                    self.upstream = None;
                    self.asks = true;
                }
            }
        }
        let exchange = &mut self.call.exchange;
        let keeps = match &exchange.fate {
            None | Some(Fate::Explain(_)) => true,
            Some(Fate::Stop { keep_held, .. }) => *keep_held,
            Some(_) => false,
        };
        if keeps {
            let mut ready = Vec::new();
            exchange.ready(&mut ready);
            self.lease(ready).await;
        }
        if self.call.exchange.fate.is_some() {
            self.conclude().await;
        } else if self.upstream.is_none() && !self.asks {
            self.end_of_upstream();
        }
    }

    /// Everything arrived, and nothing is asked for any more.
    fn end_of_upstream(&mut self) {
        let exchange = &mut self.call.exchange;
        if exchange.judged_response && !exchange.waits() && !exchange.is_over() {
            let status = exchange.own_status();
            exchange.end(status);
        }
    }

    /// Carries out the exchange's fate.
    async fn conclude(&mut self) {
        self.upstream = None;
        self.asks = false;
        if let Some(Fate::Retry {
            upstream,
            model,
            after_ms,
        }) = self.call.exchange.fate.clone()
        {
            if !self.call.may_retry() {
                let error = self.call.too_many_retries();
                return self.refuse(&error);
            }
            self.call.exchange.fate = None;
            self.call.exchange.start_over();
            self.call.again(upstream, model, after_ms).await;
            self.asks = true;
            return;
        }
        let (bytes, abort) = self.call.exchange.conclude_stream();
        self.out.extend(Some(bytes).filter(|b| !b.is_empty()));
        self.abort = abort;
    }

    /// Asks an upstream for the next part of the answer.
    async fn ask(&mut self) {
        match self.call.go_on().await {
            Ok(Some(body)) => {
                self.framing = Framing::default();
                self.upstream = Some(body);
            }
            Ok(None) => self.conclude().await,
            Err(error) => self.refuse(&error),
        }
    }

    /// Ends the stream with an error that the client's SDK raises at.
    fn refuse(&mut self, error: &ClientError) {
        self.out.push_back(self.call.exchange.error_frame(error));
        self.call.exchange.end(Status::Failed);
    }

    /// Takes the tokens of what is ready from the session's ledger; where it ends, the generation ends.
    async fn lease(&mut self, ready: Vec<Ready>) {
        if ready.is_empty() {
            return;
        }
        let wanted: u64 = ready.iter().map(|r| u64::from(r.tokens)).sum();
        let granted = match self.call.exchange.lease(wanted).await {
            Ok(granted) => granted,
            Err(error) => {
                self.call.exchange.over_budget(&error);
                0
            }
        };
        let enough = granted >= wanted;
        let mut joined = BytesMut::new();
        let single = ready.len() == 1;
        let affordable = affordable(&ready, granted);
        for frame in ready.into_iter().take(affordable) {
            self.call.exchange.delivered(&frame);
            if !single {
                joined.extend_from_slice(&frame.bytes);
            } else if !frame.bytes.is_empty() {
                self.out.push_back(frame.bytes);
            }
        }
        if !joined.is_empty() {
            self.out.push_back(joined.freeze());
        }
        if !enough {
            self.call.exchange.budget_ended();
        }
    }

    /// The upstream's stream cannot go on. A client that has read nothing is served from elsewhere where that is possible;
    /// else it is told in a frame that its SDK raises at.
    fn broke(&mut self, message: String, kind: FailureKind) {
        self.upstream = None;
        let failure = self.call.exchange.broke(message, kind);
        let unheard = self.call.exchange.fate.is_none() && !self.call.exchange.is_heard();
        if unheard && self.call.fall_back() {
            self.asks = true;
            return;
        }
        let exchange = &mut self.call.exchange;
        exchange.finished();
        match exchange.fate {
            Some(Fate::Retry { .. }) if unheard => self.decided = true,
            Some(Fate::Block {
                mode: BlockMode::Abort,
                ..
            }) => {
                self.abort = true;
                exchange.end(Status::Failed);
            }
            _ => self.refuse(&upstream_failed(failure.kind, failure.message)),
        }
    }
}

/// How many frames the granted tokens reach for. A tool call goes whole or not at all: agents mend one that was cut.
fn affordable(ready: &[Ready], mut granted: u64) -> usize {
    let mut whole = 0;
    for (at, frame) in ready.iter().enumerate() {
        let tokens = u64::from(frame.tokens);
        if tokens > granted {
            return whole;
        }
        granted -= tokens;
        if !frame.in_a_call {
            whole = at + 1;
        }
    }
    // What follows of a call that is not all here comes with tokens of its own.
    ready.len()
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
            () = exchange.stir() => {
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
