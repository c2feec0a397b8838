//! What a failed call of a policy is called, and what it says.

use std::fmt;

use serde::Serialize;

/// What went wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The guest trapped: a panic, a bad memory access, an exhausted stack.
    Trap,
    /// It used up its CPU or wall time.
    Timeout,
    /// It was refused memory and gave up.
    Memory,
    /// It passed more data, or more handles, than it may.
    Flood,
    /// It says itself that it failed.
    Failed,
    /// Its answer breaks the contract.
    Malformed,
    /// It refused to open, save or restore the session.
    Session,
    /// It held text and did not judge it within the host's bounds.
    Overdue,
    /// No room for another instance. Not the policy's fault.
    Pool,
    /// It is in quarantine and was not called.
    Quarantined,
    /// The host failed. Not the policy's fault.
    Host,
}

impl FaultKind {
    /// The kind's name, as on the timeline.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Flood => "flood",
            Self::Failed => "failed",
            Self::Malformed => "malformed",
            Self::Session => "session",
            Self::Overdue => "overdue",
            Self::Pool => "pool",
            Self::Quarantined => "quarantined",
            Self::Host => "host",
        }
    }
}

impl FaultKind {
    /// Whether the policy is to blame, so that it counts towards quarantine.
    pub(super) fn is_the_guests(self) -> bool {
        !matches!(self, Self::Pool | Self::Quarantined | Self::Host)
    }
}

/// A failed call. The instance is gone; the seat goes on from saved state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What went wrong.
    pub kind: FaultKind,
    /// For people: what happened, and the guest's last words if it logged any in this call.
    pub message: String,
}

impl Fault {
    pub(super) fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.message)
    }
}

impl std::error::Error for Fault {}
