//! The registry's table: for each policy its serving generation, what was tried last, and why it does not serve.
//!
//! A look at the sources has two halves. The first compiles and rehearses what changed and touches nothing; the second
//! takes the lock, writes the results down and publishes a new set with one pointer swap.

mod slot;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;
use tokio::sync::broadcast;

use super::apart;
use super::candidate::Candidate;
use super::engine::Relief;
use super::fault::Fault;
use super::generation::{Generation, Overseer, PolicySet};
use super::health::Change;
use super::load::{Loader, STACK};
use super::report::{PolicyEvent, PolicyStatus};
use super::sources::{Planned, Source, Sources};
use super::spec::PolicySpec;
use slot::{Found, Slot, is_good, nothing_there};

/// Components from outside that are judged at once: one that takes its whole time does not keep the others waiting, and
/// memory is bounded.
const AT_ONCE: usize = 4;
/// Events kept for a slow reader.
const EVENTS: usize = 256;

/// What is behind [`super::Policies`].
pub(super) struct Core {
    loader: Loader,
    sources: Sources,
    table: Mutex<Table>,
    set: ArcSwap<PolicySet>,
    events: broadcast::Sender<PolicyEvent>,
    this: Weak<Self>,
}

struct Table {
    specs: BTreeMap<String, PolicySpec>,
    slots: BTreeMap<String, Slot>,
}

