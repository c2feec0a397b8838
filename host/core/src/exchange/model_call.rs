//! The model call that is judged: its request, its generation, its legs, its account, its clock.

use super::account::Account;
use super::clock::Clock;
use super::hearing::{Hearing, Matter};
use super::legs::Legs;
use crate::act::fate::Fate;
use crate::act::scene::{Done, Scene, done, refused};
use crate::act::{alert, context, name, output, people, routing, tools};
use crate::event::phase::Phase;
use crate::event::{Body, Micros, Outcome};
use crate::prompt::Prompt;
use crate::reason::order::{By, Order};
use crate::release::Release;
use airlock_policy::contract::types::{
    self as wit, Action, BlockMode, Checkpoint, Pending, ReleaseMark,
};

/// A model call.
pub struct ModelCall {
    /// Its request as it goes upstream.
    pub prompt: Prompt,
    /// Its generation on its way to the client.
    pub release: Release,
    /// Its calls to upstreams.
    pub legs: Legs,
    /// What it uses.
    pub account: Account,
    /// Until when it may go on.
    pub clock: Clock,
    /// What the checkpoint that runs now is about.
    pub at_hand: AtHand,
    /// Its client wants a whole answer, and its upstream is asked for a stream, so that it can be judged and ended while it
    /// is generated. What would leave is put together, and leaves at the end.
    pub assembles: bool,
}

/// What the checkpoint that runs now is about.
#[derive(Clone, Debug, Default)]
pub struct AtHand {
    /// Stretches of calls that are judged now.
    pub calls: Vec<usize>,
    /// Ids of calls whose results are judged now.
    pub results: Vec<String>,
}

impl ModelCall {
    /// Whether a tool call waits until it was judged whole: where somebody may object to it, and where anything can end the
    /// generation in the middle of it. Agents mend a call that was cut, and run it: of `delete("/srv/data/tmp")` a block left
    /// `delete("/srv/dat")`.
    pub fn holds_tool_calls(&self, hearing: &Hearing) -> bool {
        hearing.panel.guards()
            || self.clock.deadline.is_some()
            || !hearing.facts.session.ledger.limits().is_unlimited()
    }
}

impl Matter for ModelCall {
    fn phase(&self) -> Phase {
        self.legs.stage().phase()
    }

    fn standing(&self) -> (&str, &str, u32) {
        let Legs {
            model, upstream, ..
        } = &self.legs;
        (model, upstream, self.prompt.input_tokens)
    }

    fn refusal(&self, checkpoint: Checkpoint, why: &str) -> Vec<Action> {
        let hand = &self.at_hand;
        if checkpoint == Checkpoint::ToolCall && !hand.calls.is_empty() {
            let calls = hand.calls.iter().filter_map(|index| {
                let stretch = self.release.hold.stretches.get(*index)?;
                Some(Action::DenyToolCall(wit::ToolDenial {
                    call: stretch.call.as_ref()?.id.clone(),
                    reason: format!("The call could not be judged: {why}."),
                }))
            });
            return calls.collect();
        }
        if checkpoint == Checkpoint::ToolResult && !hand.results.is_empty() {
            let results = hand.results.iter().map(|id| {
                Action::SubstituteToolResult(wit::ResultSubstitution {
                    call: id.clone(),
                    text: format!("The result was withheld: {why}."),
                    scope: wit::Scope::Session,
                })
            });
            return results.collect();
        }
        vec![Action::Block(wit::Block {
            mode: BlockMode::Hard,
            reason: why.to_owned(),
            fallback: String::new(),
        })]
    }

    fn arrived(&self) -> Vec<ReleaseMark> {
        let stretches = self.release.hold.stretches.iter();
        let marks = stretches.map(|s| ReleaseMark {
            place: s.place.into(),
            upto: s.text.len() as u32,
        });
        marks.collect()
    }

