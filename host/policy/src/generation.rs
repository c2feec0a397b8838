//! One loaded version of a policy, and the set of those that serve.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::fault::{Fault, FaultKind};
use super::health::{Change, Counts, Health, State};
use super::host::{Host, LogGate};
use super::limits::Limits;
use super::program::{Instance, Program};
use super::services::{SavedState, Services};
use super::spec::{AskQuota, Grants, Mode, Move, OnFailure};
use crate::contract::{types, weight};

/// Calls kept of each generation, to rehearse its successor with.
const RECENT_CALLS: usize = 16;
/// After the first ones, of so many calls one is kept: rehearsal wants a sample, and each one kept costs more than its
/// share of a short call.
const RECENT_EVERY: u32 = 16;
/// Larger calls are not kept.
const RECENT_BYTES: usize = 64 << 10;

/// The policies that serve, in the configured order (order, then name). Immutable: a change publishes a new set.
#[derive(Debug, Default)]
pub struct PolicySet {
    /// Counts the sets published since start.
    pub version: u64,
    /// The policies.
    pub entries: Vec<Arc<Generation>>,
}

impl PolicySet {
    /// The serving generation of a policy.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Generation>> {
        self.entries.iter().find(|g| &*g.name == name)
    }
}

/// One loaded version of a policy: a component, its settings and its grants.
pub struct Generation {
    /// Name under which it is configured.
    pub name: Arc<str>,
    /// Counts this policy's generations since start, from 1.
    pub number: u32,
    /// SHA-256 of the component, hexadecimal.
    pub digest: String,
    /// When it was loaded, microseconds since the Unix epoch.
    pub since: u64,
    /// What it says of itself.
    pub description: types::Description,
    /// What it wants under its settings.
    pub subscription: types::Subscription,
    /// Whether its word is law.
    pub mode: Mode,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// What sessions on an earlier generation do.
    pub on_reload: Move,
    /// Place among the policies.
    pub order: i32,
    /// Whether Airlock must not serve without it.
    pub required: bool,
    /// What it may see and order.
    pub grants: Arc<Grants>,
    /// How often it may ask.
    pub ask_quota: AskQuota,
    /// Actions and targets that it asks for and was not granted.
    pub ungranted: Vec<String>,
    /// Its settings, JSON.
    pub settings: Arc<str>,
    /// SHA-256 of the settings, first 16 hexadecimal digits.
    pub settings_digest: String,
    /// Whether it exports `reasoning`.
    pub reasons: bool,
    /// Whether it exports `acting`.
    pub acts: bool,
    /// What one of its instances may use up.
    pub limits: Limits,
    pub(super) program: Program,
    pub(super) health: Health,
    pub(super) gate: Arc<LogGate>,
    pub(super) recent: Mutex<Recent>,
    pub(super) previous: ArcSwapOption<Generation>,
    pub(super) overseer: OnceLock<Weak<dyn Overseer>>,
    /// Content and settings that it was made of: what the registry compares to see whether anything changed.
    pub(super) key: String,
}

/// Calls kept for rehearsal, oldest first, and how many there were.
#[derive(Default)]
pub(super) struct Recent {
    calls: u32,
    kept: VecDeque<(Arc<types::Facts>, Arc<Told>)>,
}

/// Who is told when a generation's health changes.
pub(super) trait Overseer: Send + Sync {
    fn changed(&self, generation: &Generation, change: Change, fault: Option<&Fault>);
}

/// What a policy was told in one call.
#[derive(Debug)]
pub(super) enum Told {
    Batch(Arc<types::Batch>),
    Situation(types::Situation),
}

impl Told {
    pub(super) fn batch(&self) -> &types::Batch {
        match self {
            Self::Batch(batch) => batch,
            Self::Situation(situation) => &situation.batch,
        }
    }

    /// Roughly what keeping it costs.
    pub(super) fn bytes(&self) -> usize {
        let batch = self.batch();
        let attached = batch.attached.as_ref().map_or(0, |attached| {
            let details: usize = attached.details.iter().map(weight::detail).sum();
            details + size_of_val(attached.matches.as_slice())
        });
        let findings: usize = match self {
            Self::Batch(_) => 0,
            Self::Situation(situation) => situation.findings.iter().map(weight::reported).sum(),
        };
        batch.text.len() + size_of_val(batch.events.as_slice()) + attached + findings
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.name, self.number)
    }
}

impl Generation {
    /// Whether it may order this action. What it may not order is refused, and recorded, by the caller.
    #[must_use]
    pub fn may(&self, action: &str) -> bool {
        self.grants.actions.iter().any(|a| a == action)
    }

    /// Whether it may be told events of this kind.
    #[must_use]
    pub fn sees(&self, kind: types::EventKind) -> bool {
        self.grants.sees(kind)
    }

