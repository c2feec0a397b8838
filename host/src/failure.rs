//! Why a command failed, and what the process exits with (`sysexits.h`).

use std::fmt;
use std::process::ExitCode;

use crate::config::Problems;

/// The command or the configuration is wrong (EX_USAGE).
pub const USAGE: u8 = 64;
/// No Airlock runs that could be asked (EX_UNAVAILABLE).
pub const UNAVAILABLE: u8 = 69;

/// A failed command.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    /// The command line or the configuration is wrong.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: USAGE,
            error: error.into(),
        }
    }

    /// No Airlock runs.
    pub fn unavailable(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: UNAVAILABLE,
            error: error.into(),
        }
    }

    /// Prints why, and returns the exit code.
    pub fn report(&self) -> ExitCode {
        crate::render::terminal::tell(&format!("airlock: {self}\n"));
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { code: 1, error }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::usage(problems)
    }
}
