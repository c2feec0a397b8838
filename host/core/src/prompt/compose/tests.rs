//! Any history under any changes stays a conversation that vendors take, and keeps every byte that nobody changed.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::dialect::openai_chat::OpenAiChat;
use crate::dialect::{Outbound as _, RequestEdits, Turn};
use crate::event::Role;
use crate::session::overlay::DeniedCall;

fn added(id: u64, role: Role, text: &str) -> Added {
    Added {
        id,
        role,
        text: text.to_owned(),
    }
}

fn denied(id: &str) -> DeniedCall {
    DeniedCall {
        id: id.to_owned(),
        name: "rm".to_owned(),
        arguments: "{}".to_owned(),
        result: "no".to_owned(),
        own: None,
        at: None,
    }
}

/// A body with these messages, spelled in a way that a rewrite would change.
fn body(messages: &[Value]) -> String {
    let messages: Vec<String> = messages
        .iter()
        .map(|m| m.to_string().replacen(':', " :  ", 1))
        .collect();
    format!(
        "{{ \"messages\": [\n {}\n],\"model\":\"m\" }}",
        messages.join(" ,\n ")
    )
}

/// The body as it goes upstream.
fn upstream(body: &str, ids: &[u64], changes: &[Edit]) -> String {
    let view = OpenAiChat.read_request(body.as_bytes()).unwrap();
    let changes: Vec<&Edit> = changes.iter().collect();
    let edits = RequestEdits {
        messages: compose(&view, ids, &changes).edits,
        ..RequestEdits::default()
    };
    let edited = OpenAiChat.edit_request(body.as_bytes(), &edits).unwrap();
    String::from_utf8(edited).unwrap()
}

fn messages_of(body: &str) -> Vec<Value> {
    let body: Value = serde_json::from_str(body).unwrap();
    body["messages"].as_array().unwrap().clone()
}

