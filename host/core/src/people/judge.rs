//! Whether a decision counts: the first one, in time, that fits what waits.

use super::approval::{Approval, ApprovalId, Decision, Subject, Verdict};
use crate::store::StoreError;

/// Whether a decision fits the approval as it stands.
pub(super) fn may_decide(approval: &Approval, decision: &Decision) -> Result<(), DecideError> {
    if let Some(error) = DecideError::of(approval) {
        return Err(error);
    }
    if approval.deadline <= decision.at {
        return Err(DecideError::TooLate(approval.id));
    }
    let unfit = |why: String| Err(DecideError::Unfit(why));
    match (&decision.verdict, &approval.subject) {
        (Verdict::TimedOut, _) => unfit("only time lets an approval time out".into()),
        (Verdict::Denied, _) => Ok(()),
        (Verdict::Approved, Subject::Question { choices, .. }) if !choices.is_empty() => unfit(
            format!("this is a question: choose one of {}", quoted(choices)),
        ),
        (Verdict::Approved, _) => Ok(()),
        (Verdict::Chosen(choice), Subject::Question { choices, .. }) => {
            if choices.contains(choice) {
                Ok(())
            } else if choices.is_empty() {
                unfit("this question has no choices: approve for yes, deny for no".into())
            } else {
                unfit(format!(
                    "`{choice}` is not offered: choose one of {}",
                    quoted(choices)
                ))
            }
        }
        (Verdict::Chosen(_), _) => unfit("only a question has choices".into()),
        (Verdict::Edited(arguments), Subject::ToolCall { .. }) => {
            match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(arguments) {
                Ok(_) => Ok(()),
                Err(error) => unfit(format!(
                    "the new arguments must be a JSON object, such as {{\"path\": \"a.txt\"}}: {error}"
                )),
            }
        }
        (Verdict::Edited(_), Subject::Text { .. } | Subject::ToolResult { .. }) => Ok(()),
        (Verdict::Edited(_), subject) => unfit(format!(
            "a {} cannot be edited: approve or deny it",
            subject.kind()
        )),
    }
}

fn quoted(choices: &[String]) -> String {
    let quoted: Vec<_> = choices.iter().map(|choice| format!("`{choice}`")).collect();
    quoted.join(", ")
}

/// Why a decision does not count.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// None of this id waits, or is remembered.
    #[error("no approval {0} waits: `airlock approvals` lists those that do")]
    Unknown(ApprovalId),
    /// Somebody was first.
    #[error("approval {id} is decided already: {verdict} by {by}")]
    Decided {
        /// The approval.
        id: ApprovalId,
        /// Who was first.
        by: String,
        /// With which verdict.
        verdict: &'static str,
    },
    /// Its default counts.
    #[error("approval {0} is past its deadline: its default is the decision")]
    TooLate(ApprovalId),
    /// The decision does not fit what waits.
    #[error("{0}")]
    Unfit(String),
    /// Nothing is decided; it still waits.
    #[error("the decision was not taken, and the approval still waits: {0}")]
    Store(#[from] StoreError),
}

impl DecideError {
    /// Why no further decision about a decided approval counts; `None` for one that waits.
    pub fn of(approval: &Approval) -> Option<Self> {
        let first = approval.decision()?;
        let id = approval.id;
        Some(if first.verdict == Verdict::TimedOut {
            Self::TooLate(id)
        } else {
            let (by, verdict) = (first.by.clone(), first.verdict.word());
            Self::Decided { id, by, verdict }
        })
    }
}