impl Core {
    pub(super) fn new(
        loader: Loader,
        sources: Sources,
        specs: BTreeMap<String, PolicySpec>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            loader,
            sources,
            table: Mutex::new(Table {
                specs,
                slots: BTreeMap::new(),
            }),
            set: ArcSwap::default(),
            events: broadcast::channel(EVENTS).0,
            this: this.clone(),
        })
    }

    pub(super) fn current(&self) -> Arc<PolicySet> {
        self.set.load_full()
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<PolicyEvent> {
        self.events.subscribe()
    }

    pub(super) fn relieve_by(&self, relief: Weak<dyn Relief>) {
        self.loader.engine.relieve_by(relief);
    }

    pub(super) fn occupancy(&self) -> (u32, u32) {
        self.loader.engine.occupancy()
    }

    pub(super) fn directories(&self) -> BTreeSet<PathBuf> {
        self.sources.directories(&self.lock().specs)
    }

    /// Looks at the sources and loads what changed. Whether to look again soon.
    pub(super) fn rescan(&self) -> bool {
        let specs = self.lock().specs.clone();
        match self.plan(&specs) {
            Ok(plan) => {
                if !apart::is_available() {
                    let found = self.try_all(plan);
                    let again = unfinished(&found);
                    self.commit(found);
                    return again;
                }
                // What is our own serves at once; what came from outside does as soon as it was judged, however long its
                // neighbours take.
                let (foreign, own): (BTreeMap<_, _>, BTreeMap<_, _>) = plan
                    .into_iter()
                    .partition(|(_, planned)| planned.is_foreign());
                let found = self.try_all(own);
                let again = unfinished(&found);
                self.commit(found);
                self.try_each(foreign) || again
            }
            Err(reason) => {
                // Without the directory nothing can be said about its files, so nothing is retired.
                tracing::warn!("{reason}; the policies that serve go on");
                false
            }
        }
    }

    /// Takes other entries if all that changed load.
    pub(super) fn reconfigure(&self, specs: BTreeMap<String, PolicySpec>) -> Result<(), String> {
        let before = self.lock().specs.clone();
        let found = self.try_all(self.plan(&specs)?);
        let errors: Vec<String> = found
            .iter()
            .filter(|(name, _, _)| specs.get(name) != before.get(name))
            .filter_map(|(name, _, found)| match found {
                Found::Bad(error, _) => Some(format!("policy `{name}`: {error}")),
                Found::Unfinished(_) => Some(format!("policy `{name}`: its file ends too early")),
                Found::Gone if specs.get(name).is_some_and(|s| s.enabled) => {
                    Some(format!("policy `{name}`: {}", nothing_there(name)))
                }
                _ => None,
            })
            .collect();
        if !errors.is_empty() {
            return Err(errors.join("; "));
        }
        self.lock().specs = specs;
        self.commit(found);
        Ok(())
    }

    fn plan(
        &self,
        specs: &BTreeMap<String, PolicySpec>,
    ) -> Result<BTreeMap<String, Planned>, String> {
        let known: Vec<String> = self.lock().slots.keys().cloned().collect();
        self.sources.plan(specs, known, &self.loader.limits)
    }

    /// Loads what changed, without touching what serves.
    fn try_all(&self, plan: BTreeMap<String, Planned>) -> Vec<(String, Planned, Found)> {
        plan.into_iter()
            .map(|(name, mut planned)| {
                let found = match std::mem::replace(&mut planned.source, Source::Gone) {
                    Source::Load(candidate) => self.try_one(&name, &candidate),
                    Source::Broken(error) => Found::Bad(error, None),
                    Source::Gone => Found::Gone,
                    Source::Disabled => Found::Disabled,
                };
                (name, planned, found)
            })
            .collect()
    }

    /// Loads components from outside, some at a time, each published when it is done. Whether to look again soon.
    fn try_each(&self, plan: BTreeMap<String, Planned>) -> bool {
        let work = Mutex::new(plan.into_iter());
        let next = || work.lock().unwrap_or_else(PoisonError::into_inner).next();
        let again = AtomicBool::new(false);
        let run = || {
            while let Some((name, planned)) = next() {
                let found = self.try_all(BTreeMap::from([(name, planned)]));
                again.fetch_or(unfinished(&found), Ordering::Relaxed);
                self.commit(found);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..AT_ONCE {
                // With fewer threads it only takes longer.
                let _ = std::thread::Builder::new()
                    .name("airlock-loader".into())
                    .stack_size(STACK)
                    .spawn_scoped(scope, run);
            }
            run();
        });
        again.into_inner()
    }

    fn try_one(&self, name: &str, candidate: &Candidate) -> Found {
        let key = candidate.key();
        let (number, serving, suspect) = {
            let table = self.lock();
            let slot = table.slots.get(name);
            if slot.and_then(|s| s.tried.as_ref()) == Some(&key) {
                return Found::Unchanged;
            }
            let serving = slot.and_then(|s| s.serving.clone());
            if serving.as_ref().is_some_and(|g| g.key == key) {
                return Found::Same(key);
            }
            (
                slot.map_or(0, |s| s.count) + 1,
                serving,
                slot.and_then(|s| s.suspect.clone()),
            )
        };
        let predecessor = serving.filter(is_good);
        match apart::load(&self.loader, candidate, number, predecessor.as_ref()) {
            Ok(generation) => Found::Good(Box::new(generation)),
            Err(error) if error.truncated && suspect.as_ref() != Some(&key) => {
                Found::Unfinished(key)
            }
            Err(error) => Found::Bad(error, Some(key)),
        }
    }

    /// Writes results down and publishes.
    fn commit(&self, found: Vec<(String, Planned, Found)>) {
        let overseer: Weak<dyn Overseer> = self.this.clone();
        let mut events = Vec::new();
        let mut table = self.lock();
        for (name, planned, found) in found {
            let slot = table.slots.entry(name.clone()).or_default();
            events.extend(slot.settle(&name, planned, found, &overseer));
        }
        self.publish(&table);
        drop(table);
        for event in events {
            self.emit(event);
        }
    }

    /// Makes the table's generations the ones that serve.
    fn publish(&self, table: &Table) {
        let mut entries: Vec<Arc<Generation>> = table
            .slots
            .values()
            .filter_map(|s| s.serving.clone())
            .collect();
        entries.sort_by(|a, b| (a.order, &a.name).cmp(&(b.order, &b.name)));
        let now = self.set.load();
        let same = now.entries.len() == entries.len()
            && now
                .entries
                .iter()
                .zip(&entries)
                .all(|(a, b)| Arc::ptr_eq(a, b));
        if !same {
            self.set.store(Arc::new(PolicySet {
                version: now.version + 1,
                entries,
            }));
        }
    }

    /// Brings a policy's predecessor back. `from`: only if this generation serves.
    pub(super) fn roll_back(
        &self,
        name: &str,
        from: Option<u32>,
        reason: &str,
    ) -> Result<u32, String> {
        let mut table = self.lock();
        let slot = table
            .slots
            .get_mut(name)
            .ok_or_else(|| format!("there is no policy `{name}`"))?;
        let serving = slot
            .serving
            .clone()
            .ok_or_else(|| format!("no generation of `{name}` serves"))?;
        if from.is_some_and(|n| n != serving.number) {
            return Err(format!(
                "generation {} of `{name}` serves already",
                serving.number
            ));
        }
        let previous = serving.previous.swap(None).ok_or_else(|| {
            format!(
                "generation {} of `{name}` has no predecessor to go back to",
                serving.number
            )
        })?;
        serving.health.withdraw();
        previous.health.reinstate();
        let to = previous.number;
        slot.error = Some(format!(
            "generation {} was rolled back: {reason}",
            serving.number
        ));
        slot.tried = Some(serving.key.clone());
        slot.serving = Some(previous);
        self.publish(&table);
        drop(table);
        self.emit(PolicyEvent::RolledBack {
            name: name.into(),
            from: serving.number,
            to,
            reason: reason.into(),
        });
        Ok(to)
    }

    pub(super) fn status(&self) -> Vec<PolicyStatus> {
        let table = self.lock();
        table
            .slots
            .iter()
            // A policy that is gone leaves its slot behind, so that its generations go on being counted.
            .filter(|(_, slot)| slot.serving.is_some() || slot.error.is_some() || slot.stated)
            .map(|(name, slot)| slot.status(name))
            .collect()
    }

    pub(super) fn ready(&self) -> Result<(), Vec<String>> {
        let table = self.lock();
        let entries = table.specs.iter();
        let slots = table.slots.iter().map(|(name, slot)| (name, &slot.spec));
        let required: BTreeSet<&String> = entries
            .chain(slots)
            .filter(|(_, s)| s.required && s.enabled)
            .map(|(name, _)| name)
            .collect();
        let missing: Vec<String> = required
            .into_iter()
            .filter(|name| table.slots.get(*name).is_none_or(|s| s.serving.is_none()))
            .map(|name| {
                let why = table
                    .slots
                    .get(name)
                    .and_then(|s| s.error.clone())
                    .unwrap_or_else(|| nothing_there(name));
                format!("required policy `{name}` has no good generation: {why}")
            })
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing)
        }
    }

    fn emit(&self, event: PolicyEvent) {
        event.log();
        // An error means that nobody listens.
        let _ = self.events.send(event);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Overseer for Core {
    fn changed(&self, generation: &Generation, change: Change, fault: Option<&Fault>) {
        let name = generation.name.to_string();
        let reason = fault.map(ToString::to_string).unwrap_or_default();
        match change {
            Change::None => {}
            Change::Misbehaved => {
                let reason = format!("it failed in its probation: {reason}");
                if let Err(why) = self.roll_back(&name, Some(generation.number), &reason) {
                    tracing::debug!(name, "not rolled back: {why}");
                }
            }
            Change::Quarantined(backoff) => self.emit(PolicyEvent::Quarantined {
                name,
                generation: generation.number,
                reason,
                backoff_ms: u64::try_from(backoff.as_millis()).unwrap_or(u64::MAX),
                on_failure: generation.on_failure,
            }),
            Change::Recovered => self.emit(PolicyEvent::Recovered {
                name,
                generation: generation.number,
            }),
        }
    }
}

/// Whether one of them is probably still being written.
fn unfinished(found: &[(String, Planned, Found)]) -> bool {
    found
        .iter()
        .any(|(_, _, f)| matches!(f, Found::Unfinished(_)))
}
