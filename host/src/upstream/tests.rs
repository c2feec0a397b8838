//! The client against a server that misbehaves on order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body as AxumBody;
use axum::extract::State;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Method, Request, Response as HttpResponse, StatusCode, Uri};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

use super::*;
use crate::upstream::key::KeyRef;
use crate::upstream::settings::UpstreamConfig;
use airlock_core::event::target::Target;

/// What the server does with one request.
enum Play {
    /// An answer at once.
    Answer(u16, &'static [(&'static str, &'static str)], &'static str),
    /// Headers after which nothing comes; the sender is told when the body is dropped.
    OneChunkThenSilence(mpsc::Sender<()>),
    /// Nothing at all.
    Silence,
    /// A chunk, then, when told to, the connection breaks.
    Break(Arc<Notify>),
}

/// A request as the server saw it.
struct Seen {
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Clone)]
struct Stage {
    plays: Arc<Mutex<VecDeque<Play>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

struct Told(mpsc::Sender<()>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

async fn play(State(stage): State<Stage>, request: Request<AxumBody>) -> HttpResponse<AxumBody> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    stage.seen.lock().unwrap().push(Seen {
        uri: head.uri,
        headers: head.headers,
        body,
    });
    let play = stage
        .plays
        .lock()
        .unwrap()
        .pop_front()
        .expect("more requests than plays");
    match play {
        Play::Answer(status, headers, body) => {
            let mut response = HttpResponse::builder().status(status);
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            response.body(AxumBody::from(body)).unwrap()
        }
        Play::OneChunkThenSilence(tell) => {
            let told = Told(tell);
            let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"first"))]);
            let rest = stream::pending().map(move |never: Bytes| {
                let _keep = &told;
                Ok(never)
            });
            HttpResponse::new(AxumBody::from_stream(first.chain(rest)))
        }
        Play::Silence => std::future::pending().await,
        Play::Break(now) => {
            let first = stream::iter([Ok(Bytes::from_static(b"first"))]);
            let cut = stream::once(async move {
                now.notified().await;
                Err(std::io::Error::other("cut"))
            });
            HttpResponse::new(AxumBody::from_stream(first.chain(cut)))
        }
    }
}

