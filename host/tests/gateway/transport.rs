//! The transport boundary: only decoded units leave where somebody judges, on every call to an upstream, whatever its head
//! and its wire form; and nothing of an upstream leads the client past Airlock.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::support::*;
use airlock_core::event::Body;

/// One chunk of a stream.
pub(crate) fn chunk(delta: Value, finish: Option<&str>) -> String {
    let chunk = json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    format!("data: {chunk}\n\n")
}

/// A stream that says this, with `noise` in its middle.
pub(crate) fn saying(text: &str, noise: &str) -> String {
    let (first, last) = text.split_at(text.len() / 2);
    [
        chunk(json!({"role": "assistant", "content": first}), None),
        noise.to_owned(),
        chunk(json!({"content": last}), None),
        chunk(json!({}), Some("stop")),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat()
}

/// A body that says this.
pub(crate) fn body(text: &str) -> Value {
    json!({"id": "x", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}})
}

fn calling_c1() -> Value {
    json!([{"index": 0, "id": "c1", "type": "function", "function": {"name": "delete", "arguments": "{}"}}])
}

/// A first leg whose one call is denied, so that a second one follows.
fn first_leg(streamed: bool) -> Answer {
    let calls = calling_c1();
    if streamed {
        let frames = [
            chunk(json!({"role": "assistant", "tool_calls": calls}), None),
            chunk(json!({}), Some("tool_calls")),
            "data: [DONE]\n\n".to_owned(),
        ];
        return Answer::events(frames.concat());
    }
    let mut body = body("");
    body["choices"][0]["message"] =
        json!({"role": "assistant", "content": null, "tool_calls": calls});
    body["choices"][0]["finish_reason"] = json!("tool_calls");
    Answer::json(body)
}

pub(crate) fn ask(stream: bool) -> Value {
    let request = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]});
    if stream { streamed(request) } else { request }
}

/// Blocks what says "forbidden", and denies the call `c1`: two policies that do not hear each other.
fn guards() -> Vec<Policy> {
    let deny = json!({"deny-tool-call": {"call": "c1", "reason": "no"}});
    let mut calls = ordering(wakes(json!([{"event": "tool-call"}])), &[deny]);
    calls.subscription.as_mut().unwrap()["findings"] = json!(["calls.*"]);
    calls.assessments[0]["findings"][0]["kind"] = json!("calls.found");
    vec![
        Policy::new("words", matching("forbidden", &[block("hard")])),
        Policy::new("calls", calls),
    ]
}

/// Two worlds on one upstream: without anybody, and with those who judge.
pub(crate) async fn worlds() -> (Scripted, World, World) {
    let upstream = Scripted::start(vec![]).await;
    let open = configured(&upstream.table("x"), vec![]).await;
    let guarded = configured(&upstream.table("x"), guards()).await;
    (upstream, open, guarded)
}

/// What comes of an answer in the first leg and in the second one.
pub(crate) async fn both_legs(
    upstream: &Scripted,
    world: &World,
    stream: bool,
    answer: &Answer,
) -> [Reply; 2] {
    upstream.say(vec![answer.clone()]);
    let first = world.call("one", &ask(stream)).await;
    upstream.say(vec![first_leg(stream), answer.clone()]);
    let before = upstream.asked().len();
    let second = world.call("two", &ask(stream)).await;
    assert_eq!(upstream.asked().len(), before + 2, "{}", second.text());
    [first, second]
}

