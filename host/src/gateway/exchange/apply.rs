//! Carries out what was ordered and not overruled.

mod context;

use std::sync::Arc;

use super::conduct::{Exchange, Fate};
use super::hold::Unreplaced;
use super::prepare::RESERVED;
use crate::act::slots::who;
use crate::contract::types::{self as wit, Action, Scope};
use crate::event::clock::now;
use crate::event::phase::Phase;
use crate::event::{Body, Channel, Outcome, Place};
use crate::reason::order::{By, Order};
use crate::reason::patterns::Scanner;
use crate::session::ledger::Limits;
use crate::upstream::webhook::Notice;

/// What became of it, and why.
pub(super) type Done = (Outcome, String);

impl Exchange {
    pub(super) fn apply(&mut self, order: &Order) -> Done {
        let by = who(order.by, &self.plan);
        match &order.action {
            Action::Annotate(note) => {
                self.session.timeline.append(
                    self.number,
                    Body::Annotation {
                        policy: by,
                        name: note.name.clone(),
                        value: note.value.clone(),
                    },
                );
                done()
            }
            Action::Alert(alert) => self.alert(by, alert),
            Action::Inject(injection) => self.inject(order.by, injection),
            Action::EditMessage(edit) => self.edit_message(order.by, edit),
            Action::EvictMessage(eviction) => self.evict_message(order.by, eviction),
            Action::ReplaceMessages(replacement) => self.replace_messages(order.by, replacement),
            Action::SubstituteToolResult(result) => self.substitute_result(order.by, result),
            Action::SetParameters(parameters) => self.set_parameters(parameters),
            Action::Route(route) => self.route(route),
            Action::Allocate(allocation) => self.allocate(allocation),
            Action::ReplaceRange(replacement) => self.replace(order.by, replacement),
            Action::AnswerLocally(_) if !self.steps.is_empty() => (
                Outcome::Refused,
                "the model's own answer has begun: use `stop` or `block`".to_owned(),
            ),
            Action::AnswerLocally(text) => self.decide(Fate::Answer(text.clone())),
            Action::Block(block) => self.decide(Fate::Block {
                mode: block.mode,
                by,
                reason: block.reason.clone(),
                fallback: block.fallback.clone(),
            }),
            Action::Stop(stop) => self.decide(Fate::Stop {
                reason: stop.reason.clone(),
                confidence: (stop.confidence >= 0.0).then_some(stop.confidence),
                keep_held: stop.keep_held,
                by,
            }),
            Action::Retry(retry) => {
                if let Some(refusal) = self.unknown_upstream(&retry.upstream) {
                    return refusal;
                }
                if self.hold.begun {
                    return (
                        Outcome::TooLate,
                        "the client has a part of the answer: use `stop`".to_owned(),
                    );
                }
                self.decide(Fate::Retry {
                    upstream: retry.upstream.clone(),
                    model: retry.model.clone(),
                    after_ms: retry.after_ms,
                })
            }
            Action::DenyToolCall(denial) => self.deny(denial),
            Action::RewriteToolCall(rewrite) => self.rewrite(order.by, rewrite),
            Action::HoldForPerson(hold) => self.hold_for_person(order.by, hold),
            Action::OpenCircuit(circuit) => self.open_circuit(order.by, circuit),
            other => (
                Outcome::Refused,
                format!(
                    "`{}` is not available in this version of Airlock",
                    crate::act::name::name(other)
                ),
            ),
        }
    }

    /// The stronger fate stays, whenever in the exchange it was ordered.
    fn decide(&mut self, fate: Fate) -> Done {
        if self
            .fate
            .as_ref()
            .is_some_and(|present| present.strength() >= fate.strength())
        {
            return (
                Outcome::Superseded,
                "the exchange's fate was already decided".to_owned(),
            );
        }
        self.fate = Some(fate);
        done()
    }

    fn alert(&mut self, by: String, alert: &wit::Alert) -> Done {
        let known = alert.webhook.is_empty()
            || self
                .settings
                .config
                .webhooks
                .iter()
                .any(|(name, _)| *name == alert.webhook);
        if !known {
            return (
                Outcome::Refused,
                format!(
                    "there is no webhook named `{}`: add [webhook.{0}]",
                    alert.webhook
                ),
            );
        }
        let notice = Notice {
            policy: by,
            severity: crate::reason::order::severity_name(alert.severity).to_owned(),
            title: alert.title.clone(),
            body: alert.body.clone(),
            session: self.session.id.to_string(),
            exchange: self.number,
            at: now(),
            approval: None,
        };
        match self
            .app
            .alerts
            .send(&notice, &alert.webhook, &self.settings.config.webhooks)
        {
            Ok(()) => done(),
            Err(reason) => (Outcome::Failed, reason),
        }
    }