/// A server that plays these, one a request, and its base URL.
async fn server(plays: Vec<Play>) -> (Stage, UpstreamConfig) {
    let stage = Stage {
        plays: Arc::new(Mutex::new(plays.into())),
        seen: Arc::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let router = Router::new().fallback(play).with_state(stage.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut config = UpstreamConfig::new(url.parse().unwrap());
    config.retry_backoff_ms = 1;
    (stage, config)
}

/// The address of a port at which nobody listens.
fn nobody() -> UpstreamConfig {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let mut config = UpstreamConfig::new(url.parse().unwrap());
    config.retry_backoff_ms = 1;
    config
}

struct Outcome {
    result: Result<Response, UpstreamError>,
    attempts: Vec<Attempt>,
}

impl Outcome {
    fn next(&self) -> Vec<&'static str> {
        let name = |attempt: &Attempt| match attempt.next {
            Next::Retry(_) => "retry",
            Next::Failover => "failover",
            Next::GiveUp => "give up",
        };
        self.attempts.iter().map(name).collect()
    }
}

async fn send(upstreams: Vec<UpstreamConfig>) -> Outcome {
    let mut configured = Vec::new();
    let mut targets = Vec::new();
    for (n, upstream) in upstreams.into_iter().enumerate() {
        targets.push(Target {
            upstream: format!("u{n}").into(),
            model: format!("m{n}").into(),
        });
        configured.push((format!("u{n}"), upstream));
    }
    let client = Upstreams::new(&configured, Arc::default()).unwrap();
    let request = Outgoing {
        method: Method::POST,
        path: "/chat/completions".into(),
        query: Some("x=1".into()),
        headers: [
            ("authorization", "Bearer client"),
            ("x-stainless-lang", "rust"),
        ]
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect(),
        tokens: 0,
    };
    let mut attempts = Vec::new();
    let body = |target: &Target| Bytes::from(format!("for {}", target.model)).into();
    let result = client
        .send(&targets, &request, &body, &mut |attempt| {
            attempts.push(attempt)
        })
        .await;
    Outcome { result, attempts }
}

async fn text(response: Response) -> String {
    let chunks: Vec<_> = response.body.map(|chunk| chunk.unwrap()).collect().await;
    String::from_utf8(chunks.concat()).unwrap()
}

#[tokio::test]
async fn a_call_arrives_as_it_was_meant_and_its_answer_returns_byte_for_byte() {
    let (stage, config) = server(vec![Play::Answer(
        200,
        &[("x-request-id", "r1")],
        "data: é\r\n\n",
    )])
    .await;
    let outcome = send(vec![config]).await;
    assert!(outcome.attempts.is_empty());
    let response = outcome.result.unwrap();
    assert_eq!((response.status, response.attempt), (StatusCode::OK, 1));
    assert_eq!(response.headers["x-request-id"], "r1");
    assert_eq!(text(response).await, "data: é\r\n\n");

    let seen = &stage.seen.lock().unwrap()[0];
    assert_eq!(seen.uri, "/v1/chat/completions?x=1");
    assert_eq!(seen.body, "for m0");
    assert_eq!(seen.headers["authorization"], "Bearer client");
    assert_eq!(seen.headers["x-stainless-lang"], "rust");
    assert_eq!(seen.headers["accept-encoding"], "identity");
}

#[tokio::test]
async fn an_own_key_goes_in_place_of_the_clients() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, "sk-own\n").unwrap();
    let (stage, mut config) = server(vec![Play::Answer(200, &[], "")]).await;
    config.key = Some(KeyRef::File(path));
    send(vec![config]).await.result.unwrap();
    assert_eq!(
        stage.seen.lock().unwrap()[0].headers["authorization"],
        "Bearer sk-own"
    );
}

#[tokio::test]
async fn an_own_key_goes_in_the_header_that_the_server_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, "sk-own\n").unwrap();
    let (stage, mut config) = server(vec![Play::Answer(200, &[], "")]).await;
    config.key = Some(KeyRef::File(path));
    config.header = Some("api-key".parse().unwrap());
    send(vec![config]).await.result.unwrap();
    let headers = stage.seen.lock().unwrap()[0].headers.clone();
    assert_eq!(headers["api-key"], "sk-own");
    assert!(!headers.contains_key("authorization"), "{headers:?}");
}

#[tokio::test]
async fn the_addresss_query_goes_along_and_counts_before_the_clients() {
    for (query, expected) in [
        ("", "/v1/chat/completions?x=1"),
        ("?api-version=2", "/v1/chat/completions?api-version=2&x=1"),
        ("?a=%20b&x=9", "/v1/chat/completions?a=%20b&x=9"),
    ] {
        let (stage, mut config) = server(vec![Play::Answer(200, &[], "")]).await;
        config.base_url = format!("{}/{query}", config.base_url).parse().unwrap();
        send(vec![config]).await.result.unwrap();
        assert_eq!(stage.seen.lock().unwrap()[0].uri, expected);
    }
}

#[tokio::test]
async fn a_missing_key_is_told_before_any_call() {
    let mut upstream = nobody();
    upstream.key = Some(KeyRef::Env("AIRLOCK_TEST_UNSET".into()));
    let configured = [("main".to_owned(), upstream)];
    let unusable = Upstreams::new(&configured, Arc::default()).err().unwrap();
    assert_eq!(unusable[0].key, "upstream.main.key");
    assert!(
        unusable[0].message.contains("AIRLOCK_TEST_UNSET"),
        "{unusable:?}"
    );
}

