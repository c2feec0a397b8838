//! Tool calls of the generation: told when they are complete, judged, and then permitted, rewritten or denied.
//!
//! Guarantees: with anybody to object, no byte of a call reaches the client before it was judged whole. A denied call never
//! does; the model is given the reason as its result. What a rewritten call says is judged again by the others; a call that
//! is rewritten a third time is denied, because policies that disagree for ever must not decide by exhaustion.

use super::apply::{Done, done};
use super::conduct::Exchange;
use super::hold::{Call, Stretch};
use super::round::Step;
use crate::act::slots::who;
use crate::contract::types::{self as wit, Checkpoint, Detail, EventKind};
use crate::dialect::ToolCallView;
use crate::event::clock::now;
use crate::event::{Body, Channel, Outcome};
use crate::observe::log::inline;
use crate::reason::order::By;
use crate::session::circuits::Admission;
use crate::session::overlay::{self, DeniedCall, Restored};

/// How often the arguments of one call may be replaced.
const MAX_REWRITES: u8 = 2;

/// What the checkpoint that runs now is about.
#[derive(Clone, Debug, Default)]
pub(super) struct AtHand {
    /// Stretches of calls that are judged now.
    pub(super) calls: Vec<usize>,
    /// Ids of calls whose results are judged now.
    pub(super) results: Vec<String>,
}

impl Exchange {
    /// Whether somebody could object to what is generated, so that it may not pass unread.
    pub(super) fn guards(&self) -> bool {
        self.plan.enforcing || self.plan.holds_tool_calls || self.circuits_open
    }

    /// Whether a tool call waits until it was judged whole: where somebody may object to it, and where anything can end the
    /// generation in the middle of it. Agents mend a call that was cut, and run it: of `delete("/srv/data/tmp")` a block left
    /// `delete("/srv/dat")`.
    pub(super) fn holds_tool_calls(&self) -> bool {
        let ends = self.plan.enforcing
            || self.deadline.is_some()
            || !self.session.ledger.limits().is_unlimited();
        self.plan.holds_tool_calls || self.circuits_open || ends
    }

    /// No more parts of these calls come: they are told whole, and judged.
    pub(super) fn seal_calls(&mut self, which: impl Fn(&Stretch) -> bool) {
        let open = |s: &Stretch| s.call.as_ref().is_some_and(Call::is_open);
        let sealed: Vec<usize> = (0..self.hold.stretches.len())
            .filter(|i| {
                let stretch = self.hold.stretches.get(*i);
                stretch.is_some_and(|s| open(s) && which(s))
            })
            .collect();
        if sealed.is_empty() {
            return;
        }
        self.flush();
        for index in &sealed {
            let mut found = Vec::new();
            self.hold.finish(*index, &mut found);
            let Some(stretch) = self.hold.stretches.get_mut(*index) else {
                continue;
            };
            let place = stretch.place;
            if let Some(call) = &mut stretch.call {
                call.seal();
            }
            self.matched(place, &found);
            self.tell_call(*index, None);
            self.deny_unclear(*index);
            self.ask_circuit(*index);
        }
        self.at_hand.calls.clone_from(&sealed);
        self.checkpoint(Checkpoint::ToolCall);
        self.at_hand.calls.clear();
        for index in sealed {
            self.permit(index);
        }
    }

    /// A call that clients would read differently is not judged in one reading and run in another.
    fn deny_unclear(&mut self, index: usize) {
        if !self.holds_tool_calls() {
            return;
        }
        let stretch = self.hold.stretches.get_mut(index);
        let Some(call) = stretch.and_then(|s| s.call.as_mut()) else {
            return;
        };
        if call.name.is_empty() && call.unclear.is_none() {
            call.unclear = Some("it names no tool".to_owned());
        }
        let Some(unclear) = &call.unclear else {
            return;
        };
        let reason =
            format!("The call was not permitted, since it cannot be read for certain: {unclear}.");
        let arguments = serde_json::json!({ "id": call.id, "reason": reason });
        call.deny(reason.clone());
        self.intervened(
            "deny-tool-call",
            "airlock",
            usize::MAX,
            Outcome::Applied,
            &reason,
            arguments,
        );
    }

    /// A call to which nobody objected goes out. One that is denied does not, and probes no circuit.
    pub(super) fn permit(&mut self, index: usize) {
        let Some(stretch) = self.hold.stretches.get_mut(index) else {
            return;
        };
        let arguments = stretch.seen();
        let Some(call) = &mut stretch.call else {
            return;
        };
        let mut state = self.session.state();
        if call.is_out() {
            state.circuits.not_sent(&call.id);
        } else if call.permit() {
            let id = call.client_id();
            state.tools.released(id, &call.name, now());
            state.circuits.released(id, &call.name, &arguments);
        }
    }

