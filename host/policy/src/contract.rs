//! The policy contract (`wit/`) as Rust types, generated for the host.
//!
//! The records of the contract are used as they are throughout the host: there is no second set of the same records. They
//! are owned; the host passes them to guests by reference.

#[allow(missing_docs, reason = "documented in wit/")]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "policy",
        additional_derives: [Clone, PartialEq, serde::Serialize, serde::Deserialize],
    });
}

pub use generated::airlock::policy::{
    actions, asking, content, events, findings, logging, refusals, state, subscriptions,
};
pub use generated::exports::airlock::policy::{about, acting, reasoning, sessions};

pub(crate) mod weight;
mod words;

pub use words::{EVENT_WORDS, EventWords, LARGE, SMALL, channel_name, large, small};

/// The records of all interfaces of the contract.
pub mod types {
    pub use super::actions::{
        Action, Alert, Allocation, Annotation, Block, BlockMode, Circuit, Decision, Handover, Hold,
        Injection, MessageEdit, MessageEviction, MessageReplacement, Parameters, Position,
        RemoteAction, Replacement, ResultSubstitution, Retry, Rollback, Route, Scope, Situation,
        Steering, Stop, ToolDenial, ToolRewrite,
    };
    pub use super::events::{
        Answer, AnswerValue, Attachments, Batch, CallKind, Checkpoint, ContentRef, Conversation,
        Detail, EventKind, Facts, Failure, FailureKind, History, Intervention, Message, Outcome,
        Part, PatternMatch, Request, Response, Role, ToolCall, ToolOffer, ToolResult, Vital,
        VitalId,
    };
    pub use super::findings::{
        Assessment, Channel, Finding, OnTimeout, Pending, Place, ReleaseMark, ReportedFinding,
        Severity, Span, Subject,
    };
    pub use super::refusals::{Refusal, RefusalKind};
    pub use super::subscriptions::{
        ChannelRelease, Description, Pattern, PatternSyntax, ReleaseMode, Subscription, Threshold,
        Wake,
    };
}

/// Version of the contract that this host speaks.
pub const VERSION: &str = "0.2.0";
