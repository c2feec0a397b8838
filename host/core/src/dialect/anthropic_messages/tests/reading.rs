//! Every kind of event and block, as it is read.

use serde_json::json;

use super::*;
use crate::dialect::{CallKind, CallPart, Finish, Slot};
use crate::event::{FailureKind, Usage};

#[test]
fn a_stream_is_read_event_by_event() {
    let events = message(
        &[
            thinking(0, "Hm."),
            text(1, &["I ", "look."]),
            call(2, "toolu_1", "ls", &["", "{\"p\":", "1}"]),
        ],
        "tool_use",
    );
    let pieces = read(stream(&events).as_bytes()).unwrap();
    let part = |id: Option<&str>, name: Option<&str>, arguments: &str| {
        Piece::Call(CallPart {
            choice: 0,
            slot: Slot::Index(0),
            kind: CallKind::Function,
            id: id.map(str::to_owned),
            name: name.map(str::to_owned),
            arguments: arguments.to_owned(),
        })
    };
    let text = |channel, text: &str| Piece::Text {
        place: place(channel),
        text: text.to_owned(),
        generated: true,
    };
    let usage = |input, output, cached| {
        Piece::Usage(Usage {
            input,
            output,
            cached,
            reasoning: 0,
            exact: true,
        })
    };
    let expected = vec![
        usage(14, 1, 4),
        text(Channel::Reasoning, "Hm."),
        text(Channel::Output, "I "),
        text(Channel::Output, "look."),
        part(Some("toolu_1"), Some("ls"), ""),
        part(None, None, ""),
        part(None, None, "{\"p\":"),
        part(None, None, "1}"),
        Piece::Finish {
            choice: 0,
            reason: "tool_use".to_owned(),
        },
        usage(0, 7, 0),
        Piece::End,
    ];
    assert_eq!(pieces, expected);
}

#[test]
fn ids_are_those_of_the_message() {
    let mut reader = DIALECT.reader();
    let first = frames(event(&start("msg_7")).as_bytes());
    reader.frame(&first[0], &mut Vec::new()).unwrap();
    assert_eq!(reader.identity().id, "msg_7");
    assert_eq!(reader.identity().model, "claude-x");
    assert!(!reader.is_usage_only(&first[0]));
}

#[test]
fn what_the_server_runs_is_no_call_of_the_client() {
    let result = json!({"type": "web_search_tool_result", "tool_use_id": "srv_1",
        "content": [{"type": "web_search_result", "title": "A page", "url": "https://x.test", "encrypted_content": SIGNED}]});
    let cited = json!({"type": "citations_delta", "citation": {"type": "web_search_result_location",
        "cited_text": "so it is", "url": "https://x.test", "encrypted_index": SIGNED}});
    let events = message(
        &[vec![
            begin(
                0,
                json!({"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {}}),
            ),
            add(
                0,
                json!({"type": "input_json_delta", "partial_json": "{\"query\":\"secret\"}"}),
            ),
            stop(0),
            begin(1, result),
            stop(1),
            begin(2, json!({"type": "text", "text": "", "citations": []})),
            add(2, cited),
            add(2, json!({"type": "text_delta", "text": "Yes."})),
            stop(2),
            begin(
                3,
                json!({"type": "mcp_tool_use", "id": "m", "name": "ask", "server_name": "wiki", "input": {"q": "x y"}}),
            ),
            stop(3),
            begin(4, json!({"type": "container_upload", "file_id": "file_1"})),
            stop(4),
            begin(5, json!({"type": "redacted_thinking", "data": SIGNED})),
            stop(5),
            begin(6, json!({"type": "compaction", "content": null})),
            add(
                6,
                json!({"type": "compaction_delta", "content": "In short."}),
            ),
            stop(6),
            begin(7, json!({"type": "hologram", "shows": "a cat"})),
            add(7, json!({"type": "hologram_delta", "shows": " and a dog"})),
            stop(7),
        ]],
        "end_turn",
    );
    let pieces = read(stream(&events).as_bytes()).unwrap();
    assert_eq!(calls(&pieces), Vec::<[String; 3]>::new());
    assert_eq!(said(&pieces, Channel::Output), "Yes.");
    let other = said(&pieces, Channel::Other);
    let expected = "{\"query\":\"secret\"}A pagehttps://x.testso it ishttps://x.testx yIn short.a cat and a dog";
    assert_eq!(other, expected);
    let generated = |wanted: &str| {
        let mut of = pieces.iter().filter_map(|piece| match piece {
            Piece::Text {
                text, generated, ..
            } if text.contains(wanted) => Some(*generated),
            _ => None,
        });
        of.next().unwrap()
    };
    assert!(generated("query") && !generated("A page") && generated("a cat"));
}

#[test]
fn a_refusal_says_why_and_pings_say_nothing() {
    let mut events = vec![start("m"), json!({"type": "ping"})];
    events.push(json!({"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_sequence": null,
        "stop_details": {"type": "refusal", "category": "cyber", "explanation": "It is not allowed."}}, "usage": {"output_tokens": 1}}));
    let pieces = read(stream(&events).as_bytes()).unwrap();
    assert_eq!(said(&pieces, Channel::Refusal), "It is not allowed.");
    assert_eq!(said(&pieces, Channel::Other), "");
    assert_eq!(finish(&pieces), Some("refusal"));
}

#[test]
fn usage_is_that_of_all_iterations() {
    let last = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"input_tokens": 181,
        "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 8, "iterations": [
        {"type": "compaction", "input_tokens": 100, "output_tokens": 83, "cache_read_input_tokens": 55096, "cache_creation_input_tokens": 0},
        {"type": "message", "input_tokens": 181, "output_tokens": 8, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}]}});
    let pieces = read(stream(&[start("m"), last]).as_bytes()).unwrap();
    let usage = pieces.iter().rev().find_map(|piece| match piece {
        Piece::Usage(usage) => Some((usage.input, usage.output, usage.cached)),
        _ => None,
    });
    assert_eq!(usage, Some((55377, 91, 55096)));
}

