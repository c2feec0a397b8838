//! Approvals in the store.
//!
//! While an approval waits, and while its decision is remembered, its row holds it whole, whatever `capture` says: a person has
//! to see the exact item also after a restart. Then the row is reduced as the timeline is, and stays so with its session.

use serde_json::Value;

use super::approval::{Approval, State, Subject, Verdict};
use crate::store::ApprovalRow;
use crate::store::capture::{self, Capture};

/// The row of an approval that still matters to calls.
pub(super) fn live(approval: &Approval) -> ApprovalRow {
    row(approval, true)
}

/// The row of an approval whose decision is no longer remembered.
pub(super) fn past(approval: &Approval, capture: Capture) -> ApprovalRow {
    let mut approval = approval.clone();
    let mut text = |text: &mut String| capture::reduce_text(capture, text);
    text(&mut approval.title);
    text(&mut approval.body);
    match &mut approval.subject {
        Subject::Text { text: t }
        | Subject::ToolCall { arguments: t, .. }
        | Subject::ToolResult { text: t, .. } => text(t),
        Subject::Question { choices, .. } => choices.iter_mut().for_each(&mut text),
        Subject::Request => {}
    }
    approval
        .notes
        .iter_mut()
        .for_each(|note| text(&mut note.text));
    if let State::Decided(decision) = &mut approval.state {
        text(&mut decision.note);
        if let Verdict::Edited(t) | Verdict::Chosen(t) = &mut decision.verdict {
            text(t);
        }
    }
    capture::reduce_json(capture, &mut approval.context);
    row(&approval, false)
}

fn row(approval: &Approval, live: bool) -> ApprovalRow {
    ApprovalRow {
        id: approval.id.to_string(),
        session: approval.session,
        opened: approval.opened,
        decided: !approval.is_open(),
        live,
        // Strings, numbers and maps with text keys: this cannot fail, and an empty row would be told when it is read.
        value: serde_json::to_value(approval)
            .unwrap_or(Value::Null)
            .to_string(),
    }
}

/// The approval in a row; `None`, and a word in the log, for one that this version cannot read.
pub(super) fn read(row: &ApprovalRow) -> Option<Approval> {
    serde_json::from_str(&row.value)
        .inspect_err(|error| {
            tracing::error!(approval = row.id, %error, "an approval in the store cannot be read and is left out");
        })
        .ok()
}
