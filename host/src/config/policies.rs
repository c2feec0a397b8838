//! `[policies]`: the directory that is watched, and what a policy gets that nobody has listed.

use std::path::PathBuf;

use serde::Deserialize;

use airlock_policy::Grants;

/// The policy directory and its defaults.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoliciesConfig {
    /// Directory whose `*.wasm` files are loaded, and watched. Relative to the configuration file.
    pub dir: PathBuf,
    /// What a file in the directory may see and order for which nothing else is stated: see everything, leave notes.
    pub grants: Grants,
}

impl Default for PoliciesConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("policies"),
            grants: Grants::directory(),
        }
    }
}
