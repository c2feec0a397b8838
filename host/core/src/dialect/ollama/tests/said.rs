//! What Airlock itself says, and what another API's upstream said.

use super::*;
use crate::dialect::{ClientError, Closing, Ending, Failure, Finish, Origin, Partial};
use crate::event::{FailureKind, Usage};

const USAGE: Usage = Usage {
    input: 9,
    output: 5,
    cached: 0,
    reasoning: 0,
    exact: true,
};

fn closing<'a>(text: &'a str, ending: &'a Ending) -> Closing<'a> {
    Closing {
        open: &[0],
        begun: false,
        text,
        refusal: true,
        ending,
        usage: Some(USAGE),
    }
}

fn partial() -> Ending {
    Ending::Partial(Partial {
        reason: "budget".into(),
        confidence: None,
        policy: "token-budget".into(),
    })
}

#[test]
fn a_stream_is_ended_in_the_words_of_the_api() {
    for dialect in [CHAT, GENERATE] {
        for (ending, reason, mark) in [
            (Ending::Complete, "stop", Value::Null),
            (Ending::Refused, "stop", json!({"refused": true})),
            (
                partial(),
                "length",
                json!({"partial": true, "reason": "budget", "confidence": null,
                "policy": "token-budget"}),
            ),
        ] {
            let bytes = writer(dialect).close(&closing("no", &ending));
            let expected = [
                text(OUTPUT, "no"),
                Piece::Usage(USAGE),
                finish(reason),
                Piece::End,
            ];
            let told = lines(&bytes);
            let end = told.last().unwrap();
            assert_eq!(end["airlock"], mark);
            assert_eq!(end["created_at"], "2025-01-01T00:00:00Z");
            assert_eq!(end["model"], "llama3.2");
            let mut unmarked = told.clone();
            unmarked[1].as_object_mut().unwrap().remove("airlock");
            let unmarked = unmarked.iter().map(|line| format!("{line}\n"));
            let pieces = read(dialect, unmarked.collect::<String>().as_bytes()).unwrap();
            assert_eq!(pieces, expected, "{}", dialect.name());
        }
    }
    // Who has read the end waits for nothing.
    let ended = Closing {
        open: &[],
        ..closing("no", &Ending::Complete)
    };
    assert!(writer(CHAT).close(&ended).is_empty());
}

#[test]
fn a_body_says_the_same_as_a_stream() {
    for dialect in [CHAT, GENERATE] {
        let body = writer(dialect).answer("no", true, &Ending::Complete, USAGE);
        let pieces = read_body(dialect, &body).unwrap();
        let stream = writer(dialect).close(&closing("no", &Ending::Complete));
        assert_eq!(pieces, read(dialect, &stream).unwrap());
        let body = writer(dialect).answer("no", true, &Ending::Refused, USAGE);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["airlock"], json!({"refused": true}));
        assert_eq!(
            (&body["prompt_eval_count"], &body["eval_count"]),
            (&json!(9), &json!(5))
        );
    }
}

#[test]
fn an_error_is_a_line_whose_error_is_a_string() {
    let mut error = ClientError {
        status: 403,
        kind: FailureKind::Upstream,
        message: "not\nallowed".to_owned(),
        code: "content_filter".to_owned(),
        origin: Some(Origin {
            code: "airlock_blocked",
            policy: "pii".to_owned(),
            exchange: "s/1".to_owned(),
        }),
    };
    let told = lines(&writer(CHAT).error(&error)).remove(0);
    let mark = json!({"code": "airlock_blocked", "policy": "pii", "exchange": "s/1"});
    assert_eq!(told, json!({"error": "not\nallowed", "airlock": mark}));
    let body = CHAT.inbound().error_body(&error);
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), told);
    assert!(
        read_body(CHAT, &body).is_ok(),
        "its own reader knows it for an error"
    );
    error.origin = None;
    let told = lines(&writer(GENERATE).error(&error)).remove(0);
    assert_eq!(told["airlock"], json!({"code": "content_filter"}));
}

#[test]
fn what_keeps_the_connection_says_nothing() {
    for dialect in [CHAT, GENERATE] {
        let bytes = dialect.inbound().keep_alive();
        assert_eq!(lines(&bytes).len(), 1);
        assert_eq!(read(dialect, &bytes).unwrap(), []);
    }
    assert_eq!(CHAT.inbound().stream_type(), "application/x-ndjson");
}

