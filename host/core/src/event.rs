//! What the timeline holds: facts, in order, as they are stored, shown and sent to the live feed.
//!
//! A superset of what policies are told (`contract::types::EventKind`): findings, policy calls, faults and changes of
//! generation stand here too, so that the timeline alone explains what happened and why.

pub mod clock;
pub mod contract;
pub mod declared;
pub mod digest;
pub mod key;
pub mod marks;
pub mod phase;
pub mod size;
pub mod target;
mod words;

use serde::{Deserialize, Serialize};

pub use clock::Micros;
pub use words::{
    CallKind, Channel, FailureKind, OnTimeout, Outcome, Place, Role, Span, Status, Subject, Usage,
};

/// One fact on the timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// Position on the session's timeline, from 1.
    pub seq: u64,
    /// When it was observed.
    pub at: Micros,
    /// Number of the exchange in its session, from 1; 0 for the session itself.
    pub exchange: u32,
    /// The fact.
    #[serde(flatten)]
    pub body: Body,
}

/// The fact itself. `kind` in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[schema(as = EventBody)]
pub enum Body {
    /// First event of a session.
    SessionOpened {
        /// Tenant of the key that called.
        tenant: String,
        /// Name of the key, or a hash of the credential.
        principal: String,
        /// Where the session id was found (`x-airlock-session-id`, `prefix-hash`, ...).
        source: String,
        /// `explicit`, `derived` or `inferred`.
        confidence: String,
        /// Seed told to policies.
        seed: u32,
    },
    /// The client changed messages that it had sent before.
    HistoryRewritten {
        /// Index of the first message that differs. In JSON it stands beside the event's own `at`.
        #[serde(rename = "from_message")]
        at: u32,
        /// Messages known before.
        known: u32,
    },
    /// A message new to the conversation.
    Message {
        /// Identity of the message in its session.
        id: u64,
        /// Who speaks.
        role: Role,
        /// Index in the request.
        index: u32,
        /// Its text, as far as capture allows.
        text: String,
        /// Bytes of the whole text.
        bytes: u64,
    },
    /// A part of a message that is not text.
    Part {
        /// The dialect's word for it.
        name: String,
        /// Identity of the message.
        message: u64,
        /// Index among the parts of its message.
        index: u32,
        /// Media type; empty if none is stated.
        media_type: String,
        /// Where it lies, if not in the request, as far as capture allows.
        text: String,
        /// Bytes of it that are in the request.
        bytes: u64,
    },
    /// The answer to an earlier tool call.
    ToolResult {
        /// The vendor's id of the call.
        id: String,
        /// Name of the tool, empty if the call is not known.
        name: String,
        /// From the release of the call to the arrival of the result.
        duration_us: u64,
        /// Whether the result states a failure.
        failed: bool,
        /// Message that carries it.
        message: u64,
        /// The result, as far as capture allows.
        text: String,
        /// Bytes of the whole text.
        bytes: u64,
    },
    /// A model call begins.
    Request {
        /// Model, as it goes upstream.
        model: String,
        /// Name of the upstream.
        upstream: String,
        /// Wire API.
        dialect: String,
        /// Whether the client asked for a stream.
        streamed: bool,
        /// Messages in the request.
        messages: u32,
        /// Names of the tools offered.
        tools: Vec<String>,
        /// Prompt tokens, estimated.
        input_tokens: u32,
        /// The request's own limit of output tokens; 0 if none.
        max_output_tokens: u32,
        /// The client's retries of this request before.
        retry: u32,
        /// Airlock's own attempt, from 1.
        attempt: u32,
        /// The call to an upstream within the exchange, from 1.
        #[serde(default)]
        leg: u32,
        /// Why there is a further attempt or leg: `denied`, `retried`; empty for the first.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        cause: String,
    },
    /// Response headers and first bytes arrived.
    FirstToken {
        /// Since the request arrived.
        after_us: u64,
    },
    /// Generated text.
    Text {
        /// Where.
        #[serde(flatten)]
        place: Place,
        /// Offset of the first byte in its channel.
        offset: u32,
        /// The text, as far as capture allows.
        text: String,
        /// Bytes of the text.
        bytes: u32,
        /// Tokens, estimated.
        tokens: u32,
    },
    /// A complete tool call.
    ToolCall {
        /// The vendor's id.
        id: String,
        /// Name of the tool.
        name: String,
        /// Who runs the tool.
        #[serde(default)]
        call: CallKind,
        /// Index of the choice.
        choice: u16,
        /// Index of the call in the choice.
        item: u32,
        /// Arguments, as far as capture allows.
        arguments: String,
        /// Bytes of the arguments.
        bytes: u64,
    },
    /// The generation ended.
    ResponseEnd {
        /// The dialect's own word, of choice 0.
        finish: String,
        /// Model that answered.
        model: String,
        /// Tokens.
        usage: Usage,
        /// Microdollars; absent without a price.
        cost: Option<u64>,
        /// How it ended.
        status: Status,
        /// Since the request arrived.
        elapsed_us: u64,
    },
    /// Something failed.
    Failure {
        /// What.
        failure: FailureKind,
        /// HTTP status, 0 if none.
        status: u16,
        /// Whether a repetition may succeed.
        retryable: bool,
        /// Its message.
        text: String,
    },
    /// Measurements: id and value, as in the contract's table of vitals.
    Vitals {
        /// Only those that changed.
        values: Vec<(u16, f64)>,
    },
    /// A policy asked. What people or a model say comes as an `answer` with the same ticket.
    Asked {
        /// Policy that asks.
        policy: String,
        /// Its ticket.
        ticket: u64,
        /// Name of the target.
        target: String,
        /// `classify`, `embed`, `generate` or `approve`.
        question: String,
        /// The question's text, at most its first 4,096 bytes, as far as capture allows.
        text: String,
        /// Bytes of the whole text.
        bytes: u64,
        /// When it is given up.
        deadline: Micros,
    },
    /// An answer to a policy's question.
    Answer {
        /// Policy that asked.
        policy: String,
        /// Its ticket.
        ticket: u64,
        /// The answer as JSON.
        value: serde_json::Value,
        /// Name of the target.
        #[serde(default)]
        target: String,
        /// Model that answered; empty for people.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        model: String,
        /// Tokens that the session's ledger was charged; absent if no model was called.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        /// Microdollars; absent without a price.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cost: Option<u64>,
        /// Since it was asked.
        #[serde(default)]
        elapsed_us: u64,
    },
    /// What a reasoner concluded.
    Finding {
        /// Who.
        policy: String,
        /// Generation of the policy.
        generation: u32,
        /// What.
        finding: String,
        /// `info` to `critical`.
        severity: String,
        /// 0..1.
        confidence: f32,
        /// One sentence.
        summary: String,
        /// What it is about.
        subject: Subject,
        /// Where it shows, in the texts of its exchange.
        evidence: Vec<Span>,
        /// More, as JSON.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        data: String,
    },
    /// An action and what became of it.
    Intervention {
        /// Name of the action.
        action: String,
        /// Policy that ordered it, or `on_finding`.
        policy: String,
        /// Generation of the policy, 0 for the operator's table.
        generation: u32,
        /// What happened.
        outcome: Outcome,
        /// Why.
        reason: String,
        /// The action's arguments as JSON, as far as capture allows.
        arguments: serde_json::Value,
    },
    /// One call of a policy: with the events it names, enough to repeat it.
    PolicyCall {
        /// Who.
        policy: String,
        /// Its generation.
        generation: u32,
        /// `observe` or `decide`.
        role: String,
        /// Checkpoint at which it was called.
        checkpoint: String,
        /// Range of events it was given: first and last sequence number.
        events: (u64, u64),
        /// Time of the call itself.
        took_us: u32,
        /// SHA-256 of the result, first 16 hex digits; empty for an empty result.
        result: String,
    },
    /// A policy failed. What the host did instead is in the interventions that follow.
    PolicyFault {
        /// Who.
        policy: String,
        /// Its generation.
        generation: u32,
        /// `trap`, `timeout`, `memory`, `malformed`, `pool`, ...
        fault: String,
        /// The error's text.
        text: String,
        /// `open` or `closed`.
        on_failure: String,
    },
    /// From now on this generation of a policy judges the session. Numbers of generations count since the process began;
    /// the digests name what judged for ever.
    PolicySeated {
        /// Who.
        policy: String,
        /// Its generation.
        generation: u32,
        /// SHA-256 of the component.
        digest: String,
        /// SHA-256 of its settings, first 16 hexadecimal digits.
        settings: String,
        /// Whether its word is law.
        enforces: bool,
    },
    /// A session's seat moved to another generation.
    PolicyMoved {
        /// Who.
        policy: String,
        /// From which generation.
        from: u32,
        /// To which.
        to: u32,
        /// `migrated`, `restarted`, `rolled-back`.
        how: String,
    },
    /// A note that a policy left.
    Annotation {
        /// Who.
        policy: String,
        /// Name of the note.
        name: String,
        /// Its value.
        value: String,
    },
    /// An item waits for a person's word.
    Held {
        /// Id of the approval.
        approval: String,
        /// Policy that holds it, or `rule`.
        policy: String,
        /// What waits: `request`, `text`, `tool-call`, `tool-result`, `question`.
        subject: String,
        /// Name of the tool or target; empty if it is about none.
        name: String,
        /// One line for the person.
        title: String,
        /// When its default becomes the decision.
        until: Micros,
        /// The default.
        on_timeout: OnTimeout,
    },
    /// An item that waited is decided.
    Decided {
        /// Id of the approval.
        approval: String,
        /// `approved`, `denied`, `edited`, `chosen`, `timed-out`.
        verdict: String,
        /// Who; `airlock` where nobody did.
        by: String,
        /// Why; may be empty.
        note: String,
    },
    /// A call that bears no generated text, or none that Airlock reads, was passed on: embeddings, the list of models.
    Passage {
        /// Method and path.
        path: String,
        /// Model that it names, if it does.
        model: String,
        /// Name of the upstream.
        upstream: String,
        /// Status that the client got.
        status: u16,
        /// Until the headers of the answer.
        elapsed_us: u64,
        /// Tokens that the session's ledger was charged, estimated unless they are exact; absent if it spent none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        /// Microdollars; absent without a price.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cost: Option<u64>,
    },
    /// Bytes passed that no policy judged, because the operator listed the path.
    Unjudged {
        /// Method and path.
        path: String,
        /// Why.
        reason: String,
    },
    /// Events are missing here: the store could not keep up.
    Dropped {
        /// How many.
        count: u64,
    },
}
