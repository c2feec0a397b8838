//! The live feed: every event of every session, as it is recorded, to whoever watches.
//!
//! Guarantees: publishing never waits, whoever listens or does not. A slow receiver loses the oldest events and is told
//! how many. What it missed is on the stored timeline. However slow receivers are, and however many, what is kept for them is
//! bounded in events and in bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::event::Event;
use crate::event::key::SessionId;

/// Events kept for slow receivers. At 100 events a second and stream this is 40 seconds of one, 1 second of forty.
const BACKLOG: usize = 4096;

/// Bytes of them: a message may be megabytes long.
const BACKLOG_BYTES: usize = 32 * 1024 * 1024;

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
pub struct Feed {
    shared: Arc<Shared>,
    /// The last clone to go ends the feed.
    _open: Arc<Open>,
}

#[derive(Debug, Default)]
struct Shared {
    kept: Mutex<Kept>,
    /// Rung when there is something new.
    bell: Notify,
}

/// What receivers have not all had.
#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<(Entry, usize)>,
    bytes: usize,
    /// Number of the first of them.
    first: u64,
    receivers: usize,
    over: bool,
}

#[derive(Debug)]
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.kept().over = true;
        self.0.bell.notify_waiters();
    }
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Entries are put in and taken out whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn forget_first(&mut self) {
        if let Some((_, weight)) = self.entries.pop_front() {
            self.bytes -= weight;
            self.first += 1;
        }
    }
}

impl Feed {
    /// A feed without receivers.
    pub fn new() -> Self {
        let shared = Arc::<Shared>::default();
        Self {
            _open: Arc::new(Open(Arc::clone(&shared))),
            shared,
        }
    }

    /// Sends to all receivers; never waits for one.
    pub fn publish(&self, entry: Entry) {
        let mut kept = self.shared.kept();
        if kept.receivers == 0 {
            return;
        }
        let weight = crate::store::weight(&entry.event.body);
        kept.bytes += weight;
        kept.entries.push_back((entry, weight));
        while kept.entries.len() > BACKLOG || kept.bytes > BACKLOG_BYTES {
            kept.forget_first();
        }
        drop(kept);
        self.shared.bell.notify_waiters();
    }

    /// Receives everything published from now on.
    pub fn subscribe(&self) -> Subscription {
        let mut kept = self.shared.kept();
        kept.receivers += 1;
        let at = kept.next();
        drop(kept);
        Subscription {
            shared: Arc::clone(&self.shared),
            at,
        }
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self::new()
    }
}

/// A receiver of the feed.
#[derive(Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
    /// Number of the entry that it is given next.
    at: u64,
}

impl Subscription {
    /// The next update; `None` when the feed is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<Update> {
        let shared = Arc::clone(&self.shared);
        loop {
            let mut rung = std::pin::pin!(shared.bell.notified());
            // From here on a bell is heard, also one that rings before it is waited for.
            rung.as_mut().enable();
            {
                let kept = shared.kept();
                if self.at < kept.first {
                    let missed = kept.first - self.at;
                    self.at = kept.first;
                    return Some(Update::Missed(missed));
                }
                let index = usize::try_from(self.at - kept.first).unwrap_or(usize::MAX);
                if let Some((entry, _)) = kept.entries.get(index) {
                    self.at += 1;
                    return Some(Update::Event(entry.clone()));
                }
                if kept.over {
                    return None;
                }
            }
            rung.await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut kept = self.shared.kept();
        kept.receivers -= 1;
        if kept.receivers == 0 {
            while !kept.entries.is_empty() {
                kept.forget_first();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::event::Body;
    use crate::event::key::SessionKey;

    fn entry(seq: u64, bytes: usize) -> Entry {
        let key = SessionKey {
            tenant: "default".into(),
            principal: "ci".into(),
            source: "test".into(),
            value: "a".into(),
        };
        let body = Body::Annotation {
            policy: String::new(),
            name: String::new(),
            value: "x".repeat(bytes),
        };
        Entry {
            session: key.id(),
            event: Arc::new(Event {
                seq,
                at: 1,
                exchange: 1,
                body,
            }),
        }
    }

    async fn seq(subscription: &mut Subscription) -> Result<u64, u64> {
        match subscription.next().await.unwrap() {
            Update::Event(entry) => Ok(entry.event.seq),
            Update::Missed(count) => Err(count),
        }
    }

    #[tokio::test]
    async fn a_receiver_that_stands_still_holds_a_bounded_number_of_bytes() {
        let feed = Feed::new();
        let mut stalled = feed.subscribe();
        let mut quick = feed.subscribe();
        for n in 0..200 {
            feed.publish(entry(n, 1024 * 1024));
            assert_eq!(seq(&mut quick).await, Ok(n));
            assert!(feed.shared.kept().bytes <= BACKLOG_BYTES);
        }
        let missed = seq(&mut stalled).await.unwrap_err();
        assert!(missed > 160, "{missed}");
        assert_eq!(
            seq(&mut stalled).await,
            Ok(missed),
            "and it goes on from there"
        );
        drop((stalled, quick));
        assert_eq!(feed.shared.kept().bytes, 0, "nobody is left to keep it for");
    }

    #[tokio::test]
    async fn small_events_are_bounded_by_number_and_the_feed_ends_with_its_last_clone() {
        let feed = Feed::new();
        feed.publish(entry(0, 1));
        let mut late = feed.subscribe();
        for n in 1..=(BACKLOG as u64 + 10) {
            feed.publish(entry(n, 1));
        }
        assert_eq!(seq(&mut late).await, Err(10));
        assert_eq!(seq(&mut late).await, Ok(11));
        drop(feed);
        while let Some(update) = late.next().await {
            assert!(matches!(update, Update::Event(_)));
        }
    }
}
