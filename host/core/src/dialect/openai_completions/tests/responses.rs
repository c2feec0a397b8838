//! Chunks and bodies are read.

use proptest::prelude::*;

use super::*;
use crate::event::Usage;

const USAGE: Usage = Usage {
    input: 3,
    output: 4,
    cached: 0,
    reasoning: 0,
    exact: true,
};

fn counted() -> Value {
    json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7})
}

#[test]
fn a_stream_says_its_texts_its_ends_and_its_usage() {
    let second = Place::new(Channel::Output, 1, 0);
    let mut usage = chunk(json!([]));
    usage["usage"] = counted();
    let stream = [
        chunk(json!([choice(0, "a", None), choice(1, "b", None)])),
        chunk(json!([choice(1, "c", Some("length"))])),
        chunk(json!([choice(0, "", Some("stop"))])),
        usage.clone(),
    ];
    let stream = stream.map(|chunk| format!("data: {chunk}\n\n")).concat() + "data: [DONE]\n\n";
    let expected = [
        text(OUTPUT, "a"),
        text(second, "b"),
        text(second, "c"),
        finish(1, "length"),
        finish(0, "stop"),
        Piece::Usage(USAGE),
        Piece::End,
    ];
    let all = frames(stream.as_bytes());
    assert_eq!(read_all(&all).unwrap(), expected);
    let mut reader = API.reader();
    for frame in &all {
        reader.frame(frame, &mut Vec::new()).unwrap();
    }
    let known = reader.identity();
    assert_eq!(
        (&*known.id, &*known.model, known.created),
        ("cmpl-1", "m", 7)
    );
    let alone: Vec<bool> = all
        .iter()
        .map(|frame| reader.is_usage_only(frame))
        .collect();
    assert_eq!(alone, [false, false, false, true, false]);
    usage["note"] = json!("hi");
    assert!(!reader.is_usage_only(&frame(&usage)));
}

#[test]
fn a_body_counts_its_choices_by_their_places() {
    let mut body = chunk(json!([
        choice(7, "a", Some("stop")),
        choice(7, "b", Some("length"))
    ]));
    body["usage"] = counted();
    let pieces = read_body(body.to_string().as_bytes()).unwrap();
    let expected = [
        text(OUTPUT, "a"),
        finish(0, "stop"),
        text(Place::new(Channel::Output, 1, 0), "b"),
        finish(1, "length"),
        Piece::Usage(USAGE),
        Piece::End,
    ];
    assert_eq!(pieces, expected);
}

#[test]
fn tokens_are_inert_where_they_repeat_their_choice() {
    let with = |logprobs: Value| {
        let mut said = choice(0, "ab\u{e9}", None);
        said["logprobs"] = logprobs;
        read(&chunk(json!([said]))).unwrap()
    };
    let repeats = json!({"tokens": ["a", "b", "bytes:\\xc3", "bytes:\\xa9"], "token_logprobs": [null, -1.0, -1.0, -2.0],
        "top_logprobs": [null, {"c": -2.0}, {}, null], "text_offset": [0, 1, 2, 2]});
    assert_eq!(with(repeats.clone()), [text(OUTPUT, "ab\u{e9}")]);
    let mut other = repeats.clone();
    other["tokens"][1] = json!("x");
    assert_eq!(said(&with(other), OTHER), "ax\u{e9}");
    let mut long = repeats.clone();
    let hidden = "a sentence that is longer than any token of any vocabulary has ever been";
    long["top_logprobs"][1] = json!({ hidden: -1.0 });
    assert_eq!(said(&with(long), OTHER), hidden);
    let mut odd = repeats;
    odd["note"] = json!("hidden");
    assert!(said(&with(odd), OTHER).contains("hidden"));
    // As servers of chat completions write them.
    let list =
        json!({"content": [{"token": "ab\u{e9}", "logprob": -1.0, "bytes": [97, 98, 195, 169]}]});
    assert_eq!(with(list), [text(OUTPUT, "ab\u{e9}")]);
}

