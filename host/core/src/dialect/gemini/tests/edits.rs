//! Edits of frames and bodies, and the stream that several legs make.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    SIGNATURE, array_writer, calls, ends, events, frame, gemini, identity, parsed, place, read_all,
    read_body, replacing, said, says, writer,
};
use crate::dialect::{
    CallEdit, Dialect as _, EditError, Edits, Ending, Identity, Partial, TextEdit, Writer,
};
use crate::event::{Channel, Usage};

fn write(
    writer: &mut dyn Writer,
    data: &Value,
    edits: &Edits<'_>,
) -> Result<Option<Value>, EditError> {
    let written = writer.frame(&frame(data), edits)?;
    Ok(written.map(|bytes| events(&bytes).remove(0)))
}

fn rewritten(arguments: &str) -> CallEdit {
    CallEdit::Change {
        index: 0,
        arguments: Some(arguments.to_owned()),
        id_said: false,
        name_said: false,
    }
}

fn of_calls(calls: Vec<CallEdit>) -> Edits<'static> {
    Edits {
        calls,
        ..Edits::default()
    }
}

#[test]
fn only_the_bytes_of_a_text_change() {
    let raw = "data: {\"candidates\": [ {\"content\" : {\"parts\":[{\"text\" : \"a\"},{\"text\":\"b\"}]},\"x\":1.0 } ] }\r\n\r\n";
    let frame = super::frames(raw.as_bytes()).remove(0);
    let out = writer()
        .frame(&frame, &replacing(Channel::Output, "\"q\"\n"))
        .unwrap()
        .unwrap();
    assert_eq!(
        String::from_utf8(out.to_vec()).unwrap(),
        "data: {\"candidates\": [ {\"content\" : {\"parts\":[{\"text\" : \"\\\"q\\\"\\n\"},{\"text\":\"\"}]},\"x\":1.0 } ] }\n\n"
    );
    assert!(
        writer()
            .frame(&frame, &replacing(Channel::Reasoning, "x"))
            .is_err(),
        "there is none"
    );
}

#[test]
fn what_is_signed_goes_whole_or_stays() {
    let signed = says(json!([{"text": "ab", "thoughtSignature": SIGNATURE}]));
    assert!(write(&mut *writer(), &signed, &replacing(Channel::Output, "x")).is_err());
    let gone = write(&mut *writer(), &signed, &replacing(Channel::Output, ""))
        .unwrap()
        .unwrap();
    assert_eq!(
        gone["candidates"][0]["content"]["parts"],
        json!([{"text": ""}])
    );
    let both = says(
        json!([{"text": "ab", "thoughtSignature": SIGNATURE}, {"text": "c"}, {"text": "", "thoughtSignature": SIGNATURE}]),
    );
    let one = write(&mut *writer(), &both, &replacing(Channel::Output, "x"))
        .unwrap()
        .unwrap();
    assert_eq!(
        one["candidates"][0]["content"]["parts"],
        json!([{"text": ""}, {"text": "x"}, {"text": "", "thoughtSignature": SIGNATURE}])
    );
    let thought = says(json!([{"text": "hm", "thought": true, "thoughtSignature": SIGNATURE}]));
    assert!(
        write(
            &mut *writer(),
            &thought,
            &replacing(Channel::Reasoning, "x")
        )
        .is_err()
    );
    let code = says(json!([{"executableCode": {"code": "x"}, "thoughtSignature": SIGNATURE}]));
    for text in ["", "y"] {
        assert!(write(&mut *writer(), &code, &replacing(Channel::Other, text)).is_err());
    }
    let call =
        says(json!([{"functionCall": {"name": "rm", "args": {}}, "thoughtSignature": SIGNATURE}]));
    assert!(
        write(
            &mut *writer(),
            &call,
            &of_calls(vec![rewritten("{\"a\":1}")])
        )
        .is_err()
    );
    assert_eq!(
        write(&mut *writer(), &call, &of_calls(vec![CallEdit::Drop])).unwrap(),
        None,
        "nothing remains"
    );
    // A body too.
    let body = Bytes::from(signed.to_string());
    assert!(
        writer()
            .body(&body, &replacing(Channel::Output, "x"))
            .is_err()
    );
}

