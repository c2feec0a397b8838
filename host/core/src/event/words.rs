//! The words of which facts are made: where text stands, who speaks, what was used, what failed, and how it ended.

use serde::{Deserialize, Serialize};

use airlock_policy::contract::types as wit;

/// Which text of an exchange.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// What the model says to its user.
    Output,
    /// Reasoning or thinking text.
    Reasoning,
    /// The model's own refusal.
    Refusal,
    /// Arguments of a tool call while they are written; the item is the index of the call.
    ToolArguments,
    /// Another field that bears text.
    Other,
    /// A message of the request; the item is its index.
    Message,
    /// The result of a tool call, in the request; the item is the index of the message that bears it.
    ToolResult,
}

impl Channel {
    /// The channels of generated text.
    pub const GENERATED: [Channel; 5] = [
        Channel::Output,
        Channel::Reasoning,
        Channel::Refusal,
        Channel::ToolArguments,
        Channel::Other,
    ];

    /// Whether the model writes it.
    #[must_use]
    pub fn is_generated(self) -> bool {
        Self::GENERATED.contains(&self)
    }

    /// The channel that a policy names; `None` for the contract's `nowhere`.
    pub fn from_wit(channel: wit::Channel) -> Option<Channel> {
        Some(match channel {
            wit::Channel::Nowhere => return None,
            wit::Channel::Output => Channel::Output,
            wit::Channel::Reasoning => Channel::Reasoning,
            wit::Channel::Refusal => Channel::Refusal,
            wit::Channel::ToolArguments => Channel::ToolArguments,
            wit::Channel::Other => Channel::Other,
            wit::Channel::Message => Channel::Message,
            wit::Channel::ToolResult => Channel::ToolResult,
        })
    }
}

/// Where text stands in its exchange.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
pub struct Place {
    /// The channel.
    pub channel: Channel,
    /// Index of the choice.
    pub choice: u16,
    /// Index of the output item, content block or tool call in the choice; of the message in the request.
    pub item: u32,
    /// Index of the part in the item.
    #[serde(default, skip_serializing_if = "is_first")]
    pub part: u16,
}

fn is_first(part: &u16) -> bool {
    *part == 0
}

impl Place {
    /// The place of an item that is not divided.
    #[must_use]
    pub const fn new(channel: Channel, choice: u16, item: u32) -> Self {
        Self {
            channel,
            choice,
            item,
            part: 0,
        }
    }

    /// The place that a policy names; `None` if it names none.
    pub fn from_wit(place: wit::Place) -> Option<Self> {
        Some(Self {
            channel: Channel::from_wit(place.channel)?,
            choice: place.choice.try_into().ok()?,
            item: place.item,
            part: place.part.try_into().ok()?,
        })
    }
}

/// A range of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Span {
    /// Where the text stands.
    #[serde(flatten)]
    pub place: Place,
    /// First byte, in that text.
    pub offset: u32,
    /// Bytes.
    pub length: u32,
}

impl Span {
    /// The first offset behind it.
    #[must_use]
    pub const fn end(self) -> u32 {
        self.offset.saturating_add(self.length)
    }

    /// The range that a policy names; `None` if it names no text.
    pub fn from_wit(span: wit::Span) -> Option<Self> {
        Some(Self {
            place: Place::from_wit(span.place)?,
            offset: span.offset,
            length: span.length,
        })
    }
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "of", rename_all = "kebab-case")]
pub enum Subject {
    /// The session, or nothing more exact.
    Session,
    /// The request.
    Request,
    /// A message.
    Message {
        /// Its identity in the session.
        message: u64,
    },
    /// What the model says.
    Response,
    /// A text.
    Text {
        /// Which part of it.
        #[serde(flatten)]
        span: Span,
    },
    /// A tool call.
    ToolCall {
        /// Id of the call.
        call: String,
    },
    /// The result of a tool call.
    ToolResult {
        /// Id of the call.
        call: String,
    },
    /// What this version has no word for.
    Other {
        /// The policy's word.
        name: String,
    },
}

/// Who runs a tool, and how its arguments are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CallKind {
    /// The client; JSON.
    #[default]
    Function,
    /// The client; free text.
    Custom,
}

/// Who speaks in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the vendors' own words")]
pub enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
    Other,
}

/// Tokens as the provider or Airlock counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub input: u32,
    /// Generated tokens, reasoning included.
    pub output: u32,
    /// Prompt tokens read from the provider's cache.
    pub cached: u32,
    /// Generated tokens that the provider does not show.
    pub reasoning: u32,
    /// Whether the provider stated the numbers.
    pub exact: bool,
}

/// What failed. The words of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the words of the contract")]
pub enum FailureKind {
    Upstream,
    Timeout,
    RateLimit,
    Overloaded,
    ContextLength,
    Cancelled,
    Tool,
    Connection,
    Policy,
    Other,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ExchangeStatus)]
pub enum Status {
    /// The generation reached its own end.
    Complete,
    /// Airlock ended it early and said so.
    Partial,
    /// Airlock refused it.
    Blocked,
    /// The upstream or the connection to it failed.
    Failed,
    /// The client went away.
    Disconnected,
}

/// What became of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Done.
    Applied,
    /// Not granted, not known, or not possible here.
    Refused,
    /// A stronger action or an earlier policy won the same slot.
    Superseded,
    /// What it meant to change had already left.
    TooLate,
    /// Tried, and it failed.
    Failed,
    /// The policy is in `observe` mode.
    WouldApply,
}

/// What happens to a waiting item when nobody decides in time. The words of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnTimeout {
    /// It goes on as if nobody had an objection.
    Release,
    /// It is blocked; a tool call: denied.
    Block,
}
