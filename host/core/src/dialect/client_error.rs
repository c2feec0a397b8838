//! An error that Airlock states to a client, and who decided it.

use crate::event::FailureKind;

/// An error that Airlock states to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientError {
    /// HTTP status. In a stream that began, told in the error object only.
    pub status: u16,
    /// Decides the dialect's word for the type of error.
    pub kind: FailureKind,
    /// For people.
    pub message: String,
    /// For programs: `content_filter`, `airlock_budget`, `airlock_undecodable`, ...
    pub code: String,
    /// Who decided it, where somebody did: stated in the field `airlock` of the error.
    pub origin: Option<Origin>,
}

/// Where a decision comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Airlock's own word for it, where the error's code is one that clients know from elsewhere.
    pub code: &'static str,
    /// The policy, rule or part of Airlock that ordered it; may be empty.
    pub policy: String,
    /// Session and exchange.
    pub exchange: String,
}