#[test]
fn calls_are_left_out_and_rewritten_beside_what_stays() {
    let parts = json!([
        {"text": "I try"},
        {"functionCall": {"name": "rm", "args": {"path": "/"}}, "thoughtSignature": SIGNATURE},
        {"functionCall": {"args": {"path": "/"}, "name": "ls", "id": "c1"}},
    ]);
    let edits = of_calls(vec![CallEdit::Drop, rewritten(" {\"path\":\"/tmp\"} ")]);
    let expected = json!([
        {"text": "I try"},
        {"functionCall": {"args": {"path": "/tmp"}, "name": "ls", "id": "c1"}},
    ]);
    let written = write(&mut *writer(), &ends(parts.clone()), &edits)
        .unwrap()
        .unwrap();
    assert_eq!(written["candidates"][0]["content"]["parts"], expected);
    assert_eq!(written["candidates"][0]["finishReason"], "STOP");
    let body = writer()
        .body(&Bytes::from(ends(parts.clone()).to_string()), &edits)
        .unwrap();
    assert_eq!(parsed(&body)["candidates"][0]["content"]["parts"], expected);
    for wrong in [
        vec![CallEdit::Drop],
        vec![CallEdit::Keep, rewritten("[1]")],
        vec![CallEdit::Keep, rewritten("")],
    ] {
        assert!(
            write(
                &mut *writer(),
                &ends(parts.clone()),
                &of_calls(wrong.clone())
            )
            .is_err(),
            "{wrong:?}"
        );
    }
    // A number that the client counts by is none of this API.
    let renumbered = CallEdit::Change {
        index: 7,
        arguments: None,
        id_said: false,
        name_said: true,
    };
    let same = write(
        &mut *writer(),
        &ends(parts.clone()),
        &of_calls(vec![renumbered.clone(), renumbered]),
    )
    .unwrap();
    assert_eq!(same.unwrap(), ends(parts));
}

#[test]
fn a_call_in_parts_is_rewritten_where_it_begins() {
    let call = |call: Value| says(json!([{ "functionCall": call }]));
    let stream = [
        call(json!({"name": "rm", "willContinue": true})),
        call(
            json!({"partialArgs": [{"jsonPath": "$.path", "stringValue": "/"}], "willContinue": true}),
        ),
        call(json!({})),
        call(json!({"name": "ls", "args": {}})),
        ends(json!([])),
    ];
    let mut writer = writer();
    let mut out = Vec::new();
    for (data, edit) in
        stream
            .iter()
            .zip([Some("{\"path\":\"/tmp\"}"), Some(""), Some(""), None, None])
    {
        let edits = of_calls(edit.map(rewritten).into_iter().collect());
        out.extend(
            writer
                .frame(&frame(data), &edits)
                .unwrap()
                .unwrap_or_default(),
        );
    }
    let made: Vec<_> = calls(&read_all(&super::frames(&out)).unwrap())
        .into_iter()
        .map(|c| (c.name.unwrap(), c.arguments))
        .collect();
    assert_eq!(
        made,
        [
            ("rm".to_owned(), "{\"path\":\"/tmp\"}".to_owned()),
            ("ls".to_owned(), "{}".to_owned())
        ]
    );
    // One whose other parts would follow the whole, and a part on its own.
    let mut writer = super::writer();
    write(&mut *writer, &stream[0], &of_calls(vec![rewritten("{}")])).unwrap();
    assert!(write(&mut *writer, &stream[1], &Edits::default()).is_err());
    assert!(
        write(
            &mut *super::writer(),
            &stream[1],
            &of_calls(vec![rewritten("{\"a\":1}")])
        )
        .is_err()
    );
    // Parts of a call that goes.
    let mut writer = super::writer();
    for data in &stream[..3] {
        assert_eq!(
            write(&mut *writer, data, &of_calls(vec![CallEdit::Drop])).unwrap(),
            None
        );
    }
}

