//! The contract's words that stand as values in a row: how a client is blocked, how long a change lasts, what silence means.

use serde::Deserialize;

use airlock_policy::contract::types::{self, OnTimeout, Scope};

/// How a client learns that it was blocked. The words of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockMode {
    /// The dialect's error.
    #[default]
    Hard,
    /// The dialect's refusal, with the fallback as its text.
    Soft,
    /// The connection is cut.
    Abort,
}

/// How long a change lasts. The words of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lasting {
    /// This model call.
    #[default]
    Exchange,
    /// The rest of the session.
    Session,
}

/// What happens to a waiting item when nobody decides in time. The words of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Timeout {
    /// It goes on.
    Release,
    /// It is blocked; a tool call: denied. The default, because silence is no approval.
    #[default]
    Block,
}

impl From<BlockMode> for types::BlockMode {
    fn from(mode: BlockMode) -> Self {
        match mode {
            BlockMode::Hard => Self::Hard,
            BlockMode::Soft => Self::Soft,
            BlockMode::Abort => Self::Abort,
        }
    }
}

impl From<Lasting> for Scope {
    fn from(lasting: Lasting) -> Self {
        match lasting {
            Lasting::Exchange => Self::Exchange,
            Lasting::Session => Self::Session,
        }
    }
}

impl From<Timeout> for OnTimeout {
    fn from(timeout: Timeout) -> Self {
        match timeout {
            Timeout::Release => Self::Release,
            Timeout::Block => Self::Block,
        }
    }
}
