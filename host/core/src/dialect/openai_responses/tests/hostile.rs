//! Streams and bodies that are meant to be read in two ways.

use serde_json::{Value, json};

use super::{answer, frame, frames, said, try_read};
use crate::dialect::openai_responses::OpenAiResponses;
use crate::dialect::{Dialect as _, Piece};
use crate::event::Channel;

fn refused(events: &[Value]) -> bool {
    let all: Vec<_> = events.iter().cloned().map(frame).collect();
    try_read(&all).is_err()
}

fn delta(at: u32, text: &str) -> Value {
    json!({"type": "response.output_text.delta", "output_index": at, "content_index": 0, "delta": text})
}

fn arguments(text: &str) -> Value {
    json!({"type": "response.function_call_arguments.delta", "output_index": 0, "delta": text})
}

fn call(name: &str, id: &str, arguments: &str) -> Value {
    json!({"type": "function_call", "id": "f", "call_id": id, "name": name, "arguments": arguments})
}

fn item(state: &str, at: u32, item: Value) -> Value {
    json!({"type": format!("response.output_item.{state}"), "output_index": at, "item": item})
}

fn message(text: &str) -> Value {
    json!({"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": text}]})
}

fn ended(output: Value) -> Value {
    json!({"type": "response.completed", "response": {"id": "r", "status": "completed", "output": output}})
}

#[test]
fn a_repetition_that_says_something_else_is_refused() {
    let said = delta(0, "good");
    for other in [
        json!({"type": "response.output_text.done", "output_index": 0, "text": "evil"}),
        json!({"type": "response.content_part.done", "output_index": 0, "part": {"type": "output_text", "text": "evil"}}),
        item("done", 0, message("evil")),
        ended(json!([message("evil")])),
        // Shorter is something else too.
        ended(json!([message("goo")])),
        ended(json!([call("f", "c", "{}")])).clone(),
    ] {
        let is_call = other.to_string().contains("function_call");
        assert_eq!(refused(&[said.clone(), other.clone()]), !is_call, "{other}");
    }
    let begun = [
        item("added", 0, call("ls", "c", "")),
        arguments("{\"a\":1}"),
    ];
    for other in [
        item("done", 0, call("ls", "c", "{\"a\":2}")),
        item("done", 0, call("ls", "c", "")),
        item("done", 0, call("rm", "c", "{\"a\":1}")),
        item("done", 0, call("ls", "d", "{\"a\":1}")),
        ended(json!([call("ls", "c", "{}")])),
        ended(json!([call("rm", "c", "{\"a\":1}")])),
        json!({"type": "response.function_call_arguments.done", "output_index": 0, "arguments": "{}"}),
        item("done", 0, message("x")),
    ] {
        let mut all = begun.to_vec();
        all.push(other.clone());
        assert!(refused(&all), "{other}");
    }
}

#[test]
fn what_goes_on_after_its_end_is_refused() {
    let whole = json!({"type": "response.output_text.done", "output_index": 0, "text": "a"});
    assert!(refused(&[delta(0, "a"), whole, delta(0, "b")]));
    assert!(refused(&[
        delta(0, "a"),
        item("done", 0, message("a")),
        delta(0, "b")
    ]));
    let other = json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 1, "delta": "b"});
    assert!(refused(&[
        delta(0, "a"),
        item("done", 0, message("a")),
        other
    ]));
    for more in [
        delta(0, "b"),
        item("added", 1, message("b")),
        ended(json!([])),
    ] {
        assert!(refused(&[ended(json!([])), more.clone()]), "{more}");
    }
    let begins = json!({"type": "response.created", "response": {"id": "r", "output": []}});
    assert!(refused(&[begins.clone(), begins.clone()]));
    assert!(!refused(&[begins.clone(), ended(json!([])), begins]));
}

#[test]
fn texts_that_are_said_in_turn_are_refused() {
    // Judged as they come they read `seXcret`, and a client reads `secret` in the first.
    assert!(refused(&[delta(0, "se"), delta(1, "X"), delta(0, "cret")]));
    // Judged as they come they read `cretse`.
    let list = json!([{"type": "message", "id": "b", "content": []}, {"type": "message", "id": "a", "content": []}]);
    let begun = |at: u32, id: &str| {
        item(
            "added",
            at,
            json!({"type": "message", "id": id, "content": []}),
        )
    };
    assert!(refused(&[
        begun(0, "a"),
        begun(1, "b"),
        delta(0, "cret"),
        delta(1, "se"),
        ended(list)
    ]));
}

