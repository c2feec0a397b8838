//! What the tests of the gateway share: a server with a simulated upstream, and a client that sees bytes.

mod policies;
pub mod readings;
mod reply;
mod tape;
mod upstream;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use airlock::config::Config;
use airlock::gateway::server::Listeners;
use airlock::gateway::{App, Settings};
use airlock::simulate::Simulator;
use airlock_core::event::key::{SessionId, SessionKey};
use airlock_core::event::{Body, Event, Outcome, Status};
use airlock_core::people::Desk;
use airlock_core::session::feed::Feed;
use airlock_core::session::sessions::Sessions;
use airlock_core::session::timeline::Recorder;
use airlock_core::store::capture::Capture;
use airlock_policy::{Limits, Policies, PolicySettings, PolicySpec};

pub use policies::{Policy, block, listener, matching, ordering, wakes};
pub use reply::{Reply, Said};
use tape::Tape;
pub use upstream::{Answer, Asked, Scripted};

/// Longer than anything here takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway in front of a simulated upstream.
pub struct World {
    pub app: Arc<App>,
    pub tape: Arc<Tape>,
    pub simulator: Simulator,
    base: String,
    upstream: String,
    client: Client<HttpConnector, Full<Bytes>>,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A gateway with these policies and nothing else configured.
pub async fn world(policies: Vec<Policy>) -> World {
    configured("", policies).await
}

/// A configuration: listeners on free ports, and an upstream unless there is one.
fn read(more: &str, simulator: &str) -> Config {
    // What the test says of the gateway stands in the table that names its address.
    // Whole answers are asked for whole, and compared byte for byte; how they are put together is tested by itself.
    let whole = match more.contains("stream_upstream") {
        true => "",
        false => "stream_upstream = false\n",
    };
    let gateway = &format!("[gateway]\nlisten = \"127.0.0.1:0\"\n{whole}");
    let more = more.replace("SIM", simulator);
    let mut text = match more.strip_prefix("[gateway]\n") {
        Some(rest) => format!("{gateway}{rest}"),
        None => format!("{gateway}{more}"),
    };
    text.push_str("\n[admin]\nlisten = \"127.0.0.1:0\"\n");
    if !more.contains("[upstream.") {
        text.push_str(&format!(
            "\n[upstream.sim]\nbase_url = {simulator:?}\nretries = 0\n"
        ));
    }
    airlock::config::parse::parse(&text, Path::new("/airlock.toml"))
        .unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// A gateway with more configuration. `SIM` in it stands for the simulator's base URL.
pub async fn configured(more: &str, policies: Vec<Policy>) -> World {
    let stop = CancellationToken::new();
    let simulator = Simulator::new();
    let upstream = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/v1", upstream.local_addr().unwrap());
    let (served, end) = (simulator.clone(), stop.clone());
    tokio::spawn(async move { served.serve(upstream, end.cancelled_owned()).await });
    let config = read(more, &address);
    let settings = PolicySettings {
        builtins: policies
            .iter()
            .map(|p| (p.name.to_owned(), Cow::Owned(p.guest.named(p.name).build())))
            .collect(),
        specs: policies
            .iter()
            .enumerate()
            .map(|(order, p)| {
                let spec = PolicySpec {
                    order: i32::try_from(order).unwrap(),
                    ..p.spec.clone()
                };
                (p.name.to_owned(), spec)
            })
            .collect(),
        limits: Limits {
            instances: 64,
            findings: 1000,
            details: 1000,
            ..Limits::default()
        },
        check: airlock_core::reason::plan::check,
        ..PolicySettings::default()
    };
    let registry = tokio::task::spawn_blocking(|| Policies::start(settings).unwrap())
        .await
        .unwrap();
    assert_eq!(
        registry.current().entries.len(),
        policies.len(),
        "{:#?}",
        registry.status()
    );
    let tape = Arc::new(Tape::default());
    let recorder = Recorder {
        store: tape.clone(),
        feed: Feed::new(),
        capture: Capture::Full,
    };
    let listeners = Listeners::bind(&config).await.unwrap();
    let base = format!("http://{}/v1", listeners.gateway_address().unwrap());
    let sessions = Arc::new(Sessions::new(recorder, config.session.limits()));
    let people = Desk::open(sessions.clone(), config.people.limits()).unwrap();
    let app = Arc::new(App::new(
        Settings::new(config).unwrap(),
        registry,
        sessions,
        people,
    ));
    let (asked, end) = (Arc::clone(&app), stop.clone());
    tokio::spawn(async move {
        let desk = asked.people.clone();
        end.run_until_cancelled(desk.run(|approval| asked.announce(approval)))
            .await;
    });
    let (shared, end) = (Arc::clone(&app), stop.clone());
    tokio::spawn(async move {
        listeners
            .serve(shared, axum::Router::new(), end, Duration::ZERO)
            .await
    });
    World {
        app,
        tape,
        simulator,
        base,
        upstream: address,
        client: Client::builder(TokioExecutor::new()).build_http(),
        stop,
    }
}

/// A request that makes the simulator follow a script.
pub fn chat(script: &Value) -> Value {
    json!({"model": "sim-echo", "messages": [{"role": "user", "content": script.to_string()}]})
}

/// The same, streamed, with the usage asked for, so that no byte of the answer is Airlock's own affair.
pub fn streamed(mut request: Value) -> Value {
    request["stream"] = json!(true);
    request["stream_options"] = json!({"include_usage": true});
    request
}

impl World {
    /// Sends a request and gives the answer's head and body.
    pub async fn open(
        &self,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> http::Response<hyper::body::Incoming> {
        self.try_open(headers, body).await.unwrap()
    }

    async fn try_open(
        &self,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<http::Response<hyper::body::Incoming>, hyper_util::client::legacy::Error> {
        let mut request = http::Request::post(format!("{}/chat/completions", self.base))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_string())).unwrap();
        tokio::time::timeout(PATIENCE, self.client.request(request))
            .await
            .expect("no answer")
    }

    /// Where it listens: `127.0.0.1:4100`.
    pub fn address(&self) -> &str {
        self.base
            .trim_start_matches("http://")
            .trim_end_matches("/v1")
    }

    /// A signal to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Puts another configuration in force, as a reload does.
    pub fn reconfigure(&self, more: &str) {
        self.follow(read(more, &self.upstream));
    }

    /// Puts a changed configuration in force.
    pub fn change(&self, change: impl FnOnce(&mut Config)) {
        let mut config = self.app.settings.load().config.clone();
        change(&mut config);
        self.follow(config);
    }

    fn follow(&self, config: Config) {
        let next = self.app.settings.load().followed_by(config).unwrap();
        self.app.follow(next);
    }

    /// A `GET` of a path beside `/v1`, to its end.
    pub async fn probe(&self, path: &str) -> Reply {
        let uri = self.base.replace("/v1", path);
        let request = http::Request::get(uri).body(Full::default()).unwrap();
        let answer = tokio::time::timeout(PATIENCE, self.client.request(request));
        collect(answer.await.expect("no answer").unwrap()).await
    }

    /// A `GET` of a path under `/v1`, to its end.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = http::Request::get(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::default()).unwrap();
        let answer = tokio::time::timeout(PATIENCE, self.client.request(request));
        collect(answer.await.expect("no answer").unwrap()).await
    }

    /// A `POST` to a path under `/v1`, to its end.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        let mut request = http::Request::post(format!("{}{path}", self.base))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_string())).unwrap();
        let answer = tokio::time::timeout(PATIENCE, self.client.request(request));
        collect(answer.await.expect("no answer").unwrap()).await
    }

