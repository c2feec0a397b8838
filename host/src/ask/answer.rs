//! An answer on its way to the policy: on the timeline first, then in the session's mailbox.

use serde_json::{Value, json};

use airlock_core::event::clock::now;
use airlock_core::event::{Body, Usage};
use airlock_core::session::mailbox::Question;
use airlock_core::session::state::Session;
use airlock_policy::contract::types::AnswerValue;

/// What came of a question.
#[derive(Debug)]
pub(super) struct Told {
    /// For the policy.
    pub value: AnswerValue,
    /// Model that answered, by its own word; empty if none was called.
    pub model: String,
    /// Tokens that the ledger was charged; `None` if none.
    pub usage: Option<Usage>,
    /// Microdollars that the ledger was charged; `None` without a price.
    pub cost: Option<u64>,
}

impl From<AnswerValue> for Told {
    /// An answer that cost nothing.
    fn from(value: AnswerValue) -> Self {
        Self {
            value,
            model: String::new(),
            usage: None,
            cost: None,
        }
    }
}

/// Records an answer and gives it to whoever waits for it.
pub(super) fn answer(session: &Session, ticket: u64, question: &Question, told: Told) {
    let at = now();
    let seq = session.timeline.append(
        question.exchange,
        Body::Answer {
            policy: question.policy.clone(),
            ticket,
            value: in_json(&told.value),
            target: question.target.clone(),
            model: told.model,
            usage: told.usage,
            cost: told.cost,
            elapsed_us: at.saturating_sub(question.asked),
        },
    );
    session.mailbox.answer(ticket, told.value, seq, at);
    session.answered();
}

/// An answer in the contract's words: the case is the key.
fn in_json(value: &AnswerValue) -> Value {
    match value {
        AnswerValue::Denied(why) => json!({"denied": why}),
        AnswerValue::Failed(how) => json!({"failed": how}),
        AnswerValue::Text(text) => json!({"text": text}),
        AnswerValue::Labels(labels) => json!({"labels": labels}),
        AnswerValue::Vectors(vectors) => json!({"vectors": vectors}),
        AnswerValue::Other((name, value)) => json!({"other": [name, value]}),
    }
}
