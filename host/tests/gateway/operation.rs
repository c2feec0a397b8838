//! What orchestrators and browsers do around calls: probes, questions before a call, a signal to stop.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::*;

/// Sends these bytes and reads until the server closes. Head and body as text.
async fn raw(world: &World, request: &str) -> String {
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(world.address())
            .await
            .unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    };
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .expect("no end")
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_whatever_the_name_and_nothing_else_is() {
    let world = world(vec![]).await;
    let names = [
        "",
        "Host: 10.1.2.3:4100\r\n",
        "Host: evil.example\r\nOrigin: https://evil.example\r\n",
    ];
    for host in names {
        for path in ["/healthz", "/readyz"] {
            for method in ["GET", "HEAD"] {
                for version in ["1.1", "1.0"] {
                    let answer = raw(
                        &world,
                        &format!(
                            "{method} {path} HTTP/{version}\r\n{host}Connection: close\r\n\r\n"
                        ),
                    )
                    .await;
                    assert_eq!(status(&answer), "200", "{method} {path} {host}: {answer}");
                }
            }
        }
        let answer = raw(
            &world,
            &format!("GET /v1/models HTTP/1.1\r\n{host}Connection: close\r\n\r\n"),
        )
        .await;
        assert_eq!(status(&answer), "403", "{host}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_listed_origin_may_ask_before_it_calls_and_read_the_answer() {
    let world = configured(
        "[gateway]\nallowed_origins = [\"https://app.example.com\"]\n",
        vec![],
    )
    .await;
    let ask = |origin: &str| {
        format!(
            "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization,content-type,x-stainless-os\r\n\
             Access-Control-Request-Private-Network: true\r\nConnection: close\r\n\r\n"
        )
    };
    let answer = raw(&world, &ask("https://app.example.com")).await;
    assert_eq!(status(&answer), "204", "{answer}");
    for told in [
        "access-control-allow-origin: https://app.example.com",
        "access-control-allow-headers: authorization,content-type,x-stainless-os",
        "access-control-allow-private-network: true",
        "POST",
        "vary: origin",
    ] {
        assert!(answer.contains(told), "lacks {told}: {answer}");
    }
    assert!(world.received().is_empty(), "a question is no call");
    for other in ["https://evil.example", "null"] {
        let answer = raw(&world, &ask(other)).await;
        assert_eq!(status(&answer), "403", "{answer}");
        assert!(!answer.contains("access-control-allow"), "{answer}");
    }

    let origin = [("origin", "https://app.example.com")];
    let body = chat(&json!({"text": "hello"}));
    for (what, reply) in [
        ("whole", world.call_with(&origin, &body).await),
        (
            "streamed",
            world.call_with(&origin, &streamed(body.clone())).await,
        ),
        ("refused", world.call_with(&origin, &json!([])).await),
        ("passed", world.get("/models", &origin).await),
        ("unknown", world.probe("/nowhere").await),
    ] {
        let header = |name: &str| reply.headers.get(name).and_then(|v| v.to_str().ok());
        let allowed = header("access-control-allow-origin");
        if what == "unknown" {
            assert_eq!(allowed, None, "who names no origin is told none");
            continue;
        }
        assert_eq!(allowed, Some("https://app.example.com"), "{what}");
        let exposed = header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("x-airlock-exchange"), "{what}: {exposed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_to_stop_is_told_to_probes_before_calls_are_refused() {
    let body = json!({"id": "x", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "still here"}, "finish_reason": "stop"}]});
    let upstream = Scripted::start(vec![Answer::json(body)]).await;
    let config = format!(
        "[gateway]\ndrain_delay_ms = 600000\n{}",
        upstream.table("x")
    );
    let world = configured(&config, vec![]).await;
    assert_eq!(world.probe("/readyz").await.status, 200);
    world.stop();
    eventually("it says that it is not ready", async || {
        world.probe("/readyz").await.status == 503
    })
    .await;
    assert_eq!(world.probe("/healthz").await.status, 200, "it is alive");
    assert_eq!(world.call("s", &chat(&json!({}))).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_call_is_told_that_airlock_stops_and_is_not_cut() {
    let hold: Value = json!({"hold-for-person": {"subject": {"tool-call": "c1"}, "title": "May it?",
        "body": "", "deadline-ms": 600_000, "on-timeout": "block"}});
    let calling = chat(&json!({"turns": [
        {"text": "Let me.", "tool_calls": [{"id": "c1", "name": "pay", "arguments": {"amount": 7}}]}]}));
    for request in [streamed(calling.clone()), calling] {
        let guard = ordering(
            wakes(json!([{"event": "tool-call"}])),
            std::slice::from_ref(&hold),
        );
        let world = world(vec![Policy::new("guard", guard)]).await;
        let stop = async {
            world
                .eventually("the call is held", |w| {
                    w.timeline("s")
                        .iter()
                        .any(|event| matches!(event.body, airlock_core::event::Body::Held { .. }))
                })
                .await;
            world.stop();
        };
        let (reply, ()) = tokio::join!(world.call("s", &request), stop);
        assert!(!reply.cut, "{}", reply.text());
        let text = reply.text();
        assert!(
            text.contains("airlock_held") && text.contains("Airlock stops"),
            "{text}"
        );
        assert!(!text.contains("amount"), "nobody permitted it: {text}");
        if request["stream"] != true {
            assert_eq!(reply.status, 503);
        }
    }
}
