//! A session's questions that are under way, and their answers until an exchange takes them.
//!
//! Policies never wait, so an answer may come when the exchange in which it was asked for is over. Guarantees: an answer is
//! taken once; whoever waits for it is woken, whichever of the two comes first; the tickets of an exchange that ended belong to
//! nobody, and the next one takes them over; questions and untaken answers are a part of the session's saved state.
//!
//! Not here: who answers, and when a question is given up ([`crate::ask`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::quota::{OverQuota, Quotas};
use crate::event::Micros;
use crate::event::clock::now;
use airlock_policy::contract::types::{self as wit, AnswerValue, Detail};
use airlock_policy::spec::AskQuota;

/// Questions of a session that models answer at once, and as many that people answer. An agent's step that asks more is
/// better asked in one question.
pub const UNDER_WAY: usize = 8;

/// How long a ticket is kept for the exchange that was given it. It claims the ticket when the policy's call has returned,
/// which takes milliseconds; an exchange that was dropped in between never does.
const CLAIM_GRACE_US: Micros = 10_000_000;

/// Answers of a session's questions until somebody takes them.
#[derive(Default)]
pub struct Mailbox {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    questions: BTreeMap<u64, Entry>,
    quotas: Quotas,
}

/// A question that was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Policy that asked.
    pub policy: String,
    /// Name of the target.
    pub target: String,
    /// Number of the exchange in which it asked.
    pub exchange: u32,
    /// When.
    pub asked: Micros,
    /// When it is given up. People answer until their own desk says so.
    pub deadline: Micros,
    /// Whether people answer.
    pub people: bool,
    /// Name of the approval under which people answer; `None` until they are asked.
    pub approval: Option<String>,
    /// The answer, once it is there.
    answer: Option<Arrived>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Arrived {
    value: AnswerValue,
    seq: u64,
    at: Micros,
}

struct Entry {
    question: Question,
    owner: Owner,
    /// It comes from saved state, and nobody looks after it yet.
    orphan: bool,
}

/// Who takes the answer.
enum Owner {
    /// The exchange whose policy's call has not returned yet.
    Asking,
    /// The exchange with this bell, if it is still there.
    Exchange(Weak<Notify>),
}

/// An answer that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// As the policy was given it.
    pub ticket: u64,
    /// Policy that asked.
    pub policy: String,
    /// What was said.
    pub value: AnswerValue,
    /// When it was asked.
    pub asked: Micros,
    /// Sequence number of the answer on the timeline.
    pub seq: u64,
    /// When the answer came.
    pub at: Micros,
}

impl Answered {
    /// What the policy is told; `subject` waits for it.
    pub fn detail(&self, subject: wit::Subject) -> Detail {
        Detail::Answer(wit::Answer {
            ticket: self.ticket,
            subject,
            value: self.value.clone(),
        })
    }
}

/// What outlives the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedMailbox {
    questions: Vec<(u64, Question)>,
    /// Questions so far, by policy.
    asked: BTreeMap<String, u32>,
}

/// Why a question cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The policy asked too often.
    #[error(transparent)]
    Quota(#[from] OverQuota),
    /// Too many questions wait.
    #[error(
        "{UNDER_WAY} questions of this session wait for an answer already: ask again when one has come"
    )]
    UnderWay,
}

impl Question {
    /// A question of a policy that is sent now and is to be answered until `deadline`.
    pub fn new(policy: &str, target: &str, exchange: u32, deadline: Micros, people: bool) -> Self {
        Self {
            policy: policy.to_owned(),
            target: target.to_owned(),
            exchange,
            asked: now(),
            deadline,
            people,
            approval: None,
            answer: None,
        }
    }
}

impl Mailbox {
    /// A question is about to be sent.
    ///
    /// # Errors
    /// It must not be; nothing has changed.
    pub fn open(&self, ticket: u64, question: Question, quota: AskQuota) -> Result<(), Refused> {
        let mut inner = self.lock();
        let waits = |entry: &&Entry| {
            entry.question.answer.is_none() && entry.question.people == question.people
        };
        if inner.questions.values().filter(waits).count() >= UNDER_WAY {
            return Err(Refused::UnderWay);
        }
        inner.quotas.take(&question.policy, quota, question.asked)?;
        let entry = Entry {
            question,
            owner: Owner::Asking,
            orphan: false,
        };
        inner.questions.insert(ticket, entry);
        Ok(())
    }

    /// People were asked, under this name.
    pub fn before_people(&self, ticket: u64, approval: String) {
        if let Some(entry) = self.lock().questions.get_mut(&ticket) {
            entry.question.approval = Some(approval);
        }
    }

    /// The answer came; `seq` is its place on the timeline. Only the first one counts.
    pub fn answer(&self, ticket: u64, value: AnswerValue, seq: u64, at: Micros) {
        let mut inner = self.lock();
        let Some(entry) = inner.questions.get_mut(&ticket) else {
            return;
        };
        if entry.question.answer.is_none() {
            entry.question.answer = Some(Arrived { value, seq, at });
            entry.ring();
        }
    }

