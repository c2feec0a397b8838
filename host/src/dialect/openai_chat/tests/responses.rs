//! Reading and editing of chunks and bodies.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::dialect::openai_chat::OpenAiChat;
use crate::dialect::openai_chat::tests::{
    beside, frame, frames, place, read, replacing, said, text,
};
use crate::dialect::{
    CallKind, CallPart, Dialect as _, EditError, Edits, Ending, Identity, Partial, Piece, Slot,
    TextEdit,
};
use crate::event::{Channel, FailureKind, Place, Usage};

fn chunk(delta: &str) -> String {
    format!(
        r#"{{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}],"usage":null}}"#
    )
}

fn pieces(delta: &str) -> Vec<Piece> {
    read(&frame(&chunk(delta))).unwrap()
}

fn edit(channel: Channel, text: &str) -> TextEdit {
    TextEdit {
        place: place(channel),
        text: text.to_owned(),
    }
}

/// Data of the chunk after an edit.
fn edited(data: &str, edit: TextEdit) -> String {
    let bytes = OpenAiChat
        .edit_frame(&frame(data), &replacing(&[edit]))
        .unwrap()
        .unwrap();
    String::from_utf8(bytes.to_vec())
        .unwrap()
        .strip_prefix("data: ")
        .unwrap()
        .trim_end()
        .to_owned()
}

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
        place: Place {
            channel: Other,
            choice: 3,
            block: 0,
        },
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

#[test]
fn a_choice_twice_in_one_frame_is_refused() {
    let twice = json!({"choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 0.0, "delta": {"content": "b"}}]});
    let error = read(&frame(&twice.to_string())).unwrap_err();
    assert!(error.what.contains("twice"), "{error}");
    // In a body their place counts, and no client joins them.
    let body = json!({"choices": [{"index": 0, "message": {"content": "a"}}, {"index": 0, "message": {"content": "b"}}]});
    let mut pieces = Vec::new();
    let read = OpenAiChat.read_body(
        body.to_string().as_bytes(),
        &mut Identity::default(),
        &mut pieces,
    );
    read.unwrap();
    let choices: Vec<u16> = pieces
        .iter()
        .filter_map(|p| match p {
            Piece::Text { place, .. } => Some(place.choice),
            _ => None,
        })
        .collect();
    assert_eq!(choices, [0, 1]);
}

#[test]
fn frames_without_a_chunk_say_nothing() {
    let stream = ": OPENROUTER PROCESSING\n\n\n\nid: 3\n\ndata:\n\nevent: ping\n\ndata: [DONE]\n\n";
    let said: Vec<Piece> = frames(stream.as_bytes())
        .iter()
        .flat_map(|frame| read(frame).unwrap())
        .collect();
    assert_eq!(said, [Piece::End]);
}

#[test]
fn what_cannot_be_read_is_named() {
    let deep = format!(
        r#"{{"choices":[{{"delta":{{"x":{}1{}}}}}]}}"#,
        "[".repeat(100),
        "]".repeat(100)
    );
    for (data, place) in [
        ("{\"choices\":", "the response"),
        ("[1]", "the response"),
        (r#"{"choices":{}}"#, "choices"),
        (
            r#"{"choices":[{"delta":{"content":7}}]}"#,
            "choices[0].delta.content",
        ),
        (
            r#"{"choices":[{"delta":{"content":"a","content":"b"}}]}"#,
            "choices[0].delta",
        ),
        (
            r#"{"choices":[{"delta":{"content":"a","Content":"b"}}]}"#,
            "choices[0].delta",
        ),
        (
            r#"{"choices":[{"delta":{"content":"a","c\u006fntent":"b"}}]}"#,
            "choices[0].delta",
        ),
        (
            r#"{"choices":[{"index":-1,"delta":{}}]}"#,
            "choices[0].index",
        ),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"index":70000,"id":"x"}]}}]}"#,
            "choices[0].delta.tool_calls[0].index",
        ),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"a"},"custom":{"name":"b"}}]}}]}"#,
            "choices[0].delta.tool_calls[0]",
        ),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":["a"]}}]}}]}"#,
            "choices[0].delta.tool_calls[0].function.name",
        ),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"index":"0"}]}}]}"#,
            "choices[0].delta.tool_calls[0].index",
        ),
        (&deep, "choices[0].delta.x"),
    ] {
        let error = read(&frame(data)).unwrap_err();
        assert_eq!(error.place, place, "{error}");
    }
    let error = read(&frames(b"data: {\"choices\":\xff}\n\n")[0]).unwrap_err();
    assert!(error.to_string().contains("utf-8"), "{error}");
}

