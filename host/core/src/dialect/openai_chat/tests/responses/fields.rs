//! Which channel each field of a chunk has, and which fields are inert.

use serde_json::{Value, json};

use crate::dialect::openai_chat::OpenAiChat;
use crate::dialect::openai_chat::tests::responses::pieces;
use crate::dialect::openai_chat::tests::{beside, frame, frames, place, read, said, text};
use crate::dialect::{CallKind, CallPart, Edits, Identity, Piece, Slot};
use crate::event::{Channel, Place};

#[test]
fn each_field_that_bears_text_has_a_channel() {
    use Channel::{Other, Output, Reasoning, Refusal};
    for (delta, expected) in [
        (
            r#"{"role":"assistant","content":"a"}"#,
            vec![text(Output, "a")],
        ),
        (
            r#"{"content":[{"type":"text","text":"a"},{"type":"thinking","thinking":[{"type":"text","text":"b"}]}]}"#,
            vec![text(Output, "a"), text(Reasoning, "b")],
        ),
        (r#"{"reasoning":"a"}"#, vec![text(Reasoning, "a")]),
        (
            r#"{"reasoning_content":"a","content":null}"#,
            vec![text(Reasoning, "a")],
        ),
        (
            r#"{"reasoning":"a","reasoning_content":"a"}"#,
            vec![text(Reasoning, "a")],
        ),
        (
            r#"{"reasoning":"a","reasoning_content":"b"}"#,
            vec![text(Reasoning, "a"), text(Other, "b")],
        ),
        (
            r#"{"reasoning_details":[{"type":"reasoning.text","text":"a"}],"reasoning":"a"}"#,
            vec![text(Reasoning, "a")],
        ),
        (
            r#"{"reasoning_details":[{"type":"reasoning.summary","summary":"a"},{"type":"reasoning.encrypted","data":"Z0FBQUFBQm9Zc2VjcmV0MDEyMzQ1"}]}"#,
            vec![text(Reasoning, "a")],
        ),
        (
            r#"{"reasoning_details":[{"text":"b"}],"reasoning":"a"}"#,
            vec![text(Reasoning, "a"), text(Other, "b")],
        ),
        (r#"{"refusal":"a"}"#, vec![text(Refusal, "a")]),
        (
            r#"{"audio":{"id":"x","data":"UklGRiQAAABXQVZFZm10IBAAAAAB","transcript":"a"}}"#,
            vec![text(Other, "a")],
        ),
        (
            r#"{"images":[{"type":"image_url","image_url":{"url":"https://a"}}]}"#,
            vec![beside("https://a")],
        ),
        (
            r#"{"a field of tomorrow":{"deep":["a",1,true,null]}}"#,
            vec![text(Other, "a")],
        ),
        (r#"{"content":"","channel":"analysis"}"#, vec![]),
    ] {
        assert_eq!(pieces(delta), expected, "{delta}");
    }
    let chunk = r#"{"id":"c","provider":"p","obfuscation":"zz","choices":[{"index":3,"delta":{},"text":"a","stop_reason":"x"}],"citations":["b"]}"#;
    let third = Piece::Text {
        place: Place::new(Other, 3, 0),
        text: "a".into(),
        generated: true,
    };
    assert_eq!(read(&frame(chunk)).unwrap(), [third, beside("b")]);
}

#[test]
fn a_field_of_the_other_form_is_not_read_and_can_be_taken_out() {
    let data = r#"{"choices":[{"index":0,"message":{"content":"ab"},"delta":{"content":"b"}}]}"#;
    let one = frame(data);
    let expected = [Piece::Beside, text(Channel::Output, "b")];
    let mut pieces = read(&one).unwrap();
    pieces.sort_by_key(|piece| *piece != Piece::Beside);
    assert_eq!(pieces, expected);
    let alone = Edits {
        alone: true,
        ..Edits::default()
    };
    let written = OpenAiChat.edit_frame(&one, &alone).unwrap().unwrap();
    assert_eq!(read(&frames(&written)[0]).unwrap(), expected[1..]);
    let written = OpenAiChat.edit_body(data.as_bytes(), &alone).unwrap();
    let written = String::from_utf8(written).unwrap();
    assert!(written.contains(r#""delta":null"#), "{written}");
}

#[test]
fn parts_of_tool_calls_of_every_form_are_read() {
    let part = |slot, kind, id: Option<&str>, name: Option<&str>, arguments: &str| {
        Piece::Call(CallPart {
            choice: 0,
            slot,
            kind,
            id: id.map(Into::into),
            name: name.map(Into::into),
            arguments: arguments.into(),
        })
    };
    use CallKind::{Custom, Function, Unsaid};
    let first = part(Slot::Unnumbered, Function, Some("i"), Some("f"), "1");
    let second = part(Slot::Unnumbered, Function, Some("j"), Some("g"), "2");
    for (delta, expected) in [
        (
            r#"{"tool_calls":[{"index":1,"id":"i","type":"function","function":{"name":"f","arguments":""}}]}"#,
            vec![part(Slot::Index(1), Function, Some("i"), Some("f"), "")],
        ),
        (
            r#"{"tool_calls":[{"index":1.0,"id":"","function":{"name":"","arguments":"{\"a\""}}]}"#,
            vec![part(Slot::Index(1), Function, None, None, "{\"a\"")],
        ),
        (
            r#"{"tool_calls":[{"index":0,"id":7,"function":null,"type":"custom","custom":{"name":"f","input":"x"}}]}"#,
            vec![part(Slot::Index(0), Custom, Some("7"), Some("f"), "x")],
        ),
        (
            r#"{"tool_calls":[{"id":"i","function":{"name":"f","arguments":"1"}},{"id":"j","function":{"name":"g","arguments":"2"}}],"function_call":null}"#,
            vec![first, second],
        ),
        (
            r#"{"tool_calls":[{"index":0,"id":"i","custom":null,"function":{"name":"f","arguments":{"a": 1}}}]}"#,
            vec![part(
                Slot::Index(0),
                Function,
                Some("i"),
                Some("f"),
                "{\"a\": 1}",
            )],
        ),
        (
            r#"{"function_call":{"name":"f","arguments":"x"},"tool_calls":null}"#,
            vec![part(Slot::Single, Function, None, Some("f"), "x")],
        ),
        (
            r#"{"tool_calls":[{"index":0,"id":"i","type":"web","query":"x"}]}"#,
            vec![
                part(Slot::Index(0), Unsaid, Some("i"), None, ""),
                beside("x"),
            ],
        ),
        (
            r#"{"tool_calls":[{"index":0,"type":"two words","function":{"name":"f","input":"x"}}]}"#,
            vec![
                part(Slot::Index(0), Function, None, Some("f"), ""),
                text(Channel::Other, "x"),
                beside("two words"),
            ],
        ),
    ] {
        assert_eq!(pieces(delta), expected, "{delta}");
    }
}

#[test]
fn what_is_not_of_the_type_that_makes_it_inert_is_text() {
    let word = "geheim";
    let long = "the word is geheim";
    let base64 = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB";
    for (chunk, judged) in [
        (json!({"id": long}), true),
        (json!({"id": "chatcmpl-1"}), false),
        (json!({"model": long}), true),
        (json!({"object": [word]}), true),
        (json!({"provider": "Google AI Studio"}), false),
        (json!({"provider": long}), true),
        (json!({"system_fingerprint": long}), true),
        (json!({"obfuscation": {"a": word}}), true),
        (json!({"usage": {"note": word}}), true),
        (json!({"x_groq": {"id": word}}), true),
        (json!({"airlock": {"reason": word}}), true),
        (json!({"timings": {"a": [word]}}), true),
        (json!({"prompt_text": word}), true),
        (json!({"error": {"message": word}}), true),
        (json!({"error": word}), true),
        (json!({"error": {"code": long}}), true),
        (
            json!({"moderation": {"hate": {"severity": "safe", "filtered": false}}}),
            false,
        ),
        (json!({"moderation": {"hate": {"severity": word}}}), true),
        (json!({"choices": [{"type": {"a": word}}]}), true),
        (json!({"choices": [{"finish_reason": long}]}), true),
        (json!({"choices": [{"stop_reason": long}]}), true),
        (json!({"choices": [{"token_ids": [1, 2]}]}), false),
        (json!({"choices": [{"token_ids": [word]}]}), true),
        (json!({"choices": [{"usage": {"a": word}}]}), true),
        (
            json!({"choices": [{"content_filter_results": {"a": word}}]}),
            true,
        ),
        (json!({"choices": [{"delta": {"role": long}}]}), true),
        (json!({"choices": [{"delta": {"channel": [word]}}]}), true),
        (
            json!({"choices": [{"delta": {"x": {"type": "reasoning.text"}}}]}),
            false,
        ),
        (
            json!({"choices": [{"delta": {"x": {"type": {"y": word}}}}]}),
            true,
        ),
        (
            json!({"choices": [{"delta": {"x": {"the word is geheim": 1}}}]}),
            true,
        ),
        (
            json!({"choices": [{"delta": {"audio": {"data": base64}}}]}),
            false,
        ),
        (
            json!({"choices": [{"delta": {"audio": {"data": word}}}]}),
            true,
        ),
        (
            json!({"choices": [{"delta": {"reasoning_details": [{"signature": base64}]}}]}),
            false,
        ),
        (
            json!({"choices": [{"delta": {"reasoning_details": [{"signature": word}]}}]}),
            true,
        ),
        (
            json!({"choices": [{"delta": {"images": [{"image_url": {"url": format!("data:image/png;base64,{base64}")}}]}}]}),
            false,
        ),
        (
            json!({"choices": [{"delta": {"images": [{"image_url": {"url": format!("data:image/svg+xml;base64,{base64}")}}]}}]}),
            true,
        ),
        (
            json!({"choices": [{"delta": {"images": [{"image_url": {"url": format!("data:image/png,{word}")}}]}}]}),
            true,
        ),
    ] {
        let pieces = read(&frame(&chunk.to_string())).unwrap();
        let texts = pieces.iter().any(|p| matches!(p, Piece::Text { .. }));
        assert_eq!(texts, judged, "{chunk}: {pieces:?}");
        let (mut body, mut of_body) = (chunk, Vec::new());
        if let Some(choice) = body
            .pointer_mut("/choices/0")
            .and_then(Value::as_object_mut)
            && let Some(delta) = choice.remove("delta")
        {
            choice.insert("message".to_owned(), delta);
        }
        let read = OpenAiChat.read_body(
            body.to_string().as_bytes(),
            &mut Identity::default(),
            &mut of_body,
        );
        read.unwrap();
        let texts = of_body.iter().any(|p| matches!(p, Piece::Text { .. }));
        assert_eq!(texts, judged, "{body}: {of_body:?}");
    }
}

#[test]
fn log_probabilities_are_inert_only_beside_the_text_that_they_repeat() {
    let other = |piece: &&Piece| matches!(piece, Piece::Text { place, .. } if place.channel == Channel::Other);
    let token = |token: &str| json!({"token": token, "bytes": token.as_bytes(), "logprob": -1.0, "top_logprobs": [{"token": "other", "bytes": null, "logprob": -2}]});
    let beyond = |delta: Value, logprobs: Value| {
        let chunk = json!({"choices": [{"index": 0, "delta": delta, "logprobs": logprobs}]});
        let pieces = read(&frame(&chunk.to_string())).unwrap();
        let texts = pieces
            .iter()
            .filter(other)
            .map(|p| said(std::slice::from_ref(p), place(Channel::Other)));
        texts.collect::<String>()
    };
    let two = json!({"content": [token("ge"), token("heim")]});
    assert_eq!(beyond(json!({"content": "geheim"}), two.clone()), "");
    assert_eq!(
        beyond(json!({"reasoning": "ge", "content": "heim"}), two.clone()),
        ""
    );
    assert_eq!(beyond(json!({"content": "x"}), two.clone()), "geheim");
    assert_eq!(beyond(json!({}), two), "geheim");
    assert_eq!(
        beyond(
            json!({"content": "x"}),
            json!({"content": [{"token": "x", "bytes": b"geheim", "logprob": 0}]})
        ),
        "xgeheim"
    );
    assert_eq!(
        beyond(
            json!({"content": "x"}),
            json!({"tokens": ["x"], "top_logprobs": [{"geheim": 1}]})
        ),
        "tokensxtop_logprobsgeheim"
    );
    assert_eq!(
        beyond(
            json!({"content": "x"}),
            json!({"content": null, "refusal": null})
        ),
        ""
    );
    // Half a character has no text of its own.
    let half = json!({"content": [{"token": "\\xf0\\x9f", "bytes": [0xf0, 0x9f], "logprob": 0}]});
    assert!(beyond(json!({"content": ""}), half).is_ascii().eq(&false));
}
