//! The input is a stream, a request body and a response body at once.
#![no_main]

use airlock_core::dialect::openai_chat::OpenAiChat;
use airlock_core::dialect::{Dialect, Edits, Identity, Piece, Received, TextEdit};
use airlock_core::dialect::sse::{Frame, Framer};
use airlock_core::event::Place;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fn frames(stream: &[u8]) -> Vec<Frame> {
    let mut framer = Framer::default();
    let mut out = Vec::new();
    framer
        .push(Bytes::copy_from_slice(stream), &mut out)
        .expect("the input is smaller than a frame may be");
    out.extend(framer.finish());
    out
}

fn texts(frame: &Frame) -> Option<Vec<(Place, String)>> {
    let mut pieces = Vec::new();
    OpenAiChat.reader().frame(frame, &mut pieces).ok()?;
    let texts = pieces.into_iter().filter_map(|piece| match piece {
        Piece::Text { place, text, .. } => Some((place, text)),
        _ => None,
    });
    Some(texts.collect())
}

fn at(texts: &[(Place, String)], place: Place) -> String {
    texts
        .iter()
        .filter(|(other, _)| *other == place)
        .map(|(_, text)| text.as_str())
        .collect()
}

fuzz_target!(|input: &[u8]| {
    let received = Received {
        path: "/v1/chat/completions",
        query: None,
        body: input,
    };
    let _ = OpenAiChat.inbound().read_request(received);
    let _ = OpenAiChat.reader().body(input, &mut Vec::new());
    OpenAiChat.outbound().read_error(500, input);
    let mut writer = OpenAiChat.writer(Identity::default());
    let _ = writer.stream_of_body(input);
    let _ = writer.body_of_stream(&frames(input));
    for frame in frames(input) {
        let Some(before) = texts(&frame) else {
            continue;
        };
        let Some(&(place, _)) = before.first() else {
            continue;
        };
        let edit = TextEdit {
            place,
            text: "new".to_owned(),
        };
        let edits = Edits {
            texts: vec![edit],
            ..Edits::default()
        };
        // Text that is not the value of a field cannot be replaced: then nothing leaves.
        let Ok(Some(edited)) = writer.frame(&frame, &edits) else {
            continue;
        };
        let after = texts(&frames(&edited)[0]).expect("an edited frame can be read");
        assert_eq!(at(&after, place), "new");
        for (other, _) in before.iter().filter(|(other, _)| *other != place) {
            assert_eq!(at(&after, *other), at(&before, *other));
        }
    }
});
