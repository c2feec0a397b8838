//! Questions of policies, and who answers them: a configured model, or people.
//!
//! A policy never waits: it gets a ticket, and the answer comes to its session's [`Mailbox`]. Guarantees: every question that
//! got a ticket is answered, if only by `failed` at its deadline; a model's answer is charged to the session's ledger, taken
//! beforehand as for any call; no policy judges a question's own model call, so nothing recurses; question and answer stand on
//! the timeline. Questions to people outlive the process, those to models are answered `failed` after a restart.
//!
//! Bounded: [`PROCESS`] model calls at once, [`UNDER_WAY`](airlock_core::session::mailbox::UNDER_WAY) questions a session, the
//! policy's quota, [`QUESTION_BYTES`] a question. Not here: whether a policy may ask a target at all (its grants), and what
//! waits for the answer (the exchange).

use airlock_policy::Ask;
use airlock_policy::Asker;
use airlock_policy::contract::types::{AnswerValue, Refusal, RefusalKind};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::ask::settings::AskConfig;
use airlock_core::event::clock::now;
use airlock_core::event::{Body, Micros};
use airlock_core::people::{ApprovalId, Desk};
use airlock_core::session::state::Session;

mod answer;
mod call;
mod means;
mod model;
mod people;
mod reply;
pub mod settings;
#[cfg(test)]
mod tests;

pub use airlock_core::session::mailbox::{Answered, Mailbox, Question};
pub use call::QUESTION_BYTES;
pub use means::Means;

use answer::{Told, answer};
use call::Call;

/// Model calls for questions at once, in the process: they must not crowd out the agents' own calls.
pub const PROCESS: usize = 64;

/// Bytes of a question's text on the timeline.
const RECORDED_BYTES: usize = 4096;

/// Takes the questions of all sessions. One for the process.
pub struct Asks {
    people: Arc<Desk>,
    means: ArcSwap<Means>,
    running: Arc<Semaphore>,
    newest_ticket: Mutex<u64>,
    /// Policies may be called on threads that are not the runtime's.
    runtime: Handle,
}

/// Takes the questions of one session. Holds neither part: the session holds its seats, and they hold this.
struct SessionAsker {
    asks: Weak<Asks>,
    session: Weak<Session>,
}

impl Asker for SessionAsker {
    fn ask(&self, ask: Ask<'_>) -> Result<u64, Refusal> {
        match (self.asks.upgrade(), self.session.upgrade()) {
            (Some(asks), Some(session)) => asks.send(&session, ask),
            _ => Err(other("Airlock is stopping".to_owned())),
        }
    }
}

fn over_limit(message: String) -> Refusal {
    let kind = RefusalKind::OverLimit;
    Refusal { kind, message }
}

fn other(message: String) -> Refusal {
    let kind = RefusalKind::Other;
    Refusal { kind, message }
}

impl Asks {
    /// Questions to people go to their desk. Must be called on a runtime; answers are waited for there.
    pub fn new(people: Arc<Desk>, means: Means) -> Arc<Self> {
        Arc::new(Self {
            people,
            means: ArcSwap::from_pointee(means),
            running: Arc::new(Semaphore::new(PROCESS)),
            newest_ticket: Mutex::new(0),
            runtime: Handle::current(),
        })
    }

    /// Another configuration is in force. Questions under way end on the old one.
    pub fn set(&self, means: Means) {
        self.means.store(Arc::new(means));
    }

    /// Who takes the questions of this session. Those that come from its saved state are looked after from now on.
    pub fn asker(self: &Arc<Self>, session: &Arc<Session>) -> Arc<dyn Asker> {
        for (ticket, question) in session.mailbox.orphans() {
            match question.approval.as_ref().and_then(|id| id.parse().ok()) {
                Some(id) => self.await_people(session, ticket, question, id),
                None => {
                    let why = "Airlock was restarted before the answer came".to_owned();
                    answer(session, ticket, &question, AnswerValue::Failed(why).into());
                }
            }
        }
        Arc::new(SessionAsker {
            asks: Arc::downgrade(self),
            session: Arc::downgrade(session),
        })
    }

    fn send(&self, session: &Arc<Session>, ask: Ask<'_>) -> Result<u64, Refusal> {
        let means = self.means.load_full();
        let found = means.targets.iter().find(|(name, _)| name == ask.target);
        let (_, target) = found.ok_or_else(|| Refusal {
            kind: RefusalKind::Unknown,
            message: format!(
                "there is no target `{0}`: add [ask.{0}] to the configuration",
                ask.target
            ),
        })?;
        if target.people {
            self.to_people(session, ask, target)
        } else {
            self.to_model(session, ask, target.clone(), means.clone())
        }
    }

