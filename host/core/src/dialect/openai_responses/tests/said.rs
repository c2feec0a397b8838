//! What Airlock itself says: endings, errors, text of its own, answers of other APIs.

use serde_json::{Value, json};

use super::{
    answer, calls, events, frames, identity, place, read, read_body, said, well_formed, write,
    writer,
};
use crate::dialect::openai_responses::OpenAiResponses;
use crate::dialect::{
    CallKind, CallPart, ClientError, Closing, Dialect as _, EditError, Edits, Ending, Finish,
    Inbound as _, Origin, Partial, Piece, Slot,
};
use crate::event::{Channel, FailureKind, Usage};

fn partial() -> Ending {
    Ending::Partial(Partial {
        reason: "enough".into(),
        confidence: Some(0.5),
        policy: "p".into(),
    })
}

fn closing<'a>(begun: bool, text: &'a str, refusal: bool, ending: &'a Ending) -> Closing<'a> {
    Closing {
        open: &[0],
        begun,
        text,
        refusal,
        ending,
        usage: Some(Usage {
            input: 1,
            output: 2,
            ..Usage::default()
        }),
    }
}

fn error() -> ClientError {
    ClientError {
        status: 403,
        kind: FailureKind::Upstream,
        message: "blocked".into(),
        code: "content_filter".into(),
        origin: Some(Origin {
            code: "airlock_blocked",
            policy: "p".into(),
            exchange: "s/1".into(),
        }),
    }
}

#[test]
fn an_answer_that_never_began_is_said_from_beginning_to_end() {
    for (ending, refusal, name, reason) in [
        (Ending::Complete, false, "response.completed", Value::Null),
        (
            Ending::Refused,
            true,
            "response.incomplete",
            json!({"reason": "content_filter"}),
        ),
        (
            partial(),
            false,
            "response.incomplete",
            json!({"reason": "max_output_tokens"}),
        ),
    ] {
        let out = writer().close(&closing(false, "Not \"today\".", refusal, &ending));
        well_formed(&out, name);
        let told = events(&out);
        assert_eq!(told[0]["type"], "response.created");
        assert_eq!(told[0]["response"]["id"], "resp_own");
        let last = told.last().unwrap();
        assert_eq!(last["type"], name);
        assert_eq!(last["response"]["incomplete_details"], reason);
        assert_eq!(last["response"]["usage"]["total_tokens"], 3);
        assert_eq!(
            last["response"]["airlock"]["partial"] == true,
            matches!(ending, Ending::Partial(_))
        );
        let channel = if refusal {
            Channel::Refusal
        } else {
            Channel::Output
        };
        assert_eq!(said(&read(&frames(&out)), channel), "Not \"today\".");
        let body = writer().answer("Not \"today\".", refusal, &ending, Usage::default());
        assert_eq!(said(&read_body(&body), channel), "Not \"today\".");
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["status"], last["response"]["status"]);
    }
}

#[test]
fn what_is_open_ends_before_the_answer_does() {
    for cut in [1, 3, 5, 6, 9, 10, 11, 12, 13, 14, 15] {
        let mut writer = writer();
        let mut out = write(&mut *writer, &answer()[..cut], |_, _| Edits::default()).unwrap();
        out.extend_from_slice(&writer.close(&closing(true, "Stop.", false, &partial())));
        well_formed(&out, &format!("cut at {cut}"));
        let told = events(&out);
        let response = &told.last().unwrap()["response"];
        assert_eq!(
            response["instructions"], "be kind",
            "the response goes on as it began"
        );
        assert_eq!(response["airlock"]["policy"], "p");
        let all = said(&read(&frames(&out)), Channel::Output);
        assert!(
            "Hello worldStop.".starts_with(&all[..all.len() - 5]) && all.ends_with("Stop."),
            "{all}"
        );
    }
}

#[test]
fn what_was_replaced_stays_replaced_in_what_airlock_ends() {
    let mut writer = writer();
    let mut out = write(&mut *writer, &answer()[..11], |n, _| match n {
        10 => super::replacing(Channel::Output, "[gone]"),
        _ => Edits::default(),
    })
    .unwrap();
    out.extend_from_slice(&writer.close(&closing(true, "", false, &Ending::Refused)));
    well_formed(&out, "closed");
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains("Hello"));
    assert_eq!(text.matches("[gone]").count(), 5);
}

#[test]
fn an_error_raises_whatever_went_out_before() {
    for cut in [0, 1, 11, 17] {
        let mut writer = writer();
        let mut out = write(&mut *writer, &answer()[..cut], |_, _| Edits::default()).unwrap();
        out.extend_from_slice(&writer.error(&error()));
        let told = events(&out);
        let [.., stated, failed] = told.as_slice() else {
            panic!("{told:?}");
        };
        assert_eq!(stated["type"], "error");
        assert_eq!(
            (&stated["code"], &stated["message"]),
            (&json!("content_filter"), &json!("blocked"))
        );
        assert_eq!(stated["error"]["airlock"]["policy"], "p");
        assert_eq!(stated["sequence_number"], cut);
        assert_eq!(failed["type"], "response.failed");
        assert_eq!(failed["response"]["error"]["message"], "blocked");
        assert!(
            !failed["response"].to_string().contains("path"),
            "a cut call is not repeated"
        );
        let pieces = read(&frames(&out));
        let errors = pieces
            .iter()
            .filter(|piece| matches!(piece, Piece::Error(_)))
            .count();
        assert_eq!(errors, 1);
    }
    let body: Value = serde_json::from_slice(&OpenAiResponses.error_body(&error())).unwrap();
    assert_eq!(body["error"]["type"], "invalid_request_error");
    assert_eq!(body["error"]["airlock"]["exchange"], "s/1");
}

