//! One exchange without its transport: what has happened, what policies said, what is to become of it.
//!
//! Everything that decides is here and in its siblings and does no I/O; `relay` and `serve` move the bytes. So the same path
//! judges a stream, a whole body and a local answer.

use std::sync::{Arc, Mutex};

use http::HeaderMap;
use tokio::sync::Notify;

use super::hold::Hold;
use super::park::Parked;
use super::prepare::{self, Changes};
use super::round::Step;
use super::tools::AtHand;
use crate::act::name::{arguments, name};
use crate::act::slots::{Phase, Ruling, rule, who};
use crate::contract::types::{
    self as wit, Action, BlockMode, Checkpoint, Detail, EventKind, OnTimeout,
};
use crate::gateway::admission::Permit;
use crate::gateway::app::{App, Settings};
use crate::gateway::dialect::{Dialect, Failure, Identity, RequestView};
use crate::gateway::resolve;
use crate::observe::log::{Log, inline};
use crate::observe::tokens::TokenCounter;
use crate::observe::vitals::{Vitals, id};
use crate::policy::seat::Seat;
use crate::reason::plan::Plan;
use crate::reason::round::{By, Heard, Order, Round};
use crate::reason::watch::Watcher;
use crate::session::conversation::{Conversation, Digest};
use crate::session::declared::Declared;
use crate::session::event::{Body, Micros, Outcome, Place, Status, Usage};
use crate::session::ledger::{Settlement, Spend};
use crate::session::state::Session;
use crate::session::timeline::now;

/// An outcome may cause findings, and those more actions: so many times, then the checkpoint ends.
const MAX_DEPTH: usize = 4;

/// What is to become of the exchange.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It is refused.
    Block {
        /// How the client learns of it.
        mode: BlockMode,
        /// Why, for the client.
        reason: String,
        /// Given instead, for a soft block.
        fallback: String,
    },
    /// It ends early with a partial result.
    Stop {
        /// Why.
        reason: String,
        /// 0..1, `None` if unknown.
        confidence: Option<f32>,
        /// Whether held text goes out first.
        keep_held: bool,
        /// Who ordered it.
        by: String,
    },
    /// It is answered in the model's place.
    Answer(String),
    /// The turn ends with a text that says which tool calls were denied, and why.
    Explain(String),
    /// Somebody was asked, and the client cannot wait any longer: it may come again.
    Unanswered(String),
    /// The failed call is repeated.
    Retry {
        /// Upstream; empty: the same.
        upstream: String,
        /// Model; empty: the same.
        model: String,
        /// Wait before it.
        after_ms: u32,
    },
}

