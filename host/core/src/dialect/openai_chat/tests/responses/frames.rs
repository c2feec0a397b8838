//! What frames say beside text: nothing, who speaks, usage, failures, or what cannot be read.

use serde_json::json;

use crate::dialect::openai_chat::OpenAiChat;
use crate::dialect::openai_chat::tests::responses::{chunk, pieces};
use crate::dialect::openai_chat::tests::{beside, frame, frames, read, text};
use crate::dialect::{Identity, Piece};
use crate::event::{Channel, FailureKind, Usage};

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
