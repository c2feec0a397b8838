//! What an order is aimed at when it names nothing, what is judged again after a change, and what is counted of what nobody was
//! given.

use serde_json::{Value, json};

use crate::guests::Guest;
use crate::support::*;
use airlock_core::event::Body;

/// A conversation whose last messages are the results of three calls.
fn three_results(streamed: bool) -> Value {
    let calls: Vec<Value> = (1..=3)
        .map(|n| json!({"id": format!("c{n}"), "type": "function", "function": {"name": "look", "arguments": "{}"}}))
        .collect();
    let mut messages = vec![
        json!({"role": "user", "content": json!({"text": "done"}).to_string()}),
        json!({"role": "assistant", "content": null, "tool_calls": calls}),
    ];
    messages.extend((1..=3).map(|n| json!({"role": "tool", "tool_call_id": format!("c{n}"), "content": format!("result {n}")})));
    json!({"model": "sim-echo", "messages": messages, "stream": streamed})
}

/// Finds something about each of these, or about none that it names.
fn finds_about(kind: &str, ids: &[&str]) -> Guest {
    let mut guest = ordering(wakes(json!([{"event": kind}])), &[]);
    guest.subscription.as_mut().unwrap()["sees"] = json!([kind]);
    let about = |subject: Value| {
        let mut finding = guest.assessments[0]["findings"][0].clone();
        finding["subject"] = subject;
        finding
    };
    let findings: Vec<Value> = match ids.is_empty() {
        true => vec![about(json!("session"))],
        false => ids.iter().map(|id| about(json!({ kind: id }))).collect(),
    };
    guest.assessments[0]["findings"] = json!(findings);
    guest.actions = vec![];
    guest.decision = None;
    guest
}

fn results_upstream(world: &World) -> Vec<String> {
    let sent = world.received().pop().unwrap();
    let messages = sent["messages"].as_array().unwrap().clone();
    let results = messages.iter().filter(|m| m["role"] == "tool");
    results
        .map(|m| m["content"].as_str().unwrap().to_owned())
        .collect()
}

