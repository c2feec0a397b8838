//! One compiled rule: when it is evaluated, how often it fires, and what keeps back what it cannot judge.

use std::sync::Arc;

use super::compile::Condition;
use super::inputs::{Belongs, INPUTS, Input};
use super::moment::Subject;
use super::points::Points;
use super::reaction::Reaction;
use super::row::RuleConfig;
use airlock_policy::Mode;
use airlock_policy::contract::types::{
    Action, Block, BlockMode, Checkpoint, ResultSubstitution, Scope, Severity, ToolDenial,
};
use airlock_policy::spec::OnFailure;

/// One compiled rule.
pub(super) struct Rule {
    pub name: Arc<str>,
    pub summary: String,
    pub condition: Condition,
    pub reaction: Reaction,
    pub severity: Severity,
    pub mode: Mode,
    pub on_failure: OnFailure,
    pub at: Points,
    pub fires: Fires,
}

/// How often a rule fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fires {
    ForEachEvent,
    ForFindings,
    OnceInExchange,
    OnceInSession,
}

impl Rule {
    pub(super) fn new(
        row: &RuleConfig,
        condition: Condition,
    ) -> Result<Self, (&'static str, String)> {
        let inputs = || {
            condition
                .inputs
                .iter()
                .filter_map(|input| INPUTS.get(*input))
        };
        let events = || inputs().filter(|input| input.belongs == Belongs::Event);
        let needs = event_of(&row.reaction);
        let of_event = events().next().is_some() || needs.is_some();
        let possible = events().fold(needs.unwrap_or(Points::ALL), |points, input| {
            points.and(input.at)
        });
        if of_event && possible.is_empty() {
            let names: Vec<&str> = events().map(|input| input.name).collect();
            let message = match needs {
                Some(_) => format!(
                    "what this row does is about another event than {}: ask for something else",
                    names.join(", ")
                ),
                None => format!("{} are never known together", names.join(" and ")),
            };
            return Err(("when", message));
        }
        let changes = match inputs().map(|input| input.at).reduce(Points::or) {
            Some(points) if !of_event => points,
            Some(_) => possible,
            None if of_event => possible,
            // A condition that asks for nothing holds, or not, from the beginning.
            None => Points::of(&[Checkpoint::Request]),
        };
        let at = match &row.at {
            None => changes,
            Some(at) => {
                let asked = at
                    .iter()
                    .map(|at| Points::of(&[Checkpoint::from(*at)]))
                    .fold(Points::default(), Points::or);
                if of_event && asked.and(possible) != asked {
                    let message =
                        "what this rule is about is not there at each of these: leave `at` out";
                    return Err(("at", message.to_owned()));
                }
                asked
            }
        };
        let fires = if of_event {
            Fires::ForEachEvent
        } else if inputs().any(|input| input.belongs == Belongs::Findings) {
            Fires::ForFindings
        } else if inputs().any(|input| input.belongs != Belongs::Session)
            || row.reaction.ends_with_the_exchange()
        {
            Fires::OnceInExchange
        } else {
            Fires::OnceInSession
        };
        Ok(Self {
            name: format!("rule:{}", row.name).into(),
            summary: format!("the rule `{}` holds", row.name),
            condition,
            reaction: row.reaction.clone(),
            severity: row.severity.into(),
            mode: row.mode,
            on_failure: row.on_failure,
            at,
            fires,
        })
    }

    /// What keeps from passing what the rule could not judge, and nothing else.
    pub(super) fn keep_back(&self, why: &str, subject: Option<&Subject>) -> Action {
        let name = self.name.trim_start_matches("rule:");
        match subject {
            Some(Subject::Call { id, .. }) => Action::DenyToolCall(ToolDenial {
                call: id.clone(),
                reason: format!("the rule `{name}` cannot judge this call: {why}"),
            }),
            Some(Subject::Result { id, .. }) => Action::SubstituteToolResult(ResultSubstitution {
                call: id.clone(),
                text: format!("This result is withheld: the rule `{name}` cannot judge it: {why}"),
                scope: Scope::Session,
            }),
            Some(Subject::Failure(_)) | None => Action::Block(Block {
                mode: BlockMode::Hard,
                reason: format!("the rule `{name}` cannot be evaluated and fails closed: {why}"),
                fallback: String::new(),
            }),
        }
    }

    pub(super) fn inputs(&self) -> impl Iterator<Item = &'static Input> {
        self.condition
            .inputs
            .iter()
            .filter_map(|input| INPUTS.get(*input))
    }
}

/// Checkpoints of the event without which an action means nothing.
fn event_of(reaction: &Reaction) -> Option<Points> {
    use Checkpoint::{Response, ToolCall, ToolResult};
    match reaction {
        Reaction::DenyToolCall { .. } => Some(Points::of(&[ToolCall])),
        Reaction::SubstituteToolResult { .. } => Some(Points::of(&[ToolResult])),
        Reaction::OpenCircuit { tool, .. } if tool.is_empty() => {
            Some(Points::of(&[ToolCall, ToolResult]))
        }
        Reaction::Retry { .. } => Some(Points::of(&[Response])),
        _ => None,
    }
}
