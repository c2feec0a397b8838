//! One model call without I/O: bytes and moments go in, what to do next comes out.
//!
//! Whoever drives it asks for [`Exchange::next`], does that, and tells what came of it. Inputs are `chunk`, `ended`, `broke`
//! (what an upstream sends), `answered`, `refused`, `unreached`, `attempts` (what came of asking one), `took` (what the ledger
//! gave), `woke`, `stopping`, `lost` (time, and ends from outside). Each is told the moment; no clock is read here, and nothing
//! is awaited. After a `Take` nothing else is told it before `took`.

pub mod account;
mod adopt;
pub mod around;
mod arrive;
mod assemble;
mod begin;
mod bounds;
mod calls;
pub mod clock;
mod end;
mod ending;
mod error_body;
mod heard;
pub mod hearing;
pub mod incoming;
mod inputs;
mod leg;
pub mod legs;
mod measure;
pub mod model_call;
pub mod next;
mod pass;
mod step;
mod turn;
mod unread;
mod usage;
mod waiting;
pub mod words;

use crate::dialect::ClientError;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::event::{Micros, Status};
use crate::release::frame::Ready;
use crate::session::facts::Facts;
use airlock_policy::contract::types::Checkpoint;
pub use around::Surroundings;
pub use begin::Arrived;
pub use hearing::{Hearing, Matter};
pub use model_call::ModelCall;
pub use next::{Attempted, Ending, Leg, Next, Reply, Take};

/// One model call.
pub struct Exchange {
    facts: Arc<Facts>,
    hearing: Hearing,
    call: ModelCall,
    leaving: Leaving,
    over: Over,
}

/// What goes out.
#[derive(Default)]
struct Leaving {
    /// What the client is given next.
    out: VecDeque<Bytes>,
    /// How it ends, once that is known.
    ending: Option<Ending>,
    /// What would have left so far of an answer that leaves whole, though it is streamed here.
    assembly: Option<Vec<u8>>,
    /// What may leave, for which so many tokens are asked of the ledger.
    taking: Option<(Vec<Ready>, u64)>,
}

impl Leaving {
    /// The client is given these bytes next, if there are any.
    fn give(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.out.push_back(bytes);
        }
    }
}

/// How far it has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// It goes on. When it was told the time last.
    No { last: Micros },
    /// Its accounts are settled; it used so many tokens.
    Ended {
        /// Input and output.
        tokens: u64,
    },
}

impl Exchange {
    /// Whether the generation is judged, and leaves, as it comes.
    fn streams(&self) -> bool {
        self.facts.view.streamed || self.call.assembles
    }

    /// Session and exchange, for `x-airlock-exchange`.
    pub fn label(&self) -> String {
        self.facts.label()
    }

    /// What is settled of it.
    pub fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// What an upstream's error says, for a stream that has begun.
    pub fn stated_error(&self, status: u16, body: &[u8]) -> ClientError {
        let failure = self.call.legs.dialect.outbound().read_error(status, body);
        words::plain(status, failure.kind, "airlock_upstream", failure.message)
    }

    /// An error as a client reads it in a stream that has begun.
    pub fn error_bytes(&mut self, error: &ClientError) -> Bytes {
        self.call.release.writer.error(error)
    }

    /// Rung when an answer to something is there.
    pub fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.hearing.waiting.bell)
    }

    /// Whether anything waits for somebody's answer, and nothing was decided.
    pub fn waits(&self) -> bool {
        !self.hearing.waiting.is_empty() && self.hearing.fate.is_none()
    }

    /// When it must be over, if its request declares that.
    pub fn deadline(&self) -> Option<Micros> {
        self.call.clock.deadline
    }

    /// Whether something was decided that is not carried out yet.
    pub fn is_decided(&self) -> bool {
        self.hearing.fate.is_some()
    }

    /// Whether an upstream is being asked.
    pub fn is_asking(&self) -> bool {
        self.call.legs.stage().is_sent()
    }

    /// Whether an upstream's answer is being read.
    pub fn is_reading(&self) -> bool {
        self.call.legs.stage().is_reading()
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.over, Over::Ended { .. })
    }

    /// Tokens that it used, input and output, as far as is known.
    pub fn tokens_used(&self) -> u64 {
        match self.over {
            Over::Ended { tokens } => tokens,
            Over::No { .. } => {
                let usage = usage::usage(&self.call, &self.hearing.vitals);
                u64::from(usage.input) + u64::from(usage.output)
            }
        }
    }

    /// Time passed, or the bell rang: what was decided meanwhile is heard, thresholds and clocks are looked at.
    pub fn woke(&mut self, now: Micros) {
        self.at(now);
        let (hearing, call) = (&mut self.hearing, &mut self.call);
        waiting::hear(hearing, call, now);
        call.clock.expire(hearing, &call.legs, now);
        adopt::adopt(hearing, call, now);
        hearing.measure(call.phase(), now);
        hearing.checkpoint(Checkpoint::Tick, call, now);
        call.legs.moved = true;
        let waits = !hearing.waiting.is_empty() && hearing.fate.is_none();
        let patient = self.facts.view.streamed || now < call.clock.patience;
        // What is read meanwhile ends by itself, or by a time limit of its own.
        if waits && !patient && !call.legs.stage().is_reading() {
            waiting::unanswered(hearing, call, "the client's own timeout");
        }
    }

    /// Airlock stops. People may take longer than it goes on: the client is told, not cut, and its repetition waits elsewhere.
    pub fn stopping(&mut self, now: Micros) {
        self.at(now);
        if self.waits() {
            waiting::unanswered(&mut self.hearing, &mut self.call, "Airlock stops");
            self.call.legs.moved = true;
        }
    }

    /// Nobody drives it any more: its client is gone. One that has read the last frame may close before the upstream does;
    /// that is a good end.
    pub fn lost(&mut self, now: Micros) {
        let release = &self.call.release;
        let whole = release.is_said() && release.is_judged() && release.hold.bytes() == 0;
        self.end(
            match whole {
                true => Status::Complete,
                false => Status::Disconnected,
            },
            now,
        );
    }

    fn at(&mut self, now: Micros) {
        if let Over::No { last } = &mut self.over {
            *last = (*last).max(now);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Over::No { last } = self.over {
            self.lost(last);
        }
    }
}
