//! What Airlock says itself: endings, errors, and what the upstream of another API said.

use super::*;
use crate::dialect::{
    CallKind, CallPart, ClientError, Closing, Ending, Failure, Finish, Origin, Partial, Slot,
};
use crate::event::{FailureKind, Usage};

fn closing<'c>(text: &'c str, ending: &'c Ending) -> Closing<'c> {
    Closing {
        open: &[0],
        begun: true,
        text,
        refusal: false,
        ending,
        usage: Some(Usage {
            input: 5,
            output: 3,
            exact: true,
            ..Usage::default()
        }),
    }
}

fn string(bytes: Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_stream_that_has_not_begun_is_a_whole_message() {
    let ending = Ending::Refused;
    let close = Closing {
        begun: false,
        ..closing("Not today.", &ending)
    };
    let written = string(writer().close(&close));
    let told = events(&written);
    assert_eq!(told[0]["message"]["id"], "msg_own");
    let pieces = read(written.as_bytes()).unwrap();
    assert_eq!(said(&pieces, Channel::Output), "Not today.");
    assert_eq!(finish(&pieces), Some("refusal"));
    assert_eq!(pieces.last(), Some(&Piece::End));
    // Whatever was written before has not reached that client.
    let mut writer = writer();
    let begun = message(&[text(0, &["a"])], "end_turn");
    write(&mut *writer, &stream(&begun[..3]), |_| Edits::default());
    let written = string(writer.close(&close));
    assert!(read(written.as_bytes()).unwrap().contains(&Piece::End));
}

#[test]
fn what_is_open_is_closed_and_the_mark_stands_at_the_end() {
    let ending = Ending::Partial(Partial {
        reason: "enough".to_owned(),
        confidence: None,
        policy: "p".to_owned(),
    });
    let whole = message(&[thinking(0, "Hm."), text(1, &["I ", "go"])], "end_turn");
    // The client has so many events, and is told this text.
    for (count, more, output) in [
        (1, "", ""),
        (1, "x", "x"),
        (3, "x", "x"),
        (5, "x", "x"),
        (7, "x", "I x"),
        (7, "", "I "),
        (9, "x", "I gox"),
    ] {
        let mut writer = writer();
        let mut written = write(&mut *writer, &stream(&whole[..count]), |_| Edits::default());
        written.push_str(&string(writer.close(&closing(more, &ending))));
        let pieces = read(written.as_bytes()).unwrap();
        assert_eq!(said(&pieces, Channel::Output), output, "{count}");
        assert_eq!(finish(&pieces), Some("max_tokens"));
        let told = events(&written);
        let stops = told
            .iter()
            .filter(|e| e["type"] == "content_block_stop")
            .count();
        let begins = told
            .iter()
            .filter(|e| e["type"] == "content_block_start")
            .count();
        assert_eq!(stops, begins);
        let last = told.iter().find(|e| e["type"] == "message_delta").unwrap();
        assert_eq!(last["airlock"]["reason"], "enough");
        assert_eq!(last["usage"]["input_tokens"], 5);
        assert_eq!(told.last().unwrap()["type"], "message_stop");
    }
    // A message that has its end gets no second one.
    let mut writer = writer();
    let most = &whole[..whole.len() - 1];
    let mut written = write(&mut *writer, &stream(most), |_| Edits::default());
    let close = Closing {
        open: &[],
        ..closing("x", &ending)
    };
    written.push_str(&string(writer.close(&close)));
    assert_eq!(written, stream(&whole));
}

#[test]
fn a_refusal_stands_beside_the_content() {
    let ending = Ending::Refused;
    let close = Closing {
        refusal: true,
        begun: false,
        ..closing("Not this.", &ending)
    };
    let pieces = read(&writer().close(&close)).unwrap();
    assert_eq!(said(&pieces, Channel::Output), "");
    assert_eq!(said(&pieces, Channel::Refusal), "Not this.");
    let body = writer().answer("Not this.", true, &ending, Usage::default());
    let pieces = read_body(&body).unwrap();
    assert_eq!(said(&pieces, Channel::Output), "");
    assert_eq!(said(&pieces, Channel::Refusal), "Not this.");
    let body = writer().answer("Yes.", false, &Ending::Complete, Usage::default());
    let pieces = read_body(&body).unwrap();
    assert_eq!(said(&pieces, Channel::Output), "Yes.");
    assert_eq!(finish(&pieces), Some("end_turn"));
    let value: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&value["type"], &value["role"]),
        (&json!("message"), &json!("assistant"))
    );
}

