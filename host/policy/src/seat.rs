//! One policy in one session: the instance, and everything from which it can be made again.
//!
//! After each exchange the session's memory is saved. What the policy was told since then is kept (bounded), so that after
//! a crash a new instance is restored from the saved memory and told it again, without the call that killed the old one.
//! Told again, it asks nobody a second time and its log is silent. A state value that the killing call set is lost with
//! that call: a call counts whole or not at all.

use std::sync::Arc;
use std::time::Instant;

use super::answers;
use super::fault::{Fault, FaultKind};
use super::generation::{Generation, Told};
use super::host::Asked;
use super::program::Instance;
use super::services::{SavedState, Services};
use crate::contract::types;

/// What became of a seat that was to move to another generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It went on with its state.
    Migrated,
    /// It went on without its state: the generation it left was withdrawn and the other one could not use what it saved.
    Restarted(String),
    /// It stays where it is, and why.
    Pinned(String),
}

/// Calls told since the last save, and their bytes, beyond which a seat saves in mid-exchange instead of keeping more.
const UNSAVED_CALLS: usize = 64;
const UNSAVED_BYTES: usize = 256 << 10;

/// One policy in one session.
pub struct Seat {
    generation: Arc<Generation>,
    facts: Arc<types::Facts>,
    services: Services,
    instance: Option<Instance>,
    saved: Option<SavedState>,
    /// Whether `saved` is newer than what was last taken to the store.
    changed: bool,
    unsaved: Vec<(Arc<Told>, Asked)>,
    unsaved_bytes: usize,
    last_tickets: Vec<u64>,
}

impl Seat {
    /// A seat. Costs nothing: the instance is created at the first call.
    #[must_use]
    pub fn new(generation: Arc<Generation>, facts: Arc<types::Facts>, services: Services) -> Self {
        Self {
            generation,
            facts,
            services,
            instance: None,
            saved: None,
            changed: false,
            unsaved: Vec::new(),
            unsaved_bytes: 0,
            last_tickets: Vec::new(),
        }
    }

    /// Tickets that the last call was given for its questions. Empty after a failed call: what it asked, nobody waits for.
    #[must_use]
    pub fn last_tickets(&self) -> &[u64] {
        &self.last_tickets
    }

    /// Has the policy judge a batch. Runs guest code on the calling thread, for at most `limits.wall_ms`.
    /// The batch is shared, because it is kept until the session is saved, and copying it would cost a tenth of the call.
    pub fn observe(&mut self, batch: &Arc<types::Batch>) -> Result<types::Assessment, Fault> {
        self.call(
            |instance| instance.observe(batch, None),
            |answer, limits| answers::assessment(answer, batch, limits),
            || Told::Batch(Arc::clone(batch)),
        )
    }

    /// Has the policy decide what to do about findings. As [`Seat::observe`].
    pub fn decide(&mut self, situation: &types::Situation) -> Result<types::Decision, Fault> {
        self.call(
            |instance| instance.decide(situation, None),
            answers::decision,
            || Told::Situation(situation.clone()),
        )
    }

    fn call<A>(
        &mut self,
        ask: impl FnOnce(Instance) -> Result<(Instance, A), Fault>,
        check: impl FnOnce(&A, &super::Limits) -> Result<(), String>,
        told: impl FnOnce() -> Told,
    ) -> Result<A, Fault> {
        self.last_tickets.clear();
        let started = Instant::now();
        self.generation.health.admit(started)?;
        let outcome = self
            .take_instance()
            .and_then(ask)
            .and_then(|(instance, answer)| {
                check(&answer, &self.generation.limits)
                    .map_err(|e| Fault::new(FaultKind::Malformed, e))?;
                Ok((instance, answer))
            });
        match outcome {
            Ok((mut instance, answer)) => {
                self.generation.good(started.elapsed());
                let told = Arc::new(told());
                self.generation.remember(&self.facts, &told);
                self.unsaved_bytes += told.bytes();
                let asked = instance.take_asked();
                self.last_tickets.extend(asked.iter().flatten());
                self.unsaved.push((told, asked));
                self.instance = Some(instance);
                if self.unsaved.len() >= UNSAVED_CALLS || self.unsaved_bytes >= UNSAVED_BYTES {
                    // The answer stands. A policy that cannot save says so at the next call.
                    if let Err(fault) = self.settle() {
                        tracing::warn!(policy = &*self.generation.name, %fault, "a policy could not save its session");
                    }
                }
                Ok(answer)
            }
            Err(fault) => {
                self.generation.bad(&fault);
                Err(fault)
            }
        }
    }

