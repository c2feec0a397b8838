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
//!     fn start(_: Facts, _: Settings, _: ()) -> Result<Self, String> {
//!         Ok(Self)
//!     }
//!
//!     fn state(&self) -> &() {
//!         &()
//!     }
//! }
//!
//! impl Reasoner for ToolWatch {
//!     fn observe(&mut self, batch: &Batch) -> Result<Assessment, String> {
//!         let failed = batch.events().filter_map(|event| match event.detail {
//!             Some(Detail::ToolResult(result)) if result.failed => Some(
//!                 Finding::new("tool-watch.failed", Severity::Low, format!("{} failed", result.name))
//!                     .about(result)
//!                     .evidence(event.whole()),
//!             ),
//!             _ => None,
//!         });
//!         Ok(failed.collect())
//!     }
//! }
//!
//! impl Actuator for ToolWatch {
//!     fn decide(&mut self, situation: &Situation) -> Result<Decision, String> {
//!         Ok(situation.own().map(|found| Alert::new(Severity::Low, &found.finding.summary)).collect())
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
//! Guarantees: an error reaches the operator in the policy's own words, and so does a panic, by the log, before it becomes a
//! trap, which has none; what the policy is not granted is refused when it is called ([`host`]), never missing.

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
mod place;
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
    // `Situation` is shadowed by a view that cuts the text of events.
    pub use crate::bindings::policy::airlock::policy::actions::{
        Action, Alert, Allocation, Annotation, Block, BlockMode, Circuit, Decision, Handover, Hold,
        Injection, MessageEdit, MessageEviction, MessageReplacement, Parameters, Position,
        RemoteAction, Replacement, ResultSubstitution, Retry, Rollback, Route, Scope, Steering,
        Stop, ToolDenial, ToolRewrite,
    };
    pub use crate::bindings::policy::airlock::policy::asking::{
        Approval, Classification, Generation, Question,
    };
    // `Batch` is shadowed by a view too, which reads the events out of numbers.
    pub use crate::bindings::policy::airlock::policy::events::{
        Answer, AnswerValue, CallKind, Checkpoint, ContentRef, Conversation, Detail, EventKind,
        Facts, Failure, FailureKind, History, Intervention, Message, Outcome, Part, PatternMatch,
        Request, Response, Role, ToolCall, ToolOffer, ToolResult, Vital,
    };
    pub use crate::bindings::policy::airlock::policy::findings::{
        Assessment, Channel, Finding, OnTimeout, Pending, Place, ReleaseMark, ReportedFinding,
        Severity, Span, Subject,
    };
    pub use crate::bindings::policy::airlock::policy::logging::Level;
    pub use crate::bindings::policy::airlock::policy::refusals::{Refusal, RefusalKind};
    pub use crate::bindings::policy::airlock::policy::subscriptions::{
        ChannelRelease, Description, Pattern, PatternSyntax, ReleaseMode, Subscription, Threshold,
        Wake,
    };
}

/// What most policies need.
pub mod prelude {
    pub use crate::{Actuator, Batch, Event, Policy, Reasoner, Situation, host, types::*, vital};
    pub use serde::{Deserialize, Serialize};
}
