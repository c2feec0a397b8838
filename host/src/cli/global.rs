//! Options of every command.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::config::{Config, Source, locate};
use crate::failure::Failure;

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Configuration file. Without it: ./airlock.toml, then $XDG_CONFIG_HOME/airlock/airlock.toml.
    #[arg(long, global = true, value_name = "FILE", env = "AIRLOCK_CONFIG")]
    pub config: Option<PathBuf>,
    /// Form of what is printed.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub output: Output,
}

/// Form of what a command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// The configuration as a command beside the server sees it: upstreams are of no interest, so they are not looked for.
///
/// # Errors
/// Everything that is wrong with it.
pub fn configuration(global: &Global) -> Result<Config, Failure> {
    Ok(match locate::find(global.config.as_deref())? {
        Some(file) => locate::read(&file)?,
        None => Config::empty(Source::Environment),
    })
}
