//! What policies change in the conversation, as the upstream gets it: from clients that resend, edit, truncate and branch
//! their history, over a restart, and for a provider's prompt cache.

use serde_json::{Value, json};

use crate::guests::Guest;
use crate::support::*;
use airlock_core::event::{Body, Outcome};

/// Of [`policy`]: the first time that it is woken.
const FIRST: &str = "i32.eq count (i32.const 1)";

/// A policy that orders these actions when it is woken by this event and `count`, the number of its calls so far, is as
/// `when` says. It hears of nobody's findings but its own.
fn policy(name: &'static str, event: &str, when: &str, actions: &[Value]) -> Policy {
    let kind = format!("{name}.found");
    let observe =
        format!("(if ({when}) (then (return {{a0}})))").replace("count", "(global.get $count)");
    let mut guest = Guest {
        observe: observe.leak(),
        ..ordering(wakes(json!([{"event": event}])), actions)
    };
    guest.assessments[0]["findings"][0]["kind"] = json!(kind);
    guest.subscription.as_mut().unwrap()["findings"] = json!([kind]);
    Policy::new(name, guest)
}

/// Orders these actions once, in the `turn`th request.
fn at_request(turn: u32, actions: &[Value]) -> Policy {
    let when = format!("i32.eq count (i32.const {turn})");
    policy("editor", "request", &when, actions)
}

/// Blocks whenever it is woken by this event but for the first time.
fn judge(event: &str) -> Policy {
    let when = "i32.ge_u count (i32.const 2)";
    policy("judge", event, when, &[block("hard")])
}

fn edit(message: u64, text: &str, scope: &str) -> Value {
    json!({"edit-message": {"message": message, "text": text, "scope": scope}})
}

fn evict(message: u64, scope: &str) -> Value {
    json!({"evict-message": {"message": message, "scope": scope}})
}

fn replace(first: u64, last: u64, text: &str, scope: &str) -> Value {
    json!({"replace-messages": {"first": first, "last": last, "messages": [["user", text]], "scope": scope}})
}

fn substitute(id: &str, text: &str, scope: &str) -> Value {
    json!({"substitute-tool-result": {"call": id, "text": text, "scope": scope}})
}