#[test]
fn half_a_surrogate_pair_does_not_end_a_stream() {
    assert_eq!(
        pieces(r#"{"content":"a\ud83d"}"#),
        [text(Channel::Output, "a\u{fffd}\u{fffd}\u{fffd}")]
    );
}

#[test]
fn the_identity_of_a_stream_is_learnt_and_outlives_chunks_that_leave_it_empty() {
    let mut identity = Identity::default();
    for data in [
        chunk(r#"{"reasoning":"x"}"#),
        r#"{"id":"","model":"","created":7,"choices":[]}"#.to_owned(),
    ] {
        OpenAiChat
            .read_frame(&frame(&data), &mut identity, &mut Vec::new())
            .unwrap();
    }
    let learnt = Identity {
        id: "c1".into(),
        model: "m".into(),
        created: 7,
        reasoning_field: Some("reasoning"),
    };
    assert_eq!(identity, learnt);
}

#[test]
fn usage_is_read_and_its_own_chunk_is_known() {
    let usage = r#"{"prompt_tokens":9,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}}"#;
    let alone = frame(&format!(r#"{{"id":"c","choices":[],"usage":{usage}}}"#));
    assert_eq!(
        read(&alone).unwrap(),
        [Piece::Usage(Usage {
            input: 9,
            output: 5,
            cached: 4,
            reasoning: 3,
            exact: true
        })]
    );
    assert!(OpenAiChat.is_usage_only(&alone));
    for more in [
        format!(r#"{{"choices":[{{"index":0,"delta":{{}}}}],"usage":{usage}}}"#),
        format!(r#"{{"choices":[],"usage":{usage},"citations":["x"]}}"#),
        r#"{"choices":[],"usage":null}"#.to_owned(),
        "[DONE]".to_owned(),
    ] {
        assert!(!OpenAiChat.is_usage_only(&frame(&more)), "{more}");
    }
    let groq = frame(
        r#"{"choices":[],"x_groq":{"id":"r","usage":{"prompt_tokens":1,"completion_tokens":2}}}"#,
    );
    assert!(matches!(
        read(&groq).unwrap()[..],
        [
            Piece::Usage(Usage {
                input: 1,
                output: 2,
                ..
            }),
            Piece::Text { .. }
        ]
    ));
    assert!(OpenAiChat.is_usage_only(&groq));
}

#[test]
fn errors_in_a_stream_are_failures_and_the_text_in_them_is_judged() {
    let data = r#"{"error":{"message":"bad call","type":"invalid_request_error","code":"tool_use_failed","failed_generation":"rm -rf","status_code":400}}"#;
    let read = read(&frame(data)).unwrap();
    let [Piece::Error(failure), message, judged] = &read[..] else {
        panic!("{read:?}")
    };
    assert_eq!(
        (failure.status, failure.kind, failure.message.as_str()),
        (400, FailureKind::Upstream, "bad call")
    );
    assert_eq!([message, judged], [&beside("bad call"), &beside("rm -rf")]);
}

#[test]
fn error_bodies_of_any_form_are_classified() {
    for (status, body, kind, message) in [
        (
            400,
            r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#,
            FailureKind::ContextLength,
            "too long",
        ),
        (
            400,
            r#"{"error":{"message":"no","code":null}}"#,
            FailureKind::Upstream,
            "no",
        ),
        (
            429,
            r#"{"error":"slow down"}"#,
            FailureKind::RateLimit,
            "slow down",
        ),
        (
            503,
            "<html>busy</html>",
            FailureKind::Overloaded,
            "<html>busy</html>",
        ),
        (504, "", FailureKind::Timeout, ""),
    ] {
        let failure = OpenAiChat.read_error(status, body.as_bytes());
        assert_eq!(
            (failure.status, failure.kind, failure.message.as_str()),
            (status, kind, message)
        );
    }
    assert_eq!(
        OpenAiChat
            .read_error(502, "é".repeat(4000).as_bytes())
            .message
            .len(),
        2048
    );
}

#[test]
fn an_edit_changes_the_bytes_of_the_value_and_no_others() {
    let data = r#"{ "id" : "c1", "choices":[ {"index":0, "delta" : {"content" : "a\u0041\n" , "x":1}, "finish_reason":"stop" } ] }"#;
    assert_eq!(
        edited(data, edit(Channel::Output, "é\"")),
        data.replace(r#""a\u0041\n""#, r#""é\"""#)
    );
    assert_eq!(
        edited(data, edit(Channel::Output, "")),
        data.replace(r#""a\u0041\n""#, r#""""#)
    );
    let frame = &frames(format!("id: 4\r\nevent: e\r\ndata: {data}\r\n\r\n").as_bytes())[0];
    let bytes = OpenAiChat
        .edit_frame(frame, &replacing(&[edit(Channel::Output, "b")]))
        .unwrap()
        .unwrap();
    let expected = format!(
        "id: 4\r\nevent: e\r\ndata: {}\r\n\r\n",
        data.replace(r#""a\u0041\n""#, r#""b""#)
    );
    assert_eq!(String::from_utf8(bytes.to_vec()).unwrap(), expected);
    assert_eq!(
        OpenAiChat
            .edit_frame(frame, &Edits::default())
            .unwrap()
            .unwrap(),
        frame.raw
    );
}

#[test]
fn an_edit_reaches_every_field_that_repeats_the_text() {
    let data = r#"{"choices":[{"index":0,"delta":{"content":"SECRET"},"logprobs":{"content":[{"token":"SECRET"}]},"token_ids":[1]},{"index":1,"delta":{"content":"b"},"logprobs":{"content":[]}}]}"#;
    let now = edited(data, edit(Channel::Output, "x"));
    assert_eq!(
        now,
        r#"{"choices":[{"index":0,"delta":{"content":"x"},"logprobs":null,"token_ids":null},{"index":1,"delta":{"content":"b"},"logprobs":{"content":[]}}]}"#
    );
    let data = chunk(
        r#"{"reasoning":"SECRET","reasoning_content":"SECRET","reasoning_details":[{"type":"reasoning.text","text":"SECRET"}],"content":"a"}"#,
    );
    let now = edited(&data, edit(Channel::Reasoning, "x"));
    assert_eq!(
        now,
        chunk(
            r#"{"reasoning":"x","reasoning_content":null,"reasoning_details":null,"content":"a"}"#
        )
    );
    let data = chunk(r#"{"content":[{"type":"text","text":"SEC"},{"type":"text","text":"RET"}]}"#);
    let now = edited(&data, edit(Channel::Output, "x"));
    assert_eq!(
        now,
        chunk(r#"{"content":[{"type":"text","text":"x"},{"type":"text","text":""}]}"#)
    );
}

#[test]
fn an_edit_of_data_on_several_lines_keeps_event_and_meaning() {
    let frame = &frames(
        b"event: e\ndata: {\"choices\":[{\"index\":0,\ndata: \"delta\":{\"content\":\"a\"}}]}\n\n",
    )[0];
    let bytes = OpenAiChat
        .edit_frame(frame, &replacing(&[edit(Channel::Output, "b")]))
        .unwrap()
        .unwrap();
    let again = &frames(&bytes)[0];
    assert_eq!(again.event, frame.event);
    assert_eq!(read(again).unwrap(), [text(Channel::Output, "b")]);
}

#[test]
fn an_edit_without_its_text_is_refused() {
    for data in [chunk(r#"{"content":""}"#), chunk(r#"{"refusal":"a"}"#)] {
        let result =
            OpenAiChat.edit_frame(&frame(&data), &replacing(&[edit(Channel::Output, "b")]));
        assert!(
            matches!(result, Err(EditError::Impossible { .. })),
            "{result:?}"
        );
    }
    assert!(
        OpenAiChat
            .edit_frame(&frame("[DONE]"), &replacing(&[edit(Channel::Output, "b")]))
            .is_err()
    );
}

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

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(data in prop::collection::vec(any::<u8>(), 0..256)) {
        let framed = [b"data: ".as_slice(), &data, b"\n\n"].concat();
        for frame in frames(&framed) {
            let _ = read(&frame);
            let _ = OpenAiChat.edit_frame(&frame, &replacing(&[edit(Channel::Output, "x")]));
        }
        let _ = OpenAiChat.read_request(&data);
        OpenAiChat.read_error(500, &data);
    }

    #[test]
    fn any_text_survives_reading_and_writing(old in any::<String>(), new in any::<String>(), spelled_out: bool) {
        let quoted = if spelled_out {
            format!("\"{}\"", old.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>())
        } else {
            serde_json::to_string(&old).unwrap()
        };
        let frame = frame(&chunk(&format!(r#"{{"content":{quoted},"refusal":"r"}}"#)));
        prop_assert_eq!(said(&read(&frame).unwrap(), place(Channel::Output)), old.clone());
        if !old.is_empty() {
            let bytes = OpenAiChat.edit_frame(&frame, &replacing(&[edit(Channel::Output, &new)])).unwrap().unwrap();
            let again = read(&frames(&bytes)[0]).unwrap();
            prop_assert_eq!(said(&again, place(Channel::Output)), new);
            prop_assert_eq!(said(&again, place(Channel::Refusal)), "r");
        }
    }
}
