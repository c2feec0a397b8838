//! The generation as it arrives: frames become text, calls and facts, and policies are asked.

use bytes::Bytes;

use super::adopt::adopt;
use super::heard::{Heard, told};
use super::hearing::{Hearing, Matter as _};
use super::model_call::ModelCall;
use super::unread::{undecodable, unread};
use super::{bounds, calls, measure, usage};
use crate::dialect::framing::{self, Decoded, Framing, Whole, Wire};
use crate::dialect::sse::Frame;
use crate::dialect::{Failure, Piece, Undecodable};
use crate::event::{Micros, Usage};
use crate::release::frame::{Duty, Payload, Said};
use crate::release::{Release, may_pass};
use airlock_policy::contract::types::Checkpoint;

/// Parts of a stream arrived.
pub fn stream(hearing: &mut Hearing, call: &mut ModelCall, decoded: Vec<Decoded>, now: Micros) {
    for part in decoded {
        match part {
            Decoded::Unit(frame) => unit(hearing, call, frame, now),
            Decoded::Noise(frame) => noise(hearing, call, frame, now),
            Decoded::Document(body) => document(hearing, call, body, now),
        }
        if hearing.fate.is_some() {
            return;
        }
    }
}

/// A whole answer arrived, for a client that asked for one.
///
/// # Errors
/// It is a stream, and no whole one.
pub fn whole(
    hearing: &mut Hearing,
    call: &mut ModelCall,
    answer: Bytes,
    now: Micros,
) -> Result<(), Undecodable> {
    let answer = match framing::whole(answer, call.legs.dialect.outbound().wire()) {
        Whole::Document(answer) if hearing.panel.guards() => framing::document(&answer),
        Whole::Document(answer) => answer,
        Whole::Stream(frames) => call.release.writer.body_of_stream(&frames)?.into(),
    };
    body(hearing, call, answer, now);
    Ok(())
}

fn unit(hearing: &mut Hearing, call: &mut ModelCall, unit: Frame, now: Micros) {
    let events = call.legs.dialect.outbound().wire() == Wire::Events;
    if hearing.panel.guards() {
        // An event has room for more than its data, a line has not.
        let unit = if events { unit.bare() } else { unit };
        return frame(hearing, call, unit, now);
    }
    let named = call.legs.dialect.outbound().names_events();
    if events && unit.says_more(named) {
        unread(hearing, call, "fields beside an event's data passed unread");
    }
    frame(hearing, call, unit, now);
}

fn noise(hearing: &mut Hearing, call: &mut ModelCall, noise: Frame, now: Micros) {
    if hearing.panel.guards() {
        return;
    }
    if !noise.raw.trim_ascii().is_empty() {
        unread(
            hearing,
            call,
            "bytes that are no event with data passed unread",
        );
    }
    let read = Read::default();
    arrived(hearing, call, Payload::Frame(noise), read, now);
}

/// A whole body, where the client asked for a stream.
fn document(hearing: &mut Hearing, call: &mut ModelCall, document: Bytes, now: Micros) {
    match call
        .release
        .writer
        .stream_of_body(&framing::document(&document))
    {
        Ok(bytes) => {
            let (mut framing, mut frames) = (
                Framing::new(call.legs.dialect.outbound().wire()),
                Vec::new(),
            );
            // As long as the document at least, which was not too long.
            if framing.push(bytes, &mut frames).is_ok() {
                stream(hearing, call, frames, now);
            }
        }
        Err(error) => {
            let raw = Frame {
                raw: document,
                event: None,
                data: None,
            };
            let read = Read {
                fault: Some(error),
                ..Read::default()
            };
            arrived(hearing, call, Payload::Frame(raw), read, now);
        }
    }
}

/// The next frame of a stream.
fn frame(hearing: &mut Hearing, call: &mut ModelCall, frame: Frame, now: Micros) {
    // What comes after the last word was never judged, and no client waits for it.
    if call.release.is_said() && hearing.panel.guards() {
        return;
    }
    let mut read = Read::default();
    let release = &mut call.release;
    read.fault = release.reader.frame(&frame, &mut read.pieces).err();
    meet(release);
    read.usage_only = read.pieces.iter().any(|p| matches!(p, Piece::Usage(_)))
        && !hearing.facts.view.include_usage
        && !call.assembles
        && call.release.reader.is_usage_only(&frame);
    arrived(hearing, call, Payload::Frame(frame), read, now);
}

/// A whole body: everything that a stream would have said, at once.
pub fn body(hearing: &mut Hearing, call: &mut ModelCall, body: Bytes, now: Micros) {
    let mut read = Read::default();
    let release = &mut call.release;
    read.fault = release.reader.body(&body, &mut read.pieces).err();
    meet(release);
    arrived(hearing, call, Payload::Body(body), read, now);
}

/// The client reads the ids of the first leg; those of later ones are nobody's concern.
fn meet(release: &mut Release) {
    if !release.hold.speaks_for_others() {
        release.writer.meet(release.reader.identity());
    }
}

