//! Requests of `/api/generate` are read and edited.

use super::*;
use crate::dialect::turn::Turn;
use crate::dialect::{EditError, MessageEdit, RequestEdits};
use crate::event::Role;

fn edited(body: &Value, edits: &[MessageEdit]) -> Result<Value, EditError> {
    let edits = RequestEdits {
        messages: edits.to_vec(),
        ..RequestEdits::default()
    };
    let body = GENERATE
        .outbound()
        .edit_request(body.to_string().as_bytes(), &edits)?;
    Ok(serde_json::from_slice(&body).unwrap())
}

fn insert(at: usize, role: Role, text: &str) -> MessageEdit {
    MessageEdit::Insert {
        at,
        role,
        text: text.to_owned(),
    }
}

#[test]
fn every_field_that_bears_text_is_a_message() {
    let body = json!({"suffix": "after", "prompt": "What?", "system": "Be brief.", "template": "{{ .Prompt }}!",
        "model": "m", "images": ["aGVsbG8="]});
    let source = body.to_string();
    let view = view_of(GENERATE.inbound(), &source).unwrap();
    let said: Vec<(Role, &str)> = view
        .messages
        .iter()
        .map(|m| (m.role, m.text.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            (Role::System, "Be brief."),
            (Role::Other, "{{ .Prompt }}!"),
            (Role::User, "What?"),
            (Role::User, "after"),
        ]
    );
    for message in &view.messages {
        let span: String = serde_json::from_str(&source[message.span.clone()]).unwrap();
        assert_eq!(span, message.text);
    }
    assert_eq!(view.messages[2].media.len(), 1);
    assert!(view.streamed);
    // Nothing is said where nothing is.
    let view = super::view(
        GENERATE,
        &json!({"model": "m", "prompt": "", "system": null}),
    )
    .unwrap();
    assert_eq!(view.messages.len(), 0);
}

#[test]
fn a_conversation_in_tokens_is_judged_by_nobody_and_kept() {
    let body = json!({"model": "m", "prompt": "and then?", "context": [1, 2]});
    assert_eq!(
        view(GENERATE, &body).unwrap().unjudgeable,
        Some("a conversation in tokens")
    );
    let body_with = edited(&body, &[insert(0, Role::System, "x")]).unwrap();
    assert_eq!(body_with["context"], json!([1, 2]));
    let empty = json!({"model": "m", "prompt": "x", "context": []});
    assert_eq!(view(GENERATE, &empty).unwrap().unjudgeable, None);
    for bad in [json!(["text"]), json!("text"), json!({"a": 1})] {
        let body = json!({"model": "m", "prompt": "x", "context": bad});
        assert!(view(GENERATE, &body).is_err(), "{body}");
    }
    for bad in [
        r#"{"Prompt":"x"}"#,
        r#"{"\u017fuffix":"x"}"#,
        r#"{"raw":"yes"}"#,
        r#"{"prompt":7}"#,
    ] {
        let read = view_of(GENERATE.inbound(), bad);
        let raw = GENERATE
            .outbound()
            .edit_request(bad.as_bytes(), &RequestEdits::default());
        assert!(read.is_err() || raw.is_err(), "{bad}");
    }
}

#[test]
fn instructions_join_the_system_text() {
    let bare = json!({"model": "m", "prompt": "hi"});
    let edits = [
        insert(0, Role::System, "One."),
        insert(1, Role::Developer, "Two."),
    ];
    assert_eq!(edited(&bare, &edits).unwrap()["system"], "One.\n\nTwo.");
    let body = json!({"model": "m", "prompt": "hi", "system": "Own."});
    let edits = [
        insert(0, Role::System, "Before."),
        insert(2, Role::System, "After."),
    ];
    let told = edited(&body, &edits).unwrap();
    assert_eq!(told["system"], "Before.\n\nOwn.\n\nAfter.");
    assert_eq!(told["prompt"], "hi");
    // A prompt that goes to the model as it is has no system text beside it.
    let raw = json!({"model": "m", "prompt": "[INST] hi", "raw": true});
    let told = edited(&raw, &[insert(1, Role::System, "One.")]).unwrap();
    assert_eq!(told["prompt"], "One.\n\n[INST] hi");
    assert_eq!(told.get("system"), None);
}

#[test]
fn the_prompt_is_rewritten_and_added_to() {
    let body = json!({"model": "m", "prompt": "hi", "system": "Own.", "suffix": "end"});
    let rewrite = |index, text: &str| MessageEdit::Rewrite {
        index,
        text: text.into(),
    };
    let told = edited(
        &body,
        &[
            rewrite(1, "ho"),
            insert(1, Role::User, "a"),
            insert(3, Role::User, "b"),
        ],
    )
    .unwrap();
    assert_eq!(told["prompt"], "a\n\nho\n\nb");
    assert_eq!(
        edited(&body, &[rewrite(0, "New.")]).unwrap()["system"],
        "New."
    );
    assert_eq!(
        edited(&body, &[rewrite(2, "fin")]).unwrap()["suffix"],
        "fin"
    );
    assert_eq!(
        edited(&body, &[MessageEdit::Evict { index: 0 }]).unwrap()["system"],
        ""
    );
    let turn = Turn::default();
    for refused in [
        MessageEdit::Evict { index: 1 },
        insert(0, Role::Assistant, "x"),
        insert(4, Role::User, "x"),
        rewrite(3, "x"),
        MessageEdit::InsertStep {
            at: 0,
            turn: turn.clone(),
        },
        MessageEdit::AddCalls {
            index: 0,
            calls: Vec::new(),
        },
    ] {
        assert!(
            edited(&body, std::slice::from_ref(&refused)).is_err(),
            "{refused:?}"
        );
    }
    let on = GENERATE
        .outbound()
        .continue_request(body.to_string().as_bytes(), &turn);
    assert!(on.is_err());
}
