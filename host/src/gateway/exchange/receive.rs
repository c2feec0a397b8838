//! What comes over the transport boundary of each call to an upstream, first or further: decoded units go to the
//! exchange, and what is none goes nowhere where somebody judges.

use bytes::Bytes;

use super::conduct::Exchange;
use super::hold::Payload;
use crate::contract::types::Checkpoint;
use crate::dialect::framing::{self, Decoded, Framing, Whole};
use crate::dialect::sse::Frame;
use crate::dialect::{ClientError, Failure, Identity, Piece, Undecodable};
use crate::event::phase::Phase;
use crate::event::{Body, Place};

impl Exchange {
    /// Parts of a stream arrived.
    pub(super) fn receive(&mut self, decoded: Vec<Decoded>) {
        for part in decoded {
            match part {
                Decoded::Unit(frame) => self.unit(frame),
                Decoded::Noise(frame) => self.noise(frame),
                Decoded::Document(document) => self.document(document),
            }
            if self.fate.is_some() {
                return;
            }
        }
    }

    fn unit(&mut self, frame: Frame) {
        if self.guards() {
            return self.frame(frame.bare());
        }
        if frame.says_more() {
            self.passes_unread("fields beside an event's data");
        }
        self.frame(frame);
    }

    fn noise(&mut self, frame: Frame) {
        if self.guards() {
            return;
        }
        if !frame.raw.trim_ascii().is_empty() {
            self.passes_unread("bytes that are no event with data");
        }
        self.arrived(Payload::Frame(frame), Vec::new(), Ok(()), false);
    }

    /// A whole body, where the client asked for a stream.
    fn document(&mut self, document: Bytes) {
        match self.dialect.stream_of_body(&framing::document(&document)) {
            Ok(stream) => {
                let (mut framing, mut frames) = (Framing::default(), Vec::new());
                // As long as the document at least, which was not too long.
                if framing.push(stream, &mut frames).is_ok() {
                    self.receive(frames);
                }
            }
            Err(error) => {
                let raw = Frame {
                    raw: document,
                    event: None,
                    data: None,
                };
                self.arrived(Payload::Frame(raw), Vec::new(), Err(error), false);
            }
        }
    }

    /// A whole answer arrived, for a client that asked for one.
    ///
    /// # Errors
    /// It is a stream, and no whole one.
    pub(super) fn receive_whole(&mut self, answer: Bytes) -> Result<(), Undecodable> {
        match framing::whole(answer) {
            Whole::Document(answer) if self.guards() => self.body(framing::document(&answer)),
            Whole::Document(answer) => self.body(answer),
            Whole::Stream(frames) => {
                let body = self.dialect.body_of_stream(&frames)?;
                self.body(body.into());
            }
        }
        Ok(())
    }

    /// An upstream answered with an error, which the client is to have: its text is judged like any other. `None` if it
    /// was decided that the client has something else. What is no error of this dialect is stated as one, and so is one
    /// whose text a policy changed.
    pub(super) async fn judge_error(&mut self, failure: &Failure, bytes: Bytes) -> Option<Bytes> {
        if !self.guards() {
            return Some(bytes);
        }
        let state = |message: String| -> Bytes {
            let error = ClientError {
                status: failure.status,
                kind: failure.kind,
                message,
                code: "airlock_upstream".to_owned(),
                origin: None,
            };
            self.dialect.error_body(&error).into()
        };
        let withheld = state("the upstream failed, and a policy withheld its message".to_owned());
        let mut body = framing::document(&bytes);
        let (mut identity, mut pieces) = (Identity::default(), Vec::new());
        let read = self.dialect.read_body(&body, &mut identity, &mut pieces);
        if read.is_err() || !pieces.iter().any(|p| matches!(p, Piece::Error(_))) {
            body = state(failure.message.clone());
            pieces.clear();
            let read = self.dialect.read_body(&body, &mut identity, &mut pieces);
            if let Err(error) = read {
                self.undecodable(&error);
            }
        }
        pieces.retain(|p| matches!(p, Piece::Text { .. } | Piece::Call(_)));
        let places: Vec<Place> = pieces
            .iter()
            .filter_map(|p| match p {
                Piece::Text { place, .. } => Some(*place),
                _ => None,
            })
            .collect();
        if places.len() < pieces.len() {
            self.undecodable(&Undecodable {
                dialect: self.dialect.name(),
                place: "the error".to_owned(),
                what: "it makes tool calls".to_owned(),
            });
        }
        // Its bytes leave another way, if they leave.
        self.phase = Phase::Generating;
        self.arrived(Payload::Body(body.clone()), pieces, Ok(()), true);
        self.hear_out();
        self.checkpoint(Checkpoint::Stream);
        self.wait_for_answers().await;
        if self.fate.is_some() {
            return None;
        }
        let stretches = self.hold.stretches.iter().enumerate();
        let passes = stretches
            .filter(|(_, s)| places.contains(&s.place))
            .all(|(at, _)| self.passes(at));
        Some(if passes { body } else { withheld })
    }

    /// With nobody to judge, everything passes, and that it was not read is said once.
    fn passes_unread(&mut self, what: &str) {
        if !std::mem::replace(&mut self.told_unjudged, true) {
            self.session.timeline.append(
                self.number,
                Body::Unjudged {
                    path: format!("response of {}", self.upstream),
                    reason: format!("{what} passed unread"),
                },
            );
        }
    }
}