    fn to_people(
        &self,
        session: &Arc<Session>,
        ask: Ask<'_>,
        target: &AskConfig,
    ) -> Result<u64, Refusal> {
        people::check(&ask.question).map_err(other)?;
        let ticket = self.ticket();
        let wait = within(target.timeout(), ask.deadline_ms);
        let until = wait.map_or(Micros::MAX, |wait| now().saturating_add(micros(wait)));
        let mut question = Question::new(ask.policy, ask.target, ask.exchange, until, true);
        let opened = session.mailbox.open(ticket, question.clone(), ask.quota);
        opened.map_err(|refused| over_limit(refused.to_string()))?;
        let approval = self
            .people
            .put(people::new(session.id, &ask, wait).map_err(other)?);
        question.deadline = until.min(approval.deadline);
        session
            .timeline
            .append(ask.exchange, asked(ticket, &ask, question.deadline));
        if approval.is_open() {
            session
                .mailbox
                .before_people(ticket, approval.id.to_string());
            self.await_people(session, ticket, question, approval.id);
        } else {
            // The same question was decided a short while ago, or no more may wait.
            answer(session, ticket, &question, people::said(&approval).into());
        }
        Ok(ticket)
    }

    fn to_model(
        &self,
        session: &Arc<Session>,
        ask: Ask<'_>,
        target: AskConfig,
        means: Arc<Means>,
    ) -> Result<u64, Refusal> {
        let call = Call::new(&ask.question, &target).map_err(other)?;
        let permit = Arc::clone(&self.running).try_acquire_owned();
        let permit = permit.map_err(|_| {
            over_limit(format!(
                "{PROCESS} questions to models are under way in this process: ask again later"
            ))
        })?;
        let ticket = self.ticket();
        let wait = within(target.timeout(), ask.deadline_ms).unwrap_or_default();
        let until = now().saturating_add(micros(wait));
        let question = Question::new(ask.policy, ask.target, ask.exchange, until, false);
        let opened = session.mailbox.open(ticket, question.clone(), ask.quota);
        opened.map_err(|refused| over_limit(refused.to_string()))?;
        session
            .timeline
            .append(ask.exchange, asked(ticket, &ask, until));
        // It keeps the session awake, for as long as the target may take.
        let session = Arc::clone(session);
        self.runtime.spawn(async move {
            let told = model::ask(&means, &target, &call, &session.ledger, ticket, wait).await;
            drop(permit);
            answer(&session, ticket, &question, told);
        });
        Ok(ticket)
    }

    /// People may take hours, and the session may sleep meanwhile: it is not kept awake. What they decided is found when it
    /// wakes.
    fn await_people(
        &self,
        session: &Arc<Session>,
        ticket: u64,
        question: Question,
        id: ApprovalId,
    ) {
        let (desk, session) = (Arc::clone(&self.people), Arc::downgrade(session));
        self.runtime.spawn(async move {
            let value = people::decision(&desk, id, question.deadline).await;
            if let Some(session) = session.upgrade() {
                answer(&session, ticket, &question, Told::from(value));
            }
        });
    }

    /// Microseconds since the epoch, so that a ticket is another one after a restart too; strictly increasing.
    fn ticket(&self) -> u64 {
        let mut newest = self
            .newest_ticket
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *newest = now().max(*newest + 1);
        *newest
    }
}

/// The policy's deadline, if it states one, and no more than the target allows.
fn within(most: Option<Duration>, deadline_ms: u32) -> Option<Duration> {
    let stated = (deadline_ms > 0).then(|| Duration::from_millis(deadline_ms.into()));
    match (most, stated) {
        (Some(most), Some(stated)) => Some(most.min(stated)),
        (most, stated) => most.or(stated),
    }
}

fn micros(wait: Duration) -> Micros {
    u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)
}

fn asked(ticket: u64, ask: &Ask<'_>, deadline: Micros) -> Body {
    let (kind, mut text) = call::describe(&ask.question);
    let bytes = text.len() as u64;
    text.truncate(text.floor_char_boundary(RECORDED_BYTES));
    Body::Asked {
        policy: ask.policy.to_owned(),
        ticket,
        target: ask.target.to_owned(),
        question: kind.to_owned(),
        text,
        bytes,
        deadline,
    }
}