/// What a frame or body was read as.
#[derive(Default)]
pub struct Read {
    /// What it says.
    pub pieces: Vec<Piece>,
    /// Why it cannot be read to its end.
    pub fault: Option<Undecodable>,
    /// It is not passed on: it says nothing but what the client did not ask for.
    pub usage_only: bool,
}

/// A frame or body arrived and was read.
pub fn arrived(
    hearing: &mut Hearing,
    call: &mut ModelCall,
    payload: Payload,
    read: Read,
    at: Micros,
) {
    adopt(hearing, call, at);
    gather(hearing, call, &payload);
    if let Some(error) = &read.fault {
        undecodable(hearing, call, error);
    }
    let mut said = Said {
        judged: hearing.panel.guards(),
        ..Said::default()
    };
    let is_frame = matches!(payload, Payload::Frame(_));
    if is_frame {
        calls::check_choices(hearing, call, &read.pieces);
    }
    for piece in read.pieces {
        heard(hearing, call, piece, &mut said, at);
    }
    if said.states_usage {
        call.account.stated_at = hearing.vitals.output_tokens;
        let usage = usage::usage(call, &hearing.vitals);
        said.usage = (call.account.prior != Usage::default()).then_some(usage);
    }
    let terminal = said.ends || !said.finishes.is_empty();
    // With nobody to judge the response, its end need not wait. A body leaves at its end anyway.
    let duty = match read.usage_only {
        true => Duty::Strip,
        false if is_frame && terminal && hearing.panel.guards() => Duty::Terminal,
        false => Duty::Pass,
    };
    let (finished, all) = (said.finishes.clone(), call.release.is_said());
    call.release.hold.push(payload, said, duty, at);
    let ended = |choice| all || finished.contains(&choice);
    calls::seal(hearing, call, |s| ended(s.place.choice), at);
    hearing.measure(call.phase(), at);
    if !call.release.is_said() {
        hearing.checkpoint(Checkpoint::Stream, call, at);
    }
    bounds::bound_hold(hearing, call, at);
    call.clock.expire(hearing, &call.legs, at);
}

fn heard(hearing: &mut Hearing, call: &mut ModelCall, piece: Piece, said: &mut Said, at: Micros) {
    match piece {
        Piece::Text {
            place,
            text,
            generated,
        } => {
            let mut found = Vec::new();
            let (patterns, counter) = (&hearing.panel.plan.patterns, &call.prompt.counter);
            let hold = &mut call.release.hold;
            let (span, tokens) = hold.say(place, &text, generated, patterns, counter, &mut found);
            let arrived = Heard {
                place,
                text: &text,
                generated,
                tokens,
            };
            told(hearing, call, &arrived, &span, at);
            hearing.panel.matched(place, &found);
            said.tokens += tokens;
            said.spans.push(span);
        }
        Piece::Call(part) => calls::part(hearing, call, &part, said, at),
        Piece::Beside => said.beside = true,
        Piece::Finish { choice, reason } => {
            said.finishes.push(choice);
            if choice == 0 {
                call.release.finish = Some(reason);
            }
        }
        Piece::Usage(usage) => {
            let known = call.release.usage;
            call.release.usage = Some(known.map_or(usage, |known| known.with(usage)));
            hearing.vitals.exact = usage.exact;
            said.states_usage = true;
        }
        Piece::Error(failure) => {
            let retryable = may_pass(failure.status);
            call.release.error_status = Some(failure.status);
            if retryable {
                measure::broken(hearing, &mut call.legs, at);
            }
            hearing.record.failure(&failure, retryable, at);
        }
        Piece::End => {
            said.ends = true;
            call.release.said_all();
        }
    }
}

/// Keeps what arrives as the model's own turn, where a call of it could be denied.
fn gather(hearing: &Hearing, call: &mut ModelCall, payload: &Payload) {
    if !call.holds_tool_calls(hearing) {
        return call.release.reader.give_up();
    }
    let said = match payload {
        Payload::Frame(frame) => frame.data.as_ref(),
        Payload::Body(body) => Some(body),
    };
    if let Some(said) = said {
        call.release.reader.gather(said);
    }
}

/// No more text comes: what was open becomes certain, and who waits for more is due.
pub fn hear_out(hearing: &mut Hearing, call: &mut ModelCall) {
    let hold = &mut call.release.hold;
    for index in 0..hold.stretches.len() {
        let mut found = Vec::new();
        hold.finish(index, &mut found);
        if let Some(place) = hold.stretches.get(index).map(|s| s.place) {
            hearing.panel.matched(place, &found);
        }
    }
    hearing.panel.ended();
    hearing.record.flush();
}

/// The connection to the upstream broke in the middle of the generation.
pub fn broke(hearing: &mut Hearing, call: &mut ModelCall, failure: &Failure, at: Micros) {
    let retryable = !call.release.is_heard();
    hearing.record.failure(failure, retryable, at);
    measure::broken(hearing, &mut call.legs, at);
}
