//! Blocks and stops, before the call and in the middle of an answer.

use serde_json::json;

use super::orders::{both, hello, on_request, stop};
use crate::support::*;
use airlock_core::event::{Body, Status};

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_request_is_judged_again_when_it_is_repeated() {
    // The same messages in the same session: they are known only once a request with them went upstream.
    let guest = ordering(wakes(json!([{"event": "message"}])), &[block("hard")]);
    let world = world(vec![Policy::new("no", guest)]).await;
    for _ in 0..3 {
        assert_eq!(world.call("s", &hello()).await.status, 400);
    }
    let request = hello();
    let replies = futures_util::future::join_all((0..8).map(|_| world.call("s", &request))).await;
    assert!(replies.iter().all(|reply| reply.status == 400));
    assert!(world.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_blocked_costs_nothing() {
    let world = configured(
        "[session]\nmax_tokens = 1000\n",
        vec![Policy::new("no", on_request(&[block("hard")]))],
    )
    .await;
    assert_eq!(world.call("s", &hello()).await.status, 400);
    let end = world.timeline("s").iter().find_map(|e| match &e.body {
        Body::ResponseEnd { usage, cost, .. } => {
            Some((usage.input, usage.output, cost.unwrap_or(0)))
        }
        _ => None,
    });
    assert_eq!(end, Some((0, 0, 0)));
    assert_eq!(spent(&world).await, 0);
}

/// Tokens on the ledger of session `s`.
async fn spent(world: &World) -> u64 {
    let found = airlock_core::session::state::Found {
        key: airlock_core::event::key::SessionKey {
            tenant: "default".into(),
            principal: "anonymous".into(),
            source: "x-airlock-session-id".into(),
            value: "s".into(),
        },
        confidence: "explicit",
        parent: None,
        extra: vec![],
    };
    let session = world.app.sessions.get(found).await.unwrap();
    session.ledger.spent().tokens
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mode_of_block_says_what_it_means_before_the_call() {
    for mode in ["hard", "soft", "abort"] {
        let world = world(vec![Policy::new("no", on_request(&[block(mode)]))]).await;
        for (form, request) in both(hello()) {
            let reply = world.call(form, &request).await;
            let context = format!("{mode}, {form}: {reply:?}");
            match mode {
                "hard" => {
                    assert_eq!(
                        (reply.status, reply.error_code().as_str()),
                        (400, "content_filter"),
                        "{context}"
                    );
                    assert!(reply.text().contains("not here"), "{context}");
                    assert_eq!(
                        reply.headers.get("x-should-retry").unwrap(),
                        "false",
                        "{context}"
                    );
                }
                "soft" => {
                    assert_eq!(reply.status, 200, "{context}");
                    assert_eq!(
                        reply.said().0.values().next().unwrap(),
                        "let us talk of something else",
                        "{context}"
                    );
                    assert_eq!(reply.finishes(), ["content_filter"], "{context}");
                    assert_eq!(reply.is_done(), form == "streamed", "{context}");
                }
                _ => assert!(reply.cut, "{context}"),
            }
            assert_eq!(world.statuses(form), [Status::Blocked]);
        }
        assert!(world.received().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mode_of_block_says_what_it_means_in_the_middle() {
    for mode in ["hard", "soft", "abort"] {
        let world = world(vec![Policy::new("no", matching("secret", &[block(mode)]))]).await;
        for (form, request) in both(chat(&json!({"chunks": ["my ", "sec", "ret", " word"]}))) {
            let reply = world.call(form, &request).await;
            let context = format!("{mode}, {form}: {reply:?}");
            assert!(!reply.text().contains("sec"), "{context}");
            let stream = form == "streamed";
            match mode {
                "hard" => {
                    assert_eq!(reply.error_code(), "content_filter", "{context}");
                    assert!(!reply.is_done(), "{context}");
                    assert_eq!(reply.status, if stream { 200 } else { 400 }, "{context}");
                }
                "soft" => {
                    let fallback = "let us talk of something else";
                    let said = reply.said().0.values().cloned().collect::<String>();
                    assert_eq!(
                        said,
                        if stream {
                            format!("my {fallback}")
                        } else {
                            fallback.to_owned()
                        },
                        "{context}"
                    );
                    assert_eq!(reply.finishes(), ["content_filter"], "{context}");
                    assert_eq!(reply.is_done(), stream, "{context}");
                }
                _ => assert!(reply.cut, "{context}"),
            }
            assert_eq!(world.statuses(form), [Status::Blocked], "{context}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_with_a_partial_result_that_says_so() {
    let world = world(vec![Policy::new("end", matching("stop", &[stop(false)]))]).await;
    for (form, request) in both(chat(
        &json!({"chunks": ["one ", "two ", "st", "op", " three"]}),
    )) {
        let reply = world.call(form, &request).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let values = if form == "streamed" {
            reply.frames()
        } else {
            vec![reply.json()]
        };
        let partial = values
            .iter()
            .find(|v| v["airlock"].is_object())
            .unwrap_or_else(|| panic!("{}", reply.text()));
        assert_eq!(partial["airlock"]["reason"], "enough", "{partial}");
        assert_eq!(partial["airlock"]["confidence"], 0.25, "{partial}");
        assert!(
            !reply.text().contains("three") && !reply.text().contains("\"st\""),
            "{}",
            reply.text()
        );
        if form == "streamed" {
            assert_eq!(reply.said().at("0/content"), "one two ");
            assert!(reply.is_done());
        }
        assert_eq!(reply.finishes().len(), 1, "{}", reply.text());
        assert_eq!(world.statuses(form), [Status::Partial]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_may_let_held_text_go_first() {
    let mut guest = ordering(
        json!({"wakes": [{"event": "response-end"}], "sees": ["response-end"]}),
        &[stop(true)],
    );
    guest.name = "keeper";
    let world = world(vec![Policy::new("keeper", guest)]).await;
    for (form, request) in both(chat(&json!({"chunks": ["one ", "two"]}))) {
        let reply = world.call(form, &request).await;
        assert_eq!(
            reply.said().at("0/content"),
            "one two",
            "{form}: {}",
            reply.text()
        );
        assert!(
            reply.text().contains("\"enough\""),
            "{form}: {}",
            reply.text()
        );
        assert_eq!(reply.finishes().len(), 1, "{form}: {}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_a_policy_sets_cuts_the_stream_where_it_ends() {
    let limit = json!({"allocate": {"scope": "session", "limits": [["tokens", 60]]}});
    let world = world(vec![Policy::new("limit", on_request(&[limit]))]).await;
    let mut request = streamed(hello());
    request["metadata"] =
        json!({"sim": json!({"chunks": vec![" three more words"; 200]}).to_string()});
    let reply = world.call("s", &request).await;
    let words = reply.said().at("0/content").split(' ').count();
    assert!((10..60).contains(&words), "{words}: {}", reply.text());
    assert!(
        reply.is_done() && reply.finishes().len() == 1,
        "{}",
        reply.text()
    );
    assert_eq!(
        world.call("s", &hello()).await.status,
        402,
        "nothing is left"
    );
}
