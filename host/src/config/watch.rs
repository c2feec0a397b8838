//! Tells when files that Airlock reads at its start have other content: the configuration, and the keys and certificates that
//! it names.
//!
//! A change in a file's directory is a hint only: editors rename, orchestrators swap a symlink above, writers are slow. So
//! after each hint, once it is quiet, the files are read whole and compared. What a hint does not reach (links into other
//! directories, mounts of single files, machines whose watches are used up) is found by looking every few seconds. What is
//! not yet readable is tried again then. So are files in the data directory: the database beside them is written all the
//! time, and a notice of each write cost 4 % of a busy gateway's time.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

/// Quiet time after which a burst of changes is taken as done.
const QUIET: Duration = Duration::from_millis(150);
/// Longest burst.
const LONGEST: Duration = Duration::from_secs(2);
/// How often to look without a hint: the files are few and small.
const POLL: Duration = Duration::from_secs(5);

/// Watches some files. Dropping it ends the watch.
pub struct Watch {
    files: Vec<(PathBuf, Option<[u8; 32]>)>,
    /// Of what is in it nothing is hinted.
    noisy: PathBuf,
    hint: mpsc::Sender<()>,
    hints: mpsc::Receiver<()>,
    watcher: Option<notify::RecommendedWatcher>,
}

impl Watch {
    /// Begins to watch. The present content counts as seen. What is in the directory `noisy` is looked at every few seconds.
    pub fn new(files: Vec<PathBuf>, noisy: &Path) -> Self {
        // One hint waits at most: they all say the same.
        let (hint, hints) = mpsc::channel(1);
        let mut watch = Self {
            files: Vec::new(),
            noisy: noisy.canonicalize().unwrap_or_else(|_| noisy.to_owned()),
            hint,
            hints,
            watcher: None,
        };
        watch.set(files);
        watch
    }

    /// Watches these files from now on. Of those watched before, what was seen last counts.
    pub fn set(&mut self, files: Vec<PathBuf>) {
        let files: BTreeSet<PathBuf> = files.into_iter().collect();
        if files.iter().eq(self.files.iter().map(|(file, _)| file)) {
            return;
        }
        let before = std::mem::take(&mut self.files);
        self.files = files
            .into_iter()
            .map(|file| {
                let known = before.iter().find(|(path, _)| *path == file);
                let seen = known.map_or_else(|| digest(&file), |(_, seen)| *seen);
                (file, seen)
            })
            .collect();
        self.watcher = self
            .hinted()
            .inspect_err(|error| {
                tracing::warn!(
                    "no notices of changed files ({error}): looking every {} s",
                    POLL.as_secs()
                );
            })
            .ok();
    }

    /// Asks for a hint at each change beside these files, and beside what they link to.
    fn hinted(&self) -> notify::Result<notify::RecommendedWatcher> {
        let hint = self.hint.clone();
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // Reading is no change; we read ourselves.
                if !event.is_ok_and(|event| event.kind.is_access()) {
                    let _ = hint.try_send(());
                }
            })?;
        let mut dirs = BTreeSet::new();
        for (file, _) in &self.files {
            let target = file.canonicalize().ok();
            dirs.extend(
                [Some(file.as_path()), target.as_deref()]
                    .into_iter()
                    .flatten()
                    .filter_map(Path::parent)
                    .map(Path::to_owned),
            );
        }
        for dir in dirs {
            // A directory that is not there is looked for.
            if dir.is_dir() && dir.canonicalize().is_ok_and(|dir| dir != self.noisy) {
                watcher.watch(&dir, RecursiveMode::NonRecursive)?;
            }
        }
        Ok(watcher)
    }

    /// Waits until the content of some differs from what was seen last, and returns which. A file that is gone is no change:
    /// what was read goes on.
    pub async fn changed(&mut self) -> Vec<PathBuf> {
        loop {
            if let Ok(Some(())) = timeout(POLL, self.hints.recv()).await {
                let end = Instant::now() + LONGEST;
                while let Ok(Ok(Some(()))) =
                    timeout_at(end, timeout(QUIET, self.hints.recv())).await
                {}
            }
            let mut changed = Vec::new();
            for (file, seen) in &mut self.files {
                let content = digest(file);
                if content.is_some() && content != *seen {
                    *seen = content;
                    changed.push(file.clone());
                }
            }
            if !changed.is_empty() {
                return changed;
            }
        }
    }
}

