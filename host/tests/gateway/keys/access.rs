//! Who gets in, and that nobody reaches another's session.

use http_body_util::BodyExt as _;
use serde_json::json;

use super::callers::{
    BOT, CI, STRANGER, UPSTREAM, bearer, forwarded, hello, key, keyed, says, session,
};
use crate::support::*;
use airlock_core::event::Body;

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
