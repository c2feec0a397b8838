//! Every kind of event, read.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{answer, calls, frame, joined, place, read, read_body, said, writer};
use crate::dialect::openai_responses::OpenAiResponses;
use crate::dialect::sse::Framer;
use crate::dialect::{CallKind, Dialect as _, Edits, Finish, Identity, Outbound as _, Piece};
use crate::event::{Channel, FailureKind, Usage};

/// Pieces of single events, after those that begin the items 0 (message), 1 (reasoning).
fn after(more: &[Value]) -> Vec<Piece> {
    let begun = [
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "m", "role": "assistant", "content": []}}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": {"type": "reasoning", "id": "r", "summary": []}}),
    ];
    let all: Vec<_> = begun.iter().chain(more).cloned().map(frame).collect();
    read(&all)
}

fn text(channel: Channel, text: &str, generated: bool) -> Piece {
    Piece::Text {
        place: place(channel),
        text: text.to_owned(),
        generated,
    }
}

#[test]
fn an_answer_is_read_once_however_often_it_is_said() {
    let pieces = read(&answer());
    assert_eq!(said(&pieces, Channel::Output), "Hello world");
    assert_eq!(said(&pieces, Channel::Reasoning), "hm hm");
    assert_eq!(
        said(&pieces, Channel::Other),
        "",
        "the request's own words are not the model's"
    );
    assert_eq!(
        calls(&pieces),
        [["rm", "call_1", "{\"path\":\"/\"}"].map(str::to_owned)]
    );
    let end = &pieces[pieces.len() - 3..];
    let usage = Usage {
        input: 10,
        output: 5,
        cached: 2,
        reasoning: 1,
        exact: true,
    };
    let finish = Piece::Finish {
        choice: 0,
        reason: "tool_calls".to_owned(),
    };
    assert!(end.contains(&Piece::Usage(usage)) && end.contains(&finish));
    assert_eq!(end[2], Piece::End);
    let mut reader = OpenAiResponses.reader();
    reader.frame(&answer()[0], &mut Vec::new()).unwrap();
    let expected = Identity {
        id: "resp_1".into(),
        model: "m-1".into(),
        created: 1,
        ..Identity::default()
    };
    assert_eq!(*reader.identity(), expected);
}

#[test]
fn each_text_has_its_channel() {
    let at = |name: &str, key: &str, text: &str, index: u32| json!({"type": format!("response.{name}"), "output_index": index, "item_id": "i", key: text});
    let pieces = after(&[
        at("output_text.delta", "delta", "a", 0),
        at("refusal.delta", "delta", "b", 0),
        at("reasoning_summary_text.delta", "delta", "c", 1),
        at("custom_tool_call_input.delta", "delta", "d", 2),
        at("mcp_call_arguments.delta", "delta", "e", 3),
        at("code_interpreter_call_code.delta", "delta", "f", 4),
        json!({"type": "response.output_text.annotation.added", "output_index": 0, "content_index": 0, "annotation_index": 0,
            "annotation": {"type": "url_citation", "url": "https://x.test", "title": "t", "start_index": 0}}),
        json!({"type": "response.web_search_call.searching", "output_index": 5, "item_id": "ws_1"}),
        json!({"type": "response.audio.transcript.delta", "delta": "g"}),
        json!({"type": "keepalive", "sequence_number": 3}),
        json!({"type": "response.never_heard_of", "note": "h", "deep": [{"er": "i"}]}),
    ]);
    let expected = [
        text(Channel::Output, "a", true),
        text(Channel::Refusal, "b", true),
        text(Channel::Reasoning, "c", true),
        text(Channel::Other, "e", true),
        text(Channel::Other, "f", true),
        text(Channel::Other, "https://x.test", false),
        text(Channel::Other, "t", false),
        text(Channel::Other, "g", true),
        text(Channel::Other, "h", true),
        text(Channel::Other, "i", true),
    ];
    let texts: Vec<Piece> = pieces
        .iter()
        .filter(|p| matches!(p, Piece::Text { .. }))
        .cloned()
        .collect();
    assert_eq!(texts, expected);
    let Some(Piece::Call(part)) = pieces.iter().find(|p| matches!(p, Piece::Call(_))) else {
        panic!("{pieces:?}");
    };
    assert_eq!(
        (part.kind, part.arguments.as_str()),
        (CallKind::Custom, "d")
    );
}

#[test]
fn servers_that_say_a_text_whole_alone_are_read() {
    let whole = answer().pop().unwrap();
    let pieces = read(std::slice::from_ref(&whole));
    assert_eq!(said(&pieces, Channel::Output), "Hello world");
    assert_eq!(calls(&pieces).len(), 1);
    assert!(
        !pieces.contains(&Piece::End),
        "what it is the first to say is not taken out with the end"
    );
    let kept: Vec<_> = answer()
        .into_iter()
        .filter(|frame| !String::from_utf8_lossy(&frame.raw).contains(".delta"))
        .collect();
    let pieces = read(&kept);
    assert_eq!(said(&pieces, Channel::Output), "Hello world");
    assert_eq!(said(&pieces, Channel::Reasoning), "hm hm");
    assert_eq!(calls(&pieces), calls(&read(&answer())));
    assert!(pieces.contains(&Piece::End));
}

