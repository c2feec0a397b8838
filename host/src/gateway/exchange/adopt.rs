//! Which generation of each policy judges this exchange, and how it takes over in the middle of one.

use std::sync::{Arc, PoisonError};

use super::conduct::Exchange;
use crate::contract::types::Checkpoint;
use crate::event::Body;
use crate::event::clock::now;
use crate::policy::generation::{Generation, PolicySet};
use crate::policy::seat::Moved;
use crate::policy::spec::Move;
use crate::policy::{Asker, State};
use crate::reason::plan::Plan;
use crate::reason::watch::Watcher;

impl Exchange {
    /// Takes over the policies that serve now, if they are others than before. What is not yet released is presented to
    /// new generations again, and searched for their patterns, so that nothing passes between the two.
    pub(super) fn adopt(&mut self) {
        let set = self.app.policies.current();
        if self.set_version == Some(set.version) {
            return;
        }
        self.set_version = Some(set.version);
        let asker = self.app.asks.asker(&self.session);
        let entries = self.effective(&set, &asker);
        let rules = Arc::clone(&self.settings.rules);
        if self.plan.is_of(&entries, &rules) {
            return;
        }
        let plan = match self.app.plans.get(&entries, &rules) {
            Ok(plan) => plan,
            Err(error) => {
                // Each policy's patterns were tried when it was loaded; together they are too big. The former plan serves.
                tracing::error!(%error, "the policies' patterns do not compile together: the former ones serve");
                return;
            }
        };
        self.flush();
        self.replan(plan, &asker);
    }

    /// The generation of each policy for this session: a pinned one stays, the others move.
    fn effective(&self, set: &PolicySet, asker: &Arc<dyn Asker>) -> Vec<Arc<Generation>> {
        set.entries
            .iter()
            .map(|next| {
                let fresh = self.session.seated(&next.name).is_none();
                let seat = self.session.seat(next, asker);
                let mut seat = seat.lock().unwrap_or_else(PoisonError::into_inner);
                let present = Arc::clone(seat.generation());
                if fresh {
                    self.seated(next);
                }
                if Arc::ptr_eq(&present, next) || (next.on_reload == Move::Pin && present.state() != State::Retired) {
                    return present;
                }
                let how = match seat.move_to(Arc::clone(next)) {
                    Moved::Migrated => "migrated",
                    Moved::Restarted(reason) => {
                        tracing::warn!(policy = %next.name, %reason, "a session went on without its state");
                        "restarted"
                    }
                    Moved::Pinned(reason) => {
                        tracing::warn!(policy = %next.name, %reason, "a session stays on its generation");
                        return present;
                    }
                };
                self.session.timeline.append(
                    self.number,
                    Body::PolicyMoved {
                        policy: next.name.to_string(),
                        from: present.number,
                        to: next.number,
                        how: how.to_owned(),
                    },
                );
                self.seated(next);
                Arc::clone(next)
            })
            .collect()
    }

    fn seated(&self, generation: &Generation) {
        self.session.timeline.append(
            self.number,
            Body::PolicySeated {
                policy: generation.name.to_string(),
                generation: generation.number,
                digest: generation.digest.clone(),
                settings: generation.settings_digest.clone(),
                enforces: generation.enforces(),
            },
        );
    }

    fn replan(&mut self, plan: Arc<Plan>, asker: &Arc<dyn Asker>) {
        let at = now();
        let unreleased = self.log.first_beyond(|place| {
            self.hold
                .stretches
                .iter()
                .find(|s| s.place == place)
                .map_or(0, |s| s.released)
        });
        let before = std::mem::replace(&mut self.plan, plan);
        let mut former = std::mem::take(&mut self.watchers);
        self.seats = self
            .plan
            .entries
            .iter()
            .map(|g| self.session.seat(g, asker))
            .collect();
        let mut fresh = Vec::new();
        for (entry, generation) in self
            .plan
            .entries
            .iter()
            .enumerate()
            .filter(|(_, g)| g.reasons)
        {
            let stays = before
                .entries
                .iter()
                .position(|g| Arc::ptr_eq(g, generation));
            let kept = former
                .iter()
                .position(|w| Some(w.entry) == stays)
                .map(|i| former.swap_remove(i));
            match kept {
                Some(mut watcher) => {
                    watcher.entry = entry;
                    self.watchers.push(watcher);
                }
                None => {
                    let thresholds = self.plan.wants.get(entry).map_or(0, |w| w.thresholds.len());
                    let fired = self.session.fired(&generation.name, thresholds);
                    fresh.push(entry);
                    let mut watcher = Watcher::new(entry, unreleased, fired, at);
                    // What waits was told to the predecessor, and the new one wants to hear it now.
                    watcher.woken = unreleased < self.log.len();
                    self.watchers.push(watcher);
                }
            }
        }
        let mut found = Vec::new();
        self.hold.rescan(&self.plan.patterns, &mut found);
        for (place, m) in found
            .into_iter()
            .filter(|(_, m)| fresh.contains(&(m.owner as usize)))
        {
            if let Some(watcher) = self
                .watchers
                .iter_mut()
                .find(|w| w.entry == m.owner as usize)
            {
                watcher.matched(place, &m);
            }
        }
        if !self.hold.stretches.is_empty() {
            self.checkpoint(Checkpoint::Stream);
        }
    }
}
