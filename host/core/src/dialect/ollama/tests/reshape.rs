//! A stream becomes a body, and a body a stream.

use proptest::prelude::*;

use super::*;

fn unnumbered(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for mut piece in pieces {
        if let Piece::Call(part) = &mut piece {
            part.slot = Slot::Whole;
            // Three characters are spelled otherwise in a line.
            let arguments: Value = serde_json::from_str(&part.arguments).unwrap();
            part.arguments = arguments.to_string();
        }
        match (
            joined.iter_mut().find(|known| same_place(known, &piece)),
            piece,
        ) {
            (Some(Piece::Text { text, .. }), Piece::Text { text: more, .. }) => {
                text.push_str(&more)
            }
            (_, piece) => joined.push(piece),
        }
    }
    // Of what is said at once the order is that of the fields.
    joined.sort_by_key(|piece| match piece {
        Piece::Text { place, .. } => (0, place.channel),
        Piece::Call(_) => (1, Channel::Output),
        _ => (2, Channel::Output),
    });
    joined
}

fn same_place(known: &Piece, new: &Piece) -> bool {
    matches!((known, new), (Piece::Text { place, .. }, Piece::Text { place: other, .. }) if place == other)
}

fn turns() -> impl Strategy<Value = Vec<(u8, String)>> {
    prop::collection::vec((0_u8..4, "[a-z\"\\\\\n\u{2028}é]{0,6}"), 0..9)
}

/// A stream of a chat or a prompt that says this.
fn stream(dialect: &dyn Dialect, says: &[(u8, String)]) -> String {
    let chats = dialect.name() == CHAT.name();
    let text = if chats { "content" } else { "response" };
    let mut out = String::new();
    let mut line = |message: Value, done: bool| {
        let mut line = match chats {
            true => json!({"model": "m", "created_at": "t", "message": message}),
            false => {
                let mut line = message;
                line["model"] = json!("m");
                line
            }
        };
        line["done"] = json!(done);
        if done {
            line["done_reason"] = json!("stop");
            line["prompt_eval_count"] = json!(3);
            line["eval_count"] = json!(4);
        }
        out.push_str(&format!("{line}\n"));
    };
    for (kind, said) in says {
        let mut message = json!({"role": "assistant", text: ""});
        match kind {
            0 | 1 => message[text] = json!(said),
            2 => message["thinking"] = json!(said),
            _ => {
                message["tool_calls"] =
                    json!([{"function": {"name": "t", "arguments": {"x": said}}}])
            }
        }
        line(message, false);
    }
    line(json!({"role": "assistant", text: ""}), true);
    out
}

proptest! {
    #[test]
    fn both_forms_say_the_same(says in turns(), generates in any::<bool>(), size in 1_usize..40) {
        let dialect = if generates { GENERATE } else { CHAT };
        let stream = stream(dialect, &says);
        let pieces = read(dialect, stream.as_bytes()).unwrap();
        // However it is cut.
        let cut = in_chunks(stream.as_bytes(), size);
        let (mut reader, mut out) = (dialect.reader(), Vec::new());
        for frame in &cut {
            reader.frame(frame, &mut out).unwrap();
        }
        prop_assert_eq!(&out, &pieces);
        let writer = writer(dialect);
        let body = writer.body_of_stream(&cut).unwrap();
        let of_body = read_body(dialect, &body).unwrap();
        prop_assert_eq!(unnumbered(of_body), unnumbered(pieces.clone()));
        let again = writer.stream_of_body(&body).unwrap();
        lines(&again);
        prop_assert_eq!(unnumbered(read(dialect, &again).unwrap()), unnumbered(pieces));
    }
}

#[test]
fn fields_of_the_end_are_kept() {
    let stream = format!("{}\n{}\n", part("hi"), last());
    let body = writer(CHAT)
        .body_of_stream(&frames(stream.as_bytes()))
        .unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let mut expected = last();
    expected["message"]["content"] = json!("hi");
    assert_eq!(body, expected);
    let line = json!({"response": "hi", "done": true, "context": [1, 2], "eval_count": 1,
        "logprobs": [{"token": "hi", "logprob": -1.0}]});
    let stream = writer(GENERATE)
        .stream_of_body(line.to_string().as_bytes())
        .unwrap();
    let told = lines(&stream);
    assert_eq!(told[0]["logprobs"], line["logprobs"]);
    assert_eq!(
        told[1],
        json!({"response": "", "done": true, "context": [1, 2], "eval_count": 1})
    );
}

#[test]
fn an_error_stays_one_and_what_breaks_off_is_no_body() {
    let error = json!({"error": "broke"});
    let stream = format!("{}\n{error}\n", part("hi"));
    let body = writer(CHAT)
        .body_of_stream(&frames(stream.as_bytes()))
        .unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), error);
    let stream = writer(CHAT).stream_of_body(&body).unwrap();
    assert_eq!(lines(&stream), [error]);
    let cut = format!("{}\n", part("hi"));
    assert!(
        writer(CHAT)
            .body_of_stream(&frames(cut.as_bytes()))
            .is_err()
    );
    // What the reader refuses is not mended on the way.
    let twice = b"{\"message\":{\"content\":\"a\",\"content\":\"b\"},\"done\":true}\n";
    assert!(writer(CHAT).body_of_stream(&frames(twice)).is_err());
    assert!(writer(CHAT).stream_of_body(twice).is_err());
}
