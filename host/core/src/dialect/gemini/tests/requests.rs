//! Requests: what they ask.

use serde_json::{Value, json};

use super::{CONVERSATION, SIGNATURE, asked, frame, gemini, made, read_all, says, view};
use crate::dialect::{Inbound as _, MessageView, Piece, Received};
use crate::event::Role;

#[test]
fn a_request_is_read_in_either_spelling() {
    let view = view(CONVERSATION).unwrap();
    assert_eq!(
        (view.model.as_str(), view.streamed, view.choices),
        ("gemini-3", true, 2)
    );
    assert_eq!(
        (view.max_output_tokens, view.structured_output),
        (Some(100), true)
    );
    assert_eq!(view.tools, ["rm", "ls", "googleSearch"]);
    assert_eq!(view.session_hints, [("labels.session_id", "s1".to_owned())]);
    assert_eq!(view.continues.unwrap().id, "cachedContents/x");
    assert!(view.include_usage && view.unjudgeable.is_none());
    let roles: Vec<Role> = view.messages.iter().map(|m| m.role).collect();
    assert_eq!(
        roles,
        [
            Role::System,
            Role::User,
            Role::Assistant,
            Role::Tool,
            Role::User
        ]
    );
    let texts: Vec<&str> = view.messages.iter().map(|m| m.text.as_str()).collect();
    assert_eq!(texts, ["Be brief.", "tidy\nup", "I try", "", "and now?"]);
    let media = &view.messages[1].media[0];
    assert_eq!(
        (media.media_type.as_str(), media.bytes, media.index),
        ("image/png", 5, 2)
    );
    assert_eq!(
        view.messages[2].tool_calls,
        [
            made("airlock-rm-0", "rm", r#"{"path": "/"}"#),
            made("airlock-rm-1", "rm", "{}"),
            made("c9", "ls", "{}")
        ]
    );
    let results: Vec<_> = view.messages[3]
        .tool_results
        .iter()
        .map(|r| (r.id.as_str(), r.text.as_str(), r.failed))
        .collect();
    assert_eq!(
        results,
        [
            ("airlock-rm-0", "first", None),
            ("c9", r#"{"files": ["a"]}"#, None),
            ("airlock-rm-1", "second", Some(true))
        ]
    );
    let span = |at: usize| CONVERSATION.get(view.messages[at].span.clone()).unwrap();
    assert_eq!(span(0), r#"{"parts": {"text": "Be brief."}}"#);
    assert!(
        span(2).starts_with(r#"{"role": "model", "parts": [{"text": "hm""#)
            && span(2).ends_with(r#""c9"}}]}"#)
    );
}

#[test]
fn the_path_says_what_is_asked_for() {
    let whole = Received {
        path: "/v1/models/gemini-3:generateContent",
        ..asked(CONVERSATION)
    };
    assert!(!gemini().read_request(whole).unwrap().streamed);
    let wrong = Received {
        path: "/v1/models/gemini-3:countTokens",
        ..asked(CONVERSATION)
    };
    assert!(gemini().read_request(wrong).is_err());
}

#[test]
fn forms_that_bind_and_answers_that_nobody_judges_are_known() {
    let of = |config: Value| {
        view(&json!({"contents": [], "generationConfig": config}).to_string()).unwrap()
    };
    assert!(of(json!({"response_schema": {}})).structured_output);
    assert!(of(json!({"responseJsonSchema": {}})).structured_output);
    assert!(!of(json!({"responseMimeType": "text/plain"})).structured_output);
    for speech in [
        json!(["TEXT", "AUDIO"]),
        json!(["audio"]),
        json!([3]),
        json!("AUDIO"),
    ] {
        assert_eq!(
            of(json!({ "responseModalities": speech })).unjudgeable,
            Some("speech")
        );
    }
    assert_eq!(
        of(json!({"responseModalities": ["TEXT", "IMAGE"]})).unjudgeable,
        None
    );
    assert_eq!(
        of(json!({"maxOutputTokens": 0, "candidateCount": 0})).max_output_tokens,
        None
    );
}

/// The message that these parts of a stream leave, as the exchange puts it together.
fn given(stream: &[Value]) -> MessageView {
    let frames: Vec<_> = stream.iter().map(frame).collect();
    let mut view = view(r#"{"contents":[{"role":"model","parts":[]}]}"#)
        .unwrap()
        .messages
        .remove(0);
    for piece in read_all(&frames).unwrap() {
        match piece {
            Piece::Text { place, text, .. } if place.channel == crate::event::Channel::Output => {
                view.text.push_str(&text)
            }
            Piece::Call(part) => view.tool_calls.push(made(
                &part.id.unwrap(),
                &part.name.unwrap(),
                &part.arguments,
            )),
            _ => {}
        }
    }
    view
}

#[test]
fn a_turn_comes_back_as_it_was_generated_however_sdks_keep_it() {
    let stream = [
        says(json!([{"text": "a thought", "thought": true}, {"text": "I "}])),
        says(
            json!([{"text": "try\nit"}, {"functionCall": {"name": "rm", "args": {"a": 1, "b": 2}}, "thoughtSignature": SIGNATURE}]),
        ),
        says(
            json!([{"functionCall": {"name": "rm"}}, {"text": "", "thoughtSignature": SIGNATURE}]),
        ),
    ];
    let generated = given(&stream).digest();
    // One content for each frame, as `google-genai` keeps them.
    let contents: Vec<Value> = stream
        .iter()
        .map(|response| response["candidates"][0]["content"].clone())
        .collect();
    let whole = json!({"role": "model", "parts": [{"text": "I try\nit"},
        {"functionCall": {"name": "rm", "args": {"b": 2, "a": 1}}}, {"functionCall": {"args": {}, "name": "rm"}}]});
    for contents in [json!(contents), json!([whole]), whole] {
        let view = view(&json!({ "contents": contents }).to_string()).unwrap();
        assert_eq!(view.messages.len(), 1);
        assert_eq!(view.messages[0].digest(), generated, "{contents}");
    }
    // Where Airlock denied the first of two calls, the client has one.
    let mut left = given(&stream);
    left.tool_calls.remove(0);
    let back = json!({"contents": [{"role": "model", "parts": [{"text": "I try\nit"}, {"functionCall": {"name": "rm"}}]}]});
    assert_eq!(
        view(&back.to_string()).unwrap().messages[0].digest(),
        left.digest()
    );
    assert_ne!(left.digest(), generated);
}
