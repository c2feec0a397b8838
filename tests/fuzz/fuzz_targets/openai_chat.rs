//! The input is a stream, a request body and a response body at once.
#![no_main]

use airlock::gateway::dialect::openai_chat::OpenAiChat;
use airlock::gateway::dialect::{Dialect, Edits, Identity, Piece, TextEdit};
use airlock::gateway::sse::{Frame, Framer};
use airlock::session::event::Place;
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
    OpenAiChat
        .read_frame(frame, &mut Identity::default(), &mut pieces)
        .ok()?;
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
    let _ = OpenAiChat.read_request(input);
    let _ = OpenAiChat.read_body(input, &mut Identity::default(), &mut Vec::new());
    OpenAiChat.read_error(500, input);
    let _ = OpenAiChat.stream_of_body(input);
    let _ = OpenAiChat.body_of_stream(&frames(input));
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
        let Ok(Some(edited)) = OpenAiChat.edit_frame(&frame, &edits) else {
            continue;
        };
        let after = texts(&frames(&edited)[0]).expect("an edited frame can be read");
        assert_eq!(at(&after, place), "new");
        for (other, _) in before.iter().filter(|(other, _)| *other != place) {
            assert_eq!(at(&after, *other), at(&before, *other));
        }
    }
});
