//! Finds a cargo and a rustc that compile to Wasm.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Error, TARGET};

/// A cargo and the rustc that it is to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// Program or path.
    pub cargo: PathBuf,
    /// Program or path.
    pub rustc: PathBuf,
}

/// The user's own place for a toolchain, where `airlock policy toolchain` puts it.
pub fn home() -> Option<PathBuf> {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let data = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")))?;
    Some(data.join("airlock"))
}

impl Toolchain {
    /// What `sdk/toolchain.sh` wrote to `.toolchain/paths`, in a directory above `near`, the working directory or the
    /// program, or, by `airlock policy toolchain`, in [`home`]; the environment variable `AIRLOCK_TOOLCHAIN` names the folder `.toolchain` directly. Without any: the
    /// cargo and rustc of the search path.
    ///
    /// # Errors
    /// If that compiler has no standard library for the target.
    pub fn find(near: &Path) -> Result<Self, Error> {
        let toolchain = Self::recorded(near).unwrap_or_else(|| Self {
            cargo: "cargo".into(),
            rustc: "rustc".into(),
        });
        if toolchain.has_target() {
            return Ok(toolchain);
        }
        Err(Error::Toolchain {
            tried: toolchain.rustc.display().to_string(),
        })
    }

    fn recorded(near: &Path) -> Option<Self> {
        if let Some(folder) = env::var_os("AIRLOCK_TOOLCHAIN") {
            return Self::read(Path::new(&folder));
        }
        let starts = [
            near.canonicalize().ok(),
            env::current_dir().ok(),
            env::current_exe().ok(),
        ];
        starts
            .iter()
            .flatten()
            .flat_map(|start| start.ancestors())
            .map(Path::to_path_buf)
            .chain(home())
            .find_map(|above| Self::read(&above.join(".toolchain")))
    }

    fn read(folder: &Path) -> Option<Self> {
        let paths = fs::read_to_string(folder.join("paths")).ok()?;
        let path = |name: &str| {
            let path = Path::new(
                paths
                    .lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?,
            );
            // A bare name is a program of the search path; what has a directory starts at the folder.
            Some(if path.components().count() > 1 {
                folder.join(path)
            } else {
                path.into()
            })
        };
        Some(Self {
            cargo: path("cargo")?,
            rustc: path("rustc")?,
        })
    }

    fn has_target(&self) -> bool {
        let Ok(output) = Command::new(&self.rustc)
            .args(["--print", "target-libdir", "--target", TARGET])
            .output()
        else {
            return false;
        };
        let libs = String::from_utf8_lossy(&output.stdout);
        let Ok(mut entries) = fs::read_dir(libs.trim()) else {
            return false;
        };
        entries.any(|entry| {
            entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn relative_paths_start_at_the_folder_and_names_are_programs() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("paths"),
            "cargo=cargo\nrustc=bin/rustc\n",
        )
        .unwrap();
        let toolchain = Toolchain::read(folder.path()).unwrap();
        assert_eq!(toolchain.cargo, Path::new("cargo"));
        assert_eq!(toolchain.rustc, folder.path().join("bin/rustc"));
    }

    #[test]
    fn half_a_record_is_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("paths"), "cargo=cargo\n").unwrap();
        assert_eq!(Toolchain::read(folder.path()), None);
    }
}
