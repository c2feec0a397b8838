//! Reading and editing of chunks and bodies.

mod any;
mod bodies;
mod edits;
mod fields;
mod frames;

use crate::dialect::openai_chat::OpenAiChat;
use crate::dialect::openai_chat::tests::{frame, place, read, replacing};
use crate::dialect::{Piece, TextEdit};
use crate::event::Channel;

fn chunk(delta: &str) -> String {
    format!(
        r#"{{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}],"usage":null}}"#
    )
}

fn pieces(delta: &str) -> Vec<Piece> {
    read(&frame(&chunk(delta))).unwrap()
}

fn edit(channel: Channel, text: &str) -> TextEdit {
    TextEdit {
        place: place(channel),
        text: text.to_owned(),
    }
}

/// Data of the chunk after an edit.
fn edited(data: &str, edit: TextEdit) -> String {
    let bytes = OpenAiChat
        .edit_frame(&frame(data), &replacing(&[edit]))
        .unwrap()
        .unwrap();
    String::from_utf8(bytes.to_vec())
        .unwrap()
        .strip_prefix("data: ")
        .unwrap()
        .trim_end()
        .to_owned()
}