/// Of the content, and of which file it is: what was there for a moment may have been read by somebody else (a reload that was
/// ordered), so that the former content, put back, is news.
fn digest(file: &Path) -> Option<[u8; 32]> {
    let meta = std::fs::metadata(file).ok()?;
    let hash = Sha256::new()
        .chain_update(meta.ino().to_le_bytes())
        .chain_update(meta.mtime().to_le_bytes())
        .chain_update(meta.mtime_nsec().to_le_bytes())
        .chain_update(std::fs::read(file).ok()?);
    Some(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    async fn notices(act: impl FnOnce(&Path)) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("airlock.toml");
        std::fs::write(&path, "a").unwrap();
        let mut watch = Watch::new(vec![path.clone()], Path::new(""));
        act(&path);
        timeout(Duration::from_secs(20), watch.changed())
            .await
            .is_ok_and(|changed| changed == [path])
    }

    #[tokio::test]
    async fn a_write_is_noticed() {
        assert!(notices(|path| std::fs::write(path, "b").unwrap()).await);
    }

    #[tokio::test]
    async fn a_write_in_the_data_directory_is_found_by_looking() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin-token");
        std::fs::write(&path, "a").unwrap();
        let mut watch = Watch::new(vec![path.clone()], dir.path());
        std::fs::write(&path, "b").unwrap();
        let changed = timeout(Duration::from_secs(20), watch.changed()).await;
        assert_eq!(changed.unwrap(), [path]);
        assert!(watch.hints.try_recv().is_err());
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
        let mut watch = Watch::new(vec![path.clone()], Path::new(""));
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
        let mut watch = Watch::new(vec![path.clone()], Path::new(""));
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

    #[tokio::test]
    async fn a_swap_two_links_away_is_noticed_as_orchestrators_do_it() {
        let dir = tempfile::tempdir().unwrap();
        for (version, content) in [("..1", "a"), ("..2", "b")] {
            std::fs::create_dir(dir.path().join(version)).unwrap();
            std::fs::write(dir.path().join(version).join("key"), content).unwrap();
        }
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(to, dir.path().join(name)).unwrap();
        };
        link("..1", "..data");
        link("..data/key", "key");
        // Another directory links to the mounted one: no hint comes from where the change is.
        let away = tempfile::tempdir().unwrap();
        let path = away.path().join("key");
        std::os::unix::fs::symlink(dir.path().join("key"), &path).unwrap();
        let mut watch = Watch::new(vec![path.clone()], Path::new(""));
        link("..2", "..next");
        std::fs::rename(dir.path().join("..next"), dir.path().join("..data")).unwrap();
        let changed = timeout(Duration::from_secs(20), watch.changed()).await;
        assert_eq!(changed.unwrap(), [path]);
    }

    #[tokio::test]
    async fn without_notices_from_the_system_files_are_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("airlock.toml");
        std::fs::write(&path, "a").unwrap();
        let mut watch = Watch::new(vec![path.clone()], Path::new(""));
        watch.watcher = None;
        std::fs::write(&path, "b").unwrap();
        let changed = timeout(Duration::from_secs(20), watch.changed()).await;
        assert_eq!(changed.unwrap(), [path]);
    }

    #[tokio::test]
    async fn a_file_that_appears_later_is_noticed_and_a_new_list_forgets_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("late/b"));
        std::fs::write(&a, "1").unwrap();
        let mut watch = Watch::new(vec![a.clone()], Path::new(""));
        std::fs::write(&a, "2").unwrap();
        watch.set(vec![a.clone(), b.clone()]);
        let changed = timeout(Duration::from_secs(20), watch.changed()).await;
        assert_eq!(changed.unwrap(), [a]);
        std::fs::create_dir(dir.path().join("late")).unwrap();
        std::fs::write(&b, "1").unwrap();
        let changed = timeout(Duration::from_secs(20), watch.changed()).await;
        assert_eq!(changed.unwrap(), [b]);
    }
}
