//! The seats of a session's policies: made when they are first needed, saved after each exchange, put to sleep.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::Session;
use super::row::to_row;
use airlock_policy::fault::Fault;
use airlock_policy::generation::Generation;
use airlock_policy::seat::Seat;
use airlock_policy::services::{Asker, Services};

impl Session {
    /// The seat of a policy, made when it is first needed.
    pub fn seat(&self, generation: &Arc<Generation>, asks: &Arc<dyn Asker>) -> Arc<Mutex<Seat>> {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let seat = seats
            .entry(Arc::clone(&generation.name))
            .or_insert_with(|| {
                let services = Services {
                    content: Arc::clone(&self.contents) as Arc<_>,
                    asks: Arc::clone(asks),
                };
                let mut seat = Seat::new(Arc::clone(generation), Arc::clone(&self.facts), services);
                if let Some(saved) = self.state().saved_seats.remove(&*generation.name) {
                    seat.restore_from(saved);
                }
                Arc::new(Mutex::new(seat))
            });
        Arc::clone(seat)
    }

    /// The generation under which this session already uses a policy.
    pub fn seated(&self, name: &str) -> Option<Arc<Generation>> {
        // A seat may be in the middle of a call: whoever waits for it must not keep the others' seats from anybody.
        let seat = {
            let seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(seats.get(name)?)
        };
        let seat = seat.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(seat.generation()))
    }

    /// What changed in seats goes to the store. Seats that fail to save keep what they saved before; the fault is returned with
    /// the policy's name.
    pub(super) fn save_seats(&self) -> Vec<(String, Fault)> {
        let seats: Vec<_> = {
            let seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
            seats.values().map(Arc::clone).collect()
        };
        let mut faults = Vec::new();
        for seat in seats {
            let mut seat = seat.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(fault) = seat.settle() {
                faults.push((seat.generation().name.to_string(), fault));
                continue;
            }
            let generation = Arc::clone(seat.generation());
            if let Some(saved) = seat.take_changed() {
                let row = to_row(&generation.name, &generation.digest, saved);
                self.recorder.store.save_seat(self.id, row);
            }
        }
        faults
    }

    /// At most `most` seats that are awake and not being called save and give their instances back. Returns how many.
    pub(in crate::session) fn hibernate(&self, most: usize) -> usize {
        self.seats_now()
            .iter()
            .filter_map(|seat| at_once(seat))
            .filter(|seat| seat.is_awake())
            .take(most)
            .map(|mut seat| {
                // It goes on from what it saved before; the next call reports what is wrong with it.
                if let Err(fault) = seat.hibernate() {
                    let policy = &*seat.generation().name;
                    tracing::warn!(%policy, fault = ?fault.to_string(), session = %self.id, "a policy could not save its state");
                }
            })
            .count()
    }

    /// Whether none of its seats holds an instance.
    pub(in crate::session) fn sleeps(&self) -> bool {
        self.seats_now()
            .iter()
            .all(|seat| at_once(seat).is_some_and(|seat| !seat.is_awake()))
    }

    fn seats_now(&self) -> Vec<Arc<Mutex<Seat>>> {
        at_once(&self.seats).map_or_else(Vec::new, |seats| seats.values().map(Arc::clone).collect())
    }
}

/// The lock, if nobody holds it.
fn at_once<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        // A seat drops its instance before anything that could panic; its state is sound.
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