#[test]
fn a_text_that_goes_beyond_its_parts_gives_the_rest() {
    let pieces = after(&[
        json!({"type": "response.output_text.delta", "output_index": 0, "delta": "Hello"}),
        json!({"type": "response.output_text.done", "output_index": 0, "text": "Hello world"}),
        json!({"type": "response.content_part.done", "output_index": 0, "part": {"type": "output_text", "text": "Hello world!"}}),
    ]);
    let expected = ["Hello", " world", "!"].map(|said| text(Channel::Output, said, true));
    assert_eq!(pieces, expected);
}

#[test]
fn how_an_answer_ended_is_read() {
    for (name, status, details, reason, meaning) in [
        (
            "completed",
            "completed",
            Value::Null,
            "completed",
            Finish::Stop,
        ),
        (
            "incomplete",
            "incomplete",
            json!({"reason": "max_output_tokens"}),
            "max_output_tokens",
            Finish::Length,
        ),
        (
            "incomplete",
            "incomplete",
            json!({"reason": "content_filter"}),
            "content_filter",
            Finish::Filtered,
        ),
        (
            "incomplete",
            "incomplete",
            json!({"reason": "steered"}),
            "steered",
            Finish::Other,
        ),
        (
            "cancelled",
            "cancelled",
            Value::Null,
            "cancelled",
            Finish::Other,
        ),
    ] {
        let response = json!({"id": "r", "object": "response", "status": status, "incomplete_details": details, "output": []});
        let event = json!({"type": format!("response.{name}"), "response": response});
        let expected = [
            Piece::Finish {
                choice: 0,
                reason: reason.to_owned(),
            },
            Piece::End,
        ];
        assert_eq!(read(&[frame(event)]), expected);
        assert_eq!(read_body(response.to_string().as_bytes()), expected);
        assert_eq!(OpenAiResponses.meaning(reason), meaning);
    }
    assert_eq!(OpenAiResponses.meaning("tool_calls"), Finish::ToolCalls);
}

