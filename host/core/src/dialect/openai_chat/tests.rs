#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod corpus;
mod direct;
mod requests;
mod reshape;
mod responses;
mod said;

use bytes::Bytes;

use crate::dialect::openai_chat::OpenAiChat;
use crate::dialect::sse::{Frame, Framer};
use crate::dialect::{Edits, Identity, Piece, TextEdit, Undecodable};
use crate::event::{Channel, Place};

fn place(channel: Channel) -> Place {
    Place::new(channel, 0, 0)
}

fn frames(stream: &[u8]) -> Vec<Frame> {
    let mut framer = Framer::default();
    let mut out = Vec::new();
    framer
        .push(Bytes::copy_from_slice(stream), &mut out)
        .unwrap();
    out.extend(framer.finish());
    out
}

/// One frame with this data.
fn frame(data: &str) -> Frame {
    frames(format!("data: {data}\n\n").as_bytes()).remove(0)
}

fn read(frame: &Frame) -> Result<Vec<Piece>, Undecodable> {
    let mut out = Vec::new();
    OpenAiChat.read_frame(frame, &mut Identity::default(), &mut out)?;
    Ok(out)
}

fn read_all(frames: &[Frame]) -> Vec<Piece> {
    frames
        .iter()
        .flat_map(|frame| read(frame).unwrap())
        .collect()
}

/// All text of one place.
fn said(pieces: &[Piece], at: Place) -> String {
    let texts = pieces.iter().map(|piece| match piece {
        Piece::Text { place, text, .. } if *place == at => text.as_str(),
        _ => "",
    });
    texts.collect()
}

fn text(channel: Channel, text: &str) -> Piece {
    Piece::Text {
        place: place(channel),
        text: text.to_owned(),
        generated: true,
    }
}

/// Text that the model did not write.
fn beside(text: &str) -> Piece {
    Piece::Text {
        place: place(Channel::Other),
        text: text.to_owned(),
        generated: false,
    }
}

/// Edits of the text of places.
fn replacing(texts: &[TextEdit]) -> Edits<'static> {
    Edits {
        texts: texts.to_vec(),
        ..Edits::default()
    }
}
