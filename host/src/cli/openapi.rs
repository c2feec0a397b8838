//! `airlock openapi`: the description of the admin API, without a running Airlock.

use std::io::Write as _;

use anyhow::Context as _;

use crate::admin::openapi;
use crate::failure::Failure;
use crate::render::terminal;

/// Prints it.
///
/// # Errors
/// When it cannot be printed.
pub fn run() -> Result<(), Failure> {
    let document = openapi::document()
        .to_pretty_json()
        .context("the description cannot be written as JSON")?;
    writeln!(terminal::stdout(terminal::Kind::Json), "{document}")
        .context("the description cannot be printed")?;
    Ok(())
}
