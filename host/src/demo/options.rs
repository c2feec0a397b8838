//! What `airlock demo` is asked for.

use std::path::PathBuf;

/// What `airlock demo` is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// A real server instead of the simulator.
    pub real: Option<Real>,
    /// Folder for configuration, database and policies; what an earlier demo left there is removed.
    pub folder: PathBuf,
}

/// A real server.
#[derive(Clone, Debug)]
pub struct Real {
    /// Its address, with `/v1`.
    pub base_url: String,
    /// Model that the agents ask.
    pub model: String,
    /// Model to which a slow session moves.
    pub fast_model: String,
}
