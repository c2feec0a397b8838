//! No byte of a response reaches the client before every enforcing policy could judge it: for every channel, streamed and
//! not, whatever the borders between chunks, and however the response came about.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::support::*;
use airlock_core::event::{Body, Channel, Outcome, Place, Status};
use airlock_policy::OnFailure;

/// What the listener was told of a session, by place.
fn told(world: &World, session: &str) -> Said {
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
            let place = timeline
                .iter()
                .find_map(|e| match &e.body {
                    Body::Text { place, .. } if e.seq == evidence[0].0 => Some(*place),
                    _ => None,
                })
                .expect("the finding names an event of text");
            *told.0.entry(key(place)).or_default() += summary;
        }
    }
    told
}

fn key(place: Place) -> String {
    let Place {
        channel,
        choice,
        block,
    } = place;
    match channel {
        Channel::Output => format!("{choice}/content"),
        Channel::Reasoning => format!("{choice}/reasoning_content"),
        Channel::Refusal => format!("{choice}/refusal"),
        Channel::ToolArguments => format!("{choice}/tool_calls/{block}"),
        Channel::Other => format!("{choice}/other"),
    }
}

/// Responses of every kind.
fn responses() -> Vec<(&'static str, Value)> {
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
async fn read(
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
fn one_name(mut said: Said) -> Said {
    for choice in 0..3 {
        if let Some(text) = said.0.remove(&format!("{choice}/reasoning")) {
            said.0.insert(format!("{choice}/reasoning_content"), text);
        }
    }
    said
}

async fn every_byte_is_judged_first(
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

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_told_every_byte_before_the_client_has_it() {
    every_byte_is_judged_first(
        || vec![Policy::new("ears", listener(&[], false))],
        "",
        &json!({}),
        true,
    )
    .await;
}

const ALL: [&str; 4] = ["output", "reasoning", "refusal", "tool-arguments"];

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_holds_is_told_every_byte_and_the_rest_leaves_unharmed() {
    every_byte_is_judged_first(
        || vec![Policy::new("ears", listener(&ALL, true))],
        "",
        &json!({}),
        true,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_policies_of_different_kinds_leave_no_gap_between_them() {
    let policies = || {
        vec![
            Policy::new("ears", listener(&["output"], true)),
            Policy::new("words", matching("nowhere", &[block("hard")])),
        ]
    };
    every_byte_is_judged_first(policies, "", &json!({}), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_a_policy_ordered_is_judged_like_the_first_attempt() {
    let retry = json!({"retry": {"upstream": "", "model": "sim-reasoning", "after-ms": 0}});
    let world = world(vec![
        Policy::new("ears", listener(&[], false)),
        Policy::new(
            "again",
            ordering(wakes(json!([{"event": "failure"}])), &[retry]),
        ),
    ])
    .await;
    let request = json!({"model": "sim-flaky", "messages": [{"role": "user", "content": "hi"}]});
    for (session, request) in [("s", streamed(request.clone())), ("w", request)] {
        let reply = world.call(session, &request).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.said().at("0/content"), "The answer is 42.");
        assert_eq!(reply.said(), told(&world, session));
        assert_eq!(world.outcome(session, "retry").0, Outcome::Applied);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_judged_like_the_first_upstream() {
    let more = "[upstream.dead]\nbase_url = \"http://127.0.0.1:1/v1\"\nretries = 0\n[upstream.sim]\nbase_url = \"SIM\"\n\
                [[route]]\nmodel = \"*\"\nupstream = \"dead\"\nfallback = [\"sim\"]\n";
    every_byte_is_judged_first(
        || vec![Policy::new("ears", listener(&[], false))],
        more,
        &json!({}),
        true,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_answer_is_judged_like_a_models() {
    let policies = || {
        vec![
            Policy::new("ears", listener(&[], false)),
            Policy::new(
                "host",
                ordering(wakes(json!([{"event": "request"}])), &[answer()]),
            ),
        ]
    };
    fn answer() -> Value {
        json!({"answer-locally": "Grüße from the gateway"})
    }
    every_byte_is_judged_first(policies, "", &json!({"n": 1}), false).await;
    let world = world(vec![
        Policy::new("words", matching("from", &[block("hard")])),
        Policy::new(
            "host",
            ordering(wakes(json!([{"event": "request"}])), &[answer()]),
        ),
    ])
    .await;
    for request in [
        chat(&json!({"text": "x"})),
        streamed(chat(&json!({"text": "x"}))),
    ] {
        let reply = world.call("s", &request).await;
        assert_eq!(reply.error_code(), "content_filter", "{}", reply.text());
        assert!(!reply.text().contains("Grüße from"), "{}", reply.text());
    }
}

/// Multi-byte, and with a beginning that repeats: "gegeheim" begins it twice.
const SECRET: &str = "geheim-ß7";

/// Where text goes, a script that says chunks there, and what stands before and after the secret.
type Kind = (
    &'static str,
    fn(Vec<String>) -> Value,
    &'static str,
    &'static str,
);

/// Every way to cut the secret in two, the whole, and every character by itself.
fn cuts(before: &str, after: &str) -> Vec<Vec<String>> {
    let text = format!("{before}{SECRET}{after}");
    let (from, to) = (before.len(), before.len() + SECRET.len());
    let borders: Vec<usize> = (from..=to).filter(|i| text.is_char_boundary(*i)).collect();
    let mut all: Vec<Vec<String>> = borders.iter().map(|at| cut(&text, &[*at])).collect();
    all.push(vec![text.clone()]);
    all.push(cut(&text, &borders));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_string_cut_anywhere_leaks_not_one_byte() {
    let world = world(vec![Policy::new(
        "words",
        matching(SECRET, &[block("hard")]),
    )])
    .await;
    let kinds: [Kind; 5] = [
        (
            "0/content",
            |c| json!({"chunks": c}),
            "the key is ge",
            ", keep it",
        ),
        (
            "0/reasoning_content",
            |c| json!({"reasoning": c, "text": "fine"}),
            "hm, ge",
            ", no",
        ),
        (
            "0/reasoning",
            |c| json!({"reasoning": c, "reasoning_field": "reasoning", "text": "fine"}),
            "hm, ",
            "",
        ),
        (
            "0/refusal",
            |c| json!({"refusal": c}),
            "",
            " I will not say",
        ),
        (
            "0/tool_calls/1",
            |c| json!({"tool_calls": [{"name": "a", "chunks": ["{}"]}, {"name": "b", "chunks": c}]}),
            "{\"q\":\"",
            "\"}",
        ),
    ];
    for (place, script, before, after) in kinds {
        for (i, chunks) in cuts(before, after).into_iter().enumerate() {
            for write_bytes in [None, Some(1), Some(11)] {
                let mut script = script(chunks.clone());
                if let Some(n) = write_bytes {
                    script["write_bytes"] = json!(n);
                }
                let session = format!("{place}-{i}-{write_bytes:?}");
                let reply = world.call(&session, &streamed(chat(&script))).await;
                let context = format!(
                    "{place}, chunks {chunks:?}, writes of {write_bytes:?}: {}",
                    reply.text()
                );
                assert!(before.starts_with(reply.said().at(place)), "{context}");
                assert_eq!(reply.error_code(), "content_filter", "{context}");
                assert!(!reply.is_done() && reply.finishes().is_empty(), "{context}");
                assert_eq!(world.statuses(&session), [Status::Blocked], "{context}");
            }
        }
        let reply = world
            .call(
                "whole",
                &chat(&script(vec![format!("{before}{SECRET}{after}")])),
            )
            .await;
        assert_eq!(
            (reply.status, reply.error_code().as_str()),
            (400, "content_filter")
        );
        assert!(!reply.text().contains("geheim"), "{}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_in_other_shapes_and_other_choices_is_no_way_around() {
    let world = world(vec![Policy::new(
        "words",
        matching(SECRET, &[block("hard")]),
    )])
    .await;
    let parts = |text: &str| json!([{"type": "text", "text": text}]);
    let frame = |delta: Value, choice: u32| {
        let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": choice, "delta": delta, "finish_reason": null}]});
        format!("data: {chunk}\n\n")
    };
    let shapes = [
        vec![
            frame(json!({"content": parts("ge")}), 0),
            frame(json!({"content": parts(&SECRET[2..])}), 0),
        ],
        vec![
            frame(json!({"content": "ge"}), 1),
            frame(json!({"content": "x"}), 0),
            frame(json!({"content": &SECRET[2..]}), 1),
        ],
        vec![frame(json!({"audio": {"transcript": SECRET}}), 0)],
        vec![frame(
            json!({"function_call": {"name": "f", "arguments": SECRET}}),
            0,
        )],
        vec![frame(
            json!({"reasoning_details": [{"type": "reasoning.text", "text": SECRET}]}),
            0,
        )],
        // After what should have been the end.
        vec![
            frame(json!({"content": "fine"}), 0),
            "data: [DONE]\n\n".to_owned(),
            frame(json!({"content": SECRET}), 0),
        ],
        vec![format!(
            "{}data: [DONE]\n\n{}",
            frame(json!({"content": "fine"}), 0),
            frame(json!({"content": SECRET}), 0)
        )],
        // In a field of the frame that nobody defined.
        vec![frame(json!({"content": "fine", "comment": SECRET}), 0)],
    ];
    for (i, raw) in shapes.into_iter().enumerate() {
        let script = json!({"raw": raw});
        let mut request = chat(&script);
        // The prompt holds the script, and the request is not what is looked at here.
        request["n"] = json!(2);
        let reply = world.call(&format!("{i}"), &streamed(request)).await;
        assert!(
            !reply.text().contains(&SECRET[2..]),
            "shape {i}: {}",
            reply.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_a_mark() {
    for (on_failure, end) in [(OnFailure::Closed, "content_filter"), (OnFailure::Open, "")] {
        let guest = crate::guests::Guest {
            subscription: Some(json!({"wakes": [{"every-tokens": 1}],
                "release": [{"channel": "output", "mode": "hold-until-judged", "max-hold-ms": 20}]})),
            assessments: vec![
                json!({"release": [{"channel": "output", "choice": 0, "block": 0, "upto": 6}]}),
            ],
            observe: "(return {a0})",
            ..Default::default()
        };
        let world = world(vec![Policy::new("gate", guest).on_failure(on_failure)]).await;
        let request = streamed(chat(
            &json!({"chunks": ["abc", "def", "g", "hi"], "delay_ms": 30}),
        ));
        let response = world.open(&[("x-airlock-session-id", "s")], &request).await;
        let mut ended = false;
        let bytes = read(response, |said| {
            ended |= !world.statuses("s").is_empty()
                || world
                    .timeline("s")
                    .iter()
                    .any(|e| matches!(e.body, Body::PolicyFault { .. }));
            assert!(
                ended || "abcdef".starts_with(said.at("0/content")),
                "{said:?}"
            );
        })
        .await;
        let reply = Reply {
            status: 200,
            headers: Default::default(),
            bytes,
            cut: false,
        };
        assert_eq!(reply.error_code(), end, "{}", reply.text());
        let expected = if on_failure == OnFailure::Closed {
            "abcdef"
        } else {
            "abcdefghi"
        };
        assert_eq!(reply.said().at("0/content"), expected, "{}", reply.text());
        assert_eq!(reply.is_done(), on_failure == OnFailure::Open);
    }
}
