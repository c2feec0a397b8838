//! Lines and bodies are read.

use super::*;
use crate::dialect::Failure;
use crate::event::{FailureKind, Usage};

const USAGE: Usage = Usage {
    input: 26,
    output: 282,
    cached: 0,
    reasoning: 0,
    exact: true,
};

/// A turn with a thought, a text and two calls.
fn turn() -> String {
    let thought = json!({"model": "qwen3", "created_at": "2025-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": "", "thinking": "Hm."}, "done": false});
    let calls = json!({"model": "qwen3", "created_at": "2025-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": "", "tool_calls": [
            {"id": "call_1", "function": {"index": 0, "name": "ls", "arguments": {"path": "/"}}},
            {"function": {"name": "rm", "arguments": {}}}]}, "done": false});
    let all = [thought, part("I "), part("look."), calls, last()];
    all.map(|line| format!("{line}\n")).concat()
}

#[test]
fn a_turn_says_its_thought_its_text_its_calls_and_its_end() {
    let pieces = read(CHAT, turn().as_bytes()).unwrap();
    let expected = [
        text(REASONING, "Hm."),
        text(OUTPUT, "I "),
        text(OUTPUT, "look."),
        call(0, "ls", r#"{"path":"/"}"#),
        call(1, "rm", "{}"),
        Piece::Usage(USAGE),
        finish("stop"),
        Piece::End,
    ];
    assert_eq!(pieces, expected);
}

#[test]
fn calls_are_counted_through_the_lines_of_a_leg() {
    let one = |name: &str| {
        json!({"message": {"role": "assistant", "content": "", "tool_calls": [
            {"function": {"index": 0, "name": name, "arguments": {}}}]}, "done": false})
    };
    let stream = format!("{}\n{}\n", one("a"), one("b"));
    let pieces = read(CHAT, stream.as_bytes()).unwrap();
    assert_eq!(pieces, [call(0, "a", "{}"), call(1, "b", "{}")]);
}

#[test]
fn any_cut_of_the_bytes_gives_the_same_pieces() {
    let stream = turn();
    let whole = read(CHAT, stream.as_bytes()).unwrap();
    for size in 1..stream.len() {
        let (mut reader, mut out) = (CHAT.reader(), Vec::new());
        for frame in in_chunks(stream.as_bytes(), size) {
            reader.frame(&frame, &mut out).unwrap();
        }
        assert_eq!(out, whole, "in chunks of {size}");
    }
}

#[test]
fn a_prompt_is_answered_beside_the_line() {
    let calls = json!([{"function": {"name": "ls", "arguments": {}}}]);
    let stream = [
        json!({"model": "m", "created_at": "t", "response": "", "thinking": "Hm.", "done": false}),
        json!({"model": "m", "created_at": "t", "response": "blue", "tool_calls": calls, "done": false}),
        json!({"model": "m", "created_at": "t", "response": "", "done": true, "done_reason": "length",
            "context": [1, 2, 3], "prompt_eval_count": 26, "eval_count": 282}),
    ];
    let stream = stream.map(|line| format!("{line}\n")).concat();
    let expected = [
        text(REASONING, "Hm."),
        text(OUTPUT, "blue"),
        call(0, "ls", "{}"),
        Piece::Usage(USAGE),
        finish("length"),
        Piece::End,
    ];
    assert_eq!(read(GENERATE, stream.as_bytes()).unwrap(), expected);
}

#[test]
fn a_body_says_what_a_stream_says() {
    let mut body = last();
    body["message"] = json!({"role": "assistant", "content": "I look.", "thinking": "Hm.",
        "tool_calls": [{"function": {"name": "ls", "arguments": {"path": "/"}}}]});
    let pieces = read_body(CHAT, body.to_string().as_bytes()).unwrap();
    let Piece::Call(mut whole) = call(0, "ls", r#"{"path":"/"}"#) else {
        panic!()
    };
    whole.slot = Slot::Whole;
    let expected = [
        text(OUTPUT, "I look."),
        text(REASONING, "Hm."),
        Piece::Call(whole),
        Piece::Usage(USAGE),
        finish("stop"),
        Piece::End,
    ];
    assert_eq!(pieces, expected);
    body["done"] = json!(false);
    let unfinished = read_body(CHAT, body.to_string().as_bytes()).unwrap_err();
    assert_eq!(
        (unfinished.dialect, &*unfinished.place),
        ("ollama-chat", "done")
    );
}

#[test]
fn what_old_servers_leave_out_is_what_they_mean() {
    let line = json!({"model": "m", "created_at": "t", "response": "", "done": true});
    assert_eq!(
        read_line(GENERATE, &line).unwrap(),
        [finish("stop"), Piece::End]
    );
    let line = json!({"model": "m", "message": {"role": "assistant", "content": ""}, "done": true,
        "done_reason": "load"});
    assert_eq!(
        read_line(CHAT, &line).unwrap(),
        [finish("load"), Piece::End]
    );
}

#[test]
fn the_model_is_learnt_and_its_turn_is_kept() {
    let mut reader = CHAT.reader();
    let mut out = Vec::new();
    for frame in frames(turn().as_bytes()) {
        reader.frame(&frame, &mut out).unwrap();
        reader.gather(frame.data.as_ref().unwrap());
    }
    assert_eq!(reader.identity().model, "llama3.2");
    let own: Value = serde_json::from_str(&reader.own_message().unwrap()).unwrap();
    assert_eq!(
        own,
        json!({"role": "assistant", "content": "I look.", "thinking": "Hm."})
    );
    reader.gather(b"{");
    assert_eq!(reader.own_message(), None, "not known whole");
}

#[test]
fn errors_are_read_in_a_stream_a_body_and_a_response() {
    let line = json!({"error": "the runner broke"});
    let failure = Failure {
        status: 0,
        kind: FailureKind::Upstream,
        message: "the runner broke".to_owned(),
    };
    let told = [Piece::Error(failure), text(OTHER, "the runner broke")];
    assert_eq!(read_line(CHAT, &line).unwrap(), told);
    assert_eq!(read_line(GENERATE, &line).unwrap(), told);
    let body = read_body(CHAT, line.to_string().as_bytes()).unwrap();
    assert_eq!(body[..2], told);
    let of = |status, body: &str| {
        let failure = CHAT.outbound().read_error(status, body.as_bytes());
        (failure.kind, failure.message)
    };
    for (status, body, kind, message) in [
        (
            404,
            r#"{"error":"model 'x' not found"}"#,
            FailureKind::Upstream,
            "model 'x' not found",
        ),
        (
            400,
            r#"{"error":"the input exceeds the context length"}"#,
            FailureKind::ContextLength,
            "the input exceeds the context length",
        ),
        (
            503,
            r#"{"error":"server busy, please try again"}"#,
            FailureKind::Overloaded,
            "server busy, please try again",
        ),
        (
            429,
            r#"{"error":{"message":"slowly"}}"#,
            FailureKind::RateLimit,
            "slowly",
        ),
        (502, "<html>", FailureKind::Upstream, "<html>"),
    ] {
        assert_eq!(of(status, body), (kind, message.to_owned()));
    }
}