#[test]
fn text_of_airlocks_own_joins_what_is_open() {
    let mut writer = writer();
    let all = answer();
    let mut out = write(&mut *writer, &all[..11], |_, _| Edits::default()).unwrap();
    out.extend_from_slice(&writer.text(place(Channel::Output), " there,").unwrap());
    out.extend(write(&mut *writer, &all[11..], |_, _| Edits::default()).unwrap());
    well_formed(&out, "joined");
    assert_eq!(
        said(&read(&frames(&out)), Channel::Output),
        "Hello there, world"
    );
    let body = writer.body_of_stream(&frames(&out)).unwrap();
    assert_eq!(
        said(&read_body(&body), Channel::Output),
        "Hello there, world"
    );
    // Where nothing is open it is an item of its own.
    let mut writer = super::writer();
    let mut out = write(&mut *writer, &all[..2], |_, _| Edits::default()).unwrap();
    out.extend_from_slice(&writer.text(place(Channel::Output), "First. ").unwrap());
    out.extend(write(&mut *writer, &all[2..20], |_, _| Edits::default()).unwrap());
    out.extend_from_slice(&writer.close(&closing(true, "", false, &Ending::Complete)));
    well_formed(&out, "put in");
    assert_eq!(
        said(&read(&frames(&out)), Channel::Output),
        "First. Hello world"
    );
    assert!(writer.text(place(Channel::Other), "x").is_err());
}

#[test]
fn a_body_ends_otherwise() {
    let body = writer().body_of_stream(&answer()).unwrap();
    let ended = writer().end_body(&body, &partial()).unwrap();
    let value: Value = serde_json::from_slice(&ended).unwrap();
    assert_eq!(value["status"], "incomplete");
    assert_eq!(value["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(value["airlock"]["confidence"], 0.5);
    assert_eq!(
        value["output"],
        serde_json::from_slice::<Value>(&body).unwrap()["output"]
    );
    for body in ["<html>", "{\"error\":{\"message\":\"x\"}}", "{}"] {
        assert!(
            writer().end_body(body.as_bytes(), &partial()).is_err(),
            "{body}"
        );
    }
}

fn text(channel: Channel, text: &str) -> Piece {
    Piece::Text {
        place: place(channel),
        text: text.to_owned(),
        generated: true,
    }
}

fn part(slot: u16, id: Option<&str>, name: Option<&str>, arguments: &str) -> Piece {
    Piece::Call(CallPart {
        choice: 0,
        slot: Slot::Index(slot),
        kind: CallKind::Function,
        id: id.map(str::to_owned),
        name: name.map(str::to_owned),
        arguments: arguments.to_owned(),
    })
}

fn say(pieces: &[Piece], finish: Finish) -> Result<Vec<u8>, EditError> {
    let mut writer = writer();
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(&writer.say(piece, finish)?);
    }
    Ok(out)
}

#[test]
fn the_answer_of_another_api_is_said() {
    let usage = Usage {
        input: 3,
        output: 4,
        ..Usage::default()
    };
    let finish = Piece::Finish {
        choice: 0,
        reason: "whatever".into(),
    };
    let pieces = [
        text(Channel::Reasoning, "hm"),
        text(Channel::Reasoning, " hm"),
        text(Channel::Output, "Hello"),
        text(Channel::Output, " world"),
        part(0, Some("c1"), Some("f"), "{\"a\""),
        part(1, Some("c2"), Some("g"), ""),
        part(0, None, None, ":1}"),
        part(1, None, None, "{}"),
        Piece::Usage(usage),
        finish,
        Piece::End,
    ];
    let out = say(&pieces, Finish::ToolCalls).unwrap();
    well_formed(&out, "said");
    let again = read(&frames(&out));
    assert_eq!(said(&again, Channel::Reasoning), "hm hm");
    assert_eq!(said(&again, Channel::Output), "Hello world");
    assert_eq!(
        calls(&again),
        [["f", "c1", "{\"a\":1}"], ["g", "c2", "{}"]].map(|call| call.map(str::to_owned))
    );
    let last = events(&out).pop().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"]["usage"]["total_tokens"], 7);
    assert_eq!(last["response"]["model"], identity().model);
    for (finish, reason) in [
        (Finish::Length, "max_output_tokens"),
        (Finish::Filtered, "content_filter"),
    ] {
        let pieces = [
            text(Channel::Refusal, "no"),
            Piece::Finish {
                choice: 0,
                reason: "x".into(),
            },
            Piece::End,
        ];
        let out = say(&pieces, finish).unwrap();
        well_formed(&out, reason);
        let last = events(&out).pop().unwrap();
        assert_eq!(last["response"]["incomplete_details"]["reason"], reason);
    }
    // An answer that says nothing is one.
    well_formed(&say(&[Piece::End], Finish::Stop).unwrap(), "nothing");
    assert!(say(&[text(Channel::Other, "x")], Finish::Stop).is_err());
    assert!(say(&[part(0, Some("c"), None, "")], Finish::Stop).is_err());
}

#[test]
fn the_error_of_another_api_is_said() {
    let failure = OpenAiResponses
        .outbound()
        .read_error(429, b"{\"error\":{\"message\":\"slow\"}}");
    let out = say(
        &[
            text(Channel::Output, "a"),
            Piece::Error(failure),
            Piece::End,
        ],
        Finish::Stop,
    )
    .unwrap();
    let pieces = read(&frames(&out));
    assert!(
        pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Error(failure) if failure.message == "slow"))
    );
    assert_eq!(events(&out).last().unwrap()["type"], "response.failed");
}
