//! The audience: follows the live feed, has it shown, and remembers everything, so that a scene can say what happened.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::screen::{Screen, Who};
use airlock_core::event::{Body, Event, Outcome, Status};
use airlock_core::session::feed::{Subscription, Update};

/// Longest wait for what is to come: a loaded machine with two cores needs some seconds to compile a policy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Everything seen since the last `forget`.
pub struct Watch {
    seen: Mutex<Vec<Arc<Event>>>,
    changed: Notify,
}

impl Watch {
    /// Follows the feed until it ends.
    pub fn follow(mut feed: Subscription, screen: Arc<Screen>) -> Arc<Self> {
        let watch = Arc::new(Self {
            seen: Mutex::default(),
            changed: Notify::new(),
        });
        let follower = Arc::clone(&watch);
        tokio::spawn(async move {
            while let Some(update) = feed.next().await {
                match update {
                    Update::Event(entry) => {
                        screen.event(entry.session, &entry.event);
                        follower.seen().push(entry.event);
                        follower.changed.notify_waiters();
                    }
                    Update::Missed(count) => {
                        screen.line(
                            Who::Airlock,
                            &format!("{count} events were too fast for this screen"),
                        );
                    }
                }
            }
        });
        watch
    }

    /// Begins a scene.
    pub fn forget(&self) {
        self.seen().clear();
    }

    /// What `pick` makes of all events seen so far.
    pub fn read<T>(&self, pick: impl FnOnce(&[Arc<Event>]) -> T) -> T {
        pick(&self.seen())
    }

    /// Waits until `is_there` holds; `false` if it never does.
    pub async fn wait(&self, is_there: impl Fn(&[Arc<Event>]) -> bool) -> bool {
        let waiting = async {
            loop {
                // Registered before the look, so that nothing slips through between the two.
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.read(&is_there) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.is_ok()
    }

    /// Waits until a policy's action was applied.
    pub async fn applied(&self, policy: &str, action: &str) -> bool {
        self.wait(|events| applied(events, policy, action)).await
    }

    /// Waits until so many exchanges have ended.
    pub async fn ended(&self, count: usize) -> bool {
        self.wait(|events| ends(events).count() >= count).await
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Arc<Event>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a policy's action was applied.
pub fn applied(events: &[Arc<Event>], policy: &str, action: &str) -> bool {
    events.iter().any(|event| {
        matches!(&event.body, Body::Intervention { policy: by, action: what, outcome: Outcome::Applied, .. }
            if by == policy && what == action)
    })
}

/// How exchanges ended: status, tokens in, tokens out.
pub fn ends(events: &[Arc<Event>]) -> impl Iterator<Item = (Status, u32, u32)> {
    events.iter().filter_map(|event| match &event.body {
        Body::ResponseEnd { status, usage, .. } => Some((*status, usage.input, usage.output)),
        _ => None,
    })
}
