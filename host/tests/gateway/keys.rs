//! Airlock's own keys and limits of calls: who gets in, that nobody reaches another's session, and that no limit is passed.

use futures_util::future::join_all;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::support::*;
use airlock::config::KeyHash;
use airlock_core::event::{Body, Status};

/// Keys of two callers of one tenant, and of one of another.
const CI: &str = "alk-CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC";
const BOT: &str = "alk-BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
const STRANGER: &str = "alk-SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS";

fn key(name: &str, key: &str, tenant: &str, more: &str) -> String {
    format!(
        "[[key]]\nname = {name:?}\nhash = \"{}\"\ntenant = {tenant:?}\n{more}\n",
        KeyHash::of(key)
    )
}

const UPSTREAM: &str = "[upstream.sim]\nbase_url = \"SIM\"\nretries = 0\n";

/// A gateway with all three keys; `limits` are those of the first.
async fn keyed(credential: &str, limits: &str) -> World {
    let keys = [
        key("ci", CI, "acme", limits),
        key("bot", BOT, "acme", ""),
        key("stranger", STRANGER, "other", ""),
    ]
    .concat();
    let more = format!("{UPSTREAM}credential = {credential:?}\n{keys}");
    configured(&more, vec![]).await
}

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

fn hello() -> Value {
    says(&["hello"])
}

fn says(turns: &[&str]) -> Value {
    let message = |(i, text): (usize, &&str)| json!({"role": if i % 2 == 0 { "user" } else { "assistant" }, "content": text});
    json!({"model": "sim-echo", "messages": turns.iter().enumerate().map(message).collect::<Vec<_>>()})
}

fn session(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let label = reply.headers["x-airlock-exchange"].to_str().unwrap();
    label.split_once('/').unwrap().0.to_owned()
}