#[tokio::test]
async fn what_may_go_away_is_tried_again_and_reported() {
    for status in [408, 429, 500, 503, 529] {
        let (stage, config) = server(vec![
            Play::Answer(status, &[], "no"),
            Play::Answer(200, &[], "yes"),
        ])
        .await;
        let outcome = send(vec![config]).await;
        assert_eq!(outcome.next(), ["retry"], "{status}");
        let response = outcome.result.unwrap();
        assert_eq!(response.attempt, 2);
        assert_eq!(text(response).await, "yes");
        assert_eq!(stage.seen.lock().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn when_repetitions_are_spent_the_client_gets_the_upstreams_own_answer() {
    let (_, config) = server(vec![
        Play::Answer(500, &[], "one"),
        Play::Answer(429, &[], "two"),
    ])
    .await;
    let outcome = send(vec![config]).await;
    assert_eq!(outcome.next(), ["retry", "give up"]);
    let response = outcome.result.unwrap();
    assert_eq!(response.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(text(response).await, "two");
}

#[tokio::test]
async fn a_mistake_of_the_client_is_not_repeated_and_goes_nowhere_else() {
    let (_, config) = server(vec![Play::Answer(400, &[], "bad")]).await;
    let outcome = send(vec![config, nobody()]).await;
    assert_eq!(outcome.next(), ["give up"]);
    assert_eq!(outcome.result.unwrap().status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_upstreams_word_on_retrying_is_honoured() {
    let (_, config) = server(vec![Play::Answer(
        429,
        &[("x-should-retry", "false")],
        "no",
    )])
    .await;
    assert_eq!(send(vec![config]).await.next(), ["give up"]);
    let (_, config) = server(vec![Play::Answer(503, &[("retry-after", "3600")], "later")]).await;
    assert_eq!(send(vec![config]).await.next(), ["give up"]);
    let plays = vec![
        Play::Answer(503, &[("retry-after-ms", "3")], ""),
        Play::Answer(200, &[], ""),
    ];
    let (_, mut config) = server(plays).await;
    config.retry_backoff_ms = 10_000;
    assert_eq!(
        send(vec![config]).await.attempts[0].next,
        Next::Retry(Duration::from_millis(3))
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_goes_no_further() {
    for status in [300, 301, 302, 303, 304, 307, 308, 399] {
        let location = &[("location", "http://elsewhere.example/v1")];
        let (stage, config) = server(vec![Play::Answer(status, location, "moved")]).await;
        let (_, spare) = server(vec![Play::Answer(200, &[], "here")]).await;
        let outcome = send(vec![config.clone(), spare]).await;
        assert_eq!(outcome.next(), ["failover"], "{status}");
        assert_eq!(text(outcome.result.unwrap()).await, "here");
        let error = outcome.attempts[0].error.clone();
        assert_eq!(error.status(), StatusCode::BAD_GATEWAY);
        let said = error.to_string();
        assert!(
            said.contains("base_url in [upstream.u0]") && !said.contains("elsewhere"),
            "{said}"
        );
        assert_eq!(stage.seen.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_coding_nobody_asked_for_is_undone_or_refused_by_name() {
    let head: &[_] = &[
        ("content-encoding", "gzip"),
        ("etag", "\"1\""),
        ("content-digest", "x"),
        ("x-vendor", "v"),
    ];
    let (_, config) = server(vec![Play::Answer(200, head, "")]).await;
    let response = send(vec![config]).await.result.unwrap();
    let mut names: Vec<_> = response.headers.keys().map(|n| n.as_str()).collect();
    names.retain(|name| *name != "date");
    assert_eq!(names, ["x-vendor"]);
    let head: &[_] = &[("content-encoding", "rot13")];
    let (_, config) = server(vec![Play::Answer(200, head, "qngn")]).await;
    let error = send(vec![config]).await.result.err().unwrap();
    assert_eq!(error.status(), StatusCode::BAD_GATEWAY);
    assert!(error.to_string().contains("rot13"), "{error}");
    assert!(!error.retryable());
}

#[tokio::test]
async fn the_next_upstream_takes_over_with_its_own_model() {
    let (stage, config) = server(vec![Play::Answer(200, &[], "here")]).await;
    let mut dead = nobody();
    dead.retries = 0;
    let outcome = send(vec![dead, config]).await;
    assert_eq!(outcome.next(), ["failover"]);
    assert!(
        matches!(outcome.attempts[0].error, UpstreamError::Connect { .. }),
        "{:?}",
        outcome.attempts
    );
    let response = outcome.result.unwrap();
    assert_eq!((&*response.target.upstream, response.attempt), ("u1", 2));
    assert_eq!(stage.seen.lock().unwrap()[0].body, "for m1");
}

#[tokio::test]
async fn when_nobody_listens_the_last_error_is_told() {
    let outcome = send(vec![nobody(), nobody()]).await;
    assert_eq!(outcome.next(), ["retry", "failover", "retry", "give up"]);
    let error = outcome.result.err().unwrap();
    assert!(
        error.to_string().contains("u1") && error.status() == StatusCode::BAD_GATEWAY,
        "{error}"
    );
}

#[tokio::test]
async fn a_silent_upstream_is_given_up_and_not_asked_again() {
    let (stage, mut config) = server(vec![Play::Silence]).await;
    config.idle_timeout_ms = 50;
    let outcome = send(vec![config]).await;
    assert_eq!(outcome.next(), ["give up"]);
    assert!(matches!(outcome.result, Err(UpstreamError::Idle { .. })));
    assert_eq!(stage.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_stream_that_stops_talking_ends_with_an_error_and_is_cancelled() {
    let (tell, mut told) = mpsc::channel(1);
    let (_, mut config) = server(vec![Play::OneChunkThenSilence(tell)]).await;
    // Long enough for the headers on a busy machine.
    config.idle_timeout_ms = 500;
    let mut body = send(vec![config]).await.result.unwrap().body;
    assert_eq!(body.next().await, Some(Ok(Bytes::from_static(b"first"))));
    assert!(matches!(
        body.next().await,
        Some(Err(UpstreamError::Idle { .. }))
    ));
    assert_eq!(body.next().await, None);
    told.recv().await.expect("the server was not told");
}

#[tokio::test]
async fn an_attempt_ends_at_its_total_time_even_if_it_was_not_silent_for_long() {
    let (tell, _told) = mpsc::channel(1);
    let (_, mut config) = server(vec![Play::OneChunkThenSilence(tell)]).await;
    config.total_timeout_ms = 1000;
    let mut body = send(vec![config]).await.result.unwrap().body;
    assert!(body.next().await.unwrap().is_ok());
    assert!(matches!(
        body.next().await,
        Some(Err(UpstreamError::Total { .. }))
    ));
}

#[tokio::test]
async fn a_broken_stream_is_an_error_and_never_a_clean_end() {
    let now = Arc::new(Notify::new());
    let (_, config) = server(vec![Play::Break(now.clone())]).await;
    let mut body = send(vec![config]).await.result.unwrap().body;
    assert!(body.next().await.unwrap().is_ok());
    now.notify_one();
    let last = body.next().await;
    assert!(
        matches!(last, Some(Err(UpstreamError::Broken { .. }))),
        "{last:?}"
    );
    assert_eq!(body.next().await, None);
}

#[tokio::test]
async fn dropping_the_answer_cancels_the_call_at_once() {
    let (tell, mut told) = mpsc::channel(1);
    let (_, config) = server(vec![Play::OneChunkThenSilence(tell)]).await;
    let mut body = send(vec![config]).await.result.unwrap().body;
    assert!(body.next().await.unwrap().is_ok());
    drop(body);
    tokio::time::timeout(Duration::from_secs(20), told.recv())
        .await
        .expect("the server goes on");
}

#[tokio::test]
async fn a_server_that_accepts_and_never_shakes_hands_times_out_as_a_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/v1", listener.local_addr().unwrap());
    let mut config = UpstreamConfig::new(url.parse().unwrap());
    config.connect_timeout_ms = 50;
    config.retries = 0;
    let outcome = send(vec![config]).await;
    assert!(
        matches!(outcome.result, Err(UpstreamError::ConnectTimeout { .. })),
        "{:?}",
        outcome.attempts
    );
}