/// One exchange.
pub struct Exchange {
    pub(super) app: Arc<App>,
    pub(super) settings: Arc<Settings>,
    pub(super) session: Arc<Session>,
    pub(super) dialect: &'static dyn Dialect,
    /// Its number in the session.
    pub number: u32,
    pub(super) started: Micros,
    pub(super) view: RequestView,
    /// What the request says about itself.
    pub(super) declared: Declared,
    /// Its places at the gates; given back when the exchange is dropped.
    pub(super) permit: Permit,
    /// When it must be over.
    pub(super) deadline: Option<Micros>,
    /// Its deadline has passed.
    pub(super) expired: bool,
    pub(super) body_digest: Digest,
    pub(super) digests: Vec<Digest>,
    pub(super) ids: Vec<u64>,
    pub(super) retry: u32,
    pub(super) attempt: u32,
    pub(super) tokens: TokenCounter,
    pub(super) input_tokens: u32,
    // Policies.
    pub(super) set_version: Option<u64>,
    pub(super) plan: Arc<Plan>,
    pub(super) seats: Vec<Arc<Mutex<Seat>>>,
    pub(super) watchers: Vec<Watcher>,
    pub(super) rules: super::rule::Place,
    pub(super) log: Log,
    pub(super) vitals: Vitals,
    /// Since when the first token of the present attempt is waited for, until the outcome is measured.
    pub(super) asked: Option<Micros>,
    pub(super) phase: Phase,
    pub(super) changes: Changes,
    /// What was decided, once something was.
    pub fate: Option<Fate>,
    // The generation.
    pub(super) hold: Hold,
    pub(super) identity: Identity,
    /// Rounds with an upstream that ended in calls which the client never sees.
    pub(super) steps: Vec<Step>,
    /// Usage of those rounds, and tokens of output counted until the present one began.
    pub(super) prior: Usage,
    pub(super) prior_output: u32,
    /// Offset of the output at which the present round began.
    pub(super) said_from: u32,
    /// What the checkpoint that runs now is about.
    pub(super) at_hand: AtHand,
    /// Whether a tool of the session has a circuit that is not closed.
    pub(super) circuits_open: bool,
    /// What Airlock said after the model.
    pub(super) epilogue: String,
    /// What waits for an answer.
    pub(super) parked: Vec<Parked>,
    /// Rung when the request itself begins to wait.
    pub(super) held: Arc<Notify>,
    /// Until when a client waits that cannot be told that it waits.
    pub(super) patience: Micros,
    /// Items about which people decided in this exchange, by digest: they are not asked about them again.
    pub(super) settled: Vec<Digest>,
    /// Rung when an answer is there.
    pub(super) bell: Arc<Notify>,
    pub(super) upstream: String,
    pub(super) model: String,
    pub(super) finish: Option<String>,
    pub(super) usage: Option<Usage>,
    pub(super) saw_end: bool,
    /// The upstream stated an error in its stream.
    pub(super) saw_error: bool,
    /// The conversation with this request, until the request may be known.
    pub(super) draft: Option<Conversation>,
    pub(super) judged_response: bool,
    pub(super) told_unjudged: bool,
    pub(super) unflushed: Option<Unflushed>,
    /// Tokens of output that were taken from the session's account.
    pub(super) leased: u64,
    /// Tokens of output that were let through, once the session's budget has cut the generation.
    pub(super) cut_at: Option<u32>,
    pub(super) ended: bool,
}

/// Text that arrived and is not on the timeline yet.
pub(super) struct Unflushed {
    pub(super) place: Place,
    pub(super) offset: u32,
    pub(super) text: String,
    pub(super) tokens: u32,
    pub(super) at: Micros,
}

impl Exchange {
    /// Begins an exchange: tells what is new in the request, and runs its checkpoints.
    pub fn begin(
        app: Arc<App>,
        session: Arc<Session>,
        dialect: &'static dyn Dialect,
        view: RequestView,
        body: Digest,
        headers: &HeaderMap,
        declared: Declared,
    ) -> Exchange {
        let at = now();
        let client_retries = resolve::client_retries(headers);
        let patience = Exchange::patience(headers, at);
        let settings = app.settings.load_full();
        let digests: Vec<Digest> = view.messages.iter().map(|m| m.digest()).collect();
        let (number, retry, (told, draft)) = {
            let mut state = session.state();
            let (number, retry) = state.begin(body, client_retries, at);
            (number, retry, state.conversation.draft(&digests))
        };
        let tokens = TokenCounter::for_model(&view.model);
        let mut vitals = Vitals::new(at, session.vitals());
        vitals.around.machine = Arc::clone(&app.machine);
        vitals.around.tool = session.state().newest_tool.clone();
        let circuits_open = session.state().circuits.any();
        let mut exchange = Exchange {
            model: view.model.clone(),
            identity: Identity {
                id: format!("airlock-{}-{number}", session.id.short()),
                model: view.model.clone(),
                created: at / 1_000_000,
                ..Identity::default()
            },
            settings,
            dialect,
            number,
            started: at,
            declared,
            permit: Permit::default(),
            deadline: None,
            expired: false,
            body_digest: body,
            digests,
            ids: told.ids.clone(),
            retry,
            attempt: 0,
            tokens,
            input_tokens: 0,
            set_version: None,
            plan: Arc::new(Plan::default()),
            seats: Vec::new(),
            watchers: Vec::new(),
            rules: super::rule::Place::default(),
            log: Log::default(),
            vitals,
            asked: None,
            phase: Phase::Request,
            changes: Changes::default(),
            fate: None,
            hold: Hold::default(),
            steps: Vec::new(),
            prior: Usage::default(),
            prior_output: 0,
            said_from: 0,
            at_hand: AtHand::default(),
            circuits_open,
            epilogue: String::new(),
            parked: Vec::new(),
            settled: Vec::new(),
            held: Arc::new(Notify::new()),
            patience,
            bell: Arc::new(Notify::new()),
            upstream: String::new(),
            finish: None,
            usage: None,
            saw_end: false,
            saw_error: false,
            draft: Some(draft),
            judged_response: false,
            told_unjudged: false,
            unflushed: None,
            leased: 0,
            cut_at: None,
            ended: false,
            view,
            app,
            session,
        };
        // Answers that came while nobody listened are heard first.
        exchange.session.mailbox.adopt(&exchange.bell);
        exchange.adopt();
        exchange.take_kept();
        exchange.hear();
        if number == 1 && retry == 0 {
            exchange.log.push(
                1,
                at,
                EventKind::SessionOpened,
                "",
                Some(Detail::Session((*exchange.session.facts).clone())),
                None,
            );
            exchange.wake(EventKind::SessionOpened, None);
        }
        exchange.tell_declared(at);
        let from = exchange.log.len();
        let results = prepare::tell(
            &exchange.session,
            number,
            &exchange.view,
            &told,
            &mut exchange.log,
            at,
        );
        let kinds: Vec<EventKind> = exchange
            .log
            .since(from)
            .iter()
            .map(|item| item.kind)
            .collect();
        for kind in kinds {
            exchange.wake(kind, None);
        }
        exchange.vitals.session = exchange.session.vitals();
        exchange.measure_results(from);
        exchange.tell_kept();
        if results {
            exchange.at_hand.results = prepare::results(&exchange.view, &told);
            exchange.checkpoint(Checkpoint::ToolResult);
            exchange.at_hand.results.clear();
        }
        exchange
    }

