//! The end of an exchange: what it used is settled, and what the next one needs is saved. Whatever way it ends, it ends once.

use std::sync::Arc;

use super::legs::Stage;
use super::{Exchange, Over, usage};
use crate::dialect::{MessageView, Turn, is_made_up};
use crate::event::digest::Digest;
use crate::event::marks::{Given, Words, mark};
use crate::event::{Body, Micros, Status, Usage};
use crate::session::ledger::Settlement;
use crate::session::overlay::{DeniedCall, Place, Restored};

impl Exchange {
    /// The exchange is over. Accounts are settled and everything that the next one needs is saved. Does nothing the
    /// second time.
    pub(super) fn end(&mut self, status: Status, now: Micros) {
        if self.is_over() {
            return;
        }
        let (hearing, call) = (&mut self.hearing, &mut self.call);
        let (session, number) = (&self.facts.session, self.facts.number);
        hearing.record.flush();
        usage::count_unstated(call, &self.facts, &mut hearing.vitals);
        let usage = usage::usage(call, &hearing.vitals);
        let cost = usage::cost(call, &hearing.vitals, &hearing.around.prices);
        let tokens = u64::from(usage.input) + u64::from(usage.output);
        self.over = Over::Ended { tokens };
        let ledger = &session.ledger;
        let known = call.release.usage.is_some() || call.account.prior != Usage::default();
        let settled = match (known, call.legs.stage().is_spent()) {
            (true, _) => ledger.settle(number, usage, cost),
            // Nothing was sent, or the upstream refused before it generated anything: nothing was spent.
            (false, false) => {
                ledger.release(number);
                Settlement::default()
            }
            (false, true) => {
                let generated = call.account.cut_at.unwrap_or(hearing.vitals.output_tokens);
                ledger.abandon(number, generated.into())
            }
        };
        call.legs.go(Stage::Over);
        let elapsed = now.saturating_sub(self.facts.started);
        let stated = &call.release.reader.identity().model;
        let model = match stated.is_empty() {
            true => call.legs.model.clone(),
            false => stated.clone(),
        };
        hearing.record.note(Body::ResponseEnd {
            finish: call.release.finish.clone().unwrap_or_default(),
            model,
            usage,
            cost,
            status,
            elapsed_us: elapsed,
        });
        if !ledger.limits().is_unlimited()
            && let Some(told) = settled.overshoot()
        {
            hearing.record.note(told);
        }
        session.mailbox.unclaim(&hearing.waiting.bell);
        hearing.panel.keep_fired(session);
        call.prompt.keep(&self.facts, false);
        self.remember(status);
        for (policy, fault) in self.facts.session.settle(self.facts.number, elapsed) {
            tracing::warn!(%policy, fault = ?fault.to_string(), session = %self.facts.session.id, "policy could not save its state");
            let mut entries = self.hearing.panel.plan.entries.iter();
            let generation = entries.find(|g| *g.name == *policy).map_or(0, |g| g.number);
            self.hearing.record.note(Body::PolicyFault {
                generation,
                policy,
                fault: fault.kind.as_str().to_owned(),
                text: fault.message,
                on_failure: "open".to_owned(),
            });
        }
    }

    /// Keeps what the next request of the conversation is recognised by, and what the denied calls of the turn find their
    /// place in it by.
    fn remember(&mut self, status: Status) {
        let facts = Arc::clone(&self.facts);
        let turn = self.call.release.turn_given(self.streams(), status);
        let release = &self.call.release;
        let (given, own) = (&release.writer.identity().id, &release.reader.identity().id);
        if facts.client.inbound().goes_on_by_id()
            && !self.call.legs.steps.is_empty()
            && given != own
        {
            let mut state = facts.session.state();
            state.overlay.put_together(given, own);
        }
        let calls = turn.tool_calls.iter().map(|call| call.id.clone());
        // An answer that may be named by its id is known by it as by a call's.
        let id = Some(&self.call.release.writer.identity().id);
        let id = id.filter(|_| facts.client.inbound().goes_on_by_id());
        let given = Given {
            words: Words::of(&turn.text),
            whole: status == Status::Complete,
            // An id that Airlock made up is one of many conversations.
            calls: calls
                .filter(|id| !is_made_up(id))
                .chain(id.cloned())
                .filter(|id| !id.is_empty())
                .collect(),
        };
        if !(turn.text.is_empty() && turn.tool_calls.is_empty()) {
            if let Some(tokens) = self.call.release.tokens_of(&turn) {
                facts.session.counted(turn.digest(), tokens);
            }
            let messages: Vec<u64> = match facts.client.inbound().says_items() {
                true => items(turn),
                false => vec![turn],
            }
            .into_iter()
            .map(|view| {
                let mut state = facts.session.state();
                state.conversation.answered(view.digest())
            })
            .collect();
            self.restore_denied(&messages);
        }
        // What follows on a conversation that its server keeps is not the beginning of one.
        let continued = facts.view.follows().into_iter();
        let digests: Vec<Digest> = continued
            .map(|c| mark(&[b"continued", c.id.as_bytes()]))
            .chain(facts.digests.iter().copied())
            .collect();
        let sessions = &self.hearing.around.sessions;
        sessions.remember(&facts.session.key, &digests, &given, facts.weak);
    }

    /// Denied calls of this turn, which the client does not know, are put back into its later requests: the model must
    /// see what it tried and why it could not.
    fn restore_denied(&mut self, messages: &[u64]) {
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else {
            return;
        };
        let denied = self.call.release.denied(self.call.legs.number());
        let within = Turn::of_step(String::new(), None, denied);
        let before = std::mem::take(&mut self.call.legs.steps);
        let steps = before
            .into_iter()
            .map(|step| (Place::Before, step))
            .chain(std::iter::once((Place::Within, within)));
        let mut ids = self.facts.ids.clone();
        ids.extend(messages);
        let session = &self.facts.session;
        for (place, step) in steps.filter(|(_, step)| !step.calls().is_empty()) {
            let calls = step.calls().into_iter().map(|(call, result)| DeniedCall {
                id: call.id,
                name: call.name,
                arguments: call.arguments,
                result,
                own: call.own,
                at: call.at,
            });
            let restored = Restored {
                // What was said stands in the first, the other calls at the end.
                message: match place {
                    Place::Before => *first,
                    Place::Within => *last,
                },
                place,
                said: step.said(),
                own: step.own().map(str::to_owned),
                calls: calls.collect(),
            };
            if let Err(full) = session.state().overlay.restore(restored, &ids) {
                tracing::warn!(session = %session.id, %full, "denied calls are not put back into later requests");
            }
        }
    }
}

/// A turn as the messages in which a client sends it back whose API has items: what was said, and each call by itself.
fn items(turn: MessageView) -> Vec<MessageView> {
    let alone = MessageView {
        text: String::new(),
        tool_calls: Vec::new(),
        ..turn.clone()
    };
    let said = MessageView {
        text: turn.text,
        ..alone.clone()
    };
    let calls = turn.tool_calls.into_iter().map(|call| MessageView {
        tool_calls: vec![call],
        ..alone.clone()
    });
    let said = Some(said).filter(|said| !said.text.is_empty());
    said.into_iter().chain(calls).collect()
}
