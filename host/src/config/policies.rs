//! `[policies]`: the directory that is watched, and what a policy gets that nobody has listed.

use std::path::PathBuf;

use serde::Deserialize;

/// The policy directory and its defaults.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoliciesConfig {
    /// Directory whose `*.wasm` files are loaded, and watched. Relative to the configuration file.
    pub dir: PathBuf,
    /// Actions that a policy may order without an entry of its own. By default none but notes.
    pub grant: Vec<String>,
}

impl Default for PoliciesConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("policies"),
            grant: vec!["annotate".to_owned()],
        }
    }
}
