//! Several actions at once. They meet only in slots: the exchange's fate, its route, each parameter, each message, each
//! tool result, each range of text.
//! In one slot the strongest wins; the order of the policies breaks ties; losers are recorded as superseded.

use super::name::name;
use crate::event::Span;
use crate::event::phase::Phase;
use crate::reason::order::{By, Order};
use crate::reason::plan::Plan;
use airlock_policy::contract::types::{self as wit, Action, Scope, Subject};

/// What is to become of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It is to be carried out.
    Apply,
    /// It is not done, and why.
    Refused(String),
    /// Another one won its slot: by whom.
    Superseded(String),
    /// Its policy only observes.
    WouldApply,
}

#[derive(PartialEq)]
enum Slot {
    /// Never contested.
    Own,
    Fate,
    Route,
    Parameters(Vec<String>),
    /// Messages by identity, from the first to the last.
    Messages(u64, u64),
    /// The result of this tool call.
    Result(String),
    Range(Span),
    /// A tool call, by its id.
    Call(String),
    /// The request, or held text.
    Item(&'static str),
}

/// Rules on all orders of one checkpoint, strongest first, and has each carried out at once. `carry_out` says whether it was
/// done: an order that wins its slot and then cannot be carried out leaves the slot to the next.
pub fn rule(
    orders: Vec<Order>,
    plan: &Plan,
    phase: Phase,
    mut carry_out: impl FnMut(&Order, Ruling) -> bool,
) {
    let mut orders = orders;
    orders.sort_by_key(|order| std::cmp::Reverse(strength(&order.action)));
    let mut taken: Vec<(Slot, String)> = Vec::new();
    for order in orders {
        if let Some(ruling) = objection(&order, plan, phase) {
            carry_out(&order, ruling);
            continue;
        }
        let slot = slot(&order.action);
        let winner = taken
            .iter()
            .find(|(other, _)| slot != Slot::Own && slot.meets(other));
        if let Some((_, winner)) = winner {
            carry_out(&order, Ruling::Superseded(format!("{winner} won")));
        } else if carry_out(&order, Ruling::Apply) {
            let by = who(order.by, plan);
            taken.push((slot, format!("`{}` of {by}", name(&order.action))));
        }
    }
}

/// Who ordered it, for people.
pub fn who(by: By, plan: &Plan) -> String {
    match by {
        By::Policy(entry) | By::Failure(entry) => plan
            .entries
            .get(entry)
            .map_or_else(|| "a former policy".to_owned(), |g| g.name.to_string()),
        By::Operator { .. } => "on_finding".to_owned(),
        By::Rule(index) => plan.rules.name(index).to_owned(),
    }
}

fn objection(order: &Order, plan: &Plan, phase: Phase) -> Option<Ruling> {
    if let By::Policy(entry) = order.by {
        let generation = plan.entries.get(entry)?;
        let action = name(&order.action);
        if let Action::Other(_) = order.action {
            return Some(Ruling::Refused(format!(
                "`{action}` is not an action of contract {}",
                airlock_policy::contract::VERSION
            )));
        }
        if !generation.may(action) {
            return Some(Ruling::Refused(format!(
                "not granted: `airlock policy grant {} {action}` allows it",
                generation.name
            )));
        }
    }
    if let Some(reason) = impossible(&order.action, phase) {
        return Some(Ruling::Refused(reason));
    }
    let observed = match order.by {
        By::Policy(entry) => !plan.entries.get(entry)?.enforces(),
        By::Operator { observed } => observed,
        By::Rule(index) => !plan.rules.enforces(index),
        By::Failure(_) => false,
    };
    observed.then_some(Ruling::WouldApply)
}

fn impossible(action: &Action, phase: Phase) -> Option<String> {
    let gone = |what: &str| {
        Some(format!(
            "the request has already gone upstream: {what} only with scope `session`"
        ))
    };
    match action {
        Action::Annotate(_)
        | Action::Alert(_)
        | Action::Block(_)
        | Action::Stop(_)
        | Action::Allocate(_) => None,
        Action::Inject(x) if x.scope == Scope::Exchange && phase != Phase::Request => {
            gone("a message can be injected")
        }
        Action::SetParameters(x) if x.scope == Scope::Exchange && phase != Phase::Request => {
            gone("parameters can be set")
        }
        Action::Route(x) if x.scope == Scope::Exchange && phase != Phase::Request => {
            gone("the call can be routed")
        }
        Action::EditMessage(wit::MessageEdit { scope, .. })
        | Action::EvictMessage(wit::MessageEviction { scope, .. })
        | Action::ReplaceMessages(wit::MessageReplacement { scope, .. })
            if *scope == Scope::Exchange && phase != Phase::Request =>
        {
            gone("messages can be changed")
        }
        Action::SubstituteToolResult(x)
            if x.scope == Scope::Exchange && phase != Phase::Request =>
        {
            gone("a result can be substituted")
        }
        Action::Inject(_)
        | Action::EditMessage(_)
        | Action::EvictMessage(_)
        | Action::ReplaceMessages(_)
        | Action::SubstituteToolResult(_)
        | Action::SetParameters(_)
        | Action::Route(_) => None,
        Action::AnswerLocally(_) if phase == Phase::Generating => Some(
            "the model's own answer has begun: use `replace-range`, `stop` or `block`".to_owned(),
        ),
        Action::AnswerLocally(_) => None,
        Action::ReplaceRange(_) if phase != Phase::Generating => {
            Some("there is no generated text to replace".to_owned())
        }
        Action::ReplaceRange(x) => not_generated(&x.span),
        Action::Retry(_) if phase == Phase::Request => {
            Some("only a call that was sent can be repeated".to_owned())
        }
        Action::DenyToolCall(_) | Action::RewriteToolCall(_) if phase != Phase::Generating => {
            Some("no generation is under way that could bear a tool call".to_owned())
        }
        Action::Retry(_)
        | Action::DenyToolCall(_)
        | Action::RewriteToolCall(_)
        | Action::HoldForPerson(_)
        | Action::OpenCircuit(_) => None,
        other => Some(format!(
            "`{}` is not available in this version of Airlock",
            name(other)
        )),
    }
}

/// Why a range cannot be replaced, if it is not one of generated text.
pub(super) fn not_generated(span: &wit::Span) -> Option<String> {
    let why = match Span::from_wit(*span) {
        Some(span) if span.place.channel.is_generated() => return None,
        Some(_) => {
            "only generated text has ranges to replace: use `edit-message` or `substitute-tool-result`"
        }
        None => "it names no text",
    };
    Some(why.to_owned())
}

/// Strongest first: block, stop, hold, deny, answer locally, replace, evict, rewrite, retry, reroute, set parameters; the
/// rest contests nothing. Of changes to one message the one that leaves the model less of it wins.
fn strength(action: &Action) -> u8 {
    match action {
        Action::Block(_) => 100,
        Action::Stop(_) => 90,
        Action::HoldForPerson(_) => 80,
        Action::DenyToolCall(_) => 70,
        Action::AnswerLocally(_) => 60,
        Action::ReplaceRange(_) | Action::ReplaceMessages(_) => 50,
        Action::EvictMessage(_) => 48,
        Action::EditMessage(_) | Action::SubstituteToolResult(_) => 45,
        Action::RewriteToolCall(_) => 40,
        Action::Retry(_) => 30,
        Action::Route(_) => 20,
        Action::SetParameters(_) => 10,
        _ => 0,
    }
}

fn slot(action: &Action) -> Slot {
    match action {
        Action::Block(_) | Action::Stop(_) | Action::AnswerLocally(_) | Action::Retry(_) => {
            Slot::Fate
        }
        Action::Route(_) => Slot::Route,
        Action::DenyToolCall(x) => Slot::Call(x.call.clone()),
        Action::RewriteToolCall(x) => Slot::Call(x.call.clone()),
        Action::HoldForPerson(x) => match &x.subject {
            Subject::ToolCall(id) => Slot::Call(id.clone()),
            Subject::Request => Slot::Item("request"),
            Subject::Response | Subject::Text(_) => Slot::Item("text"),
            _ => Slot::Own,
        },
        Action::SetParameters(x) => {
            Slot::Parameters(x.fields.iter().map(|(name, _)| name.clone()).collect())
        }
        Action::EditMessage(x) => Slot::Messages(x.message, x.message),
        Action::EvictMessage(x) => Slot::Messages(x.message, x.message),
        Action::ReplaceMessages(x) => Slot::Messages(x.first, x.last),
        Action::SubstituteToolResult(x) => Slot::Result(x.call.clone()),
        Action::ReplaceRange(x) => Span::from_wit(x.span).map_or(Slot::Own, Slot::Range),
        _ => Slot::Own,
    }
}

impl Slot {
    fn meets(&self, other: &Slot) -> bool {
        match (self, other) {
            (Slot::Parameters(a), Slot::Parameters(b)) => a.iter().any(|name| b.contains(name)),
            (Slot::Range(a), Slot::Range(b)) => {
                a.place == b.place && a.offset < b.end() && b.offset < a.end()
            }
            // Identities grow along a conversation, but for one that a client put together from its branches: there a
            // contest that this overlooks is seen when the second change is made.
            (Slot::Messages(first, last), Slot::Messages(from, to)) => first <= to && from <= last,
            (a, b) => a == b,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::event::{Channel, Place};

    /// Orders of the operator, who needs no grant.
    fn ordered(actions: Vec<Action>) -> Vec<Order> {
        let by = By::Operator { observed: false };
        actions
            .into_iter()
            .map(|action| Order { by, action })
            .collect()
    }

    fn ruled(actions: Vec<Action>, phase: Phase) -> Vec<(String, Ruling)> {
        rulings(ordered(actions), phase)
    }

    /// What became of each order, if all that are to be carried out can be.
    fn rulings(orders: Vec<Order>, phase: Phase) -> Vec<(String, Ruling)> {
        let mut rulings = Vec::new();
        rule(orders, &Plan::default(), phase, |order, ruling| {
            rulings.push((name(&order.action).to_owned(), ruling));
            true
        });
        rulings
    }

    #[test]
    fn a_winner_that_cannot_be_carried_out_leaves_its_slot_to_the_next() {
        let mut seen = Vec::new();
        rule(
            ordered(vec![stop(), block()]),
            &Plan::default(),
            Phase::Generating,
            |order, ruling| {
                seen.push((name(&order.action).to_owned(), ruling));
                name(&order.action) != "block"
            },
        );
        assert_eq!(
            seen,
            [
                ("block".to_owned(), Ruling::Apply),
                ("stop".to_owned(), Ruling::Apply)
            ]
        );
    }

    fn block() -> Action {
        Action::Block(wit::Block {
            mode: wit::BlockMode::Hard,
            reason: "r".into(),
            fallback: String::new(),
        })
    }

    fn stop() -> Action {
        Action::Stop(wit::Stop {
            reason: "r".into(),
            confidence: 0.5,
            keep_held: false,
        })
    }

    fn replace(offset: u32, len: u32) -> Action {
        Action::ReplaceRange(wit::Replacement {
            span: wit::Span {
                place: Place::new(Channel::Output, 0, 0).into(),
                offset,
                length: len,
            },
            text: String::new(),
        })
    }

    fn route(scope: Scope) -> Action {
        Action::Route(wit::Route {
            upstream: String::new(),
            model: "fast".into(),
            scope,
        })
    }

    #[test]
    fn in_one_slot_the_strongest_wins_whatever_the_order() {
        let rulings = ruled(vec![stop(), block()], Phase::Generating);
        assert_eq!(rulings[0], ("block".into(), Ruling::Apply));
        assert!(
            matches!(&rulings[1], (name, Ruling::Superseded(by)) if name == "stop" && by.contains("block"))
        );
    }

    #[test]
    fn different_slots_do_not_contest() {
        let rulings = ruled(
            vec![stop(), route(Scope::Session), replace(0, 3)],
            Phase::Generating,
        );
        assert!(
            rulings.iter().all(|(_, ruling)| *ruling == Ruling::Apply),
            "{rulings:?}"
        );
    }

    #[test]
    fn ranges_contest_only_where_they_overlap() {
        let rulings = ruled(
            vec![replace(0, 5), replace(5, 5), replace(4, 2)],
            Phase::Generating,
        );
        let applied = rulings
            .iter()
            .filter(|(_, ruling)| *ruling == Ruling::Apply)
            .count();
        assert_eq!(applied, 2);
        assert!(matches!(rulings[2].1, Ruling::Superseded(_)));
    }

    #[test]
    fn messages_contest_only_where_they_overlap() {
        let scope = Scope::Session;
        let edit = |message| {
            let text = String::new();
            Action::EditMessage(wit::MessageEdit {
                message,
                text,
                scope,
            })
        };
        let evict = |message| Action::EvictMessage(wit::MessageEviction { message, scope });
        let replace = |first, last| {
            Action::ReplaceMessages(wit::MessageReplacement {
                first,
                last,
                messages: vec![],
                scope,
            })
        };
        let rulings = ruled(
            vec![edit(3), edit(9), evict(9), evict(5), replace(2, 4), edit(6)],
            Phase::Request,
        );
        let won: Vec<_> = rulings
            .iter()
            .filter(|(_, ruling)| *ruling == Ruling::Apply)
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(
            won,
            [
                "replace-messages",
                "evict-message",
                "evict-message",
                "edit-message"
            ]
        );
    }

    #[test]
    fn what_has_gone_upstream_is_changed_for_the_session_only() {
        let ruling = |scope, phase| {
            let call = "c".to_owned();
            let text = String::new();
            let substitute =
                Action::SubstituteToolResult(wit::ResultSubstitution { call, text, scope });
            let evict = Action::EvictMessage(wit::MessageEviction { message: 1, scope });
            ruled(vec![substitute, evict], phase)
        };
        for phase in [Phase::Waiting, Phase::Generating, Phase::Failed] {
            for (name, ruling) in ruling(Scope::Exchange, phase) {
                assert!(
                    matches!(&ruling, Ruling::Refused(why) if why.contains("`session`")),
                    "{name} in {phase:?}: {ruling:?}"
                );
            }
            assert!(
                ruling(Scope::Session, phase)
                    .iter()
                    .all(|(_, r)| *r == Ruling::Apply)
            );
        }
        assert!(
            ruling(Scope::Exchange, Phase::Request)
                .iter()
                .all(|(_, r)| *r == Ruling::Apply)
        );
    }

    #[test]
    fn what_is_not_possible_now_is_refused_by_name() {
        let refused = |action, phase| match ruled(vec![action], phase).remove(0).1 {
            Ruling::Refused(reason) => reason,
            other => format!("{other:?}"),
        };
        assert!(refused(route(Scope::Exchange), Phase::Generating).contains("session"));
        assert!(refused(replace(0, 1), Phase::Request).contains("no generated text"));
        assert!(
            refused(Action::AnswerLocally("x".into()), Phase::Generating).contains("replace-range")
        );
        assert!(
            refused(
                Action::Steer(wit::Steering {
                    instruction: "x".into(),
                    keep_held: false
                }),
                Phase::Request
            )
            .contains("`steer`")
        );
        assert!(
            refused(
                Action::Retry(wit::Retry {
                    upstream: String::new(),
                    model: String::new(),
                    after_ms: 0
                }),
                Phase::Request
            )
            .contains("sent")
        );
    }

    #[test]
    fn an_observed_finding_changes_nothing() {
        let order = Order {
            by: By::Operator { observed: true },
            action: block(),
        };
        assert_eq!(
            rulings(vec![order], Phase::Request)[0].1,
            Ruling::WouldApply
        );
    }
}
