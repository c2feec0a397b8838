//! What policies order and what comes of it: slots, modes, grants, the operator's table, cascades, and each action as the
//! client and the upstream see it.

use serde_json::{Value, json};

use crate::guests::Guest;
use crate::support::*;
use airlock_core::event::{Body, Outcome, Status};

fn on_request(actions: &[Value]) -> Guest {
    ordering(wakes(json!([{"event": "request"}])), actions)
}

fn stop(keep_held: bool) -> Value {
    json!({"stop": {"reason": "enough", "confidence": 0.25, "keep-held": keep_held}})
}

fn replace(offset: u32, len: u32, text: &str) -> Value {
    json!({"replace-range": {"channel": "output", "choice": 0, "block": 0, "offset": offset, "len": len, "text": text}})
}

fn route(model: &str, scope: &str) -> Value {
    json!({"route": {"upstream": "", "model": model, "scope": scope}})
}

fn inject(text: &str, position: &str, scope: &str) -> Value {
    json!({"inject": {"role": "system", "text": text, "position": position, "scope": scope}})
}

fn hello() -> Value {
    json!({"model": "sim-echo", "messages": [{"role": "user", "content": "hello there"}]})
}

/// A request that is streamed and one that is not.
fn both(request: Value) -> [(&'static str, Value); 2] {
    [("streamed", streamed(request.clone())), ("whole", request)]
}

#[tokio::test(flavor = "multi_thread")]
async fn in_one_slot_the_strongest_wins_and_losers_are_recorded() {
    let world = world(vec![
        Policy::new(
            "a-answers",
            on_request(&[json!({"answer-locally": "local"})]),
        ),
        Policy::new("b-stops", on_request(&[stop(false)])),
        Policy::new("c-blocks", on_request(&[block("hard")])),
        Policy::new("d-blocks", on_request(&[block("soft")])),
        Policy::new(
            "e-notes",
            on_request(&[json!({"annotate": {"name": "n", "value": "v"}})]),
        ),
    ])
    .await;
    let reply = world.call("s", &hello()).await;
    assert_eq!(
        (reply.status, reply.error_code().as_str()),
        (400, "content_filter")
    );
    let outcomes: Vec<_> = world
        .interventions("s")
        .into_iter()
        .map(|(_, by, outcome, _)| (by, outcome))
        .collect();
    let expected = [
        ("c-blocks", Outcome::Applied),
        ("d-blocks", Outcome::Superseded),
        ("b-stops", Outcome::Superseded),
        ("a-answers", Outcome::Superseded),
        ("e-notes", Outcome::Applied),
    ];
    assert_eq!(
        outcomes,
        expected.map(|(by, outcome)| (by.to_owned(), outcome))
    );
    assert!(world.received().is_empty(), "nothing went upstream");
    assert_eq!(world.app.sessions.len(), 1);
}

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
async fn a_policy_that_observes_says_what_it_would_do_and_delays_nothing() {
    let holding = json!({"wakes": [{"event": "text"}, {"event": "request"}],
        "patterns": [{"channels": [], "syntax": "literal", "text": "secret", "ignore-case": false}],
        "release": [{"channel": "output", "mode": "hold-until-judged", "max-hold-ms": 60000}]});
    let world = world(vec![
        Policy::new("watch", ordering(holding, &[block("hard")])).observing(),
    ])
    .await;
    let request = streamed(chat(
        &json!({"chunks": ["my ", "sec", "ret"], "hang_after_chunks": 3}),
    ));
    let response = world.open(&[("x-airlock-session-id", "s")], &request).await;
    // The upstream hangs: what is held would never come.
    let mut body = response.into_body();
    let mut seen = String::new();
    while !seen.contains("\"ret\"") {
        use http_body_util::BodyExt as _;
        let frame = tokio::time::timeout(PATIENCE, body.frame())
            .await
            .expect("delayed")
            .unwrap()
            .unwrap();
        seen += std::str::from_utf8(&frame.into_data().unwrap()).unwrap();
    }
    drop(body);
    assert!(
        world
            .interventions("s")
            .iter()
            .all(|(_, _, outcome, _)| *outcome == Outcome::WouldApply)
    );
    assert!(
        world.interventions("s").len() >= 2,
        "{:?}",
        world.interventions("s")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_of_an_observer_reach_observers_only() {
    let mut finds = ordering(wakes(json!([{"event": "request"}])), &[]);
    finds.subscription.as_mut().unwrap()["findings"] = json!([]);
    let mut acts = ordering(json!({}), &[block("hard")]);
    acts.subscription = Some(json!({"findings": ["test.*"]}));
    let table = "[[on_finding]]\nkind = \"test.*\"\naction = \"block\"\n";
    let world = configured(
        table,
        vec![
            Policy::new("finds", finds).observing(),
            Policy::new("acts", acts.clone()),
            Policy::new("looks", acts).observing(),
        ],
    )
    .await;
    assert_eq!(world.call("s", &hello()).await.status, 200);
    let outcomes: Vec<_> = world
        .interventions("s")
        .into_iter()
        .map(|(_, by, outcome, _)| (by, outcome))
        .collect();
    assert_eq!(
        outcomes,
        [
            ("looks".to_owned(), Outcome::WouldApply),
            ("on_finding".to_owned(), Outcome::WouldApply)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_is_not_granted_is_refused_with_what_to_do() {
    let world = world(vec![
        Policy::new("eager", on_request(&[block("hard")])).granted(&["annotate"]),
    ])
    .await;
    assert_eq!(world.call("s", &hello()).await.status, 200);
    let (outcome, reason) = world.outcome("s", "block");
    assert_eq!(outcome, Outcome::Refused);
    assert!(
        reason.contains("airlock policy grant eager block"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_table_answers_for_a_reasoner_without_actuator() {
    let mut finds = ordering(wakes(json!([{"every-tokens": 1}])), &[]);
    finds.world = "reasoner";
    let table = "[[on_finding]]\nkind = \"test.*\"\nseverity = \"high\"\naction = \"stop\"\nmessage = \"the table says so\"\n";
    let world = configured(table, vec![Policy::new("finds", finds.clone())]).await;
    let reply = world
        .call("s", &streamed(chat(&json!({"chunks": ["a", "b"]}))))
        .await;
    assert!(reply.is_done(), "{}", reply.text());
    assert!(
        reply.text().contains("the table says so"),
        "{}",
        reply.text()
    );
    assert_eq!(world.statuses("s"), [Status::Partial]);
    // Not as severe as the row wants: recorded, and nothing else.
    let world = configured(
        &table.replace("high", "critical"),
        vec![Policy::new("finds", finds)],
    )
    .await;
    let reply = world
        .call("s", &streamed(chat(&json!({"chunks": ["a", "b"]}))))
        .await;
    assert_eq!(reply.bytes, world.sent());
    assert!(
        world
            .timeline("s")
            .iter()
            .any(|e| matches!(e.body, Body::Finding { .. }))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_do_not_wake_their_cause_and_a_cascade_ends() {
    let note = json!({"annotate": {"name": "n", "value": "v"}});
    let guest = || {
        ordering(
            wakes(json!([{"event": "request"}, {"event": "intervention"}])),
            std::slice::from_ref(&note),
        )
    };
    let alone = world(vec![Policy::new("one", guest())]).await;
    assert_eq!(alone.call("s", &hello()).await.status, 200);
    assert_eq!(
        alone.interventions("s").len(),
        1,
        "{:?}",
        alone.interventions("s")
    );
    let pair = world(vec![
        Policy::new("one", guest()),
        Policy::new("two", guest()),
    ])
    .await;
    assert_eq!(pair.call("s", &hello()).await.status, 200);
    let interventions = pair.interventions("s");
    // Two at each depth; each checkpoint of the exchange may have a cascade of its own.
    assert!(
        (4..=24).contains(&interventions.len()),
        "{}",
        interventions.len()
    );
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
async fn a_range_is_replaced_wherever_its_frames_end() {
    let text = "the key is secret, keep it";
    let world = world(vec![Policy::new(
        "mask",
        matching("secret", &[replace(11, 6, "[gone]")]),
    )])
    .await;
    for at in 11..=17 {
        for (form, request) in both(chat(&json!({"chunks": cut(text, &[at])}))) {
            let reply = world.call(form, &request).await;
            assert_eq!(
                reply.said().at("0/content"),
                "the key is [gone], keep it",
                "cut at {at}, {form}: {}",
                reply.text()
            );
            assert_eq!(reply.status, 200);
        }
    }
    let reply = world
        .call(
            "s",
            &streamed(chat(
                &json!({"chunks": cut(text, &[11, 12, 13, 14, 15, 16, 17])}),
            )),
        )
        .await;
    assert_eq!(
        reply.said().at("0/content"),
        "the key is [gone], keep it",
        "{}",
        reply.text()
    );
    assert!(reply.is_done());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_in_is_judged_by_the_others_patterns() {
    let world = world(vec![
        Policy::new("mask", matching("secret", &[replace(11, 6, "forbidden")])),
        Policy::new("words", matching("forbidden", &[block("hard")])),
    ])
    .await;
    let reply = world
        .call(
            "s",
            &streamed(chat(&json!({"chunks": ["the key is ", "sec", "ret", "."]}))),
        )
        .await;
    assert!(
        !reply.text().contains("forbidden") && !reply.text().contains("secret"),
        "{}",
        reply.text()
    );
    assert_eq!(world.outcome("s", "replace-range").0, Outcome::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_of_what_left_is_too_late() {
    let world = world(vec![Policy::new(
        "mask",
        matching("world", &[replace(0, 5, "HELLO")]),
    )])
    .await;
    let reply = world
        .call(
            "s",
            &streamed(chat(
                &json!({"chunks": ["hello ", "world"], "delay_ms": 20}),
            )),
        )
        .await;
    assert_eq!(reply.said().at("0/content"), "hello world");
    assert_eq!(world.outcome("s", "replace-range").0, Outcome::TooLate);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_lasts_for_the_exchange_or_for_the_session() {
    for (scope, second) in [("exchange", "sim-echo"), ("session", "sim-fast")] {
        let guest = ordering(
            wakes(json!([{"event": "session-opened"}])),
            &[route("sim-fast", scope)],
        );
        let world = world(vec![Policy::new("router", guest)]).await;
        for _ in 0..2 {
            assert_eq!(world.call("s", &hello()).await.status, 200);
        }
        let models: Vec<Value> = world
            .received()
            .iter()
            .map(|r| r["model"].clone())
            .collect();
        assert_eq!(
            models,
            [json!("sim-fast"), json!(second)],
            "{scope}: {:?}",
            world.interventions("s")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_or_model_that_is_not_there_is_refused() {
    let nowhere = json!({"route": {"upstream": "nowhere", "model": "", "scope": "exchange"}});
    let world = world(vec![Policy::new("router", on_request(&[nowhere]))]).await;
    assert_eq!(world.call("s", &hello()).await.status, 200);
    let (outcome, reason) = world.outcome("s", "route");
    assert!(
        outcome == Outcome::Refused && reason.contains("[upstream.nowhere]"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_set_and_reserved_ones_are_refused() {
    let set = |set: Value| json!({"set-parameters": {"set": set, "scope": "exchange"}});
    let world = world(vec![
        Policy::new(
            "cool",
            on_request(&[set(json!([["temperature", "0.25"], ["max_tokens", "3"]]))]),
        ),
        Policy::new(
            "sly",
            on_request(&[set(json!([["model", "\"sim-leak\""]]))]),
        ),
    ])
    .await;
    let mut request = hello();
    request["temperature"] = json!(1);
    assert_eq!(world.call("s", &request).await.status, 200);
    let sent = &world.received()[0];
    assert_eq!(
        (&sent["temperature"], &sent["max_tokens"], &sent["model"]),
        (&json!(0.25), &json!(3), &json!("sim-echo"))
    );
    let outcomes: Vec<_> = world
        .interventions("s")
        .into_iter()
        .map(|(_, by, outcome, _)| (by, outcome))
        .collect();
    assert_eq!(
        outcomes,
        [
            ("cool".to_owned(), Outcome::Applied),
            ("sly".to_owned(), Outcome::Refused)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_injected_message_stands_where_and_as_long_as_it_was_ordered() {
    for (position, index) in [("front", 0), ("before-last", 0), ("end", 1)] {
        for scope in ["exchange", "session"] {
            let guest = ordering(
                wakes(json!([{"event": "session-opened"}])),
                &[inject("be kind", position, scope)],
            );
            let world = world(vec![Policy::new("coach", guest)]).await;
            // Written in a way that a rewrite would change.
            let first =
                r#"{"model":"sim-echo",  "messages":[ {"role":"user","content":"h\u00e9llo"} ]}"#;
            let reply = world.call("s", &serde_json::from_str(first).unwrap()).await;
            assert_eq!(reply.status, 200);
            let said = reply.json()["choices"][0]["message"]["content"].clone();
            let second = json!({"model": "sim-echo", "messages": [{"role": "user", "content": "héllo"},
                {"role": "assistant", "content": said}, {"role": "user", "content": "go on"}]});
            assert_eq!(world.call("s", &second).await.status, 200);
            let received = world.received();
            assert_eq!(
                received[0]["messages"][index],
                json!({"role": "system", "content": "be kind"}),
                "{position}"
            );
            let stays = received[1]["messages"]
                .as_array()
                .unwrap()
                .iter()
                .position(|m| m["role"] == "system");
            assert_eq!(
                stays,
                (scope == "session").then_some(index),
                "{position}, {scope}: {}",
                received[1]
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overlay_gives_the_same_bytes_each_time() {
    let guest = ordering(
        wakes(json!([{"event": "session-opened"}])),
        &[inject("be kind", "end", "session")],
    );
    let world = world(vec![Policy::new("coach", guest)]).await;
    let mut messages = vec![json!({"role": "user", "content": "one"})];
    for turn in 0..3 {
        let request = json!({"messages": messages, "model": "sim-echo"});
        let reply = world.call("s", &request).await;
        messages.push(reply.json()["choices"][0]["message"].clone());
        messages.push(json!({"role": "user", "content": format!("turn {turn}")}));
    }
    let bodies: Vec<String> = world
        .simulator
        .record()
        .requests()
        .into_iter()
        .map(|r| r.body)
        .collect();
    for pair in bodies.windows(2) {
        // All but the closing of the list and of the body is a prefix of the next request: provider caches depend on it.
        let end = pair[0].rfind(']').unwrap();
        assert!(
            pair[1].starts_with(&pair[0][..end]),
            "{}\n{}",
            pair[0],
            pair[1]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_ordered_after_a_failure_and_bounded() {
    let retry = json!({"retry": {"upstream": "", "model": "", "after-ms": 0}});
    let world = world(vec![Policy::new(
        "again",
        ordering(wakes(json!([{"event": "failure"}])), &[retry]),
    )])
    .await;
    let reply = world
        .call(
            "s",
            &chat(&json!({"status": 500, "fail_times": 1, "text": "fine now"})),
        )
        .await;
    assert_eq!(
        (reply.status, reply.said().at("0/content")),
        (200, "fine now")
    );
    let reply = world.call("t", &chat(&json!({"status": 500}))).await;
    assert!(reply.status >= 500, "{}", reply.text());
    let tries = world.received().len();
    assert_eq!(tries, 2 + 3, "the first and two more");
    assert_eq!(world.statuses("t"), [Status::Failed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_goes_where_it_was_sent_though_the_call_was_routed_before() {
    let retry = json!({"retry": {"upstream": "", "model": "sim-fast", "after-ms": 0}});
    let world = world(vec![
        Policy::new(
            "router",
            ordering(
                wakes(json!([{"event": "session-opened"}])),
                &[route("sim-flaky", "exchange")],
            ),
        ),
        Policy::new(
            "again",
            ordering(wakes(json!([{"event": "failure"}])), &[retry]),
        ),
    ])
    .await;
    let reply = world.call("s", &hello()).await;
    let models: Vec<Value> = world
        .received()
        .iter()
        .map(|r| r["model"].clone())
        .collect();
    assert_eq!(
        models,
        [json!("sim-flaky"), json!("sim-fast")],
        "{}",
        reply.text()
    );
    assert_eq!(reply.status, 200);
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
async fn an_item_that_waits_for_nobody_goes_its_stated_way() {
    for (on_timeout, status) in [("block", 400), ("release", 200)] {
        let pending = json!({"pending": [{"ticket": 1, "item": "request", "deadline-ms": 10, "on-timeout": on_timeout}]});
        let guest = Guest {
            assessments: vec![pending],
            ..on_request(&[])
        };
        let world = world(vec![Policy::new("asks", guest)]).await;
        assert_eq!(world.call("s", &hello()).await.status, status);
        assert_eq!(world.outcome("s", "pending").0, Outcome::Refused);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn time_alone_wakes_a_policy() {
    let slow = json!({"wakes": [{"vital-above": {"vital": 1, "above": 200_000.0}}]});
    let world = world(vec![Policy::new("clock", ordering(slow, &[stop(false)]))]).await;
    // Silent before the first token and after it.
    for (session, script) in [
        ("first", json!({"text": "x", "first_delay_ms": 600_000})),
        (
            "later",
            json!({"chunks": ["one", "two"], "hang_after_chunks": 1}),
        ),
    ] {
        let reply = world.call(session, &streamed(chat(&script))).await;
        let said = reply.said();
        let said = said.at("0/content");
        match session {
            "later" => assert_eq!(said, "one"),
            // An empty answer would pass for a success.
            _ => assert!(
                said.starts_with("Airlock stopped this answer (policy clock, "),
                "{said}"
            ),
        }
        assert!(
            reply.is_done() && reply.text().contains("\"enough\""),
            "{}",
            reply.text()
        );
        assert_eq!(world.statuses(session), [Status::Partial]);
    }
    let reply = world
        .call(
            "whole",
            &chat(&json!({"text": "x", "first_delay_ms": 600_000})),
        )
        .await;
    assert_eq!(reply.json()["airlock"]["reason"], "enough");
    world
        .eventually("the upstream calls are cancelled", |w| {
            w.simulator.record().live().cancelled == 3
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_a_policy_sets_cuts_the_stream_where_it_ends() {
    let limit = json!({"allocate": {"scope": "session", "max-tokens": 60, "max-cost": 0}});
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
