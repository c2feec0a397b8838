//! What Airlock itself says: endings, errors, another API's answer; and the form of an array.

use serde_json::{Value, json};

use super::{
    array_writer, calls, ends, events, frame, gemini, parsed, place, read_all, read_body,
    replacing, said, says, writer,
};
use crate::dialect::{
    CallKind, CallPart, ClientError, Closing, Edits, Ending, Finish, Identity, Inbound as _,
    Origin, Outbound as _, Partial, Piece, Slot, Writer,
};
use crate::event::{Channel, FailureKind, Place, Usage};

const USAGE: Usage = Usage {
    input: 4,
    output: 5,
    cached: 0,
    reasoning: 0,
    exact: true,
};

fn closing<'a>(text: &'a str, refusal: bool, ending: &'a Ending) -> Closing<'a> {
    Closing {
        open: &[0, 1],
        begun: true,
        text,
        refusal,
        ending,
        usage: Some(USAGE),
    }
}

fn partial() -> Ending {
    Ending::Partial(Partial {
        reason: "enough".to_owned(),
        confidence: None,
        policy: "p".to_owned(),
    })
}

fn error(status: u16, kind: FailureKind) -> ClientError {
    ClientError {
        status,
        kind,
        message: "no".to_owned(),
        code: "content_filter".to_owned(),
        origin: Some(Origin {
            code: "airlock_blocked",
            policy: "p".to_owned(),
            exchange: "s/1".to_owned(),
        }),
    }
}

#[test]
fn a_stream_is_closed_in_each_open_choice() {
    for (ending, word) in [
        (Ending::Complete, "STOP"),
        (Ending::Refused, "SAFETY"),
        (partial(), "MAX_TOKENS"),
    ] {
        let bytes = writer().close(&closing("bye", false, &ending));
        let told = events(&bytes);
        assert_eq!(told.len(), 2);
        for (n, event) in told.iter().enumerate() {
            let candidate = &event["candidates"][0];
            assert_eq!(
                (&candidate["index"], &candidate["finishReason"]),
                (&json!(n), &json!(word))
            );
            assert_eq!(
                candidate["content"],
                json!({"parts": [{"text": "bye"}], "role": "model"})
            );
            assert_eq!(
                (&event["responseId"], &event["modelVersion"]),
                (&json!("airlock-1"), &json!("gemini-3"))
            );
            assert_eq!(
                event["airlock"]["partial"] == true,
                matches!(ending, Ending::Partial(_)),
                "{event}"
            );
        }
        assert_eq!(told[1]["usageMetadata"]["totalTokenCount"], 9);
        let pieces = read_all(&super::frames(&bytes)).unwrap();
        assert_eq!(said(&pieces, Channel::Output), "bye");
        assert!(pieces.contains(&Piece::Usage(USAGE)));
    }
}

#[test]
fn a_refusal_stands_where_no_answer_is_looked_for() {
    let told = events(&writer().close(&closing("not that", true, &Ending::Refused)));
    assert_eq!(
        told[0]["candidates"][0]["content"]["parts"],
        json!([{"text": ""}])
    );
    assert_eq!(told[0]["candidates"][0]["finishMessage"], "not that");
    let body = parsed(&writer().answer("not that", true, &Ending::Refused, USAGE));
    assert_eq!(
        (
            &body["candidates"][0]["finishMessage"],
            &body["candidates"][0]["finishReason"]
        ),
        (&json!("not that"), &json!("SAFETY"))
    );
    let body = writer().answer("hello", false, &Ending::Complete, USAGE);
    let pieces = read_body(&body).unwrap();
    assert_eq!(said(&pieces, Channel::Output), "hello");
    assert!(pieces.contains(&Piece::Finish {
        choice: 0,
        reason: "STOP".to_owned()
    }));
}

#[test]
fn errors_are_told_in_the_words_of_google() {
    for (status, kind, word) in [
        (400, FailureKind::Policy, "INVALID_ARGUMENT"),
        (401, FailureKind::Other, "UNAUTHENTICATED"),
        (402, FailureKind::Policy, "FAILED_PRECONDITION"),
        (403, FailureKind::Policy, "PERMISSION_DENIED"),
        (404, FailureKind::Other, "NOT_FOUND"),
        (429, FailureKind::RateLimit, "RESOURCE_EXHAUSTED"),
        (500, FailureKind::Upstream, "INTERNAL"),
        (502, FailureKind::Upstream, "UNAVAILABLE"),
        (503, FailureKind::Overloaded, "UNAVAILABLE"),
        (504, FailureKind::Timeout, "DEADLINE_EXCEEDED"),
    ] {
        let body = parsed(&gemini().error_body(&error(status, kind)));
        assert_eq!(
            (&body["error"]["code"], &body["error"]["status"]),
            (&json!(status), &json!(word)),
            "{status}"
        );
    }
    let body = parsed(&gemini().error_body(&error(400, FailureKind::Policy)));
    assert_eq!(body["error"]["message"], "no");
    assert_eq!(body["error"]["details"][0]["reason"], "CONTENT_FILTER");
    assert_eq!(
        body["error"]["airlock"],
        json!({"code": "airlock_blocked", "policy": "p", "exchange": "s/1"})
    );
    let told = events(&writer().error(&error(400, FailureKind::Policy)));
    assert_eq!(told, [body]);
    let failure = gemini().read_error(0, &gemini().error_body(&error(429, FailureKind::RateLimit)));
    assert_eq!(
        (failure.status, failure.kind),
        (429, FailureKind::RateLimit)
    );
    assert!(gemini().keep_alive().is_empty());
}

