//! People at work: a whole Airlock on a real store, asked over HTTP and at the command line, stopped and started again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use airlock::config::locate;
use airlock::serve::Airlock;
use airlock_core::event::key::{SessionId, SessionKey};
use airlock_core::event::{Body, Role};
use airlock_core::people::{Approval, Desk, New, OnTimeout, Outcome, Subject, digest};
use airlock_core::session::state::Found;

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Airlock, its desk, and its admin API.
struct House {
    desk: Arc<Desk>,
    session: SessionId,
    base: String,
    token: String,
    /// The configuration as a command beside the server needs it.
    config: std::path::PathBuf,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl House {
    async fn start(dir: &Path, more: &str) -> Self {
        let config = dir.join("airlock.toml");
        std::fs::create_dir_all(dir.join("policies")).unwrap();
        let text = |admin: &str| {
            format!(
                "[gateway]\nlisten = \"127.0.0.1:0\"\ndrain_timeout_ms = 100\n[admin]\nlisten = {admin:?}\n\
                 [data]\ndir = \"data\"\n[upstream.none]\nbase_url = \"http://127.0.0.1:9/v1\"\n{more}"
            )
        };
        std::fs::write(&config, text("127.0.0.1:0")).unwrap();
        let airlock = Airlock::prepare(locate::read(&config).unwrap(), None)
            .await
            .unwrap_or_else(|failure| panic!("{failure}"));
        std::fs::write(&config, text(&airlock.admin.to_string())).unwrap();
        let found = Found {
            key: SessionKey {
                tenant: "default".into(),
                principal: "local".into(),
                source: "test".into(),
                value: "v".into(),
            },
            confidence: "explicit",
            parent: None,
            extra: Vec::new(),
        };
        let session = airlock.app.sessions.get(found).await.unwrap();
        session.timeline.append(
            1,
            Body::Message {
                id: 1,
                role: Role::User,
                index: 0,
                text: "pay the rent".into(),
                bytes: 12,
            },
        );
        let stop = CancellationToken::new();
        let (desk, base) = (
            airlock.app.people.clone(),
            format!("http://{}", airlock.admin),
        );
        let end = stop.clone();
        let serving = tokio::spawn(async move { airlock.serve(end).await.unwrap() });
        Self {
            desk,
            session: session.id,
            base,
            token: std::fs::read_to_string(dir.join("data/admin-token")).unwrap(),
            config,
            stop,
            serving,
        }
    }

    /// Stops as after a signal. Returns once the database is free.
    async fn stop(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
    }

    fn put(&self, arguments: &str, deadline_ms: u32) -> Approval {
        self.desk.put(New {
            session: self.session,
            exchange: 1,
            policy: "tool-guard".into(),
            subject: Subject::ToolCall {
                name: "pay".into(),
                arguments: arguments.into(),
            },
            digest: digest::of_tool_call("pay", arguments),
            title: "Pay this?".into(),
            body: "More than usual.".into(),
            context: Value::Null,
            deadline_ms,
            on_timeout: OnTimeout::Block,
        })
    }

    /// Puts it and waits until people can see it.
    async fn shown(&self, arguments: &str) -> Approval {
        let approval = self.put(arguments, 0);
        self.listed("/v1/approvals", &approval).await;
        approval
    }

    async fn listed(&self, path: &str, approval: &Approval) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while !self.ids(path).await.contains(&approval.id.to_string()) {
            assert!(tokio::time::Instant::now() < end, "never on {path}");
        }
    }

    async fn ids(&self, path: &str) -> Vec<String> {
        let (status, list) = self.ask(Method::GET, path, None).await;
        assert_eq!(status, 200, "{list}");
        let list = list.as_array().unwrap().iter();
        list.map(|a| a["id"].as_str().unwrap().to_owned()).collect()
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.token.trim()));
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map_or(Bytes::new(), |body| body.to_string().into());
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request.body(Full::new(body)).unwrap());
        let answer = tokio::time::timeout(PATIENCE, answer)
            .await
            .expect("no answer")
            .unwrap();
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    async fn post(&self, id: &str, what: &str, body: Value) -> (u16, Value) {
        let path = format!("/v1/approvals/{id}/{what}");
        self.ask(Method::POST, &path, Some(body)).await
    }

    /// What the command prints, and its exit code.
    async fn cli(&self, args: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_airlock"));
        command.arg("--config").arg(&self.config).args(args);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let printed = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8(printed).unwrap(),
        )
    }
}

