//! Calls at once, and the line for a place.

use futures_util::future::join_all;
use serde_json::json;

use super::callers::{CI, hanging, hello, keyed, refused};
use crate::support::*;
use airlock_core::event::{Body, Status};

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
