//! Between the driver of a call and its client: what is given, one thing at a time, and the connection kept alive meanwhile.
//!
//! There is no task and no channel between the two connections: the client's connection asks for the next bytes, that drives
//! the call, and the call reads the upstream. When the client goes away all of it is dropped, and with it the upstream call,
//! at once; a client that does not read stops the reading.
//!
//! Proxies and clients give up on a silent connection. A client of a stream that has read nothing for a while is given a
//! comment, whatever keeps it waiting: a model that thinks, a call whose arguments are held, a person. What is given is whole
//! frames, so a comment stands between two; every SDK of this dialect skips them (measured with `openai` 3.52). One whose request
//! itself is held for longer than a moment is told that the answer has begun, and reads comments until it really does.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::Stream;
use http::Response;
use tokio::time::{Instant, Sleep};

use super::respond;
use airlock_core::dialect::Inbound;

/// What the driver gives.
pub enum Given {
    /// The head of a stream.
    Head(Response<()>),
    /// Whole frames of it.
    Bytes(Bytes),
    /// All of a response.
    Response(Response<Body>),
    /// The connection is cut without a word.
    Cut,
}

/// The driver's end.
#[derive(Clone, Default)]
pub struct Hand(Arc<Mutex<Slot>>);

#[derive(Default)]
struct Slot {
    given: Option<Given>,
    /// The call is held for somebody's answer, or was.
    held: bool,
    /// The client has the head of a stream.
    begun: bool,
}

impl Hand {
    /// Gives one thing. Done when the client has taken it.
    pub async fn give(&self, given: Given) {
        let mut given = Some(given);
        poll_fn(|_| {
            let mut slot = self.slot();
            if let Some(given) = given.take() {
                slot.given = Some(given);
                // Whoever takes it polls again, as both are one future.
                return Poll::Pending;
            }
            match slot.given {
                Some(_) => Poll::Pending,
                None => Poll::Ready(()),
            }
        })
        .await;
    }

    /// The call is held for somebody's answer.
    pub fn hold(&self) {
        self.slot().held = true;
    }

    /// Whether the client has the head of a stream.
    pub fn has_begun(&self) -> bool {
        self.slot().begun
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client of a call.
pub struct Client {
    /// It asked for a stream.
    pub streamed: bool,
    /// How long it reads nothing at most.
    pub every: Duration,
    /// Its wire API.
    pub speaker: &'static dyn Inbound,
    /// Session and exchange of its call.
    pub label: String,
}

/// The client's end: a call that is driven by being read.
struct Driven {
    driving: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    hand: Hand,
    every: Duration,
    /// What the client reads while it waits.
    comment: Bytes,
    quiet_since: Instant,
    timer: Pin<Box<Sleep>>,
}

/// The response of a call. A client of a stream reads a comment each time that it has read nothing for `every`.
pub async fn response(
    driving: impl Future<Output = ()> + Send + 'static,
    hand: Hand,
    client: Client,
) -> Response<Body> {
    let Client {
        streamed,
        every,
        speaker,
        label,
    } = client;
    let mut driven = Driven {
        driving: Some(Box::pin(driving)),
        hand,
        every,
        comment: speaker.keep_alive(),
        quiet_since: Instant::now(),
        timer: Box::pin(tokio::time::sleep(every)),
    };
    let mut held = false;
    let first = poll_fn(|cx| driven.poll_first(cx, streamed, &mut held)).await;
    match first {
        Some(Given::Head(head)) => {
            driven.begin();
            head.map(|()| Body::from_stream(driven))
        }
        Some(Given::Response(response)) => response,
        Some(Given::Cut) | Some(Given::Bytes(_)) => respond::cut(),
        None => {
            driven.begin();
            driven.hand.slot().given = Some(Given::Bytes(driven.comment.clone()));
            respond::stream_head(speaker, &label).map(|()| Body::from_stream(driven))
        }
    }
}

impl Driven {
    fn begin(&mut self) {
        self.hand.slot().begun = true;
        self.quiet_since = Instant::now();
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(driving) = &mut self.driving
            && driving.as_mut().poll(cx).is_ready()
        {
            self.driving = None;
        }
    }

    /// The first thing that is given; `None` when the client is told meanwhile that it waits.
    fn poll_first(
        &mut self,
        cx: &mut Context<'_>,
        streamed: bool,
        held: &mut bool,
    ) -> Poll<Option<Given>> {
        self.drive(cx);
        let mut slot = self.hand.slot();
        if let Some(given) = slot.given.take() {
            return Poll::Ready(Some(given));
        }
        if self.driving.is_none() {
            return Poll::Ready(Some(Given::Cut));
        }
        if streamed && slot.held && !*held {
            *held = true;
            self.timer.as_mut().reset(Instant::now() + self.every);
        }
        if *held && self.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}

impl Stream for Driven {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let driven = self.get_mut();
        loop {
            let waiting = driven.hand.slot().given.is_some();
            if !waiting {
                driven.drive(cx);
            }
            let given = driven.hand.slot().given.take();
            match given {
                Some(Given::Bytes(bytes)) => {
                    driven.quiet_since = Instant::now();
                    return Poll::Ready(Some(Ok(bytes)));
                }
                // The client has one already.
                Some(Given::Head(_)) => continue,
                Some(Given::Cut | Given::Response(_)) => {
                    driven.driving = None;
                    return Poll::Ready(Some(Err(respond::cut_off())));
                }
                None if driven.driving.is_none() => return Poll::Ready(None),
                None => {}
            }
            // The timer is set anew only when it rings: a chunk costs a look at the clock.
            if driven.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let due = driven.quiet_since + driven.every;
            let now = Instant::now();
            if due > now {
                driven.timer.as_mut().reset(due);
                continue;
            }
            driven.quiet_since = now;
            driven.timer.as_mut().reset(now + driven.every);
            return Poll::Ready(Some(Ok(driven.comment.clone())));
        }
    }
}
