//! Several legs in one stream.

use serde_json::{Value, json};

use super::{
    answer, calls, events, frame, frames, identity, read, read_body, said, well_formed, write,
    writer,
};
use crate::dialect::sse::Frame;
use crate::dialect::{CallEdit, ClientError, Edits, Identity, TextEdit, Writer};
use crate::event::{Channel, FailureKind, Place, Usage};

fn first() -> Identity {
    Identity {
        id: "resp_1".into(),
        model: "m-1".into(),
        created: 1,
        ..identity()
    }
}

/// A second answer: it says something more, and makes a call that is permitted.
fn second() -> Vec<Frame> {
    let all = answer().into_iter().map(|frame| {
        let text = String::from_utf8(frame.raw.to_vec()).unwrap();
        let text = text
            .replace("resp_1", "resp_2")
            .replace("msg_1", "msg_2")
            .replace("rs_1", "rs_2")
            .replace("fc_1", "fc_2")
            .replace("call_1", "call_2")
            .replace("Hello", "Later")
            .replace("\"rm\"", "\"ls\"");
        frames(text.as_bytes()).remove(0)
    });
    all.collect()
}

fn denied(frame: &Frame) -> Edits<'static> {
    let text = String::from_utf8_lossy(&frame.raw);
    let parts = text.contains("output_item.added") && text.contains("function_call")
        || text.contains("function_call_arguments.delta");
    Edits {
        calls: parts.then_some(CallEdit::Drop).into_iter().collect(),
        goes_on: true,
        ..Edits::default()
    }
}

/// The first answer with its call denied and without its end, and the second one spliced in.
fn spliced(writer: &mut dyn Writer, known: &'static Identity) -> Vec<u8> {
    let mut one = answer();
    one.pop();
    let mut out = write(writer, &one, |n, frame| match n {
        0..=9 => Edits::default(),
        _ => denied(frame),
    })
    .unwrap();
    let total = Usage {
        input: 100,
        output: 50,
        ..Usage::default()
    };
    let more = write(writer, &second(), |_, frame| Edits {
        identity: Some(known),
        usage: String::from_utf8_lossy(&frame.raw)
            .contains("response.completed")
            .then_some(total),
        ..Edits::default()
    })
    .unwrap();
    out.extend(more);
    out
}

#[test]
fn two_legs_are_one_stream() {
    let known: &'static Identity = Box::leak(Box::new(first()));
    let mut writer = writer();
    let out = spliced(&mut *writer, known);
    let text = String::from_utf8(out.clone()).unwrap();
    assert!(
        !text.contains("call_1") && !text.contains("resp_2") && !text.contains("\"rm\""),
        "{text}"
    );
    well_formed(&out, "spliced");
    let pieces = read(&frames(&out));
    assert_eq!(said(&pieces, Channel::Output), "Hello worldLater world");
    assert_eq!(
        calls(&pieces),
        [["ls", "call_2", "{\"path\":\"/\"}"].map(str::to_owned)]
    );
    let last = events(&out).pop().unwrap();
    let kinds: Vec<&str> = last["response"]["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "reasoning",
            "message",
            "reasoning",
            "message",
            "function_call"
        ]
    );
    assert_eq!(last["response"]["usage"]["total_tokens"], 150);
    assert_eq!(last["response"]["id"], "resp_1");
    let body = writer.body_of_stream(&frames(&out)).unwrap();
    assert_eq!(
        said(&read_body(&body), Channel::Output),
        "Hello worldLater world"
    );
}

#[test]
fn an_end_that_is_the_first_to_say_something_becomes_items_where_the_answer_goes_on() {
    let known: &'static Identity = Box::leak(Box::new(first()));
    let mut writer = writer();
    let begun = answer();
    let mut out = write(&mut *writer, &begun[..1], |_, _| Edits::default()).unwrap();
    let edits = Edits {
        calls: vec![CallEdit::Drop],
        goes_on: true,
        ..Edits::default()
    };
    out.extend_from_slice(
        &writer
            .frame(&begun[begun.len() - 1], &edits)
            .unwrap()
            .unwrap(),
    );
    out.extend(
        write(&mut *writer, &second(), |_, _| Edits {
            identity: Some(known),
            ..Edits::default()
        })
        .unwrap(),
    );
    well_formed(&out, "end as items");
    let pieces = read(&frames(&out));
    assert_eq!(said(&pieces, Channel::Output), "Hello worldLater world");
    assert_eq!(calls(&pieces).len(), 1);
    assert!(!String::from_utf8(out).unwrap().contains("call_1"));
}