/// Everything that a client of an array reads.
fn array(parts: &[&[u8]]) -> Value {
    parsed(&parts.concat())
}

#[test]
fn a_stream_is_an_array_however_it_ends() {
    let give = |writer: &mut Box<dyn Writer>, data: &Value, edits: &Edits<'_>| {
        writer
            .frame(&frame(data), edits)
            .unwrap()
            .unwrap_or_default()
    };
    let (first, last) = (says(json!([{"text": "a"}])), ends(json!([{"text": "b"}])));
    let mut writer = array_writer();
    let one = give(&mut writer, &first, &Edits::default());
    let two = give(&mut writer, &last, &replacing(Channel::Output, "c"));
    let end = writer.trailer();
    let told = array(&[&one, &two, &end]);
    assert_eq!(told[0], first);
    assert_eq!(told[1]["candidates"][0]["content"]["parts"][0]["text"], "c");
    assert!(writer.trailer().is_empty(), "it ends once");

    let mut writer = array_writer();
    let one = give(&mut writer, &first, &Edits::default());
    let end = writer.close(&closing("", false, &partial()));
    let rest = writer.trailer();
    let told = array(&[&one, &end, &rest]);
    assert_eq!(told[2]["airlock"]["partial"], true);

    let mut writer = array_writer();
    let one = give(&mut writer, &first, &Edits::default());
    let end = writer.error(&error(400, FailureKind::Policy));
    assert_eq!(
        array(&[&one, &end, &writer.trailer()])[1]["error"]["code"],
        400
    );
    assert_eq!(
        array(&[&array_writer().error(&error(400, FailureKind::Policy))])[0]["error"]["code"],
        400
    );

    let mut writer = array_writer();
    assert_eq!(array(&[&writer.trailer()]), json!([]));
    let mut writer = array_writer();
    let dropped = Edits {
        calls: vec![crate::dialect::CallEdit::Drop],
        ..Edits::default()
    };
    let none = give(
        &mut writer,
        &says(json!([{"functionCall": {"name": "rm"}}])),
        &dropped,
    );
    let one = give(&mut writer, &last, &Edits::default());
    assert_eq!(array(&[&none, &one, &writer.trailer()]), json!([last]));
    let text = array_writer().text(place(Channel::Output), "x").unwrap();
    assert!(text.starts_with(b"[{"));
}

#[test]
fn the_query_decides_the_form_of_a_stream() {
    use crate::dialect::registry;
    let form = |path: &str, query| {
        registry::at(path, query).map(|dialect| dialect.inbound().stream_type())
    };
    for version in ["v1", "v1beta"] {
        let path = format!("/{version}/models/gemini-3:streamGenerateContent");
        assert_eq!(
            form(&path, Some("key=k&alt=sse")),
            Some("text/event-stream")
        );
        assert_eq!(
            form(&path, Some("alt=json")),
            Some("application/json; charset=UTF-8")
        );
        assert_eq!(form(&path, None), Some("application/json; charset=UTF-8"));
        let upstream = registry::at(&path, None).unwrap().outbound();
        assert_eq!(
            upstream.path("m", true),
            format!("/{version}/models/m:streamGenerateContent?alt=sse")
        );
        assert_eq!(
            upstream.path("m", false),
            format!("/{version}/models/m:generateContent")
        );
        assert_eq!(upstream.key_header(), "x-goog-api-key");
    }
    assert!(registry::at("/v1beta/models/gemini-3:countTokens", None).is_none());
    let speaks = |path| {
        parsed(&registry::speaker(path).error_body(&error(404, FailureKind::Other)))["error"]["status"].clone()
    };
    assert_eq!(
        (speaks("/v1beta/models"), speaks("/v1/models")),
        (json!("NOT_FOUND"), json!(404))
    );
}

fn text(channel: Channel, text: &str) -> Piece {
    Piece::Text {
        place: place(channel),
        text: text.to_owned(),
        generated: true,
    }
}

