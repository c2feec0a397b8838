//! The family "tools": calls are denied or rewritten, and circuits opened.
//!
//! A denied call never reaches the client; the model is given the reason as its result. What a rewritten call says is judged
//! again by the others; a call that is rewritten a third time is denied, because policies that disagree for ever must not
//! decide by exhaustion.

use super::scene::{Done, Scene, done, refused};
use crate::event::{CallKind, Channel, Outcome};
use crate::release::Hold;
use crate::release::call::Call;
use crate::session::circuits::Admission;
use crate::session::record::Intervened;
use airlock_policy::contract::types as wit;

/// How often the arguments of one call may be replaced.
const MAX_REWRITES: u8 = 2;

/// Keeps a call from the client. Some servers give calls of several choices one id: those of one id and name are one to
/// whoever denies them.
pub fn deny(hold: &mut Hold, denial: &wit::ToolDenial) -> Done {
    let mut outcome = unknown_call(&denial.call);
    let calls = || hold.stretches.iter().filter_map(|s| s.call.as_ref());
    let named = calls().find(|call| call.id == denial.call);
    let name = named.map(|call| call.name.clone()).unwrap_or_default();
    for stretch in &mut hold.stretches {
        let same = |call: &&mut Call| {
            call.id == denial.call || (call.shown == denial.call && call.name == name)
        };
        let Some(call) = stretch.call.as_mut().filter(same) else {
            continue;
        };
        if call.left {
            outcome = too_late();
        } else if call.denial().is_some() {
            if outcome.0 == Outcome::Refused {
                outcome = (Outcome::Superseded, "the call was denied before".to_owned());
            }
        } else {
            call.deny(match denial.reason.is_empty() {
                true => format!("The call of `{}` was not permitted.", call.name),
                false => denial.reason.clone(),
            });
            outcome = done();
        }
    }
    outcome
}

/// Gives a call other arguments. The others judge them like those that the model wrote.
pub fn rewrite(scene: &mut Scene<'_>, hold: &mut Hold, rewrite: &wit::ToolRewrite) -> Done {
    let arguments = &rewrite.content;
    let offender = scene
        .panel
        .offends(scene.by, Channel::ToolArguments, arguments);
    let is_it = |call: &Call| call.id == rewrite.call;
    let mut stretches = hold.stretches.iter_mut().rev();
    let Some(stretch) = stretches.find(|s| s.call.as_ref().is_some_and(is_it)) else {
        return unknown_call(&rewrite.call);
    };
    let place = stretch.place;
    let Some(call) = &mut stretch.call else {
        return unknown_call(&rewrite.call);
    };
    let is_json = || serde_json::from_str::<&serde_json::value::RawValue>(arguments).is_ok();
    if call.kind() == CallKind::Function && !is_json() {
        return refused(format!("the new arguments are not JSON: {arguments}"));
    }
    if call.is_open() {
        return refused("the call is not complete: rewrite it at the tool-call checkpoint");
    }
    if call.left {
        return too_late();
    }
    if call.denial().is_some() {
        return (Outcome::Superseded, "the call was denied".to_owned());
    }
    let why = match offender {
        Some(policy) => Some(format!(
            "the new arguments match a pattern of `{policy}`: the call is denied"
        )),
        None if call.rewrites >= MAX_REWRITES => Some(format!(
            "the call was rewritten {MAX_REWRITES} times already: it is denied"
        )),
        None => None,
    };
    if let Some(why) = why {
        call.deny(format!("The call of `{}` was not permitted.", call.name));
        return (Outcome::Failed, why);
    }
    call.rewrites += 1;
    call.rewritten = Some(arguments.clone());
    let called = call.called();
    let (cause, now) = (scene.cause(), scene.now);
    scene
        .record
        .call(called, place, &stretch.seen(), cause, now);
    done()
}

/// Keeps a tool from being called for a while. `judged` are the stretches of the calls that are judged right now: the first
/// that it concerns.
pub fn open_circuit(
    scene: &mut Scene<'_>,
    hold: &mut Hold,
    judged: &[usize],
    circuit: &wit::Circuit,
) -> Done {
    if circuit.tool.is_empty() {
        return refused("no tool is named");
    }
    let by = scene.who();
    scene.facts.session.state().circuits.open(
        &circuit.tool,
        &by,
        u64::from(circuit.cooldown_ms) * 1_000,
        &circuit.answer,
        scene.now,
    );
    scene.panel.circuits_open = true;
    for index in judged {
        let call = hold.stretches.get(*index).and_then(|s| s.call.as_ref());
        if call.is_some_and(|call| call.name == circuit.tool && call.is_sealed()) {
            ask_circuit(scene, hold, *index);
        }
    }
    done()
}

/// An open circuit answers in the tool's place.
pub fn ask_circuit(scene: &mut Scene<'_>, hold: &mut Hold, index: usize) {
    let Some(stretch) = hold.stretches.get_mut(index) else {
        return;
    };
    let arguments = stretch.seen();
    let Some(call) = stretch.call.as_mut().filter(|call| !call.is_out()) else {
        return;
    };
    let mut state = scene.facts.session.state();
    let admission = state
        .circuits
        .admit(&call.id, &call.name, &arguments, scene.now);
    drop(state);
    let tool = &call.name;
    let (by, reason, answer) = match admission {
        Admission::Pass => return,
        Admission::Probe { by } => {
            let reason = format!("the circuit of `{tool}` is half open: this call probes it");
            (by, reason, None)
        }
        Admission::Refuse { by, answer } => {
            let reason =
                format!("the circuit of `{tool}` is open: the call was answered in its place");
            (by, reason, Some(answer))
        }
    };
    let told = Intervened {
        action: "open-circuit",
        by: &by,
        entry: None,
        generation: 0,
        outcome: Outcome::Applied,
        reason: &reason,
        arguments: serde_json::json!({ "tool": tool }),
    };
    scene.record.intervention(told, scene.now);
    if let Some(answer) = answer {
        call.deny(answer);
    }
}

fn unknown_call(id: &str) -> Done {
    refused(format!("there is no tool call `{id}` in this generation"))
}

fn too_late() -> Done {
    let why = "the client has a part of the call".to_owned();
    (Outcome::TooLate, why)
}