#[test]
fn what_quotes_a_changed_text_is_emptied_wherever_it_comes() {
    let mut last = ends(json!([]));
    let supports = json!([{"segment": {"text": "my secret"}, "groundingChunkIndices": [0]}]);
    last["candidates"][0]["groundingMetadata"] =
        json!({"groundingSupports": supports, "webSearchQueries": ["q"]});
    last["candidates"][0]["logprobsResult"] = json!({"chosenCandidates": [{"token": "secret"}]});
    let mut writer = writer();
    assert_eq!(
        write(&mut *writer, &last, &Edits::default())
            .unwrap()
            .unwrap(),
        last,
        "nothing was changed"
    );
    write(
        &mut *writer,
        &says(json!([{"text": "my secret"}])),
        &replacing(Channel::Output, "[gone]"),
    )
    .unwrap();
    let emptied = write(&mut *writer, &last, &Edits::default())
        .unwrap()
        .unwrap();
    assert!(!emptied.to_string().contains("secret"), "{emptied}");
    assert_eq!(
        emptied["candidates"][0]["groundingMetadata"],
        json!({"groundingSupports": [], "webSearchQueries": ["q"]})
    );
    assert_eq!(emptied["candidates"][0]["finishReason"], "STOP");
    // With other text beside it replaced too, and in a body.
    let edits = replacing(Channel::Other, "[other]");
    let emptied = write(&mut *writer, &last, &edits).unwrap().unwrap();
    assert!(!emptied.to_string().contains("secret"), "{emptied}");
    let mut body = last.clone();
    body["candidates"][0]["content"]["parts"] = json!([{"text": "my secret"}]);
    let written = super::writer()
        .body(
            &Bytes::from(body.to_string()),
            &replacing(Channel::Output, "[gone]"),
        )
        .unwrap();
    assert!(
        !String::from_utf8(written.to_vec())
            .unwrap()
            .contains("secret")
    );
}

#[test]
fn two_legs_are_one_stream() {
    let first = Identity {
        id: "r1".to_owned(),
        model: "m1".to_owned(),
        ..Identity::default()
    };
    let mut writer = writer();
    let mut out = Vec::new();
    let call = json!([{"functionCall": {"name": "rm", "args": {}}, "thoughtSignature": SIGNATURE}]);
    let goes_on = |calls: Vec<CallEdit>| Edits {
        calls,
        goes_on: true,
        ..Edits::default()
    };
    let foreign = || Edits {
        identity: Some(&first),
        usage: Some(Usage {
            input: 14,
            output: 9,
            cached: 3,
            reasoning: 2,
            exact: true,
        }),
        ..Edits::default()
    };
    let mut second = says(json!([{"text": "I may not."}]));
    let mut third = ends(json!([{"text": "", "thoughtSignature": SIGNATURE}]));
    for response in [&mut second, &mut third] {
        (response["responseId"], response["modelVersion"]) = (json!("r2"), json!("m2"));
    }
    let legs = [
        (says(json!([{"text": "I try. "}])), Edits::default()),
        (ends(call), goes_on(vec![CallEdit::Drop])),
        (second, foreign()),
        (third, foreign()),
    ];
    for (data, edits) in &legs {
        out.extend(
            writer
                .frame(&frame(data), edits)
                .unwrap()
                .unwrap_or_default(),
        );
    }
    let told = events(&out);
    assert_eq!(
        told.len(),
        3,
        "the frame of the denied call is gone: {told:?}"
    );
    assert!(
        told.iter()
            .all(|event| event["responseId"] == "r1" && event["modelVersion"] == "m1")
    );
    let pieces = read_all(&super::frames(&out)).unwrap();
    assert_eq!(said(&pieces, Channel::Output), "I try. I may not.");
    let finishes = told
        .iter()
        .filter(|event| event["candidates"][0]["finishReason"] == "STOP")
        .count();
    assert_eq!((finishes, calls(&pieces).len()), (1, 0));
    assert_eq!(
        told[2]["usageMetadata"],
        json!({"promptTokenCount": 14, "candidatesTokenCount": 7, "totalTokenCount": 23, "cachedContentTokenCount": 3, "thoughtsTokenCount": 2})
    );
    // A call beside what was said: that stays, and its finish goes.
    let both = ends(json!([{"text": "I try."}, {"functionCall": {"name": "rm"}}]));
    let rest = write(&mut *super::writer(), &both, &goes_on(vec![CallEdit::Drop]))
        .unwrap()
        .unwrap();
    assert_eq!(
        rest["candidates"][0]["content"]["parts"],
        json!([{"text": "I try."}])
    );
    assert_eq!(rest["candidates"][0]["finishReason"], Value::Null);
}

