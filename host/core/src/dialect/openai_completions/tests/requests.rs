//! Requests are read, edited, and carried to other APIs.

use super::*;
use crate::dialect::portable::{Part, Said};
use crate::dialect::turn::Turn;
use crate::dialect::{EditError, MessageEdit, Portable, RequestEdits};
use crate::event::Role;

fn edited(body: &str, edits: &RequestEdits) -> Result<Value, EditError> {
    let body = API.outbound().edit_request(body.as_bytes(), edits)?;
    Ok(serde_json::from_slice(&body).unwrap())
}

fn with(messages: &[MessageEdit]) -> RequestEdits {
    RequestEdits {
        messages: messages.to_vec(),
        ..RequestEdits::default()
    }
}

fn insert(at: usize, role: Role, text: &str) -> MessageEdit {
    MessageEdit::Insert {
        at,
        role,
        text: text.to_owned(),
    }
}

fn rewrite(index: usize, text: &str) -> MessageEdit {
    MessageEdit::Rewrite {
        index,
        text: text.to_owned(),
    }
}

#[test]
fn every_prompt_is_a_message_and_so_is_what_shall_follow() {
    let body = r#"{"model":"m","prompt":["one","two"],"suffix":"end","n":3,"max_tokens":50.0,"stream":true,
        "stream_options":{"include_usage":true},"user":"u","metadata":{"session_id":"s"}}"#;
    let view = view(body).unwrap();
    let said: Vec<&str> = view
        .messages
        .iter()
        .map(|message| message.text.as_str())
        .collect();
    assert_eq!(said, ["one", "two", "end"]);
    assert!(
        view.messages
            .iter()
            .all(|message| message.role == Role::User)
    );
    for message in &view.messages {
        assert_eq!(body[message.span.clone()], format!("\"{}\"", message.text));
    }
    // Each prompt is answered so many times.
    assert_eq!((view.choices, view.max_output_tokens), (6, Some(50)));
    assert!(view.streamed && view.include_usage);
    assert_eq!(view.end_user.as_deref(), Some("u"));
    assert_eq!(
        view.session_hints,
        [("metadata.session_id", "s".to_owned())]
    );
    let one = super::view(r#"{"model":"m","prompt":"one"}"#).unwrap();
    assert_eq!(
        (one.messages.len(), one.choices, one.streamed),
        (1, 1, false)
    );
    assert_eq!(super::view(r#"{"model":"m"}"#).unwrap().messages.len(), 0);
}

#[test]
fn a_prompt_of_tokens_is_judged_by_nobody() {
    for (prompt, choices) in [("[1,2,3]", 2), ("[[1],[2],[3]]", 6)] {
        let view = view(&format!(r#"{{"model":"m","prompt":{prompt},"n":2}}"#)).unwrap();
        assert_eq!(
            (view.messages.len(), view.choices),
            (0, choices),
            "{prompt}"
        );
        assert_eq!(view.unjudgeable, Some("a prompt of tokens"));
    }
    let embeds = view(r#"{"model":"m","prompt_embeds":"gASV"}"#).unwrap();
    assert_eq!(embeds.unjudgeable, Some("a prompt of embeddings"));
    for bad in [
        r#"{"prompt":["a",1]}"#,
        r#"{"prompt":{"a":1}}"#,
        r#"{"prompt":7}"#,
        r#"{"prompt":"a","prompt":"b"}"#,
        r#"{"prompt":"a","suffix":7}"#,
        r#"{"prompt":"a","stream":"yes"}"#,
        r#"{"prompt":["a","b"],"n":40000}"#,
        r#"{"prompt":"a","n":-1}"#,
    ] {
        assert_eq!(
            view(bad).unwrap_err().dialect,
            "openai-completions",
            "{bad}"
        );
    }
}

#[test]
fn what_no_edit_concerns_keeps_its_bytes() {
    let body = "{ \"model\":\"m\", \"prompt\":[ \"one\" ,\n\"two\"], \"suffix\": \"end\" }";
    let outbound = API.outbound();
    let same = outbound
        .edit_request(body.as_bytes(), &RequestEdits::default())
        .unwrap();
    assert_eq!(same, body.as_bytes());
    let edits = with(&[rewrite(1, "2"), rewrite(2, "fin")]);
    let edited = outbound.edit_request(body.as_bytes(), &edits).unwrap();
    let expected = body.replace("two", "2").replace("end", "fin");
    assert_eq!(String::from_utf8(edited).unwrap(), expected);
}

#[test]
fn what_is_put_in_stands_where_a_prompt_has_room() {
    let body = r#"{"model":"m","prompt":["one","two"],"suffix":"end"}"#;
    let told = edited(body, &with(&[insert(0, Role::System, "Be brief.")])).unwrap();
    assert_eq!(
        told["prompt"],
        json!(["Be brief.\n\none", "Be brief.\n\ntwo"])
    );
    let told = edited(
        body,
        &with(&[insert(1, Role::User, "a"), insert(3, Role::User, "b")]),
    )
    .unwrap();
    assert_eq!(told["prompt"], json!(["one", "a\n\ntwo\n\nb"]));
    let told = edited(body, &with(&[MessageEdit::Evict { index: 2 }])).unwrap();
    assert_eq!(told["suffix"], "");
    let single = r#"{"model":"m","prompt":"one"}"#;
    let told = edited(
        single,
        &with(&[insert(1, Role::Developer, "x"), rewrite(0, "1")]),
    )
    .unwrap();
    assert_eq!(told["prompt"], "x\n\n1");
    for refused in [
        MessageEdit::Evict { index: 0 },
        insert(0, Role::Assistant, "x"),
        insert(4, Role::User, "x"),
        rewrite(3, "x"),
        MessageEdit::InsertStep {
            at: 0,
            turn: Turn::default(),
        },
        MessageEdit::Result {
            index: 0,
            id: "x".into(),
            text: "y".into(),
        },
    ] {
        assert!(
            edited(body, &with(std::slice::from_ref(&refused))).is_err(),
            "{refused:?}"
        );
    }
    let tokens = r#"{"model":"m","prompt":[1,2]}"#;
    assert!(edited(tokens, &with(&[insert(0, Role::System, "x")])).is_err());
    assert!(edited(r#"{"model":"m"}"#, &with(&[insert(0, Role::System, "x")])).is_err());
    assert!(
        API.outbound()
            .continue_request(body.as_bytes(), &Turn::default())
            .is_err()
    );
}

#[test]
fn the_limit_is_only_lowered_and_the_servers_own_is_known() {
    let limit = |stated: Value, most: u32| {
        let edits = RequestEdits {
            max_output_tokens: Some(most),
            ..RequestEdits::default()
        };
        let body = json!({"model": "m", "prompt": "x", "max_tokens": stated});
        edited(&body.to_string(), &edits).unwrap()["max_tokens"].clone()
    };
    assert_eq!(limit(json!(100), 50), 50);
    assert_eq!(limit(json!(100), 500), 100);
    assert_eq!(limit(json!(-1), 50), 50);
    // Where nothing is stated it is 16.
    assert_eq!(limit(Value::Null, 50), Value::Null);
    assert_eq!(limit(Value::Null, 9), 9);
    let edits = RequestEdits {
        include_usage: true,
        parameters: vec![("temperature".into(), "0".into())],
        model: Some("other".into()),
        ..RequestEdits::default()
    };
    let told = edited(r#"{"model":"m","prompt":"x","stream":true}"#, &edits).unwrap();
    let expected = json!({"model": "other", "prompt": "x", "stream": true, "temperature": 0,
        "stream_options": {"include_usage": true}});
    assert_eq!(told, expected);
    let whole = edited(r#"{"model":"m","prompt":"x"}"#, &edits).unwrap();
    assert_eq!(whole.get("stream_options"), None);
    for name in ["prompt", "stream", "suffix"] {
        let edits = RequestEdits {
            parameters: vec![(name.to_owned(), "1".to_owned())],
            ..RequestEdits::default()
        };
        assert!(edited("{}", &edits).is_err());
    }
    let body = API.outbound().ask("m", "Judge.", "text", 9);
    let view = view(std::str::from_utf8(&body).unwrap()).unwrap();
    assert_eq!(
        (view.messages[0].text.as_str(), view.max_output_tokens),
        ("Judge.\n\ntext", Some(9))
    );
    assert_eq!(API.outbound().path("m", true), "/completions");
}

#[test]
fn one_prompt_can_be_asked_of_others_and_nothing_of_this_api() {
    let carried = |body: Value| API.inbound().to_portable(received(&body.to_string()));
    let body = json!({"model": "m", "prompt": ["What?"], "stream": true, "stream_options": {"include_usage": true},
        "max_tokens": 50, "temperature": 0.5, "seed": 7, "n": 2, "stop": "\n", "user": "u", "echo": false,
        "best_of": 1, "logprobs": null, "prompt_cache_key": "k"});
    let portable = carried(body.clone()).unwrap();
    let expected = Portable {
        model: "m".into(),
        streamed: true,
        turns: vec![Said {
            role: Role::User,
            parts: vec![Part::Text("What?".into())],
        }],
        max_output_tokens: Some(50),
        stop: vec!["\n".into()],
        choices: 2,
        end_user: Some("u".into()),
        left: vec!["prompt_cache_key".into()],
        sampling: portable.sampling.clone(),
        ..Portable::default()
    };
    assert_eq!(portable, expected);
    assert_eq!(portable.sampling.seed, Some(7.into()));
    for (name, value) in [
        ("prompt", json!(["a", "b"])),
        ("prompt", json!([1, 2])),
        ("suffix", json!("end")),
        ("echo", json!(true)),
        ("best_of", json!(3)),
        ("logprobs", json!(1)),
        ("logit_bias", json!({"50256": -100})),
        ("stop", json!(7)),
        ("unheard_of", json!("x")),
    ] {
        let mut body = body.clone();
        body[name] = value;
        assert_eq!(carried(body).unwrap_err().field, name);
    }
    let refused = API.outbound().of_portable(&portable).unwrap_err();
    assert_eq!(
        (&*refused.field, refused.to),
        ("messages", "openai-completions")
    );
}
