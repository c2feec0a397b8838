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
use crate::act::record::Room;
use crate::contract::types::{self as wit, BlockMode, Checkpoint, Detail, EventKind};
use crate::dialect::{ClientError, Dialect, Failure, Identity, OwnTurn, RequestView};
use crate::event::clock::now;
use crate::event::declared::Declared;
use crate::event::digest::Digest;
use crate::event::phase::Phase;
use crate::event::{Body, Micros, Place, Usage};
use crate::gateway::admission::Permit;
use crate::gateway::app::App;
use crate::gateway::resolve;
use crate::gateway::settings::Settings;
use crate::observe::log::{Log, inline};
use crate::observe::tokens::TokenCounter;
use crate::observe::vitals::Vitals;
use crate::policy::seat::Seat;
use crate::reason::plan::Plan;
use crate::reason::watch::Watcher;
use crate::session::conversation::Conversation;
use crate::session::state::Session;

/// What is to become of the exchange.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It is refused.
    Block {
        /// How the client learns of it.
        mode: BlockMode,
        /// Who ordered it; empty: Airlock itself.
        by: String,
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
    /// Airlock itself cannot let it go on: the budget is used up, or cannot be kept.
    Refused(ClientError),
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
    /// What only correlates its calls with others.
    pub(super) weak: Option<Digest>,
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
    /// What the timeline may still keep of orders that are not carried out.
    pub(super) room: Room,
    // The generation.
    pub(super) hold: Hold,
    pub(super) identity: Identity,
    /// Rounds with an upstream that ended in calls which the client never sees.
    pub(super) steps: Vec<Step>,
    /// The turn of the present round as its upstream writes it.
    pub(super) own: OwnTurn,
    /// Usage of those rounds, and tokens of output counted until the present one began.
    pub(super) prior: Usage,
    pub(super) prior_output: u32,
    /// Tokens of output counted until the usage was stated last.
    pub(super) stated_at: u32,
    /// What they cost, each at the model that it went to, microdollars.
    pub(super) prior_cost: Option<u64>,
    /// Offset of the output at which the present round began.
    pub(super) said_from: u32,
    /// What the checkpoint that runs now is about.
    pub(super) at_hand: AtHand,
    /// Whether a tool of the session has a circuit that is not closed.
    pub(super) circuits_open: bool,
    /// What Airlock said after the model.
    pub(super) epilogue: String,
    /// What the client was given in place of what the model said.
    pub(super) given: Option<String>,
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
    /// The upstream stated an error in its stream or body, with this status; 0 if it gave none.
    pub(super) error_status: Option<u16>,
    /// The conversation with this request, until the request may be known.
    pub(super) draft: Option<Conversation>,
    pub(super) judged_response: bool,
    pub(super) told_unjudged: bool,
    pub(super) unflushed: Option<Unflushed>,
    /// Tokens of output that were taken from the session's account.
    pub(super) leased: u64,
    /// Tokens that the session's budget left for the answer, if it has one.
    pub(super) answer_room: Option<u64>,
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
    /// Begins an exchange: tells what is new in the request, and runs its checkpoints. The settings are those with which the
    /// call arrived; it sees no others.
    pub fn begin(
        (app, settings): (Arc<App>, Arc<Settings>),
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
            weak: resolve::weak(headers, &view),
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
            room: Room::default(),
            hold: Hold::default(),
            steps: Vec::new(),
            own: OwnTurn::default(),
            prior: Usage::default(),
            prior_output: 0,
            stated_at: 0,
            prior_cost: None,
            said_from: 0,
            at_hand: AtHand::default(),
            circuits_open,
            epilogue: String::new(),
            given: None,
            parked: Vec::new(),
            settled: Vec::new(),
            held: Arc::new(Notify::new()),
            patience,
            bell: Arc::new(Notify::new()),
            upstream: String::new(),
            finish: None,
            usage: None,
            saw_end: false,
            error_status: None,
            draft: Some(draft),
            judged_response: false,
            told_unjudged: false,
            unflushed: None,
            leased: 0,
            cut_at: None,
            answer_room: None,
            ended: false,
            view,
            app,
            session,
        };
        if retry > 0 && exchange.session.state().was_cut(number) {
            exchange.fate = Some(Fate::Block {
                mode: BlockMode::Abort,
                by: String::new(),
                reason: "the call that this one repeats was cut".to_owned(),
                fallback: String::new(),
            });
        }
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
}