    /// The exchange with this bell waits for these tickets. The bell is rung (`notify_one`) when one is answered; at once if
    /// it already is.
    pub fn claim(&self, tickets: &[u64], bell: &Arc<Notify>) {
        let mut inner = self.lock();
        for ticket in tickets {
            if let Some(entry) = inner.questions.get_mut(ticket) {
                entry.give_to(bell);
            }
        }
    }

    /// The exchange ended: its tickets belong to nobody. The same happens when its bell is dropped.
    pub fn unclaim(&self, bell: &Arc<Notify>) {
        for entry in self.lock().questions.values_mut() {
            if entry.is_of(bell) {
                entry.owner = Owner::Exchange(Weak::new());
            }
        }
    }

    /// Gives the tickets that belong to nobody to the exchange with this bell, as by [`Mailbox::claim`], and says which.
    pub fn adopt(&self, bell: &Arc<Notify>) -> Vec<u64> {
        self.adopt_at(bell, now())
    }

    fn adopt_at(&self, bell: &Arc<Notify>, at: Micros) -> Vec<u64> {
        let mut inner = self.lock();
        let free = inner.questions.iter_mut();
        free.filter(|(_, entry)| entry.is_nobodys(at))
            .map(|(ticket, entry)| {
                entry.give_to(bell);
                *ticket
            })
            .collect()
    }

    /// What has been answered of the tickets of the exchange with this bell, in the order in which the answers came.
    pub fn take(&self, bell: &Arc<Notify>) -> Vec<Answered> {
        let mut inner = self.lock();
        let mut taken: Vec<Answered> = inner
            .questions
            .extract_if(.., |_, entry| {
                entry.question.answer.is_some() && entry.is_of(bell)
            })
            .filter_map(|(ticket, entry)| {
                let answer = entry.question.answer?;
                Some(Answered {
                    ticket,
                    policy: entry.question.policy,
                    value: answer.value,
                    asked: entry.question.asked,
                    seq: answer.seq,
                    at: answer.at,
                })
            })
            .collect();
        taken.sort_by_key(|answered| (answered.at, answered.ticket));
        taken
    }

    /// Whether this is a ticket of this policy whose answer has not been taken.
    pub fn knows(&self, policy: &str, ticket: u64) -> bool {
        let inner = self.lock();
        let entry = inner.questions.get(&ticket);
        entry.is_some_and(|entry| entry.question.policy == policy)
    }

    /// Questions without an answer that come from saved state: each is told once, to whoever looks after it from now on.
    pub fn orphans(&self) -> Vec<(u64, Question)> {
        let mut inner = self.lock();
        let orphans = inner.questions.iter_mut().filter(|(_, entry)| entry.orphan);
        orphans
            .map(|(ticket, entry)| {
                entry.orphan = false;
                (*ticket, entry.question.clone())
            })
            .collect()
    }

    /// What the next process needs.
    pub fn save(&self) -> SavedMailbox {
        let inner = self.lock();
        let questions = inner.questions.iter();
        SavedMailbox {
            questions: questions
                .map(|(ticket, entry)| (*ticket, entry.question.clone()))
                .collect(),
            asked: inner.quotas.save(),
        }
    }