    /// A `POST` of any bytes to a path under `/v1`, to its end.
    pub async fn post_bytes(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let mut request = http::Request::post(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let answer = tokio::time::timeout(PATIENCE, self.client.request(request));
        collect(answer.await.expect("no answer").unwrap()).await
    }

    /// A call of a session, to its end.
    pub async fn call(&self, session: &str, body: &Value) -> Reply {
        self.call_with(&[("x-airlock-session-id", session)], body)
            .await
    }

    /// A call, to its end.
    pub async fn call_with(&self, headers: &[(&str, &str)], body: &Value) -> Reply {
        let Ok(response) = self.try_open(headers, body).await else {
            return Reply {
                status: 0,
                headers: Default::default(),
                bytes: vec![],
                cut: true,
            };
        };
        collect(response).await
    }

    /// What was recorded of a session that named itself and no credential.
    pub fn timeline(&self, session: &str) -> Vec<Arc<Event>> {
        self.tape.of(id_of(session))
    }

    /// Interventions of a session: action, policy, outcome, reason.
    pub fn interventions(&self, session: &str) -> Vec<(String, String, Outcome, String)> {
        self.timeline(session)
            .iter()
            .filter_map(|event| match &event.body {
                Body::Intervention {
                    action,
                    policy,
                    outcome,
                    reason,
                    ..
                } => Some((action.clone(), policy.clone(), *outcome, reason.clone())),
                _ => None,
            })
            .collect()
    }

    /// What became of an action.
    pub fn outcome(&self, session: &str, action: &str) -> (Outcome, String) {
        let all = self.interventions(session);
        let found = all.iter().find(|(name, ..)| name == action);
        found
            .map(|(_, _, outcome, reason)| (*outcome, reason.clone()))
            .unwrap_or_else(|| panic!("no {action}: {all:?}"))
    }

    /// How the exchanges of a session ended.
    pub fn statuses(&self, session: &str) -> Vec<Status> {
        self.timeline(session)
            .iter()
            .filter_map(|event| match &event.body {
                Body::ResponseEnd { status, .. } => Some(*status),
                _ => None,
            })
            .collect()
    }

    /// Bodies of the requests that reached the upstream.
    pub fn received(&self) -> Vec<Value> {
        let requests = self.simulator.record().requests();
        requests
            .iter()
            .map(|r| serde_json::from_str(&r.body).unwrap())
            .collect()
    }

    /// What the upstream sent in answer to its last request.
    pub fn sent(&self) -> Vec<u8> {
        self.simulator.record().requests().pop().unwrap().response
    }

    /// Waits for a condition.
    pub async fn eventually(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(
                tokio::time::Instant::now() < end,
                "waited in vain until {what}"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// An answer to its end.
pub async fn collect(response: http::Response<hyper::body::Incoming>) -> Reply {
    let (head, mut body) = response.into_parts();
    let (mut bytes, mut cut) = (Vec::new(), false);
    while let Some(frame) = tokio::time::timeout(PATIENCE, body.frame())
        .await
        .expect("no end")
    {
        match frame {
            Ok(frame) => bytes.extend(frame.into_data().unwrap_or_default()),
            Err(_) => {
                cut = true;
                break;
            }
        }
    }
    Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        bytes,
        cut,
    }
}

/// Waits for a condition that takes calls to find out.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(
            tokio::time::Instant::now() < end,
            "waited in vain until {what}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub fn id_of(session: &str) -> SessionId {
    SessionKey {
        tenant: "default".to_owned(),
        principal: "anonymous".to_owned(),
        source: "x-airlock-session-id".to_owned(),
        value: session.to_owned(),
    }
    .id()
}

/// Text with the borders between chunks at these places.
pub fn cut(text: &str, at: &[usize]) -> Vec<String> {
    let mut from = 0;
    let mut pieces = Vec::new();
    for to in at.iter().copied().chain([text.len()]) {
        pieces.push(text[from..to].to_owned());
        from = to;
    }
    pieces
}