#[test]
fn text_goes_out_in_the_field_of_its_channel() {
    for dialect in [CHAT, GENERATE] {
        for (channel, read_as) in [
            (Channel::Output, OUTPUT),
            (Channel::Refusal, OUTPUT),
            (Channel::Reasoning, REASONING),
        ] {
            let bytes = writer(dialect)
                .text(Place::new(channel, 0, 0), "a\n\"b\"")
                .unwrap();
            assert_eq!(read(dialect, &bytes).unwrap(), [text(read_as, "a\n\"b\"")]);
        }
        assert!(writer(dialect).text(OTHER, "a").is_err());
        let second = Place::new(Channel::Output, 1, 0);
        assert!(writer(dialect).text(second, "a").is_err());
    }
}

fn piece_of_call(index: u16, name: Option<&str>, arguments: &str) -> Piece {
    Piece::Call(CallPart {
        choice: 0,
        slot: Slot::Index(index),
        kind: CallKind::Function,
        id: name.map(|name| format!("id_{name}")),
        name: name.map(str::to_owned),
        arguments: arguments.to_owned(),
    })
}

#[test]
fn what_another_api_said_in_parts_is_one_stream() {
    let mut writer = writer(CHAT);
    let refused = Piece::Text {
        place: Place::new(Channel::Refusal, 0, 0),
        text: "No. ".to_owned(),
        generated: true,
    };
    let pieces = [
        (text(REASONING, "Hm."), Finish::Other),
        (text(OUTPUT, "I look."), Finish::Other),
        (refused, Finish::Other),
        (piece_of_call(0, Some("ls"), ""), Finish::Other),
        (piece_of_call(1, Some("rm"), "{\"a\""), Finish::Other),
        (piece_of_call(0, None, "{\"path\":\"/\"}"), Finish::Other),
        (piece_of_call(1, None, ": [1]}"), Finish::Other),
        (Piece::Usage(Usage { output: 0, ..USAGE }), Finish::Other),
        (finish("tool_calls"), Finish::ToolCalls),
        (Piece::Usage(USAGE), Finish::Other),
        (Piece::End, Finish::Other),
    ];
    let mut out = Vec::new();
    for (piece, finish) in &pieces {
        out.extend(writer.say(piece, *finish).unwrap());
    }
    let expected = [
        text(REASONING, "Hm."),
        text(OUTPUT, "I look."),
        text(OUTPUT, "No. "),
        call(0, "ls", r#"{"path":"/"}"#),
        call(1, "rm", r#"{"a":[1]}"#),
        Piece::Usage(USAGE),
        finish("stop"),
        Piece::End,
    ];
    assert_eq!(read(CHAT, &out).unwrap(), expected);
    let told = lines(&out);
    assert_eq!(told.iter().filter(|line| line["done"] == true).count(), 1);
    assert_eq!(told[3]["message"]["tool_calls"][0]["id"], "id_ls");
    // Another leg begins anew.
    let mut again = writer
        .say(&text(OUTPUT, "more"), Finish::Other)
        .unwrap()
        .to_vec();
    again.extend(writer.say(&finish("length"), Finish::Length).unwrap());
    again.extend(writer.say(&Piece::End, Finish::Other).unwrap());
    let expected = [text(OUTPUT, "more"), finish("length"), Piece::End];
    assert_eq!(read(CHAT, &again).unwrap(), expected);
}

#[test]
fn what_the_api_has_no_place_for_is_refused() {
    let mut other = piece_of_call(0, Some("x"), "");
    if let Piece::Call(part) = &mut other {
        part.kind = CallKind::Custom;
    }
    for piece in [text(OTHER, "source"), other] {
        assert!(
            writer(CHAT).say(&piece, Finish::Other).is_err(),
            "{piece:?}"
        );
    }
    let mut writer = writer(CHAT);
    writer
        .say(&piece_of_call(0, Some("x"), "no JSON"), Finish::Other)
        .unwrap();
    assert!(writer.say(&finish("stop"), Finish::Stop).is_err());
    // A filter's end is marked, and an error is the last word.
    let mut writer = super::writer(CHAT);
    writer.say(&finish("SAFETY"), Finish::Filtered).unwrap();
    let end = writer.say(&Piece::End, Finish::Other).unwrap();
    assert_eq!(lines(&end)[0]["airlock"], json!({"refused": true}));
    let failure = Failure {
        status: 500,
        kind: FailureKind::Upstream,
        message: "broke".to_owned(),
    };
    let told = writer.say(&Piece::Error(failure), Finish::Other).unwrap();
    assert_eq!(lines(&told)[0]["error"], "broke");
    assert!(writer.say(&Piece::End, Finish::Other).unwrap().is_empty());
}
