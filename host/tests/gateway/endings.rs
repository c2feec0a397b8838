//! How an exchange ends, and what the client makes of it: never a success that is none, never a tool call that was cut, never the
//! text that was kept from it.

use serde_json::{Value, json};

use crate::support::*;
use airlock_core::event::Status;

fn chunk(delta: Value, finish: Option<&str>) -> String {
    let chunk = json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    format!("data: {chunk}\n\n")
}

fn part(index: u16, id: Option<&str>, name: Option<&str>, arguments: &str) -> Value {
    let mut call = json!({"index": index, "function": {"arguments": arguments}});
    if let (Some(id), Some(name)) = (id, name) {
        call = json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    }
    json!({"tool_calls": [call]})
}

/// A call whose arguments are cut into pieces.
fn call(index: u16, id: &str, name: &str, pieces: &[&str]) -> String {
    let more = |p: &&str| chunk(part(index, None, None, p), None);
    let begun = chunk(part(index, Some(id), Some(name), ""), None);
    begun + &pieces.iter().map(more).collect::<String>()
}

fn end(reason: &str) -> String {
    chunk(json!({}), Some(reason)) + "data: [DONE]\n\n"
}

fn ask() -> Value {
    streamed(json!({"model": "m", "messages": [{"role": "user", "content": "clean up"}]}))
}

/// Complete arguments of every call that the client has a byte of, as it puts them together.
fn arguments(reply: &Reply) -> Vec<String> {
    if reply.bytes.is_empty() {
        return vec![];
    }
    let said = reply.said();
    let calls = said
        .0
        .iter()
        .filter(|(place, _)| place.contains("tool_calls"));
    calls.map(|(_, text)| text.clone()).collect()
}