fn inject(role: &str, text: &str, scope: &str) -> Value {
    json!({"inject": {"role": role, "text": text, "position": "end", "scope": scope}})
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn says(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

fn calls(id: &str) -> Value {
    json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": id, "type": "function", "function": {"name": "read", "arguments": "{}"}}]})
}

fn result(id: &str, text: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": text})
}

/// An agent's history: 1 system, 2 task, 3 call, 4 result, 5 answer, 6 question, 7 answer, 8 question.
fn history() -> Vec<Value> {
    vec![
        json!({"role": "system", "content": "be kind"}),
        user("the task"),
        calls("c1"),
        result("c1", "a long result"),
        says("done"),
        user("and now?"),
        says("nothing"),
        user("go on"),
    ]
}

async fn send(world: &World, messages: &[Value]) -> Reply {
    let request = json!({"model": "sim-echo", "messages": messages});
    world.call("s", &request).await
}

/// What the upstream got last: role and text of each message.
fn got(world: &World) -> Vec<(String, String)> {
    let received = world.received();
    let messages = received.last().unwrap()["messages"].as_array().unwrap();
    let text = |m: &Value| m["content"].as_str().unwrap_or_default().to_owned();
    messages
        .iter()
        .map(|m| (m["role"].as_str().unwrap().to_owned(), text(m)))
        .collect()
}

fn texts(world: &World) -> Vec<String> {
    got(world).into_iter().map(|(_, text)| text).collect()
}

/// Bodies as the upstream got them.
fn bodies(world: &World) -> Vec<String> {
    let requests = world.simulator.record().requests();
    requests.into_iter().map(|r| r.body).collect()
}

/// The session leaves memory and comes back from the store.
async fn restart(world: &World) {
    world
        .eventually("the session is idle", |w| {
            w.app.sessions.sweep(0);
            w.app.sessions.is_empty()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_lasts_as_long_as_it_was_ordered() {
    let original: Vec<String> = ["be kind", "the task", "", "a long result", "done"]
        .into_iter()
        .chain(["and now?", "nothing", "go on"])
        .map(str::to_owned)
        .collect();
    let without = |range: std::ops::Range<usize>, with: &[&str]| {
        let mut texts = original.clone();
        texts.splice(range, with.iter().map(|t| (*t).to_owned()));
        texts
    };
    type Order = fn(&str) -> Value;
    let cases: [(Order, Vec<String>); 6] = [
        (
            |s| edit(2, "another task", s),
            without(1..2, &["another task"]),
        ),
        (|s| edit(4, "short", s), without(3..4, &["short"])),
        (|s| evict(7, s), without(6..7, &[])),
        (|s| evict(4, s), without(2..4, &[])),
        (|s| replace(3, 5, "summary", s), without(2..5, &["summary"])),
        (|s| substitute("c1", "none", s), without(3..4, &["none"])),
    ];
    for (order, changed) in cases {
        for scope in ["exchange", "session"] {
            let world = world(vec![at_request(1, &[order(scope)])]).await;
            let mut messages = history();
            assert_eq!(send(&world, &messages).await.status, 200);
            let (outcome, reason) = {
                let all = world.interventions("s");
                (all[0].2, all[0].3.clone())
            };
            assert_eq!(outcome, Outcome::Applied, "{reason}");
            assert_eq!(texts(&world), changed, "{:?}", order(scope));
            restart(&world).await;
            messages.extend([says("well"), user("more")]);
            assert_eq!(send(&world, &messages).await.status, 200);
            let before = if scope == "session" {
                &changed
            } else {
                &original
            };
            let expected = [before, &["well".to_owned(), "more".to_owned()][..]].concat();
            assert_eq!(texts(&world), expected, "{:?}", order(scope));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_stay_is_refused_by_name_and_recorded() {
    let cases = [
        (evict(1, "session"), "an instruction to the model"),
        (evict(2, "session"), "the user's first message"),
        (evict(8, "exchange"), "in the newest turn"),
        (evict(99, "session"), "no message 99"),
        (edit(0, "x", "session"), "no message 0"),
        (replace(1, 5, "s", "session"), "an instruction to the model"),
        (replace(2, 4, "s", "session"), "the user's first message"),
        (replace(5, 8, "s", "session"), "in the newest turn"),
        (replace(6, 3, "s", "session"), "stands after"),
        (replace(3, 77, "s", "session"), "no message 77"),
        (substitute("c9", "x", "session"), "tool call `c9`"),
        (inject("tool", "x", "session"), "can be put in"),
    ];
    for (action, why) in cases {
        let world = world(vec![at_request(1, std::slice::from_ref(&action))]).await;
        assert_eq!(send(&world, &history()).await.status, 200);
        let (_, policy, outcome, reason) = world.interventions("s").remove(0);
        assert_eq!(
            (policy.as_str(), outcome),
            ("editor", Outcome::Refused),
            "{action}"
        );
        assert!(reason.contains(why), "{action}: {reason}");
        let sent = json!(history());
        assert_eq!(world.received()[0]["messages"], sent, "{action}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_and_its_results_leave_together() {
    for message in [3, 4, 5] {
        let mut messages = history();
        messages[2] = json!({"role": "assistant", "content": "both", "tool_calls": [
            calls("c1")["tool_calls"][0], calls("c2")["tool_calls"][0]]});
        messages.insert(4, result("c2", "another"));
        let world = world(vec![at_request(1, &[evict(message, "session")])]).await;
        assert_eq!(send(&world, &messages).await.status, 200);
        let (outcome, reason) = world.outcome("s", "evict-message");
        assert_eq!(outcome, Outcome::Applied);
        assert!(reason.contains("3, 4, 5"), "{reason}");
        let roles: String = got(&world).iter().map(|(role, _)| &role[..1]).collect();
        assert_eq!(roles, "suauau");
    }
    // A range is widened to where it cuts no step.
    let world = world(vec![at_request(1, &[replace(4, 5, "summary", "session")])]).await;
    assert_eq!(send(&world, &history()).await.status, 200);
    let (_, reason) = world.outcome("s", "replace-messages");
    assert!(reason.contains("3, 4, 5"), "{reason}");
    assert_eq!(
        texts(&world),
        [
            "be kind", "the task", "summary", "and now?", "nothing", "go on"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_changes_to_one_message_one_wins() {
    let edits = at_request(1, &[edit(5, "mine", "session")]);
    let swallows = policy(
        "summary",
        "request",
        FIRST,
        &[replace(3, 6, "summary", "session")],
    );
    let world = world(vec![edits, swallows]).await;
    assert_eq!(send(&world, &history()).await.status, 200);
    assert_eq!(world.outcome("s", "replace-messages").0, Outcome::Applied);
    assert_eq!(world.outcome("s", "edit-message").0, Outcome::Superseded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_sent_again_goes_out_with_the_same_bytes() {
    let orders = [
        edit(5, "redacted", "session"),
        evict(3, "session"),
        inject("system", "mind the gap", "session"),
    ];
    let world = world(vec![at_request(1, &orders)]).await;
    for _ in 0..3 {
        assert_eq!(send(&world, &history()).await.status, 200);
        restart(&world).await;
    }
    let bodies = bodies(&world);
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(bodies[0], bodies[2]);
    assert!(bodies[0].contains("redacted") && bodies[0].contains("mind the gap"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_branches_and_comes_back_finds_its_changes() {
    let orders = [edit(5, "redacted", "session"), evict(7, "session")];
    let world = world(vec![at_request(1, &orders)]).await;
    assert_eq!(send(&world, &history()).await.status, 200);
    let changed = texts(&world);
    // It edits its second question: what it dropped waits, what is left stays changed.
    let mut branch = history();
    branch.truncate(5);
    branch.push(user("another question"));
    assert_eq!(send(&world, &branch).await.status, 200);
    assert_eq!(
        texts(&world)[4..],
        ["redacted".to_owned(), "another question".to_owned()]
    );
    // It truncates before the message that was edited.
    assert_eq!(send(&world, &history()[..2]).await.status, 200);
    assert_eq!(texts(&world), ["be kind", "the task"]);
    // Meanwhile Airlock is restarted. The client comes back.
    restart(&world).await;
    assert_eq!(send(&world, &history()).await.status, 200);
    assert_eq!(texts(&world), changed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_turn_of_a_branch_stays_though_it_was_evicted_before() {
    let world = world(vec![at_request(1, &[evict(6, "session")])]).await;
    assert_eq!(send(&world, &history()).await.status, 200);
    assert!(!texts(&world).contains(&"and now?".to_owned()));
    // The client goes back to the question that was evicted when it was an old one.
    assert_eq!(send(&world, &history()[..6]).await.status, 200);
    assert_eq!(texts(&world).last().unwrap(), "and now?");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_in_is_judged_by_the_others() {
    let cases = [
        (edit(8, "worse", "exchange"), "message"),
        (edit(5, "worse", "session"), "message"),
        (replace(3, 5, "worse", "session"), "message"),
        (inject("user", "worse", "exchange"), "message"),
        (substitute("c1", "worse", "session"), "tool-result"),
        (edit(4, "worse", "session"), "tool-result"),
    ];
    for event in ["message", "tool-result"] {
        let world = world(vec![judge(event)]).await;
        assert_eq!(send(&world, &history()).await.status, 200);
    }
    for (action, event) in cases {
        let editor = at_request(1, std::slice::from_ref(&action));
        // Its first call is for what the client said.
        let world = world(vec![editor, judge(event)]).await;
        let reply = send(&world, &history()).await;
        assert_eq!(reply.status, 400, "{action}");
        assert!(world.received().is_empty(), "{action}");
        let told = world.timeline("s").iter().any(|e| match &e.body {
            Body::Message { text, .. } => event == "message" && text == "worse",
            Body::ToolResult { text, name, .. } => text == "worse" && name == "read",
            _ => false,
        });
        assert!(told, "{action}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_ordered_too_late_is_judged_before_the_next_request() {
    let late = policy(
        "late",
        "response-end",
        FIRST,
        &[inject("user", "worse", "session")],
    );
    // Nothing is new in a request that is sent again, but for what was put in.
    let world = world(vec![late, judge("message")]).await;
    assert_eq!(send(&world, &history()).await.status, 200);
    assert_eq!(world.outcome("s", "inject").0, Outcome::Applied);
    for _ in 0..2 {
        assert_eq!(send(&world, &history()).await.status, 400);
        restart(&world).await;
    }
    assert_eq!(world.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instruction_for_the_session_outlives_a_request_that_was_blocked() {
    let guard = policy(
        "guard",
        "session-opened",
        FIRST,
        &[inject("system", "never", "session")],
    );
    let once = policy("once", "request", FIRST, &[block("hard")]);
    let world = world(vec![guard, once]).await;
    assert_eq!(send(&world, &[user("one")]).await.status, 400);
    restart(&world).await;
    assert_eq!(send(&world, &[user("two")]).await.status, 200);
    assert!(texts(&world).contains(&"never".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_evicted_is_not_counted() {
    let mut messages = history();
    messages[3] = result("c1", &"word ".repeat(2000));
    let world = world(vec![at_request(1, &[evict(4, "session")])]).await;
    for _ in 0..2 {
        assert_eq!(send(&world, &messages).await.status, 200);
    }
    let timeline = world.timeline("s");
    let counted: Vec<u32> = timeline
        .iter()
        .filter_map(|e| match &e.body {
            Body::Request { input_tokens, .. } => Some(*input_tokens),
            _ => None,
        })
        .collect();
    assert!(counted[0] > 2000 && counted[1] < 200, "{counted:?}");
}

/// Length of what two texts have in common at their beginning.
fn common(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_breaks_a_prompt_cache_once() {
    // 1 user, 2 answer, 3 user, 4 answer, ... At the fourth request an old message is edited.
    let world = world(vec![at_request(4, &[edit(3, "redacted", "session")])]).await;
    let mut messages = Vec::new();
    for turn in 1..=10 {
        messages.push(user(&format!("question {turn}")));
        let reply = send(&world, &messages).await;
        messages.push(reply.json()["choices"][0]["message"].clone());
    }
    let bodies = bodies(&world);
    // The array of messages without its end: a cache reads up to where the requests differ.
    let arrays: Vec<&str> = bodies
        .iter()
        .map(|body| {
            let start = body.find("\"messages\":[").unwrap();
            &body[start..body.rfind("}]").unwrap()]
        })
        .collect();
    let broken: Vec<usize> = arrays
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| common(pair[0], pair[1]) < pair[0].len())
        .map(|(index, _)| index + 2)
        .collect();
    assert_eq!(broken, [4], "{arrays:#?}");
    let shared = common(arrays[2], arrays[3]);
    assert!(arrays[2][..shared].ends_with("\"content\":\""), "{shared}");
    assert_eq!(world.received()[9]["messages"][2], user("redacted"));
}