#[test]
fn a_body_begins_with_the_text_of_earlier_legs() {
    let body = ends(json!([{"text": "b", "thoughtSignature": SIGNATURE}]));
    let before = |channel, text: &str| TextEdit {
        place: place(channel),
        text: text.to_owned(),
    };
    let edits = Edits {
        before: vec![
            before(Channel::Reasoning, "hm"),
            before(Channel::Output, "a "),
        ],
        identity: None,
        ..Edits::default()
    };
    let written = writer()
        .body(&Bytes::from(body.to_string()), &edits)
        .unwrap();
    let pieces = read_body(&written).unwrap();
    assert_eq!(
        (
            said(&pieces, Channel::Output),
            said(&pieces, Channel::Reasoning)
        ),
        ("a b".to_owned(), "hm".to_owned())
    );
    let blocked = json!({"candidates": [{"finishReason": "SAFETY"}]});
    let written = parsed(
        &writer()
            .body(&Bytes::from(blocked.to_string()), &edits)
            .unwrap(),
    );
    assert_eq!(
        written["candidates"][0]["content"]["parts"][1]["text"],
        "a "
    );
}

#[test]
fn a_body_that_was_stopped_says_so() {
    let ending = Ending::Partial(Partial {
        reason: "enough".to_owned(),
        confidence: Some(0.5),
        policy: "p".to_owned(),
    });
    let body = json!({"candidates": [{"content": {"parts": [{"text": "a"}]}, "finish_reason": "STOP"}, {}]});
    let ended = parsed(
        &writer()
            .end_body(body.to_string().as_bytes(), &ending)
            .unwrap(),
    );
    assert_eq!(ended["candidates"][0]["finish_reason"], "MAX_TOKENS");
    assert_eq!(ended["candidates"][1]["finishReason"], "MAX_TOKENS");
    assert_eq!(
        ended["airlock"],
        json!({"partial": true, "reason": "enough", "confidence": 0.5, "policy": "p"})
    );
    let refused = parsed(
        &writer()
            .end_body(body.to_string().as_bytes(), &Ending::Refused)
            .unwrap(),
    );
    assert_eq!(
        (
            &refused["candidates"][0]["finish_reason"],
            refused.get("airlock")
        ),
        (&json!("SAFETY"), None)
    );
}

#[test]
fn an_edit_of_what_cannot_be_read_fails() {
    let garbled = super::frames(b"data: {\"candidates\n\n").remove(0);
    assert!(
        writer()
            .frame(&garbled, &replacing(Channel::Output, "x"))
            .is_err()
    );
    let comment = super::frames(b": x\n\n").remove(0);
    assert!(
        writer()
            .frame(&comment, &replacing(Channel::Output, "x"))
            .is_err()
    );
    assert_eq!(
        array_writer().frame(&comment, &Edits::default()).unwrap(),
        None
    );
    let keys = says(json!([{"unheardOf": {"a long key": 1}}]));
    assert!(write(&mut *writer(), &keys, &replacing(Channel::Other, "x")).is_err());
    assert_eq!(gemini().writer(identity()).identity().id, "airlock-1");
}