    fn set_parameters(&mut self, parameters: &wit::Parameters) -> Done {
        for (name, value) in &parameters.set {
            if RESERVED.contains(&name.as_str()) {
                return (
                    Outcome::Refused,
                    format!("`{name}` has an action of its own"),
                );
            }
            if serde_json::from_str::<serde_json::Value>(value).is_err() {
                return (
                    Outcome::Refused,
                    format!("the value of `{name}` is not JSON: {value}"),
                );
            }
        }
        match parameters.scope {
            Scope::Session => self.session.state().overlay.set_parameters(&parameters.set),
            Scope::Exchange => self
                .changes
                .parameters
                .extend(parameters.set.iter().cloned()),
        }
        done()
    }

    fn route(&mut self, route: &wit::Route) -> Done {
        if let Some(refusal) = self.unknown_upstream(&route.upstream) {
            return refusal;
        }
        if route.upstream.is_empty() && route.model.is_empty() {
            return (
                Outcome::Refused,
                "neither an upstream nor a model is named".to_owned(),
            );
        }
        if route.scope == Scope::Session {
            let mut state = self.session.state();
            state.overlay.upstream.clone_from(&route.upstream);
            state.overlay.model.clone_from(&route.model);
        }
        if self.phase == Phase::Request {
            self.changes.upstream.clone_from(&route.upstream);
            self.changes.model.clone_from(&route.model);
        }
        done()
    }

    fn allocate(&mut self, allocation: &wit::Allocation) -> Done {
        if allocation.scope == Scope::Exchange {
            return (
                Outcome::Refused,
                "limits of a single exchange are not available in this version of Airlock"
                    .to_owned(),
            );
        }
        let limit = |n: u64| (n > 0).then_some(n);
        self.session.ledger.allocate(Limits {
            tokens: limit(allocation.max_tokens),
            cost: limit(allocation.max_cost),
        });
        self.vitals.session = self.session.vitals();
        done()
    }

    fn replace(&mut self, by: By, replacement: &wit::Replacement) -> Done {
        let Some(channel) = Channel::from_wit(replacement.channel) else {
            return (Outcome::Refused, "`none` is not a channel".to_owned());
        };
        let place = Place {
            channel,
            choice: replacement.choice,
            block: replacement.block,
        };
        // What was put in is judged by the others' patterns. If it matches, nothing is put in at all.
        let offender = self.offends(by, channel, &replacement.text);
        let text = if offender.is_some() {
            String::new()
        } else {
            replacement.text.clone()
        };
        match self
            .hold
            .replace(place, replacement.offset, replacement.len, text)
        {
            Ok(()) => match offender {
                None => done(),
                Some(policy) => (
                    Outcome::Failed,
                    format!(
                        "the new text matches a pattern of `{policy}`: the range was removed instead"
                    ),
                ),
            },
            Err(Unreplaced::TooLate) => (
                Outcome::TooLate,
                "the client has a part of the range".to_owned(),
            ),
            Err(Unreplaced::Impossible(reason)) => (Outcome::Refused, reason),
        }
    }

    /// Name of another enforcing policy whose pattern the text matches.
    pub(super) fn offends(&self, by: By, channel: Channel, text: &str) -> Option<String> {
        let patterns = self.plan.patterns.get(channel as usize)?.as_ref()?;
        let mut scanner = Scanner::new(Arc::clone(patterns));
        let mut found = Vec::new();
        scanner.feed(text, &mut found);
        scanner.finish(&mut found);
        found
            .iter()
            .map(|m| m.owner as usize)
            .filter(|owner| by != By::Policy(*owner))
            .filter_map(|owner| self.plan.entries.get(owner))
            .find(|g| g.enforces())
            .map(|g| g.name.to_string())
    }

    fn unknown_upstream(&self, name: &str) -> Option<Done> {
        (!name.is_empty() && !self.settings.upstreams.contains(name)).then(|| {
            (
                Outcome::Refused,
                format!("there is no upstream named `{name}`: add [upstream.{name}]"),
            )
        })
    }
}

impl Fate {
    fn strength(&self) -> u8 {
        match self {
            Fate::Refused(_) => 6,
            Fate::Block { .. } => 5,
            Fate::Stop { .. } => 4,
            Fate::Unanswered(_) => 3,
            Fate::Answer(_) => 2,
            Fate::Retry { .. } | Fate::Explain(_) => 1,
        }
    }
}

pub(super) fn done() -> Done {
    (Outcome::Applied, String::new())
}
