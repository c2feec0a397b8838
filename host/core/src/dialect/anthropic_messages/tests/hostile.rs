//! What no client may read otherwise than it was judged.

use proptest::prelude::*;

use super::*;

fn refused(events: &[Value]) -> String {
    read(stream(events).as_bytes()).unwrap_err().to_string()
}

#[test]
fn what_clients_read_differently_is_refused() {
    let text_block = json!({"type": "text", "text": ""});
    let delta = |kind: &str, key: &str| json!({"type": kind, key: "x"});
    let cases: Vec<(Vec<Value>, &str)> = vec![
        (text(0, &["a"]), "no message has begun"),
        (vec![start("a"), start("b")], "second message"),
        (vec![start("a"), stop(0)], "no block 0 is open"),
        (
            vec![start("a"), begin(1, text_block.clone())],
            "the next block is 0",
        ),
        (
            vec![
                start("a"),
                begin(0, text_block.clone()),
                begin(1, text_block.clone()),
            ],
            "still open",
        ),
        (
            vec![
                start("a"),
                begin(0, text_block.clone()),
                add(1, delta("text_delta", "text")),
            ],
            "no block 1",
        ),
        (
            [
                vec![start("a")],
                text(0, &[]),
                vec![add(0, delta("text_delta", "text"))],
            ]
            .concat(),
            "no block 0",
        ),
        (
            vec![
                start("a"),
                begin(0, text_block.clone()),
                add(0, delta("thinking_delta", "thinking")),
            ],
            "takes no",
        ),
        (
            vec![
                start("a"),
                begin(0, json!({"type": "hologram"})),
                add(0, delta("text_delta", "text")),
            ],
            "takes no",
        ),
        (
            vec![
                start("a"),
                begin(0, text_block.clone()),
                add(0, delta("input_json_delta", "partial_json")),
            ],
            "takes no",
        ),
        (
            vec![
                start("a"),
                begin(
                    0,
                    json!({"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}}),
                ),
                add(0, json!({"type": "input_json_delta", "partial_json": "{}"})),
            ],
            "has an input already",
        ),
        (
            [vec![start("a")], end("end_turn"), text(0, &["late"])].concat(),
            "has ended",
        ),
        (
            vec![start("a"), begin(0, json!({"type": "text", "text": 7}))],
            "not a string",
        ),
        (
            vec![start("a"), begin(0, json!({"text": "x"}))],
            "there is none",
        ),
        (
            vec![
                start("a"),
                begin(
                    0,
                    json!({"type": "tool_use", "id": "t", "name": "n", "input": "{}"}),
                ),
            ],
            "content_block_start[0].input",
        ),
        (
            vec![
                start("a"),
                json!({"type": "content_block_start", "index": -1, "content_block": {}}),
            ],
            "number of a block",
        ),
        (vec![json!({"type": "message_start"})], "there is none"),
    ];
    for (events, what) in cases {
        let error = refused(&events);
        assert!(error.contains(what), "{error} for {events:?}");
        assert!(
            error.starts_with("anthropic-messages: cannot read"),
            "{error}"
        );
    }
    for (raw, what) in [
        (
            "data: {\"type\":\"ping\\ndata: {}\"}\n\n",
            "name of an event",
        ),
        ("data: {\"no\":\"type\"}\n\n", "no such field"),
        (
            "event: ping\ndata: {\"type\":\"content_block_delta\"}\n\n",
            "in the line before",
        ),
        (
            "data: {\"type\":\"ping\",\"type\":\"ping\"}\n\n",
            "stands twice",
        ),
        (
            "data: {\"type\":\"ping\",\"Type\":\"ping\"}\n\n",
            "stands twice",
        ),
        ("data: {\"type\":\n\n", "cannot read"),
        ("data: \"ping\"\n\n", "cannot read"),
    ] {
        let error = read(raw.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(what), "{error} for {raw}");
    }
}

#[test]
fn text_in_odd_fields_is_text() {
    let odd = [
        json!({"type": "rumour", "says": ["hidden words"]}),
        json!({"type": "ping", "note": "hidden words"}),
        {
            let mut first = start("a b");
            first["message"]["id"] = json!("hidden words");
            first
        },
        {
            let mut first = start("a");
            first["message"]["usage"]["service_tier"] = json!("hidden words");
            first
        },
        {
            let mut first = start("a");
            first["message"]["notes"] = json!({"deep": [{"er": "hidden words"}]});
            first
        },
    ];
    for event_data in odd {
        let pieces = read(event(&event_data).as_bytes()).unwrap();
        assert_eq!(
            said(&pieces, Channel::Other),
            "hidden words",
            "{event_data}"
        );
    }
    let blocks = [
        json!({"type": "text", "text": "", "aside": "hidden words"}),
        json!({"type": "tool_use", "id": "t", "name": "n", "input": {}, "aside": "hidden words"}),
        json!({"type": "thinking", "thinking": "", "signature": "hidden words"}),
        json!({"type": "server_tool_use", "id": "s", "name": "hidden words", "input": {}}),
        json!({"type": "server_tool_use", "id": "s", "name": "n", "input": {"model": "hidden", "id": " words"}}),
        json!({"type": "web_search_tool_result", "tool_use_id": "hidden words", "content": []}),
        json!({"type": "container_upload", "file_id": "hidden words"}),
    ];
    for block in blocks {
        let events = [start("a"), begin(0, block.clone())];
        let pieces = read(stream(&events).as_bytes()).unwrap();
        assert_eq!(said(&pieces, Channel::Other), "hidden words", "{block}");
        let body = json!({"id": "m", "type": "message", "role": "assistant", "content": [block], "stop_reason": "end_turn"});
        let pieces = read_body(body.to_string().as_bytes()).unwrap();
        assert_eq!(said(&pieces, Channel::Other), "hidden words", "{body}");
    }
    // What is not encrypted is thought.
    let events = [
        start("a"),
        begin(
            0,
            json!({"type": "redacted_thinking", "data": "hidden words"}),
        ),
    ];
    let pieces = read(stream(&events).as_bytes()).unwrap();
    assert_eq!(said(&pieces, Channel::Reasoning), "hidden words");
}

#[test]
fn a_body_that_is_none_of_the_api_is_refused_or_an_error() {
    for body in [
        "{\"choices\":[]}",
        "[]",
        "{\"content\":\"text\"}",
        "{\"content\":[7]}",
        "{\"content\":[],\"error\":{\"message\":\"x\"}}",
        "{\"content\":[],\"content\":[]}",
    ] {
        assert!(read_body(body.as_bytes()).is_err(), "{body}");
    }
    let pieces = read_body(b"{\"detail\":\"Not here\"}").unwrap();
    assert!(matches!(pieces[0], Piece::Error(_)));
    assert_eq!(said(&pieces, Channel::Other), "Not here");
}

#[test]
fn with_nobody_to_judge_what_cannot_be_read_passes() {
    for raw in [
        "data: {\"type\":\n\n",
        "event: x\ndata: {\"type\":\"y\"}\n\n",
        "data: [DONE]\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    ] {
        let written = writer()
            .frame(&frames(raw.as_bytes())[0], &Edits::default())
            .unwrap();
        assert_eq!(written.unwrap(), raw);
    }
    let broken = frames(b"data: {\"type\":\n\n");
    let edits = replacing(Channel::Output, "x");
    assert!(writer().frame(&broken[0], &edits).is_err());
}

fn blocks() -> impl Strategy<Value = Vec<Value>> {
    let words = || "[a-z \"\\\\\n\u{e4}\u{1f600}]{0,12}";
    let block = prop_oneof![
        proptest::collection::vec(words(), 0..4).prop_map(|parts| {
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            text(0, &parts)
        }),
        words().prop_map(|thought| thinking(0, &thought)),
        proptest::collection::vec(words(), 0..4).prop_map(|values| {
            let input = json!({"values": values}).to_string();
            let at = (0..=input.len() / 2)
                .rev()
                .find(|at| input.is_char_boundary(*at))
                .unwrap();
            call(0, "toolu_x", "do", &[&input[..at], &input[at..]])
        }),
        words().prop_map(|query| vec![
            begin(
                0,
                json!({"type": "server_tool_use", "id": "s", "name": "web", "input": {}})
            ),
            add(
                0,
                json!({"type": "input_json_delta", "partial_json": json!({"q": query}).to_string()})
            ),
            stop(0),
        ]),
    ];
    proptest::collection::vec(block, 0..6).prop_map(|blocks| {
        let numbered = blocks.into_iter().enumerate().flat_map(|(n, events)| {
            events.into_iter().map(move |mut event| {
                event["index"] = json!(n);
                if event["content_block"]["id"] == "toolu_x" {
                    event["content_block"]["id"] = json!(format!("toolu_{n}"));
                }
                event
            })
        });
        message(&[numbered.collect()], "tool_use")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_cut_of_the_bytes_reads_the_same(events in blocks(), size in 1_usize..90) {
        let whole = stream(&events);
        let expected = read(whole.as_bytes()).unwrap();
        let (mut framer, mut all) = (Framer::default(), Vec::new());
        for chunk in whole.as_bytes().chunks(size) {
            framer.push(Bytes::copy_from_slice(chunk), &mut all).unwrap();
        }
        let (mut reader, mut pieces) = (DIALECT.reader(), Vec::new());
        for frame in &all {
            reader.frame(frame, &mut pieces).unwrap();
        }
        prop_assert_eq!(pieces, expected);
    }

    #[test]
    fn dropping_any_calls_leaves_a_stream_without_them(events in blocks(), dropped in any::<u8>()) {
        let whole = stream(&events);
        let before = calls(&read(whole.as_bytes()).unwrap());
        let goes = |n: usize| dropped & (1 << (n % 8)) != 0;
        let numbers = std::cell::Cell::new(0_usize);
        let written = write(&mut *writer(), &whole, |data| {
            let begins = data["content_block"]["type"] == "tool_use";
            let adds = data["delta"]["type"] == "input_json_delta"
                && events.iter().any(|e| e["index"] == data["index"] && e["content_block"]["type"] == "tool_use");
            if begins {
                numbers.set(numbers.get() + 1);
            }
            if !begins && !adds {
                return Edits::default();
            }
            let n = numbers.get() - 1;
            let kept = (0..n).filter(|n| !goes(*n)).count();
            match goes(n) {
                true => of_call(CallEdit::Drop),
                false => of_call(changed(u16::try_from(kept).unwrap(), None)),
            }
        });
        let expected: Vec<_> = before.iter().enumerate().filter(|(n, _)| !goes(*n)).map(|(_, c)| c.clone()).collect();
        let pieces = read(written.as_bytes()).unwrap();
        prop_assert_eq!(calls(&pieces), expected.clone());
        let ends_in_calls = !expected.is_empty() || before.is_empty();
        prop_assert_eq!(finish(&pieces), Some(if ends_in_calls { "tool_use" } else { "end_turn" }));
    }

    #[test]
    fn a_stream_and_its_body_say_the_same(events in blocks()) {
        let whole = stream(&events);
        let streamed = read(whole.as_bytes()).unwrap();
        let body = writer().body_of_stream(&frames(whole.as_bytes())).unwrap();
        let pieces = read_body(&body).unwrap();
        prop_assert_eq!(said(&pieces, Channel::Output), said(&streamed, Channel::Output));
        prop_assert_eq!(said(&pieces, Channel::Reasoning), said(&streamed, Channel::Reasoning));
        prop_assert_eq!(calls(&pieces), calls(&streamed));
        let again = read(&writer().stream_of_body(&body).unwrap()).unwrap();
        prop_assert_eq!(calls(&again), calls(&streamed));
        prop_assert_eq!(said(&again, Channel::Output), said(&streamed, Channel::Output));
    }
}
