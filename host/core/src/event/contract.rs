//! Words of the timeline in the contract's, and the other way.

use super::words::{CallKind, Channel, FailureKind, OnTimeout, Outcome, Place, Role, Subject};
use airlock_policy::contract::types as wit;

impl From<Channel> for wit::Channel {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::Output => wit::Channel::Output,
            Channel::Reasoning => wit::Channel::Reasoning,
            Channel::Refusal => wit::Channel::Refusal,
            Channel::ToolArguments => wit::Channel::ToolArguments,
            Channel::Other => wit::Channel::Other,
            Channel::Message => wit::Channel::Message,
            Channel::ToolResult => wit::Channel::ToolResult,
        }
    }
}

impl From<wit::Role> for Role {
    fn from(role: wit::Role) -> Self {
        match role {
            wit::Role::System => Self::System,
            wit::Role::Developer => Self::Developer,
            wit::Role::User => Self::User,
            wit::Role::Assistant => Self::Assistant,
            wit::Role::Tool => Self::Tool,
            wit::Role::Other => Self::Other,
        }
    }
}

impl From<Role> for wit::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::System => Self::System,
            Role::Developer => Self::Developer,
            Role::User => Self::User,
            Role::Assistant => Self::Assistant,
            Role::Tool => Self::Tool,
            Role::Other => Self::Other,
        }
    }
}

impl From<Outcome> for wit::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Applied => Self::Applied,
            Outcome::Refused => Self::Refused,
            Outcome::Superseded => Self::Superseded,
            Outcome::TooLate => Self::TooLate,
            Outcome::Failed => Self::Failed,
            Outcome::WouldApply => Self::WouldApply,
        }
    }
}

impl From<FailureKind> for wit::FailureKind {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Upstream => Self::Upstream,
            FailureKind::Timeout => Self::Timeout,
            FailureKind::RateLimit => Self::RateLimit,
            FailureKind::Overloaded => Self::Overloaded,
            FailureKind::ContextLength => Self::ContextLength,
            FailureKind::Cancelled => Self::Cancelled,
            FailureKind::Tool => Self::Tool,
            FailureKind::Connection => Self::Connection,
            FailureKind::Policy => Self::Policy,
            FailureKind::Other => Self::Other,
        }
    }
}

impl From<wit::OnTimeout> for OnTimeout {
    fn from(word: wit::OnTimeout) -> Self {
        match word {
            wit::OnTimeout::Release => Self::Release,
            wit::OnTimeout::Block => Self::Block,
        }
    }
}

impl From<Place> for wit::Place {
    fn from(place: Place) -> Self {
        Self {
            channel: place.channel.into(),
            choice: place.choice.into(),
            item: place.item,
            part: place.part.into(),
        }
    }
}

impl From<&wit::Subject> for Subject {
    fn from(subject: &wit::Subject) -> Self {
        match subject {
            wit::Subject::Session => Self::Session,
            wit::Subject::Request => Self::Request,
            wit::Subject::Message(message) => Self::Message { message: *message },
            wit::Subject::Response => Self::Response,
            wit::Subject::Text(span) => super::words::Span::from_wit(*span)
                .map_or(Self::Session, |span| Self::Text { span }),
            wit::Subject::ToolCall(call) => Self::ToolCall { call: word(call) },
            wit::Subject::ToolResult(call) => Self::ToolResult { call: word(call) },
            wit::Subject::Other((name, _)) => Self::Other { name: word(name) },
        }
    }
}

/// As much of a name as a timeline keeps, whatever is captured: vendors' ids are far shorter.
fn word(name: &str) -> String {
    const MOST: usize = 128;
    let end = name.floor_char_boundary(MOST);
    name.get(..end).unwrap_or_default().to_owned()
}

impl From<CallKind> for wit::CallKind {
    fn from(kind: CallKind) -> Self {
        match kind {
            CallKind::Function => Self::Function,
            CallKind::Custom => Self::Custom,
        }
    }
}
