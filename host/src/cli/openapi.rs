//! `airlock openapi`: the description of the admin API, without a running Airlock.

use std::io::Write as _;

use anyhow::Context as _;

use super::Failure;
use crate::admin::openapi;

/// Prints it.
///
/// # Errors
/// When it cannot be printed.
pub fn run() -> Result<(), Failure> {
    let document = openapi::document()
        .to_pretty_json()
        .context("the description cannot be written as JSON")?;
    // A reader such as `head` may close the pipe: an error, where `println!` would panic.
    writeln!(std::io::stdout(), "{document}").context("the description cannot be printed")?;
    Ok(())
}
