//! Several actions at once. They meet only in slots: the exchange's fate, its route, each parameter, each range of text.
//! In one slot the strongest wins; the order of the policies breaks ties; losers are recorded as superseded.

use super::name::name;
use crate::contract::types::{Action, Scope};
use crate::reason::plan::Plan;
use crate::reason::round::{By, Order};
use crate::session::event::{Channel, Place};

/// How far the exchange has come: decides what is still possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The request has not gone upstream.
    Request,
    /// The upstream was asked; nothing has come yet.
    Waiting,
    /// The generation runs.
    Generating,
    /// The upstream failed before it generated anything.
    Failed,
}

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
    Range(Place, u32, u32),
}

/// Rules on all orders of one checkpoint. Gives them back strongest first, so that carrying them out in this order is right.
pub fn rule(orders: Vec<Order>, plan: &Plan, phase: Phase) -> Vec<(Order, Ruling)> {
    let mut orders = orders;
    orders.sort_by_key(|order| std::cmp::Reverse(strength(&order.action)));
    let mut taken: Vec<(Slot, String)> = Vec::new();
    orders
        .into_iter()
        .map(|order| {
            let ruling = match objection(&order, plan, phase) {
                Some(ruling) => ruling,
                None => match slot(&order.action) {
                    Slot::Own => Ruling::Apply,
                    slot => match taken.iter().find(|(other, _)| slot.meets(other)) {
                        Some((_, winner)) => Ruling::Superseded(format!("{winner} won")),
                        None => {
                            taken.push((
                                slot,
                                format!("`{}` of {}", name(&order.action), who(order.by, plan)),
                            ));
                            Ruling::Apply
                        }
                    },
                },
            };
            (order, ruling)
        })
        .collect()
}

/// Who ordered it, for people.
pub fn who(by: By, plan: &Plan) -> String {
    match by {
        By::Policy(entry) | By::Failure(entry) => plan
            .entries
            .get(entry)
            .map_or_else(|| "a former policy".to_owned(), |g| g.name.to_string()),
        By::Operator { .. } => "on_finding".to_owned(),
    }
}

fn objection(order: &Order, plan: &Plan, phase: Phase) -> Option<Ruling> {
    if let By::Policy(entry) = order.by {
        let generation = plan.entries.get(entry)?;
        let action = name(&order.action);
        if let Action::Other(_) = order.action {
            return Some(Ruling::Refused(format!(
                "`{action}` is not an action of contract {}",
                crate::contract::VERSION
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
        Action::Inject(_) | Action::SetParameters(_) | Action::Route(_) => None,
        Action::AnswerLocally(_) if phase == Phase::Generating => Some(
            "the model's own answer has begun: use `replace-range`, `stop` or `block`".to_owned(),
        ),
        Action::AnswerLocally(_) => None,
        Action::ReplaceRange(_) if phase != Phase::Generating => {
            Some("there is no generated text to replace".to_owned())
        }
        Action::ReplaceRange(x) if Channel::from_wit(x.channel).is_none() => {
            Some("`none` is not a channel".to_owned())
        }
        Action::ReplaceRange(_) => None,
        Action::Retry(_) if phase != Phase::Failed => {
            Some("only a call that failed can be repeated".to_owned())
        }
        Action::Retry(_) => None,
        other => Some(format!(
            "`{}` is not available in this version of Airlock",
            name(other)
        )),
    }
}

/// Strongest first: block, stop, answer locally, replace, retry, reroute, set parameters; the rest contests nothing.
fn strength(action: &Action) -> u8 {
    match action {
        Action::Block(_) => 100,
        Action::Stop(_) => 90,
        Action::AnswerLocally(_) => 60,
        Action::ReplaceRange(_) => 50,
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
        Action::SetParameters(x) => {
            Slot::Parameters(x.set.iter().map(|(name, _)| name.clone()).collect())
        }
        Action::ReplaceRange(x) => match Channel::from_wit(x.channel) {
            Some(channel) => {
                let place = Place {
                    channel,
                    choice: x.choice,
                    block: x.block,
                };
                Slot::Range(place, x.offset, x.offset.saturating_add(x.len))
            }
            None => Slot::Own,
        },
        _ => Slot::Own,
    }
}

impl Slot {
    fn meets(&self, other: &Slot) -> bool {
        match (self, other) {
            (Slot::Parameters(a), Slot::Parameters(b)) => a.iter().any(|name| b.contains(name)),
            (Slot::Range(p, start, end), Slot::Range(q, from, to)) => {
                p == q && start < to && from < end
            }
            (a, b) => a == b,
        }
    }
}
