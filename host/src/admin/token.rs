//! The admin token: made at the first start, kept in a file that only its owner can read.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use arc_swap::ArcSwap;
use sha2::{Digest as _, Sha256};

use crate::upstream::key::Secret;
use airlock_policy::private::tighten;

/// Name of the file in the data directory.
pub const FILE_NAME: &str = "admin-token";

/// What callers of the admin API must show.
#[derive(Debug)]
pub struct Token {
    file: PathBuf,
    value: ArcSwap<Secret>,
}

impl Token {
    /// Reads the token of a data directory; at the first start makes directory (0700) and token (0600).
    ///
    /// # Errors
    /// The system's; a token that others can read, and that cannot be closed to them.
    pub fn read_or_create(dir: &Path) -> anyhow::Result<Self> {
        create_private(dir)?;
        let path = dir.join(FILE_NAME);
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)
            .map_err(|error| anyhow!("the system gives no randomness: {error}"))?;
        let value: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        // The whole token appears under its name at once, and never over another one: two first starts may meet.
        let aside = dir.join(format!(".{FILE_NAME}.{}", &value[..8]));
        if !path.exists() {
            write_new(&aside, &value)
                .with_context(|| format!("cannot write {}", aside.display()))?;
            let linked = fs::hard_link(&aside, &path);
            fs::remove_file(&aside)
                .with_context(|| format!("cannot remove {}", aside.display()))?;
            match linked {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(error).with_context(|| format!("cannot write {}", path.display()));
                }
                _ => {}
            }
        }
        Self::read(dir)
    }

    /// Reads the token of a data directory.
    ///
    /// # Errors
    /// There is none, or others can read it and cannot be kept from it.
    pub fn read(dir: &Path) -> anyhow::Result<Self> {
        let file = dir.join(FILE_NAME);
        let value = ArcSwap::from_pointee(load(&file)?);
        Ok(Self { file, value })
    }

    /// Where it is kept.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Reads it again, after its file was replaced. From then on the old one opens nothing.
    ///
    /// # Errors
    /// As [`Token::read`]; the old one stays in force.
    pub fn read_again(&self) -> anyhow::Result<()> {
        self.value.store(Arc::new(load(&self.file)?));
        Ok(())
    }

    /// Whether `shown` is the token. Digests are compared, so the time tells nothing about how much of it was right.
    pub fn is(&self, shown: &str) -> bool {
        Sha256::digest(self.value.load().expose()) == Sha256::digest(shown)
    }

    /// The token itself, for a request to the admin API.
    pub fn expose(&self) -> String {
        self.value.load().expose().to_owned()
    }
}

fn load(path: &Path) -> anyhow::Result<Secret> {
    let value = fs::read_to_string(path).with_context(|| {
        format!(
            "cannot read the admin token {}: `airlock serve` makes it at its first start",
            path.display()
        )
    })?;
    let open = tighten(path, 0o077).with_context(|| {
            format!(
                "others can read the admin token {}, and its mode cannot be changed: remove it, and Airlock makes a new one",
                path.display()
            )
        })?;
    if let Some(mode) = open {
        tracing::warn!(
            "others could read the admin token {} (mode {mode:o}): it is closed to them now; if they should not know it, \
                 remove it, and Airlock makes a new one at its next start",
            path.display()
        );
    }
    let secret = Secret::new(&value);
    if secret.expose().len() < 32 {
        bail!(
            "the admin token {} is too short: remove it, and Airlock makes a new one",
            path.display()
        );
    }
    Ok(secret)
}

/// Makes a directory, and those above it, for its owner alone. One that exists stays as it is.
fn create_private(dir: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| {
            format!(
                "cannot make the data directory {}: set another `dir` in [data]",
                dir.display()
            )
        })
}

fn write_new(path: &PathBuf, value: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{value}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_first_start_makes_a_private_token_and_later_ones_keep_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("share/airlock");
        let first = Token::read_or_create(&data).unwrap();
        assert_eq!(mode(&data), 0o700);
        assert_eq!(mode(&data.join(FILE_NAME)), 0o600);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
        let again = Token::read_or_create(&data).unwrap();
        assert!(again.is(&first.expose()));
        assert!(!again.is("") && !again.is(&first.expose()[1..]));
        assert!(!format!("{first:?}").contains(&first.expose()));
    }

    #[test]
    fn a_token_that_a_volume_opened_to_others_is_closed_again() {
        let dir = tempfile::tempdir().unwrap();
        let first = Token::read_or_create(dir.path()).unwrap();
        let path = dir.path().join(FILE_NAME);
        for opened in [0o640, 0o660, 0o604] {
            fs::set_permissions(&path, fs::Permissions::from_mode(opened)).unwrap();
            let again = Token::read_or_create(dir.path()).unwrap();
            assert!(again.is(&first.expose()));
            assert_eq!(mode(&path), 0o600);
        }
    }

    #[test]
    fn a_replaced_token_is_read_again_and_a_bad_one_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let token = Token::read_or_create(dir.path()).unwrap();
        let (old, new) = (token.expose(), "n".repeat(40));
        fs::write(token.file(), "short").unwrap();
        assert!(token.read_again().is_err());
        assert!(token.is(&old));
        fs::write(token.file(), &new).unwrap();
        token.read_again().unwrap();
        assert!(token.is(&new) && !token.is(&old));
    }

    #[test]
    fn an_empty_token_does_not_open_the_door() {
        let dir = tempfile::tempdir().unwrap();
        write_new(&dir.path().join(FILE_NAME), "").unwrap();
        assert!(Token::read(dir.path()).is_err());
    }
}
