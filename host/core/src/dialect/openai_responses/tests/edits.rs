//! Edits within one leg.

use serde_json::{Value, json};

use super::{
    answer, calls, events, frame, frames, place, read, read_body, replacing, said, well_formed,
    write, writer,
};
use crate::dialect::{CallEdit, EditError, Edits, TextEdit};
use crate::event::Channel;

/// Positions in [`answer`].
const THOUGHT: usize = 4;
const FIRST: usize = 10;
const SECOND: usize = 11;
const CALL: usize = 15;
const ARGUMENTS: [usize; 2] = [16, 17];

fn changed(arguments: &str) -> CallEdit {
    CallEdit::Change {
        index: 0,
        arguments: Some(arguments.to_owned()),
        id_said: false,
        name_said: false,
    }
}

fn of_call(edit: CallEdit) -> Edits<'static> {
    Edits {
        calls: vec![edit],
        ..Edits::default()
    }
}

#[test]
fn a_text_is_replaced_wherever_it_is_said_again() {
    let out = write(&mut *writer(), &answer(), |n, _| match n {
        FIRST => replacing(Channel::Output, "Bye \"x\"\n"),
        SECOND => replacing(Channel::Output, ""),
        THOUGHT => replacing(Channel::Reasoning, "[gone]"),
        _ => Edits::default(),
    })
    .unwrap();
    let text = String::from_utf8(out.clone()).unwrap();
    assert!(
        !text.contains("Hello") && !text.contains("world") && !text.contains("hm hm"),
        "{text}"
    );
    let again = read(&frames(&out));
    assert_eq!(said(&again, Channel::Output), "Bye \"x\"\n");
    assert_eq!(said(&again, Channel::Reasoning), "[gone]");
    assert_eq!(calls(&again), calls(&read(&answer())));
    // Three deltas change, and the four repetitions of each of the two texts; all else stays as it was.
    let changes = frames(&out)
        .iter()
        .zip(answer())
        .filter(|(new, old)| new.raw != old.raw)
        .count();
    assert_eq!(changes, 2 + 1 + 3 + 3 + 1);
    well_formed(&out, "replaced");
    let tail = events(&out).pop().unwrap();
    assert_eq!(tail["response"]["instructions"], "be kind");
}

