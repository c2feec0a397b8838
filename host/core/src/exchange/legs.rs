//! The legs of an exchange: each is one call to an upstream. A denied step, a retry and a failover all end one leg and begin
//! the next; what the client has stays.
//!
//!     Opening -> Judged -> Charged -> (Whole) -> Ready -> Sent -> Reading -> Drained -> Over
//!        ^                                                 |         |          |
//!        |                                              Failed -> Refusal       |
//!        +-------------- next leg, retry ------------------+---------+----------+

use bytes::Bytes;

use super::incoming::Incoming;
use super::next::{Body, Leg};
use crate::dialect::Turn;
use crate::dialect::{Dialect, Failure};
use crate::event::phase::Phase;
use crate::event::target::Target;
use crate::event::{Micros, Place};

/// Retries that policies can order in one exchange, besides those of the upstream's configuration.
pub const MAX_ORDERED_RETRIES: u32 = 2;

/// Legs that denied steps add to an answer at most. A model that has been told no four times asks for ever.
pub const MAX_STEPS: usize = 4;

/// The legs of an exchange.
pub struct Legs {
    /// The wire API of the present leg's upstream. Today the client's own: a request is not translated yet.
    pub dialect: &'static dyn Dialect,
    /// The request's bytes, as the client sent them.
    pub body: Bytes,
    /// How far the present leg has come.
    stage: Stage,
    /// Something came in that has to be looked at.
    pub moved: bool,
    /// Number of the attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// Leg of the attempt that was told last.
    told: Option<u32>,
    /// Upstream that is asked.
    pub upstream: String,
    /// Model that it is asked for.
    pub model: String,
    /// Since when the first token of the present attempt is waited for, until the outcome is measured.
    pub asked: Option<Micros>,
    /// Legs that ended in calls which the client never sees.
    pub steps: Vec<Turn>,
    /// Retries that policies ordered so far.
    pub ordered_retries: u32,
    /// Targets that failed after their answer had begun, once for each time.
    pub failed_at: Vec<Target>,
    /// The client has the head of a stream.
    pub begun: bool,
}

/// How far the present leg has come.
#[derive(Debug)]
pub enum Stage {
    /// It begins, not before this moment; where a policy ordered it to go, if one did: upstream and model.
    Opening(Micros, Option<(String, String)>),
    /// Its request was judged, and what of it waits is waited for.
    Judged(Vec<Target>, Option<(String, String)>),
    /// The session's account is asked for its prompt.
    Charged(Vec<Target>),
    /// The same for output that is taken beforehand: of a whole answer, and of earlier legs that never left. So much is wanted.
    Whole(Vec<Target>, u64),
    /// It can be sent.
    Ready(Vec<(Target, Body)>),
    /// It is on its way.
    Sent,
    /// Its answer arrives.
    Reading(Incoming),
    /// Nothing more comes from an upstream.
    Drained,
    /// The upstream failed before it generated anything.
    Failed,
    /// It did, with an error that is judged before the client has it.
    Refusal(Box<Refusal>),
    /// The exchange has ended.
    Over,
}

/// An upstream's error that is judged.
#[derive(Debug)]
pub struct Refusal {
    /// The error as the client gets it if nobody objects.
    pub body: Bytes,
    /// The error that says that it was withheld.
    pub withheld: Bytes,
    /// Where it has text.
    pub places: Vec<Place>,
    /// What failed.
    pub failure: Failure,
}

impl Legs {
    /// Nobody was asked yet. `body` is the request as the client sent it.
    pub fn new(dialect: &'static dyn Dialect, body: Bytes, model: &str) -> Self {
        Self {
            dialect,
            body,
            stage: Stage::Opening(0, None),
            moved: false,
            attempt: 0,
            told: None,
            upstream: String::new(),
            model: model.to_owned(),
            asked: None,
            steps: Vec::new(),
            ordered_retries: 0,
            failed_at: Vec::new(),
            begun: false,
        }
    }

    /// How far the present leg has come.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// What the present stage holds, to be taken.
    pub fn stage_mut(&mut self) -> &mut Stage {
        &mut self.stage
    }

    /// The leg goes on to another stage. What cannot follow is a fault of this program, and told.
    pub fn go(&mut self, next: Stage) {
        if !self.stage.leads_to(&next) {
            debug_assert!(false, "{:?} does not lead to {next:?}", self.stage);
            tracing::error!(from = ?self.stage, to = ?next, "a leg went astray");
        }
        self.stage = next;
    }

    /// Number of the present leg, retries not counted, from 0.
    pub fn number(&self) -> u32 {
        self.steps.len() as u32
    }

    /// Why the attempt that is told now is made: nothing for the first. Asked once for each.
    pub fn cause(&mut self) -> &'static str {
        let number = self.number();
        match self.told.replace(number) {
            None => "",
            Some(told) if told < number => "denied",
            Some(_) => "retried",
        }
    }

    /// The leg that can be sent is sent.
    pub fn send(&mut self, now: Micros) -> Option<Leg> {
        let Stage::Ready(targets) = &mut self.stage else {
            return None;
        };
        let targets = std::mem::take(targets);
        self.stage = Stage::Sent;
        self.asked = Some(now);
        Some(Leg { targets })
    }

    /// Whether policies may order another retry.
    pub fn may_retry(&self) -> bool {
        self.ordered_retries < MAX_ORDERED_RETRIES
    }
}

impl Stage {
    /// Whether another stage can follow on this one.
    fn leads_to(&self, next: &Stage) -> bool {
        use Stage::{
            Charged, Drained, Failed, Judged, Opening, Over, Reading, Ready, Refusal, Sent, Whole,
        };
        match (self, next) {
            (Over, _) => false,
            (_, Over) => true,
            (Opening(..), Judged(..) | Opening(..)) => true,
            (Judged(..), Charged(_)) => true,
            (Charged(_), Whole(..) | Ready(_)) => true,
            (Whole(..), Ready(_)) => true,
            (Sent, Reading(_) | Failed | Opening(..)) => true,
            (Reading(_), Drained | Opening(..)) => true,
            (Drained, Drained | Opening(..)) => true,
            (Failed, Refusal(_) | Failed | Opening(..)) => true,
            (Refusal(_), Failed | Opening(..)) => true,
            // An answer in the model's place is read like one of an upstream.
            (Opening(..) | Judged(..) | Failed | Refusal(_), Reading(_)) => true,
            _ => false,
        }
    }

    /// How far it is, as far as orders are concerned.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Opening(..)
            | Self::Judged(..)
            | Self::Charged(_)
            | Self::Whole(..)
            | Self::Ready(_) => Phase::Request,
            Self::Sent => Phase::Waiting,
            Self::Reading(_) | Self::Drained | Self::Refusal(_) | Self::Over => Phase::Generating,
            Self::Failed => Phase::Failed,
        }
    }

    /// Whether the leg costs something: its upstream may have generated, and has not refused.
    pub fn is_spent(&self) -> bool {
        matches!(self, Self::Sent | Self::Reading(_) | Self::Drained)
    }

    /// Whether the leg is yet to begin.
    pub fn is_opening(&self) -> bool {
        matches!(self, Self::Opening(..))
    }

    /// Whether an upstream is being asked.
    pub fn is_sent(&self) -> bool {
        matches!(self, Self::Sent)
    }

    /// Whether its answer is being read.
    pub fn is_reading(&self) -> bool {
        matches!(self, Self::Reading(_))
    }

    /// Whether the exchange has ended.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }
}
