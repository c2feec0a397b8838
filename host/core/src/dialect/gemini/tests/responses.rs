//! What a response says.

use serde_json::{Value, json};

use super::{
    SIGNATURE, calls, ends, frame, gemini, identity, place, read, read_all, read_body, said, says,
    writer,
};
use crate::dialect::{CallPart, Dialect as _, Edits, Failure, Finish, Outbound as _, Piece, Slot};
use crate::event::{Channel, FailureKind, Usage};

fn finishes(pieces: &[Piece]) -> Vec<(u16, &str)> {
    let finishes = pieces.iter().filter_map(|piece| match piece {
        Piece::Finish { choice, reason } => Some((*choice, reason.as_str())),
        _ => None,
    });
    finishes.collect()
}

#[test]
fn text_thoughts_and_calls_are_told_apart() {
    let first = says(
        json!([{"text": "hm", "thought": true}, {"text": "It "}, {"text": "is"}, {"text": ""}]),
    );
    let second = says(json!([
        {"functionCall": {"name": "rm", "args": {"path": "/"}}, "thoughtSignature": SIGNATURE},
        {"functionCall": {"name": "rm", "args": {"path": "/tmp"}}},
        {"functionCall": {"name": "ls", "id": "c9"}},
    ]));
    let last = ends(json!([{"text": "", "thoughtSignature": SIGNATURE}]));
    let pieces = read_all(&[frame(&first), frame(&second), frame(&last)]).unwrap();
    assert_eq!(said(&pieces, Channel::Reasoning), "hm");
    assert_eq!(said(&pieces, Channel::Output), "It is");
    assert_eq!(said(&pieces, Channel::Other), "");
    assert_eq!(finishes(&pieces), [(0, "STOP")]);
    let made: Vec<_> = calls(&pieces)
        .into_iter()
        .map(|c| (c.slot, c.id.unwrap(), c.name.unwrap(), c.arguments))
        .collect();
    let call = |n, id: &str, name: &str, arguments: &str| {
        (
            Slot::Index(n),
            id.to_owned(),
            name.to_owned(),
            arguments.to_owned(),
        )
    };
    assert_eq!(
        made,
        [
            call(0, "airlock-rm-0", "rm", r#"{"path":"/"}"#),
            call(1, "airlock-rm-1", "rm", r#"{"path":"/tmp"}"#),
            call(2, "c9", "ls", "{}"),
        ]
    );
    assert!(!pieces.contains(&Piece::End), "no frame is the last");
}

#[test]
fn a_body_says_the_same_and_that_it_is_all() {
    let body = ends(
        json!([{"text": "It is", "thoughtSignature": SIGNATURE}, {"functionCall": {"name": "rm", "args": {"a": 1}}}]),
    );
    let pieces = read_body(body.to_string().as_bytes()).unwrap();
    assert_eq!(said(&pieces, Channel::Output), "It is");
    assert_eq!(
        (calls(&pieces)[0].slot, calls(&pieces)[0].id.as_deref()),
        (Slot::Whole, Some("airlock-rm-0"))
    );
    assert_eq!(pieces.last(), Some(&Piece::End));
    let usage = Usage {
        input: 4,
        output: 2,
        exact: true,
        ..Usage::default()
    };
    assert!(pieces.contains(&Piece::Usage(usage)));
}

#[test]
fn the_snake_case_of_protocol_buffers_is_read_as_sdks_read_it() {
    let snake = json!({"candidates": [{"content": {"parts": [
        {"function_call": {"name": "rm", "args": {"some_key": 1}}, "thought_signature": SIGNATURE},
    ]}, "finish_reason": "MAX_TOKENS"}], "usage_metadata": {"prompt_token_count": 4, "candidates_token_count": 2},
    "response_id": "r1", "model_version": "m1"});
    let mut reader = gemini().reader();
    let mut pieces = Vec::new();
    reader.frame(&frame(&snake), &mut pieces).unwrap();
    assert_eq!(calls(&pieces)[0].arguments, r#"{"some_key":1}"#);
    assert_eq!(finishes(&pieces), [(0, "MAX_TOKENS")]);
    assert!(
        pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Usage(usage) if usage.output == 2))
    );
    assert_eq!(
        (
            reader.identity().id.as_str(),
            reader.identity().model.as_str()
        ),
        ("r1", "m1")
    );
    let text = |pieces: &[Piece]| said(pieces, Channel::Other);
    assert_eq!(text(&pieces), "");
}

#[test]
fn choices_are_counted_by_what_frames_state_and_by_their_place_in_bodies() {
    let two = json!({"candidates": [
        {"content": {"parts": [{"text": "a"}]}, "index": 1, "finishReason": "STOP"},
        {"content": {"parts": [{"text": "b"}]}, "finishReason": "SAFETY"},
    ]});
    assert_eq!(finishes(&read(&two).unwrap()), [(1, "STOP"), (0, "SAFETY")]);
    let pieces = read_body(two.to_string().as_bytes()).unwrap();
    assert_eq!(finishes(&pieces), [(0, "STOP"), (1, "SAFETY")]);
    assert_eq!(said(&pieces, Channel::Output), "a");
}

#[test]
fn a_prompt_that_was_refused_ends_the_answer() {
    let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "not that",
        "safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "HIGH", "blocked": true}]},
        "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4}});
    let pieces = read(&blocked).unwrap();
    assert_eq!(finishes(&pieces), [(0, "PROHIBITED_CONTENT")]);
    assert_eq!(said(&pieces, Channel::Other), "not that");
    assert_eq!(gemini().meaning("PROHIBITED_CONTENT"), Finish::Filtered);
    let rated = json!({"candidates": [{"finishReason": "FINISH_REASON_UNSPECIFIED"}],
        "promptFeedback": {"blockReason": "BLOCK_REASON_UNSPECIFIED"}});
    assert_eq!(read(&rated).unwrap(), []);
}

#[test]
fn what_a_server_ran_and_found_is_other_text() {
    let said_parts = says(json!([
        {"executableCode": {"language": "PYTHON", "code": "print(1)", "id": "x1"}, "thoughtSignature": SIGNATURE},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n", "id": "x1"}},
        {"toolCall": {"toolType": "SEARCH", "args": {"queries": ["weather"]}, "id": "t1"}},
        {"inlineData": {"mimeType": "image/png", "data": SIGNATURE}},
        {"fileData": {"mimeType": "image/png", "fileUri": "https://x.test/a"}},
    ]));
    let mut found = says(json!([]));
    found["candidates"][0]["groundingMetadata"] =
        json!({"groundingSupports": [{"segment": {"text": "quoted"}}]});
    found["candidates"][0]["finishMessage"] = json!("why");
    let pieces = read_all(&[frame(&said_parts), frame(&found)]).unwrap();
    let other = said(&pieces, Channel::Other);
    for text in [
        "print(1)",
        "1\n",
        "weather",
        "https://x.test/a",
        "quoted",
        "why",
    ] {
        assert!(other.contains(text), "{text} in {other}");
    }
    assert!(
        !other.contains(SIGNATURE) && !other.contains("PYTHON") && !other.contains("x1"),
        "{other}"
    );
    let generated = |text: &str| {
        let it = |piece: &&Piece| matches!(piece, Piece::Text { text: t, .. } if t == text);
        matches!(
            pieces.iter().find(it),
            Some(Piece::Text {
                generated: true,
                ..
            })
        )
    };
    assert!(generated("print(1)") && !generated("quoted"));
}

#[test]
fn arguments_that_come_in_parts_are_one_call() {
    let call = |call: Value| says(json!([{ "functionCall": call }]));
    let part = |path: &str, text: &str, more: bool| json!({"jsonPath": path, "stringValue": text, "willContinue": more});
    let stream = [
        call(json!({"name": "rm", "willContinue": true})),
        call(json!({"partialArgs": [part("$.path", "/s", true)], "willContinue": true})),
        call(json!({"partialArgs": [part("$.path", "rv", false)], "willContinue": true})),
        call(json!({})),
        call(json!({"name": "ls", "willContinue": true})),
        call(json!({"partialArgs": [{"jsonPath": "$.deep[0]", "boolValue": true}]})),
        ends(json!([])),
    ];
    let frames: Vec<_> = stream.iter().map(frame).collect();
    let pieces = read_all(&frames).unwrap();
    let parts = pieces
        .iter()
        .filter(|piece| matches!(piece, Piece::Call(_)))
        .count();
    assert_eq!(parts, 6, "one for each that a frame has");
    let made: Vec<_> = calls(&pieces)
        .into_iter()
        .map(|c| (c.slot, c.name.unwrap(), c.arguments))
        .collect();
    assert_eq!(
        made,
        [
            (
                Slot::Index(0),
                "rm".to_owned(),
                r#"{"path":"/srv"}"#.to_owned()
            ),
            (
                Slot::Index(1),
                "ls".to_owned(),
                r#"{"deep":[true]}"#.to_owned()
            ),
        ]
    );
    let body = super::parsed(&writer().body_of_stream(&frames).unwrap());
    assert_eq!(
        body["candidates"][0]["content"]["parts"],
        json!([{"functionCall": {"name": "rm", "args": {"path": "/srv"}}}, {"functionCall": {"name": "ls", "args": {"deep": [true]}}}])
    );
}

#[test]
fn errors_are_read_wherever_they_stand() {
    let error = |code: u16, status: &str, message: &str| json!({"error": {"code": code, "message": message, "status": status}});
    let quota = error(429, "RESOURCE_EXHAUSTED", "slow down");
    let failure = Failure {
        status: 429,
        kind: FailureKind::RateLimit,
        message: "slow down".to_owned(),
    };
    let pieces = read(&quota).unwrap();
    assert!(
        pieces.contains(&Piece::Error(failure.clone())),
        "{pieces:?}"
    );
    assert_eq!(said(&pieces, Channel::Other), "slow down");
    for body in [quota.to_string(), format!("[{quota}\n]")] {
        assert_eq!(gemini().read_error(429, body.as_bytes()), failure, "{body}");
    }
    let long = "The input token count (9) exceeds the maximum number of tokens allowed (8).";
    for (body, kind) in [
        (
            error(400, "INVALID_ARGUMENT", long),
            FailureKind::ContextLength,
        ),
        (error(400, "INVALID_ARGUMENT", "no"), FailureKind::Upstream),
        (error(503, "UNAVAILABLE", "full"), FailureKind::Overloaded),
        (
            error(504, "DEADLINE_EXCEEDED", "late"),
            FailureKind::Timeout,
        ),
    ] {
        assert_eq!(
            gemini().read_error(0, body.to_string().as_bytes()).kind,
            kind,
            "{body}"
        );
    }
    let page = gemini().read_error(502, format!("<html>{}", "ü".repeat(3000)).as_bytes());
    assert!(page.message.starts_with("<html>") && page.message.len() <= 2048);
    // A stream that states an error becomes the body that states it.
    let body = writer()
        .body_of_stream(&[frame(&says(json!([{"text": "a"}]))), frame(&quota)])
        .unwrap();
    assert_eq!(super::parsed(&body), quota);
}

#[test]
fn a_stream_without_a_finish_is_no_body() {
    assert!(
        writer()
            .body_of_stream(&[frame(&says(json!([{"text": "a"}])))])
            .is_err()
    );
    assert!(writer().body_of_stream(&[]).is_err());
}

#[test]
fn a_whole_answer_is_a_stream_of_one_frame() {
    let body = "{\n  \"candidates\": [\n {\"content\": {\"parts\": [{\"text\": \"a\\nb\"}]}}]\n}\n";
    let stream = writer().stream_of_body(body.as_bytes()).unwrap();
    let pieces = read_all(&super::frames(&stream)).unwrap();
    assert_eq!(said(&pieces, Channel::Output), "a\nb");
    assert_eq!(finishes(&pieces), [(0, "STOP")]);
    assert!(writer().stream_of_body(b"7").is_err());
    let array = json!([says(json!([{"text": "a"}])), ends(json!([{"text": "b"}]))]);
    let stream = writer()
        .stream_of_body(array.to_string().as_bytes())
        .unwrap();
    assert_eq!(Value::Array(super::events(&stream)), array);
    assert!(writer().stream_of_body(b"[7]").is_err());
    let error = json!({"error": {"code": 400, "message": "m"}});
    let stream = writer()
        .stream_of_body(error.to_string().as_bytes())
        .unwrap();
    assert_eq!(super::events(&stream), [error]);
}

#[test]
fn frames_of_usage_alone_are_known() {
    let reader = gemini().reader();
    let usage = json!({"usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 1}, "responseId": "r", "candidates": []});
    assert!(reader.is_usage_only(&frame(&usage)));
    assert!(!reader.is_usage_only(&frame(&ends(json!([])))));
    assert!(!reader.is_usage_only(&frame(&json!({"modelVersion": "m"}))));
}

#[test]
fn a_turn_is_given_back_as_its_server_wrote_it() {
    let mut reader = gemini().reader();
    let other =
        format!(r#"{{"executableCode": {{"code": "x"}}, "thoughtSignature": "{SIGNATURE}"}}"#);
    let call = format!(
        r#"{{"functionCall":{{"name":"rm","args":{{"n": 1.0}}}}, "thoughtSignature":"{SIGNATURE}"}}"#
    );
    for part in [
        r#"{"text":"I "}"#,
        r#"{"text":"try"}"#,
        &other,
        &call,
        r#"{"text":"","thoughtSignature":"c2lnbmVk"}"#,
    ] {
        let frame =
            format!(r#"{{"candidates":[{{"content":{{"parts":[{part}],"role":"model"}}}}]}}"#);
        reader.gather(frame.as_bytes());
    }
    assert_eq!(
        reader.own_message().unwrap(),
        format!(
            r#"{{"role":"model","parts":[{{"text":"I try"}},{other},{{"airlockCall":"airlock-rm-0"}},{{"text":"","thoughtSignature":"c2lnbmVk"}}]}}"#
        )
    );
    assert_eq!(
        reader.own_call("airlock-rm-0").unwrap(),
        call,
        "byte for byte"
    );
    assert_eq!(reader.own_call("airlock-rm-1"), None);
    reader.gather(b"{");
    assert_eq!(reader.own_message(), None, "what cannot be read is lost");
    let mut parts = gemini().reader();
    for call in [
        json!([{"functionCall": {"name": "rm", "willContinue": true}, "thoughtSignature": SIGNATURE}]),
        json!([{"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "b"}]}}]),
    ] {
        parts.gather(says(call).to_string().as_bytes());
    }
    let whole: Value = serde_json::from_str(&parts.own_call("airlock-rm-0").unwrap()).unwrap();
    assert_eq!(
        whole,
        json!({"functionCall": {"name": "rm", "args": {"a": "b"}}, "thoughtSignature": SIGNATURE})
    );
}

#[test]
fn a_frame_that_nobody_edits_is_not_touched() {
    let odd = super::frames(b"data: {\"x\": [1 ],\ndata: \"y\" : 2}\n\n").remove(0);
    let raw = odd.raw.clone();
    assert_eq!(
        gemini()
            .writer(identity())
            .frame(&odd, &Edits::default())
            .unwrap(),
        Some(raw)
    );
    let part = CallPart::default();
    assert_eq!(part.slot, Slot::Unnumbered);
    assert_eq!(place(Channel::Output).item, 0);
}