    /// What the request says about itself: a note on the timeline, and an event of its own for policies that see `other`.
    fn tell_declared(&mut self, at: Micros) {
        let facts = self.declared.facts();
        if facts.is_empty() {
            return;
        }
        let value: serde_json::Map<_, _> = facts.into_iter().map(|(k, v)| (k, v.into())).collect();
        let value = serde_json::Value::Object(value).to_string();
        let seq = self.session.timeline.append(
            self.number,
            Body::Annotation {
                policy: "client".to_owned(),
                name: "declared".to_owned(),
                value: value.clone(),
            },
        );
        let detail = Detail::Other(("declared".to_owned(), value));
        self.log
            .push(seq, at, EventKind::Other, "", Some(detail), None);
        self.wake(EventKind::Other, None);
    }

    /// Tells that the call is about to go to an upstream, and runs the request checkpoint.
    pub fn requested(&mut self, upstream: &str, model: &str) {
        self.attempt += 1;
        (self.upstream, self.model) = (upstream.to_owned(), model.to_owned());
        self.look_around();
        let max_output = self.view.max_output_tokens.unwrap_or_default();
        let seq = self.tell_request();
        let detail = Detail::Request(wit::Request {
            model: model.to_owned(),
            upstream: upstream.to_owned(),
            dialect: self.dialect.name().to_owned(),
            streamed: self.view.streamed,
            messages: self.view.messages.len() as u32,
            tools: self.view.tools.clone(),
            input_tokens: self.input_tokens,
            max_output_tokens: max_output,
            retry: self.retry,
            attempt: self.attempt,
        });
        self.log
            .push(seq, now(), EventKind::Request, "", Some(detail), None);
        self.wake(EventKind::Request, None);
        self.checkpoint(Checkpoint::Request);
    }

    /// The request as it goes to `upstream` now, on the timeline.
    pub(super) fn tell_request(&self) -> u64 {
        self.session.timeline.append(
            self.number,
            Body::Request {
                model: self.model.clone(),
                upstream: self.upstream.clone(),
                dialect: self.dialect.name().to_owned(),
                streamed: self.view.streamed,
                messages: self.view.messages.len() as u32,
                tools: self.view.tools.clone(),
                input_tokens: self.input_tokens,
                max_output_tokens: self.view.max_output_tokens.unwrap_or_default(),
                retry: self.retry,
                attempt: self.attempt,
            },
        )
    }