#[test]
fn errors_have_the_vendors_form_and_say_who_decided() {
    let error = |kind, status, origin| ClientError {
        status,
        kind,
        message: "no".to_owned(),
        code: "airlock_budget".to_owned(),
        origin,
    };
    let origin = Origin {
        code: "blocked",
        policy: "p".to_owned(),
        exchange: "s/1".to_owned(),
    };
    let body = DIALECT
        .inbound()
        .error_body(&error(FailureKind::Policy, 403, Some(origin)));
    let body: Value = serde_json::from_slice(&body).unwrap();
    let expected = json!({"type": "error", "error": {"type": "permission_error", "message": "no",
        "details": {"error_code": "airlock_budget"},
        "airlock": {"code": "blocked", "policy": "p", "exchange": "s/1"}}});
    assert_eq!(body, expected);
    for (kind, status, word) in [
        (FailureKind::RateLimit, 429, "rate_limit_error"),
        (FailureKind::Overloaded, 503, "overloaded_error"),
        (FailureKind::Timeout, 504, "timeout_error"),
        (FailureKind::Other, 401, "authentication_error"),
        (FailureKind::Other, 404, "not_found_error"),
        (FailureKind::Upstream, 502, "api_error"),
        (FailureKind::Other, 400, "invalid_request_error"),
        (FailureKind::Other, 422, "invalid_request_error"),
    ] {
        let frame = string(writer().error(&error(kind, status, None)));
        let told = events(&frame);
        assert_eq!(told[0]["error"]["type"], word);
        let pieces = read(frame.as_bytes()).unwrap();
        assert!(matches!(&pieces[0], Piece::Error(failure) if failure.message == "no"));
    }
}

fn say(pieces: &[(Piece, Finish)]) -> String {
    let mut writer = writer();
    let said = pieces
        .iter()
        .map(|(piece, finish)| string(writer.say(piece, *finish).unwrap()));
    said.collect()
}

fn texts(channel: Channel, text: &str) -> Piece {
    Piece::Text {
        place: place(channel),
        text: text.to_owned(),
        generated: true,
    }
}

fn part(number: u16, id: Option<&str>, arguments: &str) -> Piece {
    Piece::Call(CallPart {
        choice: 0,
        slot: Slot::Index(number),
        kind: CallKind::Function,
        id: id.map(str::to_owned),
        name: id.map(|id| format!("tool_{id}")),
        arguments: arguments.to_owned(),
    })
}

fn ended(reason: &str) -> Piece {
    Piece::Finish {
        choice: 0,
        reason: reason.to_owned(),
    }
}

#[test]
fn another_apis_answer_is_a_well_formed_stream() {
    let usage = Piece::Usage(Usage {
        input: 9,
        output: 4,
        cached: 2,
        reasoning: 1,
        exact: true,
    });
    let all = [
        texts(Channel::Reasoning, "Hm. "),
        texts(Channel::Reasoning, "Hm."),
        texts(Channel::Output, "I "),
        texts(Channel::Output, "look."),
        part(0, Some("a"), "{\"p\":"),
        part(1, Some("b"), ""),
        part(0, None, "1}"),
        ended("tool_calls"),
        usage.clone(),
        Piece::End,
    ];
    let pieces: Vec<_> = all
        .into_iter()
        .map(|piece| (piece, Finish::ToolCalls))
        .collect();
    let written = say(&pieces);
    let read = read(written.as_bytes()).unwrap();
    assert_eq!(said(&read, Channel::Reasoning), "Hm. Hm.");
    assert_eq!(said(&read, Channel::Output), "I look.");
    assert_eq!(
        calls(&read),
        [["tool_a", "a", "{\"p\":1}"], ["tool_b", "b", ""]]
    );
    assert_eq!(finish(&read), Some("tool_use"));
    assert!(read.contains(&usage), "{read:?}");
    let told = events(&written);
    assert_eq!(told[0]["type"], "message_start");
    assert_eq!(told[0]["message"]["id"], "msg_own");
    let stops = told.iter().filter(|e| e["type"] == "content_block_stop");
    assert_eq!(stops.count(), 4);
}

