//! How an exchange begins: what is new in its request is told, and its first checkpoints run.

use std::sync::Arc;

use bytes::Bytes;

use super::account::Account;
use super::adopt::adopt;
use super::clock::Clock;
use super::hearing::Hearing;
use super::legs::Legs;
use super::model_call::{AtHand, ModelCall};
use super::{Exchange, Leaving, Over, Surroundings, measure, waiting};
use crate::act::fate::Fate;
use crate::dialect::{Dialect, Identity, RequestView};
use crate::event::declared::Declared;
use crate::event::digest::Digest;
use crate::event::{Body, Micros};
use crate::observe::tokens::TokenCounter;
use crate::observe::vitals::Vitals;
use crate::prompt::Prompt;
use crate::release::Release;
use crate::session::facts::Facts;
use crate::session::state::Session;
use crate::session::told;
use airlock_policy::contract::types::{BlockMode, Checkpoint};

/// A request that was let in.
pub struct Arrived {
    /// Its session.
    pub session: Arc<Session>,
    /// The wire API that its client speaks.
    pub client: &'static dyn Dialect,
    /// The request.
    pub view: RequestView,
    /// Its bytes.
    pub body: Bytes,
    /// Digests of its messages, in order.
    pub digests: Vec<Digest>,
    /// What it says about itself.
    pub declared: Declared,
    /// What only correlates its calls with others.
    pub weak: Option<Digest>,
    /// How often its client says that it has sent it before.
    pub client_retries: u32,
    /// When it must be over.
    pub deadline: Option<Micros>,
    /// Until when its client waits, if it does not read a stream.
    pub patience: Micros,
    /// Its upstream may be asked for a stream where its client wants a whole answer.
    pub may_assemble: bool,
}

impl Exchange {
    /// Begins an exchange: tells what is new in the request, and runs its checkpoints. The surroundings are those with which
    /// the call arrived; it sees no others.
    pub fn begin(around: Arc<Surroundings>, arrived: Arrived, now: Micros) -> Exchange {
        let Arrived {
            session,
            view,
            body,
            digests,
            ..
        } = arrived;
        let digest = view.digest(&body, &digests);
        let (number, retry, (told, draft)) = {
            let mut state = session.state();
            let (number, retry) = state.begin(digest, arrived.client_retries, now);
            let draft = match view.follows() {
                Some(_) => state.conversation.draft_more(&digests),
                None => state.conversation.draft(&digests),
            };
            (number, retry, draft)
        };
        let facts = Arc::new(Facts {
            number,
            retry,
            started: now,
            digests,
            ids: told.ids.clone(),
            body: digest,
            declared: arrived.declared,
            weak: arrived.weak,
            client: arrived.client,
            view,
            session,
        });
        let (client, model) = (facts.client, &facts.view.model);
        let identity = Identity {
            id: format!("airlock-{}-{number}", facts.session.id.short()),
            model: model.clone(),
            created: now / 1_000_000,
            ..Identity::default()
        };
        let mut vitals = Vitals::new(now, facts.session.vitals());
        vitals.around.machine = Arc::clone(&around.machine);
        vitals.around.tool = facts.session.state().newest_tool.clone();
        let call = ModelCall {
            prompt: Prompt::new(model, around.prices.context_window(model), draft),
            release: Release::new(client.reader(), client.writer(identity)),
            legs: Legs::new(client, body, model),
            account: Account::default(),
            clock: Clock {
                deadline: arrived.deadline,
                expired: false,
                patience: arrived.patience,
            },
            at_hand: AtHand::default(),
            assembles: arrived.may_assemble && !facts.view.streamed,
        };
        let hearing = Hearing::new(Arc::clone(&facts), around, vitals);
        let mut exchange = Exchange {
            hearing,
            facts,
            call,
            leaving: Leaving::default(),
            over: Over::No { last: now },
        };
        exchange.open(&told, now);
        exchange
    }

    fn open(&mut self, told: &crate::session::conversation::Told, now: Micros) {
        let (hearing, call) = (&mut self.hearing, &mut self.call);
        let facts = &self.facts;
        if facts.retry > 0 && facts.session.state().was_cut(facts.number) {
            hearing.fate = Some(Fate::Block {
                mode: BlockMode::Abort,
                by: String::new(),
                reason: "the call that this one repeats was cut".to_owned(),
                fallback: String::new(),
            });
        }
        // Answers that came while nobody listened are heard first.
        facts.session.mailbox.adopt(&hearing.waiting.bell);
        adopt(hearing, call, now);
        // Who judges is known now.
        call.assembles &= hearing.panel.plan.watches;
        self.leaving.assembly = call.assembles.then(Vec::new);
        // Without a policy, a rule or a budget nobody acts by a count: estimates do until the provider states its own.
        if hearing.panel.is_empty() && facts.session.ledger.limits().is_unlimited() {
            call.prompt.counter = TokenCounter::rough();
        }
        call.prompt.take_kept(facts, &mut hearing.vitals);
        waiting::hear(hearing, call, now);
        if facts.number == 1 && facts.retry == 0 {
            hearing.record.opened(now);
        }
        hearing.record.declared(now);
        if let (Some(continued), 1) = (&facts.view.continues, facts.number) {
            hearing.record.note(Body::Unjudged {
                path: continued.field.to_owned(),
                reason: format!(
                    "`{}` names a conversation that was not seen here: what was said in it is not judged",
                    continued.id
                ),
            });
        }
        let from = hearing.record.log().len();
        let results = told::tell(facts, told, &mut hearing.record, now);
        hearing.vitals.session = facts.session.vitals();
        measure::results(hearing, from, now);
        let plan = Arc::clone(&hearing.panel.plan);
        let entry_of = |name: &str| plan.entries.iter().position(|g| *g.name == *name);
        call.prompt
            .tell_kept(facts, &mut hearing.record, entry_of, now);
        if !results.is_empty() {
            call.at_hand.results = results;
            hearing.checkpoint(Checkpoint::ToolResult, call, now);
            call.at_hand.results.clear();
        }
    }
}