    /// Whether its word is law: its release marks hold text, its actions are applied.
    #[must_use]
    pub fn enforces(&self) -> bool {
        self.mode == Mode::Enforce
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        if self.health.withdrawn() {
            State::Retired
        } else {
            self.health.state()
        }
    }

    /// Calls, faults and latency so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.health.counts()
    }

    /// The newest fault.
    #[must_use]
    pub fn last_fault(&self) -> Option<String> {
        self.health.last_fault()
    }

    /// The generation that it replaced, if that one could still serve.
    #[must_use]
    pub fn previous(&self) -> Option<Arc<Self>> {
        self.previous.load_full()
    }

    /// A new instance with a session opened in it.
    pub(super) fn open(
        &self,
        facts: &Arc<types::Facts>,
        services: &Services,
        saved: Option<&SavedState>,
    ) -> Result<Instance, Fault> {
        let host = Host::new(
            Arc::clone(&self.name),
            Arc::clone(facts),
            services.clone(),
            Arc::clone(&self.grants),
            self.ask_quota,
            Arc::clone(&self.gate),
            &self.limits,
        );
        self.program
            .instantiate(host, &self.limits)?
            .open(&self.settings, saved)
    }

    /// It held text beyond the host's bounds: a fault like one of a call.
    pub fn overdue(&self, words: &str) {
        self.bad(&Fault::new(FaultKind::Overdue, words));
    }

    pub(super) fn good(&self, took: Duration) {
        self.tell(self.health.good(took), None);
    }

    pub(super) fn bad(&self, fault: &Fault) {
        self.tell(self.health.bad(Instant::now(), fault), Some(fault));
    }

    fn tell(&self, change: Change, fault: Option<&Fault>) {
        if change != Change::None
            && let Some(overseer) = self.overseer.get().and_then(Weak::upgrade)
        {
            overseer.changed(self, change, fault);
        }
    }

    /// Keeps a call for the rehearsal of the next generation. Skipped while somebody else does so: a sample will do.
    pub(super) fn remember(&self, facts: &Arc<types::Facts>, told: &Arc<Told>) {
        if told.bytes() > RECENT_BYTES {
            return;
        }
        if let Ok(mut recent) = self.recent.try_lock() {
            recent.calls = recent.calls.wrapping_add(1);
            if recent.kept.len() == RECENT_CALLS {
                if recent.calls % RECENT_EVERY != 0 {
                    return;
                }
                recent.kept.pop_front();
            }
            recent.kept.push_back((Arc::clone(facts), Arc::clone(told)));
        }
    }

    /// The calls kept for rehearsal, oldest first.
    pub(super) fn recent(&self) -> Vec<(Arc<types::Facts>, Arc<Told>)> {
        self.recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .kept
            .iter()
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{Detail, Subject};

    fn batch(details: Vec<Detail>) -> types::Batch {
        types::Batch {
            checkpoint: types::Checkpoint::Answer,
            exchange: 1,
            first_seq: 1,
            time: 1,
            text: String::new(),
            event_words: crate::contract::EVENT_WORDS,
            events: vec![],
            attached: Some(types::Attachments {
                details,
                matches: vec![],
            }),
        }
    }

    fn reported() -> types::ReportedFinding {
        types::ReportedFinding {
            policy: "guard".into(),
            is_own: true,
            session: "s".into(),
            exchange: 1,
            finding: types::Finding {
                kind: "guard.seen".into(),
                severity: types::Severity::Info,
                confidence: 1.0,
                subject: Subject::Session,
                summary: "x".repeat(RECENT_BYTES),
                evidence: vec![],
                data: String::new(),
            },
        }
    }

    #[test]
    fn what_is_kept_counts_what_its_strings_hold() {
        let long = || "x".repeat(RECENT_BYTES);
        let answer = |value| {
            Detail::Answer(types::Answer {
                ticket: 1,
                subject: Subject::Session,
                value,
            })
        };
        let failure = types::Failure {
            kind: types::FailureKind::Tool,
            status: 0,
            retryable: false,
            extra: vec![("why".into(), long())],
        };
        for detail in [
            answer(types::AnswerValue::Text(long())),
            answer(types::AnswerValue::Vectors(vec![vec![0.5; 100]; 164])),
            Detail::Failure(failure),
            Detail::Finding(reported()),
            Detail::Other(("later".into(), long())),
        ] {
            let told = Told::Batch(Arc::new(batch(vec![detail])));
            assert!(told.bytes() > RECENT_BYTES, "{}", told.bytes());
        }
        let situation = types::Situation {
            findings: vec![reported()],
            batch: batch(vec![]),
        };
        assert!(Told::Situation(situation).bytes() > RECENT_BYTES);
        let nothing = Told::Batch(Arc::new(batch(vec![])));
        assert_eq!(nothing.bytes(), 0);
    }
}
