//! The operator's rules in one exchange: what they are shown, and what of it they were shown before.

use std::sync::Arc;

use super::conduct::Exchange;
use crate::contract::types::{Checkpoint, Detail};
use crate::event::clock::now;
use crate::event::phase::Phase;
use crate::event::{Body, Micros};
use crate::observe::log::{Item, Log};
use crate::reason::order::Order;
use crate::reason::rules::Standing;
use crate::reason::rules::view::{Moment, Subject, Told};
use crate::session::state::Session;

/// Where the rules stand.
#[derive(Debug, Default)]
pub(super) struct Place {
    standing: Standing,
    /// First item of the log that they were not shown.
    cursor: usize,
}

impl Place {
    /// Whether something was told that rules were not shown.
    pub(super) fn has_news(&self, log: &Log) -> bool {
        self.cursor < log.len()
    }
}

impl Exchange {
    /// Evaluates the rules that are due, and gives what they order.
    pub(super) fn judge_rules(&mut self, checkpoint: Checkpoint, findings: &[Told]) -> Vec<Order> {
        let rules = Arc::clone(&self.plan.rules);
        if rules.is_empty() {
            return Vec::new();
        }
        self.vitals.session = self.session.vitals();
        let subjects: Vec<Subject> = self
            .log
            .since(self.rules.cursor)
            .iter()
            .filter_map(|item| subject(item, &self.session))
            .collect();
        self.rules.cursor = self.log.len();
        let moment = Moment {
            checkpoint,
            now: now(),
            vitals: &self.vitals,
            facts: &self.session.facts,
            declared: &self.declared,
            model: &self.model,
            upstream: &self.upstream,
            streamed: self.view.streamed,
            tools: &self.view.tools,
            messages: self.view.messages.len(),
            input_tokens: self.input_tokens,
            findings,
        };
        let judged = rules.judge(
            &mut self.rules.standing,
            &moment,
            &subjects,
            |name, holds| self.session.rises(name, holds),
        );
        // What was generated before stands before it on the timeline.
        if !judged.orders.is_empty() || !judged.faults.is_empty() {
            self.flush();
        }
        for (rule, why, closed) in judged.faults {
            tracing::warn!(%rule, why, closed, session = %self.session.id, "a rule could not be evaluated");
            self.session.timeline.append(
                self.number,
                Body::PolicyFault {
                    policy: rule.to_string(),
                    generation: 0,
                    fault: "evaluation".to_owned(),
                    text: why,
                    on_failure: if closed { "closed" } else { "open" }.to_owned(),
                },
            );
        }
        judged.orders
    }

    /// When rules have to be looked at again though nothing happens.
    pub(super) fn rules_due(&self) -> Option<Micros> {
        (self.phase != Phase::Request)
            .then(|| self.plan.rules.next_due(&self.rules.standing))
            .flatten()
    }
}

/// What rules are told of an event, if they are told of its kind.
fn subject(item: &Item, session: &Session) -> Option<Subject> {
    Some(match item.detail()? {
        Detail::ToolCall(call) => Subject::Call {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: session.contents.whole(call.arguments.id),
        },
        Detail::ToolResult(result) => Subject::Result {
            id: result.id.clone(),
            name: result.name.clone(),
            failed: result.failed,
            duration: result.duration,
        },
        Detail::Failure(failure) => Subject::Failure(*failure),
        _ => return None,
    })
}
