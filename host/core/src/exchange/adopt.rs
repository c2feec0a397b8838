//! Which generation of each policy judges an exchange, and how it takes over in the middle of one.

use std::sync::{Arc, PoisonError};

use super::hearing::Hearing;
use super::model_call::ModelCall;
use crate::event::{Body, Micros};
use crate::reason::plan::Plan;
use crate::reason::watch::Watcher;
use airlock_policy::contract::types::Checkpoint;
use airlock_policy::generation::{Generation, PolicySet};
use airlock_policy::seat::Moved;
use airlock_policy::spec::Move;
use airlock_policy::{Asker, State};

/// Takes over the policies that serve now, if they are others than before. What is not yet released is presented to new
/// generations again, and searched for their patterns, so that nothing passes between the two.
pub fn adopt(hearing: &mut Hearing, call: &mut ModelCall, now: Micros) {
    let around = Arc::clone(&hearing.around);
    let set = around.policies.current();
    if hearing.panel.set_version == Some(set.version) {
        return;
    }
    hearing.panel.set_version = Some(set.version);
    let asker = around.asks.asker(&hearing.facts.session);
    let entries = effective(hearing, &set, &asker);
    if hearing.panel.plan.is_of(&entries, &around.rules) {
        return;
    }
    let plan = match around.plans.get(&entries, &around.rules) {
        Ok(plan) => plan,
        Err(error) => {
            // Each policy's patterns were tried when it was loaded; together they are too big. The former plan serves.
            tracing::error!(%error, "the policies' patterns do not compile together: the former ones serve");
            return;
        }
    };
    hearing.record.flush();
    hearing.panel.hear(hearing.record.log());
    replan(hearing, call, plan, &asker, now);
}

/// The generation of each policy for this session: a pinned one stays, the others move.
fn effective(hearing: &Hearing, set: &PolicySet, asker: &Arc<dyn Asker>) -> Vec<Arc<Generation>> {
    let session = &hearing.facts.session;
    let generation = |next: &Arc<Generation>| {
        let fresh = session.seated(&next.name).is_none();
        let seat = session.seat(next, asker);
        let mut seat = seat.lock().unwrap_or_else(PoisonError::into_inner);
        let present = Arc::clone(seat.generation());
        if fresh {
            seated(hearing, next);
        }
        let pinned = next.on_reload == Move::Pin && present.state() != State::Retired;
        if Arc::ptr_eq(&present, next) || pinned {
            return present;
        }
        let how = match seat.move_to(Arc::clone(next)) {
            Moved::Migrated => "migrated",
            Moved::Restarted(reason) => {
                tracing::warn!(policy = %next.name, ?reason, "a session went on without its state");
                "restarted"
            }
            Moved::Pinned(reason) => {
                tracing::warn!(policy = %next.name, ?reason, "a session stays on its generation");
                return present;
            }
        };
        hearing.record.note(Body::PolicyMoved {
            policy: next.name.to_string(),
            from: present.number,
            to: next.number,
            how: how.to_owned(),
        });
        seated(hearing, next);
        Arc::clone(next)
    };
    set.entries.iter().map(generation).collect()
}

fn seated(hearing: &Hearing, generation: &Generation) {
    hearing.record.note(Body::PolicySeated {
        policy: generation.name.to_string(),
        generation: generation.number,
        digest: generation.digest.clone(),
        settings: generation.settings_digest.clone(),
        enforces: generation.enforces(),
    });
}

fn replan(
    hearing: &mut Hearing,
    call: &mut ModelCall,
    plan: Arc<Plan>,
    asker: &Arc<dyn Asker>,
    now: Micros,
) {
    let hold = &mut call.release.hold;
    let log = hearing.record.log();
    let released = |place| hold.stretches.iter().find(|s| s.place == place);
    let unreleased = log.first_beyond(|place| released(place).map_or(0, |s| s.released));
    let untold = unreleased < log.len();
    let panel = &mut hearing.panel;
    let session = &hearing.facts.session;
    let before = std::mem::replace(&mut panel.plan, plan);
    let mut former = std::mem::take(&mut panel.watchers);
    let entries = panel.plan.entries.iter();
    panel.seats = entries.map(|g| session.seat(g, asker)).collect();
    let mut fresh = Vec::new();
    let plan = Arc::clone(&panel.plan);
    let reasoners = plan.entries.iter().enumerate().filter(|(_, g)| g.reasons);
    for (entry, generation) in reasoners {
        let mut known = before.entries.iter();
        let stays = known.position(|g| Arc::ptr_eq(g, generation));
        let kept = former.iter().position(|w| Some(w.entry) == stays);
        let watcher = match kept.map(|at| former.swap_remove(at)) {
            Some(mut watcher) => {
                watcher.entry = entry;
                watcher
            }
            None => {
                let thresholds = plan.wants.get(entry).map_or(0, |w| w.thresholds.len());
                let fired = session.fired(&generation.name, thresholds);
                fresh.push(entry);
                let mut watcher = Watcher::new(entry, unreleased, fired, now);
                // What waits was told to the predecessor, and the new one wants to hear it now.
                watcher.woken = untold;
                watcher
            }
        };
        panel.watchers.push(watcher);
    }
    let mut found = Vec::new();
    hold.rescan(&plan.patterns, &mut found);
    for (place, m) in found {
        if fresh.contains(&(m.owner as usize)) {
            panel.matched(place, &[m]);
        }
    }
    if !hold.stretches.is_empty() {
        hearing.checkpoint(Checkpoint::Stream, call, now);
    }
}