const DELETE: [&str; 3] = ["{\"path\": \"/srv/dat", "a/swordfish", "/tmp\"}"];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_ends_a_generation_lets_out_a_part_of_a_call() {
    let stop = json!({"stop": {"reason": "enough", "confidence": 0.5, "keep-held": true}});
    let upstream = Scripted::start(vec![]).await;
    for (context, orders) in [
        ("hard", vec![block("hard")]),
        ("soft", vec![block("soft")]),
        ("abort", vec![block("abort")]),
        ("stop", vec![stop]),
    ] {
        let world = configured(
            &upstream.table("x"),
            vec![Policy::new("words", matching("swordfish", &orders))],
        )
        .await;
        // Alone, and behind a call that is whole.
        for before in ["", &call(0, "c0", "list", &["{\"path\":", " \"/srv\"}"])] {
            let index = u16::from(!before.is_empty());
            let answer = [
                before,
                &call(index, "c1", "delete", &DELETE),
                &end("tool_calls"),
            ]
            .concat();
            upstream.say(vec![Answer::events(answer)]);
            let reply = world.call("s", &ask()).await;
            for text in arguments(&reply) {
                assert!(
                    serde_json::from_str::<Value>(&text).is_ok() && !text.contains("/srv/dat"),
                    "{context}: {}",
                    reply.text()
                );
            }
            assert!(
                !reply.text().contains("swordfish"),
                "{context}: {}",
                reply.text()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_ends_in_a_call_lets_out_the_whole_call_or_nothing_of_it() {
    let pieces: Vec<String> = (0..40)
        .map(|n| format!("\"k{n}\": \"some value of the argument\", "))
        .collect();
    let mut pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    pieces.insert(0, "{");
    pieces.push("\"end\": 1}");
    let answer = [
        chunk(json!({"role": "assistant", "content": "Let me see."}), None),
        call(0, "c1", "write", &pieces),
        end("tool_calls"),
    ]
    .concat();
    let upstream = Scripted::start(vec![Answer::events(answer)]).await;
    let (mut cut, mut passed) = (0, 0);
    for limit in [20, 60, 120, 200, 400, 2000] {
        let world = configured(
            &format!("[session]\nmax_tokens = {limit}\n{}", upstream.table("x")),
            vec![],
        )
        .await;
        let reply = world.call("s", &ask()).await;
        let calls = arguments(&reply);
        assert!(
            calls
                .iter()
                .all(|text| serde_json::from_str::<Value>(text).is_ok()),
            "{limit}: {}",
            reply.text()
        );
        match calls.is_empty() {
            true => cut += 1,
            false => passed += 1,
        }
    }
    assert!(cut > 0 && passed > 0, "both were reached: {cut}, {passed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_budget_has_a_code_of_its_own_and_is_not_repeated() {
    let world = configured("[session]\nmax_tokens = 200\n", vec![]).await;
    for stream in [false, true] {
        let session = format!("streamed-{stream}");
        let request = chat(&json!({"text": "some words that are said"}));
        let request = if stream { streamed(request) } else { request };
        let mut reply = world.call(&session, &request).await;
        for _ in 0..60 {
            if reply.status != 200 {
                break;
            }
            reply = world.call(&session, &request).await;
        }
        let told = (reply.status, reply.error_code());
        assert_eq!(told, (402, "airlock_budget".to_owned()), "{session}");
        assert_eq!(reply.headers["x-should-retry"], "false");
        assert!(
            reply.text().contains("budget is used up"),
            "{}",
            reply.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_names_the_policy_and_the_exchange_and_not_the_secret() {
    // The reason quotes what the policy blocks: by its pattern, and by the text that is held.
    for reason in [
        "it says swordfish",
        "it says `the very long secret sentence` here",
    ] {
        let order = json!({"block": {"mode": "hard", "reason": reason, "fallback": ""}});
        let world = world(vec![Policy::new("words", matching("swordfish", &[order]))]).await;
        for request in [
            chat(&json!({"chunks": ["the very long secret sentence sword", "fish"]})),
            streamed(chat(
                &json!({"chunks": ["sword", "fish and the very long secret sentence"]}),
            )),
        ] {
            let reply = world.call("s", &request).await;
            let text = reply.text();
            let label = reply.headers["x-airlock-exchange"].to_str().unwrap();
            assert!(
                text.contains(&format!("(policy words, exchange {label})")),
                "{text}"
            );
            assert!(!text.contains("swordfish"), "{text}");
            assert_eq!(reply.error_code(), "content_filter");
            assert!(
                text.contains("\"airlock_blocked\""),
                "programs can tell whose word it is: {text}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_block_of_an_answer_with_a_form_is_a_refusal() {
    let world = world(vec![Policy::new(
        "words",
        matching("swordfish", &[block("soft")]),
    )])
    .await;
    for format in [
        json!({"type": "json_object"}),
        json!({"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}),
    ] {
        let mut request = chat(&json!({"text": "{\"a\": \"swordfish\"}"}));
        request["response_format"] = format;
        let whole = world.call("s", &request).await.json();
        let message = &whole["choices"][0]["message"];
        assert_eq!(message["content"], Value::Null, "{whole}");
        assert_eq!(message["refusal"], "let us talk of something else");
        let reply = world.call("s", &streamed(request)).await;
        assert_eq!(
            reply.said().at("0/refusal"),
            "let us talk of something else"
        );
        assert_eq!(reply.finishes(), ["content_filter"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_before_anything_was_said_says_why() {
    let stop = json!({"stop": {"reason": "out of time", "confidence": 0.5, "keep-held": false}});
    let world = world(vec![Policy::new(
        "clock",
        ordering(wakes(json!([{"event": "request"}])), &[stop]),
    )])
    .await;
    for request in [
        chat(&json!({"text": "x"})),
        streamed(chat(&json!({"text": "x"}))),
    ] {
        let reply = world.call("s", &request).await;
        let said = reply.said();
        assert!(
            said.at("0/content")
                .starts_with("Airlock stopped this answer (policy clock, "),
            "{}",
            reply.text()
        );
        assert!(reply.text().contains("\"partial\":true"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_is_explained_gives_nothing_that_was_not_judged() {
    // Every call is denied, round after round, and what the model says beside them is judged when the response ends.
    let deny = json!({"deny-tool-call": {"call": "c1", "reason": "no"}});
    let mut calls = ordering(wakes(json!([{"event": "tool-call"}])), &[deny]);
    calls.subscription.as_mut().unwrap()["findings"] = json!(["calls.*"]);
    calls.assessments[0]["findings"][0]["kind"] = json!("calls.found");
    let late = ordering(wakes(json!([{"event": "response-end"}])), &[block("hard")]);
    let policies = || {
        vec![
            Policy::new("calls", calls.clone()),
            Policy::new("late", late.clone()),
        ]
    };
    let leg = json!({"id": "x", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "a secret", "tool_calls":
            [{"id": "c1", "type": "function", "function": {"name": "delete", "arguments": "{}"}}]}, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}});
    let upstream = Scripted::start(vec![Answer::json(leg)]).await;
    let world = configured(&upstream.table("x"), policies()).await;
    let reply = world
        .call(
            "s",
            &json!({"model": "m", "messages": [{"role": "user", "content": "go"}]}),
        )
        .await;
    assert_eq!(upstream.asked().len(), 5, "five rounds");
    assert!(!reply.text().contains("a secret"), "{}", reply.text());
    assert_eq!(reply.error_code(), "content_filter", "{}", reply.text());
    assert_eq!(world.statuses("s"), [Status::Blocked]);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_an_earlier_round_can_be_replaced_as_long_as_the_client_has_nothing() {
    let deny = json!({"deny-tool-call": {"call": "c1", "reason": "no"}});
    let mut calls = ordering(wakes(json!([{"event": "tool-call"}])), &[deny]);
    calls.subscription.as_mut().unwrap()["findings"] = json!(["calls.*"]);
    calls.assessments[0]["findings"][0]["kind"] = json!("calls.found");
    let replace = json!({"replace-range": {"span": {"place": {"channel": "output", "choice": 0, "item": 0, "part": 0}, "offset": 0, "length": 8}, "text": "[gone]"}});
    let late = ordering(wakes(json!([{"event": "response-end"}])), &[replace]);
    let leg = |message: Value, finish: &str| {
        json!({"id": "x", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}})
    };
    let calling = json!({"role": "assistant", "content": "a secret", "tool_calls":
        [{"id": "c1", "type": "function", "function": {"name": "delete", "arguments": "{}"}}]});
    let upstream = Scripted::start(vec![
        Answer::json(leg(calling, "tool_calls")),
        Answer::json(leg(
            json!({"role": "assistant", "content": " and the end"}),
            "stop",
        )),
    ])
    .await;
    let world = configured(
        &upstream.table("x"),
        vec![Policy::new("calls", calls), Policy::new("late", late)],
    )
    .await;
    let reply = world
        .call(
            "s",
            &json!({"model": "m", "messages": [{"role": "user", "content": "go"}]}),
        )
        .await;
    assert_eq!(
        reply.said().at("0/content"),
        "[gone] and the end",
        "{}",
        reply.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_is_given_comments_whatever_keeps_it_waiting() {
    let world = configured(
        "[gateway]\nkeep_alive_ms = 20\n",
        vec![Policy::new(
            "words",
            matching("swordfish", &[block("hard")]),
        )],
    )
    .await;
    // A model that thinks between two words, and one whose call takes long while it is held.
    for script in [
        json!({"chunks": ["one", " two"], "delay_ms": 300}),
        json!({"tool_calls": [{"name": "send", "chunks": ["{\"a\"", ": 1", "}"]}], "delay_ms": 200}),
    ] {
        let reply = world.call("s", &streamed(chat(&script))).await;
        let text = reply.text();
        assert!(
            text.contains("\n\n: airlock keeps the connection\n\n"),
            "{text}"
        );
        assert!(reply.is_done(), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_no_policy_and_takes_airlock_out_of_the_way() {
    let world = configured("[session]\nmax_tokens = 100000\n", vec![]).await;
    world
        .tape
        .3
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let mut told = Vec::new();
    for n in 0..3 {
        for stream in [false, true] {
            let request = chat(&json!({"text": "some words that are said", "n": n}));
            let request = if stream { streamed(request) } else { request };
            told.push(world.call(&format!("{n}{stream}"), &request).await);
        }
    }
    assert!(told.iter().any(|reply| reply.status == 503));
    for reply in told
        .iter()
        .filter(|reply| reply.status != 200 || !reply.error_code().is_empty())
    {
        assert_eq!(reply.error_code(), "airlock_store", "{}", reply.text());
        assert!(!reply.text().contains("blocked"), "{}", reply.text());
    }
    let ready = world.probe("/readyz").await;
    assert_eq!(ready.status, 503, "{}", ready.text());
    world
        .tape
        .3
        .store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(
        world
            .call("after", &chat(&json!({"text": "fine"})))
            .await
            .status,
        200
    );
}