const WITHHOLD: &str = "[[on_finding]]\nkind = \"test.*\"\naction = \"substitute-tool-result\"\nmessage = \"withheld\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_orders_hits_the_results_that_the_finding_is_about() {
    for (about, expected) in [
        (&["c1", "c3"][..], ["withheld", "result 2", "withheld"]),
        (&["c2"], ["result 1", "withheld", "result 3"]),
        // It says of none which it means: it can be any.
        (&[], ["withheld", "withheld", "withheld"]),
    ] {
        for streamed in [false, true] {
            let policy = Policy::new("finds", finds_about("tool-result", about));
            let world = configured(WITHHOLD, vec![policy]).await;
            world.call("s", &three_results(streamed)).await;
            assert_eq!(results_upstream(&world), expected, "{about:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_orders_hits_the_calls_that_the_finding_is_about() {
    let deny = "[[on_finding]]\nkind = \"test.*\"\naction = \"deny-tool-call\"\nmessage = \"no\"\n";
    let calls: Vec<Value> = (1..=3)
        .map(|n| json!({"id": format!("c{n}"), "name": "look", "arguments": {"n": n}}))
        .collect();
    let request = chat(&json!({"turns": [{"text": "", "tool_calls": calls}, {"text": "after"}]}));
    for (about, expected) in [(&["c1", "c3"][..], vec!["c2"]), (&[], vec![])] {
        for request in [request.clone(), streamed(request.clone())] {
            let policy = Policy::new("finds", finds_about("tool-call", about));
            let world = configured(deny, vec![policy]).await;
            let text = world.call("s", &request).await.text();
            let passed: Vec<&str> = ["c1", "c2", "c3"]
                .into_iter()
                .filter(|id| text.contains(&format!("\"{id}\"")))
                .collect();
            assert_eq!(passed, expected, "{about:?}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finding_about_text_in_arguments_is_about_their_call() {
    let deny = "[[on_finding]]\nkind = \"test.*\"\naction = \"deny-tool-call\"\nmessage = \"no\"\n";
    let calls: Vec<Value> = (1..=3)
        .map(|n| json!({"id": format!("c{n}"), "name": "look", "arguments": {"n": n}}))
        .collect();
    let request = chat(&json!({"turns": [{"text": "", "tool_calls": calls}, {"text": "after"}]}));
    let text = |channel: &str, item: u32| json!({"text": {"place": {"channel": channel, "choice": 0, "item": item, "part": 0}, "offset": 0, "length": 2}});
    for (subject, passes) in [
        (text("tool-arguments", 1), vec!["c1", "c3"]),
        // What is about none of them can mean any.
        (text("output", 0), vec![]),
        (json!("response"), vec![]),
    ] {
        for request in [request.clone(), streamed(request.clone())] {
            let mut guest = finds_about("tool-call", &[]);
            guest.assessments[0]["findings"][0]["subject"] = subject.clone();
            let world = configured(deny, vec![Policy::new("finds", guest)]).await;
            let reply = world.call("s", &request).await.text();
            let passed: Vec<&str> = ["c1", "c2", "c3"]
                .into_iter()
                .filter(|id| reply.contains(&format!("\"{id}\"")))
                .collect();
            assert_eq!(passed, passes, "{subject}: {reply}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_judge_what_a_policy_made_of_a_call() {
    // The only policy is the one that rewrites: nobody else wakes.
    let rule = "[[rule]]\nname = \"srv\"\nwhen = \"tool.name == 'delete' && tool.arguments.path.startsWith('/srv')\"\n\
                do = \"deny-tool-call\"\nmessage = \"not there\"\n";
    let rewrite =
        json!({"rewrite-tool-call": {"call": "c1", "content": "{\"path\":\"/srv/data\"}"}});
    let calls = json!([{"id": "c1", "name": "delete", "arguments": {"path": "/tmp/scratch"}}]);
    let request = chat(&json!({"turns": [{"text": "", "tool_calls": calls}, {"text": "after"}]}));
    for request in [request.clone(), streamed(request)] {
        let policy = Policy::new(
            "moves",
            ordering(
                wakes(json!([{"event": "tool-call"}])),
                std::slice::from_ref(&rewrite),
            ),
        );
        let world = configured(rule, vec![policy]).await;
        let reply = world.call("s", &request).await;
        assert!(!reply.text().contains("/srv/data"), "{}", reply.text());
        assert_eq!(reply.said().at("0/content"), "after", "{}", reply.text());
    }
}

async fn spent(world: &World, session: &str) -> u64 {
    let key = airlock_core::event::key::SessionKey {
        tenant: "default".into(),
        principal: "anonymous".into(),
        source: "x-airlock-session-id".into(),
        value: session.into(),
    };
    let live = world.app.sessions.live(key.id()).unwrap();
    live.ledger.spent().tokens
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_was_generated_and_held_is_counted_whoever_leaves() {
    let held = listener(&["output"], false);
    for (session, policies) in [
        ("hangs-up", vec![Policy::new("holds", held)]),
        (
            "blocked",
            vec![Policy::new(
                "words",
                matching("swordfish", &[block("hard")]),
            )],
        ),
    ] {
        let world = configured("[session]\nmax_tokens = 100000\n", policies).await;
        let words = "word ".repeat(60);
        let mut script = json!({"chunks": [words, words, "sword", "fish"]});
        if session == "hangs-up" {
            script["hang_after_chunks"] = json!(2);
        }
        let response = world
            .open(
                &[("x-airlock-session-id", session)],
                &streamed(chat(&script)),
            )
            .await;
        if session == "hangs-up" {
            // Nothing of it reaches the client, which leaves when the policy has seen all of it.
            let mut body = response.into_body();
            let told = |w: &World| {
                let told = |e: &Body| match e {
                    Body::Text { tokens, .. } => *tokens as usize,
                    _ => 0,
                };
                w.timeline(session)
                    .iter()
                    .map(|e| told(&e.body))
                    .sum::<usize>()
                    >= 120
            };
            tokio::select! {
                _ = http_body_util::BodyExt::collect(&mut body) => {}
                () = world.eventually("all of it was seen", told) => {}
            }
            drop(body);
        } else {
            http_body_util::BodyExt::collect(response.into_body())
                .await
                .unwrap();
        }
        world
            .eventually("the exchange has ended", |w| {
                !w.statuses(session).is_empty()
            })
            .await;
        let spent = spent(&world, session).await;
        assert!(spent >= 120, "{session}: {spent} tokens of at least 120");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_to_an_upstream_is_priced_at_its_own_model() {
    let prices =
        "[price.sim-echo]\ninput = 0\noutput = 1000\n[price.sim-fast]\ninput = 0\noutput = 1\n";
    let retry = json!({"retry": {"upstream": "", "model": "sim-fast", "after-ms": 0}});
    let mut again = ordering(wakes(json!([{"event": "response-end"}])), &[retry]);
    again.observe = "(return {a0})";
    let world = configured(prices, vec![Policy::new("again", again)]).await;
    world
        .call(
            "s",
            &chat(&json!({"text": "ten words that the model says before it is asked"})),
        )
        .await;
    let timeline = world.timeline("s");
    let (usage, cost) = timeline
        .iter()
        .find_map(|e| match &e.body {
            Body::ResponseEnd { usage, cost, .. } => Some((*usage, cost.unwrap())),
            _ => None,
        })
        .unwrap();
    let calls = world.received();
    let models: Vec<&str> = calls.iter().map(|r| r["model"].as_str().unwrap()).collect();
    assert_eq!(models[..2], ["sim-echo", "sim-fast"]);
    let each = u64::from(usage.output) / calls.len() as u64;
    let cheap = each * (calls.len() as u64 - 1);
    assert_eq!(
        cost,
        each * 1000 + cheap,
        "{usage:?} in {} calls",
        calls.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_of_a_call_that_was_cut_is_cut_without_another_generation() {
    for streamed_too in [false, true] {
        let world = world(vec![Policy::new(
            "words",
            matching("swordfish", &[block("abort")]),
        )])
        .await;
        let request = chat(&json!({"text": "the swordfish"}));
        let request = if streamed_too {
            streamed(request)
        } else {
            request
        };
        for n in ["0", "1", "2"] {
            let reply = world
                .call_with(&[("x-stainless-retry-count", n)], &request)
                .await;
            assert!(reply.cut, "{}", reply.text());
        }
        assert_eq!(world.received().len(), 1, "one generation");
        // A client that does not say that it repeats asks anew.
        world.call_with(&[], &request).await;
        assert_eq!(world.received().len(), 2);
    }
}
