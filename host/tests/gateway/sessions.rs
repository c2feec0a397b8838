//! Which session a call belongs to, what a client that leaves costs, and that no number of calls passes a budget together.

use std::sync::Arc;

use futures_util::future::join_all;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::support::*;
use airlock_core::event::key::SessionKey;
use airlock_core::event::{Body, Status};
use airlock_core::observe::tokens::TokenCounter;
use airlock_core::session::state::Found;

fn hello() -> Value {
    says(&["hello"])
}

/// A conversation of turns, the user's first.
fn says(turns: &[&str]) -> Value {
    let message = |(i, text): (usize, &&str)| json!({"role": if i % 2 == 0 { "user" } else { "assistant" }, "content": text});
    json!({"model": "sim-echo", "messages": turns.iter().enumerate().map(message).collect::<Vec<_>>()})
}

/// Session and number of the exchange, as the answer's header says.
fn exchange(reply: &Reply) -> (String, u32) {
    let label = reply
        .headers
        .get("x-airlock-exchange")
        .unwrap()
        .to_str()
        .unwrap();
    let (session, number) = label.rsplit_once('/').unwrap();
    (session.to_owned(), number.parse().unwrap())
}

async fn ledger(world: &World, session: &str) -> Arc<airlock_core::session::ledger::Ledger> {
    let key = SessionKey {
        tenant: "default".into(),
        principal: "anonymous".into(),
        source: "x-airlock-session-id".into(),
        value: session.into(),
    };
    let found = Found {
        key,
        confidence: "explicit",
        parent: None,
        extra: vec![],
    };
    let session = world.app.sessions.get(found).await.unwrap();
    Arc::clone(&session.ledger)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_session_goes_on() {
    let world = world(vec![]).await;
    let first = exchange(&world.call("run-1", &hello()).await);
    let second = exchange(
        &world
            .call("run-1", &says(&["something", "else", "entirely"]))
            .await,
    );
    assert_eq!((first.1, second.1), (1, 2));
    assert_eq!(first.0, second.0);
    assert_ne!(exchange(&world.call("run-2", &hello()).await).0, first.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_recognised_past_a_turn_that_the_model_made() {
    let world = world(vec![]).await;
    let call = async |turns: &[&str]| exchange(&world.call_with(&[], &says(turns)).await).0;
    let first = call(&["hello"]).await;
    assert_eq!(
        call(&["hello", "hello", "and now?"]).await,
        first,
        "it continues"
    );
    assert_eq!(
        call(&["hello", "hello", "and now?", "and now?", "more"]).await,
        first,
        "and goes on"
    );
    assert_ne!(
        call(&["hello", "what the model never said", "x"]).await,
        first,
        "the turn is not the model's"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_conversations_that_began_alike_are_not_taken_for_one() {
    let world = world(vec![]).await;
    let call = async |turns: &[&str]| exchange(&world.call_with(&[], &says(turns)).await).0;
    let (first, second) = (call(&["hello"]).await, call(&["hello"]).await);
    assert_ne!(first, second, "the same prompt alone says nothing");
    let one = call(&["hello", "hello", "and now?"]).await;
    let two = call(&["hello", "hello", "and then?"]).await;
    assert_ne!(
        one, two,
        "nobody tells them apart so far, and they stay two"
    );
    assert!([&first, &second].contains(&&one) && [&first, &second].contains(&&two));
    let more = ["hello", "hello", "and now?", "and now?", "more"];
    assert_eq!(call(&more).await, one, "now they differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reaches_anothers_session() {
    let world = world(vec![]).await;
    let call = async |key: &str, named: bool, body: &Value| {
        let key = format!("Bearer {key}");
        let mut headers = vec![("authorization", key.as_str())];
        if named {
            headers.push(("x-airlock-session-id", "shared"));
        }
        exchange(&world.call_with(&headers, body).await).0
    };
    assert_ne!(
        call("alice", true, &hello()).await,
        call("bob", true, &hello()).await
    );
    let first = call("alice", false, &says(&["hi"])).await;
    assert_ne!(
        call("bob", false, &says(&["hi", "hi", "go on"])).await,
        first
    );
    assert_eq!(
        call("alice", false, &says(&["hi", "hi", "go on"])).await,
        first
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sdks_retry_attaches_to_its_exchange_and_is_not_charged_twice() {
    let world = configured("[session]\nmax_tokens = 100000\n", vec![]).await;
    let request = chat(&json!({"status": 503, "fail_times": 2, "text": "fine"}));
    let attempt = async |n: &str| {
        let headers = [
            ("x-airlock-session-id", "s"),
            ("x-stainless-retry-count", n),
        ];
        world.call_with(&headers, &request).await
    };
    let replies = [attempt("0").await, attempt("1").await, attempt("2").await];
    assert_eq!(replies.each_ref().map(|r| r.status), [503, 503, 200]);
    assert_eq!(replies.each_ref().map(|r| exchange(r).1), [1, 1, 1]);
    let usage = replies[2].json()["usage"]["total_tokens"].as_u64().unwrap();
    assert_eq!(
        ledger(&world, "s").await.spent().tokens,
        usage,
        "what the provider billed, once"
    );
    let retries: Vec<u32> = world
        .timeline("s")
        .iter()
        .filter_map(|e| match &e.body {
            Body::Request { retry, .. } => Some(*retry),
            _ => None,
        })
        .collect();
    assert_eq!(retries, [0, 1, 2]);
    let opened = world
        .timeline("s")
        .iter()
        .filter(|e| matches!(e.body, Body::Message { .. }))
        .count();
    assert_eq!(opened, 1, "known messages are not told again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_cancels_the_call_and_pays_for_what_was_made() {
    let world = configured(
        "[session]\nmax_tokens = 100000\n",
        vec![Policy::new("ears", listener(&[], false))],
    )
    .await;
    let request = streamed(chat(
        &json!({"text": "on and on ", "endless": true, "delay_ms": 1}),
    ));
    let mut body = world
        .open(&[("x-airlock-session-id", "s")], &request)
        .await
        .into_body();
    let mut seen = String::new();
    while seen.matches("on").count() < 20 {
        seen +=
            &String::from_utf8_lossy(&body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    drop(body);
    world
        .eventually("the upstream call is cancelled", |w| {
            w.simulator.record().live().cancelled == 1
        })
        .await;
    world
        .eventually("it is recorded", |w| {
            w.statuses("s") == [Status::Disconnected]
        })
        .await;
    let ledger = ledger(&world, "s").await;
    let spent = ledger.spent().tokens;
    assert!(spent > 10, "{spent}");
    assert_eq!(
        ledger.remaining().tokens,
        Some(100_000 - spent),
        "nothing stays reserved"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_first_byte_cancels_the_call() {
    let world = Arc::new(world(vec![Policy::new("ears", listener(&[], false))]).await);
    for (i, request) in [hello(), streamed(hello())].into_iter().enumerate() {
        let mut request = request;
        request["messages"][0]["content"] =
            json!(json!({"text": "x", "first_delay_ms": 600_000}).to_string());
        if request["stream"] == true {
            request["messages"][0]["content"] =
                json!(json!({"text": "x", "hang_after_chunks": 0}).to_string());
        }
        let (own, session) = (Arc::clone(&world), format!("s{i}"));
        let name = session.clone();
        let call = tokio::spawn(async move { own.call(&name, &request).await });
        world
            .eventually("the upstream is asked", |w| {
                w.simulator.record().live().open == 1
            })
            .await;
        call.abort();
        world
            .eventually("the upstream call is cancelled", |w| {
                w.simulator.record().live().cancelled == i as u64 + 1
            })
            .await;
        world
            .eventually("it is recorded", |w| {
                w.statuses(&session) == [Status::Disconnected]
            })
            .await;
    }
}

/// Tokens of an answer's text, by the count that the ledger goes by.
fn tokens(reply: &Reply) -> u64 {
    let counter = TokenCounter::for_model("sim-echo");
    reply
        .said()
        .0
        .values()
        .map(|text| u64::from(counter.count_text(text)))
        .sum()
}

fn inputs(world: &World, session: &str) -> u64 {
    let began = |e: &&Arc<airlock_core::event::Event>| matches!(e.body, Body::ResponseEnd { .. });
    let timeline = world.timeline(session);
    timeline
        .iter()
        .filter(began)
        .map(|e| match &e.body {
            Body::ResponseEnd { usage, .. } => u64::from(usage.input),
            _ => 0,
        })
        .sum()
}

async fn budget_holds(limit: u64, calls: usize, request: impl Fn(usize) -> Value) -> Vec<Reply> {
    let world = configured(&format!("[session]\nmax_tokens = {limit}\n"), vec![]).await;
    let requests: Vec<Value> = (0..calls).map(request).collect();
    let replies = join_all(requests.iter().map(|request| world.call("s", request))).await;
    let got: u64 = replies.iter().filter(|r| r.status == 200).map(tokens).sum();
    assert!(got > 0, "somebody got something");
    assert!(got <= limit, "clients got {got} of {limit} tokens");
    let spent = ledger(&world, "s").await.spent().tokens;
    assert!(spent <= limit, "{spent} of {limit} spent");
    assert!(
        got + inputs(&world, "s") <= limit,
        "{got} and prompts of {}",
        inputs(&world, "s")
    );
    replies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_streams_never_pass_one_budget() {
    let replies = budget_holds(20_000, 200, |i| {
        streamed(chat(
            &json!({"chunks": [format!(" {i}"), " word"], "endless": true, "delay_ms": 1}),
        ))
    })
    .await;
    for reply in replies.iter().filter(|r| r.status == 200) {
        // The upstream was told the limit, or Airlock cut the stream: it ends correctly either way.
        assert!(reply.is_done(), "{}", reply.text());
        assert_eq!(reply.finishes().len(), 1, "{}", reply.text());
    }
    assert!(
        replies
            .iter()
            .all(|r| r.status == 200 || r.error_code() == "airlock_budget")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_whole_answers_never_pass_one_budget() {
    let replies = budget_holds(12_000, 200, |i| {
        chat(&json!({"chunks": vec![" word"; 100], "first_delay_ms": 50, "headers": {"x-n": i.to_string()}}))
    })
    .await;
    for reply in replies
        .iter()
        .filter(|r| r.status == 200 && r.said().0.is_empty())
    {
        assert!(
            reply.json()["airlock"]["reason"]
                .as_str()
                .unwrap()
                .contains("budget"),
            "{}",
            reply.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_ends_within_held_text_still_ends_the_stream() {
    // All text is held to the end, and released at once together with the last frames: the budget ends in the middle.
    let holder = crate::guests::Guest {
        subscription: Some(
            json!({"wakes": [{"event": "response-end"}], "sees": ["response-end"],
            "release": [{"channel": "output", "mode": "hold-until-judged", "max-hold-ms": 60000}]}),
        ),
        assessments: vec![
            json!({"marks": [{"place": {"channel": "output", "choice": 0, "item": 0, "part": 0}, "upto": 100000}]}),
        ],
        // Only at the response checkpoint.
        observe: "(if (i32.eq (local.get 1) (i32.const 4)) (then (return {a0})))",
        ..Default::default()
    };
    let world = configured(
        "[session]\nmax_tokens = 150\n",
        vec![Policy::new("holder", holder)],
    )
    .await;
    // The simulator counts a frame as one token, whatever it says: so it does not stop by itself.
    let words = " many different words in one frame";
    let request = streamed(says(&["x"]));
    let mut request = request;
    request["metadata"] = json!({"sim": json!({"chunks": vec![words; 60]}).to_string()});
    let reply = world.call("s", &request).await;
    assert!(tokens(&reply) <= 150, "{}", reply.text());
    assert!(reply.is_done(), "{}", reply.text());
    assert_eq!(reply.finishes().len(), 1, "{}", reply.text());
    assert_eq!(world.statuses("s"), [Status::Partial]);
}