#[test]
fn errors_are_read_once() {
    let nested = json!({"type": "error", "sequence_number": 2, "error": {"type": "rate_limit_error", "code": "rate_limit_exceeded", "message": "Slow down.", "param": null}});
    let flat = json!({"type": "error", "sequence_number": 2, "code": "rate_limit_exceeded", "message": "Slow down.", "param": null});
    let failed = json!({"type": "response.failed", "response": {"id": "r", "status": "failed", "output": [],
        "error": {"code": "rate_limit_exceeded", "message": "Slow down."}}});
    for first in [vec![nested], vec![flat], vec![]] {
        let mut all: Vec<_> = first.into_iter().map(frame).collect();
        all.push(frame(failed.clone()));
        let pieces = read(&all);
        let errors: Vec<_> = pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Error(failure) => Some((failure.kind, failure.message.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(errors, [(FailureKind::RateLimit, "Slow down.")]);
        assert_eq!(said(&pieces, Channel::Other), "Slow down.");
        assert_eq!(pieces.last(), Some(&Piece::End));
        assert!(
            !pieces
                .iter()
                .any(|piece| matches!(piece, Piece::Finish { .. }))
        );
    }
    for body in [
        json!({"error": {"message": "no", "code": "x"}}),
        json!({"object": "error", "message": "no", "type": "BadRequestError", "code": 400}),
        json!({"detail": "no"}),
    ] {
        let pieces = read_body(body.to_string().as_bytes());
        let Some(Piece::Error(failure)) = pieces.iter().find(|p| matches!(p, Piece::Error(_)))
        else {
            panic!("{body}: {pieces:?}");
        };
        assert_eq!(failure.message, "no");
        assert!(said(&pieces, Channel::Other).contains("no"));
    }
    let failure = OpenAiResponses.read_error(503, b"<html>busy</html>");
    assert_eq!(
        (failure.kind, failure.message.as_str()),
        (FailureKind::Overloaded, "<html>busy</html>")
    );
}

#[test]
fn a_body_says_what_a_stream_says() {
    let whole: Value =
        serde_json::from_slice(answer().pop().unwrap().data.as_deref().unwrap()).unwrap();
    let pieces = read_body(whole["response"].to_string().as_bytes());
    let streamed = read(&answer());
    for channel in [
        Channel::Output,
        Channel::Reasoning,
        Channel::Refusal,
        Channel::Other,
    ] {
        assert_eq!(said(&pieces, channel), said(&streamed, channel));
    }
    assert_eq!(calls(&pieces), calls(&streamed));
    assert_eq!(pieces.last(), Some(&Piece::End));
}

#[test]
fn the_models_own_turn_is_kept_in_its_order() {
    let mut reader = OpenAiResponses.reader();
    for frame in answer() {
        reader.gather(frame.data.as_deref().unwrap());
    }
    let own: Value = serde_json::from_str(&reader.own_message().unwrap()).unwrap();
    assert_eq!(own[0]["id"], "rs_1");
    assert_eq!(own[1]["id"], "msg_1");
    assert_eq!(own[2], "call_1");
    let call: Value = serde_json::from_str(&reader.own_call("call_1").unwrap()).unwrap();
    assert_eq!(call["id"], "fc_1");
    assert_eq!(reader.own_call("other"), None);
    let mut of_body = OpenAiResponses.reader();
    let body = writer().body_of_stream(&answer()).unwrap();
    of_body.gather(&body);
    assert_eq!(of_body.own_message(), reader.own_message());
    reader.give_up();
    assert_eq!(reader.own_message(), None);
}

#[test]
fn words_of_the_api_are_no_text_and_sentences_in_their_place_are() {
    let response = |field: &str, value: Value| {
        let mut response =
            json!({"id": "r", "object": "response", "status": "completed", "output": []});
        response[field] = value;
        said(&read_body(response.to_string().as_bytes()), Channel::Other)
    };
    for field in ["service_tier", "status", "object", "id", "model"] {
        assert_eq!(response(field, json!("a-word")), "", "{field}");
        assert_eq!(
            response(field, json!("a whole sentence")),
            "a whole sentence",
            "{field}"
        );
    }
    for field in ["instructions", "metadata", "tools", "user", "prompt"] {
        assert_eq!(
            response(field, json!({"x": "the client's own words"})),
            "",
            "{field}"
        );
    }
    assert_eq!(
        response(
            "moderation",
            json!({"input": {"model": "omni", "x": ["text"]}})
        ),
        ""
    );
    assert_eq!(
        response("moderation", json!({"input": {"message": "it broke down"}})),
        "it broke down"
    );
    assert_eq!(response("unknown", json!({"x": ["word"]})), "word");
    assert_eq!(
        response("output_text", json!("hidden words")),
        "hidden words"
    );
    let item = |item: Value| {
        said(
            &read_body(json!({"output": [item]}).to_string().as_bytes()),
            Channel::Other,
        )
    };
    let encrypted = "gAAAAABpPB8iV8e6ZyQ0LAGthckz";
    assert_eq!(
        item(json!({"type": "reasoning", "summary": [], "encrypted_content": encrypted})),
        ""
    );
    assert_eq!(
        item(json!({"type": "reasoning", "summary": [], "encrypted_content": "not at all"})),
        "not at all"
    );
    assert_eq!(
        item(json!({"type": "web_search_call", "id": "a word or two"})),
        "a word or two"
    );
    assert_eq!(
        item(
            json!({"type": "image_generation_call", "result": encrypted, "revised_prompt": "a cat"})
        ),
        "a cat"
    );
    // What is inert in a response is text in an item.
    assert_eq!(
        item(json!({"type": "mcp_call", "instructions": "do it"})),
        "do it"
    );
}

#[test]
fn probabilities_are_no_text_where_they_repeat_it() {
    let event = |tokens: Value| {
        let delta = json!({"type": "response.output_text.delta", "output_index": 0, "delta": "ab", "logprobs": tokens});
        said(&after(&[delta]), Channel::Other)
    };
    assert_eq!(
        event(
            json!([{"token": "a", "logprob": -1.0}, {"token": "b", "logprob": 0, "top_logprobs": [{"token": "c", "logprob": -2}]}])
        ),
        ""
    );
    assert_eq!(event(json!([{"token": "xy", "logprob": 0}])), "xy");
    assert_eq!(
        event(json!([{"token": "ab", "logprob": 0, "note": "hidden"}])),
        "tokenablogprobnotehidden"
    );
}

proptest! {
    #[test]
    fn any_cut_of_the_bytes_gives_the_same_pieces(cuts in proptest::collection::vec(0usize..5000, 0..12)) {
        let stream = joined(&answer());
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.sort_unstable();
        let (mut framer, mut frames, mut from) = (Framer::default(), Vec::new(), 0);
        for cut in cuts.into_iter().chain([stream.len()]) {
            framer.push(bytes::Bytes::copy_from_slice(&stream[from..cut]), &mut frames).unwrap();
            from = cut;
        }
        prop_assert_eq!(read(&frames), read(&answer()));
        let mut writer = writer();
        let mut out = Vec::new();
        for frame in &frames {
            out.extend_from_slice(&writer.frame(frame, &Edits::default()).unwrap().unwrap());
        }
        prop_assert_eq!(out, stream);
    }
}
