//! Calls and tokens a minute.

use serde_json::json;

use super::callers::{BOT, CI, STRANGER, UPSTREAM, hello, key, keyed, refused};
use crate::support::*;

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
