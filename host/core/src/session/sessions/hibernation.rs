//! Idle sessions cost no instances: their policies' seats save and give them back, and wake with the next event.
//!
//! Two causes. A session that is idle for a stated time hibernates by the clock. And when all places for instances are
//! taken, those who were idle longest make room, so that a process serves any number of sessions with a bounded number
//! of instances; only if everything that lives is in the middle of a call is there none left to give.
//!
//! Guarantees: a seat that is being called is never touched, and nothing here waits for one; a policy's memory is the
//! same after it woke; who is asleep already costs nothing to pass by. Not guaranteed: that a session in mid-exchange
//! keeps its instances under pressure, only that it gets them back.

use std::sync::Arc;

use super::{Sessions, lock};
use crate::event::Micros;
use crate::event::clock::now;
use crate::session::state::Session;
use airlock_policy::Relief;

impl Sessions {
    /// Seats of sessions without a call since `idle_us` give their instances back. Returns how many did. May take
    /// seconds when there are thousands: call it from a blocking thread.
    pub fn hibernate(&self, idle_us: u64) -> usize {
        let before = now().saturating_sub(idle_us);
        self.by_idleness()
            .into_iter()
            .take_while(|(busy, seen, _)| !busy && *seen <= before)
            .map(|(_, _, session)| self.put_to_sleep(session, usize::MAX))
            .sum()
    }

    /// Sessions that may hold instances, the longest idle first and those in the middle of an exchange last.
    fn by_idleness(&self) -> Vec<(bool, Micros, Arc<Session>)> {
        let live = lock(&self.live);
        let mut sessions: Vec<_> = live
            .awake
            .iter()
            .filter_map(|id| live.sessions.get(id))
            .map(|session| {
                let state = session.state();
                (state.open > 0, state.last_seen, Arc::clone(session))
            })
            .collect();
        drop(live);
        sessions.sort_unstable_by_key(|(busy, seen, _)| (*busy, *seen));
        sessions
    }

    fn put_to_sleep(&self, session: Arc<Session>, most: usize) -> usize {
        let given = session.hibernate(most);
        let mut live = lock(&self.live);
        // Whoever else holds it may be about to call its policies. Nobody else can get it while the lock is held.
        let unused = Arc::strong_count(&session) == 2 && session.state().open == 0;
        if unused && session.sleeps() {
            live.awake.remove(&session.id);
        }
        given
    }
}

impl Relief for Sessions {
    fn give_back(&self, wanted: usize) -> usize {
        let mut given = 0;
        for (_, _, session) in self.by_idleness() {
            if given >= wanted {
                break;
            }
            given += self.put_to_sleep(session, wanted - given);
        }
        given
    }
}
