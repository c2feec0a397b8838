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
        Some(Given::Cut) | Some(Given::Bytes(_)) => respond::labelled(respond::cut(), &label),
        None => {
            driven.begin();
            if !driven.comment.is_empty() {
                driven.hand.slot().given = Some(Given::Bytes(driven.comment.clone()));
            }
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
            // An empty chunk would end the response.
            if !driven.comment.is_empty() {
                return Poll::Ready(Some(Ok(driven.comment.clone())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use airlock_core::dialect::Dialect as _;
    use airlock_core::dialect::openai_chat::OpenAiChat;
    use futures_util::StreamExt as _;
    use http_body_util::BodyExt as _;
    use tokio::sync::Notify;

    use super::*;

    const EVERY: Duration = Duration::from_secs(15);

    fn client(streamed: bool) -> Client {
        Client {
            streamed,
            every: EVERY,
            speaker: OpenAiChat.inbound(),
            label: "s/1".to_owned(),
        }
    }

    fn comment() -> Bytes {
        OpenAiChat.inbound().keep_alive()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_for_long_is_given_a_comment_between_two_frames() {
        let (hand, go) = (Hand::default(), Arc::new(Notify::new()));
        let (giving, goes) = (hand.clone(), Arc::clone(&go));
        let driving = async move {
            let head = Response::new(());
            giving.give(Given::Head(head)).await;
            giving.give(Given::Bytes(Bytes::from_static(b"one"))).await;
            goes.notified().await;
            giving.give(Given::Bytes(Bytes::from_static(b"two"))).await;
        };
        let mut body = response(driving, hand, client(true))
            .await
            .into_body()
            .into_data_stream();
        let began = Instant::now();
        assert_eq!(body.next().await.unwrap().unwrap(), "one");
        assert_eq!(began.elapsed(), Duration::ZERO);
        for n in 1..=2 {
            assert_eq!(body.next().await.unwrap().unwrap(), comment());
            assert_eq!(began.elapsed(), EVERY * n);
        }
        go.notify_one();
        assert_eq!(body.next().await.unwrap().unwrap(), "two");
        assert!(body.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_request_is_told_that_its_answer_has_begun_and_then_its_error_in_the_stream() {
        let (hand, go) = (Hand::default(), Arc::new(Notify::new()));
        let (giving, goes) = (hand.clone(), Arc::clone(&go));
        let driving = async move {
            giving.hold();
            goes.notified().await;
            assert!(giving.has_begun(), "the driver can tell");
            giving
                .give(Given::Bytes(Bytes::from_static(b"error")))
                .await;
        };
        let began = Instant::now();
        let told = response(driving, hand, client(true)).await;
        assert_eq!(began.elapsed(), EVERY);
        assert_eq!(told.headers()["x-airlock-exchange"], "s/1");
        let mut body = told.into_body().into_data_stream();
        assert_eq!(body.next().await.unwrap().unwrap(), comment());
        go.notify_one();
        assert_eq!(body.next().await.unwrap().unwrap(), "error");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_asked_for_a_whole_answer_is_told_nothing_before_it() {
        let hand = Hand::default();
        let giving = hand.clone();
        let driving = async move {
            giving.hold();
            tokio::time::sleep(EVERY * 9).await;
            giving
                .give(Given::Response(Response::new(Body::from("whole"))))
                .await;
        };
        let began = Instant::now();
        let told = response(driving, hand, client(false)).await;
        assert_eq!(began.elapsed(), EVERY * 9);
        let bytes = told.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(bytes, "whole");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_ends_the_call_at_once() {
        struct Dropped(Arc<Mutex<bool>>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                *self.0.lock().unwrap() = true;
            }
        }
        let dropped = Arc::new(Mutex::new(false));
        let (hand, mark) = (Hand::default(), Dropped(Arc::clone(&dropped)));
        let giving = hand.clone();
        let driving = async move {
            let _mark = mark;
            giving.give(Given::Head(Response::new(()))).await;
            std::future::pending::<()>().await;
        };
        let told = response(driving, hand, client(true)).await;
        assert!(!*dropped.lock().unwrap());
        drop(told);
        assert!(*dropped.lock().unwrap());
    }
}
