//! Checkpoints: whoever is due is asked, what is ordered is done, and what that causes is judged again.

use std::sync::Arc;

use super::conduct::Exchange;
use crate::act::name::arguments;
use crate::act::record::{bounded_name, bounded_reason};
use crate::act::slots::{Ruling, rule, who};
use crate::contract::types::{
    self as wit, Action, BlockMode, Checkpoint, Detail, EventKind, OnTimeout,
};
use crate::event::clock::now;
use crate::event::phase::Phase;
use crate::event::{Body, Micros, Outcome};
use crate::reason::order::{By, Order};
use crate::reason::round::{Heard, Round};
use crate::reason::watch::Watcher;

/// An outcome may cause findings, and those more actions: so many times, then the checkpoint ends.
const MAX_DEPTH: usize = 4;

impl Exchange {
    /// Time passed: thresholds and clocks are looked at.
    pub fn tick(&mut self) {
        self.expire();
        self.adopt();
        self.measure();
        self.checkpoint(Checkpoint::Tick);
    }

    /// When `tick` is due though nothing else happens.
    pub fn next_due(&self) -> Option<Micros> {
        let generating = self.phase != Phase::Request;
        self.watchers
            .iter()
            .filter_map(|w| w.due(self.plan.wants.get(w.entry)?, &self.vitals, generating))
            .chain(self.deadline)
            .chain(self.rules_due())
            .chain(self.parked_until())
            .min()
    }

    /// An event of this kind happened; whoever caused it is not woken by it.
    pub(super) fn wake(&mut self, kind: EventKind, cause: Option<usize>) {
        for watcher in self.watchers.iter_mut().filter(|w| Some(w.entry) != cause) {
            if let Some(wants) = self.plan.wants.get(watcher.entry) {
                watcher.event(wants, kind);
            }
        }
    }

    pub(super) fn measure(&mut self) {
        let (at, generating) = (now(), self.phase != Phase::Request);
        if self.watchers.iter().any(|w| !w.fired.is_empty()) {
            self.vitals.session = self.session.vitals();
        }
        for watcher in &mut self.watchers {
            if let Some(wants) = self.plan.wants.get(watcher.entry) {
                watcher.measure(wants, &self.vitals, generating, at);
            }
        }
    }

    /// Runs a checkpoint: whoever is due is asked, what is ordered is done, and what that causes is judged again.
    pub(super) fn checkpoint(&mut self, checkpoint: Checkpoint) {
        self.measure();
        for depth in 0..MAX_DEPTH {
            let woken = self.watchers.iter().any(|w| w.woken);
            // What was changed is shown to the rules too, whether or not a policy looks at it.
            let shown = depth > 0 && !self.rules.has_news(&self.log);
            if !woken && (shown || !self.plan.rules.due(checkpoint)) {
                return;
            }
            let mut heard = if woken {
                self.ask_policies(checkpoint)
            } else {
                Heard::default()
            };
            let findings = std::mem::take(&mut heard.findings);
            let mut orders = self.orders(checkpoint, heard);
            orders.extend(self.judge_rules(checkpoint, &findings));
            let (plan, phase) = (Arc::clone(&self.plan), self.phase);
            rule(orders, &plan, phase, |order, ruling| {
                self.settle_order(order, ruling)
            });
        }
        if self.watchers.iter().any(|w| w.woken) {
            tracing::warn!(session = %self.session.id, exchange = self.number, "a cascade of interventions was cut off");
        }
    }

    /// Asks the policies that are due.
    fn ask_policies(&mut self, checkpoint: Checkpoint) -> Heard {
        self.flush();
        self.tell_vitals();
        let settings = Arc::clone(&self.settings);
        Round {
            plan: &self.plan,
            seats: &self.seats,
            watchers: &mut self.watchers,
            log: &self.log,
            timeline: &self.session.timeline,
            exchange: self.number,
            on_finding: &settings.config.on_finding,
        }
        .run(checkpoint, now())
    }

    /// Vitals are told when somebody who is asked wants to see them.
    fn tell_vitals(&mut self) {
        let wanted = |w: &Watcher| {
            w.woken
                && self
                    .plan
                    .wants
                    .get(w.entry)
                    .is_some_and(|wants| wants.sees.has(EventKind::Vitals))
        };
        if !self.watchers.iter().any(wanted) {
            return;
        }
        let at = now();
        self.vitals.session = self.session.vitals();
        let values = self.vitals.all(at);
        let seq = self.session.timeline.append(
            self.number,
            Body::Vitals {
                values: values.iter().map(|v| (v.id, v.value)).collect(),
            },
        );
        self.log.push(
            seq,
            at,
            EventKind::Vitals,
            "",
            Some(Detail::Vitals(values)),
            None,
        );
    }