    fn carry_out(&mut self, order: &Order, hearing: &mut Hearing, now: Micros) -> Done {
        let phase = self.phase();
        let Hearing {
            facts,
            around,
            record,
            panel,
            waiting,
            vitals,
            fate,
            ..
        } = hearing;
        let mut scene = Scene {
            facts,
            record,
            panel,
            vitals,
            phase,
            by: order.by,
            now,
        };
        let scene = &mut scene;
        let prompt = &mut self.prompt;
        let hold = &mut self.release.hold;
        let unknown = |upstream: &str| {
            let known = upstream.is_empty() || around.destinations.knows(upstream);
            (!known).then(|| {
                refused(format!(
                    "there is no upstream named `{upstream}`: add [upstream.{upstream}]"
                ))
            })
        };
        match &order.action {
            Action::Annotate(note) => {
                scene.record.note(Body::Annotation {
                    policy: scene.who(),
                    name: note.name.clone(),
                    value: note.value.clone(),
                });
                done()
            }
            Action::Alert(alert) => alert::alert(scene, &*around.alerts, alert),
            Action::Inject(injection) => context::inject(scene, prompt, injection),
            Action::EditMessage(edit) => context::edit_message(scene, prompt, edit),
            Action::EvictMessage(eviction) => context::evict_message(scene, prompt, eviction),
            Action::ReplaceMessages(order) => context::replace_messages(scene, prompt, order),
            Action::SubstituteToolResult(order) => context::substitute_result(scene, prompt, order),
            Action::SetParameters(set) => routing::set_parameters(scene, prompt, set),
            Action::Route(route) => {
                unknown(&route.upstream).unwrap_or_else(|| routing::route(scene, prompt, route))
            }
            Action::Allocate(allocation) => routing::allocate(scene, allocation),
            Action::ReplaceRange(replacement) => output::replace(scene, hold, replacement),
            Action::AnswerLocally(_) if !self.legs.steps.is_empty() => {
                refused("the model's own answer has begun: use `stop` or `block`")
            }
            Action::AnswerLocally(text) => Fate::Answer(text.clone()).decide(fate),
            Action::Block(block) => Fate::Block {
                mode: block.mode,
                by: scene.who(),
                reason: block.reason.clone(),
                fallback: block.fallback.clone(),
            }
            .decide(fate),
            Action::Stop(stop) => Fate::Stop {
                reason: stop.reason.clone(),
                confidence: (stop.confidence >= 0.0).then_some(stop.confidence),
                keep_held: stop.keep_held,
                by: scene.who(),
            }
            .decide(fate),
            Action::Retry(retry) => {
                if let Some(refusal) = unknown(&retry.upstream) {
                    return refusal;
                }
                if hold.begun {
                    let why = "the client has a part of the answer: use `stop`".to_owned();
                    return (Outcome::TooLate, why);
                }
                Fate::Retry {
                    upstream: retry.upstream.clone(),
                    model: retry.model.clone(),
                    after_ms: retry.after_ms,
                }
                .decide(fate)
            }
            Action::DenyToolCall(denial) => tools::deny(hold, denial),
            Action::RewriteToolCall(rewrite) => tools::rewrite(scene, hold, rewrite),
            Action::HoldForPerson(order) => {
                let model = &self.legs.model;
                people::hold_for_person(scene, (hold, waiting, fate), &around.desk, model, order)
            }
            Action::OpenCircuit(circuit) => {
                tools::open_circuit(scene, hold, &self.at_hand.calls, circuit)
            }
            other => refused(format!(
                "`{}` is not available in this version of Airlock",
                name::name(other)
            )),
        }
    }

    fn park(
        &mut self,
        entry: usize,
        pending: &Pending,
        hearing: &mut Hearing,
        now: Micros,
    ) -> Done {
        let phase = self.phase();
        let by = By::Policy(entry);
        let (scene, waiting) = hearing.scene(by, phase, now);
        people::pending(&scene, &mut self.release.hold, waiting, entry, pending)
    }
}
