//! Where the rules stand in an exchange, and what one evaluation of all of them brought.

use std::sync::Arc;

use super::moment::Subject;
use super::reaction::Occasion;
use super::rule::Rule;
use super::view::View;
use crate::event::Micros;
use crate::reason::order::{By, Order};
use airlock_policy::contract::types::{self as wit, Checkpoint};
use airlock_policy::spec::OnFailure;

/// Where the rules stand in one exchange.
#[derive(Debug, Default)]
pub struct Standing {
    pub(super) held: Vec<bool>,
    pub(super) failing: Vec<bool>,
    /// When they were last evaluated.
    pub last: Micros,
}

/// What an evaluation of all rules brought.
#[derive(Debug, Default)]
pub struct Judged {
    /// Actions, in the order of the rules.
    pub orders: Vec<Order>,
    /// Rules that could not be evaluated, by name, with the reason and whether they are closed.
    pub faults: Vec<(Arc<str>, String, bool)>,
}

impl Judged {
    pub(super) fn order(&mut self, index: usize, rule: &Rule, view: &View<'_>) {
        let (at_hand, tool) = match view.subject {
            Some(Subject::Call { id, name, .. }) => {
                (wit::Subject::ToolCall(id.clone()), name.as_str())
            }
            Some(Subject::Result { id, name, .. }) => {
                (wit::Subject::ToolResult(id.clone()), name.as_str())
            }
            Some(Subject::Failure(_)) | None => match view.moment.checkpoint {
                Checkpoint::Request | Checkpoint::ToolResult => (wit::Subject::Request, ""),
                _ => (wit::Subject::Response, ""),
            },
        };
        let occasion = Occasion {
            title: rule.name.trim_start_matches("rule:"),
            summary: &rule.summary,
            severity: rule.severity,
            at_hand,
            tool,
        };
        self.orders.push(Order {
            by: By::Rule(index),
            action: rule.reaction.action(&occasion),
        });
    }

    /// A rule that could not be evaluated; of `subject`, if it is one for each event.
    pub(super) fn fault(
        &mut self,
        index: usize,
        rule: &Rule,
        why: &str,
        subject: Option<&Subject>,
    ) {
        let closed = rule.on_failure == OnFailure::Closed;
        self.faults
            .push((Arc::clone(&rule.name), why.to_owned(), closed));
        if closed {
            self.orders.push(Order {
                by: By::Rule(index),
                action: rule.keep_back(why, subject),
            });
        }
    }
}

/// Sets the flag; whether it rose.
pub(super) fn edge(flags: &mut [bool], index: usize, now: bool) -> bool {
    match flags.get_mut(index) {
        Some(flag) => !std::mem::replace(flag, now) && now,
        None => now,
    }
}
