//! Streams written to a client, with one leg: texts, calls, numbers.

use super::*;
use crate::dialect::EditError;

fn two_calls() -> String {
    stream(&message(
        &[
            text(0, &["I tidy."]),
            call(1, "toolu_1", "rm", &["{\"path\":", "\"/\"}"]),
            call(2, "toolu_2", "ls", &["{}"]),
        ],
        "tool_use",
    ))
}

#[test]
fn what_nobody_edits_passes_byte_for_byte() {
    let whole = two_calls().replace("\"index\":1", "\"index\" : 1");
    assert_eq!(write(&mut *writer(), &whole, |_| Edits::default()), whole);
    let comment = frames(b": alive\n\n");
    let written = writer().frame(&comment[0], &Edits::default()).unwrap();
    assert_eq!(written.unwrap(), ": alive\n\n");
}

#[test]
fn an_event_without_its_line_gets_one() {
    let bare: String = two_calls()
        .lines()
        .filter(|line| !line.starts_with("event:"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(bare.starts_with("\ndata:") || bare.starts_with("data:"));
    assert_eq!(
        write(&mut *writer(), &bare, |_| Edits::default()),
        two_calls()
    );
}

#[test]
fn a_replaced_text_leaves_all_else_as_it_was() {
    let source = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\", \"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"secret\", \"x\":1} }\n\n";
    let mut writer = writer();
    let opening = stream(&[start("m"), begin(0, json!({"type": "text", "text": ""}))]);
    write(&mut *writer, &opening, |_| Edits::default());
    let edits = replacing(Channel::Output, "[gone]\n\"");
    let written = writer.frame(&frames(source.as_bytes())[0], &edits).unwrap();
    let expected = source.replace("\"secret\"", "\"[gone]\\n\\\"\"");
    assert_eq!(written.unwrap(), expected);
}

#[test]
fn signed_thoughts_and_places_without_text_are_not_edited() {
    let opening = stream(&[
        start("m"),
        begin(
            0,
            json!({"type": "thinking", "thinking": "", "signature": ""}),
        ),
    ]);
    let thought = event(&add(
        0,
        json!({"type": "thinking_delta", "thinking": "Hm."}),
    ));
    for (channel, what) in [
        (Channel::Reasoning, "signed"),
        (Channel::Output, "no text to replace"),
    ] {
        let mut writer = writer();
        write(&mut *writer, &opening, |_| Edits::default());
        let error = writer
            .frame(&frames(thought.as_bytes())[0], &replacing(channel, "x"))
            .unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        // Nothing was written: the frame can still pass.
        let written = writer.frame(&frames(thought.as_bytes())[0], &Edits::default());
        assert_eq!(written.unwrap().unwrap(), thought);
    }
}

#[test]
fn a_dropped_call_leaves_no_gap() {
    let written = write(&mut *writer(), &two_calls(), |data| {
        let of_second = data["index"] == 2 || data["content_block"]["id"] == "toolu_2";
        match data["type"].as_str().unwrap() {
            "content_block_start" | "content_block_delta" if data["index"] == 1 => {
                of_call(CallEdit::Drop)
            }
            "content_block_start" | "content_block_delta" if of_second => of_call(changed(0, None)),
            _ => Edits::default(),
        }
    });
    assert!(
        !written.contains("toolu_1") && !written.contains("path"),
        "{written}"
    );
    let pieces = read(written.as_bytes()).unwrap();
    assert_eq!(calls(&pieces), [["ls", "toolu_2", "{}"]]);
    assert_eq!(finish(&pieces), Some("tool_use"));
    let events = events(&written);
    let indices: Vec<_> = events.iter().filter_map(|e| e["index"].as_u64()).collect();
    assert_eq!(indices, [0, 0, 0, 1, 1, 1]);
}

#[test]
fn a_message_whose_only_calls_are_dropped_ends_its_turn() {
    let whole = stream(&message(
        &[text(0, &["No."]), call(1, "toolu_1", "rm", &["{}"])],
        "tool_use",
    ));
    let written = write(&mut *writer(), &whole, |data| {
        match data["index"].as_u64() {
            Some(1) if data["type"] != "content_block_stop" => of_call(CallEdit::Drop),
            _ => Edits::default(),
        }
    });
    let pieces = read(written.as_bytes()).unwrap();
    assert_eq!(calls(&pieces), Vec::<[String; 3]>::new());
    assert_eq!(finish(&pieces), Some("end_turn"));
}

#[test]
fn rewritten_arguments_come_as_a_delta() {
    let written = write(&mut *writer(), &two_calls(), |data| {
        match (data["type"].as_str().unwrap(), data["index"].as_u64()) {
            ("content_block_start", Some(1)) => of_call(changed(0, Some("{\"path\": \"/tmp\"}"))),
            ("content_block_delta", Some(1)) => of_call(changed(0, Some(""))),
            _ => Edits::default(),
        }
    });
    let pieces = read(written.as_bytes()).unwrap();
    let expected = [
        ["rm", "toolu_1", "{\"path\": \"/tmp\"}"],
        ["ls", "toolu_2", "{}"],
    ];
    assert_eq!(calls(&pieces), expected);
    let events = events(&written);
    let begins = events
        .iter()
        .find(|e| e["content_block"]["id"] == "toolu_1");
    assert_eq!(begins.unwrap()["content_block"]["input"], json!({}));
}

#[test]
fn arguments_that_stand_in_the_beginning_are_replaced_there() {
    let block = json!({"type": "tool_use", "id": "t", "name": "rm", "input": {"path": "/"}, "caller": {"type": "direct"}});
    let whole = stream(&message(&[vec![begin(0, block), stop(0)]], "tool_use"));
    assert_eq!(
        calls(&read(whole.as_bytes()).unwrap())[0][2],
        "{\"path\":\"/\"}"
    );
    let written = write(&mut *writer(), &whole, |data| match data["type"].as_str() {
        Some("content_block_start") => of_call(changed(0, Some("{\"path\":\"/tmp\"}"))),
        _ => Edits::default(),
    });
    let pieces = read(written.as_bytes()).unwrap();
    assert_eq!(calls(&pieces), [["rm", "t", "{\"path\":\"/tmp\"}"]]);
}

#[test]
fn edits_that_do_not_fit_the_frame_are_refused() {
    let whole = two_calls();
    let all = frames(whole.as_bytes());
    let mut writer = writer();
    for frame in &all[..4] {
        writer.frame(frame, &Edits::default()).unwrap();
    }
    // The next begins the first call.
    let many = Edits {
        calls: vec![CallEdit::Keep, CallEdit::Drop],
        ..Edits::default()
    };
    assert!(writer.frame(&all[4], &many).is_err());
    // It is the first: another number is not what its client counts.
    assert!(writer.frame(&all[4], &of_call(changed(3, None))).is_err());
    writer.frame(&all[4], &of_call(CallEdit::Drop)).unwrap();
    // More of what was left out is not let through.
    let error = writer.frame(&all[5], &Edits::default()).unwrap_err();
    assert!(matches!(error, EditError::Impossible { .. }), "{error}");
}

#[test]
fn the_usage_of_all_legs_takes_the_place_of_the_last() {
    let usage = crate::event::Usage {
        input: 30,
        output: 9,
        cached: 5,
        reasoning: 2,
        exact: true,
    };
    let written = write(&mut *writer(), &two_calls(), |data| Edits {
        usage: (data["type"] == "message_delta").then_some(usage),
        ..Edits::default()
    });
    let pieces = read(written.as_bytes()).unwrap();
    assert!(pieces.contains(&Piece::Usage(usage)), "{pieces:?}");
}

#[test]
fn data_of_several_lines_is_written_on_one() {
    let mut writer = writer();
    let opening = stream(&[start("m"), begin(0, json!({"type": "text", "text": ""}))]);
    write(&mut *writer, &opening, |_| Edits::default());
    let lines = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\ndata: \"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n";
    let frame = &frames(lines.as_bytes())[0];
    let untouched = writer.frame(frame, &Edits::default()).unwrap().unwrap();
    assert_eq!(untouched, lines);
    let written = writer
        .frame(frame, &replacing(Channel::Output, "b"))
        .unwrap()
        .unwrap();
    let expected = event(&add(0, json!({"type": "text_delta", "text": "b"})));
    let written = String::from_utf8(written.to_vec()).unwrap();
    assert_eq!(events(&written), events(&expected));
    assert_eq!(written.matches("data:").count(), 1);
}

#[test]
fn an_estimate_of_all_legs_is_stated_too() {
    let usage = crate::event::Usage {
        input: 3,
        output: 2,
        cached: 9,
        reasoning: 5,
        exact: false,
    };
    let written = write(&mut *writer(), &two_calls(), |data| Edits {
        usage: (data["type"] == "message_delta").then_some(usage),
        ..Edits::default()
    });
    assert_eq!(
        events(&written).iter().rev().nth(1).unwrap()["usage"]["input_tokens"],
        0
    );
}

#[test]
fn text_that_spans_frames_is_replaced_where_it_began() {
    let whole = stream(&message(&[text(0, &["a se", "cret b"])], "end_turn"));
    let written = write(&mut *writer(), &whole, |data| {
        match data["delta"]["text"].as_str() {
            Some("a se") => replacing(Channel::Output, "a [gone]"),
            Some("cret b") => replacing(Channel::Output, " b"),
            _ => Edits::default(),
        }
    });
    let pieces = read(written.as_bytes()).unwrap();
    assert_eq!(said(&pieces, Channel::Output), "a [gone] b");
    let frames = frames(written.as_bytes()).len();
    assert_eq!(frames, events(&whole).len());
}

#[test]
fn what_stands_beside_the_text_can_be_replaced() {
    let cited = json!({"type": "citations_delta", "citation": {"type": "char_location", "cited_text": "secret", "document_title": "secret too"}});
    let whole = stream(&message(
        &[vec![
            begin(0, json!({"type": "text", "text": ""})),
            add(0, cited),
            stop(0),
        ]],
        "end_turn",
    ));
    let written = write(
        &mut *writer(),
        &whole,
        |data| match data["delta"]["citation"].is_object() {
            true => replacing(Channel::Other, "[gone]"),
            false => Edits::default(),
        },
    );
    assert!(!written.contains("secret"), "{written}");
    assert_eq!(
        said(&read(written.as_bytes()).unwrap(), Channel::Other),
        "[gone]"
    );
}
