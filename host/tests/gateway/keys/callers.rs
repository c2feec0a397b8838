//! Callers with keys, what they say, and what they are told.

use serde_json::{Value, json};

use crate::support::*;
use airlock::config::KeyHash;

/// Keys of two callers of one tenant, and of one of another.
pub const CI: &str = "alk-CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC";

pub const BOT: &str = "alk-BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

pub const STRANGER: &str = "alk-SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS";

pub fn key(name: &str, key: &str, tenant: &str, more: &str) -> String {
    format!(
        "[[key]]\nname = {name:?}\nhash = \"{}\"\ntenant = {tenant:?}\n{more}\n",
        KeyHash::of(key)
    )
}

pub const UPSTREAM: &str = "[upstream.sim]\nbase_url = \"SIM\"\nretries = 0\n";

/// A gateway with all three keys; `limits` are those of the first.
pub async fn keyed(credential: &str, limits: &str) -> World {
    let keys = [
        key("ci", CI, "acme", limits),
        key("bot", BOT, "acme", ""),
        key("stranger", STRANGER, "other", ""),
    ]
    .concat();
    let more = format!("{UPSTREAM}credential = {credential:?}\n{keys}");
    configured(&more, vec![]).await
}

pub fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

pub fn hello() -> Value {
    says(&["hello"])
}

pub fn says(turns: &[&str]) -> Value {
    let message = |(i, text): (usize, &&str)| json!({"role": if i % 2 == 0 { "user" } else { "assistant" }, "content": text});
    json!({"model": "sim-echo", "messages": turns.iter().enumerate().map(message).collect::<Vec<_>>()})
}

pub fn session(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let label = reply.headers["x-airlock-exchange"].to_str().unwrap();
    label.split_once('/').unwrap().0.to_owned()
}

/// Headers of the last request that reached the upstream.
pub fn forwarded(world: &World) -> Vec<(String, String)> {
    let request = world.simulator.record().requests().pop().unwrap();
    let mut headers: Vec<_> = request.headers.into_iter().collect();
    headers.retain(|(name, _)| {
        ["authorization", "x-api-key", "api-key"].contains(&name.as_str())
            || name.starts_with("x-airlock")
    });
    headers
}

/// What a refusal for want of room must say.
pub fn refused(reply: &Reply, whose: &str, limit: &str) {
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

/// A stream that waits in its middle, opened.
pub async fn hanging(
    world: &World,
    headers: &[(&str, &str)],
) -> http::Response<hyper::body::Incoming> {
    let request = streamed(chat(
        &json!({"chunks": ["one", " two"], "hang_after_chunks": 1}),
    ));
    let response = world.open(headers, &request).await;
    assert_eq!(response.status(), 200);
    response
}
