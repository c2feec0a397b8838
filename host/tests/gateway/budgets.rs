//! Budgets of sessions: every session has them, whoever opened it, and no mark, no reload and no vendor's way of counting gets
//! around them.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::*;
use airlock_core::event::{Body, Usage};

const SESSION: &str = "x-airlock-session-id";

/// An answer of so many tokens; the prompt has some ten.
fn words(count: usize) -> Value {
    chat(&json!({"chunks": vec![" word"; count]}))
}

/// What was settled in a session, in order.
fn settled(world: &World, session: &str) -> Vec<(Usage, Option<u64>)> {
    let ends = world.timeline(session).into_iter();
    ends.filter_map(|event| match &event.body {
        Body::ResponseEnd { usage, cost, .. } => Some((*usage, *cost)),
        _ => None,
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_another_call_opened_has_the_operators_limits() {
    let world = configured("[session]\nmax_tokens = 1000\n", vec![]).await;
    for session in ["models", "embeddings", "chat"] {
        let headers = [(SESSION, session)];
        match session {
            "models" => assert_eq!(world.get("/models", &headers).await.status, 200),
            "embeddings" => {
                let body = json!({"model": "sim-echo", "input": "x"});
                assert_eq!(world.post("/embeddings", &headers, &body).await.status, 200);
            }
            _ => assert_eq!(world.call(session, &words(1)).await.status, 200),
        }
        world
            .eventually("the session is there", |w| {
                w.app.sessions.live(id_of(session)).is_some()
            })
            .await;
        let ledger = &world.app.sessions.live(id_of(session)).unwrap().ledger;
        assert_eq!(ledger.limits().tokens, Some(1000), "{session}");
        let mut calls = 0;
        while world.call(session, &words(90)).await.status == 200 {
            calls += 1;
            assert!(calls < 10, "{session} has no limit");
        }
        assert!(calls > 0 && ledger.spent().tokens <= 1000, "{session}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_with_a_retry_mark_are_charged_each() {
    let world = configured("[session]\nmax_tokens = 2000\n", vec![]).await;
    let body = streamed(chat(&json!({"chunks": vec![" word"; 100], "delay_ms": 1})));
    let copies = (0..20).map(|n| {
        let (world, body) = (&world, &body);
        async move {
            let retry = (n % 3).to_string();
            let headers = [(SESSION, "s"), ("x-stainless-retry-count", retry.as_str())];
            world
                .call_with(&headers, body)
                .await
                .said()
                .at("0/content")
                .len()
        }
    });
    let told: usize = join_all(copies).await.into_iter().sum();
    let tokens = told / " word".len();
    assert!(tokens <= 2000, "{tokens} tokens of 2000");
    assert_ne!(
        world.call("s", &words(100)).await.status,
        200,
        "all of it is spent"
    );
    let spent: u32 = settled(&world, "s").iter().map(|(u, _)| u.output).sum();
    assert!(spent as usize >= tokens, "{spent} counted, {tokens} told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_the_end_is_charged_again_for_what_it_generates_again() {
    let world = configured("", vec![]).await;
    for retry in ["0", "1", "1", "2"] {
        let headers = [(SESSION, "s"), ("x-stainless-retry-count", retry)];
        assert_eq!(world.call_with(&headers, &words(50)).await.status, 200);
    }
    let outputs: Vec<u32> = settled(&world, "s").iter().map(|(u, _)| u.output).collect();
    assert_eq!(outputs, [50; 4]);
    let session = world.app.sessions.live(id_of("s")).unwrap();
    assert!(session.ledger.spent().tokens >= 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_limits_reach_live_sessions_at_once_and_in_mid_stream() {
    let world = configured("[session]\nmax_tokens = 100000\n", vec![]).await;
    let endless = chat(&json!({"chunks": [" word"], "endless": true, "delay_ms": 1}));
    let stream = world.open(&[(SESSION, "s")], &streamed(endless)).await;
    let (_, mut body) = stream.into_parts();
    http_body_util::BodyExt::frame(&mut body)
        .await
        .unwrap()
        .unwrap();
    world.reconfigure("[session]\nmax_tokens = 50\n");
    let rest = tokio::time::timeout(PATIENCE, http_body_util::BodyExt::collect(body)).await;
    let rest = rest.expect("the stream goes on").unwrap().to_bytes();
    assert!(!rest.is_empty());
    assert_ne!(world.call("s", &words(1)).await.status, 200);

    // Raised again: what was spent stays spent, and there is room for the rest.
    let session = world.app.sessions.live(id_of("s")).unwrap();
    let spent = session.ledger.spent().tokens;
    world.reconfigure(&format!("[session]\nmax_tokens = {}\n", spent + 200));
    assert_eq!(world.call("s", &words(50)).await.status, 200);
    // A limit that a client tightened stays the minimum.
    let headers = [(SESSION, "s"), ("x-airlock-max-tokens", "1")];
    assert_ne!(world.call_with(&headers, &words(1)).await.status, 200);
    world.reconfigure("");
    assert_ne!(world.call("s", &words(1)).await.status, 200);
}

/// Streams and bodies as vendors write their ends, and what they bill: input, output, cached, reasoning.
fn vendors() -> Vec<(&'static str, Vec<Value>, [u32; 4])> {
    let text = |more: Value| {
        let mut chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": null}]});
        chunk
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        chunk
    };
    let last = |choice: Value, more: Value| {
        let mut end = json!({"index": 0, "delta": {}, "finish_reason": "stop"});
        end.as_object_mut()
            .unwrap()
            .extend(choice.as_object().unwrap().clone());
        let mut chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [end]});
        chunk
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        chunk
    };
    let alone = |usage: Value| json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage});
    let none = json!({});
    vec![
        (
            "OpenAI",
            vec![
                text(json!({"usage": null})),
                last(none.clone(), json!({"usage": null})),
                alone(
                    json!({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
                    "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
                    "completion_tokens_details": {"reasoning_tokens": 15}}),
                ),
            ],
            [100, 20, 64, 15],
        ),
        (
            "Moonshot",
            vec![
                text(none.clone()),
                last(
                    json!({"usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "cached_tokens": 64}}),
                    none.clone(),
                ),
            ],
            [100, 20, 64, 0],
        ),
        (
            "Groq",
            vec![
                text(json!({"x_groq": {"id": "req_1"}})),
                last(
                    none.clone(),
                    json!({"x_groq": {"id": "req_1", "usage": {"queue_time": 0.01, "prompt_tokens": 100,
                        "prompt_time": 0.01, "completion_tokens": 20, "completion_time": 0.1, "total_tokens": 120,
                        "total_time": 0.11}}}),
                ),
            ],
            [100, 20, 0, 0],
        ),
        (
            "DeepSeek",
            vec![
                text(none.clone()),
                last(
                    none.clone(),
                    json!({"usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
                        "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36}}),
                ),
            ],
            [100, 20, 64, 0],
        ),
        (
            "vLLM with continuous usage",
            vec![
                text(
                    json!({"usage": {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101}}),
                ),
                last(
                    none.clone(),
                    json!({"usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}}),
                ),
                alone(json!({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120})),
            ],
            [100, 20, 0, 0],
        ),
        (
            "xAI",
            vec![
                text(none.clone()),
                last(none.clone(), none.clone()),
                alone(
                    json!({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 420,
                    "prompt_tokens_details": {"text_tokens": 100, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": 64},
                    "completion_tokens_details": {"reasoning_tokens": 300}, "num_sources_used": 0}),
                ),
            ],
            [100, 320, 64, 300],
        ),
        (
            "floats and strings",
            vec![
                text(none.clone()),
                last(none.clone(), none.clone()),
                alone(
                    json!({"prompt_tokens": 100.0, "completion_tokens": "20", "total_tokens": 120.0}),
                ),
            ],
            [100, 20, 0, 0],
        ),
        (
            "a zero after the numbers",
            vec![
                text(
                    json!({"usage": {"prompt_tokens": 100, "completion_tokens": 0, "total_tokens": 100}}),
                ),
                last(
                    none.clone(),
                    json!({"usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}}),
                ),
                alone(json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})),
            ],
            [100, 20, 0, 0],
        ),
    ]
}

const PRICE: &str = "[price.sim-echo]\ninput = 10\noutput = 100\ncached_input = 1\n";

fn price([input, output, cached, _]: [u32; 4]) -> u64 {
    u64::from(input - cached) * 10 + u64::from(cached) + u64::from(output) * 100
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_vendor_states_in_a_stream_is_billed_at_its_price() {
    let world = configured(PRICE, vec![]).await;
    for (vendor, frames, expected) in vendors() {
        let frames = frames.iter().map(|frame| format!("data: {frame}\n\n"));
        let raw: Vec<String> = frames.chain(["data: [DONE]\n\n".to_owned()]).collect();
        for asks in [true, false] {
            let session = format!("{vendor}-{asks}").replace(' ', "-");
            let mut body = json!({"model": "sim-echo", "stream": true, "metadata": {"sim": {"raw": raw}},
                "messages": [{"role": "user", "content": "x"}]});
            if asks {
                body["stream_options"] = json!({"include_usage": true});
            }
            assert_eq!(world.call(&session, &body).await.status, 200, "{session}");
            let [(usage, cost)] = settled(&world, &session)[..] else {
                panic!("{session}: not one end");
            };
            let read = [usage.input, usage.output, usage.cached, usage.reasoning];
            assert_eq!(read, expected, "{session}");
            assert!(usage.exact, "{session}");
            assert_eq!(cost, Some(price(expected)), "{session}");
            let ledger = &world.app.sessions.live(id_of(&session)).unwrap().ledger;
            assert_eq!(ledger.spent().cost, price(expected), "{session}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_vendor_states_in_a_body_is_billed_at_its_price() {
    for (vendor, frames, expected) in vendors() {
        // A body has one choice, and states what the frames state in the end.
        let mut body = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]});
        for frame in frames {
            for part in ["usage", "x_groq"] {
                if frame[part].is_object() && frame[part]["prompt_tokens"] != json!(0) {
                    body[part] = frame[part].clone();
                }
            }
            if frame["choices"][0]["usage"].is_object() {
                body["choices"][0]["usage"] = frame["choices"][0]["usage"].clone();
            }
        }
        let upstream = Scripted::start(vec![Answer::json(body)]).await;
        let world = configured(&format!("{PRICE}{}", upstream.table("other")), vec![]).await;
        assert_eq!(world.call("s", &words(1)).await.status, 200, "{vendor}");
        let [(usage, cost)] = settled(&world, "s")[..] else {
            panic!("{vendor}: not one end");
        };
        let read = [usage.input, usage.output, usage.cached, usage.reasoning];
        assert_eq!(read, expected, "{vendor}");
        assert_eq!(cost, Some(price(expected)), "{vendor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_in_every_frame_does_not_make_the_rest_free_when_the_client_leaves() {
    let world = configured("[session]\nmax_tokens = 100000\n", vec![]).await;
    // The server states its usage once, at the beginning, and goes on for long.
    let first = json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 0, "total_tokens": 100}});
    let word =
        json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": " word"}}]});
    let mut raw = vec![format!("data: {first}\n\n")];
    raw.extend(vec![format!("data: {word}\n\n"); 200]);
    let body = json!({"model": "sim-echo", "stream": true, "metadata": {"sim": {"raw": raw}},
        "messages": [{"role": "user", "content": "x"}]});
    // It breaks off without an end.
    world.call("s", &body).await;
    let [(usage, _)] = settled(&world, "s")[..] else {
        panic!("not one end");
    };
    assert_eq!((usage.input, usage.output), (100, 200));
    assert!(!usage.exact);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_a_server_that_states_no_usage_counts_once() {
    let body = json!({"id": "c", "model": "m", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": " word".repeat(50)}, "finish_reason": "stop"}]});
    let upstream = Scripted::start(vec![Answer::json(body)]).await;
    for limit in ["", "[session]\nmax_tokens = 100000\n"] {
        let world = configured(&format!("{limit}{}", upstream.table("other")), vec![]).await;
        assert_eq!(world.call("s", &words(1)).await.status, 200);
        let [(usage, _)] = settled(&world, "s")[..] else {
            panic!("not one end");
        };
        assert_eq!(usage.output, 50);
        assert!(!usage.exact);
        let ledger = &world.app.sessions.live(id_of("s")).unwrap().ledger;
        assert_eq!(ledger.spent().tokens, usage.total());
    }
}
