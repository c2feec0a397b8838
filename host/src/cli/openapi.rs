//! `airlock openapi`: the description of the admin API, without a running Airlock.

use anyhow::Context as _;

use super::Failure;
use crate::admin::openapi;

/// Prints it.
///
/// # Errors
/// Never in practice: the document is data of this program.
pub fn run() -> Result<(), Failure> {
    let document = openapi::document()
        .to_pretty_json()
        .context("the description cannot be written as JSON")?;
    println!("{document}");
    Ok(())
}