#[test]
fn the_text_that_only_a_repetition_adds_is_replaced_there_and_later() {
    let all: Vec<_> = [
        json!({"type": "response.output_text.delta", "output_index": 0, "delta": "Hello"}),
        json!({"type": "response.output_text.done", "output_index": 0, "text": "Hello secret"}),
        json!({"type": "response.completed", "response": {"output": [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello secret"}]}]}}),
    ]
    .into_iter()
    .map(frame)
    .collect();
    let out = write(&mut *writer(), &all, |n, _| match n {
        1 => replacing(Channel::Output, " [x]"),
        _ => Edits::default(),
    })
    .unwrap();
    let told = events(&out);
    assert_eq!(told[0]["delta"], "Hello");
    assert_eq!(told[1]["text"], "Hello [x]");
    assert_eq!(
        told[2]["response"]["output"][0]["content"][0]["text"],
        "Hello [x]"
    );
}

#[test]
fn a_denied_call_leaves_nowhere() {
    let out = write(&mut *writer(), &answer(), |n, _| match n {
        CALL => of_call(CallEdit::Drop),
        n if ARGUMENTS.contains(&n) => of_call(CallEdit::Drop),
        _ => Edits::default(),
    })
    .unwrap();
    let text = String::from_utf8(out.clone()).unwrap();
    assert!(!text.contains("fc_1") && !text.contains("path"), "{text}");
    well_formed(&out, "denied");
    assert_eq!(
        events(&out).last().unwrap()["response"]["output"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn items_after_a_denied_call_are_counted_without_it() {
    let call = |id: &str| json!({"type": "function_call", "id": id, "call_id": id, "name": "f", "arguments": "{}"});
    let message = json!({"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "after"}]});
    let item = |name: &str, at: u32, item: &Value| json!({"type": format!("response.output_item.{name}"), "output_index": at, "item": item});
    let all: Vec<_> = [
        item("added", 0, &call("a")),
        item("done", 0, &call("a")),
        item("added", 1, &call("b")),
        item("done", 1, &call("b")),
        item("added", 2, &json!({"type": "message", "id": "m", "role": "assistant", "content": []})),
        json!({"type": "response.content_part.added", "output_index": 2, "content_index": 0, "part": {"type": "output_text", "text": ""}}),
        json!({"type": "response.output_text.delta", "output_index": 2, "delta": "after"}),
        json!({"type": "response.output_text.done", "output_index": 2, "text": "after"}),
        json!({"type": "response.content_part.done", "output_index": 2, "part": message["content"][0]}),
        item("done", 2, &message),
        json!({"type": "response.completed", "response": {"output": [call("a"), call("b"), message]}}),
    ]
    .into_iter()
    .enumerate()
    .map(|(n, mut event)| {
        event["sequence_number"] = (n + 1).into();
        frame(event)
    })
    .collect();
    let begun = frame(
        json!({"type": "response.created", "sequence_number": 0, "response": {"id": "r", "output": []}}),
    );
    let all: Vec<_> = std::iter::once(begun).chain(all).collect();
    let out = write(&mut *writer(), &all, |n, _| match n {
        1 => of_call(CallEdit::Drop),
        3 => of_call(CallEdit::Keep),
        _ => Edits::default(),
    })
    .unwrap();
    well_formed(&out, "renumbered");
    let told = events(&out);
    assert_eq!(told[1]["item"]["call_id"], "b");
    assert_eq!(told[1]["output_index"], 0);
    assert_eq!(told[3]["output_index"], 1);
    // The same, where it is the list alone that says them.
    let last = frame(
        json!({"type": "response.completed", "response": {"output": [call("a"), call("b"), message]}}),
    );
    let edits = Edits {
        calls: vec![CallEdit::Drop, CallEdit::Keep],
        ..replacing(Channel::Output, "other")
    };
    let out = writer().frame(&last, &edits).unwrap().unwrap();
    let told = events(&out);
    let output = &told[0]["response"]["output"];
    assert_eq!(output[0]["call_id"], "b");
    assert_eq!(output[1]["content"][0]["text"], "other");
}

#[test]
fn a_calls_arguments_are_replaced_wherever_they_are_said() {
    let out = write(&mut *writer(), &answer(), |n, _| match n {
        CALL => of_call(changed("{\"path\":\"/tmp\"}")),
        n if ARGUMENTS.contains(&n) => of_call(changed("")),
        _ => Edits::default(),
    })
    .unwrap();
    let again = read(&frames(&out));
    assert_eq!(
        calls(&again),
        [["rm", "call_1", "{\"path\":\"/tmp\"}"].map(str::to_owned)]
    );
    assert_eq!(
        String::from_utf8(out.clone())
            .unwrap()
            .matches("/tmp")
            .count(),
        4
    );
    well_formed(&out, "rewritten");
    let body = writer().body_of_stream(&frames(&out)).unwrap();
    assert_eq!(calls(&read_body(&body))[0][2], "{\"path\":\"/tmp\"}");
}

#[test]
fn probabilities_go_with_the_text_that_they_repeat() {
    let tokens = json!([{"token": "Hello", "logprob": 0}]);
    let part = json!({"type": "output_text", "text": "Hello", "logprobs": tokens});
    let all: Vec<_> = [
        json!({"type": "response.output_text.delta", "output_index": 0, "delta": "Hello", "logprobs": tokens}),
        json!({"type": "response.output_text.done", "output_index": 0, "text": "Hello", "logprobs": tokens}),
        json!({"type": "response.content_part.done", "output_index": 0, "part": part}),
    ]
    .into_iter()
    .map(frame)
    .collect();
    let out = write(&mut *writer(), &all, |n, _| match n {
        0 => replacing(Channel::Output, "x"),
        _ => Edits::default(),
    })
    .unwrap();
    assert!(!String::from_utf8(out.clone()).unwrap().contains("Hello"));
    let told = events(&out);
    assert_eq!(
        (
            &told[0]["logprobs"],
            &told[1]["logprobs"],
            &told[2]["part"]["logprobs"]
        ),
        (&json!([]), &json!([]), &json!([]))
    );
    // Where the text stays they stay.
    let same = write(&mut *writer(), &all, |n, _| match n {
        0 => replacing(Channel::Output, "Hello"),
        _ => Edits::default(),
    })
    .unwrap();
    assert_eq!(same, super::joined(&all));
}

#[test]
fn a_thought_with_encrypted_content_is_not_edited() {
    let sealed = |at: &str| {
        let mut all = answer();
        let item = json!({"id": "rs_1", "type": "reasoning", "encrypted_content": "gAAAAABpPB8iV8e6ZyQ0LAGthckz",
            "summary": if at == "added" { json!([]) } else { json!([{"type": "summary_text", "text": "hm hm"}]) }});
        let n = if at == "added" { 2 } else { 7 };
        all[n] = frame(
            json!({"type": format!("response.output_item.{at}"), "output_index": 0, "item": item}),
        );
        write(&mut *writer(), &all, |n, _| match n {
            THOUGHT => replacing(Channel::Reasoning, "x"),
            _ => Edits::default(),
        })
    };
    for at in ["added", "done"] {
        assert!(
            matches!(sealed(at), Err(EditError::Impossible { .. })),
            "{at}"
        );
    }
}

#[test]
fn texts_beside_the_models_own_word_are_replaced_in_all_places() {
    let annotation = json!({"type": "url_citation", "url": "https://bad.test", "title": "t"});
    let all: Vec<_> = [
        json!({"type": "response.output_text.annotation.added", "output_index": 0, "content_index": 0, "annotation_index": 0, "annotation": annotation}),
        json!({"type": "response.content_part.done", "output_index": 0, "part": {"type": "output_text", "text": "", "annotations": [annotation]}}),
        json!({"type": "error", "code": "c", "message": "secret words"}),
        json!({"type": "response.failed", "response": {"output": [], "error": {"code": "c", "message": "secret words"}}}),
    ]
    .into_iter()
    .map(frame)
    .collect();
    let out = write(&mut *writer(), &all, |n, _| match n {
        0 | 2 => replacing(Channel::Other, "[gone]"),
        _ => Edits::default(),
    })
    .unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        !text.contains("bad.test") && !text.contains("secret"),
        "{text}"
    );
    assert_eq!(text.matches("[gone]").count(), 4);
}

#[test]
fn an_edit_of_what_is_not_there_fails() {
    for (n, edits) in [
        (SECOND, replacing(Channel::Refusal, "x")),
        (12, replacing(Channel::Output, "x")),
        (
            CALL,
            Edits {
                calls: vec![CallEdit::Keep, CallEdit::Drop],
                ..Edits::default()
            },
        ),
    ] {
        let edited = write(&mut *writer(), &answer(), |at, _| {
            if at == n {
                edits.clone()
            } else {
                Edits::default()
            }
        });
        assert!(edited.is_err(), "{n}");
    }
    let done = frames(b"data: [DONE]\n\n").remove(0);
    assert!(
        writer()
            .frame(&done, &replacing(Channel::Output, "x"))
            .is_err()
    );
}

#[test]
fn with_nobody_to_judge_what_cannot_be_read_passes() {
    let mut writer = writer();
    for raw in [
        "data: <html>\n\n",
        "data: {\"type\":\"response.completed\"}\n\n",
        "data: [DONE]\n\n",
        ": x\n\n",
    ] {
        for frame in frames(raw.as_bytes()) {
            assert_eq!(
                writer.frame(&frame, &Edits::default()).unwrap().unwrap(),
                raw
            );
        }
    }
    assert!(
        writer
            .frame(&answer()[FIRST], &replacing(Channel::Output, "x"))
            .is_err()
    );
}

#[test]
fn a_bare_event_gets_its_name_again() {
    let bare: Vec<_> = answer().iter().map(|frame| frame.bare()).collect();
    let out = write(&mut *writer(), &bare, |_, _| Edits::default()).unwrap();
    assert_eq!(out, super::joined(&answer()));
    let odd = frames(b"data: {\"type\":\"a\\nevent: b\"}\n\n").remove(0);
    assert_eq!(
        writer().frame(&odd, &Edits::default()).unwrap().unwrap(),
        odd.raw
    );
}

#[test]
fn a_body_is_edited_like_the_stream() {
    let body = writer().body_of_stream(&answer()).unwrap();
    let edits = Edits {
        texts: vec![
            TextEdit {
                place: place(Channel::Output),
                text: "Bye".into(),
            },
            TextEdit {
                place: place(Channel::Reasoning),
                text: "hmm".into(),
            },
        ],
        calls: vec![changed("{\"x\":1}")],
        ..Edits::default()
    };
    let out = writer().body(&body.clone().into(), &edits).unwrap();
    let pieces = read_body(&out);
    assert_eq!(said(&pieces, Channel::Output), "Bye");
    assert_eq!(said(&pieces, Channel::Reasoning), "hmm");
    assert_eq!(calls(&pieces)[0][2], "{\"x\":1}");
    let denied = writer()
        .body(&body.clone().into(), &of_call(CallEdit::Drop))
        .unwrap();
    assert!(calls(&read_body(&denied)).is_empty());
    assert!(!String::from_utf8_lossy(&denied).contains("fc_1"));
    assert_eq!(
        writer()
            .body(&body.clone().into(), &Edits::default())
            .unwrap(),
        body
    );
    // Two messages: the first one gets all of the text.
    let two = json!({"output": [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]}], "output_text": "ab"});
    let out = writer()
        .body(&two.to_string().into(), &replacing(Channel::Output, "c"))
        .unwrap();
    let out: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(out["output"][0]["content"][0]["text"], "c");
    assert_eq!(out["output"][1]["content"][0]["text"], "");
    assert_eq!(out["output_text"], "c");
}

#[test]
fn what_could_not_be_written_is_not_said_in_the_error_that_follows() {
    // The edit of a thought fails at the end of its item, since that is sealed there.
    let mut all = answer();
    all[7] = frame(
        json!({"type": "response.output_item.done", "output_index": 0, "sequence_number": 7, "item": {"id": "rs_1", "type": "reasoning",
        "encrypted_content": "gAAAAABpPB8iV8e6ZyQ0LAGthckz", "summary": [{"type": "summary_text", "text": "hm hm"}]}}),
    );
    let mut writer = writer();
    let edits = |n: usize| match n {
        THOUGHT => replacing(Channel::Reasoning, "x"),
        _ => Edits::default(),
    };
    let mut out = Vec::new();
    for (n, frame) in all[..7].iter().enumerate() {
        out.extend_from_slice(&writer.frame(frame, &edits(n)).unwrap().unwrap());
    }
    assert!(writer.frame(&all[7], &Edits::default()).is_err());
    assert!(
        writer.frame(&all[8], &Edits::default()).is_err(),
        "nothing more leaves"
    );
    assert!(
        writer
            .frame(&all[10], &replacing(Channel::Output, "x"))
            .is_err()
    );
    // An edit of what the end alone says fails too: none of it leaves in the error.
    let mut writer = super::writer();
    let mut last: Value =
        serde_json::from_slice(answer().pop().unwrap().data.as_deref().unwrap()).unwrap();
    last["response"]["note"] = "unjudged".into();
    out.clear();
    out.extend_from_slice(
        &writer
            .frame(&answer()[0], &Edits::default())
            .unwrap()
            .unwrap(),
    );
    assert!(
        writer
            .frame(&frame(last), &replacing(Channel::Refusal, "x"))
            .is_err()
    );
    let error = crate::dialect::ClientError {
        status: 403,
        kind: crate::event::FailureKind::Upstream,
        message: "blocked".into(),
        code: "content_filter".into(),
        origin: None,
    };
    out.extend_from_slice(&writer.error(&error));
    let text = String::from_utf8(out.clone()).unwrap();
    assert!(
        !text.contains("Hello") && !text.contains("unjudged") && !text.contains("fc_1"),
        "{text}"
    );
    let numbers: Vec<_> = events(&out)
        .iter()
        .map(|event| event["sequence_number"].clone())
        .collect();
    assert_eq!(numbers, [0, 1, 2]);
}

#[test]
fn what_does_not_read_as_meant_does_not_leave() {
    use crate::dialect::openai_responses::proof::{Called, Meant};
    let pieces = read(&answer());
    let meant = |text: &str, arguments: &str| {
        let mut meant = Meant::default();
        meant.text(place(Channel::Output), "Hello");
        meant.text(place(Channel::Output), text);
        meant.text(place(Channel::Reasoning), "hm hm");
        for (id, name, arguments) in [
            (Some("call_1"), Some("rm"), ""),
            (None, None, "{\"path\""),
            (None, None, arguments),
        ] {
            meant.call(Called {
                kind: crate::dialect::CallKind::Function,
                id: id.map(str::to_owned),
                name: name.map(str::to_owned),
                arguments: arguments.to_owned(),
            });
        }
        meant.reads(&pieces)
    };
    assert!(meant(" world", ":\"/\"}").is_ok());
    assert!(meant(" there", ":\"/\"}").is_err());
    assert!(meant(" world", ":\"~\"}").is_err());
    assert!(Meant::default().reads(&pieces).is_err());
}