#[test]
fn events_that_name_no_item_or_the_wrong_one_are_refused() {
    for event in [
        json!({"type": "response.output_text.delta", "delta": "a"}),
        json!({"type": "response.output_text.delta", "output_index": "0", "delta": "a"}),
        json!({"type": "response.output_text.delta", "output_index": -1, "delta": "a"}),
        json!({"type": "response.output_text.delta", "output_index": 0, "delta": {"text": "a"}}),
        json!({"type": "response.output_text.delta", "output_index": 0, "content_index": "x", "delta": "a"}),
        json!({"type": 7, "delta": "a"}),
        json!({"type": "response.completed"}),
        json!({"type": "response.completed", "response": "text"}),
        json!({"type": "response.completed", "response": {"output": "text"}}),
        json!({"type": "response.completed", "response": {"output": [{"no": "type"}]}}),
        item("added", 0, json!("text")),
        item("added", 0, json!({"type": "two words"})),
        item(
            "added",
            0,
            json!({"type": "function_call", "name": {"x": 1}}),
        ),
        item(
            "added",
            0,
            json!({"type": "function_call", "arguments": {"x": 1}}),
        ),
    ] {
        assert!(refused(std::slice::from_ref(&event)), "{event}");
    }
    let begun = item("added", 0, call("f", "c", ""));
    assert!(refused(&[begun.clone(), delta(0, "text in a call")]));
    assert!(refused(&[
        begun,
        json!({"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": "x"})
    ]));
}

#[test]
fn keys_that_stand_twice_are_refused() {
    for data in [
        r#"{"type":"response.output_text.delta","output_index":0,"delta":"a","delta":"b"}"#,
        r#"{"type":"response.output_text.delta","output_index":0,"delta":"a","Delta":"b"}"#,
        r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","name":"a","name":"b"}}"#,
        r#"{"type":"response.content_part.done","output_index":0,"part":{"type":"output_text","text":"a","text":"b"}}"#,
        r#"{"type":"response.completed","response":{"output":[],"output":[{"type":"message"}]}}"#,
        r#"{"type":"response.completed","response":{"output":[{"type":"x","a":{"b":1,"b":"c"}}]}}"#,
    ] {
        let frame = frames(format!("data: {data}\n\n").as_bytes());
        assert!(try_read(&frame).is_err(), "{data}");
    }
}

#[test]
fn text_in_odd_fields_is_text() {
    let read = |event: Value| said(&try_read(&[frame(event)]).unwrap(), Channel::Other);
    let mut event = delta(0, "a");
    event["obfuscation"] = "words to hide".into();
    event["extra"] = json!({"x": ["y", {"z z": 1}]});
    assert_eq!(read(event), "words to hideyz z");
    let mut event = ended(json!([]));
    event["note"] = "beside".into();
    event["response"]["note"] = "inside".into();
    event["response"]["incomplete_details"] = json!({"reason": "because of you"});
    let heard = read(event);
    for said in ["beside", "inside", "because of you"] {
        assert!(heard.contains(said), "{heard}");
    }
    let odd = item(
        "added",
        0,
        json!({"type": "message", "content": "not a list", "phase": "two words", "role": "two words"}),
    );
    assert_eq!(read(odd), "not a listtwo wordstwo words");
    let part = json!({"type": "response.content_part.added", "output_index": 0, "part": {"type": "hologram", "text": "t", "x": "u"}});
    assert_eq!(read(part), "tu");
    let mut call = call("f", "c", "{}");
    call["namespace"] = "space".into();
    assert_eq!(read(item("added", 0, call)), "space");
}

#[test]
fn an_answer_that_is_too_long_to_follow_is_refused() {
    let long = "x".repeat(9 * 1024 * 1024);
    let mut reader = OpenAiResponses.reader();
    let mut out = Vec::new();
    let frame = frame(delta(0, &long));
    let read: Vec<bool> = (0..4)
        .map(|_| reader.frame(&frame, &mut out).is_ok())
        .collect();
    assert_eq!(read, [true, true, true, false]);
}

#[test]
fn values_that_are_nested_too_deep_are_refused() {
    let mut deep = json!("x");
    for _ in 0..40 {
        deep = json!([deep]);
    }
    let mut event = ended(json!([]));
    event["deep"] = deep;
    assert!(refused(&[event]));
}

#[test]
fn a_call_that_the_list_alone_says_is_a_call() {
    let mut all = answer();
    let last: Value = serde_json::from_slice(all.pop().unwrap().data.as_deref().unwrap()).unwrap();
    let mut last = last;
    let output = last["response"]["output"].as_array_mut().unwrap();
    output.push(json!({"type": "function_call", "id": "fc_9", "call_id": "call_9", "name": "rm", "arguments": "{}"}));
    all.push(frame(last));
    let pieces = try_read(&all).unwrap();
    assert_eq!(super::calls(&pieces).len(), 2);
    assert!(!pieces.contains(&Piece::End));
}
