//! Whole answers as streams, and streams as whole answers.

use serde_json::{Value, json};

use super::{answer, calls, events, frame, frames, read, read_body, said, well_formed, writer};
use crate::dialect::Piece;
use crate::event::Channel;

#[test]
fn a_stream_as_a_body_and_back_says_the_same() {
    let body = writer().body_of_stream(&answer()).unwrap();
    let last: Value =
        serde_json::from_slice(answer().pop().unwrap().data.as_deref().unwrap()).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&body).unwrap(),
        last["response"]
    );
    let stream = writer().stream_of_body(&body).unwrap();
    well_formed(&stream, "again");
    let again = read(&frames(&stream));
    assert_eq!(said(&again, Channel::Output), "Hello world");
    assert_eq!(said(&again, Channel::Reasoning), "hm hm");
    assert_eq!(calls(&again), calls(&read(&answer())));
    assert_eq!(writer().body_of_stream(&frames(&stream)).unwrap(), body);
}

#[test]
fn items_that_the_end_does_not_repeat_are_put_in() {
    let mut all = answer();
    let mut last: Value =
        serde_json::from_slice(all.pop().unwrap().data.as_deref().unwrap()).unwrap();
    last["response"]["output"] = json!([]);
    all.push(frame(last));
    let body = writer().body_of_stream(&all).unwrap();
    assert_eq!(said(&read_body(&body), Channel::Output), "Hello world");
    assert_eq!(calls(&read_body(&body)), calls(&read(&answer())));
}

#[test]
fn a_stream_without_an_end_is_no_answer() {
    let mut all = answer();
    all.pop();
    assert!(writer().body_of_stream(&all).is_err());
    assert!(writer().body_of_stream(&[]).is_err());
}

#[test]
fn errors_are_reshaped_too() {
    let body = json!({"error": {"message": "no", "code": "c", "type": "t"}}).to_string();
    let stream = writer().stream_of_body(body.as_bytes()).unwrap();
    assert_eq!(events(&stream)[0]["error"]["message"], "no");
    let back = writer().body_of_stream(&frames(&stream)).unwrap();
    assert_eq!(back, body.as_bytes());
    let failed = frame(
        json!({"type": "response.failed", "response": {"status": "failed", "output": [], "error": {"code": "c", "message": "no"}}}),
    );
    let body = writer().body_of_stream(&[failed]).unwrap();
    assert!(
        read_body(&body)
            .iter()
            .any(|piece| matches!(piece, Piece::Error(_)))
    );
    let flat = frame(
        json!({"type": "error", "code": "c", "message": "no", "param": null, "sequence_number": 0}),
    );
    let body: Value = serde_json::from_slice(&writer().body_of_stream(&[flat]).unwrap()).unwrap();
    assert_eq!(
        body,
        json!({"error": {"code": "c", "message": "no", "param": null}})
    );
    for body in [
        "",
        "null",
        "[]",
        "{}",
        "<html>",
        "{\"output\":7}",
        "{\"output\":[7]}",
    ] {
        assert!(writer().stream_of_body(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn calls_of_all_kinds_become_streams() {
    let body = json!({"id": "r", "object": "response", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "model": "m", "output": [
        {"type": "custom_tool_call", "id": "ct", "call_id": "c1", "name": "grep", "input": "a b"},
        {"type": "local_shell_call", "id": "ls", "call_id": "c2", "status": "completed", "action": {"type": "exec", "command": ["rm", "x"], "env": {}}},
        {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search", "query": "weather"}},
        {"type": "message", "id": "m", "role": "assistant", "status": "incomplete", "content": [{"type": "refusal", "refusal": "I may not"}]}]});
    let stream = writer()
        .stream_of_body(body.to_string().as_bytes())
        .unwrap();
    well_formed(&stream, "kinds");
    let (whole, streamed) = (
        read_body(body.to_string().as_bytes()),
        read(&frames(&stream)),
    );
    assert_eq!(calls(&streamed), calls(&whole));
    for channel in [Channel::Output, Channel::Refusal, Channel::Other] {
        assert_eq!(said(&streamed, channel), said(&whole, channel));
    }
    assert_eq!(
        events(&stream).last().unwrap()["type"],
        "response.incomplete"
    );
}
