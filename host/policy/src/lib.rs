//! Policies: sandboxed components, their limits, loading, generations and quarantine.
//!
//! Two types carry the rest of Airlock. [`Policies`] is the registry: it watches the policy directory, loads what changes,
//! and publishes a whole [`PolicySet`] with one pointer swap. A [`Seat`] is one policy in one session: it owns the
//! instance, and the state from which the instance can be made again.
//!
//! Guaranteed here: a policy reaches only what it was granted, within stated limits; a failed call never leaves a broken
//! instance behind; a change that does not load leaves the old generation serving, and says why.
//! Not done here: wake conditions, release, slots and what a fault means for a request. Nothing here knows HTTP.

pub mod advice;
mod answers;
pub mod apart;
mod candidate;
pub mod contract;
mod directory;
mod engine;
mod error;
mod excerpt;
pub mod fault;
pub mod generation;
mod golden;
pub mod health;
mod host;
mod inspect;
pub mod limits;
mod load;
pub mod private;
mod program;
pub mod registry;
pub mod report;
pub mod seat;
pub mod services;
mod sources;
pub mod spec;
mod table;
mod ticker;
mod wasi;
mod watch;

pub use engine::Relief;
pub use fault::{Fault, FaultKind};
pub use generation::{Generation, PolicySet};
pub use health::{Counts, State};
pub use limits::{Limits, LimitsPatch};
pub use load::for_replay;
pub use registry::{Policies, PolicySettings};
pub use report::{PolicyEvent, PolicyStatus};
pub use seat::{Moved, Seat};
pub use services::{Ask, Asker, ContentSource, SavedState, Services};
pub use spec::{AskQuota, Grants, Mode, Move, OnFailure, PolicySpec};
