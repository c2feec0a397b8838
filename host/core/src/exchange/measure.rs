//! What an exchange tells of the tools, the model and the upstream that it meets: the vitals 40 to 48.
//!
//! A failure here is one that says something about the other side: no connection, a broken one, silence, 408, 429 and 5xx.
//! Any other refusal says something about the request, and is not counted at all. A call that a policy gave up before the
//! first token failed, after the time that was waited for it; one that the client gave up says nothing.

use super::hearing::Hearing;
use super::legs::Legs;
use super::next::Attempted;
use crate::event::Micros;
use crate::observe::health::Track;
use airlock_policy::contract::types::Detail;

/// Finds how the model and the upstream that are asked now have been doing.
pub fn look_around(hearing: &mut Hearing, legs: &Legs, at: Micros) {
    let health = &hearing.around.health;
    hearing.vitals.around.model = health.models.track(&legs.model, at);
    hearing.vitals.around.upstream = health.upstreams.track(&legs.upstream, at);
}

/// Tool results arrived, in the log from `from` on.
pub fn results(hearing: &mut Hearing, from: usize, at: Micros) {
    let session = &hearing.facts.session;
    for item in hearing.record.log().since(from) {
        let Some(Detail::ToolResult(result)) = item.detail() else {
            continue;
        };
        let duration = Some(result.duration);
        if let Some(track) = hearing.around.health.tools.track(&result.name, at) {
            track.add(duration, result.failed, at);
        }
        if let Some(track) = session.tool_health.track(&result.name, at) {
            track.add(duration, result.failed, at);
            session.state().newest_tool = Some(track);
        }
    }
    hearing.vitals.around.tool = session.state().newest_tool.clone();
}

/// Attempts failed, whatever came after them.
pub fn attempts(hearing: &Hearing, legs: &mut Legs, attempts: &[Attempted], at: Micros) {
    let health = &hearing.around.health;
    for attempt in attempts.iter().filter(|a| a.is_its_own) {
        for track in [
            health.models.track(&attempt.target.model, at),
            health.upstreams.track(&attempt.target.upstream, at),
        ] {
            track.inspect(|track| track.add(None, true, at));
        }
    }
    // Unless one of them was answered, the wait is over.
    legs.asked = None;
}

/// The first token arrived.
pub fn first_token(hearing: &Hearing, legs: &mut Legs, at: Micros) {
    call(hearing, legs, false, at);
}

/// The call was given up on a policy's order.
pub fn abandoned(hearing: &Hearing, legs: &mut Legs, at: Micros) {
    call(hearing, legs, true, at);
}

/// The generation broke off. If it had brought a token, the call was counted as a good one.
pub fn broken(hearing: &Hearing, legs: &mut Legs, at: Micros) {
    if legs.asked.take().is_some() {
        each_track(hearing, |track| track.add(None, true, at));
    } else if hearing.vitals.first_token.is_some() {
        each_track(hearing, |track| track.turned_bad(at));
    }
}

fn call(hearing: &Hearing, legs: &mut Legs, failed: bool, at: Micros) {
    if let Some(since) = legs.asked.take() {
        let waited = at.saturating_sub(since);
        each_track(hearing, |track| track.add(Some(waited), failed, at));
    }
}

fn each_track(hearing: &Hearing, tell: impl Fn(&Track)) {
    let around = &hearing.vitals.around;
    for track in [&around.model, &around.upstream].into_iter().flatten() {
        tell(track);
    }
}
