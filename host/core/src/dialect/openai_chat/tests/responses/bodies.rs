//! Whole bodies: they say what a stream says, and are edited and ended.

use serde_json::{Value, json};

use crate::dialect::openai_chat::OpenAiChat;
use crate::dialect::openai_chat::tests::responses::edit;
use crate::dialect::openai_chat::tests::{replacing, text};
use crate::dialect::{CallKind, CallPart, Ending, Identity, Partial, Piece, Slot};
use crate::event::{Channel, Usage};

const BODY: &str = r#"{
  "id": "c1", "object": "chat.completion", "created": 7, "model": "m",
  "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "hello", "refusal": null, "annotations": []}, "logprobs": {"content": [{"token": "hello"}]}, "finish_reason": "stop"},
    {"index": 1, "message": {"role": "assistant", "content": null, "tool_calls": [{"id": "i", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}, "finish_reason": "tool_calls"}
  ],
  "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
}"#;

fn read_body(body: &[u8]) -> Vec<Piece> {
    let mut out = Vec::new();
    OpenAiChat
        .read_body(body, &mut Identity::default(), &mut out)
        .unwrap();
    out
}

#[test]
fn a_body_says_the_same_pieces_as_a_stream() {
    assert_eq!(
        read_body(BODY.as_bytes()),
        [
            text(Channel::Output, "hello"),
            Piece::Finish {
                choice: 0,
                reason: "stop".into()
            },
            Piece::Call(CallPart {
                choice: 1,
                slot: Slot::Whole,
                kind: CallKind::Function,
                id: Some("i".into()),
                name: Some("f".into()),
                arguments: "{}".into(),
            }),
            Piece::Finish {
                choice: 1,
                reason: "tool_calls".into()
            },
            Piece::Usage(Usage {
                input: 9,
                output: 5,
                exact: true,
                ..Usage::default()
            }),
            Piece::End,
        ]
    );
}

#[test]
fn a_body_is_edited_in_place_and_ended_early() {
    let edited = OpenAiChat
        .edit_body(BODY.as_bytes(), &replacing(&[edit(Channel::Output, "bye")]))
        .unwrap();
    let expected = BODY
        .replace(r#""content": "hello""#, r#""content": "bye""#)
        .replace(r#"{"content": [{"token": "hello"}]}"#, "null");
    assert_eq!(String::from_utf8(edited).unwrap(), expected);
    let partial = Partial {
        reason: "too slow".into(),
        confidence: None,
        policy: "latency-budget".into(),
    };
    let ended: Value = serde_json::from_slice(
        &OpenAiChat
            .end_body(BODY.as_bytes(), &Ending::Partial(partial))
            .unwrap(),
    )
    .unwrap();
    assert_eq!(
        ended["airlock"],
        json!({"partial": true, "reason": "too slow", "confidence": null, "policy": "latency-budget"})
    );
    assert_eq!(
        (
            &ended["choices"][0]["finish_reason"],
            &ended["choices"][1]["finish_reason"]
        ),
        (&json!("length"), &json!("length"))
    );
    assert_eq!(ended["choices"][0]["message"]["content"], "hello");
}