#[test]
fn what_a_broken_attempt_had_begun_ends_before_the_next_one() {
    let known: &'static Identity = Box::leak(Box::new(first()));
    let mut writer = writer();
    // The message has begun, and nothing of it was said.
    let mut out = write(&mut *writer, &answer()[..10], |_, _| Edits::default()).unwrap();
    out.extend(
        write(&mut *writer, &second(), |_, _| Edits {
            identity: Some(known),
            ..Edits::default()
        })
        .unwrap(),
    );
    well_formed(&out, "begun anew");
    let text = String::from_utf8(out.clone()).unwrap();
    assert!(!text.contains("resp_2"));
    assert_eq!(said(&read(&frames(&out)), Channel::Output), "Later world");
}

#[test]
fn a_later_leg_that_begins_without_its_first_event_is_one_all_the_same() {
    let known: &'static Identity = Box::leak(Box::new(first()));
    let mut writer = writer();
    let mut one = answer();
    one.pop();
    let mut out = write(&mut *writer, &one, |_, frame| denied(frame)).unwrap();
    out.extend(
        write(&mut *writer, &second()[2..], |_, _| Edits {
            identity: Some(known),
            ..Edits::default()
        })
        .unwrap(),
    );
    well_formed(&out, "without created");
    assert_eq!(
        said(&read(&frames(&out)), Channel::Output),
        "Hello worldLater world"
    );
}

#[test]
fn a_body_begins_with_what_was_said_before() {
    let body = writer().body_of_stream(&second()).unwrap();
    let known = first();
    let before = |channel, text: &str| TextEdit {
        place: Place::new(channel, 0, 0),
        text: text.to_owned(),
    };
    let edits = Edits {
        before: vec![
            before(Channel::Reasoning, "thought "),
            before(Channel::Output, "Before. "),
        ],
        identity: Some(&known),
        usage: Some(Usage {
            input: 1,
            output: 2,
            ..Usage::default()
        }),
        ..Edits::default()
    };
    let out = writer().body(&body.into(), &edits).unwrap();
    let pieces = read_body(&out);
    assert_eq!(said(&pieces, Channel::Output), "Before. Later world");
    assert_eq!(said(&pieces, Channel::Reasoning), "thought hm hm");
    let out: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(out["id"], "resp_1");
    assert_eq!(out["usage"]["total_tokens"], 3);
}

#[test]
fn denied_calls_are_gone_from_a_leg_whose_end_stands_alone() {
    // With other calls permitted the answer ends as it is, without the denied one.
    let all: Vec<Frame> = [
        json!({"type": "response.created", "response": {"id": "r", "output": []}}),
        json!({"type": "response.completed", "response": {"id": "r", "status": "completed", "output": [
            {"type": "function_call", "id": "f1", "call_id": "c1", "name": "rm", "arguments": "{}"},
            {"type": "function_call", "id": "f2", "call_id": "c2", "name": "ls", "arguments": "{}"}]}}),
    ]
    .into_iter()
    .map(frame)
    .collect();
    let out = write(&mut *writer(), &all, |n, _| match n {
        1 => Edits {
            calls: vec![CallEdit::Drop, CallEdit::Keep],
            ..Edits::default()
        },
        _ => Edits::default(),
    })
    .unwrap();
    assert_eq!(
        calls(&read(&frames(&out))),
        [["ls", "c2", "{}"].map(str::to_owned)]
    );
}

#[test]
fn what_an_end_adds_to_an_item_that_has_ended_cannot_go_on() {
    let mut all = answer();
    let mut last: Value =
        serde_json::from_slice(all.pop().unwrap().data.as_deref().unwrap()).unwrap();
    last["response"]["output"][1]["content"][0]["text"] = "Hello world, and more".into();
    let mut writer = writer();
    write(&mut *writer, &all, |_, frame| denied(frame)).unwrap();
    let edits = Edits {
        goes_on: true,
        ..Edits::default()
    };
    let more = json!({"type": "message", "id": "msg_9", "role": "assistant", "content": [{"type": "output_text", "text": "Unsent."}]});
    last["response"]["output"]
        .as_array_mut()
        .unwrap()
        .push(more);
    // The client has the item as it ended: the rest would be lost, though it counts as said.
    assert!(writer.frame(&frame(last), &edits).is_err());
    // What was written and did not leave is not said in the error that follows.
    let error = ClientError {
        status: 403,
        kind: FailureKind::Upstream,
        message: "blocked".into(),
        code: "content_filter".into(),
        origin: None,
    };
    let out = String::from_utf8(writer.error(&error).to_vec()).unwrap();
    assert!(out.contains("blocked") && !out.contains("Unsent"), "{out}");
}