fn error(answer: &Value) -> &str {
    answer["error"]["message"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_decides_over_http_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::start(dir.path(), "").await;
    let first = house.shown(r#"{"sum":1}"#).await;
    let second = house.shown(r#"{"sum":2}"#).await;
    let (id, other) = (first.id.to_string(), second.id.to_string());
    assert_eq!(
        house.ids("/v1/approvals").await,
        [other.clone(), id.clone()],
        "newest first"
    );

    let (status, shown) = house
        .ask(Method::GET, &format!("/v1/approvals/{}", &id[..12]), None)
        .await;
    assert_eq!(status, 200);
    assert_eq!(shown["subject"]["arguments"], r#"{"sum":1}"#);
    assert_eq!(shown["state"], "open");
    let kinds = shown["events"].as_array().unwrap().iter();
    let kinds: Vec<_> = kinds.map(|e| e["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"message"), "what led to it: {kinds:?}");

    for (id, what, body, status, says) in [
        ("00ff", "approve", json!({}), 404, "airlock approvals"),
        (
            &*id,
            "approve",
            json!({"edit": "rm -rf"}),
            422,
            "JSON object",
        ),
        (
            &*id,
            "approve",
            json!({"edit": {}, "choice": "a"}),
            422,
            "not both",
        ),
        (
            &*id,
            "deny",
            json!({"edit": {}}),
            422,
            "did you mean approve",
        ),
        (&*id, "approve", json!({"bye": "ann"}), 422, "bye"),
        ("last", "deny", json!({}), 409, "2 approvals wait"),
    ] {
        let (code, answer) = house.post(id, what, body).await;
        assert_eq!(code, status, "{answer}");
        assert!(error(&answer).contains(says), "{answer}");
    }

    let edit = json!({"by": "ann", "note": "less", "edit": {"sum": 0}});
    let (status, approved) = house.post(&id, "approve", edit).await;
    assert_eq!((status, &approved["state"]), (200, &json!("decided")));
    assert_eq!(
        house.desk.get(first.id).unwrap().outcome(),
        Some(Outcome::Change(r#"{"sum":0}"#))
    );
    let (status, answer) = house.post(&id, "deny", json!({})).await;
    assert_eq!(status, 409);
    assert!(error(&answer).contains("edited by ann"), "{answer}");
    let (status, noted) = house
        .post(
            &other,
            "notes",
            json!({"text": "is this the landlord?", "by": "bob"}),
        )
        .await;
    assert_eq!((status, &noted["notes"][0]["by"]), (200, &json!("bob")));
    house.stop().await;

    let house = House::start(dir.path(), "").await;
    assert_eq!(
        house.ids("/v1/approvals").await,
        std::slice::from_ref(&other)
    );
    assert_eq!(
        house.ids("/v1/approvals?state=decided").await,
        std::slice::from_ref(&id)
    );
    let session = house.session;
    assert_eq!(
        house
            .ids(&format!("/v1/approvals?state=all&session={session}"))
            .await
            .len(),
        2
    );
    // The client's repetition finds the decision; without a body, approve is approve.
    assert_eq!(house.put(r#"{ "sum": 1 }"#, 0).id, first.id);
    let path = format!("/v1/approvals/{other}/approve");
    let (status, approved) = house.ask(Method::POST, &path, None).await;
    assert_eq!(status, 200, "{approved}");
    assert_eq!(approved["decision"]["by"], "operator");
    assert_eq!(
        house.desk.get(second.id).unwrap().outcome(),
        Some(Outcome::Release)
    );

    let late = house.put(r#"{"sum":3}"#, 1);
    let bell = Arc::new(tokio::sync::Notify::new());
    house.desk.ring(late.id, bell.clone());
    tokio::time::timeout(PATIENCE, bell.notified())
        .await
        .expect("never due");
    // Whoever waited was told before the disk was.
    house.listed("/v1/approvals?state=decided", &late).await;
    let (status, answer) = house.post(&late.id.to_string(), "approve", json!({})).await;
    assert_eq!((status, error(&answer).contains("deadline")), (410, true));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_decides_at_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::start(dir.path(), "").await;
    let (code, printed) = house.cli(&["approvals"]).await;
    assert_eq!((code, &*printed), (0, "Nothing waits for a person.\n"));

    let evil = house
        .shown("{\"to\":\"\u{202e}x\\u001b[2J\",\"to\":\"y\"}")
        .await;
    let short = evil.id.short();
    let (code, printed) = house.cli(&["approvals"]).await;
    assert_eq!(code, 0);
    for word in [&*short, "pay({\"to\":", "tool-guard", "Pay this?", " left"] {
        assert!(printed.contains(word), "{word}: {printed}");
    }
    // Options of every command stand anywhere; those of the list do not.
    let config = house.config.to_str().unwrap().to_owned();
    for args in [
        &["approvals", "--config", &config, "show", "last"][..],
        &["approvals", "show", "last", "--config", &config],
        &["approvals", "--output", "json", "show", "last"],
    ] {
        let (code, printed) = house.cli(args).await;
        assert_eq!(code, 0, "{args:?}: {printed}");
    }
    assert_eq!(
        house.cli(&["approvals", "--all", "show", "last"]).await.0,
        64
    );
    // For programs: a line for each, with nothing in it that a terminal acts on, and unchanged for who reads it.
    let (_, lines) = house.cli(&["approvals", "--output", "json"]).await;
    assert_eq!(lines.lines().count(), 1, "{lines}");
    assert!(!lines.contains('\u{202e}'), "{lines}");
    let read: Value = serde_json::from_str(&lines).unwrap();
    let arguments = read["subject"]["arguments"].as_str().unwrap();
    assert!(arguments.contains('\u{202e}'), "{read}");
    let (_, printed) = house.cli(&["approvals", "show", "last"]).await;
    assert!(printed.contains("pay the rent"), "{printed}");
    // A key that stands twice is seen twice, and nothing turns the text around.
    assert_eq!(printed.matches("\"to\"").count(), 2, "{printed}");
    assert!(!printed.contains(['\u{202e}', '\x1b']), "{printed}");

    let edit = dir.path().join("edit.json");
    std::fs::write(&edit, r#"{"to":"landlord"}"#).unwrap();
    let edit = format!("@{}", edit.display());
    let (code, printed) = house
        .cli(&[
            "approvals",
            "approve",
            &short,
            "--edit",
            &edit,
            "--by",
            "ann",
        ])
        .await;
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("edited"), "{printed}");
    assert_eq!(
        house.desk.get(evil.id).unwrap().outcome(),
        Some(Outcome::Change(r#"{"to":"landlord"}"#))
    );
    let (code, printed) = house.cli(&["approvals", "deny", &short]).await;
    assert_eq!(code, 1);
    assert!(
        printed.contains("decided already: edited by ann"),
        "{printed}"
    );
    let (code, printed) = house.cli(&["approvals", "show", "../sessions"]).await;
    assert_eq!(code, 64, "{printed}");
    let (_, printed) = house.cli(&["approvals", "--all"]).await;
    assert!(
        printed.contains("edited") && printed.contains("ago"),
        "{printed}"
    );
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_tells_how_to_decide() {
    let hook = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let more = format!(
        "[webhook.ops]\nurl = \"http://{0}/ops\"\n[webhook.other]\nurl = \"http://{0}/other\"\n[people]\nwebhook = \"ops\"\n",
        hook.local_addr().unwrap()
    );
    let dir = tempfile::tempdir().unwrap();
    let house = House::start(dir.path(), &more).await;
    let approval = house.put("{}", 0);
    let told = async {
        let (mut socket, _) = hook.accept().await.unwrap();
        let mut text = Vec::new();
        while !text.ends_with(b"}") {
            assert_ne!(socket.read_buf(&mut text).await.unwrap(), 0);
        }
        socket
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        String::from_utf8(text).unwrap()
    };
    let told = tokio::time::timeout(PATIENCE, told)
        .await
        .expect("nobody was told");
    let (head, body) = told.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /ops"), "{head}");
    let notice: Value = serde_json::from_str(body).unwrap();
    assert_eq!(notice["approval"], approval.id.to_string());
    assert_eq!(notice["session"], house.session.to_string());
    let command = format!("airlock approvals approve {}", approval.id);
    assert!(
        notice["body"].as_str().unwrap().contains(&command),
        "{notice}"
    );
    // Whoever was told can decide: it is on the disk.
    let (status, _) = house
        .post(&approval.id.to_string(), "deny", json!({}))
        .await;
    assert_eq!(status, 200);
    house.stop().await;
}
