//! What the commands that read the database share: where it is, and how they print.

use std::io::{ErrorKind, StdoutLock, Write as _};
use std::path::Path;

use anyhow::Result;

use crate::cli::global::{Global, Output};
use crate::config::{DataConfig, locate};
use crate::failure::Failure;
use crate::render::style::Style;
use crate::render::terminal::{self, Kind, Terminal};
use airlock_core::store::sqlite;

/// Prints to standard output what `command` reads from the configured database. Blocks, for ever if it follows; Ctrl-C ends the
/// process.
///
/// # Errors
/// When the configuration or the database cannot be read. A reader of the output that has seen enough (`| head`) is no error.
pub fn print(
    global: &Global,
    command: impl FnOnce(&Path, bool, Style, &mut Terminal<StdoutLock<'static>>) -> Result<()>,
) -> Result<(), Failure> {
    let data = match locate::find(global.config.as_deref())? {
        Some(file) => locate::read(&file)?.data,
        None => DataConfig::default(),
    };
    let database = sqlite::database(&data.dir);
    let json = global.output == Output::Json;
    let mut out = terminal::stdout(match json {
        true => Kind::Json,
        false => Kind::Coloured,
    });
    let printed =
        command(&database, json, Style::of_stdout(), &mut out).and_then(|()| Ok(out.flush()?));
    match printed {
        Err(error) if is_closed(&error) => Ok(()),
        printed => Ok(printed?),
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
