//! People: what waits for a person's word, who decided what, and for how long that counts.
//!
//! An [`Approval`] is one item that a policy put before people: a request, held text, a tool call, a tool's result, or a
//! question. The [`Desk`] keeps them. Guarantees: an approval is bound to the digest of the exact item; one that a person was
//! shown is on the disk, and so is a decision that was acknowledged; of two decisions about one approval the first counts
//! and the second is refused; after its deadline the stated default is the decision.
//!
//! `desk` couples the rest with disk, clock and timelines; `book` is its memory, `row` its disk, `look` what people see.
//!
//! Not here: what becomes of a parked item (the exchange's part), and how people are reached (admin API, webhooks).

pub mod approval;
mod book;
mod desk;
pub mod digest;
mod judge;
mod row;
mod told;
pub mod waiting;

pub use approval::{
    Approval, ApprovalId, Decision, New, Note, OnTimeout, Outcome, State, Subject, Verdict,
};
pub use book::Limits;
pub use desk::{Desk, Filter, FindError};
pub use judge::DecideError;
pub use told::NOBODY;
