//! What stands on the timeline about approvals, and the words of a decision that nobody made.

use super::approval::{Approval, Decision, OnTimeout, Verdict};
use crate::event::{Body, Micros};

/// Who decides where no person did.
pub const NOBODY: &str = "airlock";

/// The stated default as a decision.
pub(super) fn by_default(approval: &Approval, reason: &str, at: Micros) -> Decision {
    let default = match approval.on_timeout {
        OnTimeout::Release => "it is released",
        OnTimeout::Block => "it is blocked",
    };
    Decision {
        verdict: Verdict::TimedOut,
        by: NOBODY.to_owned(),
        note: format!("{reason}: {default}"),
        at,
    }
}

/// It waits.
pub(super) fn held(approval: &Approval) -> Body {
    Body::Held {
        approval: approval.id.to_string(),
        policy: approval.policy.clone(),
        subject: approval.subject.kind().to_owned(),
        name: approval.subject.name().to_owned(),
        title: approval.title.clone(),
        until: approval.deadline,
        on_timeout: approval.on_timeout,
    }
}

/// It is decided.
pub(super) fn decided(approval: &Approval, decision: &Decision) -> Body {
    Body::Decided {
        approval: approval.id.to_string(),
        verdict: decision.verdict.word().to_owned(),
        by: decision.by.clone(),
        note: decision.note.clone(),
    }
}