    /// A call with its present arguments, on the timeline and to the policies; `cause` is not told by it.
    fn tell_call(&mut self, index: usize, cause: Option<usize>) {
        let Some(stretch) = self.hold.stretches.get(index) else {
            return;
        };
        let (place, arguments) = (stretch.place, stretch.seen());
        let Some(call) = stretch.call.clone() else {
            return;
        };
        let content = self.session.contents.keep(self.number, &arguments);
        let seq = self.session.timeline.append(
            self.number,
            Body::ToolCall {
                id: call.id.clone(),
                name: call.name.clone(),
                choice: place.choice,
                block: place.block,
                bytes: arguments.len() as u64,
                arguments: arguments.clone(),
            },
        );
        let detail = Detail::ToolCall(wit::ToolCall {
            id: call.id,
            name: call.name,
            arguments: content,
        });
        self.log
            .push_tool_call(seq, now(), place, inline(&arguments), detail, cause);
        self.wake(EventKind::ToolCall, cause);
    }

    /// An open circuit answers in the tool's place.
    fn ask_circuit(&mut self, index: usize) {
        let Some(stretch) = self.hold.stretches.get_mut(index) else {
            return;
        };
        let arguments = stretch.seen();
        let Some(call) = stretch.call.as_mut().filter(|call| !call.is_out()) else {
            return;
        };
        let admission =
            self.session
                .state()
                .circuits
                .admit(&call.id, &call.name, &arguments, now());
        let (by, answer) = match admission {
            Admission::Pass => return,
            Admission::Probe { by } => {
                let reason = format!(
                    "the circuit of `{}` is half open: this call probes it",
                    call.name
                );
                let (tool, by) = (call.name.clone(), by);
                self.circuit_intervened(&by, &tool, &reason);
                return;
            }
            Admission::Refuse { by, answer } => (by, answer),
        };
        call.deny(answer);
        let tool = call.name.clone();
        let reason = format!("the circuit of `{tool}` is open: the call was answered in its place");
        self.circuit_intervened(&by, &tool, &reason);
    }

    fn circuit_intervened(&mut self, by: &str, tool: &str, reason: &str) {
        let arguments = serde_json::json!({ "tool": tool });
        self.intervened(
            "open-circuit",
            by,
            usize::MAX,
            Outcome::Applied,
            reason,
            arguments,
        );
    }

    /// Keeps a call from the client. Some servers give calls of several choices one id: those of one id and name are one to
    /// whoever denies them.
    pub(super) fn deny(&mut self, denial: &wit::ToolDenial) -> Done {
        let mut outcome = unknown_call(&denial.id);
        let calls = || self.hold.stretches.iter().filter_map(|s| s.call.as_ref());
        let named = calls().find(|call| call.id == denial.id);
        let name = named.map(|call| call.name.clone()).unwrap_or_default();
        for stretch in &mut self.hold.stretches {
            let same = |call: &&mut Call| {
                call.id == denial.id || (call.shown == denial.id && call.name == name)
            };
            let Some(call) = stretch.call.as_mut().filter(same) else {
                continue;
            };
            if call.left {
                outcome = (
                    Outcome::TooLate,
                    "the client has a part of the call".to_owned(),
                );
            } else if call.denial().is_some() {
                if outcome.0 == Outcome::Refused {
                    outcome = (Outcome::Superseded, "the call was denied before".to_owned());
                }
            } else {
                call.deny(if denial.reason.is_empty() {
                    format!("The call of `{}` was not permitted.", call.name)
                } else {
                    denial.reason.clone()
                });
                outcome = done();
            }
        }
        outcome
    }

