//! A question to people: an approval on their desk.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;

use super::call;
use airlock_core::event::Micros;
use airlock_core::event::clock::now;
use airlock_core::event::key::SessionId;
use airlock_core::people::{
    Approval, ApprovalId, Desk, New, OnTimeout, Outcome, Subject, Verdict, digest,
};
use airlock_policy::Ask;
use airlock_policy::contract::asking::{self, Question};
use airlock_policy::contract::types::AnswerValue;

/// Most answers to choose from.
const CHOICES: usize = 16;

/// Whether people can be asked this.
///
/// # Errors
/// Why not.
pub(super) fn check(question: &Question) -> Result<&asking::Approval, String> {
    call::bounded(question)?;
    match question {
        Question::Approve(approval) if approval.title.trim().is_empty() => {
            Err("the question needs a title: one line that says what is asked".to_owned())
        }
        Question::Approve(approval) if approval.choices.len() > CHOICES => Err(format!(
            "{} choices: people are given at most {CHOICES}",
            approval.choices.len()
        )),
        Question::Approve(approval) => Ok(approval),
        other => Err(format!(
            "people answer `approve` only, not `{}`",
            call::describe(other).0
        )),
    }
}

/// The question as the desk takes it. The same one, asked again in the session, is the same item.
///
/// # Errors
/// As [`check`].
pub(super) fn new(
    session: SessionId,
    ask: &Ask<'_>,
    wait: Option<Duration>,
) -> Result<New, String> {
    let approval = check(&ask.question)?;
    // Other choices make another question.
    let whole = format!("{}\n{:?}", approval.body, approval.choices);
    Ok(New {
        session,
        exchange: ask.exchange,
        policy: ask.policy.to_owned(),
        subject: Subject::Question {
            target: ask.target.to_owned(),
            choices: approval.choices.clone(),
        },
        digest: digest::of_question(ask.policy, ask.target, &approval.title, &whole),
        title: approval.title.clone(),
        body: approval.body.clone(),
        context: Value::Null,
        deadline_ms: wait.map_or(0, |wait| {
            u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)
        }),
        on_timeout: OnTimeout::Block,
    })
}

/// Waits for the decision, at most until `deadline`.
pub(super) async fn decision(desk: &Desk, id: ApprovalId, deadline: Micros) -> AnswerValue {
    let bell = Arc::new(Notify::new());
    let decided = async {
        loop {
            // Rung at once if it is decided already.
            desk.ring(id, Arc::clone(&bell));
            bell.notified().await;
            match desk.get(id) {
                Some(approval) if approval.is_open() => {}
                Some(approval) => return said(&approval),
                None => {
                    let why = "the decision came too long ago, and is not remembered any more";
                    return AnswerValue::Failed(why.to_owned());
                }
            }
        }
    };
    // The desk lets its deadline pass by itself; an older item for the same question may have a later one.
    let left = Duration::from_micros(deadline.saturating_sub(now())) + DESK_GRACE;
    match tokio::time::timeout(left, decided).await {
        Ok(value) => value,
        Err(_) => AnswerValue::Failed("no answer from people within the deadline".to_owned()),
    }
}

/// The desk, which knows who decided, goes first.
const DESK_GRACE: Duration = Duration::from_millis(100);

/// A decided approval as an answer. To a question without choices the answer is `yes`, or `denied`.
pub(super) fn said(approval: &Approval) -> AnswerValue {
    let Some((decision, outcome)) = approval.decision().zip(approval.outcome()) else {
        return AnswerValue::Failed("it is not decided".to_owned());
    };
    match (&decision.verdict, outcome) {
        (Verdict::TimedOut, _) if decision.at < approval.deadline => {
            AnswerValue::Denied(decision.note.clone())
        }
        (Verdict::TimedOut, _) => {
            let waited = approval.deadline.saturating_sub(approval.opened) / 1000;
            AnswerValue::Failed(format!("no answer within {waited} ms"))
        }
        (_, Outcome::Release) => AnswerValue::Text("yes".to_owned()),
        (_, Outcome::Answer(text) | Outcome::Change(text)) => AnswerValue::Text(text.to_owned()),
        (_, Outcome::Block) => AnswerValue::Denied(match decision.note.as_str() {
            "" => format!("refused by {}", decision.by),
            note => format!("refused by {}: {note}", decision.by),
        }),
    }
}
