//! What is to become of an exchange, once something was decided.

use super::scene::{Done, done};
use crate::dialect::ClientError;
use crate::event::Outcome;
use airlock_policy::contract::types::BlockMode;

/// What is to become of an exchange.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It is refused.
    Block {
        /// How the client learns of it.
        mode: BlockMode,
        /// Who ordered it; empty: Airlock itself.
        by: String,
        /// Why, for the client.
        reason: String,
        /// Given instead, for a soft block.
        fallback: String,
    },
    /// It ends early with a partial result.
    Stop {
        /// Why.
        reason: String,
        /// 0..1, `None` if unknown.
        confidence: Option<f32>,
        /// Whether held text goes out first.
        keep_held: bool,
        /// Who ordered it.
        by: String,
    },
    /// It is answered in the model's place.
    Answer(String),
    /// The turn ends with a text that says which tool calls were denied, and why.
    Explain(String),
    /// Somebody was asked, and the client cannot wait any longer: it may come again.
    Unanswered(String),
    /// Airlock itself cannot let it go on: the budget is used up, or cannot be kept.
    Refused(ClientError),
    /// The failed call is repeated.
    Retry {
        /// Upstream; empty: the same.
        upstream: String,
        /// Model; empty: the same.
        model: String,
        /// Wait before it.
        after_ms: u32,
    },
}

impl Fate {
    /// A refusal by Airlock itself, at which the client's SDK raises.
    pub fn refusal(reason: impl Into<String>) -> Self {
        Self::Block {
            mode: BlockMode::Hard,
            by: String::new(),
            reason: reason.into(),
            fallback: String::new(),
        }
    }

    /// Decides, unless something as strong was decided before: that stays, whenever in the exchange it was ordered.
    pub fn decide(self, present: &mut Option<Fate>) -> Done {
        if present
            .as_ref()
            .is_some_and(|present| present.strength() >= self.strength())
        {
            let why = "the exchange's fate was already decided".to_owned();
            return (Outcome::Superseded, why);
        }
        *present = Some(self);
        done()
    }

    fn strength(&self) -> u8 {
        match self {
            Fate::Refused(_) => 6,
            Fate::Block { .. } => 5,
            Fate::Stop { .. } => 4,
            Fate::Unanswered(_) => 3,
            Fate::Answer(_) => 2,
            Fate::Retry { .. } | Fate::Explain(_) => 1,
        }
    }
}
