//! The operator's rules on real calls: what the client and the upstream see of them.

use serde_json::{Value, json};

use crate::support::*;
use airlock_core::event::{Body, Outcome, Status};

fn hello() -> Value {
    json!({"model": "sim-echo", "messages": [{"role": "user", "content": "hello there"}]})
}

/// What was recorded of rules that could not be evaluated.
fn faults(world: &World, session: &str) -> Vec<(String, String)> {
    world
        .timeline(session)
        .iter()
        .filter_map(|event| match &event.body {
            Body::PolicyFault { policy, text, .. } => Some((policy.clone(), text.clone())),
            _ => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_blocks_a_request_and_is_named_on_the_timeline() {
    let rules = "[[rule]]\nname = \"no-echo\"\nwhen = \"request.model == 'sim-echo'\"\ndo = \"block\"\nmessage = \"not this model\"\n";
    let world = configured(rules, vec![]).await;
    for request in [hello(), streamed(hello())] {
        let reply = world.call("s", &request).await;
        assert_eq!(
            (reply.status, reply.error_code().as_str()),
            (400, "content_filter")
        );
        assert!(reply.text().contains("not this model"));
    }
    assert!(world.received().is_empty(), "nothing went upstream");
    let all = world.interventions("s");
    assert_eq!(all.len(), 2, "once for each exchange: {all:?}");
    assert!(all.iter().all(|(action, by, outcome, _)| action == "block"
        && by == "rule:no-echo"
        && *outcome == Outcome::Applied));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_observes_changes_nothing() {
    let rules = "[[rule]]\nwhen = \"request.messages > 0\"\ndo = \"block\"\nmode = \"observe\"\n";
    let world = configured(rules, vec![]).await;
    let reply = world.call("s", &streamed(hello())).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.bytes, world.sent(), "byte for byte");
    assert_eq!(world.outcome("s", "block").0, Outcome::WouldApply);
    assert_eq!(world.interventions("s")[0].1, "rule:rule-1");
    assert!(world.app.enforcing(&world.app.settings.load()).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_routes_by_what_the_request_declares() {
    let rules = "[[rule]]\nwhen = \"has(session.risk) && session.risk == 'high'\"\ndo = \"route\"\nmodel = \"sim-other\"\n\
                 [[rule]]\nwhen = \"has(session.subtask)\"\ndo = \"set-parameters\"\nparameters = { temperature = 0.25 }\n";
    let world = configured(rules, vec![]).await;
    world.call("s", &hello()).await;
    let headers = [
        ("x-airlock-session-id", "s"),
        ("x-airlock-risk", "high"),
        ("x-airlock-subtask", "search"),
    ];
    world.call_with(&headers, &hello()).await;
    let received = world.received();
    assert_eq!(received[0]["model"], "sim-echo");
    assert!(received[0].get("temperature").is_none());
    assert_eq!(received[1]["model"], "sim-other");
    assert_eq!(received[1]["temperature"], 0.25);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_stops_a_generation_when_its_time_is_up_though_no_policy_is_woken() {
    let rules = "[[rule]]\nname = \"slow\"\nwhen = \"vitals.elapsed > 300000\"\ndo = \"stop\"\nmessage = \"time is up\"\nconfidence = 0.5\n";
    let world = configured(rules, vec![]).await;
    // The upstream falls silent in the middle: no chunk brings a checkpoint, only the clock does.
    let script = json!({"chunks": ["one ", "two ", "three"], "hang_after_chunks": 1});
    let reply = world.call("s", &streamed(chat(&script))).await;
    assert_eq!(reply.status, 200);
    assert_eq!(world.statuses("s"), [Status::Partial]);
    assert_eq!(world.outcome("s", "stop").0, Outcome::Applied);
    assert_eq!(world.interventions("s").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_call_that_a_rule_judges_never_reaches_the_client_before() {
    let rules = "[[rule]]\nname = \"no-rm\"\nwhen = \"tool.name == 'shell' && tool.arguments.cmd.startsWith('rm')\"\ndo = \"block\"\n";
    let world = configured(rules, vec![]).await;
    let calls = |cmd: &str| {
        let arguments = json!({ "cmd": cmd }).to_string();
        let (head, tail) = arguments.split_at(5);
        chat(&json!({"tool_calls": [{"name": "shell", "chunks": [head, tail]}]}))
    };
    let good = world.call("good", &streamed(calls("ls"))).await;
    assert_eq!(good.said().at("0/tool_calls/0"), "{\"cmd\":\"ls\"}");
    assert!(world.interventions("good").is_empty());
    for (session, request) in [
        ("whole", calls("rm -rf /")),
        ("streamed", streamed(calls("rm -rf /"))),
    ] {
        let reply = world.call(session, &request).await;
        assert!(!reply.text().contains("rm -rf"), "{}", reply.text());
        assert_eq!(reply.error_code(), "content_filter");
        assert_eq!(world.outcome(session, "block").0, Outcome::Applied);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_about_the_call_at_hand_names_it() {
    let rules = "[[rule]]\nname = \"web\"\nwhen = \"tool.name == 'web'\"\ndo = \"deny-tool-call\"\nmessage = \"offline\"\n";
    let world = configured(rules, vec![]).await;
    let script = json!({"tool_calls": [{"id": "c-1", "name": "clock", "arguments": {}}, {"id": "c-2", "name": "web", "arguments": {"u": 1}}]});
    let reply = world.call("s", &chat(&script)).await;
    let calls = reply.json()["choices"][0]["message"]["tool_calls"].clone();
    assert_eq!(calls.as_array().unwrap().len(), 1, "{calls}");
    assert_eq!(calls[0]["id"], "c-1", "the other call goes out");
    let denials: Vec<Value> = world
        .timeline("s")
        .iter()
        .filter_map(|event| match &event.body {
            Body::Intervention {
                action,
                arguments,
                policy,
                ..
            } if action == "deny-tool-call" => {
                assert_eq!(policy, "rule:web");
                Some(arguments.clone())
            }
            _ => None,
        })
        .collect();
    assert_eq!(denials, [json!({"call": "c-2", "reason": "offline"})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_sees_results_of_tools_and_the_books_of_the_session() {
    let rules = "[[rule]]\nwhen = \"tool.failed && vitals.tool_failures_in_a_row >= 2\"\ndo = \"inject\"\nmessage = \"try another way\"\n";
    let world = configured(rules, vec![]).await;
    let mut messages = vec![json!({"role": "user", "content": "hello there"})];
    for round in 0..3 {
        let request = json!({"model": "sim-echo", "messages": messages});
        assert_eq!(world.call("s", &request).await.status, 200);
        let id = format!("c{round}");
        messages.push(json!({"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}]}));
        messages
            .push(json!({"role": "tool", "tool_call_id": id, "content": "Error: no such file"}));
    }
    let received: Vec<String> = world.received().iter().map(Value::to_string).collect();
    assert!(!received[1].contains("try another way"), "one failure");
    assert!(received[2].contains("try another way"), "two failures");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_repeats_a_failed_call() {
    let rules = "[[rule]]\nwhen = \"failure.status == 503 && failure.retryable\"\ndo = \"retry\"\nmodel = \"sim-fast\"\n";
    let world = configured(rules, vec![]).await;
    let script = json!({"status": 503, "fail_times": 1, "text": "well"});
    let reply = world.call("s", &streamed(chat(&script))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(world.received()[1]["model"], "sim-fast");
    assert_eq!(world.outcome("s", "retry").0, Outcome::Applied);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_policies_meet_in_the_same_slots() {
    let rules = "[[rule]]\nwhen = \"findings.exists(f, f.policy == 'finder' && f.severity_rank >= 3)\"\ndo = \"block\"\n";
    let finder = |mode: fn(Policy) -> Policy| {
        let finds = ordering(wakes(json!([{"event": "request"}])), &[]);
        mode(Policy::new("finder", finds))
    };
    let world = configured(rules, vec![finder(|p| p)]).await;
    assert_eq!(world.call("s", &hello()).await.status, 400);
    let world = configured(rules, vec![finder(Policy::observing)]).await;
    assert_eq!(
        world.call("s", &hello()).await.status,
        200,
        "an observed finding changes nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_cannot_be_evaluated_is_on_the_timeline() {
    let rule = "[[rule]]\nname = \"divide\"\nwhen = \"1 / (request.messages - 1) > 0\"\ndo = \"annotate\"\n";
    let world = configured(rule, vec![]).await;
    assert_eq!(world.call("s", &hello()).await.status, 200);
    assert_eq!(
        faults(&world, "s"),
        [("rule:divide".to_owned(), "it divides by zero".to_owned())]
    );
    let world = configured(&format!("{rule}on_failure = \"closed\"\n"), vec![]).await;
    assert_eq!(world.call("s", &hello()).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_rules_hold_for_new_calls_and_a_running_stream_ends_under_its_own() {
    let rule = |limit: u32| {
        format!(
            "[[rule]]\nname = \"r\"\nwhen = \"vitals.output_tokens > {limit}\"\ndo = \"stop\"\n"
        )
    };
    let world = configured(&rule(1_000_000), vec![]).await;
    let script = json!({"chunks": ["one two three four five "], "endless": true, "delay_ms": 5});
    let request = streamed(chat(&script));
    let stream = world
        .open(&[("x-airlock-session-id", "running")], &request)
        .await;
    let (_, mut body) = stream.into_parts();
    http_body_util::BodyExt::frame(&mut body)
        .await
        .unwrap()
        .unwrap();
    let mut config = world.app.settings.load().config.clone();
    let text = format!(
        "{}[upstream.x]\nbase_url = \"http://127.0.0.1:9/v1\"\n",
        rule(3)
    );
    config.rules = airlock::config::parse::parse(&text, std::path::Path::new("/a.toml"))
        .unwrap()
        .rules;
    let settings = airlock::gateway::Settings::new(config).unwrap();
    world.app.follow(settings);
    world.call("new", &request).await;
    assert_eq!(world.statuses("new"), [Status::Partial]);
    // The running one goes on past the new limit.
    for _ in 0..20 {
        http_body_util::BodyExt::frame(&mut body)
            .await
            .unwrap()
            .unwrap();
    }
    assert!(world.interventions("running").is_empty());
}
