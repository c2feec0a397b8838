//! Until when an exchange may go on, and its client waits.
//!
//! A client that has seen nothing when its declared deadline passes gets a 504, one in the middle of a stream an end that is
//! correct and says that it is partial. Text that was held until then stays held: nobody has judged it. The clock is looked
//! at whenever something arrives and when the time is up, but not while a client does not read.

use super::hearing::Hearing;
use super::legs::Legs;
use crate::act::fate::Fate;
use crate::event::Micros;

/// Why the exchange is stopped then.
pub const REASON: &str =
    "the deadline that the request declared (x-airlock-deadline-ms) has passed";

/// Who stops it.
const BY: &str = "deadline";

/// The moments that matter to an exchange.
#[derive(Debug)]
pub struct Clock {
    /// When it must be over.
    pub deadline: Option<Micros>,
    /// Its deadline has passed.
    pub expired: bool,
    /// Until when a client waits that cannot be told that it waits.
    pub patience: Micros,
}

impl Clock {
    /// Stops the exchange if its time is up and nothing else was decided.
    pub fn expire(&mut self, hearing: &mut Hearing, legs: &Legs, now: Micros) {
        let due = self.deadline.is_some_and(|deadline| deadline <= now);
        if !due || hearing.fate.is_some() || legs.stage().is_over() {
            return;
        }
        self.deadline = None;
        self.expired = true;
        hearing.intervened("stop", BY, REASON, serde_json::Value::Null, now);
        hearing.fate = Some(Fate::Stop {
            reason: REASON.to_owned(),
            confidence: None,
            keep_held: false,
            by: BY.to_owned(),
        });
    }
}