#[test]
fn errors_have_the_vendors_status() {
    let pieces = read(b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"},\"request_id\":\"req_1\"}\n\n").unwrap();
    let [Piece::Error(failure), Piece::Text { text, .. }] = &pieces[..] else {
        panic!("{pieces:?}");
    };
    assert_eq!(
        (failure.status, failure.kind),
        (529, FailureKind::Overloaded)
    );
    assert_eq!(text, "Overloaded");
    // As proxies state one.
    let pieces = read(b"data: {\"error\":{\"message\":\"no\"}}\n\n").unwrap();
    assert!(matches!(&pieces[0], Piece::Error(failure) if failure.message == "no"));
    for (status, body, kind) in [
        (
            429,
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}"#,
            FailureKind::RateLimit,
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}}"#,
            FailureKind::ContextLength,
        ),
        (504, "gateway timeout", FailureKind::Timeout),
        (
            500,
            r#"{"type":"error","error":{"type":"api_error","message":"oops"}}"#,
            FailureKind::Upstream,
        ),
    ] {
        let failure = DIALECT.outbound().read_error(status, body.as_bytes());
        assert_eq!((failure.status, failure.kind), (status, kind), "{body}");
    }
}

#[test]
fn reasons_have_their_meaning() {
    for (reason, meaning) in [
        ("end_turn", Finish::Stop),
        ("stop_sequence", Finish::Stop),
        ("max_tokens", Finish::Length),
        ("model_context_window_exceeded", Finish::Length),
        ("tool_use", Finish::ToolCalls),
        ("refusal", Finish::Filtered),
        ("pause_turn", Finish::Other),
    ] {
        assert_eq!(DIALECT.outbound().meaning(reason), meaning, "{reason}");
    }
}

#[test]
fn the_models_own_turn_is_kept_with_its_signatures_and_the_places_of_its_calls() {
    let mut reader = DIALECT.reader();
    let events = message(
        &[
            thinking(0, "Hm."),
            text(1, &["I ", "look."]),
            call(2, "toolu_1", "ls", &["{\"p\": 1.0}"]),
            text(3, &["And."]),
        ],
        "tool_use",
    );
    for event in &events {
        reader.gather(event.to_string().as_bytes());
    }
    let own: Value = serde_json::from_str(&reader.own_message().unwrap()).unwrap();
    let expected = json!({"role": "assistant", "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": SIGNED},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "toolu_1"},
        {"type": "text", "text": "And."}]});
    assert_eq!(own, expected);
    let call: Value = serde_json::from_str(&reader.own_call("toolu_1").unwrap()).unwrap();
    assert_eq!(call["input"], json!({"p": 1.0}));
    assert_eq!(reader.own_call("toolu_2"), None);
    reader.give_up();
    assert_eq!(reader.own_message(), None);
    // A turn whose end was not seen is not known whole.
    let mut reader = DIALECT.reader();
    for event in &events[..events.len() - 1] {
        reader.gather(event.to_string().as_bytes());
    }
    assert_eq!(reader.own_message(), None);
}
