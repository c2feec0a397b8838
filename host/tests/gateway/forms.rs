//! The form of an answer: a stream or a body, told apart by its bytes, and given as the client asked for it.

use serde_json::json;

use crate::support::*;
use crate::transport::{ask, body, both_legs, chunk, saying, worlds};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_a_stream_is_read_as_one_whatever_its_type() {
    let (upstream, open, guarded) = worlds().await;
    for kind in [
        "",
        "text/plain",
        "Text/Event-Stream; Charset=UTF-8",
        "text/event-stream;charset=utf-7",
        "application/octet-stream",
        "application/json",
        "text/html",
    ] {
        for stream in [true, false] {
            let answer = Answer::new(200, kind, saying("all is well", ""));
            for world in [&open, &guarded] {
                upstream.say(vec![answer.clone()]);
                let reply = world.call("one", &ask(stream)).await;
                assert_eq!(
                    reply.said().at("0/content"),
                    "all is well",
                    "{kind}: {}",
                    reply.text()
                );
                let expected = if stream {
                    "text/event-stream"
                } else {
                    "application/json"
                };
                let own = reply.headers["content-type"].to_str().unwrap();
                assert!(
                    own.starts_with(expected) && !own.contains("utf-7"),
                    "{kind}: {own}"
                );
                assert_eq!(stream, reply.is_done(), "{}", reply.text());
            }
            let answer = Answer::new(200, kind, saying("so it is forbidden here", ""));
            for reply in both_legs(&upstream, &guarded, stream, &answer).await {
                assert_eq!(
                    reply.error_code(),
                    "content_filter",
                    "{kind}: {}",
                    reply.text()
                );
                assert!(!reply.text().contains("forbidden"), "{}", reply.text());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_the_form_it_asked_for_whichever_the_upstream_gives() {
    let (upstream, open, guarded) = worlds().await;
    let calls = json!([
        {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{\"a\":1}"}},
        {"id": "c3", "type": "function", "function": {"name": "look", "arguments": "{}"}}]);
    let mut whole = body("all is well");
    whole["choices"][0]["message"]["tool_calls"] = calls.clone();
    whole["choices"][0]["message"]["reasoning_content"] = json!("let me see");
    whole["choices"][0]["finish_reason"] = json!("tool_calls");
    for kind in ["application/json", "text/event-stream", "text/plain", ""] {
        for body in [whole.to_string(), format!("\u{feff}\n{whole:#}\n")] {
            for world in [&open, &guarded] {
                upstream.say(vec![Answer::new(200, kind, body.clone())]);
                let reply = world.call("one", &ask(true)).await;
                let said = reply.said();
                assert!(reply.is_done(), "{kind}: {}", reply.text());
                assert_eq!(said.at("0/content"), "all is well");
                assert_eq!(said.at("0/reasoning_content"), "let me see");
                assert_eq!(said.at("0/tool_calls/0"), "{\"a\":1}");
                assert_eq!(said.at("0/tool_calls/1"), "{}");
                assert_eq!(reply.finishes(), ["tool_calls"]);
                let usage = reply
                    .frames()
                    .iter()
                    .filter(|f| f["usage"].is_object())
                    .count();
                assert_eq!(usage, 1, "{}", reply.text());
                assert!(
                    reply.headers["content-type"]
                        .to_str()
                        .unwrap()
                        .starts_with("text/event-stream")
                );
            }
        }
    }
    // A client that did not ask for the usage is not told it.
    let mut request = ask(true);
    request["stream_options"] = json!({"include_usage": false});
    let reply = guarded.call("one", &request).await;
    assert!(
        reply.is_done() && !reply.text().contains("usage"),
        "{}",
        reply.text()
    );

    // The other way round, in pieces as models give them.
    let frames = [
        chunk(json!({"role": "assistant", "content": "all is "}), None),
        chunk(json!({"content": "well", "reasoning_content": "let me "}), None),
        chunk(json!({"reasoning_content": "see"}), None),
        chunk(json!({"tool_calls": [{"index": 0, "id": "c2", "type": "function", "function": {"name": "look", "arguments": ""}}]}), None),
        chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"a\""}}]}), None),
        chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}), None),
        chunk(json!({"tool_calls": [{"index": 1, "id": "c3", "type": "function", "function": {"name": "look", "arguments": "{}"}}]}), None),
        chunk(json!({}), Some("tool_calls")),
        "data: {\"id\":\"x\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5,\"total_tokens\":8}}\n\n".to_owned(),
        "data: [DONE]\n\n".to_owned(),
    ];
    for world in [&open, &guarded] {
        upstream.say(vec![Answer::events(frames.concat())]);
        let reply = world.call("one", &ask(false)).await;
        let got = reply.json();
        let message = &got["choices"][0]["message"];
        assert_eq!(message["content"], "all is well", "{got}");
        assert_eq!(message["reasoning_content"], "let me see");
        assert_eq!(message["tool_calls"], calls);
        assert_eq!(got["choices"][0]["finish_reason"], "tool_calls");
        assert_eq!(got["usage"]["total_tokens"], 8);
        assert_eq!(got["object"], "chat.completion");
        // A part of a stream is no answer.
        upstream.say(vec![Answer::events(frames[..4].concat())]);
        let reply = world.call("one", &ask(false)).await;
        assert_eq!(
            (reply.status, &*reply.error_code()),
            (502, "airlock_upstream")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_that_nobody_asked_for_is_judged_too() {
    let (upstream, _, guarded) = worlds().await;
    for (stream, answer) in [
        (true, Answer::json(body("so it is forbidden here"))),
        (false, Answer::events(saying("so it is forbidden here", ""))),
    ] {
        for reply in both_legs(&upstream, &guarded, stream, &answer).await {
            assert_eq!(reply.error_code(), "content_filter", "{}", reply.text());
            assert!(!reply.text().contains("forbidden"), "{}", reply.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_with_an_image_of_nine_megabytes_passes() {
    let (upstream, open, guarded) = worlds().await;
    let image = format!(
        "data:image/png;base64,{}",
        "iVBORw0KGgo".repeat(9_000_000 / 11)
    );
    let frames = [
        chunk(json!({"role": "assistant", "content": "see:"}), None),
        chunk(
            json!({"images": [{"type": "image_url", "image_url": {"url": image}}]}),
            None,
        ),
        chunk(json!({}), Some("stop")),
        "data: [DONE]\n\n".to_owned(),
    ];
    for world in [&open, &guarded] {
        upstream.say(vec![Answer::events(frames.concat())]);
        let reply = world.call("one", &ask(true)).await;
        assert!(
            reply.is_done(),
            "{}",
            &reply.text()[reply.bytes.len().saturating_sub(400)..]
        );
        assert!(reply.bytes.len() > 9_000_000);
    }
}
