//! Tells when the configuration file has other content.
//!
//! A change in its directory is a hint only: editors rename, orchestrators swap a symlink above, writers are slow. So
//! after each hint, once it is quiet, the file is read whole and compared. What is not yet readable is tried at the next hint.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

/// Quiet time after which a burst of changes is taken as done.
const QUIET: Duration = Duration::from_millis(150);
/// Longest burst.
const LONGEST: Duration = Duration::from_secs(2);

/// Watches one file. Dropping it ends the watch.
pub struct Watch {
    path: PathBuf,
    seen: Option<Vec<u8>>,
    hints: mpsc::Receiver<()>,
    _watcher: notify::RecommendedWatcher,
}

impl Watch {
    /// Begins to watch. The present content counts as seen.
    ///
    /// # Errors
    /// The system's, for the file's directory.
    pub fn new(path: &Path) -> anyhow::Result<Self> {
        let path = std::path::absolute(path)?;
        let parent = path.parent().context("a file has a directory")?;
        // One hint waits at most: they all say the same.
        let (hint, hints) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |_| {
            let _ = hint.try_send(());
        })?;
        watcher
            .watch(parent, RecursiveMode::NonRecursive)
            .with_context(|| format!("cannot watch {} for changes", parent.display()))?;
        let seen = std::fs::read(&path).ok();
        Ok(Self {
            path,
            seen,
            hints,
            _watcher: watcher,
        })
    }

    /// Waits until the content differs from what was seen last. `None` when the watch has ended.
    pub async fn changed(&mut self) -> Option<()> {
        loop {
            self.hints.recv().await?;
            let end = Instant::now() + LONGEST;
            while let Ok(Ok(Some(()))) = timeout_at(end, timeout(QUIET, self.hints.recv())).await {}
            let content = tokio::fs::read(&self.path).await.ok();
            if content.is_some() && content != self.seen {
                self.seen = content;
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    async fn notices(act: impl FnOnce(&Path)) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("airlock.toml");
        std::fs::write(&path, "a").unwrap();
        let mut watch = Watch::new(&path).unwrap();
        act(&path);
        timeout(Duration::from_secs(20), watch.changed())
            .await
            .is_ok_and(|changed| changed.is_some())
    }

    #[tokio::test]
    async fn a_write_is_noticed() {
        assert!(notices(|path| std::fs::write(path, "b").unwrap()).await);
    }

    #[tokio::test]
    async fn an_editors_rename_is_noticed() {
        let rename = |path: &Path| {
            let new = path.with_extension("new");
            std::fs::write(&new, "b").unwrap();
            std::fs::rename(new, path).unwrap();
        };
        assert!(notices(rename).await);
    }

    #[tokio::test]
    async fn a_swap_of_a_symlink_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("one"), "a").unwrap();
        std::fs::write(dir.path().join("two"), "b").unwrap();
        let path = dir.path().join("airlock.toml");
        std::os::unix::fs::symlink("one", &path).unwrap();
        let mut watch = Watch::new(&path).unwrap();
        std::os::unix::fs::symlink("two", dir.path().join("next")).unwrap();
        std::fs::rename(dir.path().join("next"), &path).unwrap();
        assert!(
            timeout(Duration::from_secs(20), watch.changed())
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_touch_and_a_delete_are_no_change_but_a_return_with_other_content_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("airlock.toml");
        std::fs::write(&path, "a").unwrap();
        let mut watch = Watch::new(&path).unwrap();
        std::fs::write(&path, "a").unwrap();
        std::fs::remove_file(&path).unwrap();
        // Long enough for both hints to be judged; were either one taken for a change, this would not time out.
        assert!(timeout(QUIET * 4, watch.changed()).await.is_err());
        std::fs::write(&path, "b").unwrap();
        assert!(
            timeout(Duration::from_secs(20), watch.changed())
                .await
                .is_ok()
        );
    }
}