    /// Gives a call other arguments. The others judge them like those that the model wrote.
    pub(super) fn rewrite(&mut self, by: By, rewrite: &wit::ToolRewrite) -> Done {
        if serde_json::from_str::<&serde_json::value::RawValue>(&rewrite.arguments).is_err() {
            return (
                Outcome::Refused,
                format!("the new arguments are not JSON: {}", rewrite.arguments),
            );
        }
        let offender = self.offends(by, Channel::ToolArguments, &rewrite.arguments);
        let Some(index) = self
            .hold
            .stretches
            .iter()
            .rposition(|s| s.call.as_ref().is_some_and(|call| call.id == rewrite.id))
        else {
            return unknown_call(&rewrite.id);
        };
        let Some(call) = self
            .hold
            .stretches
            .get_mut(index)
            .and_then(|s| s.call.as_mut())
        else {
            return unknown_call(&rewrite.id);
        };
        if call.is_open() {
            return (
                Outcome::Refused,
                "the call is not complete: rewrite it at the tool-call checkpoint".to_owned(),
            );
        }
        if call.left {
            return (
                Outcome::TooLate,
                "the client has a part of the call".to_owned(),
            );
        }
        if call.denial().is_some() {
            return (Outcome::Superseded, "the call was denied".to_owned());
        }
        let why = match offender {
            Some(policy) => Some(format!(
                "the new arguments match a pattern of `{policy}`: the call is denied"
            )),
            None if call.rewrites >= MAX_REWRITES => Some(format!(
                "the call was rewritten {MAX_REWRITES} times already: it is denied"
            )),
            None => None,
        };
        if let Some(why) = why {
            call.deny(format!("The call of `{}` was not permitted.", call.name));
            return (Outcome::Failed, why);
        }
        call.rewrites += 1;
        call.rewritten = Some(rewrite.arguments.clone());
        let cause = match by {
            By::Policy(entry) => Some(entry),
            _ => None,
        };
        self.tell_call(index, cause);
        done()
    }

    /// Keeps a tool from being called for a while.
    pub(super) fn open_circuit(&mut self, by: By, circuit: &wit::Circuit) -> Done {
        if circuit.tool.is_empty() {
            return (Outcome::Refused, "no tool is named".to_owned());
        }
        let by = who(by, &self.plan);
        self.session.state().circuits.open(
            &circuit.tool,
            &by,
            u64::from(circuit.cooldown_ms) * 1_000,
            &circuit.answer,
            now(),
        );
        self.circuits_open = true;
        // The calls that are judged right now are the first that it concerns.
        for index in self.at_hand.calls.clone() {
            let concerns = self
                .hold
                .stretches
                .get(index)
                .and_then(|s| s.call.as_ref())
                .is_some_and(|call| call.name == circuit.tool && call.is_sealed());
            if concerns {
                self.ask_circuit(index);
            }
        }
        done()
    }

    /// Denied calls of this turn, which the client does not know, are put back into its later requests: the model must
    /// see what it tried and why it could not.
    pub(super) fn restore_denied(&mut self, message: u64) {
        let within = Step {
            said: String::new(),
            own: None,
            calls: self.denied_now(),
        };
        let before = std::mem::take(&mut self.steps);
        let steps = before
            .into_iter()
            .map(|step| (overlay::Place::Before, step))
            .chain(std::iter::once((overlay::Place::Within, within)));
        let mut ids = self.ids.clone();
        ids.push(message);
        for (place, step) in steps.filter(|(_, step)| !step.calls.is_empty()) {
            let calls = step.calls.into_iter().map(|(call, result)| DeniedCall {
                id: call.id,
                name: call.name,
                arguments: call.arguments,
                result,
                own: call.own,
                at: call.at,
            });
            let restored = Restored {
                message,
                place,
                said: step.said,
                own: step.own,
                calls: calls.collect(),
            };
            if let Err(full) = self.session.state().overlay.restore(restored, &ids) {
                tracing::warn!(session = %self.session.id, %full, "denied calls are not put back into later requests");
            }
        }
    }

    /// The denied calls of this round, with the results that the model is given.
    pub(super) fn denied_now(&self) -> Vec<(ToolCallView, String)> {
        let round = self.steps.len() as u32;
        let calls = |choice| {
            let of = move |s: &&Stretch| s.place.choice == choice;
            self.hold.stretches.iter().filter(of)
        };
        self.hold
            .stretches
            .iter()
            .filter_map(|s| {
                let call = s.call.as_ref().filter(|call| call.round == round)?;
                let before = calls(s.place.choice)
                    .take_while(|other| other.place != s.place)
                    .filter(|other| other.call.as_ref().is_some_and(|c| c.round == round));
                let reason = call.denial()?;
                let view = ToolCallView {
                    id: call.id.clone(),
                    name: call.name.clone(),
                    arguments: s.seen(),
                    own: self.own.call(&call.id).filter(|_| s.place.choice == 0),
                    at: Some(before.count() as u32),
                };
                Some((view, reason.to_owned()))
            })
            .collect()
    }
}

fn unknown_call(id: &str) -> Done {
    (
        Outcome::Refused,
        format!("there is no tool call `{id}` in this generation"),
    )
}
