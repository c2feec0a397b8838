//! A forbidden string, cut anywhere and in any shape.

use serde_json::{Value, json};

use super::judged::read;
use crate::support::*;
use airlock_core::event::{Body, Status};
use airlock_policy::OnFailure;

/// Multi-byte, and with a beginning that repeats: "gegeheim" begins it twice.
const SECRET: &str = "geheim-ß7";

/// Where text goes, a script that says chunks there, and what stands before and after the secret.
type Kind = (
    &'static str,
    fn(Vec<String>) -> Value,
    &'static str,
    &'static str,
);

/// Every way to cut the secret in two, the whole, and every character by itself.
fn cuts(before: &str, after: &str) -> Vec<Vec<String>> {
    let text = format!("{before}{SECRET}{after}");
    let (from, to) = (before.len(), before.len() + SECRET.len());
    let borders: Vec<usize> = (from..=to).filter(|i| text.is_char_boundary(*i)).collect();
    let mut all: Vec<Vec<String>> = borders.iter().map(|at| cut(&text, &[*at])).collect();
    all.push(vec![text.clone()]);
    all.push(cut(&text, &borders));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_string_cut_anywhere_leaks_not_one_byte() {
    let world = world(vec![Policy::new(
        "words",
        matching(SECRET, &[block("hard")]),
    )])
    .await;
    let kinds: [Kind; 5] = [
        (
            "0/content",
            |c| json!({"chunks": c}),
            "the key is ge",
            ", keep it",
        ),
        (
            "0/reasoning_content",
            |c| json!({"reasoning": c, "text": "fine"}),
            "hm, ge",
            ", no",
        ),
        (
            "0/reasoning",
            |c| json!({"reasoning": c, "reasoning_field": "reasoning", "text": "fine"}),
            "hm, ",
            "",
        ),
        (
            "0/refusal",
            |c| json!({"refusal": c}),
            "",
            " I will not say",
        ),
        (
            "0/tool_calls/1",
            |c| json!({"tool_calls": [{"name": "a", "chunks": ["{}"]}, {"name": "b", "chunks": c}]}),
            "{\"q\":\"",
            "\"}",
        ),
    ];
    for (place, script, before, after) in kinds {
        for (i, chunks) in cuts(before, after).into_iter().enumerate() {
            for write_bytes in [None, Some(1), Some(11)] {
                let mut script = script(chunks.clone());
                if let Some(n) = write_bytes {
                    script["write_bytes"] = json!(n);
                }
                let session = format!("{place}-{i}-{write_bytes:?}");
                let reply = world.call(&session, &streamed(chat(&script))).await;
                let context = format!(
                    "{place}, chunks {chunks:?}, writes of {write_bytes:?}: {}",
                    reply.text()
                );
                assert!(before.starts_with(reply.said().at(place)), "{context}");
                assert_eq!(reply.error_code(), "content_filter", "{context}");
                assert!(!reply.is_done() && reply.finishes().is_empty(), "{context}");
                assert_eq!(world.statuses(&session), [Status::Blocked], "{context}");
            }
        }
        let reply = world
            .call(
                "whole",
                &chat(&script(vec![format!("{before}{SECRET}{after}")])),
            )
            .await;
        assert_eq!(
            (reply.status, reply.error_code().as_str()),
            (400, "content_filter")
        );
        assert!(!reply.text().contains("geheim"), "{}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_in_other_shapes_and_other_choices_is_no_way_around() {
    let world = world(vec![Policy::new(
        "words",
        matching(SECRET, &[block("hard")]),
    )])
    .await;
    let parts = |text: &str| json!([{"type": "text", "text": text}]);
    let frame = |delta: Value, choice: u32| {
        let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": choice, "delta": delta, "finish_reason": null}]});
        format!("data: {chunk}\n\n")
    };
    let shapes = [
        vec![
            frame(json!({"content": parts("ge")}), 0),
            frame(json!({"content": parts(&SECRET[2..])}), 0),
        ],
        vec![
            frame(json!({"content": "ge"}), 1),
            frame(json!({"content": "x"}), 0),
            frame(json!({"content": &SECRET[2..]}), 1),
        ],
        vec![frame(json!({"audio": {"transcript": SECRET}}), 0)],
        vec![frame(
            json!({"function_call": {"name": "f", "arguments": SECRET}}),
            0,
        )],
        vec![frame(
            json!({"reasoning_details": [{"type": "reasoning.text", "text": SECRET}]}),
            0,
        )],
        // After what should have been the end.
        vec![
            frame(json!({"content": "fine"}), 0),
            "data: [DONE]\n\n".to_owned(),
            frame(json!({"content": SECRET}), 0),
        ],
        vec![format!(
            "{}data: [DONE]\n\n{}",
            frame(json!({"content": "fine"}), 0),
            frame(json!({"content": SECRET}), 0)
        )],
        // In a field of the frame that nobody defined.
        vec![frame(json!({"content": "fine", "comment": SECRET}), 0)],
    ];
    for (i, raw) in shapes.into_iter().enumerate() {
        let script = json!({"raw": raw});
        let mut request = chat(&script);
        // The prompt holds the script, and the request is not what is looked at here.
        request["n"] = json!(2);
        let reply = world.call(&format!("{i}"), &streamed(request)).await;
        assert!(
            !reply.text().contains(&SECRET[2..]),
            "shape {i}: {}",
            reply.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_a_mark() {
    for (on_failure, end) in [(OnFailure::Closed, "content_filter"), (OnFailure::Open, "")] {
        let guest = crate::guests::Guest {
            subscription: Some(json!({"wakes": [{"every-tokens": 1}],
                "release": [{"channel": "output", "mode": "hold-until-judged", "max-hold-ms": 20}]})),
            assessments: vec![
                json!({"marks": [{"place": {"channel": "output", "choice": 0, "item": 0, "part": 0}, "upto": 6}]}),
            ],
            observe: "(return {a0})",
            ..Default::default()
        };
        let world = world(vec![Policy::new("gate", guest).on_failure(on_failure)]).await;
        let request = streamed(chat(
            &json!({"chunks": ["abc", "def", "g", "hi"], "delay_ms": 30}),
        ));
        let response = world.open(&[("x-airlock-session-id", "s")], &request).await;
        let mut ended = false;
        let bytes = read(response, |said| {
            ended |= !world.statuses("s").is_empty()
                || world
                    .timeline("s")
                    .iter()
                    .any(|e| matches!(e.body, Body::PolicyFault { .. }));
            assert!(
                ended || "abcdef".starts_with(said.at("0/content")),
                "{said:?}"
            );
        })
        .await;
        let reply = Reply {
            status: 200,
            headers: Default::default(),
            bytes,
            cut: false,
        };
        assert_eq!(reply.error_code(), end, "{}", reply.text());
        let expected = if on_failure == OnFailure::Closed {
            "abcdef"
        } else {
            "abcdefghi"
        };
        assert_eq!(reply.said().at("0/content"), expected, "{}", reply.text());
        assert_eq!(reply.is_done(), on_failure == OnFailure::Open);
        // Whose failure it was is said to the client, and counted.
        if on_failure == OnFailure::Closed {
            assert!(reply.text().contains("policy gate"), "{}", reply.text());
        }
        let status = world.app.policies.status();
        assert_eq!(status[0].counts.faults, 1, "{status:?}");
        assert!(
            world.app.policies.current().entries[0]
                .last_fault()
                .unwrap()
                .contains("overdue")
        );
    }
}