fn unjudged(world: &World, session: &str) -> Vec<String> {
    let told = |body: &Body| match body {
        Body::Unjudged { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    let timeline = world.timeline(session);
    timeline.iter().filter_map(|e| told(&e.body)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_data_of_events_leaves_where_somebody_judges() {
    let (upstream, open, guarded) = worlds().await;
    let json_line = chunk(json!({"content": "forbidden"}), None).replace("data: ", "");
    for noise in [
        ": forbidden\n\n",
        ":forbidden",
        "id: forbidden\n\n",
        "id: forbidden\n",
        "event: forbidden\nretry: 5\n",
        "retry: forbidden\n\n",
        "anything: forbidden\n\n",
        "forbidden\n\n",
        "data : forbidden\n\n",
        "Data: forbidden\n\n",
        "\u{feff}data: forbidden\n\n",
        "\r\n: forbidden\r\n\r\n",
        json_line.as_str(),
    ] {
        let noise = if noise == ":forbidden" {
            ":forbidden\n"
        } else {
            noise
        };
        for stream in [
            saying("all is well", noise),
            // At the very beginning a byte order mark is one, and the event is read.
            format!(
                "{}{}",
                noise.trim_start_matches('\u{feff}').replace("data: ", ": "),
                saying("all is well", "")
            ),
            saying("all is well", "")
                .replace("data: [DONE]\n\n", &format!("{noise}data: [DONE]\n\n")),
            format!("\u{feff}{}", saying("all is well", noise)),
        ] {
            let answer = Answer::events(stream.clone());
            for reply in both_legs(&upstream, &guarded, true, &answer).await {
                let text = reply.text();
                assert!(
                    !text.contains("forbidden") && !text.contains('\u{feff}'),
                    "{stream}\n{text}"
                );
                assert_eq!(
                    reply.said().at("0/content"),
                    "all is well",
                    "{stream}\n{text}"
                );
                assert!(reply.is_done(), "{text}");
                for line in text.lines() {
                    assert!(line.is_empty() || line.starts_with("data: "), "{line:?}");
                }
            }
            upstream.say(vec![answer]);
            let session = format!("open-{}", upstream.asked().len());
            let reply = open.call(&session, &ask(true)).await;
            assert_eq!(reply.text(), stream);
            assert_eq!(unjudged(&open, &session).len(), 1, "{stream}");
        }
    }
    assert!(unjudged(&guarded, "one").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn line_ends_of_any_kind_say_the_same() {
    let (upstream, open, guarded) = worlds().await;
    for end in ["\n", "\r\n", "\r"] {
        let stream = saying("all is well", "").replace('\n', end);
        let answer = Answer::events(stream.clone());
        for reply in both_legs(&upstream, &guarded, true, &answer).await {
            let text = reply.text().replace("\r\n", "\n");
            assert_eq!(
                text.matches("\n\n").count(),
                text.matches("data: ").count(),
                "{text}"
            );
            assert!(!reply.text().contains("\r\r"), "{:?}", reply.text());
        }
        upstream.say(vec![answer]);
        let session = format!("open-{}", end.len() + usize::from(end == "\r"));
        assert_eq!(open.call(&session, &ask(true)).await.text(), stream);
        assert!(unjudged(&open, &session).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_noise_alone_is_an_error_and_not_an_empty_answer() {
    let (upstream, _, guarded) = worlds().await;
    for noise in ["<html>forbidden</html>", ": forbidden\n\n", "forbidden", ""] {
        for (kind, stream) in [
            ("text/event-stream", true),
            ("text/html", true),
            ("text/html", false),
        ] {
            let answer = Answer::new(200, kind, noise);
            for reply in both_legs(&upstream, &guarded, stream, &answer).await {
                let text = reply.text();
                assert!(!text.contains("forbidden"), "{text}");
                assert!(
                    ["airlock_upstream", "content_filter"].contains(&&*reply.error_code()),
                    "{kind} {stream} {noise:?}: {} {text}",
                    reply.status
                );
            }
        }
    }
}

type Compress = fn(&[u8]) -> Vec<u8>;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Default::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_answer_is_read_like_any_other() {
    let (upstream, open, guarded) = worlds().await;
    for stream in [true, false] {
        let plain = |text: &str| match stream {
            true => saying(text, "").into_bytes(),
            false => body(text).to_string().into_bytes(),
        };
        let kind = if stream {
            "text/event-stream"
        } else {
            "application/json"
        };
        let forms: [(&str, Compress); 4] = [
            ("gzip", gzip),
            ("deflate", zlib),
            ("zstd", |bytes| zstd::encode_all(bytes, 3).unwrap()),
            ("gzip, zstd", |bytes| {
                zstd::encode_all(&*gzip(bytes), 3).unwrap()
            }),
        ];
        for (coding, compress) in forms {
            let answer = |text: &str| {
                Answer::new(200, kind, compress(&plain(text)))
                    .with("content-encoding", coding)
                    .with("etag", "\"1\"")
                    .with("digest", "sha-256=x")
            };
            for world in [&open, &guarded] {
                upstream.say(vec![answer("all is well")]);
                let reply = world.call("plain", &ask(stream)).await;
                assert_eq!(
                    reply.said().at("0/content"),
                    "all is well",
                    "{coding}: {}",
                    reply.text()
                );
                for name in ["content-encoding", "etag", "digest"] {
                    assert!(!reply.headers.contains_key(name), "{name}");
                }
            }
            for reply in both_legs(
                &upstream,
                &guarded,
                stream,
                &answer("so it is forbidden here"),
            )
            .await
            {
                assert_eq!(
                    reply.error_code(),
                    "content_filter",
                    "{coding}: {}",
                    reply.text()
                );
                assert!(!reply.text().contains("forbidden"), "{}", reply.text());
            }
            // Cut, it must not look whole.
            let mut cut = answer("all is well");
            cut.body.truncate(cut.body.len() - 3);
            for reply in both_legs(&upstream, &guarded, stream, &cut).await {
                assert_eq!(
                    reply.error_code(),
                    "airlock_upstream",
                    "{coding}: {}",
                    reply.text()
                );
            }
        }
        let unknown =
            Answer::new(200, kind, plain("all is well")).with("content-encoding", "rot13");
        for world in [&open, &guarded] {
            upstream.say(vec![unknown.clone()]);
            let reply = world.call("unknown", &ask(stream)).await;
            assert_eq!(
                (reply.status, &*reply.error_code()),
                (502, "airlock_upstream")
            );
            assert!(reply.text().contains("rot13"), "{}", reply.text());
        }
        let [_, second] = both_legs(&upstream, &guarded, stream, &unknown).await;
        assert_eq!(second.error_code(), "airlock_upstream", "{}", second.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_never_reaches_the_client() {
    let (upstream, open, guarded) = worlds().await;
    for status in [300, 301, 302, 303, 304, 307, 308] {
        let answer = Answer::new(status, "text/plain", "go to http://elsewhere.example")
            .with("location", "http://elsewhere.example/v1")
            .with("content-location", "/elsewhere");
        for world in [&open, &guarded] {
            for stream in [true, false] {
                upstream.say(vec![answer.clone()]);
                let reply = world.call("one", &ask(stream)).await;
                assert_eq!(
                    (reply.status, &*reply.error_code()),
                    (502, "airlock_upstream")
                );
                assert!(
                    reply.text().contains("base_url in [upstream.x]"),
                    "{}",
                    reply.text()
                );
                assert!(!reply.text().contains("elsewhere"), "{}", reply.text());
                assert!(!reply.headers.contains_key("location"));
            }
            for path in ["/models", "/models/m"] {
                let reply = world.get(path, &[]).await;
                assert_eq!(reply.status, 502, "{}", reply.text());
                assert!(!reply.text().contains("elsewhere"), "{}", reply.text());
                assert!(!reply.headers.contains_key("location"));
            }
        }
        for stream in [true, false] {
            let [_, second] = both_legs(&upstream, &guarded, stream, &answer).await;
            assert_eq!(second.error_code(), "airlock_upstream", "{}", second.text());
            assert!(!second.text().contains("elsewhere"), "{}", second.text());
        }
    }
    // Nor does an address beside another status.
    upstream.say(vec![
        Answer::new(201, "application/json", "{}").with("location", "http://elsewhere.example/v1"),
    ]);
    for reply in [
        open.get("/models", &[]).await,
        open.call("one", &ask(false)).await,
    ] {
        assert!(
            !reply.headers.contains_key("location"),
            "{:?}",
            reply.headers
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_is_none_is_an_error_of_the_upstream() {
    let (upstream, open, guarded) = worlds().await;
    for status in [600, 999] {
        let answer = Answer::new(status, "application/json", body("all is well").to_string());
        for world in [&open, &guarded] {
            upstream.say(vec![answer.clone()]);
            for reply in [
                world.call("one", &ask(true)).await,
                world.get("/models", &[]).await,
            ] {
                assert_eq!(
                    (reply.status, &*reply.error_code()),
                    (502, "airlock_upstream")
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_a_policy_repeats_is_checked_like_the_first() {
    let retry = json!({"retry": {"upstream": "", "model": "", "after-ms": 0}});
    let mut again = ordering(wakes(json!([{"event": "failure"}])), &[retry]);
    again.subscription.as_mut().unwrap()["findings"] = json!(["again.*"]);
    again.assessments[0]["findings"][0]["kind"] = json!("again.found");
    let upstream = Scripted::start(vec![]).await;
    let mut policies = guards();
    policies.push(Policy::new("again", again));
    let world = configured(&upstream.table("x"), policies).await;
    let bad = "so it is forbidden here";
    for stream in [true, false] {
        let plain = match stream {
            true => saying(bad, ""),
            false => body(bad).to_string(),
        };
        for (answer, passes) in [
            (
                Answer::new(200, "text/plain", gzip(plain.as_bytes()))
                    .with("content-encoding", "gzip"),
                false,
            ),
            (Answer::new(200, "", plain.clone()), false),
            (
                Answer::events(saying("all is well", ": forbidden\n\nid: forbidden\n")),
                true,
            ),
            (
                Answer::new(200, "text/html", body("all is well").to_string()),
                true,
            ),
            (
                Answer::new(302, "", "forbidden").with("location", "http://forbidden.example"),
                false,
            ),
        ] {
            let failed = Answer::new(500, "application/json", "{\"error\":{\"message\":\"no\"}}");
            upstream.say(vec![failed, answer.clone()]);
            let before = upstream.asked().len();
            let reply = world.call("one", &ask(stream)).await;
            let (text, head) = (reply.text(), format!("{:?}", reply.headers));
            assert!(upstream.asked().len() >= before + 2, "{text}");
            assert!(
                !text.contains("forbidden") && !head.contains("forbidden"),
                "{answer:?}\n{text}"
            );
            if passes {
                assert_eq!(reply.said().at("0/content"), "all is well", "{text}");
            } else {
                let code = reply.error_code();
                assert!(
                    code.starts_with("airlock_") || code == "content_filter",
                    "{text}"
                );
            }
        }
    }
}
