//! The deadline that a request declares: the exchange is stopped when it has passed, by the same way as by a policy's `stop`.
//!
//! A client that has seen nothing yet gets a 504, one in the middle of a stream an end that is correct and says that it is
//! partial. Text that was held until then stays held: nobody has judged it. The clock is looked at whenever something
//! arrives and when the time is up, but not while a client does not read.

use http::StatusCode;

use super::conduct::{Exchange, Fate};
use super::refusal;
use crate::dialect::ClientError;
use crate::event::clock::now;
use crate::event::{FailureKind, Micros, Outcome};
use crate::gateway::admission::Permit;

const REASON: &str = "the deadline that the request declared (x-airlock-deadline-ms) has passed";

impl Exchange {
    /// The call was let in, and must be over at `deadline`.
    pub fn admitted(&mut self, permit: Permit, deadline: Option<Micros>) {
        self.permit = permit;
        self.deadline = deadline;
    }

    /// Stops the exchange if its time is up and nothing else was decided.
    pub(super) fn expire(&mut self) {
        let due = self.deadline.is_some_and(|deadline| deadline <= now());
        if !due || self.fate.is_some() || self.is_over() {
            return;
        }
        self.deadline = None;
        self.expired = true;
        self.intervened(
            "stop",
            "deadline",
            usize::MAX,
            Outcome::Applied,
            REASON,
            serde_json::Value::Null,
        );
        self.fate = Some(Fate::Stop {
            reason: REASON.to_owned(),
            confidence: None,
            keep_held: false,
            by: "deadline".to_owned(),
        });
    }
}

/// Code of the answer to a client that has seen nothing when its time is up.
pub(super) const CODE: &str = "airlock_deadline";

/// What it is told. Its SDK must not repeat the call: its time would be up again.
pub(super) fn expired() -> ClientError {
    refusal(
        StatusCode::GATEWAY_TIMEOUT,
        FailureKind::Timeout,
        CODE,
        REASON.to_owned(),
    )
}