    /// Saves the session's memory. Call it after each exchange. After an error the seat goes on from what was saved before.
    pub fn settle(&mut self) -> Result<(), Fault> {
        if self.unsaved.is_empty() {
            return Ok(());
        }
        let outcome = self.take_instance().and_then(Instance::save).and_then(|(instance, saved)| {
            let memory = saved
                .map_err(|e| Fault::new(FaultKind::Session, format!("the policy refused to save the session: {e}")))?;
            let limit = self.generation.limits.state_kib as usize * 1024;
            if memory.len() > limit {
                let n = memory.len();
                return Err(Fault::new(
                    FaultKind::Malformed,
                    format!("the saved session has {n} bytes where `limits.state_kib` allows {limit}"),
                ));
            }
            let values = instance.host().values.clone();
            let schema = self.generation.description.state_schema;
            Ok((instance, SavedState { schema, memory, values }))
        });
        self.forget();
        match outcome {
            Ok((instance, saved)) => {
                self.changed |= self.saved.as_ref() != Some(&saved);
                self.saved = Some(saved);
                self.instance = Some(instance);
                Ok(())
            }
            Err(fault) => {
                self.generation.bad(&fault);
                Err(fault)
            }
        }
    }

    /// Saves, and gives the instance back; the next call makes another one.
    pub fn hibernate(&mut self) -> Result<(), Fault> {
        let outcome = self.settle();
        self.instance = None;
        outcome
    }

    /// Whether it holds an instance.
    #[must_use]
    pub fn is_awake(&self) -> bool {
        self.instance.is_some()
    }

    /// What was saved last.
    #[must_use]
    pub fn saved(&self) -> Option<&SavedState> {
        self.saved.as_ref()
    }

    /// What was saved last, if the store does not have it yet.
    pub fn take_changed(&mut self) -> Option<&SavedState> {
        std::mem::take(&mut self.changed)
            .then_some(self.saved.as_ref())
            .flatten()
    }

    /// Goes on from a state that was saved earlier, perhaps in another process.
    pub fn restore_from(&mut self, saved: SavedState) {
        self.instance = None;
        self.forget();
        self.changed = false;
        self.saved = Some(saved);
    }

    /// Moves to another generation with what the session remembers. Between calls, best between exchanges: text that was
    /// not yet released can be told again by the caller, answers that were given stand.
    pub fn move_to(&mut self, next: Arc<Generation>) -> Moved {
        if Arc::ptr_eq(&self.generation, &next) {
            return Moved::Migrated;
        }
        let leaving_is_urgent = self.generation.health.withdrawn();
        if next.on_reload == super::Move::Pin && !leaving_is_urgent {
            return Moved::Pinned(format!("`on_reload` of `{}` is \"pin\"", next.name));
        }
        let mut lost = self.settle().err();
        let restored = match &self.saved {
            Some(saved) => next
                .open(&self.facts, &self.services, Some(saved))
                .map(Some),
            None => Ok(None),
        };
        match restored {
            Ok(instance) => self.instance = instance,
            Err(fault) if !leaving_is_urgent => return Moved::Pinned(fault.to_string()),
            Err(fault) => {
                self.instance = None;
                self.saved = None;
                lost = Some(fault);
            }
        }
        self.generation = next;
        match lost {
            None => Moved::Migrated,
            Some(fault) => Moved::Restarted(fault.to_string()),
        }
    }

    /// The generation that serves this session.
    #[must_use]
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// The living instance, or a new one that knows what the old one did.
    fn take_instance(&mut self) -> Result<Instance, Fault> {
        if let Some(instance) = self.instance.take() {
            return Ok(instance);
        }
        let mut instance =
            match self
                .generation
                .open(&self.facts, &self.services, self.saved.as_ref())
            {
                Ok(instance) => instance,
                Err(fault) => {
                    // Memory that cannot be read is given up, or the session would fail for ever. This call reports it.
                    if fault.kind.is_the_guests() && self.saved.take().is_some() {
                        self.forget();
                    }
                    return Err(fault);
                }
            };
        for (told, asked) in &self.unsaved {
            let again = Some(asked.clone());
            let outcome = match &**told {
                Told::Batch(batch) => instance.observe(batch, again).map(|(i, _)| i),
                Told::Situation(situation) => instance.decide(situation, again).map(|(i, _)| i),
            };
            match outcome {
                Ok(next) => instance = next,
                Err(fault) => {
                    self.forget();
                    return Err(fault);
                }
            }
        }
        Ok(instance)
    }

    fn forget(&mut self) {
        self.unsaved.clear();
        self.unsaved_bytes = 0;
    }
}