/// Roles, with the first letter of each: `suatau`.
fn roles(body: &str) -> String {
    let messages = messages_of(body);
    let roles = messages.iter().map(|m| m["role"].as_str().unwrap());
    roles.map(|role| &role[..1]).collect()
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn says(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

fn calls(ids: &[&str]) -> Value {
    let function = json!({"name": "f", "arguments": "{}"});
    let call = |id: &&str| json!({"id": id, "type": "function", "function": function});
    json!({"role": "assistant", "content": null, "tool_calls": ids.iter().map(call).collect::<Vec<_>>()})
}

fn result(id: &str, text: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": text})
}

/// 1 system, 2 user, 3 call, 4 result, 5 answer, 6 user, 7 answer, 8 user.
fn history() -> Vec<Value> {
    vec![
        json!({"role": "system", "content": "s"}),
        user("task"),
        calls(&["c1"]),
        result("c1", "42"),
        says("it is 42"),
        user("and?"),
        says("no"),
        user("go on"),
    ]
}

fn evict(messages: &[u64]) -> Edit {
    let messages = messages.to_vec();
    Edit::Evict { messages }
}

fn replace(messages: &[u64], id: u64, text: &str) -> Edit {
    Edit::Replace {
        messages: messages.to_vec(),
        with: vec![added(id, Role::User, text)],
    }
}

#[test]
fn a_change_is_made_only_where_the_conversation_stays_whole() {
    let body = body(&history());
    let ids: Vec<u64> = (1..=8).collect();
    let of = |changes: &[Edit]| roles(&upstream(&body, &ids, changes));
    assert_eq!(of(&[evict(&[3, 4])]), "suauau");
    // A step leaves whole; instructions, the task and the newest turn stay.
    for stays in [&[3][..], &[4], &[1], &[2], &[8], &[7, 8], &[]] {
        assert_eq!(of(&[evict(stays)]), "suatauau", "{stays:?}");
    }
    assert_eq!(of(&[replace(&[3, 4, 5], 9, "summary")]), "suuuau");
    // The client went back: what was older then is the newest turn now.
    assert_eq!(
        roles(&upstream(&body, &ids, &[evict(&[6, 7])])),
        "suatau",
        "evicted"
    );
    let back = super::tests::body(&history()[..6]);
    assert_eq!(
        roles(&upstream(&back, &ids[..6], &[evict(&[6, 7])])),
        "suatau"
    );
}

#[test]
fn a_range_that_contains_an_earlier_one_takes_its_place() {
    let body = body(&history());
    let ids: Vec<u64> = (1..=8).collect();
    let changes = [
        replace(&[3, 4], 9, "first summary"),
        replace(&[3, 4, 5, 6, 7], 10, "second summary"),
    ];
    let sent = upstream(&body, &ids, &changes);
    assert!(sent.contains("second summary") && !sent.contains("first summary"));
    assert_eq!(roles(&sent), "suuu");
    // The client went back to where only the first one is possible.
    let back = super::tests::body(&history()[..6]);
    let sent = upstream(&back, &ids[..6], &changes);
    assert!(sent.contains("first summary") && !sent.contains("second summary"));
}

#[test]
fn added_messages_are_changed_and_left_out_like_others() {
    let body = body(&history());
    let ids: Vec<u64> = (1..=8).collect();
    let remark = Edit::Inject {
        after: 5,
        message: added(9, Role::User, "remark"),
    };
    let text = "other".to_owned();
    let rewrite = Edit::Rewrite { message: 9, text };
    let sent = upstream(&body, &ids, &[remark.clone(), rewrite]);
    assert_eq!(messages_of(&sent)[5], user("other"));
    let sent = upstream(&body, &ids, &[remark.clone(), evict(&[9])]);
    assert_eq!(sent, body);
    // Its place is gone, and it instructs nobody.
    assert_eq!(
        upstream(&super::tests::body(&history()[..3]), &ids[..3], &[remark]),
        super::tests::body(&history()[..3])
    );
}

#[test]
fn an_instruction_stays_when_its_place_is_gone() {
    let rule = Edit::Inject {
        after: 5,
        message: added(9, Role::System, "rule"),
    };
    // A window that slid past it: what came before is left, and what came after.
    let sent = upstream(
        &body(&[history()[0].clone(), user("new"), says("x"), user("y")]),
        &[1, 10, 11, 12],
        &[rule],
    );
    assert_eq!(messages_of(&sent)[1]["content"], "rule");
}

#[test]
fn denied_calls_stand_where_the_model_made_them() {
    let within = Edit::Restore(Restored {
        message: 3,
        place: Place::Within,
        said: String::new(),
        own: None,
        calls: vec![denied("d1")],
    });
    let step = |message, said: &str, id| {
        Edit::Restore(Restored {
            message,
            place: Place::Before,
            said: said.to_owned(),
            own: None,
            calls: vec![denied(id)],
        })
    };
    let ids: Vec<u64> = (1..=8).collect();
    let changes = [within, step(5, "it ", "d2"), step(5, "is ", "d3")];
    let sent = upstream(&body(&history()), &ids, &changes);
    let messages = messages_of(&sent);
    assert_eq!(roles(&sent), "suattatatauau");
    assert_eq!(messages[2]["tool_calls"][1]["id"], "d1");
    assert_eq!(messages[3], result("d1", "no"));
    assert_eq!(messages[4], result("c1", "42"));
    assert_eq!(
        (&messages[5]["content"], &messages[7]["content"]),
        (&json!("it "), &json!("is "))
    );
    assert_eq!(messages[9], says("42"));
    // They leave with the message that they belong to.
    let all = [&changes[..], &[evict(&[3, 4])]].concat();
    assert!(!upstream(&body(&history()), &ids, &all).contains("d1"));
}

#[test]
fn a_restored_step_is_spelled_as_the_request_that_went_on_after_it() {
    let first = body(&history());
    let call = crate::dialect::ToolCallView {
        id: "d".to_owned(),
        name: "rm".to_owned(),
        arguments: "{}".to_owned(),
        own: None,
        at: None,
    };
    let own = r#"{"role":"assistant","content":"let me see","reasoning":"hm"}"#;
    for (said, own) in [("", None), ("let me see", None), ("let me see", Some(own))] {
        let calls = vec![(call.clone(), "no".to_owned())];
        let turn = Turn::of_step(said.to_owned(), own.map(str::to_owned), calls);
        let went_on = OpenAiChat
            .continue_request(first.as_bytes(), &turn)
            .unwrap();
        let went_on = String::from_utf8(went_on).unwrap();
        let mut messages = history();
        messages.push(says(&format!("{said} I may not")));
        messages.push(user("then do not"));
        let restored = Edit::Restore(Restored {
            message: 9,
            place: Place::Before,
            said: said.to_owned(),
            own: own.map(str::to_owned),
            calls: vec![denied("d")],
        });
        let ids: Vec<u64> = (1..=10).collect();
        let next = upstream(&body(&messages), &ids, &[restored]);
        let prefix = &went_on[..went_on.rfind("\n]").unwrap()];
        assert!(next.starts_with(prefix), "{went_on}\n{next}");
    }
}

/// A conversation: a user's turn, and for each step whether it calls tools, and how many at once.
fn conversation() -> impl Strategy<Value = Vec<Value>> {
    let turn = prop::collection::vec(0..3_usize, 0..3);
    (any::<bool>(), prop::collection::vec(turn, 1..5)).prop_map(|(system, turns)| {
        let mut messages = Vec::new();
        if system {
            messages.push(json!({"role": "system", "content": "be kind"}));
        }
        for (t, steps) in turns.iter().enumerate() {
            messages.push(user(&format!("question {t}")));
            for (s, parallel) in steps.iter().enumerate() {
                let ids: Vec<String> = (0..*parallel).map(|c| format!("c{t}.{s}.{c}")).collect();
                let names: Vec<&str> = ids.iter().map(String::as_str).collect();
                match *parallel {
                    0 => messages.push(says(&format!("answer {t}.{s}"))),
                    _ => messages.push(calls(&names)),
                }
                messages.extend(
                    names
                        .iter()
                        .map(|id| result(id, &format!("result of {id}"))),
                );
            }
        }
        messages
    })
}

fn change() -> impl Strategy<Value = Edit> {
    let id = || 1..24_u64;
    let some = || prop::collection::vec(id(), 1..4);
    let range = || (id(), 0..6_u64).prop_map(|(first, more)| (first..=first + more).collect());
    prop_oneof![
        some().prop_map(|messages| Edit::Evict { messages }),
        range().prop_map(|messages| Edit::Evict { messages }),
        (range(), 100..110_u64).prop_map(|(messages, id)| Edit::Replace {
            messages,
            with: vec![added(id, Role::User, "summary")]
        }),
        (id(), any::<bool>(), 100..110_u64).prop_map(|(after, rule, id)| Edit::Inject {
            after,
            message: added(id, if rule { Role::System } else { Role::User }, "note")
        }),
        (id(), "[a-z\\\\\"é]{0,8}").prop_map(|(message, text)| Edit::Rewrite { message, text }),
        (id(), any::<bool>()).prop_map(|(message, within)| Edit::Restore(Restored {
            message,
            place: if within { Place::Within } else { Place::Before },
            said: "answer".to_owned(),
            own: None,
            calls: vec![denied("d")],
        })),
    ]
}

/// Whether each call has its results right after it, and each result its call.
fn is_valid(messages: &[Value]) -> bool {
    let mut open: HashSet<String> = HashSet::new();
    for message in messages {
        let id = message["tool_call_id"].as_str();
        match id {
            Some(id) => {
                if !open.remove(id) {
                    return false;
                }
            }
            None if !open.is_empty() => return false,
            None => {
                let calls = message["tool_calls"].as_array();
                open.extend(
                    calls
                        .into_iter()
                        .flatten()
                        .map(|call| call["id"].as_str().unwrap().to_owned()),
                );
            }
        }
    }
    open.is_empty() && !messages.is_empty()
}

proptest! {
    #[test]
    fn any_history_under_any_changes_stays_whole(
        messages in conversation(),
        changes in prop::collection::vec(change(), 0..8),
    ) {
        prop_assume!(is_valid(&messages));
        // What only the model may have made is restored at its messages.
        let ids: Vec<u64> = (1..=messages.len() as u64).collect();
        let is_model = |id: u64| {
            messages.get(id as usize - 1).is_some_and(|m| m["role"] == "assistant")
        };
        let changes: Vec<Edit> = changes
            .into_iter()
            .filter(|edit| !matches!(edit, Edit::Restore(r) if !is_model(r.message)))
            .collect();
        // The denied calls of a turn are restored once, when it ends.
        let mut restored = std::collections::HashSet::new();
        let changes: Vec<Edit> = changes
            .into_iter()
            .filter(|edit| match edit {
                Edit::Restore(r) => restored.insert((r.message, r.place == Place::Within)),
                _ => true,
            })
            .collect();
        let source = body(&messages);
        let sent = upstream(&source, &ids, &changes);
        let after = messages_of(&sent);
        prop_assert!(is_valid(&after), "{sent}");
        prop_assert_eq!(&sent, &upstream(&source, &ids, &changes), "not the same each time");
        // Instructions and the newest turn are there, in their order. Texts may be other ones.
        let newest = messages.iter().rposition(|m| m["role"] == "user").unwrap();
        let rewritten = |index: usize| {
            let id = index as u64 + 1;
            changes.iter().any(|edit| match edit {
                Edit::Rewrite { message, .. } => *message == id,
                Edit::Restore(restored) => restored.message == id,
                _ => false,
            })
        };
        let mut from = 0;
        for (index, message) in messages.iter().enumerate() {
            let stays = message["role"] == "system" || index >= newest;
            if stays && !rewritten(index) {
                let at = after[from..].iter().position(|m| m == message);
                prop_assert!(at.is_some(), "{message} is gone: {sent}");
                from += at.unwrap() + 1;
            }
        }
        // What nobody changed keeps its bytes, the spelling included.
        let spelled: Vec<String> = messages
            .iter()
            .map(|m| m.to_string().replacen(':', " :  ", 1))
            .collect();
        for (message, spelling) in messages.iter().zip(&spelled) {
            if after.contains(message) {
                prop_assert!(sent.contains(spelling.as_str()), "{spelling}: {sent}");
            }
        }
    }
}
