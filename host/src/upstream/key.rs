//! Keys of upstreams: named in the configuration, never written there, never shown.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A secret value. Nothing prints it; `expose` is the one way to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value, without the white space around it (files end with a newline).
    pub fn new(value: &str) -> Self {
        Self(value.trim().to_owned())
    }

    /// The value itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where a key is found: `env:NAME` or `file:/path`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum KeyRef {
    /// An environment variable.
    Env(String),
    /// A file whose whole content, trimmed, is the key.
    File(PathBuf),
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Neither `env:` nor `file:`. The text is not repeated: it may be the key itself.
    #[error(
        "a key is given by reference, never itself: write \"env:NAME\" for an environment variable or \"file:/path\" for a file"
    )]
    Literal,
    /// The variable is missing or empty.
    #[error(
        "the environment variable {0} is not set: export it before starting Airlock, or name a file with \"file:/path\""
    )]
    Unset(String),
    /// The file cannot be read.
    #[error("cannot read the key file {path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is empty, or the value has characters that no HTTP header can carry.
    #[error("{0} holds no usable key: it is empty or has characters that a header cannot carry")]
    Unusable(String),
}

impl KeyRef {
    /// The file that holds it, if one does.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Env(_) => None,
        }
    }

    /// Reads the key.
    ///
    /// # Errors
    /// If it is missing, unreadable, empty or cannot stand in a header.
    pub fn resolve(&self) -> Result<Secret, KeyError> {
        let value = match self {
            Self::Env(name) => std::env::var(name).map_err(|_| KeyError::Unset(name.clone()))?,
            Self::File(path) => {
                std::fs::read_to_string(path).map_err(|source| KeyError::Unreadable {
                    path: path.clone(),
                    source,
                })?
            }
        };
        let secret = Secret::new(&value);
        let usable =
            !secret.expose().is_empty() && secret.expose().bytes().all(|b| b.is_ascii_graphic());
        if usable {
            Ok(secret)
        } else {
            Err(KeyError::Unusable(self.to_string()))
        }
    }
}

impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl TryFrom<String> for KeyRef {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            _ => Err(KeyError::Literal),
        }
    }
}
