//! The hearing of one exchange: checkpoints, at which whoever is due is asked, what is ordered is done, and what that
//! causes is judged again.

use std::sync::Arc;

use super::around::Surroundings;
use crate::act::fate::Fate;
use crate::act::name::arguments;
use crate::act::record::{Room, bounded_name, bounded_reason};
use crate::act::scene::{Done, Scene};
use crate::act::slots::{Ruling, rule, who};
use crate::event::phase::Phase;
use crate::event::{Micros, Outcome};
use crate::observe::vitals::Vitals;
use crate::people::waiting::Waiting;
use crate::reason::order::{By, Order};
use crate::reason::panel::Panel;
use crate::reason::round::Heard;
use crate::reason::rules::view::{Moment, Told};
use crate::session::facts::Facts;
use crate::session::record::{Intervened, Record};
use airlock_policy::contract::types::{Action, Checkpoint, OnTimeout, Pending, ReleaseMark};

/// An outcome may cause findings, and those more actions: so many times, then the checkpoint ends.
const MAX_DEPTH: usize = 4;

/// Who judges an exchange, what they were told, what waits, and what was decided.
pub struct Hearing {
    /// What is settled of it.
    pub facts: Arc<Facts>,
    /// What stands around it.
    pub around: Arc<Surroundings>,
    /// What it has seen so far.
    pub record: Record,
    /// Who judges.
    pub panel: Panel,
    /// What waits for an answer.
    pub waiting: Waiting,
    /// What is measured.
    pub vitals: Vitals,
    /// What was decided, once something was.
    pub fate: Option<Fate>,
    /// What the timeline may still keep of orders that are not carried out.
    room: Room,
}

/// What is judged in a hearing.
pub trait Matter {
    /// How far it has come.
    fn phase(&self) -> Phase;

    /// What rules may ask of it: model, upstream, tokens of the prompt.
    fn standing(&self) -> (&str, &str, u32);

    /// What keeps that which is judged now from passing.
    fn refusal(&self, checkpoint: Checkpoint, why: &str) -> Vec<Action>;

    /// What of it has arrived, as marks.
    fn arrived(&self) -> Vec<ReleaseMark>;

    /// Carries out an order that nobody overruled.
    fn carry_out(&mut self, order: &Order, hearing: &mut Hearing, now: Micros) -> Done;

    /// Parks an item until a question of the policy `entry` is answered.
    fn park(&mut self, entry: usize, pending: &Pending, hearing: &mut Hearing, now: Micros)
    -> Done;
}

impl Hearing {
    /// A hearing that begins. It has nobody who judges yet.
    pub fn new(facts: Arc<Facts>, around: Arc<Surroundings>, vitals: Vitals) -> Self {
        let circuits_open = facts.session.state().circuits.any();
        Self {
            record: Record::new(Arc::clone(&facts)),
            panel: Panel::new(circuits_open),
            waiting: Waiting::default(),
            vitals,
            fate: None,
            room: Room::default(),
            facts,
            around,
        }
    }

    /// Runs a checkpoint.
    pub fn checkpoint(&mut self, checkpoint: Checkpoint, matter: &mut dyn Matter, now: Micros) {
        self.measure(matter.phase(), now);
        for depth in 0..MAX_DEPTH {
            self.panel.hear(self.record.log());
            let woken = self.panel.is_woken();
            // What was changed is shown to the rules too, whether or not a policy looks at it.
            let rules = self
                .panel
                .rules_due(checkpoint, self.record.log(), depth > 0);
            if !woken && !rules {
                return;
            }
            let mut heard = match woken {
                true => self.ask_policies(checkpoint, now),
                false => Heard::default(),
            };
            let findings = std::mem::take(&mut heard.findings);
            let mut orders = self.orders(checkpoint, heard, matter, now);
            orders.extend(self.judge_rules(checkpoint, &findings, matter, now));
            let (plan, phase) = (Arc::clone(&self.panel.plan), matter.phase());
            rule(orders, &plan, phase, |order, ruling| {
                self.settle(order, ruling, matter, now)
            });
        }
        self.panel.hear(self.record.log());
        if self.panel.is_woken() {
            tracing::warn!(session = %self.facts.session.id, exchange = self.facts.number, "a cascade of interventions was cut off");
        }
    }

    /// Looks at thresholds and clocks.
    pub fn measure(&mut self, phase: Phase, now: Micros) {
        let generating = phase != Phase::Request;
        self.panel
            .measure(&mut self.vitals, &self.facts.session, generating, now);
    }

    /// Records what Airlock itself did, of its own accord or on behalf of `by`.
    pub fn intervened(
        &mut self,
        action: &str,
        by: &str,
        reason: &str,
        arguments: serde_json::Value,
        now: Micros,
    ) {
        let done = Intervened {
            action,
            by,
            entry: None,
            generation: 0,
            outcome: Outcome::Applied,
            reason,
            arguments,
        };
        self.record.intervention(done, now);
    }

    /// A policy's word is not waited for any longer, for what has arrived.
    pub fn excuse(&mut self, entry: usize, matter: &dyn Matter) {
        self.panel.excuse(entry, &matter.arrived());
    }

    /// In what an order of `by` is carried out, and what waits.
    pub fn scene(&mut self, by: By, phase: Phase, now: Micros) -> (Scene<'_>, &mut Waiting) {
        let scene = Scene {
            facts: &self.facts,
            record: &mut self.record,
            panel: &mut self.panel,
            vitals: &mut self.vitals,
            phase,
            by,
            now,
        };
        (scene, &mut self.waiting)
    }

