//! What cannot be read: where somebody judges it ends the exchange, and elsewhere it is said once that it passed unread.

use super::hearing::Hearing;
use super::model_call::ModelCall;
use crate::act::fate::Fate;
use crate::dialect::Undecodable;
use crate::event::Body;

/// What came cannot be read for certain.
pub fn unreadable(hearing: &mut Hearing, call: &mut ModelCall, place: &str, what: String) {
    let error = Undecodable {
        dialect: hearing.facts.client.name(),
        place: place.to_owned(),
        what,
    };
    undecodable(hearing, call, &error);
}

/// What came cannot be read: where somebody judges, the exchange ends.
pub fn undecodable(hearing: &mut Hearing, call: &mut ModelCall, error: &Undecodable) {
    if hearing.panel.guards() {
        let why = format!("the upstream's answer cannot be judged: {error}");
        hearing.fate = Some(Fate::refusal(why));
    }
    unread(hearing, call, &error.to_string());
}

/// That something was not read is said once.
pub fn unread(hearing: &mut Hearing, call: &mut ModelCall, reason: &str) {
    if !std::mem::replace(&mut call.release.told_unjudged, true) {
        hearing.record.note(Body::Unjudged {
            path: format!("response of {}", call.legs.upstream),
            reason: reason.to_owned(),
        });
    }
}
