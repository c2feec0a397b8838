//! What Airlock itself says, and what another API's upstream said.

use super::*;
use crate::dialect::{
    CallPart, ClientError, Closing, Ending, Failure, Finish, Origin, Partial, openai,
};
use crate::event::{FailureKind, Usage};

const USAGE: Usage = Usage {
    input: 9,
    output: 5,
    cached: 0,
    reasoning: 0,
    exact: true,
};

#[test]
fn every_open_choice_is_closed_and_a_partial_result_says_so() {
    let second = Place::new(Channel::Output, 2, 0);
    let ending = Ending::Partial(Partial {
        reason: "budget".into(),
        confidence: Some(0.5),
        policy: "token-budget".into(),
    });
    let closing = Closing {
        open: &[0, 2],
        begun: true,
        text: "no",
        refusal: true,
        ending: &ending,
        usage: Some(USAGE),
    };
    let bytes = writer().close(&closing);
    let told = chunks(&bytes);
    assert!(
        told.iter()
            .all(|chunk| chunk["id"] == "c1" && chunk["object"] == "text_completion")
    );
    assert_eq!(told[2]["airlock"]["partial"], true);
    let plain = Closing {
        ending: &Ending::Refused,
        ..closing
    };
    let pieces = read_all(&frames(&writer().close(&plain))).unwrap();
    let expected = [
        text(OUTPUT, "no"),
        text(second, "no"),
        finish(0, "content_filter"),
        finish(2, "content_filter"),
        Piece::Usage(USAGE),
        Piece::End,
    ];
    assert_eq!(pieces, expected);
}

#[test]
fn a_body_answers_in_one_choice() {
    let body = writer().answer("no", true, &Ending::Complete, USAGE);
    let expected = [
        text(OUTPUT, "no"),
        finish(0, "stop"),
        Piece::Usage(USAGE),
        Piece::End,
    ];
    assert_eq!(read_body(&body).unwrap(), expected);
}

#[test]
fn an_error_is_an_error_object_and_no_terminator_follows() {
    let error = ClientError {
        status: 403,
        kind: FailureKind::Upstream,
        message: "not allowed".to_owned(),
        code: "content_filter".to_owned(),
        origin: Some(Origin {
            code: "airlock_blocked",
            policy: "pii".to_owned(),
            exchange: "s/1".to_owned(),
        }),
    };
    let told = chunks(&writer().error(&error)).remove(0);
    assert_eq!(told["error"]["code"], "content_filter");
    assert_eq!(told["error"]["airlock"]["policy"], "pii");
    let body = API.inbound().error_body(&error);
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), told);
}

#[test]
fn what_another_api_said_is_a_stream_of_this_one() {
    let reasoning = Place::new(Channel::Reasoning, 0, 0);
    let pieces = [
        (text(reasoning, "hm"), Finish::Other),
        (text(OUTPUT, "hello"), Finish::Other),
        (Piece::Beside, Finish::Other),
        (finish(0, "end_turn"), Finish::Stop),
        (Piece::Usage(USAGE), Finish::Other),
        (Piece::End, Finish::Other),
    ];
    let mut writer = writer();
    let mut out = Vec::new();
    for (piece, finish) in &pieces {
        out.extend(writer.say(piece, *finish).unwrap());
    }
    let expected = [
        text(reasoning, "hm"),
        text(OUTPUT, "hello"),
        finish(0, "stop"),
        Piece::Usage(USAGE),
        Piece::End,
    ];
    assert_eq!(read_all(&frames(&out)).unwrap(), expected);
    for refused in [text(OTHER, "source"), Piece::Call(CallPart::default())] {
        assert!(writer.say(&refused, Finish::Other).is_err(), "{refused:?}");
    }
    let failure = Failure {
        status: 500,
        kind: FailureKind::Upstream,
        message: "broke".to_owned(),
    };
    let told = writer.say(&Piece::Error(failure), Finish::Other).unwrap();
    assert_eq!(chunks(&told)[0]["error"]["message"], "broke");
    assert_eq!(openai::meaning("content_filter"), Finish::Filtered);
}
