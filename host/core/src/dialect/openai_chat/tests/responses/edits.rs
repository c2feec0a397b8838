//! Edits of chunks: only the bytes of the value change, and all that repeats it.

use crate::dialect::openai_chat::OpenAiChat;
use crate::dialect::openai_chat::tests::responses::{chunk, edit, edited};
use crate::dialect::openai_chat::tests::{frame, frames, read, replacing, text};
use crate::dialect::{EditError, Edits};
use crate::event::Channel;

#[test]
fn an_edit_changes_the_bytes_of_the_value_and_no_others() {
    let data = r#"{ "id" : "c1", "choices":[ {"index":0, "delta" : {"content" : "a\u0041\n" , "x":1}, "finish_reason":"stop" } ] }"#;
    assert_eq!(
        edited(data, edit(Channel::Output, "é\"")),
        data.replace(r#""a\u0041\n""#, r#""é\"""#)
    );
    assert_eq!(
        edited(data, edit(Channel::Output, "")),
        data.replace(r#""a\u0041\n""#, r#""""#)
    );
    let frame = &frames(format!("id: 4\r\nevent: e\r\ndata: {data}\r\n\r\n").as_bytes())[0];
    let bytes = OpenAiChat
        .edit_frame(frame, &replacing(&[edit(Channel::Output, "b")]))
        .unwrap()
        .unwrap();
    let expected = format!(
        "id: 4\r\nevent: e\r\ndata: {}\r\n\r\n",
        data.replace(r#""a\u0041\n""#, r#""b""#)
    );
    assert_eq!(String::from_utf8(bytes.to_vec()).unwrap(), expected);
    assert_eq!(
        OpenAiChat
            .edit_frame(frame, &Edits::default())
            .unwrap()
            .unwrap(),
        frame.raw
    );
}

#[test]
fn an_edit_reaches_every_field_that_repeats_the_text() {
    let data = r#"{"choices":[{"index":0,"delta":{"content":"SECRET"},"logprobs":{"content":[{"token":"SECRET"}]},"token_ids":[1]},{"index":1,"delta":{"content":"b"},"logprobs":{"content":[]}}]}"#;
    let now = edited(data, edit(Channel::Output, "x"));
    assert_eq!(
        now,
        r#"{"choices":[{"index":0,"delta":{"content":"x"},"logprobs":null,"token_ids":null},{"index":1,"delta":{"content":"b"},"logprobs":{"content":[]}}]}"#
    );
    let data = chunk(
        r#"{"reasoning":"SECRET","reasoning_content":"SECRET","reasoning_details":[{"type":"reasoning.text","text":"SECRET"}],"content":"a"}"#,
    );
    let now = edited(&data, edit(Channel::Reasoning, "x"));
    assert_eq!(
        now,
        chunk(
            r#"{"reasoning":"x","reasoning_content":null,"reasoning_details":null,"content":"a"}"#
        )
    );
    let data = chunk(r#"{"content":[{"type":"text","text":"SEC"},{"type":"text","text":"RET"}]}"#);
    let now = edited(&data, edit(Channel::Output, "x"));
    assert_eq!(
        now,
        chunk(r#"{"content":[{"type":"text","text":"x"},{"type":"text","text":""}]}"#)
    );
}

#[test]
fn an_edit_of_data_on_several_lines_keeps_event_and_meaning() {
    let frame = &frames(
        b"event: e\ndata: {\"choices\":[{\"index\":0,\ndata: \"delta\":{\"content\":\"a\"}}]}\n\n",
    )[0];
    let bytes = OpenAiChat
        .edit_frame(frame, &replacing(&[edit(Channel::Output, "b")]))
        .unwrap()
        .unwrap();
    let again = &frames(&bytes)[0];
    assert_eq!(again.event, frame.event);
    assert_eq!(read(again).unwrap(), [text(Channel::Output, "b")]);
}

#[test]
fn an_edit_without_its_text_is_refused() {
    for data in [chunk(r#"{"content":""}"#), chunk(r#"{"refusal":"a"}"#)] {
        let result =
            OpenAiChat.edit_frame(&frame(&data), &replacing(&[edit(Channel::Output, "b")]));
        assert!(
            matches!(result, Err(EditError::Impossible { .. })),
            "{result:?}"
        );
    }
    assert!(
        OpenAiChat
            .edit_frame(&frame("[DONE]"), &replacing(&[edit(Channel::Output, "b")]))
            .is_err()
    );
}
