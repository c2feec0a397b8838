//! `[data]`: what is kept, where, and for how long.

use std::path::PathBuf;

use serde::Deserialize;

use airlock_core::store::capture::Capture;

/// What is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Directory of the database and the admin token; created with mode 0700.
    pub dir: PathBuf,
    /// How much of messages, text and arguments is kept. Policies always see everything that they are granted.
    ///
    /// `full` is the default: the timeline is what explains an intervention, only a full one can be replayed, and it lies
    /// in a file that only its owner reads (mode 0600) and that forgets after `retention_days`.
    pub capture: Capture,
    /// Days after which a session is removed, from 1; 0 keeps everything.
    pub retention_days: u32,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            dir: default_dir(),
            capture: Capture::default(),
            retention_days: 30,
        }
    }
}

/// `$XDG_DATA_HOME/airlock`, else `~/.local/share/airlock`, else `./airlock-data` for a user without a home.
pub fn default_dir() -> PathBuf {
    xdg("XDG_DATA_HOME", ".local/share").unwrap_or_else(|| PathBuf::from("airlock-data"))
}

/// Airlock's own folder under an XDG base directory. A relative value of the variable is to be ignored (XDG 0.8).
pub(super) fn xdg(variable: &str, under_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute(variable)
        .or_else(|| absolute("HOME").map(|home| home.join(under_home)))
        .map(|base| base.join("airlock"))
}
