//! Whole bodies: read, edited, ended, and made of streams and into them.

use super::*;
use crate::dialect::{Ending, Partial, Slot};

fn body() -> Value {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": SIGNED},
        {"type": "text", "text": "I tidy. "},
        {"type": "text", "text": "Now.", "citations": [{"type": "char_location", "cited_text": "so"}]},
        {"type": "tool_use", "id": "t1", "name": "rm", "input": {"path": "/"}},
        {"type": "tool_use", "id": "t2", "name": "ls", "input": {}}],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 3, "cache_read_input_tokens": 7, "output_tokens": 9}})
}

fn edit(body: &str, edits: &Edits<'_>) -> String {
    let written = writer().body(&Bytes::copy_from_slice(body.as_bytes()), edits);
    String::from_utf8(written.unwrap().to_vec()).unwrap()
}

#[test]
fn a_body_is_read_as_its_stream_is() {
    let body = body().to_string();
    let whole = read_body(body.as_bytes()).unwrap();
    assert_eq!(said(&whole, Channel::Output), "I tidy. Now.");
    assert_eq!(said(&whole, Channel::Other), "so");
    assert_eq!(
        calls(&whole),
        [["rm", "t1", "{\"path\":\"/\"}"], ["ls", "t2", "{}"]]
    );
    assert!(
        whole
            .iter()
            .all(|p| !matches!(p, Piece::Call(part) if part.slot != Slot::Whole))
    );
    assert_eq!(whole.last(), Some(&Piece::End));
    let stream = writer().stream_of_body(body.as_bytes()).unwrap();
    let streamed = read(&stream).unwrap();
    for channel in [Channel::Output, Channel::Reasoning, Channel::Other] {
        assert_eq!(said(&streamed, channel), said(&whole, channel));
    }
    assert_eq!(calls(&streamed)[0], calls(&whole)[0]);
    assert_eq!(finish(&streamed), finish(&whole));
    events(std::str::from_utf8(&stream).unwrap());
    let again = writer().body_of_stream(&frames(&stream)).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&again).unwrap(),
        serde_json::from_str::<Value>(&body).unwrap()
    );
}

#[test]
fn an_untouched_body_keeps_its_bytes_and_an_edited_one_all_others() {
    let source = body().to_string().replace("\"role\":", " \"role\" : ");
    assert_eq!(edit(&source, &Edits::default()), source);
    let written = edit(&source, &replacing(Channel::Output, "I tidy. Later."));
    assert_eq!(written, source.replace("\"Now.\"", "\"Later.\""));
    // What bears nothing any more goes, unless it cites.
    let written = edit(&source, &replacing(Channel::Output, "Now."));
    let written: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(written["content"][1]["text"], "Now.");
    let error = writer().body(&source.clone().into(), &replacing(Channel::Reasoning, "x"));
    assert!(error.is_err());
}

#[test]
fn calls_of_a_body_are_left_out_and_rewritten() {
    let source = body().to_string();
    let calls_edited = |first: CallEdit, second: CallEdit| Edits {
        calls: vec![first, second],
        ..Edits::default()
    };
    let written = edit(
        &source,
        &calls_edited(CallEdit::Drop, changed(0, Some(" {\"a\": 1} "))),
    );
    let pieces = read_body(written.as_bytes()).unwrap();
    assert_eq!(calls(&pieces), [["ls", "t2", "{\"a\": 1}"]]);
    assert_eq!(finish(&pieces), Some("tool_use"));
    let written = edit(&source, &calls_edited(CallEdit::Drop, CallEdit::Drop));
    let pieces = read_body(written.as_bytes()).unwrap();
    assert_eq!(calls(&pieces), Vec::<[String; 3]>::new());
    assert_eq!(finish(&pieces), Some("end_turn"));
    let no_object = calls_edited(changed(0, Some("rm -rf")), CallEdit::Keep);
    assert!(writer().body(&source.into(), &no_object).is_err());
}

#[test]
fn what_earlier_legs_said_stands_before_the_text() {
    let before = |channel| TextEdit {
        place: place(channel),
        text: "First. ".to_owned(),
    };
    let identity = identity();
    let usage = crate::event::Usage {
        input: 50,
        output: 20,
        exact: true,
        ..Default::default()
    };
    let edits = Edits {
        before: vec![before(Channel::Output), before(Channel::Reasoning)],
        identity: Some(&identity),
        usage: Some(usage),
        ..Edits::default()
    };
    let written: Value = serde_json::from_str(&edit(&body().to_string(), &edits)).unwrap();
    assert_eq!(written["content"][1]["text"], "First. I tidy. ");
    assert_eq!(written["content"][0]["thinking"], "Hm.");
    assert_eq!(written["id"], "msg_own");
    assert_eq!(written["usage"]["input_tokens"], 50);
    let mut silent = body();
    silent["content"] = json!([silent["content"][0], silent["content"][3]]);
    let written: Value = serde_json::from_str(&edit(&silent.to_string(), &edits)).unwrap();
    assert_eq!(
        written["content"][1],
        json!({"type": "text", "text": "First. "})
    );
    assert_eq!(written["content"][2]["id"], "t1");
}

#[test]
fn a_body_ends_otherwise_with_its_mark() {
    let ending = Ending::Partial(Partial {
        reason: "enough".to_owned(),
        confidence: Some(0.5),
        policy: "p".to_owned(),
    });
    let written = writer()
        .end_body(body().to_string().as_bytes(), &ending)
        .unwrap();
    let written: Value = serde_json::from_slice(&written).unwrap();
    assert_eq!(written["stop_reason"], "max_tokens");
    assert_eq!(written["airlock"]["policy"], "p");
    assert_eq!(written["content"], body()["content"]);
    // The mark stands where a stream of it ends.
    let stream = writer()
        .stream_of_body(written.to_string().as_bytes())
        .unwrap();
    let events = events(std::str::from_utf8(&stream).unwrap());
    let last = events
        .iter()
        .find(|e| e["type"] == "message_delta")
        .unwrap();
    assert_eq!(last["airlock"]["partial"], true);
}

#[test]
fn errors_are_reshaped_as_errors() {
    let error = r#"{"type":"error","error":{"type":"api_error","message":"oops"}}"#;
    let stream = writer().stream_of_body(error.as_bytes()).unwrap();
    assert!(stream.starts_with(b"event: error\n"), "{stream:?}");
    let body = writer().body_of_stream(&frames(&stream)).unwrap();
    assert_eq!(body, error.as_bytes());
    let pieces = read_body(error.as_bytes()).unwrap();
    assert!(matches!(pieces[0], Piece::Error(_)) && pieces.last() == Some(&Piece::End));
    let edited = edit(error, &replacing(Channel::Other, "withheld"));
    assert!(edited.contains("withheld") && !edited.contains("oops"));
}

#[test]
fn a_stream_that_has_no_end_or_cannot_be_read_is_no_body() {
    let whole = message(&[call(0, "t", "ls", &["{\"a\":"])], "max_tokens");
    for stream_text in [
        stream(&whole[..whole.len() - 1]),
        // Half of an input is none.
        stream(&whole),
        String::new(),
    ] {
        assert!(
            writer()
                .body_of_stream(&frames(stream_text.as_bytes()))
                .is_err()
        );
    }
    let whole = stream(&message(&[call(0, "t", "ls", &[""])], "tool_use")) + "data: [DONE]\n\n";
    let body = writer().body_of_stream(&frames(whole.as_bytes())).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["content"][0]["input"], json!({}));
    assert_eq!(body["usage"]["input_tokens"], 10);
    assert_eq!(body["usage"]["output_tokens"], 7);
}