    /// Asks the policies that are due.
    fn ask_policies(&mut self, checkpoint: Checkpoint, now: Micros) -> Heard {
        self.record.flush();
        if self.panel.wants_vitals() {
            self.vitals.session = self.facts.session.vitals();
            self.record.vitals(self.vitals.all(now), now);
        }
        let on_finding = &self.around.on_finding;
        self.panel
            .ask(&self.facts, &self.record, on_finding, checkpoint, now)
    }

    fn judge_rules(
        &mut self,
        checkpoint: Checkpoint,
        findings: &[Told],
        matter: &dyn Matter,
        now: Micros,
    ) -> Vec<Order> {
        if self.panel.plan.rules.is_empty() {
            return Vec::new();
        }
        self.vitals.session = self.facts.session.vitals();
        let (model, upstream, input_tokens) = matter.standing();
        let moment = Moment {
            checkpoint,
            now,
            vitals: &self.vitals,
            facts: &self.facts.session.facts,
            declared: &self.facts.declared,
            model,
            upstream,
            streamed: self.facts.view.streamed,
            tools: &self.facts.view.tools,
            messages: self.facts.view.messages.len(),
            input_tokens,
            findings,
        };
        self.panel
            .judge_rules(&moment, &self.facts, &mut self.record)
    }

    /// What was heard, as orders. A closed policy that failed orders that what it was to judge does not pass: a tool call is
    /// denied, a tool's result withheld, anything else blocked.
    fn orders(
        &mut self,
        checkpoint: Checkpoint,
        heard: Heard,
        matter: &mut dyn Matter,
        now: Micros,
    ) -> Vec<Order> {
        let tickets: Vec<u64> = heard.tickets.iter().map(|(_, ticket)| *ticket).collect();
        if !tickets.is_empty() {
            let mailbox = &self.facts.session.mailbox;
            mailbox.claim(&tickets, &self.waiting.bell);
        }
        let mut orders = heard.orders;
        for (entry, fault) in heard.closed {
            let name = who(By::Failure(entry), &self.panel.plan);
            let reason = format!(
                "the policy `{name}` failed ({}) and is configured to fail closed",
                fault.kind.as_str()
            );
            orders.extend(refusal(entry, checkpoint, &reason, matter));
        }
        for entry in heard.excused {
            self.excuse(entry, matter);
        }
        for (entry, there) in heard.elsewhere {
            let order = Order {
                by: By::Policy(entry),
                action: there.action,
            };
            let there = match there.exchange {
                0 => "all exchanges".to_owned(),
                number => format!("exchange {number}"),
            };
            let why = format!(
                "aimed at {there}: an action in another exchange is not available in this version of Airlock"
            );
            self.settle(&order, Ruling::Refused(why), matter, now);
        }
        for (entry, pending) in heard.pending {
            let name = who(By::Policy(entry), &self.panel.plan);
            let (outcome, reason) = match self.panel.enforces(entry) {
                true => matter.park(entry, &pending, self, now),
                false => (Outcome::WouldApply, "the policy only observes".to_owned()),
            };
            let done = Intervened {
                action: "pending",
                by: &name,
                entry: Some(entry),
                generation: self.panel.generation(entry),
                outcome,
                reason: &reason,
                arguments: airlock_golden::wit_json::to_value(&pending).unwrap_or_default(),
            };
            self.record.intervention(done, now);
            // No answer will ever come: the deadline is now.
            if outcome == Outcome::Refused && pending.on_timeout == OnTimeout::Block {
                let reason = format!("the policy `{name}` waits for an answer that cannot come");
                orders.extend(refusal(entry, checkpoint, &reason, matter));
            }
        }
        orders
    }

    /// Carries out an order, or records why not. Says whether it was carried out.
    fn settle(
        &mut self,
        order: &Order,
        ruling: Ruling,
        matter: &mut dyn Matter,
        now: Micros,
    ) -> bool {
        let (outcome, reason) = match ruling {
            Ruling::Apply => matter.carry_out(order, self, now),
            Ruling::Refused(reason) => (Outcome::Refused, reason),
            Ruling::Superseded(reason) => (Outcome::Superseded, reason),
            Ruling::WouldApply => (Outcome::WouldApply, "the policy only observes".to_owned()),
        };
        let by = who(order.by, &self.panel.plan);
        let entry = match order.by {
            By::Policy(entry) | By::Failure(entry) => Some(entry),
            By::Operator { .. } | By::Rule(_) => None,
        };
        let arguments = match outcome {
            Outcome::Applied => arguments(&order.action),
            _ => self.room.arguments(&order.action),
        };
        let reason = bounded_reason(reason);
        let done = Intervened {
            action: bounded_name(&order.action),
            by: &by,
            entry,
            generation: entry.map_or(0, |entry| self.panel.generation(entry)),
            outcome,
            reason: &reason,
            arguments,
        };
        self.record.intervention(done, now);
        outcome == Outcome::Applied
    }
}

fn refusal<'m>(
    entry: usize,
    checkpoint: Checkpoint,
    reason: &str,
    matter: &'m dyn Matter,
) -> impl Iterator<Item = Order> + use<'m> {
    let actions = matter.refusal(checkpoint, reason).into_iter();
    actions.map(move |action| Order {
        by: By::Failure(entry),
        action,
    })
}
