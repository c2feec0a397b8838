//! Several legs in one stream: one beginning, running numbers, one end.

use super::*;
use crate::event::Usage;

/// Writes the frames of a leg that goes on: what would end it comes with `goes_on`, or not at all.
fn first_leg(writer: &mut dyn Writer, events: &[Value], strip: bool) -> String {
    let kept = events.iter().filter(|event| {
        let ends = matches!(
            event["type"].as_str(),
            Some("message_delta" | "message_stop")
        );
        !(strip && ends)
    });
    let kept: Vec<Value> = kept.cloned().collect();
    write(writer, &stream(&kept), |data| {
        let is_call = data["content_block"]["type"] == "tool_use"
            || data["delta"]["type"] == "input_json_delta";
        Edits {
            calls: if is_call {
                vec![CallEdit::Drop]
            } else {
                Vec::new()
            },
            goes_on: matches!(
                data["type"].as_str(),
                Some("message_delta" | "message_stop")
            ),
            ..Edits::default()
        }
    })
}

fn later_leg(writer: &mut dyn Writer, events: &[Value], identity: &Identity) -> String {
    let all = Usage {
        input: 40,
        output: 14,
        exact: true,
        ..Usage::default()
    };
    write(writer, &stream(events), |data| Edits {
        identity: Some(identity),
        usage: data.get("usage").is_some().then_some(all),
        ..Edits::default()
    })
}

#[test]
fn two_legs_are_one_message() {
    for strip in [true, false] {
        let mut writer = writer();
        writer.meet(&Identity {
            id: "msg_1".to_owned(),
            model: "claude-x".to_owned(),
            ..Identity::default()
        });
        let identity = writer.identity().clone();
        let first = message(
            &[
                thinking(0, "Hm."),
                text(1, &["I tidy. "]),
                call(2, "t1", "rm", &["{}"]),
            ],
            "tool_use",
        );
        let mut second = vec![start("msg_2")];
        second.extend(thinking(0, "No."));
        second.extend(text(1, &["I may not."]));
        second.extend(call(2, "t2", "ls", &["{}"]));
        second.extend(end("tool_use"));
        let mut written = first_leg(&mut *writer, &first, strip);
        written.push_str(&later_leg(&mut *writer, &second, &identity));
        assert!(
            !written.contains("msg_2") && !written.contains("t1"),
            "{written}"
        );
        let pieces = read(written.as_bytes()).unwrap();
        assert_eq!(said(&pieces, Channel::Output), "I tidy. I may not.");
        assert_eq!(said(&pieces, Channel::Reasoning), "Hm.No.");
        assert_eq!(calls(&pieces), [["ls", "t2", "{}"]]);
        let ends = pieces
            .iter()
            .filter(|p| matches!(p, Piece::Finish { .. } | Piece::End));
        assert_eq!(ends.count(), 2);
        let events = events(&written);
        let begins: Vec<_> = events
            .iter()
            .filter(|e| e["type"] == "content_block_start")
            .map(|e| e["index"].as_u64().unwrap())
            .collect();
        assert_eq!(begins, [0, 1, 2, 3, 4]);
        let ends = events
            .iter()
            .find(|e| e["type"] == "message_delta")
            .unwrap();
        assert_eq!(ends["usage"]["input_tokens"], 40);
    }
}

#[test]
fn a_leg_after_one_that_broke_off_goes_on_in_its_empty_text() {
    let opened = [
        start("msg_1"),
        begin(0, json!({"type": "text", "text": ""})),
    ];
    let mut again = vec![start("msg_2")];
    again.extend(text(0, &["Here."]));
    again.extend(end("end_turn"));
    let mut writer = writer();
    let mut written = write(&mut *writer, &stream(&opened), |_| Edits::default());
    let identity = identity();
    written.push_str(&later_leg(&mut *writer, &again, &identity));
    let begins = events(&written);
    let begins = begins.iter().filter(|e| e["type"] == "content_block_start");
    assert_eq!(begins.count(), 1);
    assert_eq!(
        said(&read(written.as_bytes()).unwrap(), Channel::Output),
        "Here."
    );
}

#[test]
fn what_a_broken_leg_left_open_is_closed() {
    let opened = [
        start("msg_1"),
        begin(
            0,
            json!({"type": "thinking", "thinking": "", "signature": ""}),
        ),
    ];
    for again in [text(0, &["Here."]), Vec::new()] {
        let mut leg = vec![start("msg_2")];
        leg.extend(again);
        leg.extend(end("end_turn"));
        let mut writer = writer();
        let mut written = write(&mut *writer, &stream(&opened), |_| Edits::default());
        written.push_str(&later_leg(&mut *writer, &leg, &identity()));
        let pieces = read(written.as_bytes()).unwrap();
        assert_eq!(finish(&pieces), Some("end_turn"));
        let stops = events(&written);
        let stops = stops.iter().filter(|e| e["type"] == "content_block_stop");
        assert!(stops.count() >= 1);
    }
}

#[test]
fn a_first_leg_that_the_client_saw_nothing_of_begins_the_message() {
    let mut writer = writer();
    let whole = stream(&message(&[text(0, &["Hi."])], "end_turn"));
    let identity = identity();
    let written = write(&mut *writer, &whole, |_| Edits {
        identity: Some(&identity),
        ..Edits::default()
    });
    let events = events(&written);
    assert_eq!(events[0]["message"]["id"], "msg_own");
    assert_eq!(events[0]["message"]["model"], "claude-own");
    // A beginning that nobody counts as a further leg is the client's own, though another was written before it.
    let written = write(&mut *writer, &whole, |_| Edits::default());
    assert_eq!(written, whole);
}

#[test]
fn blocks_with_which_a_message_begins_are_read_and_edited() {
    let mut first = start("msg_1");
    first["message"]["content"] = json!([
        {"type": "tool_use", "id": "t1", "name": "rm", "input": {"p": 1}},
        {"type": "tool_use", "id": "t2", "name": "ls", "input": {}}]);
    first["message"]["stop_reason"] = json!("tool_use");
    let whole = stream(&[first, json!({"type": "message_stop"})]);
    let pieces = read(whole.as_bytes()).unwrap();
    assert_eq!(
        calls(&pieces),
        [["rm", "t1", "{\"p\":1}"], ["ls", "t2", "{}"]]
    );
    assert_eq!(finish(&pieces), Some("tool_use"));
    assert_eq!(write(&mut *writer(), &whole, |_| Edits::default()), whole);
    let both = |first: CallEdit, second: CallEdit| Edits {
        calls: vec![first, second],
        ..Edits::default()
    };
    let written = write(&mut *writer(), &whole, |data| {
        match data["message"].is_object() {
            true => both(CallEdit::Drop, changed(0, Some("{\"q\":2}"))),
            false => Edits::default(),
        }
    });
    let pieces = read(written.as_bytes()).unwrap();
    assert_eq!(calls(&pieces), [["ls", "t2", "{\"q\":2}"]]);
    // A leg that begins so cannot be put behind another one.
    let mut writer = writer();
    writer
        .frame(&frames(event(&start("m")).as_bytes())[0], &Edits::default())
        .unwrap();
    let identity = identity();
    let edits = Edits {
        identity: Some(&identity),
        ..Edits::default()
    };
    assert!(writer.frame(&frames(whole.as_bytes())[0], &edits).is_err());
}