fn call(index: u16, id: Option<&str>, arguments: &str) -> Piece {
    Piece::Call(CallPart {
        choice: 0,
        slot: Slot::Index(index),
        kind: CallKind::Function,
        id: id.map(str::to_owned),
        name: id.map(|_| "rm".to_owned()),
        arguments: arguments.to_owned(),
    })
}

#[test]
fn the_answer_of_another_api_is_a_stream_of_this_one() {
    let pieces = [
        (text(Channel::Reasoning, "hm"), Finish::Other),
        (text(Channel::Output, "I try. "), Finish::Other),
        (text(Channel::Refusal, "or not"), Finish::Other),
        (call(0, Some("t1"), "{\"path\":"), Finish::Other),
        (call(1, Some("t2"), ""), Finish::Other),
        (call(0, None, "\"/\"}"), Finish::Other),
        (Piece::Usage(USAGE), Finish::Other),
        (
            Piece::Finish {
                choice: 0,
                reason: "tool_use".to_owned(),
            },
            Finish::ToolCalls,
        ),
        (Piece::Usage(USAGE), Finish::Other),
        (Piece::End, Finish::Other),
    ];
    for (mut writer, is_array) in [(writer(), false), (array_writer(), true)] {
        let mut out = Vec::new();
        for (piece, finish) in &pieces {
            out.extend(writer.say(piece, *finish).unwrap());
        }
        out.extend(writer.trailer());
        let stream = match is_array {
            true => parsed(&out)
                .as_array()
                .unwrap()
                .iter()
                .map(|value| format!("data: {value}\n\n"))
                .collect::<String>()
                .into_bytes(),
            false => out,
        };
        let read = read_all(&super::frames(&stream)).unwrap();
        assert_eq!(said(&read, Channel::Reasoning), "hm");
        assert_eq!(said(&read, Channel::Output), "I try. or not");
        let made: Vec<_> = calls(&read)
            .into_iter()
            .map(|c| (c.id.unwrap(), c.arguments))
            .collect();
        assert_eq!(
            made,
            [
                ("t1".to_owned(), "{\"path\":\"/\"}".to_owned()),
                ("t2".to_owned(), "{}".to_owned())
            ]
        );
        assert!(read.contains(&Piece::Finish {
            choice: 0,
            reason: "STOP".to_owned()
        }));
        assert_eq!(read.last(), Some(&Piece::Usage(USAGE)));
    }
    let finish = |finish| {
        let piece = Piece::Finish {
            choice: 0,
            reason: "pause_turn".to_owned(),
        };
        events(&writer().say(&piece, finish).unwrap())[0]["candidates"][0].clone()
    };
    assert_eq!(finish(Finish::Length)["finishReason"], "MAX_TOKENS");
    assert_eq!(finish(Finish::Filtered)["finishReason"], "SAFETY");
    let other = finish(Finish::Other);
    assert_eq!(
        (&other["finishReason"], &other["finishMessage"]),
        (&json!("OTHER"), &json!("pause_turn"))
    );
}

#[test]
fn what_has_no_place_is_not_said() {
    assert!(
        writer()
            .say(&text(Channel::Other, "x"), Finish::Other)
            .is_err()
    );
    assert!(writer().text(place(Channel::Refusal), "x").is_err());
    assert!(
        writer()
            .text(Place::new(Channel::ToolArguments, 0, 0), "x")
            .is_err()
    );
    let mut broken = writer();
    broken
        .say(&call(0, Some("t"), "{\"a"), Finish::Other)
        .unwrap();
    let finish = Piece::Finish {
        choice: 0,
        reason: "stop".to_owned(),
    };
    assert!(
        broken.say(&finish, Finish::Stop).is_err(),
        "its arguments are no object"
    );
    let mut cut = writer();
    cut.say(&call(0, Some("t"), "{}"), Finish::Other).unwrap();
    assert!(
        cut.say(&Piece::End, Finish::Other).is_err(),
        "its choice never finished"
    );
    let unnumbered = Piece::Call(CallPart::default());
    assert!(writer().say(&unnumbered, Finish::Other).is_err());
}

#[test]
fn a_client_reads_the_ids_of_its_upstream_unless_airlock_speaks_alone() {
    let mut writer = writer();
    writer.meet(&Identity {
        id: "r1".to_owned(),
        ..Identity::default()
    });
    let told = events(&writer.text(place(Channel::Reasoning), "x").unwrap());
    assert_eq!(
        (&told[0]["responseId"], &told[0]["modelVersion"]),
        (&json!("r1"), &json!("gemini-3"))
    );
    writer.speak_alone();
    assert_eq!(
        events(&writer.text(place(Channel::Output), "x").unwrap())[0]["responseId"],
        "airlock-1"
    );
}
