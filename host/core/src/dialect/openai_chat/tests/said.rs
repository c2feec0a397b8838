//! What Airlock itself says reads back as what was meant.

use serde_json::Value;

use crate::dialect::openai_chat::OpenAiChat;
use crate::dialect::openai_chat::tests::{frames, place, read_all, said, text};
use crate::dialect::{
    CallKind, CallPart, ClientError, Closing, Ending, Identity, Partial, Piece, Slot,
};
use crate::event::{Channel, FailureKind, Place, Usage};

const USAGE: Usage = Usage {
    input: 9,
    output: 5,
    cached: 1,
    reasoning: 2,
    exact: true,
};

fn identity() -> Identity {
    Identity {
        id: "c1".into(),
        model: "m".into(),
        created: 7,
        reasoning_field: None,
    }
}

fn partial() -> Ending {
    Ending::Partial(Partial {
        reason: "budget".into(),
        confidence: Some(0.5),
        policy: "token-budget".into(),
    })
}

fn chunks(bytes: &[u8]) -> Vec<Value> {
    frames(bytes)
        .iter()
        .filter_map(|frame| serde_json::from_slice(frame.data.as_ref()?).ok())
        .collect()
}

#[test]
fn text_goes_out_in_the_field_of_its_channel() {
    let spoken = |identity: &Identity, place| {
        let bytes = OpenAiChat.text_frame(identity, place, "a\n\"b\"").unwrap();
        (read_all(&frames(&bytes)), chunks(&bytes).remove(0))
    };
    for channel in [
        Channel::Output,
        Channel::Reasoning,
        Channel::Refusal,
        Channel::ToolArguments,
    ] {
        let calls = channel == Channel::ToolArguments;
        let at = Place::new(channel, 2, if calls { 3 } else { 0 });
        let (pieces, chunk) = spoken(&identity(), at);
        let expected = if calls {
            Piece::Call(CallPart {
                choice: 2,
                slot: Slot::Index(3),
                kind: CallKind::Function,
                arguments: "a\n\"b\"".into(),
                ..CallPart::default()
            })
        } else {
            Piece::Text {
                place: at,
                text: "a\n\"b\"".into(),
                generated: true,
            }
        };
        assert_eq!(pieces, [expected]);
        assert_eq!(
            (&chunk["id"], &chunk["model"], &chunk["created"]),
            (&"c1".into(), &"m".into(), &7.into())
        );
    }
    let learnt = Identity {
        reasoning_field: Some("reasoning"),
        ..identity()
    };
    assert!(
        spoken(&learnt, place(Channel::Reasoning)).1["choices"][0]["delta"]["reasoning"]
            .is_string()
    );
    assert!(
        OpenAiChat
            .text_frame(&identity(), place(Channel::Other), "a")
            .is_err()
    );
}

#[test]
fn a_stream_that_never_began_is_begun_said_and_closed() {
    let closing = Closing {
        open: &[0],
        begun: false,
        text: "no",
        refusal: false,
        ending: &Ending::Refused,
        usage: Some(USAGE),
    };
    let bytes = OpenAiChat.close_stream(&identity(), &closing);
    assert_eq!(
        read_all(&frames(&bytes)),
        [
            text(Channel::Output, "no"),
            Piece::Finish {
                choice: 0,
                reason: "content_filter".into()
            },
            Piece::Usage(USAGE),
            Piece::End,
        ]
    );
    assert_eq!(
        chunks(&bytes)[0]["choices"][0]["delta"]["role"],
        "assistant"
    );
}

#[test]
fn every_open_choice_is_closed_and_a_partial_result_says_so() {
    let closing = Closing {
        open: &[0, 2],
        begun: true,
        text: "",
        refusal: false,
        ending: &partial(),
        usage: None,
    };
    let bytes = OpenAiChat.close_stream(&identity(), &closing);
    let finish = |choice| Piece::Finish {
        choice,
        reason: "length".into(),
    };
    let mut pieces = read_all(&frames(&bytes));
    // An upstream's mark would be text like any other.
    pieces.retain(|piece| !matches!(piece, Piece::Text { .. }));
    assert_eq!(pieces[..2], [finish(0), finish(2)]);
    for chunk in chunks(&bytes) {
        assert_eq!(
            chunk["airlock"],
            serde_json::json!({"partial": true, "reason": "budget", "confidence": 0.5, "policy": "token-budget"})
        );
    }
}

#[test]
fn a_body_says_the_same_as_a_stream() {
    for (ending, reason) in [
        (Ending::Complete, "stop"),
        (Ending::Refused, "content_filter"),
        (partial(), "length"),
    ] {
        let body = OpenAiChat.answer_body(&identity(), "hi", false, &ending, USAGE);
        let mut pieces = Vec::new();
        let mut learnt = Identity::default();
        OpenAiChat
            .read_body(&body, &mut learnt, &mut pieces)
            .unwrap();
        assert_eq!(said(&pieces, place(Channel::Output)), "hi");
        assert!(pieces.contains(&Piece::Finish {
            choice: 0,
            reason: reason.into()
        }));
        assert!(pieces.contains(&Piece::Usage(USAGE)));
        assert_eq!(learnt, identity());
    }
}

#[test]
fn an_error_is_an_error_object_and_no_terminator_follows() {
    let error = ClientError {
        status: 403,
        kind: FailureKind::Policy,
        message: "blocked".into(),
        code: "airlock_blocked".into(),
        origin: None,
    };
    let read = OpenAiChat.read_error(403, &OpenAiChat.error_body(&error));
    assert_eq!((read.status, read.message.as_str()), (403, "blocked"));
    let pieces = read_all(&frames(&OpenAiChat.error_frame(&error)));
    assert!(
        matches!(&pieces[..], [Piece::Error(failure), Piece::Text { .. }] if failure.message == "blocked"),
        "{pieces:?}"
    );
}
