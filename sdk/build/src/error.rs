//! Why a policy could not be built.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a policy could not be built, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no compiler for the target.
    #[error("no Rust for {target} ({tried}): run `rustup target add {target}`, or, where rustup cannot fetch it, `airlock policy toolchain`", target = crate::TARGET)]
    Toolchain {
        /// The compiler that was tried.
        tried: String,
    },
    /// The directory is not a policy's crate.
    #[error("{}: {why}", directory.display())]
    Crate {
        /// The directory.
        directory: PathBuf,
        /// What is missing, and what to do.
        why: String,
    },
    /// Cargo failed; it has told why on standard error.
    #[error("cargo could not {what}{detail}")]
    Cargo {
        /// What it was to do.
        what: &'static str,
        /// What it said, where that was not shown already.
        detail: String,
    },
    /// What was compiled is not a policy.
    #[error("{package}: {why}")]
    Component {
        /// The package.
        package: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A golden case is not one.
    #[error("{}: {why}", path.display())]
    Golden {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: serde_json::Error,
    },
    /// A file could not be read or written.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
}

impl Error {
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.into(),
            why: source,
        }
    }
}
