//! What is refused, and what is judged although it looks like no text.

use serde_json::{Value, json};

use super::{SIGNATURE, ends, frame, frames, read, read_all, read_body, said, says, view};
use crate::event::Channel;

#[test]
fn what_clients_would_read_differently_is_refused() {
    for data in [
        r#"{"candidates":[],"candidates":[]}"#,
        r#"{"candidates":[{"finishReason":"STOP","finish_reason":"SAFETY"}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}},{"content":{"parts":[{"text":"b"}]}}]}"#,
        r#"{"candidates":[{"index":0},{"index":0}]}"#,
        r#"{"candidates":[{"index":-1}]}"#,
        r#"{"candidates":{"content":{}}}"#,
        r#"{"candidates":[{"content":[]}]}"#,
        r#"{"candidates":[{"content":{"parts":{"text":"a"}}}]}"#,
        r#"{"candidates":[{"content":{"parts":["a"]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":7}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"a","thought":"true"}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"a","functionCall":{"name":"rm"}}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"rm"},"function_call":{"name":"ls"}}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"rm","args":"{}"}}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":7}}]}}]}"#,
        r#"{"candidates":[{"finishReason":7}]}"#,
        "[{}]",
        "{",
        "[DONE]",
        "\"text\"",
    ] {
        let frame = frames(format!("data: {data}\n\n").as_bytes()).remove(0);
        assert!(read_all(&[frame]).is_err(), "{data}");
    }
}

#[test]
fn parts_of_calls_that_fit_no_call_are_refused() {
    let call = |call: Value| says(json!([{ "functionCall": call }]));
    let begun = call(json!({"name": "rm", "willContinue": true}));
    let part =
        json!({"partialArgs": [{"jsonPath": "$.a", "stringValue": "b"}], "willContinue": true});
    for stream in [
        vec![call(json!({}))],
        vec![call(part.clone())],
        vec![begun.clone(), begun.clone()],
        vec![begun.clone(), call(json!({"name": "ls", "args": {}}))],
        vec![begun.clone(), call(part.clone()), call(part.clone())],
        vec![begun.clone(), call(part.clone()), ends(json!([]))],
        vec![
            begun.clone(),
            call(json!({"id": "x", "willContinue": true})),
        ],
        vec![call(
            json!({"name": "rm", "args": {"a": 1}, "willContinue": true}),
        )],
        vec![call(
            json!({"name": "rm", "args": {"a": 1}, "partialArgs": []}),
        )],
    ] {
        let frames: Vec<_> = stream.iter().map(frame).collect();
        assert!(read_all(&frames).is_err(), "{stream:?}");
    }
    assert!(
        read_body(begun.to_string().as_bytes()).is_err(),
        "a body has whole calls"
    );
}

#[test]
fn text_in_fields_that_should_have_none_is_judged() {
    let secret = "meet me at dawn";
    let mut placed: Vec<Value> = Vec::new();
    for pointer in ["modelVersion", "responseId", "createTime", "unheardOf"] {
        let mut response = says(json!([]));
        response[pointer] = json!(secret);
        placed.push(response);
    }
    for field in [
        "finishReason",
        "finishMessage",
        "unheardOf",
        "tokenCount",
        "avgLogprobs",
        "safetyRatings",
        "citationMetadata",
    ] {
        let mut response = says(json!([]));
        let list = json!([{"category": secret}]);
        response["candidates"][0][field] = if field == "safetyRatings" {
            list
        } else {
            json!(secret)
        };
        placed.push(response);
    }
    for part in [
        json!({"text": "", "thoughtSignature": secret}),
        json!({"text": "", "partMetadata": {"x": [{"y": secret}]}}),
        json!({"functionCall": {"name": "rm", "args": {}, "note": secret}}),
        json!({"inlineData": {"mimeType": "text/plain", "data": secret}}),
        json!({"inlineData": {"mimeType": "image/svg+xml", "data": secret}}),
        json!({"inlineData": {"mimeType": secret, "data": SIGNATURE}}),
        json!({"executableCode": {"language": secret, "code": ""}}),
        json!({"unheardOf": {secret: 1}}),
    ] {
        placed.push(says(json!([part])));
    }
    for usage in [
        json!({"trafficType": secret}),
        json!({"promptTokensDetails": [{"modality": secret, "tokenCount": 1}]}),
        json!({"promptTokensDetails": [{"modality": "TEXT", "note": secret}]}),
        json!({"unheardOf": [secret]}),
    ] {
        placed.push(json!({ "usageMetadata": usage }));
    }
    placed.push(json!({"promptFeedback": {"blockReason": secret}}));
    placed.push(json!({"promptFeedback": {"safetyRatings": [{"probability": secret}]}}));
    placed.push(json!({"error": {"code": 1, "message": secret}}));
    placed.push(json!({"error": {"code": 1, "message": "", "status": secret}}));
    placed.push(json!({ "error": secret }));
    placed.push(json!({"candidates": [{"content": {"role": secret, "parts": []}}]}));
    placed.push(json!({"candidates": [{"content": {"parts": [], "more": secret}}]}));
    placed.push(
        json!({"candidates": [{"logprobsResult": {"chosenCandidates": [{"token": secret}]}}]}),
    );
    for response in placed {
        for pieces in [read(&response), read_body(response.to_string().as_bytes())] {
            let other = said(
                &pieces.unwrap_or_else(|error| panic!("{error}: {response}")),
                Channel::Other,
            );
            assert!(other.contains(secret), "{response}");
        }
    }
}

#[test]
fn words_of_the_api_are_no_text() {
    let mut response = ends(json!([{"text": "", "thoughtSignature": SIGNATURE}]));
    response["createTime"] = json!("2026-04-02T17:03:50.399550Z");
    response["candidates"][0]["safetyRatings"] = json!([{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE", "severity": "HARM_SEVERITY_LOW", "severityScore": 0.1}]);
    response["usageMetadata"] = json!({"promptTokenCount": 1, "totalTokenCount": 1, "trafficType": "ON_DEMAND",
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1}]});
    assert_eq!(said(&read(&response).unwrap(), Channel::Other), "");
}

#[test]
fn requests_that_read_twofold_or_not_at_all_are_refused() {
    for body in [
        "{",
        "{}",
        r#"{"contents":"hi"}"#,
        r#"{"contents":[],"contents":[]}"#,
        r#"{"contents":[],"systemInstruction":{},"system_instruction":{}}"#,
        r#"{"contents":[],"systemInstruction":"be brief"}"#,
        r#"{"contents":["hi"]}"#,
        r#"{"contents":[{"parts":["hi"]}]}"#,
        r#"{"contents":[{"parts":[{"text":1}]}]}"#,
        r#"{"contents":[{"role":1,"parts":[]}]}"#,
        r#"{"contents":[{"parts":[{"text":"a","inlineData":{"mimeType":"a/b","data":"aa"}}]}]}"#,
        r#"{"contents":[{"parts":[{"functionCall":{"name":"a","args":"{}"}}]}]}"#,
        r#"{"contents":[{"parts":[{"functionResponse":{"name":"a","response":"b"}}]}]}"#,
        r#"{"contents":[],"generation_config":[]}"#,
        r#"{"contents":[{"parts":[{"inlineData":{},"inline_data":{}}]}]}"#,
        r#"{"contents":[],"generationConfig":{"candidateCount":"many"}}"#,
        r#"{"contents":[],"generationConfig":{"candidateCount":70000}}"#,
        r#"{"contents":[],"generationConfig":{"maxOutputTokens":1,"max_output_tokens":2}}"#,
    ] {
        assert!(view(body).is_err(), "{body}");
    }
}
