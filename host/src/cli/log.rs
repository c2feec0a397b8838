//! The program's own log, to standard error. `AIRLOCK_LOG` filters it (`debug`, `airlock::upstream=trace`, ...).

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::EnvFilter;

/// Starts logging, from `level` up unless the variable says otherwise. Content of model calls is never logged: the timeline has it, under its own rules.
pub fn start(level: Level) {
    let filter = EnvFilter::builder()
        .with_env_var("AIRLOCK_LOG")
        .with_default_directive(level.into())
        .from_env_lossy();
    let colour = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .init();
}
