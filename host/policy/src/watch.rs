//! Notices that something in the policy directory changed. A notice is only a hint to look: what is there is found by
//! looking, so a lost or a doubled notice does no harm.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

/// Quiet that must follow a change before anybody looks: a compiler writes in many steps.
const QUIET: Duration = Duration::from_millis(150);
/// Longest wait for quiet: steady writing must not put a change off for ever.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often to look without a notice.
pub(super) const POLL: Duration = Duration::from_secs(10);

/// Collects hints until it is time to look.
#[derive(Debug, Default)]
pub(super) struct Debounce {
    due: Option<(Instant, Instant)>,
}

impl Debounce {
    /// Something changed.
    pub(super) fn hint(&mut self, now: Instant) {
        let latest = self.due.map_or(now + PATIENCE, |(_, latest)| latest);
        self.due = Some((now + QUIET, latest));
    }

    /// How long to wait for the next hint.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.due.map_or(POLL, |(quiet, latest)| {
            quiet.min(latest).saturating_duration_since(now)
        })
    }

    /// Whether it is time to look. Forgets the hints if it is.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        let due = self
            .due
            .is_some_and(|(quiet, latest)| now >= quiet.min(latest));
        if due {
            self.due = None;
        }
        due
    }
}

/// Watches directories, not files: a watch on a file ends when an editor puts a new file in its place.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    dirs: BTreeSet<PathBuf>,
}

impl Watch {
    /// `hint` is called for each change.
    pub(super) fn new(hint: impl Fn() + Send + 'static) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|e| matters(&e)) {
                hint();
            }
        });
        let watcher = watcher
            .inspect_err(|e| {
                tracing::warn!(
                    "no change notices on this machine ({e}): looking every {} s",
                    POLL.as_secs()
                );
            })
            .ok();
        Self {
            watcher,
            dirs: BTreeSet::new(),
        }
    }

    /// Watches these directories and no others.
    pub(super) fn set(&mut self, dirs: BTreeSet<PathBuf>) {
        if let Some(watcher) = &mut self.watcher {
            for gone in self.dirs.difference(&dirs) {
                // It may be gone from the disk as well.
                let _ = watcher.unwatch(gone);
            }
            for dir in &dirs {
                // Also those watched before: a directory that was replaced is another one under the same name.
                if let Err(e) = watcher.watch(dir, RecursiveMode::NonRecursive) {
                    tracing::warn!(
                        "cannot watch `{}` ({e}): looking every {} s",
                        dir.display(),
                        POLL.as_secs()
                    );
                }
            }
        }
        self.dirs = dirs;
    }

    /// The directories watched.
    pub(super) fn dirs(&self) -> impl Iterator<Item = &Path> {
        self.dirs.iter().map(PathBuf::as_path)
    }
}

/// Reading is no change; we read ourselves.
fn matters(event: &notify::Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_change_is_looked_at_after_quiet() {
        let (mut debounce, t) = (Debounce::default(), Instant::now());
        assert!(!debounce.take_due(t));
        assert_eq!(debounce.wait(t), POLL);
        debounce.hint(t);
        debounce.hint(t + Duration::from_millis(100));
        assert!(
            !debounce.take_due(t + Duration::from_millis(200)),
            "the second hint starts the quiet anew"
        );
        assert_eq!(
            debounce.wait(t + Duration::from_millis(200)),
            Duration::from_millis(50)
        );
        assert!(debounce.take_due(t + Duration::from_millis(250)));
        assert!(
            !debounce.take_due(t + Duration::from_secs(9)),
            "looked at once"
        );
    }

    #[test]
    fn steady_writing_does_not_put_a_change_off_for_ever() {
        let (mut debounce, t) = (Debounce::default(), Instant::now());
        for ms in (0..=1900).step_by(100) {
            debounce.hint(t + Duration::from_millis(ms));
            assert!(!debounce.take_due(t + Duration::from_millis(ms + 99)));
        }
        debounce.hint(t + Duration::from_millis(1999));
        assert!(debounce.take_due(t + Duration::from_secs(2)));
    }
}
