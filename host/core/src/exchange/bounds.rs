//! Bounds on what is held of an answer, and what becomes of whoever holds it beyond them.

use super::hearing::Hearing;
use super::model_call::ModelCall;
use crate::act::fate::Fate;
use crate::event::{Body, Micros, Place};
use airlock_policy::contract::types::BlockMode;
use airlock_policy::spec::OnFailure;

/// Bytes of text that wait at most for policies: past this, those that hold it are treated as failed. A megabyte is some
/// 200,000 tokens. While something waits for a person, no more than this is read from the upstream.
const MAX_HELD_BYTES: usize = 1024 * 1024;

/// Bytes of frames that are held at most, whatever for. Each token of a call under way comes in a frame of some 250 bytes,
/// and is held until the call is whole: this is room for 128,000 tokens, more than any model writes at once.
const MAX_HELD_FRAME_BYTES: usize = 32 * 1024 * 1024;

/// Arguments of one call. A large file written by a tool is a megabyte.
const MAX_ARGUMENTS_BYTES: usize = 4 * 1024 * 1024;

/// Time that a frame waits at most, us.
const MAX_HELD_US: u64 = 60_000_000;

/// Whether so much is held, for an answer that somebody else gives, that no more is read from the upstream meanwhile.
pub fn is_full(hearing: &Hearing, call: &ModelCall) -> bool {
    !hearing.waiting.is_empty() && call.release.hold.bytes() > MAX_HELD_BYTES
}

/// What is held is bounded in bytes and time.
pub fn bound_hold(hearing: &mut Hearing, call: &mut ModelCall, now: Micros) {
    let release = &call.release;
    // At its end everything is judged, and leaves or does not.
    if release.is_judged() || release.is_said() || hearing.fate.is_some() {
        return;
    }
    let hold = &release.hold;
    if hold.bytes() > MAX_HELD_FRAME_BYTES {
        let what = format!(
            "Airlock holds more than {MAX_HELD_FRAME_BYTES} bytes of it, the most that waits to be judged"
        );
        return too_much(hearing, call, &what);
    }
    let since = hold.waiting_since();
    let waits = since.is_some_and(|since| now.saturating_sub(since) > MAX_HELD_US);
    if (waits || hold.text_bytes() > MAX_HELD_BYTES) && hearing.waiting.is_empty() {
        overdue(hearing, call, "held the stream beyond the host's bounds");
    }
}

/// Arguments of one call are bounded, since clients, policies and people get them whole.
pub fn bound_call(hearing: &mut Hearing, call: &mut ModelCall, stretch: usize) {
    let Some(stretch) = call.release.hold.stretches.get(stretch) else {
        return;
    };
    let guards = hearing.panel.guards();
    if stretch.text.len() > MAX_ARGUMENTS_BYTES && guards && hearing.fate.is_none() {
        let name = stretch.call.as_ref().map_or("", |call| &call.name);
        let what = format!(
            "the arguments of the call of `{name}` are longer than {MAX_ARGUMENTS_BYTES} bytes, the most that Airlock \
             judges"
        );
        too_much(hearing, call, &what);
    }
}

fn too_much(hearing: &mut Hearing, call: &mut ModelCall, what: &str) {
    call.release.hold.discard();
    let why = format!("the upstream's answer cannot be judged: {what}");
    hearing.fate = Some(Fate::refusal(why));
}

/// Text that a holding policy never released: nothing passes its mark, not even at the end.
pub fn unreleased_at_end(hearing: &mut Hearing, call: &mut ModelCall) {
    overdue(hearing, call, "did not release the text that it held");
}

/// Policies that hold text and do not judge it are treated as failed.
fn overdue(hearing: &mut Hearing, call: &mut ModelCall, what: &str) {
    let stretches = call.release.hold.stretches.iter();
    let texts: Vec<(Place, u32)> = stretches.map(|s| (s.place, s.text.len() as u32)).collect();
    let late = hearing.panel.holders(&texts).into_iter();
    let late: Vec<usize> = late
        .filter(|entry| hearing.panel.enforces(*entry))
        .collect();
    for entry in late {
        let Some(generation) = hearing.panel.plan.entries.get(entry).cloned() else {
            continue;
        };
        let closed = generation.on_failure == OnFailure::Closed;
        tracing::warn!(policy = %generation.name, generation = generation.number, closed, "a policy {what}");
        generation.overdue(what);
        hearing.record.note(Body::PolicyFault {
            policy: generation.name.to_string(),
            generation: generation.number,
            fault: "overdue".to_owned(),
            text: what.to_owned(),
            on_failure: if closed { "closed" } else { "open" }.to_owned(),
        });
        if closed {
            let why = format!("the policy `{}` {what}", generation.name);
            hearing.fate = Some(Fate::Block {
                mode: BlockMode::Hard,
                by: generation.name.to_string(),
                reason: why,
                fallback: String::new(),
            });
        } else {
            hearing.excuse(entry, call);
        }
    }
}
