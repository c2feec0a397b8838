//! A session's timeline: gives every event its number and time, and sends it to the store and the live feed.
//!
//! Guarantees: numbers are dense from 1 and times never go back; store and feed see the events of a session in the
//! order of their numbers; [`Timeline::append`] never waits for the disk or for whoever watches. Content is reduced
//! here, before the event leaves this module, so what capture forbids is neither stored nor shown.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::feed::{Entry, Feed};
use crate::event::clock::now;
use crate::event::key::SessionId;
use crate::event::{Body, Event, Micros};
use crate::store::Store;
use crate::store::capture::{Capture, Reducer};

/// Where timelines are recorded: one for the process.
#[derive(Clone)]
pub struct Recorder {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// The live feed.
    pub feed: Feed,
    /// How much content is recorded.
    pub capture: Capture,
}

/// The timeline of one session.
pub struct Timeline {
    session: SessionId,
    recorder: Recorder,
    head: Mutex<Head>,
}

struct Head {
    next_seq: u64,
    last_at: Micros,
    reducer: Reducer,
}

impl Timeline {
    /// A timeline whose next event gets the number `next_seq`: 1 for a new session, else
    /// [`SavedSession::next_seq`](crate::store::SavedSession::next_seq).
    pub fn new(session: SessionId, next_seq: u64, recorder: Recorder) -> Self {
        let reducer = Reducer::new(recorder.capture);
        Self {
            session,
            recorder,
            head: Mutex::new(Head {
                next_seq: next_seq.max(1),
                last_at: 0,
                reducer,
            }),
        }
    }

    /// The session it belongs to.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Number that the next event will get.
    pub fn next_seq(&self) -> u64 {
        self.lock().next_seq
    }

    /// Records a fact of an exchange (0: of the session) and returns its sequence number.
    pub fn append(&self, exchange: u32, body: Body) -> u64 {
        let mut head = self.lock();
        let at = now().max(head.last_at);
        head.last_at = at;
        // Redaction holds the ends of texts back until it has seen how they go on; what is still held when something
        // else happens in the exchange goes first.
        for rest in head.reducer.before(exchange, &body) {
            self.record(&mut head, at, exchange, rest);
        }
        let body = head.reducer.reduce(exchange, body);
        self.record(&mut head, at, exchange, body)
    }

    fn record(&self, head: &mut Head, at: Micros, exchange: u32, body: Body) -> u64 {
        let seq = head.next_seq;
        head.next_seq += 1;
        let event = Arc::new(Event {
            seq,
            at,
            exchange,
            body,
        });
        self.recorder.store.append(self.session, Arc::clone(&event));
        self.recorder.feed.publish(Entry {
            session: self.session,
            event,
        });
        seq
    }

    fn lock(&self) -> MutexGuard<'_, Head> {
        // A panic while the lock was held leaves at worst an unused number behind.
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