#[test]
fn reasons_are_said_in_this_apis_words() {
    for (finish_of, reason, word) in [
        (Finish::Stop, "stop", "end_turn"),
        (Finish::Length, "length", "max_tokens"),
        (Finish::Filtered, "content_filter", "refusal"),
        (Finish::ToolCalls, "tool_calls", "end_turn"),
        (Finish::Other, "RECITATION", "RECITATION"),
    ] {
        let pieces = [texts(Channel::Output, "a"), ended(reason), Piece::End];
        let written = say(&pieces.map(|piece| (piece, finish_of)));
        let read = read(written.as_bytes()).unwrap();
        assert_eq!(finish(&read), Some(word));
    }
    // A refusal is text that ends so; calls end so whatever their server says; without a word it is an end.
    let refusal = [texts(Channel::Refusal, "No."), ended("stop"), Piece::End];
    let read_of = |pieces: Vec<Piece>| {
        let pieces: Vec<_> = pieces.into_iter().map(|p| (p, Finish::Stop)).collect();
        read(say(&pieces).as_bytes()).unwrap()
    };
    let read = read_of(refusal.to_vec());
    assert_eq!(finish(&read), Some("refusal"));
    assert_eq!(said(&read, Channel::Output), "No.");
    let read = read_of(vec![part(0, None, "{}"), ended("stop"), Piece::End]);
    assert_eq!(finish(&read), Some("tool_use"));
    assert_eq!(calls(&read)[0][1], "airlock-0-0");
    let read = read_of(vec![Piece::End]);
    assert_eq!(finish(&read), Some("end_turn"));
}

#[test]
fn what_the_api_has_no_place_for_is_refused() {
    let mut writer = writer();
    let custom = Piece::Call(CallPart {
        kind: CallKind::Custom,
        slot: Slot::Index(0),
        ..CallPart::default()
    });
    for piece in [
        texts(Channel::Other, "a"),
        custom,
        Piece::Call(CallPart::default()),
        Piece::Text {
            place: Place::new(Channel::Output, 1, 0),
            text: "a".to_owned(),
            generated: true,
        },
    ] {
        assert!(writer.say(&piece, Finish::Stop).is_err(), "{piece:?}");
    }
    let failed = Piece::Error(Failure {
        status: 529,
        kind: FailureKind::Overloaded,
        message: "full".to_owned(),
    });
    let told = events(&string(writer.say(&failed, Finish::Other).unwrap()));
    assert_eq!(told[0]["error"]["type"], "overloaded_error");
    assert!(writer.say(&Piece::End, Finish::Other).unwrap().is_empty());
}

#[test]
fn a_question_of_airlocks_own_is_a_request() {
    let asked = DIALECT.outbound().ask("m", "Judge.", "this", 9);
    let view = view(std::str::from_utf8(&asked).unwrap()).unwrap();
    assert_eq!((view.model.as_str(), view.streamed), ("m", false));
    assert_eq!(view.max_output_tokens, Some(9));
    assert_eq!(view.messages[0].text, "Judge.");
    assert_eq!(view.messages[1].text, "this");
    assert_eq!(DIALECT.outbound().path("m", true), "/v1/messages");
    assert_eq!(DIALECT.outbound().key_header(), "x-api-key");
}