/// Headers of the last request that reached the upstream.
fn forwarded(world: &World) -> Vec<(String, String)> {
    let request = world.simulator.record().requests().pop().unwrap();
    let mut headers: Vec<_> = request.headers.into_iter().collect();
    headers.retain(|(name, _)| {
        ["authorization", "x-api-key", "api-key"].contains(&name.as_str())
            || name.starts_with("x-airlock")
    });
    headers
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_key_lets_in_and_it_goes_no_further() {
    let world = keyed("none", "").await;
    let authorization = bearer(CI);
    for headers in [
        vec![("authorization", authorization.as_str())],
        vec![("x-api-key", CI)],
        vec![("api-key", CI)],
        vec![("x-airlock-key", CI), ("authorization", "Bearer sk-vendor")],
    ] {
        assert_eq!(
            world.call_with(&headers, &hello()).await.status,
            200,
            "{headers:?}"
        );
        assert_eq!(forwarded(&world), [], "{headers:?}");
    }
    let reached = world.received().len();
    let mut bodies = vec![];
    for headers in [
        vec![],
        vec![("authorization", "Bearer sk-vendor")],
        vec![(
            "authorization",
            "Bearer alk-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        )],
        vec![("x-airlock-tenant", "acme"), ("x-airlock-session-id", "s")],
    ] {
        let reply = world.call_with(&headers, &hello()).await;
        assert_eq!(
            (reply.status, reply.error_code().as_str()),
            (401, "airlock_unauthorized")
        );
        assert_eq!(reply.headers["x-should-retry"], "false");
        bodies.push(reply.bytes);
        let passage = world.get("/models", &headers).await;
        assert_eq!(passage.status, 401, "{headers:?}");
    }
    bodies.dedup();
    assert_eq!(
        bodies.len(),
        1,
        "the answer does not say which part was wrong"
    );
    assert_eq!(world.received().len(), reached);
    assert_eq!(world.get("/models", &[("x-api-key", CI)]).await.status, 200);
    assert_eq!(forwarded(&world), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vendors_credential_is_forwarded_beside_airlocks_key() {
    let world = keyed("forward", "").await;
    let headers = [("x-airlock-key", CI), ("authorization", "Bearer sk-vendor")];
    assert_eq!(world.call_with(&headers, &hello()).await.status, 200);
    assert_eq!(
        forwarded(&world),
        [("authorization".to_owned(), "Bearer sk-vendor".to_owned())]
    );
    let authorization = bearer(CI);
    let headers = [("authorization", authorization.as_str())];
    assert_eq!(world.call_with(&headers, &hello()).await.status, 200);
    assert_eq!(forwarded(&world), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn tenant_and_principal_are_those_of_the_key() {
    let world = keyed("none", "").await;
    let headers = [
        ("x-api-key", CI),
        ("x-airlock-session-id", "s"),
        ("x-airlock-tenant", "other"),
    ];
    world.call_with(&headers, &hello()).await;
    let opened = world
        .tape
        .all()
        .into_iter()
        .find_map(|event| match &event.body {
            Body::SessionOpened {
                tenant, principal, ..
            } => Some((tenant.clone(), principal.clone())),
            _ => None,
        });
    assert_eq!(opened, Some(("acme".to_owned(), "ci".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_source_of_a_session_id_reaches_across_principals() {
    let correlate = "[session]\ncorrelate = [\"traceparent\", \"prompt_cache_key\"]\n";
    let world = keyed("none", correlate).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers: Vec<Vec<(&str, &str)>> = [
        "x-airlock-session-id",
        "x-litellm-trace-id",
        "x-litellm-session-id",
        "x-claude-code-session-id",
        "helicone-session-id",
        "x-tfy-conversation-id",
        "x-portkey-trace-id",
        "x-session-id",
        "x-session-affinity",
        "x-conversation-id",
    ]
    .into_iter()
    .map(|name| vec![(name, "shared")])
    .chain([
        vec![("user-agent", "codex/1"), ("session-id", "shared")],
        vec![("user-agent", "codex/1"), ("session_id", "shared")],
        vec![("user-agent", "codex/1"), ("thread-id", "shared")],
        vec![("user-agent", "codex/1"), ("conversation_id", "shared")],
        vec![("baggage", "session.id=shared")],
        vec![("traceparent", trace)],
    ])
    .collect();
    let mut hinted = hello();
    hinted["metadata"] = json!({"session_id": "shared"});
    hinted["prompt_cache_key"] = json!("shared");
    let named = headers
        .into_iter()
        .map(|h| (h, hello()))
        .chain([(vec![], hinted)]);
    for (headers, body) in named {
        let mut sessions = vec![];
        for key in [CI, BOT, STRANGER] {
            let headers = [headers.as_slice(), &[("x-api-key", key)]].concat();
            let own = session(&world.call_with(&headers, &body).await);
            assert_eq!(
                session(&world.call_with(&headers, &body).await),
                own,
                "{headers:?} names it"
            );
            sessions.push(own);
        }
        sessions.sort_unstable();
        sessions.dedup();
        assert_eq!(sessions.len(), 3, "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_recognised_for_its_own_principal_alone() {
    let world = keyed("none", "").await;
    let call = async |key: &str, turns: &[&str]| {
        session(&world.call_with(&[("x-api-key", key)], &says(turns)).await)
    };
    let first = call(CI, &["only ci said this"]).await;
    let on = ["only ci said this", "only ci said this", "go on"];
    assert_ne!(call(BOT, &on).await, first);
    assert_ne!(call(STRANGER, &on).await, first);
    assert_eq!(call(CI, &on).await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_moves_to_another_tenant_leaves_its_sessions_behind() {
    let world = keyed("none", "").await;
    let call =
        async |turns: &[&str]| session(&world.call_with(&[("x-api-key", CI)], &says(turns)).await);
    let first = call(&["a secret of acme"]).await;
    world.reconfigure(&format!(
        "{UPSTREAM}credential = \"none\"\n{}",
        key("ci", CI, "other", "")
    ));
    assert_ne!(
        call(&["a secret of acme", "a secret of acme", "go on"]).await,
        first
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_key_stops_working_and_calls_under_way_go_on() {
    let world = keyed("none", "").await;
    let request = streamed(chat(&json!({"chunks": ["one", " two"], "delay_ms": 300})));
    let response = world.open(&[("x-api-key", BOT)], &request).await;
    world.reconfigure(&format!(
        "{UPSTREAM}credential = \"none\"\n{}",
        key("ci", CI, "acme", "")
    ));
    assert_eq!(
        world
            .call_with(&[("x-api-key", BOT)], &hello())
            .await
            .status,
        401
    );
    assert_eq!(
        world.call_with(&[("x-api-key", CI)], &hello()).await.status,
        200
    );
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert!(bytes.ends_with(b"data: [DONE]\n\n"));
    // Without any key, Airlock's keys are still not the vendor's.
    world.reconfigure(UPSTREAM);
    assert_eq!(
        world.call_with(&[("x-api-key", CI)], &hello()).await.status,
        401
    );
    assert_eq!(
        world
            .call_with(&[("x-api-key", "sk-vendor")], &hello())
            .await
            .status,
        200
    );
}

/// What a refusal for want of room must say.
fn refused(reply: &Reply, whose: &str, limit: &str) {
    assert_eq!(
        (reply.status, reply.error_code().as_str()),
        (429, "airlock_rate_limit"),
        "{}",
        reply.text()
    );
    assert_eq!(reply.headers["x-should-retry"], "true");
    let number = |name: &str| {
        reply.headers[name]
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let (seconds, ms) = (number("retry-after"), number("retry-after-ms"));
    assert_eq!(seconds, ms.div_ceil(1000));
    assert!(seconds >= 1);
    let text = reply.text();
    assert!(text.contains(whose) && text.contains(limit), "{text}");
    assert!(
        !reply
            .headers
            .keys()
            .any(|name| name.as_str().starts_with("x-ratelimit"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_a_minute_are_counted_by_key_and_passages_too() {
    let world = keyed("none", "requests_per_minute = 2").await;
    let ci = [("x-api-key", CI)];
    assert_eq!(world.call_with(&ci, &hello()).await.status, 200);
    assert_eq!(world.get("/models", &ci).await.status, 200);
    refused(
        &world.call_with(&ci, &hello()).await,
        "the key ci",
        "requests_per_minute",
    );
    refused(
        &world.get("/models", &ci).await,
        "the key ci",
        "2 calls a minute",
    );
    assert_eq!(
        world
            .call_with(&[("x-api-key", BOT)], &hello())
            .await
            .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_gives_nobody_a_second_minutes_worth() {
    let world = keyed("none", "requests_per_minute = 1").await;
    let ci = [("x-api-key", CI)];
    assert_eq!(world.call_with(&ci, &hello()).await.status, 200);
    let more = "requests_per_minute = 1\nmax_concurrent = 9";
    world.reconfigure(&format!(
        "{UPSTREAM}credential = \"none\"\n{}",
        key("ci", CI, "acme", more)
    ));
    refused(
        &world.call_with(&ci, &hello()).await,
        "the key ci",
        "requests_per_minute",
    );
    world.reconfigure(&format!(
        "{UPSTREAM}credential = \"none\"\n{}",
        key("ci", CI, "acme", "")
    ));
    assert_eq!(world.call_with(&ci, &hello()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_a_minute_are_corrected_by_what_was_used() {
    let world = keyed("none", "tokens_per_minute = 400").await;
    let ci = [("x-api-key", CI)];
    let mut request = chat(&json!({"text": "short"}));
    request["max_tokens"] = json!(300);
    // Each is estimated at over 300 and uses far less: without the correction the second would be refused.
    for _ in 0..4 {
        assert_eq!(world.call_with(&ci, &request).await.status, 200);
    }
    let long = chat(&json!({"chunks": vec!["w"; 300]}));
    assert_eq!(
        world.call_with(&ci, &long).await.status,
        200,
        "nothing said that it would be long"
    );
    refused(
        &world.call_with(&ci, &request).await,
        "the key ci",
        "400 tokens a minute",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_keys_share_its_limits() {
    let keys = [
        key("ci", CI, "acme", ""),
        key("bot", BOT, "acme", ""),
        key("stranger", STRANGER, "other", ""),
    ]
    .concat();
    let more =
        format!("{UPSTREAM}credential = \"none\"\n{keys}[tenant.acme]\nrequests_per_minute = 2\n");
    let world = configured(&more, vec![]).await;
    for key in [CI, BOT] {
        assert_eq!(
            world
                .call_with(&[("x-api-key", key)], &hello())
                .await
                .status,
            200
        );
    }
    refused(
        &world.call_with(&[("x-api-key", CI)], &hello()).await,
        "the tenant acme",
        "requests_per_minute",
    );
    assert_eq!(
        world
            .call_with(&[("x-api-key", STRANGER)], &hello())
            .await
            .status,
        200
    );
}

/// A stream that waits in its middle, opened.
async fn hanging(world: &World, headers: &[(&str, &str)]) -> http::Response<hyper::body::Incoming> {
    let request = streamed(chat(
        &json!({"chunks": ["one", " two"], "hang_after_chunks": 1}),
    ));
    let response = world.open(headers, &request).await;
    assert_eq!(response.status(), 200);
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_free_again_when_the_stream_ends_or_its_client_leaves() {
    let world = keyed("none", "max_concurrent = 1").await;
    let ci = [("x-api-key", CI)];
    let stream = hanging(&world, &ci).await;
    refused(
        &world.call_with(&ci, &hello()).await,
        "the key ci",
        "1 calls at once",
    );
    refused(
        &world.get("/models", &ci).await,
        "the key ci",
        "max_concurrent",
    );
    drop(stream);
    eventually("the place is free", async || {
        world.call_with(&ci, &hello()).await.status == 200
    })
    .await;
    // Every way in which a call ends gives the place back.
    for script in [
        json!({"text": "whole"}),
        json!({"status": 500}),
        json!({"text": "cut", "die_after_chunks": 1}),
        json!({"text": "error", "error_after_chunks": 1}),
    ] {
        for request in [chat(&script), streamed(chat(&script))] {
            eventually("the place is free", async || {
                world.call_with(&ci, &request).await.status != 429
            })
            .await;
        }
    }
    eventually("the place is free", async || {
        world.get("/models", &ci).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_calls_wait_in_line_and_never_more_run_than_may() {
    let world = keyed(
        "none",
        "max_concurrent = 8\nmax_queued = 200\nqueue_ms = 20000",
    )
    .await;
    let request = streamed(chat(&json!({"chunks": ["a", "b"], "delay_ms": 5})));
    let ci = [("x-api-key", CI)];
    let calls = join_all((0..200).map(|_| world.call_with(&ci, &request)));
    let watch = async {
        let mut most = 0;
        loop {
            most = most.max(world.simulator.record().live().open);
            if world.simulator.record().requests().len() == 200 {
                return most;
            }
            tokio::task::yield_now().await;
        }
    };
    let (replies, most) = futures_util::future::join(calls, watch).await;
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert!((1..=8).contains(&most), "{most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_is_bounded_in_length_and_in_time() {
    let world = keyed(
        "none",
        "max_concurrent = 1\nmax_queued = 1\nqueue_ms = 60000",
    )
    .await;
    let ci = [("x-api-key", CI)];
    let stream = hanging(&world, &ci).await;
    let request = hello();
    let mut waits = Box::pin(world.call_with(&ci, &request));
    assert!(futures_util::poll!(&mut waits).is_pending());
    // Whichever of the two arrived first waits; the other is refused.
    let other = world.call_with(&ci, &request);
    let (reply, rest) = match futures_util::future::select(waits, Box::pin(other)).await {
        futures_util::future::Either::Left((reply, rest)) => (reply, rest),
        futures_util::future::Either::Right((reply, rest)) => (reply, rest),
    };
    refused(&reply, "the key ci", "max_concurrent");
    drop(stream);
    assert_eq!(rest.await.status, 200);

    let world = keyed("none", "max_concurrent = 1\nmax_queued = 9\nqueue_ms = 30").await;
    let _stream = hanging(&world, &ci).await;
    refused(
        &world.call_with(&ci, &hello()).await,
        "the key ci",
        "max_concurrent",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_as_a_whole_is_bounded() {
    let world = world(vec![]).await;
    world.change(|config| config.gateway.max_concurrent = 1);
    let stream = hanging(&world, &[]).await;
    refused(
        &world.call_with(&[], &hello()).await,
        "this gateway",
        "max_concurrent",
    );
    drop(stream);
    eventually("the place is free", async || {
        world.call_with(&[], &hello()).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_at_its_limit_is_passed_over_for_the_next_and_the_last_one_says_so() {
    let upstreams = "[upstream.small]\nbase_url = \"SIM\"\nmax_concurrent = 1\n\
                     [upstream.large]\nbase_url = \"SIM\"\nmax_concurrent = 1\n\
                     [[route]]\nmodel = \"sim-echo\"\nupstream = \"small\"\nfallback = [\"large\"]\n\
                     [[route]]\nmodel = \"*\"\nupstream = \"small\"\n";
    let world = configured(upstreams, vec![]).await;
    let small = hanging(&world, &[("x-airlock-session-id", "a")]).await;
    let large = hanging(&world, &[("x-airlock-session-id", "b")]).await;
    refused(
        &world.call("c", &hello()).await,
        "upstream large",
        "max_concurrent",
    );
    assert_eq!(world.statuses("c"), [Status::Failed]);
    let went: Vec<String> = world
        .timeline("b")
        .iter()
        .filter_map(|e| match &e.body {
            Body::Request { upstream, .. } => Some(upstream.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(went, ["small", "large"]);
    drop(small);
    eventually("the place is free", async || {
        world.call("d", &hello()).await.status == 200
    })
    .await;
    drop(large);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upstream_refused_for_itself_keeps_its_own_headers() {
    let world = keyed("none", "").await;
    let script =
        json!({"status": 429, "headers": {"retry-after": "7", "x-ratelimit-limit-requests": "5"}});
    let reply = world.call_with(&[("x-api-key", CI)], &chat(&script)).await;
    assert_eq!(reply.status, 429);
    assert_eq!(reply.headers["retry-after"], "7");
    assert_eq!(reply.headers["x-ratelimit-limit-requests"], "5");
}
