//! What goes to an upstream: its address with query, its body without codings and with what the server takes, and to
//! which of several upstreams.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::support::*;

fn answer(text: &str) -> Answer {
    Answer::json(
        json!({"id": "x", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}),
    )
}

fn stream(text: &str) -> Answer {
    let chunk = |delta: Value, finish: Option<&str>| {
        let chunk = json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
        format!("data: {chunk}\n\n")
    };
    Answer::events(
        [
            chunk(json!({"role": "assistant", "content": text}), None),
            chunk(json!({}), Some("stop")),
            "data: [DONE]\n\n".to_owned(),
        ]
        .concat(),
    )
}

fn request() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_query_goes_along_on_every_path() {
    let upstream = Scripted::start(vec![answer("fine")]).await;
    let table = |more: &str| {
        format!(
            "[upstream.x]\nbase_url = \"{}?api-version=7\"\nretries = 0\n{more}",
            upstream.url
        )
    };
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, "sk-own").unwrap();
    let forwarding = configured(&table(""), vec![]).await;
    let own = configured(
        &table(&format!("key = \"file:{}\"\n", key.display())),
        vec![],
    )
    .await;
    for (world, expected) in [
        (&forwarding, "api-version=7&b=%2F&key=secret"),
        (&own, "api-version=7&b=%2F"),
    ] {
        for path in ["/chat/completions", "/embeddings"] {
            let asked = format!("{path}?api-version=1&b=%2F&key=secret");
            let reply = world.post_bytes(&asked, &[], request().to_string()).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            let uri = upstream.asked().pop().unwrap().uri;
            assert_eq!(uri.to_string(), format!("/v1{path}?{expected}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_refuses_stream_options_is_asked_without_them_from_then_on() {
    for (status, said) in [
        (400, "Unknown parameter: stream_options"),
        (422, "body.stream_options: Extra inputs are not permitted"),
        (400, "INCLUDE_USAGE is not supported"),
    ] {
        let refusal = Answer::new(
            status,
            "application/json",
            json!({"error": {"message": said}}).to_string(),
        );
        let upstream = Scripted::start(vec![refusal.clone(), stream("fine")]).await;
        let world = configured(&upstream.table("x"), vec![]).await;
        let mut own = request();
        own["stream"] = json!(true);
        for _ in 0..2 {
            let reply = world.call("s", &own).await;
            assert_eq!(reply.said().at("0/content"), "fine", "{}", reply.text());
        }
        let options: Vec<Value> = upstream
            .asked()
            .iter()
            .map(|a| a.json()["stream_options"].clone())
            .collect();
        assert_eq!(
            options,
            [json!({"include_usage": true}), Value::Null, Value::Null]
        );
        // What the client itself asks for is its own, and so is the refusal.
        upstream.say(vec![refusal]);
        let reply = world.call("s", &streamed(request())).await;
        assert_eq!(reply.status, status);
        assert!(reply.text().contains(said), "{}", reply.text());
        let last = upstream.asked().pop().unwrap().json();
        assert_eq!(last["stream_options"]["include_usage"], true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_refusal_is_not_repeated_and_reaches_the_client_whole() {
    let said = json!({"error": {"message": "x".repeat(200_000), "code": "bad"}}).to_string();
    let upstream = Scripted::start(vec![Answer::new(400, "application/json", said)]).await;
    let small = Answer::new(
        400,
        "application/json",
        json!({"error": {"message": "no", "code": "bad"}}).to_string(),
    );
    let world = configured(&upstream.table("x"), vec![]).await;
    let mut own = request();
    own["stream"] = json!(true);
    assert_eq!(world.call("s", &own).await.status, 400);
    upstream.say(vec![small]);
    let reply = world.call("s", &own).await;
    assert_eq!(
        (reply.status, &*reply.error_code()),
        (400, "bad"),
        "{}",
        reply.text()
    );
    assert_eq!(upstream.asked().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_options_can_be_switched_off() {
    let upstream = Scripted::start(vec![stream("fine")]).await;
    let table = format!("{}stream_options = false\n", upstream.table("x"));
    let world = configured(&table, vec![]).await;
    let mut own = request();
    own["stream"] = json!(true);
    world.call("s", &own).await;
    world.call("s", &streamed(request())).await;
    let options: Vec<Value> = upstream
        .asked()
        .iter()
        .map(|a| a.json()["stream_options"].clone())
        .collect();
    assert_eq!(options, [Value::Null, json!({"include_usage": true})]);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_request_is_read_or_refused_by_name() {
    let upstream = Scripted::start(vec![answer("fine")]).await;
    let config = format!("[gateway]\nmax_body_bytes = 20000\n{}", upstream.table("x"));
    let world = configured(&config, vec![]).await;
    let body = request().to_string();
    for path in ["/chat/completions", "/embeddings"] {
        for (coding, bytes) in [
            ("gzip", gzip(body.as_bytes())),
            ("zstd", zstd::encode_all(body.as_bytes(), 3).unwrap()),
        ] {
            let headers = [
                ("content-encoding", coding),
                ("content-md5", "x"),
                ("digest", "x"),
            ];
            let reply = world.post_bytes(path, &headers, bytes).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            let asked = upstream.asked().pop().unwrap();
            assert_eq!(asked.json()["messages"], request()["messages"]);
            for name in ["content-encoding", "content-md5", "digest"] {
                assert!(!asked.headers.contains_key(name), "{name}");
            }
        }
        let before = upstream.asked().len();
        let coded = |coding: &'static str| [("content-encoding", coding)];
        let reply = world.post_bytes(path, &coded("rot13"), body.clone()).await;
        assert_eq!(
            (reply.status, &*reply.error_code()),
            (415, "airlock_undecodable")
        );
        assert!(reply.text().contains("rot13"), "{}", reply.text());
        assert_eq!(reply.headers["accept-encoding"], "gzip, deflate, br, zstd");
        let reply = world.post_bytes(path, &coded("gzip"), body.clone()).await;
        assert_eq!(
            (reply.status, &*reply.error_code()),
            (400, "airlock_undecodable")
        );
        let bomb = gzip(&vec![b' '; 20_001]);
        let reply = world.post_bytes(path, &coded("gzip"), bomb).await;
        assert_eq!(
            (reply.status, &*reply.error_code()),
            (413, "airlock_body_too_large")
        );
        assert_eq!(upstream.asked().len(), before);
    }
}

/// Two upstreams and routes to them; `named` is known by its route alone.
async fn two() -> (Scripted, Scripted, World) {
    let list = |ids: &[&str]| {
        let data: Vec<Value> = ids
            .iter()
            .map(|id| json!({"id": id, "object": "model", "owned_by": "them"}))
            .collect();
        Answer::json(json!({"object": "list", "data": data}))
    };
    let one = Scripted::start(vec![list(&["gpt-a", "gpt-b", "small"])]).await;
    let other = Scripted::start(vec![list(&["whisper", "gpt-a", "tiny"])]).await;
    let routes = "[[route]]\nmodel = \"fast\"\nupstream = \"other\"\nto_model = \"tiny\"\n\
                  [[route]]\nmodel = \"whisper*\"\nupstream = \"other\"\nto_model = \"whisper\"\n\
                  [[route]]\nmodel = \"gpt-*\"\nupstream = \"one\"\n";
    let config = format!("{}{}{routes}", one.table("one"), other.table("other"));
    let world = configured(&config, vec![]).await;
    (one, other, world)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_models_of_all_upstreams_are_one_list_of_what_can_be_asked_for() {
    let (one, other, world) = two().await;
    let ids = |reply: &Reply| -> Vec<String> {
        let list = reply.json();
        let mut ids: Vec<String> = list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m["id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    let reply = world.get("/models?limit=3", &[]).await;
    // `small` and the other's `gpt-a` are served by no route, `tiny` only as `fast`.
    assert_eq!(
        ids(&reply),
        ["fast", "gpt-a", "gpt-b", "whisper"],
        "{}",
        reply.text()
    );
    assert_eq!(one.asked().pop().unwrap().uri, "/v1/models?limit=3");
    assert_eq!(other.asked().pop().unwrap().uri, "/v1/models?limit=3");
    // One that fails does not hide the other's.
    other.say(vec![Answer::new(500, "text/plain", "broken")]);
    let reply = world.get("/models", &[]).await;
    assert_eq!(ids(&reply), ["fast", "gpt-a", "gpt-b"], "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_looked_up_where_its_calls_go() {
    let (one, other, world) = two().await;
    for (asked, upstream, expected) in [
        ("gpt-b", &one, "/v1/models/gpt-b"),
        ("fast", &other, "/v1/models/tiny"),
        ("whisper-1?x=1", &other, "/v1/models/whisper?x=1"),
    ] {
        let before = one.asked().len() + other.asked().len();
        let reply = world.get(&format!("/models/{asked}"), &[]).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(upstream.asked().pop().unwrap().uri, expected);
        assert_eq!(one.asked().len() + other.asked().len(), before + 1);
    }
    let reply = world.get("/models/unknown", &[]).await;
    assert_eq!(
        (reply.status, &*reply.error_code()),
        (404, "model_not_found")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_goes_where_its_model_goes_and_under_its_name_there() {
    let (one, other, world) = two().await;
    let form = |model: &str| {
        format!(
            "--xx\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n\u{0}sound\r\n\
             --xx\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--xx--\r\n"
        )
    };
    let kind = [("content-type", "multipart/form-data; boundary=xx")];
    for (asked, upstream, expected) in [
        ("gpt-a", &one, "gpt-a"),
        ("whisper-1", &other, "whisper"),
        ("fast", &other, "tiny"),
    ] {
        let reply = world
            .post_bytes("/audio/transcriptions", &kind, form(asked))
            .await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let seen = upstream.asked().pop().unwrap();
        assert_eq!(seen.uri, "/v1/audio/transcriptions");
        assert_eq!(seen.body, form(expected));
    }
    let reply = world
        .post_bytes("/audio/transcriptions", &kind, form("unknown"))
        .await;
    assert_eq!(
        (reply.status, &*reply.error_code()),
        (404, "model_not_found")
    );
}
