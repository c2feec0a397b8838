//! Tool calls of the generation: told when they are complete, judged, and then permitted or denied.
//!
//! Guarantees: with anybody to object, no byte of a call reaches the client before it was judged whole. A denied call never
//! does; the model is given the reason as its result.

use super::bounds;
use super::heard::{Heard, told};
use super::hearing::{Hearing, Matter as _};
use super::model_call::ModelCall;
use super::unread::unreadable;
use crate::act::tools;
use crate::dialect::{CallPart, Piece};
use crate::event::Micros;
use crate::reason::order::By;
use crate::release::Hold;
use crate::release::call::{Call, Sealed};
use crate::release::frame::Said;
use crate::release::stretch::Stretch;
use airlock_policy::contract::types::Checkpoint;

/// A part of a tool call. One for a call that is sealed was never judged: where somebody judges, the exchange ends.
pub fn part(
    hearing: &mut Hearing,
    call: &mut ModelCall,
    part: &CallPart,
    said: &mut Said,
    at: Micros,
) {
    let leg = call.legs.number();
    let (patterns, counter) = (&hearing.panel.plan.patterns, &call.prompt.counter);
    let mut found = Vec::new();
    let hold = &mut call.release.hold;
    match hold.call_part(part, leg, patterns, counter, &mut found) {
        Ok((borne, span, tokens)) => {
            said.tokens += tokens;
            said.calls.push(borne);
            let place = hold.stretches.get(borne.stretch).map(|s| s.place);
            if let Some(place) = place.filter(|_| !part.arguments.is_empty()) {
                let arrived = Heard {
                    place,
                    text: &part.arguments,
                    generated: true,
                    tokens,
                };
                told(hearing, call, &arrived, &span, at);
                hearing.panel.matched(place, &found);
            }
            bounds::bound_call(hearing, call, borne.stretch);
        }
        Err(Sealed { name }) => {
            let what = format!(
                "a further part of the call of `{name}` came after its choice had finished"
            );
            unreadable(hearing, call, "tool_calls", what);
        }
    }
}

/// A client that looks at the first choice alone would join the text of several. Those that were asked for are its own
/// affair.
pub fn check_choices(hearing: &mut Hearing, call: &mut ModelCall, pieces: &[Piece]) {
    let asked = hearing.facts.choices();
    let beyond = pieces.iter().find_map(|piece| {
        let choice = match piece {
            Piece::Text { place, .. } => place.choice,
            Piece::Call(part) => part.choice,
            Piece::Finish { choice, .. } => *choice,
            Piece::Beside | Piece::Usage(_) | Piece::Error(_) | Piece::End => 0,
        };
        (choice >= asked).then_some(choice)
    });
    if let Some(choice) = beyond {
        let what =
            format!("a part of choice {choice} came, counted from 0, and {asked} were asked for");
        unreadable(hearing, call, "choices", what);
    }
}

/// No more parts of these calls come: they are told whole, and judged.
pub fn seal(
    hearing: &mut Hearing,
    call: &mut ModelCall,
    which: impl Fn(&Stretch) -> bool,
    now: Micros,
) {
    let open = |s: &Stretch| s.call.as_ref().is_some_and(Call::is_open);
    let stretches = call.release.hold.stretches.iter().enumerate();
    let sealed: Vec<usize> = stretches
        .filter(|(_, s)| open(s) && which(s))
        .map(|(index, _)| index)
        .collect();
    if sealed.is_empty() {
        return;
    }
    hearing.record.flush();
    let holds = call.holds_tool_calls(hearing);
    let phase = call.phase();
    let hold = &mut call.release.hold;
    for index in &sealed {
        let mut found = Vec::new();
        hold.finish(*index, &mut found);
        let Some(stretch) = hold.stretches.get_mut(*index) else {
            continue;
        };
        let arguments = stretch.seen();
        let place = stretch.place;
        if let Some(call) = &mut stretch.call {
            call.seal();
            let called = call.called();
            hearing.panel.matched(place, &found);
            hearing.record.call(called, place, &arguments, None, now);
        }
        if holds {
            deny_unclear(hearing, hold, *index, now);
        }
        let by = By::Operator { observed: false };
        let (mut scene, _) = hearing.scene(by, phase, now);
        tools::ask_circuit(&mut scene, hold, *index);
    }
    call.at_hand.calls.clone_from(&sealed);
    hearing.checkpoint(Checkpoint::ToolCall, call, now);
    call.at_hand.calls.clear();
    for index in sealed {
        permit(hearing, &mut call.release.hold, index, now);
    }
}

/// A call that clients would read differently is not judged in one reading and run in another.
fn deny_unclear(hearing: &mut Hearing, hold: &mut Hold, index: usize, now: Micros) {
    let stretch = hold.stretches.get_mut(index);
    let Some(call) = stretch.and_then(|s| s.call.as_mut()) else {
        return;
    };
    if call.name.is_empty() && call.unclear.is_none() {
        call.unclear = Some("it names no tool".to_owned());
    }
    let Some(unclear) = &call.unclear else {
        return;
    };
    let reason =
        format!("The call was not permitted, since it cannot be read for certain: {unclear}.");
    let arguments = serde_json::json!({ "id": call.id, "reason": reason });
    call.deny(reason.clone());
    hearing.intervened("deny-tool-call", "airlock", &reason, arguments, now);
}

/// A call to which nobody objected goes out. One that is denied does not, and probes no circuit.
pub fn permit(hearing: &Hearing, hold: &mut Hold, index: usize, now: Micros) {
    let Some(stretch) = hold.stretches.get_mut(index) else {
        return;
    };
    let arguments = stretch.seen();
    let Some(call) = &mut stretch.call else {
        return;
    };
    let mut state = hearing.facts.session.state();
    if call.is_out() {
        state.circuits.not_sent(&call.id);
    } else if call.permit() {
        let id = call.client_id();
        state.tools.released(id, &call.name, now);
        state.circuits.released(id, &call.name, &arguments);
    }
}