    /// What was heard, as orders. A closed policy that failed orders that what it was to judge does not pass: a tool call is
    /// denied, a tool's result withheld, anything else blocked.
    fn orders(&mut self, checkpoint: Checkpoint, heard: Heard) -> Vec<Order> {
        let tickets: Vec<u64> = heard.tickets.iter().map(|(_, ticket)| *ticket).collect();
        if !tickets.is_empty() {
            self.session.mailbox.claim(&tickets, &self.bell);
        }
        let mut orders = heard.orders;
        for (entry, fault) in heard.closed {
            let name = who(By::Failure(entry), &self.plan);
            let reason = format!(
                "the policy `{name}` failed ({}) and is configured to fail closed",
                fault.kind.as_str()
            );
            let actions = self.refusal_of(checkpoint, &reason);
            orders.extend(actions.into_iter().map(|action| Order {
                by: By::Failure(entry),
                action,
            }));
        }
        for entry in heard.excused {
            self.excuse(entry);
        }
        for (entry, pending) in heard.pending {
            let name = who(By::Policy(entry), &self.plan);
            let enforces = self.plan.entries.get(entry).is_some_and(|g| g.enforces());
            let (outcome, reason) = if enforces {
                self.pending(entry, &pending)
            } else {
                (Outcome::WouldApply, "the policy only observes".to_owned())
            };
            self.intervened(
                "pending",
                &name,
                entry,
                outcome,
                &reason,
                airlock_golden::wit_json::to_value(&pending).unwrap_or_default(),
            );
            // No answer will ever come: the deadline is now.
            if outcome == Outcome::Refused && pending.on_timeout == OnTimeout::Block {
                let reason = format!("the policy `{name}` waits for an answer that cannot come");
                let actions = self.refusal_of(checkpoint, &reason);
                orders.extend(actions.into_iter().map(|action| Order {
                    by: By::Failure(entry),
                    action,
                }));
            }
        }
        orders
    }

    /// What keeps that which is judged now from passing.
    fn refusal_of(&self, checkpoint: Checkpoint, reason: &str) -> Vec<Action> {
        let hand = &self.at_hand;
        if checkpoint == Checkpoint::ToolCall && !hand.calls.is_empty() {
            let calls = hand.calls.iter().filter_map(|index| {
                let call = self.hold.stretches.get(*index)?.call.as_ref()?;
                Some(Action::DenyToolCall(wit::ToolDenial {
                    id: call.id.clone(),
                    reason: format!("The call could not be judged: {reason}."),
                }))
            });
            return calls.collect();
        }
        if checkpoint == Checkpoint::ToolResult && !hand.results.is_empty() {
            let results = hand.results.iter().map(|id| {
                Action::SubstituteToolResult(wit::ResultSubstitution {
                    id: id.clone(),
                    text: format!("The result was withheld: {reason}."),
                    scope: wit::Scope::Session,
                })
            });
            return results.collect();
        }
        vec![Action::Block(wit::Block {
            mode: BlockMode::Hard,
            reason: reason.to_owned(),
            fallback: String::new(),
        })]
    }

    /// The policy's word is not waited for any longer, for what has arrived.
    pub(super) fn excuse(&mut self, entry: usize) {
        let marks: Vec<wit::ReleaseMark> = self
            .hold
            .stretches
            .iter()
            .map(|s| wit::ReleaseMark {
                channel: s.place.channel.into(),
                choice: s.place.choice,
                block: s.place.block,
                upto: s.text.len() as u32,
            })
            .collect();
        for watcher in self.watchers.iter_mut().filter(|w| w.entry == entry) {
            watcher.mark(&marks);
        }
    }

    /// Carries out an order, or records why not. Says whether it was carried out.
    fn settle_order(&mut self, order: &Order, ruling: Ruling) -> bool {
        let (outcome, reason) = match ruling {
            Ruling::Apply => self.apply(order),
            Ruling::Refused(reason) => (Outcome::Refused, reason),
            Ruling::Superseded(reason) => (Outcome::Superseded, reason),
            Ruling::WouldApply => (Outcome::WouldApply, "the policy only observes".to_owned()),
        };
        let by = who(order.by, &self.plan);
        let entry = match order.by {
            By::Policy(entry) | By::Failure(entry) => entry,
            By::Operator { .. } | By::Rule(_) => usize::MAX,
        };
        let arguments = match outcome {
            Outcome::Applied => arguments(&order.action),
            _ => self.room.arguments(&order.action),
        };
        let (action, reason) = (bounded_name(&order.action), bounded_reason(reason));
        self.intervened(action, &by, entry, outcome, &reason, arguments);
        outcome == Outcome::Applied
    }

    /// Records an intervention and tells whoever listens, but not its cause.
    pub(super) fn intervened(
        &mut self,
        action: &str,
        by: &str,
        entry: usize,
        outcome: Outcome,
        reason: &str,
        arguments: serde_json::Value,
    ) {
        let seq = self.session.timeline.append(
            self.number,
            Body::Intervention {
                action: action.to_owned(),
                policy: by.to_owned(),
                generation: self.plan.entries.get(entry).map_or(0, |g| g.number),
                outcome,
                reason: reason.to_owned(),
                arguments,
            },
        );
        let detail = Detail::Intervention(wit::Intervention {
            action: action.to_owned(),
            policy: by.to_owned(),
            outcome: outcome.into(),
            reason: reason.to_owned(),
        });
        self.log.push(
            seq,
            now(),
            EventKind::Intervention,
            "",
            Some(detail),
            Some(entry),
        );
        self.wake(EventKind::Intervention, Some(entry));
    }
}
