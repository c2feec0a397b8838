//! An upstream's error that the client is to have: its text is judged like any other. What is no error of the dialect is
//! stated as one, and so is one whose text a policy changed.

use bytes::Bytes;

use super::arrive::{self, Read};
use super::hearing::Hearing;
use super::legs::{Refusal, Stage};
use super::model_call::ModelCall;
use super::unread::undecodable;
use super::words::plain;
use crate::dialect::{Dialect, Failure, Piece, Undecodable, framing};
use crate::event::{Micros, Place};
use crate::release::frame::Payload;
use airlock_policy::contract::types::Checkpoint;

/// An upstream answered with an error: it is put before those who judge.
pub fn judge(
    hearing: &mut Hearing,
    call: &mut ModelCall,
    failure: Failure,
    bytes: &Bytes,
    now: Micros,
) {
    let dialect = call.legs.dialect;
    let withheld = "the upstream failed, and a policy withheld its message".to_owned();
    let withheld = state(hearing.facts.client, &failure, withheld);
    let mut body = framing::document(bytes);
    let mut pieces = Vec::new();
    let read = dialect.reader().body(&body, &mut pieces);
    if read.is_err() || !pieces.iter().any(|p| matches!(p, Piece::Error(_))) {
        body = state(hearing.facts.client, &failure, failure.message.clone());
        pieces.clear();
        if let Err(error) = dialect.reader().body(&body, &mut pieces) {
            undecodable(hearing, call, &error);
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
        let error = Undecodable {
            dialect: dialect.name(),
            place: "the error".to_owned(),
            what: "it makes tool calls".to_owned(),
        };
        undecodable(hearing, call, &error);
    }
    let refusal = Refusal {
        body: body.clone(),
        withheld,
        places,
        failure,
    };
    call.legs.go(Stage::Refusal(Box::new(refusal)));
    // Its bytes leave another way, if they leave.
    let read = Read {
        pieces,
        fault: None,
        usage_only: true,
    };
    arrive::arrived(hearing, call, Payload::Body(body), read, now);
    arrive::hear_out(hearing, call);
    hearing.checkpoint(Checkpoint::Stream, call, now);
}

/// The error that the client gets, when everybody was heard.
pub fn judged(hearing: &Hearing, call: &ModelCall, refusal: &Refusal) -> Bytes {
    let mut stretches = call.release.hold.stretches.iter();
    let passes = stretches.all(|s| {
        let limit = || hearing.panel.limit(s.place, s.safe());
        let all = || limit() >= s.text.len() as u32 && s.seen() == s.text;
        !refusal.places.contains(&s.place) || all()
    });
    match passes {
        true => refusal.body.clone(),
        false => refusal.withheld.clone(),
    }
}

/// An upstream's failure in the client's own words for one.
pub fn state(client: &dyn Dialect, failure: &Failure, message: String) -> Bytes {
    let error = plain(failure.status, failure.kind, "airlock_upstream", message);
    client.inbound().error_body(&error).into()
}