#[test]
fn text_in_odd_fields_is_text_and_what_no_client_reads_is_beside() {
    let mut odd = choice(0, "a", Some("stop because of that"));
    odd["note"] = json!({"deep": ["hidden"]});
    odd["delta"] = json!({"content": "a"});
    odd["reasoning_content"] = json!("hm");
    let mut all = chunk(json!([odd]));
    all["warning"] = json!("beware");
    all["model"] = json!("a model with a sentence in it");
    let pieces = read(&all).unwrap();
    let other = said(&pieces, OTHER);
    for told in ["hidden", "beware", "stop because of that", "a model with"] {
        assert!(other.contains(told), "{told}: {other}");
    }
    assert_eq!(said(&pieces, Place::new(Channel::Reasoning, 0, 0)), "hm");
    assert!(pieces.contains(&Piece::Beside));
}

#[test]
fn what_is_not_of_its_type_is_refused() {
    for data in [
        r#"{"choices":{}}"#,
        r#"{"choices":["x"]}"#,
        r#"{"choices":[{"text":["x"]}]}"#,
        r#"{"choices":[{"text":"a","text":"b"}]}"#,
        r#"{"choices":[{"text":"a","index":-1}]}"#,
        r#"{"choices":[{"text":"a","index":0},{"text":"b","index":0}]}"#,
        r#"{"choices":[{"text":"a","finish_reason":7}]}"#,
        r#"{"choices":"#,
    ] {
        let all = frames(format!("data: {data}\n\n").as_bytes());
        let error = read_all(&all).unwrap_err();
        assert_eq!(error.dialect, "openai-completions", "{data}");
    }
}

#[test]
fn errors_are_read_in_a_stream_and_a_body() {
    let error = json!({"error": {"message": "broke", "type": "server_error", "param": null, "code": "x y"}});
    let pieces = read(&error).unwrap();
    assert!(matches!(&pieces[0], Piece::Error(failure) if failure.message == "broke"));
    assert_eq!(said(&pieces, OTHER), "brokex y");
    let pieces = read_body(br#"{"object":"error","message":"broke","code":400}"#).unwrap();
    assert!(matches!(&pieces[0], Piece::Error(failure) if failure.status == 400));
    let failure = API.outbound().read_error(429, error.to_string().as_bytes());
    assert_eq!((failure.status, &*failure.message), (429, "broke"));
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_and_both_forms_say_it(
        said in prop::collection::vec((0_u16..3, "[a-z\"\\\\\né]{0,5}"), 1..9),
        size in 1_usize..50,
    ) {
        let mut stream = String::new();
        let mut choices: Vec<u16> = said.iter().map(|(index, _)| *index).collect();
        choices.sort_unstable();
        choices.dedup();
        // A body has no gaps between its choices.
        let number = |index: &u16| choices.binary_search(index).unwrap() as u16;
        for (index, text) in &said {
            stream.push_str(&format!("data: {}\n\n", chunk(json!([choice(number(index), text, None)]))));
        }
        for index in &choices {
            stream.push_str(&format!("data: {}\n\n", chunk(json!([choice(number(index), "", Some("stop"))]))));
        }
        stream.push_str("data: [DONE]\n\n");
        let whole = read_all(&frames(stream.as_bytes())).unwrap();
        let cut = in_chunks(stream.as_bytes(), size);
        prop_assert_eq!(&read_all(&cut).unwrap(), &whole);
        let body = writer().body_of_stream(&cut).unwrap();
        let of_body = read_body(&body).unwrap();
        let again = writer().stream_of_body(&body).unwrap();
        let again = read_all(&frames(&again)).unwrap();
        for index in &choices {
            let at = Place::new(Channel::Output, number(index), 0);
            prop_assert_eq!(super::said(&of_body, at), super::said(&whole, at));
            prop_assert_eq!(super::said(&again, at), super::said(&whole, at));
            prop_assert!(of_body.contains(&finish(number(index), "stop")));
        }
    }
}

#[test]
fn what_breaks_off_is_no_body_and_an_error_stays_one() {
    let open = frames(format!("data: {}\n\n", chunk(json!([choice(0, "a", None)]))).as_bytes());
    assert!(writer().body_of_stream(&open).is_err());
    let twice = frames(
        b"data: {\"choices\":[{\"text\":\"a\",\"text\":\"b\",\"finish_reason\":\"stop\"}]}\n\n",
    );
    assert!(writer().body_of_stream(&twice).is_err());
    let error = json!({"error": {"message": "broke"}});
    let body = writer().body_of_stream(&[frame(&error)]).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), error);
    let stream = writer().stream_of_body(&body).unwrap();
    assert_eq!(chunks(&stream), [error]);
}
