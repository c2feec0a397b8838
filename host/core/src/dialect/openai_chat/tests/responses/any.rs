//! Whatever comes is read or refused, and any text survives.

use proptest::prelude::*;

use crate::dialect::openai_chat::OpenAiChat;
use crate::dialect::openai_chat::tests::responses::{chunk, edit};
use crate::dialect::openai_chat::tests::{frame, frames, place, read, replacing, said};
use crate::event::Channel;

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(data in prop::collection::vec(any::<u8>(), 0..256)) {
        let framed = [b"data: ".as_slice(), &data, b"\n\n"].concat();
        for frame in frames(&framed) {
            let _ = read(&frame);
            let _ = OpenAiChat.edit_frame(&frame, &replacing(&[edit(Channel::Output, "x")]));
        }
        let _ = OpenAiChat.read_request(&data);
        OpenAiChat.read_error(500, &data);
    }

    #[test]
    fn any_text_survives_reading_and_writing(old in any::<String>(), new in any::<String>(), spelled_out: bool) {
        let quoted = if spelled_out {
            format!("\"{}\"", old.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>())
        } else {
            serde_json::to_string(&old).unwrap()
        };
        let frame = frame(&chunk(&format!(r#"{{"content":{quoted},"refusal":"r"}}"#)));
        prop_assert_eq!(said(&read(&frame).unwrap(), place(Channel::Output)), old.clone());
        if !old.is_empty() {
            let bytes = OpenAiChat.edit_frame(&frame, &replacing(&[edit(Channel::Output, &new)])).unwrap().unwrap();
            let again = read(&frames(&bytes)[0]).unwrap();
            prop_assert_eq!(said(&again, place(Channel::Output)), new);
            prop_assert_eq!(said(&again, place(Channel::Refusal)), "r");
        }
    }
}