    /// Goes on from what was saved.
    pub fn resume(&self, saved: SavedMailbox) {
        let mut inner = self.lock();
        inner.quotas = Quotas::resume(saved.asked);
        inner.questions = saved
            .questions
            .into_iter()
            .map(|(ticket, question)| {
                let entry = Entry {
                    orphan: question.answer.is_none(),
                    owner: Owner::Exchange(Weak::new()),
                    question,
                };
                (ticket, entry)
            })
            .collect();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each change is whole before the next statement that could panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn give_to(&mut self, bell: &Arc<Notify>) {
        self.owner = Owner::Exchange(Arc::downgrade(bell));
        if self.question.answer.is_some() {
            self.ring();
        }
    }

    /// A bell keeps one ring until somebody listens, so none is lost between a look into the mailbox and the wait.
    fn ring(&self) {
        if let Owner::Exchange(bell) = &self.owner
            && let Some(bell) = bell.upgrade()
        {
            bell.notify_one();
        }
    }

    fn is_of(&self, bell: &Arc<Notify>) -> bool {
        matches!(&self.owner, Owner::Exchange(owner) if std::ptr::eq(owner.as_ptr(), Arc::as_ptr(bell)))
    }

    fn is_nobodys(&self, at: Micros) -> bool {
        match &self.owner {
            Owner::Asking => self.question.asked + CLAIM_GRACE_US <= at,
            Owner::Exchange(bell) => bell.strong_count() == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::time::Duration;

    use super::*;

    fn mailbox(tickets: &[u64]) -> Mailbox {
        let mailbox = Mailbox::default();
        for ticket in tickets {
            let question = Question::new("p", "judge", 1, 0, false);
            mailbox
                .open(*ticket, question, AskQuota::default())
                .unwrap();
        }
        mailbox
    }

    fn say(mailbox: &Mailbox, ticket: u64, text: &str) {
        mailbox.answer(ticket, AnswerValue::Text(text.into()), ticket * 10, ticket);
    }

    fn taken(mailbox: &Mailbox, bell: &Arc<Notify>) -> Vec<u64> {
        let taken = mailbox.take(bell);
        taken.iter().map(|answered| answered.ticket).collect()
    }

    async fn rings(bell: &Notify) -> bool {
        let wait = tokio::time::timeout(Duration::ZERO, bell.notified());
        wait.await.is_ok()
    }

    #[tokio::test]
    async fn an_answer_wakes_whoever_waits_whichever_comes_first() {
        let (mailbox, bell) = (mailbox(&[1, 2]), Arc::new(Notify::new()));
        say(&mailbox, 1, "early");
        mailbox.claim(&[1, 2, 99], &bell);
        assert!(rings(&bell).await, "it was there before the claim");
        assert_eq!(taken(&mailbox, &bell), [1]);
        assert!(!rings(&bell).await);
        say(&mailbox, 2, "late");
        assert!(rings(&bell).await, "nobody was listening at that moment");
        let answers = mailbox.take(&bell);
        assert_eq!(answers[0].value, AnswerValue::Text("late".into()));
        assert_eq!((answers[0].seq, answers[0].policy.as_str()), (20, "p"));
        assert!(
            matches!(answers[0].detail(wit::Subject::Request), Detail::Answer(a) if a.ticket == 2)
        );
        assert_eq!(mailbox.take(&bell), [], "taken once");
    }

    #[tokio::test]
    async fn what_an_exchange_leaves_the_next_one_takes_over() {
        let mailbox = mailbox(&[1, 2, 3]);
        let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        mailbox.claim(&[1, 2], &first);
        assert_eq!(
            mailbox.adopt(&second),
            [0; 0],
            "they are somebody's, or about to be"
        );
        say(&mailbox, 1, "one");
        mailbox.unclaim(&first);
        assert_eq!(taken(&mailbox, &first), [0; 0]);
        assert_eq!(mailbox.adopt(&second), [1, 2]);
        assert!(rings(&second).await, "one of them is answered");
        assert_eq!(taken(&mailbox, &second), [1]);
        // An exchange that was dropped without a word, and one that never claimed.
        drop(second);
        let third = Arc::new(Notify::new());
        assert_eq!(mailbox.adopt_at(&third, now() + CLAIM_GRACE_US), [2, 3]);
    }

    #[test]
    fn a_ticket_is_known_to_its_policy_alone_until_its_answer_is_taken() {
        let (mailbox, bell) = (mailbox(&[1]), Arc::new(Notify::new()));
        assert!(mailbox.knows("p", 1) && !mailbox.knows("q", 1) && !mailbox.knows("p", 2));
        mailbox.claim(&[1], &bell);
        say(&mailbox, 1, "x");
        assert!(mailbox.knows("p", 1));
        mailbox.take(&bell);
        assert!(!mailbox.knows("p", 1));
    }

    #[test]
    fn only_the_first_answer_counts() {
        let (mailbox, bell) = (mailbox(&[1]), Arc::new(Notify::new()));
        mailbox.claim(&[1], &bell);
        say(&mailbox, 1, "first");
        say(&mailbox, 1, "second");
        assert_eq!(
            mailbox.take(&bell)[0].value,
            AnswerValue::Text("first".into())
        );
    }

    #[test]
    fn so_many_may_wait_and_answered_ones_do_not_count() {
        let tickets: Vec<u64> = (1..=UNDER_WAY as u64).collect();
        let mailbox = mailbox(&tickets);
        let ask = |ticket, people| {
            mailbox.open(
                ticket,
                Question::new("p", "t", 1, 0, people),
                AskQuota::default(),
            )
        };
        assert_eq!(ask(50, false), Err(Refused::UnderWay));
        assert_eq!(
            ask(51, true),
            Ok(()),
            "people are slower, and counted apart"
        );
        say(&mailbox, 1, "x");
        assert_eq!(ask(52, false), Ok(()));
    }

    #[test]
    fn questions_answers_and_quotas_outlive_the_process() {
        let before = mailbox(&[1, 2]);
        before.before_people(2, "abc".into());
        say(&before, 1, "x");
        let bytes = serde_json::to_vec(&before.save()).unwrap();

        let after = Mailbox::default();
        after.resume(serde_json::from_slice(&bytes).unwrap());
        let orphans = after.orphans();
        assert_eq!(orphans.len(), 1, "an answer needs nobody");
        assert_eq!(
            (orphans[0].0, orphans[0].1.approval.as_deref()),
            (2, Some("abc"))
        );
        assert_eq!(after.orphans(), [], "told once");
        let bell = Arc::new(Notify::new());
        assert_eq!(after.adopt(&bell), [1, 2]);
        assert_eq!(taken(&after, &bell), [1]);
        let quota = AskQuota {
            per_session: 2,
            ..AskQuota::default()
        };
        let third = after.open(3, Question::new("p", "t", 1, 0, false), quota);
        assert!(matches!(third, Err(Refused::Quota(_))), "{third:?}");
    }
}
