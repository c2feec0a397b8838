//! That every byte is judged first, whatever the response and whatever the policies.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::support::*;
use airlock_core::event::{Body, Channel, Place, Status};

/// What the listener was told of a session, by place.
pub fn told(world: &World, session: &str) -> Said {
    let timeline = world.timeline(session);
    let mut told = Said::default();
    for event in &timeline {
        if let Body::Finding {
            finding,
            summary,
            evidence,
            ..
        } = &event.body
            && finding == "guest.told"
        {
            let place = evidence.first().expect("the finding has its text").place;
            *told.0.entry(key(place)).or_default() += summary;
        }
    }
    told
}

pub fn key(place: Place) -> String {
    let Place {
        channel,
        choice,
        item,
        ..
    } = place;
    match channel {
        Channel::Output => format!("{choice}/content"),
        Channel::Reasoning => format!("{choice}/reasoning_content"),
        Channel::Refusal => format!("{choice}/refusal"),
        Channel::ToolArguments => format!("{choice}/tool_calls/{item}"),
        Channel::Other | Channel::Message | Channel::ToolResult => format!("{choice}/other"),
    }
}

/// Responses of every kind.
pub fn responses() -> Vec<(&'static str, Value)> {
    let call = |name: &str, chunks: &[&str]| json!({"name": name, "chunks": chunks});
    vec![
        (
            "text",
            chat(&json!({"chunks": ["Hel", "lo", " wörld ", "日本", "語", "."]})),
        ),
        (
            "reasoning",
            chat(&json!({"reasoning": ["let me ", "thïnk"], "text": "It is 42."})),
        ),
        (
            "another server's reasoning",
            chat(
                &json!({"reasoning": ["let me ", "think"], "reasoning_field": "reasoning", "text": "It is 42."}),
            ),
        ),
        (
            "refusal",
            chat(&json!({"refusal": ["I can", "not do ", "that"]})),
        ),
        (
            "tool arguments",
            chat(
                &json!({"tool_calls": [call("a", &["{\"q\":", "\"grü", "n\"}"]), call("b", &["{}"])]}),
            ),
        ),
        (
            "no arguments at all",
            chat(&json!({"tool_calls": [{"name": "now", "chunks": [""]}]})),
        ),
        (
            "text and tools",
            chat(&json!({"text": "I look it up.", "tool_calls": [call("a", &["{\"q\":", "1}"])]})),
        ),
        ("several choices", {
            let mut request = chat(&json!({"choices": [["a", "b", "c"], ["x", "y"], ["ü"]]}));
            request["n"] = json!(3);
            request
        }),
        (
            "torn frames",
            chat(&json!({"chunks": ["Hel", "lo", " wörld ", "日本", "語"], "write_bytes": 7})),
        ),
        ("nothing", chat(&json!({"chunks": []}))),
    ]
}

/// Reads a stream to its end; `look` sees what has arrived after each piece.
pub async fn read(
    response: http::Response<hyper::body::Incoming>,
    mut look: impl FnMut(&Said),
) -> Vec<u8> {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = tokio::time::timeout(PATIENCE, body.frame()).await.unwrap() {
        bytes.extend(frame.unwrap().into_data().unwrap_or_default());
        let whole = bytes
            .windows(2)
            .rposition(|w| w == b"\n\n")
            .map_or(0, |i| i + 2);
        let reply = Reply {
            status: 200,
            headers: Default::default(),
            bytes: bytes[..whole].to_vec(),
            cut: false,
        };
        look(&if whole == 0 {
            Said::default()
        } else {
            reply.said()
        });
    }
    bytes
}

/// Field names of reasoning differ between servers; the channel is one.
pub fn one_name(mut said: Said) -> Said {
    for choice in 0..3 {
        if let Some(text) = said.0.remove(&format!("{choice}/reasoning")) {
            said.0.insert(format!("{choice}/reasoning_content"), text);
        }
    }
    said
}

pub async fn every_byte_is_judged_first(
    policies: fn() -> Vec<Policy>,
    more: &str,
    changes: &Value,
    untouched: bool,
) {
    let world = configured(more, policies()).await;
    for (i, (name, mut request)) in responses().into_iter().enumerate() {
        for (key, value) in changes.as_object().unwrap() {
            request[key] = value.clone();
        }
        let session = format!("stream-{i}");
        let response = world
            .open(
                &[("x-airlock-session-id", &session)],
                &streamed(request.clone()),
            )
            .await;
        assert_eq!(response.status(), 200, "{name}");
        let bytes = read(response, |said| {
            let told = told(&world, &session);
            for (place, text) in &one_name(said.clone()).0 {
                assert!(
                    told.at(place).starts_with(text.as_str()),
                    "{name}: the client has {text:?} at {place}, and the policy was told {:?}",
                    told.at(place)
                );
            }
        })
        .await;
        let reply = Reply {
            status: 200,
            headers: Default::default(),
            bytes,
            cut: false,
        };
        assert!(reply.is_done(), "{name}: {}", reply.text());
        if untouched {
            assert_eq!(
                reply.text(),
                String::from_utf8(world.sent()).unwrap(),
                "{name}: byte for byte"
            );
        }
        assert_eq!(
            one_name(reply.said()),
            told(&world, &session),
            "{name}, streamed"
        );

        let session = format!("whole-{i}");
        let reply = world.call(&session, &request).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        if untouched {
            assert_eq!(reply.bytes, world.sent(), "{name}: byte for byte");
        }
        assert_eq!(
            one_name(reply.said()),
            told(&world, &session),
            "{name}, not streamed"
        );
        world
            .eventually("it ended", |w| w.statuses(&session) == [Status::Complete])
            .await;
    }
}

pub const ALL: [&str; 4] = ["output", "reasoning", "refusal", "tool-arguments"];
