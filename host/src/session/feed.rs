//! The live feed: every event of every session, as it is recorded, to whoever watches.
//!
//! Guarantees: publishing never waits, whoever listens or does not. A slow receiver loses the oldest events and is told
//! how many. What it missed is on the stored timeline.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::event::Event;
use super::key::SessionId;

/// Events kept for slow receivers. At 100 events a second and stream this is 40 seconds of one, 1 second of forty.
const BACKLOG: usize = 4096;

/// One event with the session it belongs to.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The session.
    pub session: SessionId,
    /// The event, as far as capture allows.
    pub event: Arc<Event>,
}

/// What a receiver is told.
#[derive(Clone, Debug)]
pub enum Update {
    /// The next event.
    Event(Entry),
    /// The receiver was too slow: so many events are missing here.
    Missed(u64),
}

/// Where events are published. Cheap to clone; all clones are the same feed.
#[derive(Clone, Debug)]
pub struct Feed(broadcast::Sender<Entry>);

impl Feed {
    /// A feed without receivers.
    pub fn new() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }

    /// Sends to all receivers; never waits.
    pub fn publish(&self, entry: Entry) {
        // The only error is "nobody listens", which is fine.
        let _ = self.0.send(entry);
    }

    /// Receives everything published from now on.
    pub fn subscribe(&self) -> Subscription {
        Subscription(self.0.subscribe())
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self::new()
    }
}

/// A receiver of the feed.
#[derive(Debug)]
pub struct Subscription(broadcast::Receiver<Entry>);

impl Subscription {
    /// The next update; `None` when the feed is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<Update> {
        match self.0.recv().await {
            Ok(entry) => Some(Update::Event(entry)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Update::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
