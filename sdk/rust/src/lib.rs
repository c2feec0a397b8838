//! Write policies for Airlock in Rust.
//!
//! A policy watches the live stream of an agent's session (a [`Reasoner`] turns events into findings) and steps in (an
//! [`Actuator`] turns findings into actions). It is compiled to a WebAssembly component that can do nothing but what is in
//! this crate.
//!
//! ```
//! use airlock_sdk::{prelude::*, export_policy};
//!
//! /// Tells people when a tool fails.
//! struct ToolWatch;
//!
//! #[derive(Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct Settings {
//!     severity: String,
//! }
//!
//! impl Default for Settings {
//!     fn default() -> Self {
//!         Self { severity: "low".into() }
//!     }
//! }
//!
//! impl Policy for ToolWatch {
//!     type Settings = Settings;
//!     type State = ();
//!
//!     fn describe() -> Description {
//!         airlock_sdk::description!().action("alert")
//!     }
//!
//!     fn configure(_: &Settings) -> Result<Subscription, String> {
//!         Ok(Subscription::new().wake_on(EventKind::ToolResult).finding("tool-watch.*"))
//!     }
//!
//!     fn open(_: Facts, _: Settings, _: ()) -> Result<Self, String> {
//!         Ok(Self)
//!     }
//!
//!     fn state(&self) -> &() {
//!         &()
//!     }
//! }
//!
//! impl Reasoner for ToolWatch {
//!     fn observe(&mut self, batch: &Batch) -> Assessment {
//!         batch
//!             .events()
//!             .filter_map(|event| match event.detail {
//!                 Some(Detail::ToolResult(result)) if result.failed => Some(
//!                     Finding::new("tool-watch.failed", Severity::Low, format!("{} failed", result.name))
//!                         .evidence(event.whole()),
//!                 ),
//!                 _ => None,
//!             })
//!             .collect()
//!     }
//! }
//!
//! impl Actuator for ToolWatch {
//!     fn decide(&mut self, situation: &Situation) -> Decision {
//!         situation.findings.iter().map(|found| Alert::new(Severity::Low, &found.finding.summary)).collect()
//!     }
//! }
//!
//! export_policy!(ToolWatch);
//! # fn main() {}
//! ```
//!
//! The crate of a policy is a `cdylib`; `airlock policy build` makes the component. It also compiles natively, where
//! [`testing`] stands in for the host, so that a policy is tested like any other Rust code.
//!
//! Guarantees: a panic reaches the operator's log before it becomes a trap; a policy that does not ask for content or
//! answers does not import them, so it needs no grant for them.

mod batch;
#[allow(
    missing_docs,
    unsafe_code,
    unused_imports,
    clippy::all,
    clippy::panic,
    clippy::unwrap_used,
    reason = "generated from wit/, where it is documented"
)]
mod bindings;
mod builders;
mod export;
mod glob;
#[doc(hidden)]
pub mod glue;
pub mod host;
mod policy;
#[cfg(not(target_family = "wasm"))]
#[allow(clippy::panic, reason = "the assertions of an author's tests")]
pub mod testing;
pub mod vital;

pub use batch::{Batch, Event, Situation};
pub use glob::glob;
pub use policy::{Actuator, Policy, Reasoner};

/// The records of the contract, as the WIT states them.
pub mod types {
    pub use crate::bindings::policy::airlock::policy::asking::{
        Approval, Classification, Generation, Question,
    };
    pub use crate::bindings::policy::airlock::policy::logging::Level;
    // `Batch` and `Situation` are shadowed by views that cut the text of events.
    pub use crate::bindings::policy::airlock::policy::types::{
        Action, Alert, Allocation, Annotation, Answer, AnswerValue, Assessment, Block, BlockMode,
        Channel, ChannelRelease, Checkpoint, Circuit, ContentRef, Decision, Description, Detail,
        EventKind, Facts, Failure, FailureKind, Finding, History, Hold, Injection, Intervention,
        Item, Message, MessageEdit, MessageEviction, MessageReplacement, OnTimeout, Outcome,
        Parameters, Pattern, PatternMatch, PatternSyntax, Pending, Position, ReleaseMark,
        ReleaseMode, Replacement, ReportedFinding, Request, Response, ResultSubstitution, Retry,
        Role, Route, Scope, Severity, Span, Steering, Stop, Subscription, Threshold, ToolCall,
        ToolDenial, ToolResult, ToolRewrite, Vital, Wake,
    };
}

/// What most policies need.
pub mod prelude {
    pub use crate::{Actuator, Batch, Event, Policy, Reasoner, Situation, host, types::*, vital};
    pub use serde::{Deserialize, Serialize};
}