    /// The call is on its way: from now on the request cannot be changed.
    pub fn sent(&mut self) {
        self.phase = Phase::Waiting;
        self.asked = Some(now());
        self.take_in();
    }

    /// No policy objected to the request: its messages are known from now on, and not told again. Those of a request that
    /// was blocked are: else a client had only to repeat it.
    pub(super) fn take_in(&mut self) {
        if let Some(draft) = self.draft.take() {
            self.session.state().conversation.take_in(draft);
        }
        self.keep_changes(true);
    }

    /// The upstream failed before it generated anything. What policies make of it is in `fate`.
    pub fn failed(&mut self, failure: &Failure, retryable: bool) {
        self.phase = Phase::Failed;
        self.note_failure(failure, retryable);
        self.checkpoint(Checkpoint::Response);
    }

    /// A failure goes on the timeline and wakes who listens for it.
    pub(super) fn note_failure(&mut self, failure: &Failure, retryable: bool) {
        let seq = self.session.timeline.append(
            self.number,
            Body::Failure {
                failure: failure.kind,
                status: failure.status,
                retryable,
                text: failure.message.clone(),
            },
        );
        let detail = Detail::Failure(wit::Failure {
            kind: failure.kind.into(),
            status: failure.status,
            retryable,
        });
        self.log.push(
            seq,
            now(),
            EventKind::Failure,
            inline(&failure.message),
            Some(detail),
            None,
        );
        self.wake(EventKind::Failure, None);
    }

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
            if !woken && (depth > 0 || !self.plan.rules.due(checkpoint)) {
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
            for (order, ruling) in rule(orders, &Arc::clone(&self.plan), self.phase) {
                self.settle_order(&order, ruling);
            }
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
                serde_json::to_value(&pending).unwrap_or_default(),
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

    fn settle_order(&mut self, order: &Order, ruling: Ruling) {
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
        self.intervened(
            name(&order.action),
            &by,
            entry,
            outcome,
            &reason,
            arguments(&order.action),
        );
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

    /// Puts text that arrived on the timeline and into the log.
    pub(super) fn flush(&mut self) {
        let Some(text) = self.unflushed.take() else {
            return;
        };
        let seq = self.session.timeline.append(
            self.number,
            Body::Text {
                place: text.place,
                offset: text.offset,
                text: text.text.clone(),
                bytes: text.text.len() as u32,
                tokens: text.tokens,
            },
        );
        self.log.push_text(
            seq,
            text.at,
            text.place,
            text.offset,
            &text.text,
            text.tokens,
        );
    }

    /// The exchange is over. Accounts are settled and everything that the next one needs is saved. Does nothing the
    /// second time.
    pub fn end(&mut self, status: Status) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.flush();
        let at = now();
        let usage = self.usage_so_far();
        let cost = self.settings.prices.cost_microdollars(&self.model, &usage);
        self.permit
            .settle(u64::from(usage.input) + u64::from(usage.output));
        let ledger = &self.session.ledger;
        let known = self.usage.is_some() || self.prior != Usage::default();
        let settled = match (known, self.phase) {
            (true, _) => ledger.settle(self.number, usage, cost),
            // Nothing was sent, or the upstream refused before it generated anything: nothing was spent.
            (false, Phase::Request | Phase::Failed) => {
                ledger.release(self.number);
                Settlement::default()
            }
            (false, Phase::Waiting | Phase::Generating) => ledger.abandon(self.number),
        };
        let elapsed = at.saturating_sub(self.started);
        self.session.timeline.append(
            self.number,
            Body::ResponseEnd {
                finish: self.finish.clone().unwrap_or_default(),
                model: if self.identity.model.is_empty() {
                    self.model.clone()
                } else {
                    self.identity.model.clone()
                },
                usage,
                cost,
                status,
                elapsed_us: elapsed,
            },
        );
        let limited = !ledger.limits().is_unlimited();
        if limited && (settled.hidden > 0 || settled.over != Spend::default()) {
            self.session.timeline.append(
                self.number,
                Body::Annotation {
                    policy: "ledger".to_owned(),
                    name: "overshoot".to_owned(),
                    value: format!(
                        "{} tokens were billed that were not seen; the session is {} tokens and {} microdollars \
                         beyond its limits",
                        settled.hidden, settled.over.tokens, settled.over.cost
                    ),
                },
            );
        }
        self.session.mailbox.unclaim(&self.bell);
        self.keep_fired();
        self.keep_changes(false);
        self.remember(status);
        for (policy, fault) in self.session.settle(self.number, elapsed) {
            tracing::warn!(%policy, %fault, session = %self.session.id, "policy could not save its state");
            self.session.timeline.append(
                self.number,
                Body::PolicyFault {
                    generation: self
                        .plan
                        .entries
                        .iter()
                        .find(|g| *g.name == *policy)
                        .map_or(0, |g| g.number),
                    policy,
                    fault: fault.kind.as_str().to_owned(),
                    text: fault.message,
                    on_failure: "open".to_owned(),
                },
            );
        }
    }

    /// Thresholds of the session's vitals stay crossed from one exchange to the next; those of an exchange do not.
    fn keep_fired(&self) {
        let mut state = self.session.state();
        for watcher in self.watchers.iter().filter(|w| !w.fired.is_empty()) {
            let (Some(generation), Some(wants)) = (
                self.plan.entries.get(watcher.entry),
                self.plan.wants.get(watcher.entry),
            ) else {
                continue;
            };
            let thresholds = wants.thresholds.iter().zip(&watcher.fired);
            let fired = thresholds
                .map(|((vital, _), fired)| *fired && *vital >= id::SESSION_ELAPSED)
                .collect();
            state.fired.insert(Arc::clone(&generation.name), fired);
        }
    }

    /// Tokens of all rounds, as the provider stated them, else as they were counted.
    pub(super) fn usage_so_far(&self) -> Usage {
        let prior = self.prior;
        let now = self.round_usage();
        if prior == Usage::default() {
            return now;
        }
        Usage {
            input: prior.input.saturating_add(now.input),
            output: prior.output.saturating_add(now.output),
            cached: prior.cached.saturating_add(now.cached),
            reasoning: prior.reasoning.saturating_add(now.reasoning),
            exact: prior.exact && now.exact,
        }
    }

    /// Tokens of the present round.
    pub(super) fn round_usage(&self) -> Usage {
        self.usage.unwrap_or(Usage {
            input: match self.phase {
                Phase::Request | Phase::Failed => 0,
                Phase::Waiting | Phase::Generating => self.prompt_tokens(),
            },
            // The token at which a budget ends was generated and is withheld: the account does not hold it.
            output: self
                .cut_at
                .unwrap_or(self.vitals.output_tokens)
                .saturating_sub(self.prior_output),
            exact: false,
            ..Usage::default()
        })
    }
}

impl Drop for Exchange {
    /// Whoever drops an exchange that has not ended has lost its client. A client that has read the last frame may close
    /// before the upstream does: that is a good end.
    fn drop(&mut self) {
        let whole = self.saw_end && self.judged_response && self.hold.bytes() == 0;
        self.end(if whole {
            Status::Complete
        } else {
            Status::Disconnected
        });
    }
}

impl From<Outcome> for wit::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Applied => Self::Applied,
            Outcome::Refused => Self::Refused,
            Outcome::Superseded => Self::Superseded,
            Outcome::TooLate => Self::TooLate,
            Outcome::Failed => Self::Failed,
            Outcome::WouldApply => Self::WouldApply,
        }
    }
}

impl From<crate::session::event::FailureKind> for wit::FailureKind {
    fn from(kind: crate::session::event::FailureKind) -> Self {
        use crate::session::event::FailureKind as Kind;
        match kind {
            Kind::Upstream => Self::Upstream,
            Kind::Timeout => Self::Timeout,
            Kind::RateLimit => Self::RateLimit,
            Kind::Overloaded => Self::Overloaded,
            Kind::ContextLength => Self::ContextLength,
            Kind::Cancelled => Self::Cancelled,
            Kind::Tool => Self::Tool,
            Kind::Connection => Self::Connection,
            Kind::Policy => Self::Policy,
            Kind::Other => Self::Other,
        }
    }
}
