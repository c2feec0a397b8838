//! The words of which facts are made: where text stands, who speaks, what was used, what failed, and how it ended.

use serde::{Deserialize, Serialize};

use airlock_policy::contract::types as wit;

/// Which stream of text inside a generation.
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
    /// Arguments of a tool call while they are written; the block is the index of the call.
    ToolArguments,
    /// Another field that bears text.
    Other,
}

impl Channel {
    /// All channels of generated text.
    pub const ALL: [Channel; 5] = [
        Channel::Output,
        Channel::Reasoning,
        Channel::Refusal,
        Channel::ToolArguments,
        Channel::Other,
    ];

    /// The channel that a policy names; `None` for the contract's `none`.
    pub fn from_wit(channel: wit::Channel) -> Option<Channel> {
        Some(match channel {
            wit::Channel::None => return None,
            wit::Channel::Output => Channel::Output,
            wit::Channel::Reasoning => Channel::Reasoning,
            wit::Channel::Refusal => Channel::Refusal,
            wit::Channel::ToolArguments => Channel::ToolArguments,
            wit::Channel::Other => Channel::Other,
        })
    }
}

/// Where generated text stands.
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
    /// Index of the content block or tool call in the choice.
    pub block: u16,
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
